#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bedplate_store::fuzz::index_json(data));
