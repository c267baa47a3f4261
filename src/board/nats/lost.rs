//! How a connection is lost.

use core::fmt;

use crate::nats::session::LinkError;
use crate::net::TransportError;

/// Why a connection is of no use any more.
pub(super) enum Lost {
    Transport(TransportError),
    Link(LinkError),
}

impl From<TransportError> for Lost {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

impl From<LinkError> for Lost {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // `{:?}` has the causes.
            Self::Transport(error) => write!(f, "{error:?}"),
            Self::Link(error) => write!(f, "{error}"),
        }
    }
}
