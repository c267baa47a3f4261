//! `natsbridge send`.

use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use natsbridge::{Error, SendOptions};

use crate::connection::{Bridge, Connection};
use crate::envelope::EnvelopeArgs;
use crate::failure::{Failure, send_failed};
use crate::output::{Format, OutputArgs};
use crate::payloads::{Named, PayloadArgs};

/// Sends a message.
///
/// Prints its envelope as one line of JSON on stdout, or a table where stdout is a terminal. Ends with 0 only if
/// the server has the message, or with --stored a stream.
#[derive(Args)]
pub(crate) struct SendArgs {
    /// The subject to publish on
    #[arg(long)]
    subject: String,

    #[command(flatten)]
    payloads: PayloadArgs,

    /// The subject to answer on; empty if no answer is expected
    #[arg(long, value_name = "SUBJECT", default_value = "")]
    reply_to: String,

    /// Publish nothing, and need no NATS server. Payloads that become links are uploaded all the same:
    /// use `--store none` to send nothing to anybody
    #[arg(long)]
    dry_run: bool,

    /// Do not wait for the confirmation of each message, but once at the end
    #[arg(long, conflicts_with = "dry_run")]
    no_confirm: bool,

    /// Have the message stored by a stream of JetStream: ends with 0 only if it is
    #[arg(long, conflicts_with_all = ["dry_run", "no_confirm"])]
    stored: bool,

    /// The same, and only by this stream
    #[arg(long, value_name = "STREAM", conflicts_with_all = ["dry_run", "no_confirm"])]
    expected_stream: Option<String>,

    /// Send so many times, and print a line for each: {"ok": envelope} or {"error": {..}}
    #[arg(long, value_name = "N")]
    repeat: Option<u64>,

    /// The time from one send to the next, in milliseconds; a send that takes longer delays the next one
    #[arg(long, value_name = "MS", default_value_t = 0, requires = "repeat")]
    interval: u64,

    /// Go on after a send that failed, which then does not change the exit code; without it the first failure
    /// ends the program
    #[arg(long, requires = "repeat")]
    keep_going: bool,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    envelope: EnvelopeArgs,

    #[command(flatten)]
    connection: Connection,
}

/// Does what the flags say.
pub(crate) fn send(args: &SendArgs) -> Result<(), Failure> {
    let data = args.payloads.load()?;
    let format = args.output.format();
    let options = args.options(format);
    let mut bridge = match args.dry_run {
        true => args.connection.bridge()?,
        false => args.connection.connect()?,
    };
    match args.repeat {
        Some(count) => args.send_all(count, &mut bridge, &data, &options, format)?,
        None => {
            let sent = bridge.smartsend(&args.subject, &data, &options);
            format.sent(&sent.map_err(send_failed)?)?;
        }
    }
    if args.no_confirm {
        let wait = args.connection.timeout;
        bridge.flush(wait).map_err(send_failed)?;
    }
    Ok(())
}

impl SendArgs {
    fn options(&self, format: Format) -> SendOptions {
        let options = self.envelope.options(self.connection.timeout);
        let options = match &self.expected_stream {
            Some(stream) => options.expected_stream(stream),
            None => options.stored(self.stored),
        };
        options
            .reply_to(&self.reply_to)
            .is_publish(!self.dry_run)
            .confirm(!self.no_confirm)
            .keep_json(format == Format::Json)
    }

    fn send_all(
        &self,
        count: u64,
        bridge: &mut Bridge,
        data: &[Named<'_>],
        options: &SendOptions,
        format: Format,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        for number in 0..count {
            let due = Duration::from_millis(self.interval.saturating_mul(number));
            thread::sleep(due.saturating_sub(started.elapsed()));
            match bridge.smartsend(&self.subject, data, options) {
                Ok(sent) => format.one_sent(&sent)?,
                Err(error) => self.failed(error, format)?,
            }
        }
        Ok(())
    }

    fn failed(&self, error: Error, format: Format) -> Result<(), Failure> {
        // As text it would be printed twice.
        if self.keep_going || format == Format::Json {
            format.error(&error)?;
        }
        match self.keep_going {
            true => Ok(()),
            false => Err(send_failed(error)),
        }
    }
}
