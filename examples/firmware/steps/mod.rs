//! The steps of the test by their names on the command line.
//!
//! | name | what it does | what the host must do |
//! |---|---|---|
//! | `direct` | each of the nine types from 0 to 50,000 bytes, out and back | |
//! | `soak` | `rounds` (100) messages of `bytes` (50,000), out and back | |
//! | `send` | `rounds` (100) messages of `bytes` (50,000), out only | may receive at `SUBJECT.send` |
//! | `link` | `bytes` (1,000,000), made as they are uploaded, checked as they are downloaded | |
//! | `up` | one message with each of the nine types, of `bytes` (1,000) | receives at `SUBJECT.up` |
//! | `down` | the same the other way | sends to `SUBJECT.down` after the event `listening` |
//! | `request` | `rounds` (10) requests, whose answers bring the payloads back | echoes at `SUBJECT.echo` |
//! | `answer` | `rounds` (10) requests answered with their own payloads | asks at `SUBJECT.answer` after `answering` |
//! | `restart` | goes on after the server was away | see [`restart`] |
//! | `stored` | a message that a stream stores, and that a durable consumer takes and acknowledges: feature `jetstream` | |
//! | `speed` | a message of `bytes` (10,000) made and read `rounds` (20) times, beside base64 alone: feature `speed` | counts instructions: `ICOUNT=0` |

mod direct;
mod exchange;
mod link;
mod request;
mod restart;
#[cfg(feature = "speed")]
mod speed;
#[cfg(feature = "jetstream")]
mod stored;

use core::time::Duration;

use crate::bench::{Failure, Step, Unmet};

/// How long the other side may take. Longer than any test should.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn named(name: &str) -> Result<Step, Failure> {
    Ok(match name {
        "direct" => direct::direct,
        "soak" => direct::soak,
        "send" => direct::send,
        "link" => link::link,
        "up" => exchange::up,
        "down" => exchange::down,
        "request" => request::request,
        "answer" => request::answer,
        "restart" => restart::restart,
        #[cfg(feature = "speed")]
        "speed" => speed::speed,
        #[cfg(feature = "jetstream")]
        "stored" => stored::stored,
        _ => return Err(Unmet("steps=: there is no step of that name").into()),
    })
}
