#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| natsbridge_fuzz::session::nats_session(input));
