//! The tests' stand-in for a Plik server, alone, to try things by hand where there is no Plik.
//!
//! ```text
//! cargo run --example plik_stand_in -- --listen 127.0.0.1:8080
//! ```
//!
//! It keeps everything in memory, and is no server for real use.

#[path = "../tests/common/plik_stand_in/mod.rs"]
#[allow(dead_code, reason = "its hooks are for tests")]
mod plik_stand_in;
mod support;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;

use clap::Parser;

use plik_stand_in::PlikStandIn;
use support::failure::{Failure, print, run, while_doing};

/// Runs a stand-in for a Plik server until it is stopped, and prints its URL on stdout once it
/// listens. Uploads are kept in memory.
#[derive(Debug, Parser)]
struct Options {
    /// The address and port to listen at; port 0 for any that is free
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

fn main() -> ExitCode {
    let options = Options::parse();
    run(|| serve(&options))
}

fn serve(args: &Options) -> Result<(), Failure> {
    let server = PlikStandIn::start_on(args.listen);
    let server =
        server.map_err(|error| while_doing(format!("cannot listen at {}", args.listen), error))?;
    print(&server.url())?;
    loop {
        // It has threads of its own.
        thread::park();
    }
}
