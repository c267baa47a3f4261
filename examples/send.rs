//! Sends one message, and prints its envelope as one line of JSON.
//!
//! ```text
//! cargo run --example send -- --subject /chat --store put --fileserver http://localhost:8080/files \
//!     --text note=hello --json 'reading={"celsius": 21.5}' --file photo:image=photo.png
//! ```
//!
//! With `--dry-run` the line can be given to `receive --stdin`.

mod support;

use std::process::ExitCode;

use clap::Parser;

use support::failure::run;
use support::sending::{SendArgs, send};

fn main() -> ExitCode {
    let args = SendArgs::parse();
    run(|| send(&args))
}
