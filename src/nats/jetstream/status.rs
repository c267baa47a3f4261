//! What a status message of the server says about a fetch.

use super::error::JetStreamErrorKind as Kind;

/// What a status of the server means for a fetch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Status {
    Heartbeat,
    /// Nothing more comes, as was to be expected.
    End,
    /// Nothing more comes for now: the cluster moves, or too many are waiting.
    EarlyEnd,
    /// The consumer may be gone.
    Check,
    Fatal(Kind),
}

impl Status {
    pub(super) fn of(code: u16, description: &str) -> Self {
        let refused = |code| Self::Fatal(Kind::Refused { code, err_code: 0 });
        match (code, description) {
            (100, _) => Self::Heartbeat,
            (404 | 408, _) => Self::End,
            (409, "Message Size Exceeds MaxBytes") => Self::End,
            (409, "Consumer Deleted") | (503, _) => Self::Check,
            (409, "Consumer is push based") => Self::Fatal(Kind::Conflict),
            (409, text) if text.starts_with("Exceeded MaxRequest") => refused(409),
            (400, _) => refused(400),
            _ => Self::EarlyEnd,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_ends_a_fetch_or_does_not() {
        let refused = |code| Status::Fatal(Kind::Refused { code, err_code: 0 });
        for (code, description, status) in [
            (100, "Idle Heartbeat", Status::Heartbeat),
            (404, "No Messages", Status::End),
            (408, "Request Timeout", Status::End),
            (409, "Message Size Exceeds MaxBytes", Status::End),
            (409, "Leadership Change", Status::EarlyEnd),
            (409, "Server Shutdown", Status::EarlyEnd),
            (409, "Exceeded MaxWaiting", Status::EarlyEnd),
            (409, "Exceeded MaxRequestBatch of 1", refused(409)),
            (409, "Consumer Deleted", Status::Check),
            (409, "Consumer is push based", Status::Fatal(Kind::Conflict)),
            (400, "Bad Request", refused(400)),
            (503, "", Status::Check),
            (999, "", Status::EarlyEnd),
        ] {
            assert_eq!(
                Status::of(code, description),
                status,
                "{code} {description}"
            );
        }
    }
}
