//! What several tests need.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod certificates;
#[cfg(feature = "nal")]
pub mod faulty_stack;
pub mod files;
pub mod mocks;
pub mod nats_server;
pub mod plik_stand_in;
pub mod proxy;
#[cfg(feature = "s3")]
pub mod s3_server;
pub mod scripted_http;
#[cfg(feature = "nal")]
pub mod tcp_stack;
#[cfg(all(feature = "nal", feature = "tls"))]
pub mod tls_transport;
pub mod trust;
pub mod web_server;

use std::time::Duration;

/// Longer than anything takes that works.
pub const LONG: Duration = Duration::from_secs(10);

/// Bytes that differ from place to place.
pub fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 167 + (i >> 8)) as u8).collect()
}
