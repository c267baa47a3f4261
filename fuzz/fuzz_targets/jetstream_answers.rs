#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    natsbridge::fuzzing::jetstream(input);
    natsbridge_fuzz::jetstream::jetstream_answers(input);
});
