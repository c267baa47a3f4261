//! Adapters for boards: NATS and HTTP over any [`embedded_nal`] TCP stack.
//!
//! A port supplies three things:
//!
//! - **A stack**: a [`TcpClientStack`](embedded_nal::TcpClientStack) for each client. Where one
//!   stack serves both, give each a part of embedded-nal's
//!   [`SharableStack`](embedded_nal::SharableStack) (which does not pass [`Dns`](embedded_nal::Dns)
//!   on), or a lock of your RTOS around it that is held for one call at a time. Turn Nagle's
//!   algorithm off if the stack has it: with it a confirmation waits for the server's delayed
//!   acknowledgement, 40 ms.
//! - **A [`Platform`](crate::Platform)**: two clocks, a pause, and random bytes. Both clients call
//!   [`wait`](crate::Platform::wait) with 1 ms wherever nothing moves: poll the stack in it if it
//!   does not poll itself, or yield to the RTOS.
//! - **A heap**: a NATS client takes about 1.5 KiB at its first connect and a received message as
//!   it comes; a send takes less than 2 KiB, however long its payloads are. [`NatsOptions`] has
//!   the bounds.
//!
//! Stacks may say "nothing yet" with `WouldBlock` or with `Ok(0)`. On both kinds every call ends by
//! its time limit, whatever the peer does. What that takes: a connect, a look-up or a close in
//! which the *stack* blocks is beyond reach, and between calls nothing runs. A program that is
//! connected to NATS calls [`next`](crate::Broker::next) at least once in two minutes, because a
//! server gives up a client that does not answer its pings.
//!
//! Neither client has TLS.
//!
//! # Example
//!
//! The same code runs on a host, here over the operating system's stack:
//!
//! ```no_run
//! use core::net::SocketAddr;
//! use core::time::Duration;
//! use natsbridge::board::{HttpClient, NatsClient, NatsOptions};
//! use natsbridge::{HttpPut, Limits, NatsBridge, Payload, Platform, PlatformError, SendOptions};
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
//!     let received = bridge.smartreceive(&mut message, &Default::default())?;
//!     println!("{:?}", received.payloads);
//! }
//! # Ok::<(), natsbridge::Error>(())
//! ```

pub(crate) mod nal;
mod nats;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

pub use embedded_nal;

pub use self::nats::{NatsClient, NatsOptions};
pub use crate::http::client::HttpClient;

/// The longest text of an error, in bytes.
const MAX_TEXT_LEN: usize = 512;

/// A text for an error. Where there is no memory for it, it ends early: lack of memory is an error
/// here, and to tell it must not be the end.
pub(crate) fn text(words: fmt::Arguments<'_>) -> String {
    let mut text = Bounded(String::new());
    // What did not fit is left out.
    text.write_fmt(words).ok();
    text.0
}

struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = MAX_TEXT_LEN - self.0.len();
        let mut starts = (0..=part.len().min(room)).rev();
        let start = starts.find_map(|len| part.get(..len)).unwrap_or_default();
        self.0.try_reserve(start.len()).map_err(|_| fmt::Error)?;
        self.0.push_str(start);
        Ok(())
    }
}

/// Makes room for `len` more bytes, or says that there is none.
pub(crate) fn reserve(bytes: &mut Vec<u8>, len: usize) -> Result<(), usize> {
    bytes.try_reserve_exact(len).map_err(|_| len)
}

/// A copy of a text, or the length for which there is no memory.
fn copy(text: &str) -> Result<String, usize> {
    let mut copy = String::new();
    copy.try_reserve_exact(text.len()).map_err(|_| text.len())?;
    copy.push_str(text);
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_end_early_and_whole_characters_stay() {
        let at_limit = "x".repeat(MAX_TEXT_LEN);
        assert_eq!(text(format_args!("{at_limit}")), at_limit);
        assert_eq!(text(format_args!("{at_limit}y")), at_limit);
        let odd = "\u{e9}".repeat(MAX_TEXT_LEN);
        assert_eq!(text(format_args!("x{odd}")).len(), MAX_TEXT_LEN - 1);
    }
}
