//! `natsbridge request`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use crate::connection::{Connection, seconds};
use crate::envelope::{EnvelopeArgs, LinkArgs};
use crate::failure::{Failure, send_failed};
use crate::files::OutDir;
use crate::output::OutputArgs;
use crate::payloads::PayloadArgs;

/// Sends a request and waits for its answer.
///
/// Prints the answer as `receive` prints a message. If nobody is subscribed it fails at once.
#[derive(Args)]
pub(crate) struct RequestArgs {
    /// The subject of the service
    #[arg(long)]
    subject: String,

    #[command(flatten)]
    payloads: PayloadArgs,

    /// How long the answer may take; after that it ends with 3
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    wait: Duration,

    /// Write each payload of the answer to a new file in this folder, which is made [default: write none]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: Option<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    envelope: EnvelopeArgs,

    #[command(flatten)]
    links: LinkArgs,

    #[command(flatten)]
    connection: Connection,
}

/// Does what the flags say.
pub(crate) fn request(args: &RequestArgs) -> Result<(), Failure> {
    let data = args.payloads.load()?;
    let options = args.envelope.options(args.connection.timeout);
    let receive = args.links.options()?;
    let mut out = OutDir::new(args.out.as_deref())?;
    let bridge = args.connection.connect()?;
    let bridge = bridge.with_limits(args.links.limits());
    let mut bridge = bridge.with_receive_options(receive);
    let answer = bridge.request(&args.subject, &data, &options, args.wait);
    let answer = answer.map_err(send_failed)?;
    let stored = out.store_all(&answer)?;
    args.output.format().message(&answer.envelope, &stored)
}
