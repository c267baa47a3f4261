//! The program `send`, whatever it is connected by.

use std::time::{Duration, Instant};

use clap::Parser;

use super::cli::{Connection, EnvelopeArgs};
use super::failure::{Failure, print};
use super::lines::{print_error, print_sent};
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

    /// Send so many times, and print a line for each: {"ok": envelope} or {"error": {..}}
    #[arg(long, value_name = "N")]
    repeat: Option<u64>,

    /// The time from one send to the next, in milliseconds; a send that takes longer delays the next one
    #[arg(long, value_name = "MS", default_value_t = 0, requires = "repeat")]
    interval: u64,

    /// Go on after a send that failed; without it the first failure ends the program
    #[arg(long, requires = "repeat")]
    keep_going: bool,
}

/// Does what the flags say.
pub(crate) fn send(args: &SendArgs) -> Result<(), Failure> {
    let data = args.payloads.load()?;
    let options = args.envelope.options(args.connection.timeout);
    let options = options
        .reply_to(&args.reply_to)
        .is_publish(!args.dry_run)
        .keep_json(true);
    let mut bridge = if args.dry_run {
        args.connection.bridge()?
    } else {
        args.connection.connect()?
    };
    let Some(repeat) = args.repeat else {
        let sent = bridge.smartsend(&args.subject, &data, &options)?;
        return Ok(print(sent.json().unwrap_or_default())?);
    };
    let started = Instant::now();
    for number in 0..repeat {
        let due = Duration::from_millis(args.interval.saturating_mul(number));
        std::thread::sleep(due.saturating_sub(started.elapsed()));
        match bridge.smartsend(&args.subject, &data, &options) {
            Ok(sent) => print_sent(&sent)?,
            Err(error) => {
                print_error(&error)?;
                if !args.keep_going {
                    return Err(error.into());
                }
            }
        }
    }
    Ok(())
}
