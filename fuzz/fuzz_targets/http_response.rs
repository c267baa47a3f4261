#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| natsbridge_fuzz::wire::http_response(input));
