//! How a bucket is to be.

use alloc::format;
use core::time::Duration;

use super::link::stream_of;
use crate::nats::jetstream::{Discard, Storage, StreamOptions};

/// A bucket that is to exist. What is not set is the server's default, or what an existing bucket has.
///
/// ```
/// use std::time::Duration;
/// use natsbridge::{BucketOptions, Storage};
///
/// let options = BucketOptions::default()
///     .replicas(3)
///     .ttl(Duration::from_secs(86_400))
///     .max_bytes(10 << 30)
///     .storage(Storage::File);
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BucketOptions {
    /// On how many servers of a cluster objects are kept, 1 to 5. 0 is the server's default: 1.
    pub replicas: Option<u8>,
    /// How long an object is kept. Unlimited by default; files of messages that nobody has read are
    /// removed by it.
    pub ttl: Option<Duration>,
    /// Where objects are kept. The server's default is [`Storage::File`].
    pub storage: Option<Storage>,
    /// The most bytes that all objects may take. 0 is the server's default: unlimited.
    pub max_bytes: Option<u64>,
}

impl BucketOptions {
    /// Sets [`replicas`](Self::replicas).
    #[must_use]
    pub fn replicas(mut self, replicas: u8) -> Self {
        self.replicas = Some(replicas);
        self
    }

    /// Sets [`ttl`](Self::ttl).
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets [`storage`](Self::storage).
    #[must_use]
    pub fn storage(mut self, storage: Storage) -> Self {
        self.storage = Some(storage);
        self
    }

    /// Sets [`max_bytes`](Self::max_bytes).
    #[must_use]
    pub fn max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = Some(max_bytes);
        self
    }

    /// The stream that a bucket is.
    pub(super) fn stream(&self, bucket: &str) -> StreamOptions {
        let mut stream = StreamOptions::new(stream_of(bucket))
            .subject(format!("$O.{bucket}.C.>"))
            .subject(format!("$O.{bucket}.M.>"))
            .discard(Discard::New)
            .flag("allow_rollup_hdrs", true)
            .flag_if_created("allow_direct", true);
        if let Some(replicas) = self.replicas {
            stream = stream.replicas(replicas);
        }
        if let Some(ttl) = self.ttl {
            stream = stream.max_age(ttl);
        }
        if let Some(storage) = self.storage {
            stream = stream.storage(storage);
        }
        if let Some(max_bytes) = self.max_bytes {
            stream = stream.max_bytes(max_bytes);
        }
        stream
    }
}
