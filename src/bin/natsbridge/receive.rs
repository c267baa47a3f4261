//! `natsbridge receive`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};
use natsbridge::{
    ConsumeOptions, Envelope, EnvelopeError, Error, Limits, Message, PayloadEntry, PayloadType,
    ReceiveOptions, Received, Transport, log_trace,
};

use crate::connection::{Bridge, Connection, seconds};
use crate::envelope::LinkArgs;
use crate::failure::{Failure, print_status};
use crate::files::{OutDir, remove};
use crate::lines::Lines;
use crate::output::{Format, OutputArgs, Shown, value_of};
use crate::progress::CountedSink;
use crate::service::{Service, Until, serve};

/// Receives messages.
///
/// Prints each as one line of JSON on stdout: {"ok": {.., "payloads": [{"dataname", "payload_type", "transport",
/// "size", "sha256", "file"}]}} or {"error": {"kind", "message", "payload"}}; or a table where stdout is a
/// terminal. Prints `ready` on stderr once it is subscribed. A bad message ends nothing; neither does a lost
/// connection, which is reported and renewed.
#[derive(Args)]
pub(crate) struct ReceiveArgs {
    /// The subject to subscribe to; `*` stands for one token, `>` for all that follow
    #[arg(long, required_unless_present_any = ["stdin", "stream"])]
    subject: Option<String>,

    /// Take the messages that this stream of JetStream has stored, by way of --consumer; --subject then
    /// chooses among them
    #[arg(long, requires = "consumer", conflicts_with_all = ["stdin", "queue"])]
    stream: Option<String>,

    /// The durable pull consumer, which is made if it is not there; several programs may share it
    #[arg(long, value_name = "NAME", requires = "stream")]
    consumer: Option<String>,

    /// Acknowledge each message once it is printed and its payloads are written; without it each is delivered
    /// again, to this program or another
    #[arg(long, requires = "stream")]
    ack: bool,

    /// Read one message a line from standard input, not from a server, until it ends
    #[arg(long, conflicts_with_all = ["subject", "queue", "wait"])]
    stdin: bool,

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
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: Option<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    links: LinkArgs,

    #[command(flatten)]
    connection: Connection,
}

impl ReceiveArgs {
    fn until(&self) -> Until {
        Until {
            count: self.count,
            idle: self.wait,
        }
    }
}

/// Does what the flags say.
pub(crate) fn receive(args: &ReceiveArgs) -> Result<(), Failure> {
    let mut printer = Printer {
        options: args.links.options()?,
        limits: args.links.limits(),
        out: OutDir::new(args.out.as_deref())?.durable(args.ack),
        format: args.output.format(),
    };
    match (&args.stream, &args.consumer, &args.subject) {
        (Some(stream), Some(consumer), _) => from_stream(args, (stream, consumer), &mut printer),
        (_, _, Some(subject)) => from_subject(args, subject, &mut printer),
        _ => from_stdin(args, &mut printer),
    }
}

/// Messages are opened before they are printed: a large file is in memory for as long.
fn from_stream(
    args: &ReceiveArgs,
    (stream, consumer): (&str, &str),
    printer: &mut Printer,
) -> Result<(), Failure> {
    let bridge = args.connection.connect()?;
    let bridge = bridge.with_limits(printer.limits.clone());
    let mut bridge = bridge.with_receive_options(printer.options.clone());
    let mut options = ConsumeOptions::default();
    if let Some(subject) = &args.subject {
        options = options.filter_subject(subject);
    }
    let mut consumer = bridge.consume(stream, consumer, options)?;
    print_status("ready");
    args.until().repeat(|wait| match consumer.next(wait) {
        Ok(None) => Ok(false),
        Ok(Some(delivery)) => {
            printer.received(&delivery)?;
            if args.ack {
                let acknowledged = consumer.ack_confirmed(&delivery);
                acknowledged.or_else(|error| printer.error(error))?;
            }
            Ok(true)
        }
        Err(error) => {
            let is_message = !matches!(error, Error::JetStream(_) | Error::Broker(_));
            printer.error(error)?;
            Ok(is_message)
        }
    })
}

fn from_subject(args: &ReceiveArgs, subject: &str, printer: &mut Printer) -> Result<(), Failure> {
    let bridge = args.connection.connect()?;
    let mut bridge = bridge.with_limits(args.links.limits());
    bridge.subscribe(subject, args.queue.as_deref())?;
    print_status("ready");
    serve(&mut bridge, args.until(), printer)
}

fn from_stdin(args: &ReceiveArgs, printer: &mut Printer) -> Result<(), Failure> {
    let bridge = args.connection.bridge()?;
    let mut bridge = bridge.with_limits(args.links.limits());
    let mut lines = Lines::new(printer.limits.max_message_size);
    let mut received = 0;
    while args.count.is_none_or(|count| received < count) {
        let Some(line) = lines.next()? else {
            break;
        };
        printer.open(&mut bridge, line)?;
        received += 1;
    }
    Ok(())
}

/// Stores the payloads of messages, and prints what they are.
struct Printer {
    options: ReceiveOptions,
    limits: Limits,
    out: OutDir,
    format: Format,
}

impl Printer {
    fn open(&mut self, bridge: &mut Bridge, message: &[u8]) -> Result<(), Failure> {
        let Err(failure) = self.store(bridge, message) else {
            return Ok(());
        };
        let bad_message = failure.downcast::<Error>()?;
        self.format.error(&bad_message)
    }

    /// Stores and prints a message that is in memory.
    fn received(&mut self, received: &Received) -> Result<(), Failure> {
        let stored = self.out.store_all(received)?;
        self.format.message(&received.envelope, &stored)
    }

    /// Prints an error of a consumer, unless that is gone or may not be used: it stays so.
    fn error(&mut self, error: Error) -> Result<(), Failure> {
        match error {
            Error::JetStream(error) if !error.is_transient() => Err(Error::from(error).into()),
            error => self.format.error(&error),
        }
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
                    remove(&stored);
                    return Err(error);
                }
            }
        }
        self.format.message(&envelope, &stored)
    }

    /// A file whose contents need no check goes from the store to the disk, and is never in memory.
    fn store_payload(
        &self,
        bridge: &mut Bridge,
        envelope: &Envelope<'_>,
        entry: &PayloadEntry<'_>,
    ) -> Result<Shown, Failure> {
        let (msg_id, name) = (&envelope.msg_id, &entry.dataname);
        if !is_opaque_link(entry).map_err(Error::from)? {
            let payload = bridge.open(entry, &self.options)?;
            let stored = self
                .out
                .store(msg_id, entry.index, name, &payload.serialize()?)?;
            return Ok(stored.with_value(value_of(&payload)));
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
        self.format.error(error)
    }
}
