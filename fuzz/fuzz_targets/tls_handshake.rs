#![no_main]

#[global_allocator]
static HEAP: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

libfuzzer_sys::fuzz_target!(|input: &[u8]| natsbridge_fuzz::tls::shake_hands(input, &HEAP));
