//! Adapters for machines with an operating system, and the module-level functions of the family.

#[cfg(any(feature = "tls", feature = "ureq"))]
mod certificates;
mod files;
mod nats;
#[cfg(feature = "nats")]
mod nats_crate;
mod platform;
mod store;
#[cfg(feature = "ureq")]
mod ureq_client;

pub use self::files::FileSink;
pub use self::nats::NatsClient;
#[cfg(feature = "nats")]
pub use self::nats_crate::NatsCrateClient;
pub use self::platform::StdPlatform;
pub use self::store::{Store, StoreOptions};
#[cfg(feature = "ureq")]
pub use self::ureq_client::{UreqClient, UreqOptions};
pub use crate::nats::NatsOptions;
/// The crate behind [`UreqClient`], for [`UreqClient::with_config`].
#[cfg(feature = "ureq")]
pub use ::ureq;

#[cfg(feature = "ureq")]
pub use self::one_shot::{HostBridge, connect, receive, send, smartreceive, smartsend};

#[cfg(feature = "ureq")]
mod one_shot;
