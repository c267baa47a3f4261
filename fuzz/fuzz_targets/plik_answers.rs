#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| natsbridge_fuzz::file_server::plik_answers(input));
