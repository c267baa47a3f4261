#![no_main]

#[global_allocator]
static HEAP: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

libfuzzer_sys::fuzz_target!(|message: &[u8]| natsbridge_fuzz::receive::receives(message));
