#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bedplate_archive::fuzz::pax_records(data));
