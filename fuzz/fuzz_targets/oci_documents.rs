#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bedplate_oci::fuzz::documents(data));
