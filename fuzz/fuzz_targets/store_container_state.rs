#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bedplate_store::fuzz::container_state(data));
