//! Adapters for boards: NATS and HTTP over any [`embedded_nal`] TCP stack.
//!
//! A port supplies three things:
//!
//! - **A stack**: a [`TcpClientStack`](embedded_nal::TcpClientStack) for each client. Where one
//!   stack serves both, give each a part of embedded-nal's
//!   [`SharableStack`](embedded_nal::SharableStack) (which does not pass [`Dns`](embedded_nal::Dns)
//!   on), or a lock of your RTOS around it that is held for one call at a time. Turn Nagle's
//!   algorithm off if the stack has it: with it the end of a message waits until the server has
//!   acknowledged its start, which a Linux server does after 40 ms.
//! - **A [`Platform`](crate::adapter::Platform)**: two clocks, a pause, and random bytes. Both clients call
//!   [`wait`](crate::adapter::Platform::wait) wherever nothing moves, with up to 1 ms, and regularly while data
//!   flows: poll the stack in it if it does not poll itself, yield to the RTOS, feed the watchdog.
//!   Each client has a platform of its own; give it a reference, or a `Clone` that costs nothing.
//! - **A heap**: a NATS client takes about 1.3 KiB at its first connect, 0.8 KiB more when it
//!   subscribes, and a received message as it comes; a send takes less than 2 KiB, however long its payloads are. [`NatsOptions`] has
//!   the bounds.
//!
//! Both clients are written over [`Transport`](crate::net::Transport), and [`Nal`] is the one for these
//! stacks: it says what a stack may do, in which order names are looked up and addresses are tried.
//! On every stack each call ends by its time limit, whatever the peer does. What that takes: a connect,
//! a look-up or a close in which the *stack* blocks is beyond reach, and between calls nothing runs. A
//! program that is connected to NATS calls [`next`](crate::adapter::Broker::next) at least once in two minutes,
//! because a server gives up a client that does not answer its pings.
//!
//! Neither client has TLS of its own. `Tls` (feature `board-tls`, experimental) is a
//! [`Transport`](crate::net::Transport) that adds it to another one; or bring one of your own.
//!
//! # Example
//!
//! The same code runs on a host, here over the operating system's stack:
//!
//! ```no_run
//! use core::net::SocketAddr;
//! use core::time::Duration;
//! use natsbridge::board::{HttpClient, NatsClient, NatsOptions};
//! use natsbridge::adapter::{Platform, PlatformError};
//! use natsbridge::{HttpPut, Limits, NatsBridge, Payload, SendOptions};
//! use std_embedded_nal::Stack;
//!
//! struct Board {
//!     started: std::time::Instant,
//! }
//!
//! impl Platform for Board {
//!     fn unix_millis(&self) -> u64 {
//!         0 // from a real-time clock, or from the network
//!     }
//!     fn uptime_millis(&self) -> u64 {
//!         self.started.elapsed().as_millis() as u64
//!     }
//!     fn wait(&self, duration: Duration) {
//!         std::thread::sleep(duration); // polls the stack, or yields to the RTOS
//!     }
//!     fn random(&self, out: &mut [u8]) -> Result<(), PlatformError> {
//!         // From the chip's generator. Ids and inboxes must not be guessed.
//! #       let _ = out;
//!         todo!()
//!     }
//! }
//!
//! let board = Board { started: std::time::Instant::now() };
//! let server = SocketAddr::from(([10, 0, 2, 2], 4222));
//! let nats = NatsClient::new(Stack::default(), &board, NatsOptions::from(server));
//! let http = HttpClient::new(Stack::default(), &board);
//! let files = HttpPut::new(http, &board, "http://10.0.2.2:8080/files")?;
//! let mut bridge = NatsBridge::new(nats, files, &board).with_limits(Limits::micropython());
//!
//! bridge.smartsend("/readings", &[("celsius", Payload::text("21.5"))], &SendOptions::default())?;
//! bridge.subscribe("/commands", None)?;
//! while let Some(mut message) = bridge.next_message(Duration::from_secs(30))? {
//!     // Decoded where it stands: no second copy of the message is in memory.
//!     let received = bridge.receive_in_place(&mut message, &Default::default())?;
//!     println!("{:?}", received.payloads);
//! }
//! # Ok::<(), natsbridge::Error>(())
//! ```

mod http;
mod nal;
mod nats;
#[cfg(feature = "board-tls")]
mod tls;

pub use embedded_nal;

pub use self::http::HttpClient;
pub use self::nal::Nal;
pub use self::nats::{NatsClient, TransportNatsClient};
#[cfg(feature = "board-tls")]
pub use self::tls::{Tls, TlsOptions};
pub use crate::http::TransportHttpClient;
pub use crate::nats::options::NatsOptions;
