//! Options of receives.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use crate::file_server::LinkPolicy;
use crate::file_server::retry::Pause;
use crate::http::url::RedactedUrl;

/// Options of `smartreceive`, named as in the other members.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiveOptions {
    /// Attempts at a download in all, the first one included. Default 3.
    pub max_retries: u32,
    /// The delay before the first retry. Each further one is twice as long, minus up to 50 % jitter. Default 100 ms.
    pub base_delay: Duration,
    /// The longest delay. Default 1000 ms. A longer `Retry-After` of a file server (in seconds) is obeyed up to
    /// 30 s; after one over 30 s no retry is made.
    pub max_delay: Duration,
    /// Which URLs may be fetched. Default: only the configured file server's.
    pub link_policy: LinkPolicy,
    /// The file server of the free functions, a URL as [`host::Store`](crate::host::Store) has it; a bridge
    /// has its own. Default [`DEFAULT_FILESERVER_URL`](crate::DEFAULT_FILESERVER_URL).
    pub fileserver_url: Option<String>,
    /// How long it may take to open a message or a payload, or to download one. Default `None`: the sum of its
    /// downloads' limits, with up to [`max_retries`](Self::max_retries) attempts each. When it is over, no download
    /// or retry begins; an attempt that has begun keeps its own limit.
    pub total_timeout: Option<Duration>,
}

impl Default for ReceiveOptions {
    fn default() -> Self {
        Self {
            max_retries: 3,
            base_delay: Duration::from_millis(100),
            max_delay: Duration::from_millis(1000),
            link_policy: LinkPolicy::default(),
            fileserver_url: None,
            total_timeout: None,
        }
    }
}

impl ReceiveOptions {
    /// `ends` is the deadline after which no attempt begins, in milliseconds of the platform's uptime.
    pub(crate) fn pause(&self, ends: Option<u64>) -> Pause {
        Pause {
            attempts: self.max_retries,
            base_delay: self.base_delay,
            max_delay: self.max_delay,
            ends,
        }
    }

    /// Sets [`max_retries`](Self::max_retries), attempts in all.
    #[must_use]
    pub fn max_retries(mut self, max_retries: u32) -> Self {
        self.max_retries = max_retries;
        self
    }

    /// Sets [`base_delay`](Self::base_delay).
    #[must_use]
    pub fn base_delay(mut self, base_delay: Duration) -> Self {
        self.base_delay = base_delay;
        self
    }

    /// Sets [`max_delay`](Self::max_delay).
    #[must_use]
    pub fn max_delay(mut self, max_delay: Duration) -> Self {
        self.max_delay = max_delay;
        self
    }

    /// Sets [`link_policy`](Self::link_policy).
    #[must_use]
    pub fn link_policy(mut self, link_policy: LinkPolicy) -> Self {
        self.link_policy = link_policy;
        self
    }

    /// Sets [`fileserver_url`](Self::fileserver_url).
    #[must_use]
    pub fn fileserver_url(mut self, fileserver_url: impl Into<String>) -> Self {
        self.fileserver_url = Some(fileserver_url.into());
        self
    }

    /// Sets [`total_timeout`](Self::total_timeout).
    #[must_use]
    pub fn total_timeout(mut self, total_timeout: Duration) -> Self {
        self.total_timeout = Some(total_timeout);
        self
    }
}

/// Prints URLs without user name, password and token.
impl fmt::Debug for ReceiveOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Destructured, so that a new field cannot be forgotten.
        let Self {
            max_retries,
            base_delay,
            max_delay,
            link_policy,
            fileserver_url,
            total_timeout,
        } = self;
        f.debug_struct("ReceiveOptions")
            .field("max_retries", max_retries)
            .field("base_delay", base_delay)
            .field("max_delay", max_delay)
            .field("link_policy", link_policy)
            .field(
                "fileserver_url",
                &fileserver_url.as_deref().map(RedactedUrl),
            )
            .field("total_timeout", total_timeout)
            .finish()
    }
}
