//! The program `receive`, whatever it is connected by.

use std::io::{self, BufRead, Read};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use natsbridge::{Error, Incoming, Limits, Message, ReceiveOptions};

use super::cli::{Bridge, Connection, LinkArgs, seconds};
use super::failure::{Failure, tell};
use super::files::OutDir;
use super::lines::{print_error, print_received};
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
        out: OutDir::new(args.out.as_deref())?,
    };
    let Some(subject) = &args.subject else {
        return from_stdin(args, &mut printer);
    };
    let mut bridge = args.connection.connect()?;
    bridge.subscribe(subject, args.queue.as_deref())?;
    tell("ready");
    let until = Until {
        count: args.count,
        idle: args.wait,
    };
    serve(&mut bridge, until, &mut printer)
}

/// Prints what it is given.
struct Printer {
    options: ReceiveOptions,
    out: OutDir,
}

impl Printer {
    fn open<'m>(
        &mut self,
        bridge: &mut Bridge,
        message: impl Into<Incoming<'m>>,
    ) -> Result<(), Failure> {
        match bridge.smartreceive(message, &self.options) {
            Ok(received) => print_received(&received, &mut self.out),
            Err(error) => Ok(print_error(&error)?),
        }
    }
}

impl Service for Printer {
    fn message(&mut self, bridge: &mut Bridge, mut message: Message) -> Result<(), Failure> {
        self.open(bridge, &mut message)
    }

    fn broker_error(&mut self, error: &Error) -> Result<(), Failure> {
        Ok(print_error(error)?)
    }
}

fn from_stdin(args: &ReceiveArgs, printer: &mut Printer) -> Result<(), Failure> {
    let mut bridge = args.connection.bridge()?;
    let limit = Limits::default().max_message_size;
    let mut stdin = io::stdin().lock();
    let mut line = Vec::new();
    let mut taken = 0;
    while args.count.is_none_or(|count| taken < count) && next_line(&mut stdin, limit, &mut line)? {
        printer.open(&mut bridge, line.as_mut_slice())?;
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
