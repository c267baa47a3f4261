//! What a message is to others.

use crate::message::Envelope;

/// It decides on some fields of the envelope instead of the options, which need not be cloned so.
#[derive(Clone, Copy)]
pub(super) enum Role<'a> {
    Message,
    /// Its answer is to go to this inbox.
    Request {
        inbox: &'a str,
    },
    Reply {
        request: &'a Envelope<'a>,
    },
}

impl<'a> Role<'a> {
    pub(super) fn inbox(self) -> Option<&'a str> {
        match self {
            Self::Request { inbox } => Some(inbox),
            _ => None,
        }
    }
}
