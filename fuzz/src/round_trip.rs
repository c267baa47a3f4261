//! Any payloads and options sent, and received.

use std::time::Duration;

use natsbridge::adapter::Body;
use natsbridge::memory::{MemoryBroker, MemoryFileServer};
use natsbridge::{
    Envelope, Error, ErrorKind, Limits, Message, NatsBridge, Payload, ReceiveOptions, SendOptions,
    Sent, Transport,
};

use crate::still::{Still, check_words};

/// A send.
#[derive(Debug, Clone)]
pub struct Sending {
    /// Any text, a subject or not.
    pub subject: String,
    /// Any names and payloads.
    pub payloads: Vec<(String, Payload<'static>)>,
    /// Any options.
    pub options: SendOptions,
    /// The longest message of the broker, in bytes.
    pub max_payload: usize,
    /// The message is read in chunks of so many bytes.
    pub chunk: usize,
}

type Bridge = NatsBridge<MemoryBroker, MemoryFileServer, Still>;

/// What was sent comes back as it was; what was refused left nothing behind.
pub fn comes_back(sending: &Sending) {
    let broker = MemoryBroker::with_max_payload(sending.max_payload);
    let files = MemoryFileServer::new();
    let mut bridge = NatsBridge::new(broker, files.clone(), Still::default());
    bridge
        .subscribe(">", None)
        .expect("this can be subscribed to");
    let sent = bridge.smartsend(&sending.subject, &list(&sending.payloads), &sending.options);
    let message = bridge
        .next_message(Duration::ZERO)
        .expect("nothing is lost");
    match (sent, message) {
        (Ok(sent), Some(message)) => check_sent(&mut bridge, sending, &sent, message),
        (Ok(sent), None) => {
            assert!(!sending.options.is_publish);
            let text = sent.json().expect("it is not published");
            let envelope = Envelope::parse(text.as_bytes(), &Limits::default());
            check_text(sending, &envelope.expect("own text"));
        }
        (Err(error), None) => {
            check_refusal(&error);
            assert!(files.is_empty(), "files stay behind");
        }
        (Err(error), Some(_)) => panic!("sent all the same: {error:?}"),
    }
}

fn list<'p>(payloads: &'p [(String, Payload<'_>)]) -> Vec<(&'p str, Payload<'p>)> {
    let list = payloads.iter();
    list.map(|(name, payload)| (name.as_str(), payload.by_ref()))
        .collect()
}

fn check_refusal(error: &Error) {
    assert!(
        matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::TooLarge),
        "{error:?}"
    );
    check_words(error);
}

fn check_sent(bridge: &mut Bridge, sending: &Sending, sent: &Sent, mut message: Message) {
    assert!(message.payload.len() <= sending.max_payload);
    assert_eq!(message.subject, sending.subject);
    if sending.options.keep_json {
        assert_eq!(Some(&*message.payload), sent.json().map(str::as_bytes));
    }
    let envelope = Envelope::parse(&message.payload, &Limits::default()).expect("own text");
    check_text(sending, &envelope);
    let options = ReceiveOptions::default();
    let copied = bridge
        .smartreceive(&message, &options)
        .expect("it is whole");
    assert_eq!(copied.payloads, sending.payloads);
    let in_place = bridge.receive_in_place(&mut message, &options);
    assert_eq!(copied, in_place.expect("it is whole"));
    check_fields(&copied.envelope, &sending.options);
}

/// The text is the same in any chunks and as long as announced, and says what the envelope says.
fn check_text(sending: &Sending, envelope: &Envelope<'_>) {
    let text = envelope.json();
    let mut body = envelope.body();
    assert_eq!(body.len(), text.len() as u64);
    let (mut read, mut out) = (Vec::new(), vec![0; sending.chunk.max(1)]);
    loop {
        match body.read(&mut out).expect("memory can be read") {
            0 => break,
            count => read.extend_from_slice(&out[..count]),
        }
    }
    assert_eq!(read, text.as_bytes());
    let again = Envelope::parse(text.as_bytes(), &Limits::default()).expect("own text");
    check_fields(&again, &sending.options);
    let threshold = sending.options.size_threshold;
    for (entry, (_, payload)) in again.payloads.iter().zip(&sending.payloads) {
        let is_large = payload.len() >= threshold.unwrap_or(100_000);
        let transport = entry.transport().expect("it is one of two");
        assert!(!is_large || transport == Transport::Link);
    }
}

fn check_fields(envelope: &Envelope<'_>, options: &SendOptions) {
    // Of others something may have been left out.
    let is_plain = |url: &&String| !url.contains(['@', '?', '#']);
    let broker_url = options.broker_url.as_ref().filter(is_plain);
    for (field, given) in [
        (&envelope.correlation_id, options.correlation_id.as_ref()),
        (&envelope.msg_id, options.msg_id.as_ref()),
        (&envelope.sender_id, options.sender_id.as_ref()),
        (&envelope.broker_url, broker_url),
        (&envelope.msg_purpose, Some(&options.msg_purpose)),
        (&envelope.sender_name, Some(&options.sender_name)),
        (&envelope.receiver_name, Some(&options.receiver_name)),
        (&envelope.receiver_id, Some(&options.receiver_id)),
        (&envelope.reply_to, Some(&options.reply_to)),
        (&envelope.reply_to_msg_id, Some(&options.reply_to_msg_id)),
    ] {
        assert!(
            given.is_none_or(|given| given == field),
            "{field:?} for {given:?}"
        );
    }
}
