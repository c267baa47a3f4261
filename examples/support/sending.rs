//! The program `send`, whatever it is connected by.

use clap::Parser;

use super::cli::{Connection, EnvelopeArgs};
use super::failure::{Failure, print};
use super::payloads::PayloadArgs;

/// Sends one message and prints its envelope as one line of JSON on stdout. Traces go to stderr
/// with RUST_LOG=natsbridge=debug.
#[derive(Debug, Parser)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,

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

/// Does what the flags say.
pub(crate) fn send(args: &SendArgs) -> Result<(), Failure> {
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
