//! The board's adapters on a stack that does everything that a stack may do, with a clock that
//! stands still between waits.
#![cfg(feature = "nal")]

#[path = "../common/mod.rs"]
mod common;

mod fake_http;
mod fake_nats;
mod fake_tls;
mod http;
mod nats;
mod nats_cuts;
mod nats_messages;
mod tls;
mod transport;
