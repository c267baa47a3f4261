//! What every [`Broker`](crate::adapter::Broker), [`FileServer`](crate::adapter::FileServer),
//! [`HttpClient`](crate::adapter::HttpClient) and [`Platform`](crate::adapter::Platform) does, as functions
//! that the tests of an implementation call (feature `contract`). Each panics at the first rule that is
//! broken, as assertions of tests do. The adapters of this crate pass them against real servers.
//!
//! ```toml
//! [dev-dependencies]
//! natsbridge = { version = "0.2", features = ["contract"] }
//! ```
//!
//! ```
//! use natsbridge::memory::{MemoryBroker, MemoryFileServer};
//! use natsbridge::{contract, host::StdPlatform};
//!
//! let broker = MemoryBroker::new();
//! contract::broker(|| broker.clone(), "my-test");
//! contract::file_server(&mut MemoryFileServer::new(), true);
//! contract::platform(&StdPlatform);
//! ```

#![allow(
    clippy::unwrap_used,
    reason = "a failure of what is checked is a failed test"
)]

mod broker;
mod file_server;
mod http_client;
mod platform;
mod support;

pub use self::broker::broker;
pub use self::file_server::file_server;
pub use self::http_client::http_client;
pub use self::platform::platform;
