#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bedplate_archive::fuzz::codec_decode(data));
