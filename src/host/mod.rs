//! Adapters for machines with an operating system, and the module-level functions of the family.

mod files;
#[cfg(feature = "nats")]
mod nats;
mod platform;
#[cfg(feature = "ureq")]
mod ureq_client;

pub use self::files::{FileSink, FileSource};
#[cfg(feature = "nats")]
pub use self::nats::{NatsClient, NatsOptions};
pub use self::platform::StdPlatform;
#[cfg(feature = "ureq")]
pub use self::ureq_client::{UreqClient, UreqOptions};
/// The crate behind [`UreqClient`], for [`UreqClient::with_config`].
#[cfg(feature = "ureq")]
pub use ::ureq;

#[cfg(all(feature = "nats", feature = "ureq"))]
pub use self::one_shot::{HostBridge, connect, receive, send, smartreceive, smartsend};

#[cfg(all(feature = "nats", feature = "ureq"))]
mod one_shot;
