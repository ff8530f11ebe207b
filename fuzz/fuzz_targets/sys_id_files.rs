#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bedplate_sys::fuzz::id_files(data));
