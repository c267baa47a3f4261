//! `natsbridge`, the command line: sends and receives messages of several typed payloads over NATS.
//!
//! One file for each subcommand; the others hold the flags that they share, and what they print.

mod command;
mod connection;
mod envelope;
mod failure;
mod files;
mod generate;
mod hints;
mod inspect;
mod json;
mod lines;
mod output;
mod payloads;
mod progress;
mod receive;
mod request;
mod secrets;
mod send;
mod serve;
mod service;
mod store;
mod text;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Sends and receives messages of several typed payloads over NATS.
///
/// Small payloads travel inside the message; large ones are stored on a file server, and only their URL travels.
/// Traces go to stderr with RUST_LOG=natsbridge=debug.
#[derive(Parser)]
#[command(name = "natsbridge", version, after_help = failure::EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[command(subcommand_precedence_over_arg = true)]
enum Command {
    Send(Box<send::SendArgs>),
    Receive(Box<receive::ReceiveArgs>),
    Request(Box<request::RequestArgs>),
    Serve(Box<serve::ServeArgs>),
    Inspect(inspect::InspectArgs),
    Completions(generate::CompletionsArgs),
    Man(generate::ManArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    failure::run(|| match &cli.command {
        Command::Send(args) => send::send(args),
        Command::Receive(args) => receive::receive(args),
        Command::Request(args) => request::request(args),
        Command::Serve(args) => serve::serve(args),
        Command::Inspect(args) => inspect::inspect(args),
        Command::Completions(args) => generate::completions(args),
        Command::Man(args) => generate::man(args),
    })
}
