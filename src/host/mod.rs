//! Adapters for machines with an operating system, and the module-level functions of the family.

mod files;
mod nats;
#[cfg(feature = "nats")]
mod nats_crate;
mod platform;
#[cfg(feature = "ureq")]
mod ureq;

pub use self::files::{FileSink, FileSource};
pub use self::nats::NatsClient;
#[cfg(feature = "nats")]
pub use self::nats_crate::NatsCrateClient;
pub use self::platform::StdPlatform;
#[cfg(feature = "ureq")]
pub use self::ureq::UreqClient;
pub use crate::nats::NatsOptions;

#[cfg(feature = "ureq")]
pub use self::one_shot::{HostBridge, connect, receive, send, smartreceive, smartsend};

#[cfg(feature = "ureq")]
mod one_shot;
