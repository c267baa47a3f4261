//! Sends a request, waits for its answer, and prints that as `receive` does.
//!
//! ```text
//! cargo run --example request -- --subject /echo --text question=why
//! ```

mod support;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use support::cli::{Connection, EnvelopeArgs, LinkArgs, seconds};
use support::failure::{Failure, run};
use support::files::OutDir;
use support::lines::print_message;
use support::payloads::PayloadArgs;

/// Sends a request and prints its answer as one line of JSON on stdout. If nobody listens it fails
/// at once. Traces go to stderr with RUST_LOG=natsbridge=debug.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    connection: Connection,

    /// The subject of the service
    #[arg(long)]
    subject: String,

    #[command(flatten)]
    payloads: PayloadArgs,

    #[command(flatten)]
    envelope: EnvelopeArgs,

    /// How long the answer may take
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    wait: Duration,

    /// Write each payload of the answer to a new file in this folder, which is made
    /// [default: write none]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    #[command(flatten)]
    links: LinkArgs,
}

fn main() -> ExitCode {
    let options = Options::parse();
    run(|| request(&options))
}

fn request(args: &Options) -> Result<(), Failure> {
    let data = args.payloads.load()?;
    let options = args.envelope.options(args.connection.timeout);
    let mut out = OutDir::new(args.out.as_deref())?;
    let bridge = args.connection.connect()?;
    let bridge = bridge.with_limits(args.links.limits());
    let mut bridge = bridge.with_receive_options(args.links.options()?);
    let answer = bridge.request(&args.subject, &data, &options, args.wait)?;
    out.begin_message();
    let msg_id = &answer.envelope.msg_id;
    let payloads = (&answer).into_iter().enumerate();
    let stored = payloads
        .map(|(index, (name, payload))| out.store(msg_id, index, name, &payload.serialize()?));
    print_message(&answer.envelope, &stored.collect::<Result<Vec<_>, _>>()?)
}
