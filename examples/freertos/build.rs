//! Compiles the FreeRTOS kernel, and has the board's memory map and cortex-m-rt's linker script used.

use std::{env, fs, path::PathBuf};

use freertos_build::prelude::*;

/// The same board, so the same map.
const MEMORY: &str = "../mps2-an385/memory.x";
/// The kernel's heap in bytes: task stacks, kernel objects and what the program allocates.
const HEAP_BYTES: usize = 128 * 1024;
/// Stack of the idle task in words.
const IDLE_STACK_WORDS: usize = 256;

fn main() {
    compile_kernel();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::copy(MEMORY, out.join("memory.x")).expect("memory.x can be copied");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    println!("cargo:rerun-if-changed={MEMORY}");
    println!("cargo:rerun-if-changed=build.rs");
}

fn compile_kernel() {
    let mut kernel = freertos_build::Builder::new();
    kernel.cpu_clock(25.MHz());
    kernel.heap_size(HEAP_BYTES);
    kernel.minimal_stack_size(IDLE_STACK_WORDS);
    // Pattern at the end of a stack looked at on every switch: calls vApplicationStackOverflowHook.
    kernel.check_for_stack_overflow(2);
    kernel.interrupt_priority_bits(4, 5, 15);
    kernel.compile().expect("the kernel compiles");
}
