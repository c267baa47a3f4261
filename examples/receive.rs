//! Receives messages, and prints each as one line of JSON; on request, writes payloads to files.
//!
//! ```text
//! cargo run --example receive -- --subject /chat --store put --fileserver http://localhost:8080/files \
//!     --out inbox
//! ```
//!
//! A line is `{"ok": {.., "payloads": [{"dataname", "payload_type", "transport", "size", "sha256",
//! "file"}]}}` or `{"error": {"kind", "message", "payload"}}`. A bad message is a line of the second
//! kind and ends nothing. With `--stdin` each line of standard input is a message.

mod support;

use std::process::ExitCode;

use clap::Parser;

use support::failure::run;
use support::receiving::{ReceiveArgs, receive};

fn main() -> ExitCode {
    let args = ReceiveArgs::parse();
    run(|| receive(&args))
}
