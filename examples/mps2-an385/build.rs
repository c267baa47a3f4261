//! Puts `memory.x` where the linker looks for it, and has cortex-m-rt's linker script used: here rather than
//! in cargo's configuration, where flags from the environment would push it aside. Other packages for this board
//! are built by it too.

use std::{env, fs, path::PathBuf};

const MEMORY: &str = "../mps2-an385/memory.x";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::copy(MEMORY, out.join("memory.x")).expect("memory.x can be copied");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    println!("cargo:rerun-if-changed={MEMORY}");
}
