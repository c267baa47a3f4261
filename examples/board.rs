//! `send` and `receive` by the adapters for boards, over the operating system's own TCP stack: to try
//! and to debug without a board what runs on one.
//!
//! ```text
//! cargo run --features nal --example board -- receive --subject /chat --store none
//! cargo run --features nal --example board -- send --subject /chat --store none --text note=hello
//! ```
//!
//! Flags and output are those of the examples `send` and `receive`, but for one broker without TLS,
//! and a file server without TLS. A send takes some 40 ms longer than on a stack whose Nagle
//! algorithm is off, which std-embedded-nal cannot do.

mod support;

use std::process::ExitCode;

use clap::Parser;
use natsbridge::Limits;
use natsbridge::adapter::{Broker, BrokerError};
use natsbridge::board::{HttpClient, NatsClient, NatsOptions};
use natsbridge::host::StdPlatform;
use std_embedded_nal::Stack;

use support::cli::{Adapters, Connection};
use support::failure::run;
use support::receiving::{ReceiveArgs, receive};
use support::sending::{SendArgs, send};

/// Sends and receives by the adapters for boards.
#[derive(Debug, Parser)]
enum Program {
    /// As the example `send`
    Send(SendArgs),
    /// As the example `receive`
    Receive(ReceiveArgs),
}

const BOARD: Adapters = Adapters {
    broker,
    http: || Box::new(HttpClient::new(Stack, StdPlatform).with_dns()),
};

fn main() -> ExitCode {
    let mut program = Program::parse();
    match &mut program {
        Program::Send(args) => args.connection.by = Some(BOARD),
        Program::Receive(args) => args.connection.by = Some(BOARD),
    }
    run(|| match &program {
        Program::Send(args) => send(args),
        Program::Receive(args) => receive(args),
    })
}

fn broker(
    connection: &Connection,
    connect: bool,
) -> Result<(Box<dyn Broker>, String), BrokerError> {
    let options = NatsOptions::new(&connection.broker)
        .connect_timeout(connection.timeout)
        .timeout(connection.timeout)
        .max_message_size(Limits::default().max_message_size);
    let mut broker = NatsClient::new(Stack, StdPlatform, options).with_dns();
    if connect {
        broker.connect()?;
    }
    let url = broker.public_url();
    Ok((Box::new(broker), url))
}
