//! Errors that a session reports, and what the text of a server's error says.

use alloc::string::String;
use alloc::vec::Vec;

use crate::cause::text;
use crate::nats::protocol::MessageError;
use crate::nats::subject::MAX_SUBJECT_LEN;
use crate::nats::{BrokerError, BrokerErrorKind as Kind, SubjectUse, SubscriptionId};

pub(super) fn slow_consumer(dropped: u64) -> BrokerError {
    let message = text(format_args!(
        "{dropped} message(s) were dropped: they came faster than they were taken"
    ));
    BrokerError::new(Kind::SlowConsumer { dropped }, message)
}

pub(super) fn refused(id: SubscriptionId, error: &MessageError, count: u64) -> BrokerError {
    let message = text(format_args!(
        "{count} message(s) for subscription {} were dropped: {error}",
        id.0
    ));
    BrokerError::new(Kind::Local, message)
}

pub(super) fn server_error(error: &str) -> BrokerError {
    BrokerError::new(Kind::Refused, text(format_args!("server error: {error}")))
}

/// Whether a server keeps the connection after this error: it does for what one client may not do, and
/// closes after anything else.
pub(super) fn stays_connected_after(error: &str) -> bool {
    starts_with(error, "Permissions Violation")
        || starts_with(error, "Invalid Subject")
        || is_about_subscriptions(error)
}

pub(super) fn is_about_subscriptions(error: &str) -> bool {
    starts_with(error, "maximum subscriptions exceeded")
}

fn starts_with(text: &str, start: &str) -> bool {
    let said = text.get(..start.len());
    said.is_some_and(|said| said.eq_ignore_ascii_case(start))
}

/// Whether a server closes because it does not know or no longer accepts the credentials.
pub(crate) fn is_about_credentials(error: &str) -> bool {
    let mut words = error.split(|c: char| !c.is_ascii_alphabetic());
    words.any(|word| {
        ["Authorization", "Authentication"]
            .iter()
            .any(|name| name.eq_ignore_ascii_case(word))
    })
}

/// What a server refuses a subject for: it names the other use, "for Publish to".
pub(super) fn refused_use(error: &str) -> SubjectUse {
    match error.split_once('"') {
        Some((before, _)) if before.ends_with("for Subscription to ") => SubjectUse::Subscribe,
        _ => SubjectUse::Publish,
    }
}

/// The subject in `Permissions Violation for Publish to "a.b"`, which the server quotes as Go does. A
/// longer one than may be used is none of ours.
pub(super) fn named_subject(error: &str) -> Option<String> {
    let (_, quoted) = error.split_once('"')?;
    // An escape is of ASCII alone, so bytes are as good as characters.
    let mut bytes = quoted.bytes();
    let mut subject = Vec::new();
    while subject.len() <= MAX_SUBJECT_LEN {
        match bytes.next()? {
            b'"' => return String::from_utf8(subject).ok(),
            // A subject has no control characters, so no other escapes can stand in it.
            b'\\' => subject.push(bytes.next()?),
            byte => subject.push(byte),
        }
    }
    None
}
