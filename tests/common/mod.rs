//! What several tests need.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod certificates;
pub mod contract;
#[cfg(feature = "nal")]
pub mod faulty_stack;
pub mod files;
pub mod mocks;
pub mod nats_server;
pub mod plik_stand_in;
pub mod proxy;
#[cfg(feature = "nal")]
pub mod tcp_stack;
pub mod web_server;
