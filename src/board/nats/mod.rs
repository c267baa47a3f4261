//! NATS over a [`Transport`](crate::net::Transport), and over the stack of a board.

mod client;
mod connect;
mod exchange;
mod lost;
mod rounds;
mod wire;

pub use self::client::{NatsClient, TransportNatsClient};
