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

use support::cli::{Connection, EnvelopeArgs};
use support::failure::{Failure, print, run};
use support::payloads::PayloadArgs;

/// Sends one message and prints its envelope as one line of JSON on stdout. Traces go to stderr
/// with RUST_LOG=natsbridge=debug.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    connection: Connection,

    /// The subject to publish on
    #[arg(long)]
    subject: String,

    #[command(flatten)]
    payloads: PayloadArgs,

    #[command(flatten)]
    envelope: EnvelopeArgs,

    /// The subject to answer on; empty if no answer is expected
    #[arg(long, value_name = "SUBJECT", default_value = "")]
    reply_to: String,

    /// Publish nothing, and need no broker. Payloads that become links are uploaded all the same:
    /// use `--store none` to send nothing to anybody
    #[arg(long)]
    dry_run: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    run(|| send(&options))
}

fn send(args: &Options) -> Result<(), Failure> {
    let data = args.payloads.load()?;
    let options = args.envelope.options(args.connection.timeout);
    let options = options.reply_to(&args.reply_to).is_publish(!args.dry_run);
    let mut bridge = if args.dry_run {
        args.connection.bridge()?
    } else {
        args.connection.connect()?
    };
    let sent = bridge.smartsend(&args.subject, &data, &options)?;
    Ok(print(&sent.json())?)
}
