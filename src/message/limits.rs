//! Limits of messages and payloads.

use crate::nats::DEFAULT_MAX_PAYLOAD;

/// Payloads of at least this size are sent as links: 100,000 serialized bytes.
pub const DEFAULT_SIZE_THRESHOLD: usize = 100_000;
/// The hard limit of [`Limits::micropython`]: 50,000 serialized bytes a payload.
pub const MAX_PAYLOAD_SIZE: usize = 50_000;

/// Limits of sends and receives. Sizes are in bytes. The guide has a table of [all limits](crate::guide::limits).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Payloads of at least this many serialized bytes are sent as links. Default 100,000.
    pub size_threshold: usize,
    /// A payload of more serialized bytes is refused. Default: no limit.
    pub max_payload_size: Option<u64>,
    /// A received message of more bytes is refused. Default 67,108,864.
    pub max_message_size: usize,
    /// A received message of more payloads is refused, and so is a send. Default 10,000. Whatever
    /// is set, a received message has at most 400 payloads and one for every 136 of its bytes.
    pub max_payloads: usize,
    /// A payload's name, or another text field, of more bytes is refused, sent or received. Default 1,024.
    /// `send_to`, `reply_to` and `broker_url` may have 2,000 bytes ([`MAX_SUBJECT_LEN`](crate::adapter::MAX_SUBJECT_LEN)) in any case.
    pub max_name_len: usize,
    /// A linked file of more bytes is refused, before and while it is read. Default 1,073,741,824: enough
    /// for what [`download`](crate::NatsBridge::download) writes into a sink, where memory does not grow
    /// with it.
    pub max_download_size: u64,
    /// A linked file of more bytes, or of more than [`max_download_size`](Self::max_download_size), is not
    /// opened into memory, as `smartreceive`, `next` and `open` do. Default 67,108,864, the length of the
    /// longest message: a link makes a receiver take no more memory than a message could.
    pub max_opened_size: u64,
    /// If the files behind one message have more bytes in total, `smartreceive` and `next` refuse it: before
    /// the first byte, by the sizes that it announces, and while they are read. Default 268,435,456, four of
    /// the largest: a message of 6 KB can name thousands.
    pub max_total_download_size: u64,
}

impl Default for Limits {
    /// The limits for hosts. They do not depend on a cargo feature.
    fn default() -> Self {
        Self {
            size_threshold: DEFAULT_SIZE_THRESHOLD,
            max_payload_size: None,
            max_message_size: 64 << 20,
            max_payloads: 10_000,
            max_name_len: 1024,
            max_download_size: 1 << 30,
            max_opened_size: 64 << 20,
            max_total_download_size: 256 << 20,
        }
    }
}

impl Limits {
    /// The limits of the MicroPython member: no payload over 50,000 bytes, sent or downloaded; so
    /// with its threshold of 100,000 no payload becomes a link. Messages up to 1,048,576 bytes, of
    /// up to 64 payloads; files of as many bytes in total.
    pub fn micropython() -> Self {
        Self {
            max_payload_size: Some(MAX_PAYLOAD_SIZE as u64),
            max_message_size: DEFAULT_MAX_PAYLOAD,
            max_payloads: 64,
            max_download_size: MAX_PAYLOAD_SIZE as u64,
            max_total_download_size: DEFAULT_MAX_PAYLOAD as u64,
            ..Self::default()
        }
    }

    /// Sets [`size_threshold`](Self::size_threshold), in bytes.
    #[must_use]
    pub fn size_threshold(mut self, size_threshold: usize) -> Self {
        self.size_threshold = size_threshold;
        self
    }

    /// Sets [`max_payload_size`](Self::max_payload_size), in bytes.
    #[must_use]
    pub fn max_payload_size(mut self, max_payload_size: u64) -> Self {
        self.max_payload_size = Some(max_payload_size);
        self
    }

    /// Sets [`max_message_size`](Self::max_message_size), in bytes.
    #[must_use]
    pub fn max_message_size(mut self, max_message_size: usize) -> Self {
        self.max_message_size = max_message_size;
        self
    }

    /// Sets [`max_payloads`](Self::max_payloads).
    #[must_use]
    pub fn max_payloads(mut self, max_payloads: usize) -> Self {
        self.max_payloads = max_payloads;
        self
    }

    /// Sets [`max_name_len`](Self::max_name_len), in bytes.
    #[must_use]
    pub fn max_name_len(mut self, max_name_len: usize) -> Self {
        self.max_name_len = max_name_len;
        self
    }

    /// Sets [`max_download_size`](Self::max_download_size), in bytes.
    #[must_use]
    pub fn max_download_size(mut self, max_download_size: u64) -> Self {
        self.max_download_size = max_download_size;
        self
    }

    /// Sets [`max_opened_size`](Self::max_opened_size), in bytes.
    #[must_use]
    pub fn max_opened_size(mut self, max_opened_size: u64) -> Self {
        self.max_opened_size = max_opened_size;
        self
    }

    /// Sets [`max_total_download_size`](Self::max_total_download_size), in bytes.
    #[must_use]
    pub fn max_total_download_size(mut self, max_total_download_size: u64) -> Self {
        self.max_total_download_size = max_total_download_size;
        self
    }
}
