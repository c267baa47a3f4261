#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| natsbridge_fuzz::envelope::parses(input));
