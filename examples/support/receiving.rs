//! The program `receive`, whatever it is connected by.

use std::io::{self, BufRead, Read};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use natsbridge::{
    Envelope, EnvelopeError, Error, Limits, Message, PayloadEntry, PayloadType, ReceiveOptions,
    Transport, log_trace,
};

use super::cli::{Bridge, Connection, LinkArgs, seconds};
use super::failure::{Failure, tell};
use super::files::{OutDir, Stored};
use super::lines::{print_error, print_message};
use super::progress::CountedSink;
use super::service::{Service, Until, serve};

/// Receives messages and prints each as one line of JSON on stdout: {"ok": ...} or {"error": ...}.
/// A lost connection is an error line too, and is renewed. Traces go to stderr with
/// RUST_LOG=natsbridge=debug.
#[derive(Debug, Parser)]
pub(crate) struct ReceiveArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,

    /// The subject to subscribe to; `*` stands for one token, `>` for all that follow
    #[arg(long, required_unless_present = "stdin")]
    subject: Option<String>,

    /// The queue group, of whose members only one gets each message [default: none]
    #[arg(long, value_name = "GROUP")]
    queue: Option<String>,

    /// End with 0 after so many messages, good or bad [default: never]
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    /// End with 1 if no message comes for so long [default: wait for ever]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    wait: Option<Duration>,

    /// Write each payload to a new file in this folder, which is made [default: write none]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    #[command(flatten)]
    links: LinkArgs,

    /// Take one message a line from standard input, not from a broker, until it ends
    #[arg(long, conflicts_with_all = ["subject", "queue", "wait"])]
    stdin: bool,
}

/// Does what the flags say.
pub(crate) fn receive(args: &ReceiveArgs) -> Result<(), Failure> {
    let mut printer = Printer {
        options: args.links.options()?,
        limits: args.links.limits(),
        out: OutDir::new(args.out.as_deref())?,
    };
    let Some(subject) = &args.subject else {
        return from_stdin(args, &mut printer);
    };
    let bridge = args.connection.connect()?;
    let mut bridge = bridge.with_limits(args.links.limits());
    bridge.subscribe(subject, args.queue.as_deref())?;
    tell("ready");
    let until = Until {
        count: args.count,
        idle: args.wait,
    };
    serve(&mut bridge, until, &mut printer)
}

/// Stores what it is given, and prints what that is.
struct Printer {
    options: ReceiveOptions,
    limits: Limits,
    out: OutDir,
}

impl Printer {
    fn open(&mut self, bridge: &mut Bridge, message: &[u8]) -> Result<(), Failure> {
        let Err(failure) = self.store(bridge, message) else {
            return Ok(());
        };
        let bad_message = failure.downcast::<Error>()?;
        Ok(print_error(&bad_message)?)
    }

    /// One bad payload costs the message.
    fn store(&mut self, bridge: &mut Bridge, message: &[u8]) -> Result<(), Failure> {
        let envelope = Envelope::parse(message, &self.limits).map_err(Error::from)?;
        let count = envelope.payloads.len();
        log_trace(
            &envelope.correlation_id,
            format_args!("received a message of {count} payload(s)"),
        );
        self.out.begin_message();
        let mut stored = Vec::with_capacity(count);
        for entry in &envelope.payloads {
            match self.store_payload(bridge, &envelope, entry) {
                Ok(payload) => stored.push(payload),
                Err(error) => {
                    stored.iter().for_each(Stored::remove);
                    return Err(error);
                }
            }
        }
        print_message(&envelope, &stored)
    }

    /// A file that nobody looks into goes from the file server to the disk, and is never in memory.
    fn store_payload(
        &self,
        bridge: &mut Bridge,
        envelope: &Envelope<'_>,
        entry: &PayloadEntry<'_>,
    ) -> Result<Stored, Failure> {
        let (msg_id, name) = (&envelope.msg_id, &entry.dataname);
        if !is_opaque_link(entry).map_err(Error::from)? {
            let payload = bridge.open(entry, &self.options)?;
            return self
                .out
                .store(msg_id, entry.index, name, &payload.serialize()?);
        }
        log_trace(
            &envelope.correlation_id,
            format_args!("fetching {}", entry.place()),
        );
        let mut file = self.out.create(msg_id, entry.index, name)?;
        let mut sink = CountedSink::new(&mut file, name, entry.size.unwrap_or(0));
        let downloaded = bridge.download(entry, &self.options, &mut sink);
        drop(sink);
        file.finish(downloaded)
    }
}

fn is_opaque_link(entry: &PayloadEntry<'_>) -> Result<bool, EnvelopeError> {
    use PayloadType::{Dictionary, JsonTable, Text};
    let is_opaque = !matches!(entry.payload_type()?, Text | Dictionary | JsonTable);
    Ok(is_opaque && entry.transport()? == Transport::Link)
}

impl Service for Printer {
    fn message(&mut self, bridge: &mut Bridge, message: Message) -> Result<(), Failure> {
        self.open(bridge, &message.payload)
    }

    fn broker_error(&mut self, error: &Error) -> Result<(), Failure> {
        Ok(print_error(error)?)
    }
}

fn from_stdin(args: &ReceiveArgs, printer: &mut Printer) -> Result<(), Failure> {
    let bridge = args.connection.bridge()?;
    let mut bridge = bridge.with_limits(args.links.limits());
    let limit = printer.limits.max_message_size;
    let mut stdin = io::stdin().lock();
    let mut line = Vec::new();
    let mut taken = 0;
    while args.count.is_none_or(|count| taken < count) && next_line(&mut stdin, limit, &mut line)? {
        printer.open(&mut bridge, &line)?;
        taken += 1;
    }
    Ok(())
}

/// Reads a line without its end; false if there is none. Of a line that is too long only so much is
/// kept that the bridge refuses it for its length.
fn next_line(input: &mut impl BufRead, limit: usize, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let read = input
        .by_ref()
        .take(limit as u64 + 1)
        .read_until(b'\n', line)?;
    if line.ends_with(b"\n") {
        line.pop();
    } else if read > limit {
        input.skip_until(b'\n')?;
    }
    Ok(read > 0)
}
