//! Why a connection could not be made.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use std::io;

#[cfg(feature = "tls")]
use crate::host::certificates::is_about_certificates;
use crate::nats::{BrokerError, BrokerErrorKind as Kind};

pub(super) const NO_ANSWER: &str = "no answer in time";

/// Why no server could be connected to: the text names each of them.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    kind: Kind,
    message: String,
}

impl Failure {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind, message }
    }

    pub(super) fn to_error(&self) -> BrokerError {
        BrokerError::new(self.kind, self.message.clone()).not_sent()
    }

    pub(super) fn is_transient(&self) -> bool {
        self.kind == Kind::Unreachable
    }
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}

/// A time limit or a broken connection is told apart from a certificate that is not accepted.
pub(super) fn io_failure(error: &io::Error) -> Failure {
    #[cfg(feature = "tls")]
    if let Some(error) = error.get_ref().and_then(|error| error.downcast_ref()) {
        return tls_failure(error);
    }
    let message = match error.kind() {
        io::ErrorKind::TimedOut => NO_ANSWER.to_string(),
        io::ErrorKind::UnexpectedEof => "the server closed the connection".to_string(),
        _ => error.to_string(),
    };
    Failure::new(Kind::Unreachable, message)
}

#[cfg(feature = "tls")]
fn tls_failure(error: &rustls::Error) -> Failure {
    let kind = match is_about_certificates(error) {
        true => Kind::Unauthorized,
        false => Kind::Protocol,
    };
    Failure::new(kind, alloc::format!("TLS: {error}"))
}

/// How the message of all servers' failures is put together.
pub(super) fn join(failures: &[(String, Failure)]) -> Failure {
    let first = failures.first().map(|(_, failure)| failure.kind);
    let kind = first.filter(|kind| failures.iter().all(|(_, failure)| failure.kind == *kind));
    let lines = failures
        .iter()
        .map(|(url, failure)| [url, ": ", &failure.message].concat());
    let lines: Vec<_> = lines.collect();
    let message = ["no connection to ", &lines.join("; ")].concat();
    Failure::new(kind.unwrap_or(Kind::Unreachable), message)
}
