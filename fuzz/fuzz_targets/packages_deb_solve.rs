#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bedplate_packages::fuzz::deb_solve(data));
