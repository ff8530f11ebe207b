#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bedplate_archive::fuzz::tar_index_decode(data));
