//! What every step works with, and how a step is measured and told of.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use core::error::Error;
use core::fmt;

use embedded_nal::SharableStack;
use natsbridge::NatsBridge;
use natsbridge::adapter::FileServer;
use natsbridge::board::{NatsOptions, TransportNatsClient};

use crate::board::{self, CommandLine, hprint, hprintln};
use crate::network::{HOST, Network};
use crate::platform::Board;
use crate::run::HEAP;
use crate::transport::{self, Wire};

/// Anything that ends a run.
pub type Failure = Box<dyn Error>;

/// A condition of the test that is not met. A text that is boxed as an error would do the same, and take
/// 3 KB of flash for tables of the characters that `{:?}` escapes.
pub struct Unmet(pub &'static str);

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Unmet {}

/// Which file server there is shows only on the command line.
pub type Bridge<'b> =
    NatsBridge<TransportNatsClient<Wire<'b>, Board>, Box<dyn FileServer + 'b>, Board>;

/// A part of the test. It says how many messages it sent or received.
pub type Step = fn(&mut Bench<'_>) -> Result<u32, Failure>;

pub struct Bench<'b> {
    pub bridge: Bridge<'b>,
    pub words: &'b CommandLine,
    /// All subjects start so.
    pub subject: String,
    /// Room for what is sent.
    pub sample: &'b mut [u8],
}

impl<'b> Bench<'b> {
    /// Connects to the NATS server.
    pub fn new(
        network: &'b SharableStack<Network>,
        words: &'b CommandLine,
        sample: &'b mut [u8],
    ) -> Result<Self, Failure> {
        let random = || format!("board.{:016x}", board::random_u64());
        let wire = transport::new(network, words)?;
        let nats = TransportNatsClient::over(wire, Board, options(words));
        let broker_url = nats.public_url();
        let bridge = NatsBridge::new(nats, file_server(network, words)?, Board);
        let mut bench = Self {
            bridge: bridge.with_broker_url(broker_url),
            words,
            subject: words.get("subject").map_or_else(random, str::to_string),
            sample,
        };
        bench.run("connect", |bench| {
            bench.bridge.broker().connect()?;
            Ok(0)
        })?;
        Ok(bench)
    }

    /// Runs a step, and prints what it took: time and heap.
    pub fn run(&mut self, name: &str, step: Step) -> Result<(), Failure> {
        HEAP.reset_peak();
        let started_us = board::uptime_us();
        let messages = step(self)?;
        let took_ms = (board::uptime_us() - started_us) / 1000;
        let usage = HEAP.usage();
        hprintln!(
            "step {:<8} ok {:>5} messages {:>6} ms, heap {:>6} B, peak {:>6} B",
            name,
            messages,
            took_ms,
            usage.current,
            usage.peak
        );
        Ok(())
    }
}

fn options(words: &CommandLine) -> NatsOptions {
    let port = words.get("nats").unwrap_or("4222");
    let url = format!("{}://{HOST}:{port}", transport::NATS);
    let options = NatsOptions::new(&url);
    #[cfg(feature = "nkeys")]
    if let Some(seed) = words.get("nkey") {
        return options.nkey(seed);
    }
    options
}

/// The bucket `board` of the NATS server, over a connection of its own.
#[cfg(feature = "jetstream")]
fn file_server<'b>(
    network: &'b SharableStack<Network>,
    words: &CommandLine,
) -> Result<Box<dyn FileServer + 'b>, Failure> {
    let wire = transport::new(network, words)?;
    let nats = TransportNatsClient::over(wire, Board, options(words));
    let store = natsbridge::ObjectStore::new(nats, Board, "board")?;
    let mut store = store.chunk_size(4096).window(3);
    store.create_bucket(&natsbridge::BucketOptions::default())?;
    Ok(Box::new(store))
}

#[cfg(not(feature = "jetstream"))]
fn file_server<'b>(
    network: &'b SharableStack<Network>,
    words: &CommandLine,
) -> Result<Box<dyn FileServer + 'b>, Failure> {
    use natsbridge::board::TransportHttpClient;
    use natsbridge::{HttpPut, NoFileServer};
    let http = || transport::new(network, words).map(|wire| TransportHttpClient::over(wire, Board));
    let url = |port: &str| format!("{}://{HOST}:{port}", transport::HTTP);
    #[cfg(feature = "plik")]
    if let Some(port) = words.get("plik") {
        let plik = natsbridge::Plik::new(http()?, Board, &url(port))?;
        return Ok(Box::new(plik));
    }
    Ok(match words.get("http") {
        Some(port) => Box::new(HttpPut::new(http()?, Board, &url(port))?),
        None => Box::new(NoFileServer),
    })
}

/// Something that the host waits for.
pub fn event(what: &str) {
    hprintln!("event {}", what);
}

/// A condition of the test.
pub fn check(is_met: bool, what: &'static str) -> Result<(), Failure> {
    if is_met {
        Ok(())
    } else {
        Err(Unmet(what).into())
    }
}

/// An error and its causes in one line.
pub fn print_failure(what: &str, failure: &dyn Error) {
    hprint!("{}: {}", what, failure);
    let mut cause = failure.source();
    while let Some(error) = cause {
        hprint!(": {}", error);
        cause = error.source();
    }
    hprintln!();
}
