//! A service that answers every request with the payloads that it came with.
//!
//! ```text
//! cargo run --example echo -- --subject /echo --queue workers
//! ```

mod support;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use natsbridge::{Error, Message, ReceiveOptions, SendOptions};

use support::cli::{Bridge, Connection, LinkArgs};
use support::failure::{Failure, report, run, tell};
use support::service::{Service, Until, serve};

/// Answers every request with its own payloads. A bad one is reported on stderr and ends nothing.
/// Traces go to stderr with RUST_LOG=natsbridge=debug.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    connection: Connection,

    /// The subject to listen to; `*` stands for one token, `>` for all that follow
    #[arg(long)]
    subject: String,

    /// The queue group, of whose members only one gets each request [default: none]
    #[arg(long, value_name = "GROUP")]
    queue: Option<String>,

    /// End with 0 after so many requests, good or bad [default: never]
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    /// A payload of this many bytes or more is answered by way of the file server
    #[arg(long, value_name = "BYTES", default_value_t = natsbridge::DEFAULT_SIZE_THRESHOLD)]
    threshold: usize,

    #[command(flatten)]
    links: LinkArgs,
}

fn main() -> ExitCode {
    let options = Options::parse();
    run(|| echo(&options))
}

fn echo(args: &Options) -> Result<(), Failure> {
    let mut service = Echo {
        receive: args.links.options()?,
        send: answer_options(args.threshold, args.connection.timeout),
    };
    let bridge = args.connection.connect()?;
    let mut bridge = bridge.with_limits(args.links.limits());
    bridge.subscribe(&args.subject, args.queue.as_deref())?;
    tell("ready");
    let until = Until {
        count: args.count,
        idle: None,
    };
    serve(&mut bridge, until, &mut service)
}

fn answer_options(threshold: usize, timeout: Duration) -> SendOptions {
    let options = SendOptions::default().sender_name("echo");
    options.size_threshold(threshold).timeout(timeout)
}

struct Echo {
    receive: ReceiveOptions,
    send: SendOptions,
}

impl Echo {
    fn answer(&self, bridge: &mut Bridge, message: Message) -> Result<(), Error> {
        let request = bridge.smartreceive(message, &self.receive)?;
        bridge.reply(&request, &request.list(), &self.send)?;
        Ok(())
    }
}

impl Service for Echo {
    fn message(&mut self, bridge: &mut Bridge, message: Message) -> Result<(), Failure> {
        if let Err(error) = self.answer(bridge, message) {
            report(&error);
        }
        Ok(())
    }

    fn broker_error(&mut self, error: &Error) -> Result<(), Failure> {
        report(error);
        Ok(())
    }
}
