//! What becomes of messages on `board::NatsClient`, and of what the server says about them.

use natsbridge::BrokerErrorKind as Kind;
use natsbridge::adapter::{Body, Broker, Outgoing, StreamError};

use crate::common::bytes;
use crate::common::faulty_stack::Dialect;
use crate::nats::{WAIT, connected, kind, next_body, options, publish, subscribe};

#[test]
fn server_errors_are_reported() {
    let (_, stack, mut client) = connected(Dialect::Std, options());
    let server_error = |text: &str| format!("-ERR '{text}'\r\n").into_bytes();
    let violation = server_error("Permissions Violation for Publish to \"a\"");
    stack.peer(|peer| peer.before_pong = violation.clone());
    publish(&mut client, b"x").unwrap();
    assert_eq!(kind(client.flush(WAIT)), Kind::Refused);
    stack.peer(|peer| peer.before_pong.clear());
    client.flush(WAIT).unwrap();
    stack.say(&violation);
    assert_eq!(kind(client.next(WAIT)), Kind::Refused);
    assert_eq!(client.next(WAIT).unwrap(), None);
    assert_eq!(stack.connects(), 1);
    subscribe(&mut client);
    for text in ["Stale Connection", "User Authentication Expired"] {
        stack.say(&server_error(text));
        let error = client.next(WAIT).unwrap_err();
        assert_eq!(error.kind(), Kind::Disconnected);
        assert!(error.to_string().contains(text), "{error}");
        assert!(!client.is_connected());
        client.flush(WAIT).unwrap();
    }
}

#[test]
fn messages_that_find_no_room_are_told() {
    let options = options().max_pending(1000).max_message_size(5000);
    let (_, stack, mut client) = connected(Dialect::Smoltcp, options);
    let ended = client.subscribe("b", None).unwrap();
    let id = subscribe(&mut client);
    client.unsubscribe(ended).unwrap();
    let mut before_pong = Vec::new();
    for (subject, sid, len) in [
        ("a", id.0, 5000),
        ("b", ended.0, 9),
        ("a", id.0, 900),
        ("a", id.0, 5001),
    ] {
        before_pong.extend_from_slice(format!("MSG {subject} {sid} {len}\r\n").as_bytes());
        before_pong.extend_from_slice(&bytes(len));
        before_pong.extend_from_slice(b"\r\n");
    }
    stack.peer(|peer| peer.before_pong = before_pong);
    client.flush(WAIT).unwrap();
    assert_eq!(kind(client.next(WAIT)), Kind::SlowConsumer { dropped: 2 });
    assert!(next_body(&mut client) == bytes(5000));
    assert_eq!(client.next(WAIT).unwrap(), None);
    stack.peer(|peer| peer.before_pong.clear());
    publish(&mut client, b"still connected").unwrap();
    assert_eq!(next_body(&mut client), b"still connected");
    assert_eq!(stack.connects(), 1);
}

/// Says that it has `len` bytes, and fails after `read`.
struct Failing {
    len: u64,
    read: usize,
}

impl Body for Failing {
    fn len(&self) -> u64 {
        self.len
    }
    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        if self.read == 0 {
            return Err(StreamError::CannotRewind);
        }
        let count = out.len().min(self.read);
        self.read -= count;
        Ok(count)
    }
    fn rewind(&mut self) -> Result<(), StreamError> {
        Ok(())
    }
}

#[test]
fn a_body_that_fails_is_never_taken_for_a_whole_one() {
    // What was not sent yet costs nothing.
    for (read, connects) in [(0, 1), (100, 1), (1000, 2)] {
        let (_, stack, mut client) = connected(Dialect::Std, options());
        publish(&mut client, b"before").unwrap();
        let mut body = Failing { len: 2000, read };
        assert_eq!(
            kind(client.publish(&Outgoing::new("a"), &mut body)),
            Kind::Local
        );
        assert_eq!(client.is_connected(), connects == 1);
        let flushed = client.flush(WAIT);
        assert_eq!(flushed.is_ok(), connects == 1, "{flushed:?}");
        publish(&mut client, b"after").unwrap();
        client.flush(WAIT).unwrap();
        let published = stack.peer(|peer| peer.published.clone());
        assert_eq!(published, [b"before".to_vec(), b"after".to_vec()]);
        assert_eq!(stack.connects(), connects);
    }
}
