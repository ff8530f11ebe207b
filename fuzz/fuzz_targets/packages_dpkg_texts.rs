#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bedplate_packages::fuzz::dpkg_texts(data));
