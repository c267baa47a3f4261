//! Any bytes as a message.

use natsbridge::adapter::Body;
use natsbridge::{Envelope, Limits, PayloadEntry};

use crate::still::check_words;

/// Limits that small inputs can exceed.
pub fn tight() -> Limits {
    Limits::default()
        .max_message_size(2048)
        .max_payloads(4)
        .max_name_len(20)
        .max_download_size(64)
}

/// Nothing panics; what is read can be written, and is the same when it is read again.
pub fn parses(message: &[u8]) {
    for limits in [Limits::default(), tight()] {
        match Envelope::parse(message, &limits) {
            Ok(envelope) => check_envelope(&envelope),
            Err(error) => check_words(&error),
        }
    }
}

fn check_envelope(envelope: &Envelope<'_>) {
    let text = envelope.json();
    assert_eq!(envelope.body().len(), text.len() as u64);
    let again = Envelope::parse(text.as_bytes(), &Limits::default());
    assert_eq!(&again.expect("own text can be read"), envelope);
    envelope.payloads.iter().for_each(check_entry);
}

fn check_entry(entry: &PayloadEntry<'_>) {
    match entry.open() {
        Ok(payload) => assert!(entry.size.is_none_or(|size| size == payload.len() as u64)),
        Err(error) => check_words(&error),
    }
    if let Err(error) = entry.sha256() {
        check_words(&error);
    }
}
