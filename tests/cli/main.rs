//! The program `natsbridge`: each subcommand against a real nats-server, and a web server or the stand-in for
//! Plik.

#[path = "../common/mod.rs"]
mod common;

mod connection;
mod flags;
mod inspect;
mod jetstream;
mod program;
mod receive;
mod request;
mod s3;
mod send;
