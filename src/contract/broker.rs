//! What every broker does.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;
use std::time::Instant;

use super::support::{Failing, LONG, bytes};
use crate::nats::{Broker, BrokerErrorKind, Message, Outgoing, SubscriptionId};
use crate::stream::SliceBody;

const SHORT: Duration = Duration::from_millis(50);

/// Checks all that a [`Broker`] promises. `connect` returns a new client of the same broker. All subjects
/// start with the token `scope`, which nothing else on that broker uses. Takes a few seconds.
///
/// # Panics
/// If the broker breaks a rule.
pub fn broker<B: Broker>(mut connect: impl FnMut() -> B, scope: &str) {
    delivers_in_order(&mut connect(), &mut connect(), scope);
    delivers_any_length(&mut connect(), scope);
    matches_wildcards(&mut connect(), scope);
    keeps_subscriptions_apart(&mut connect(), scope);
    shares_among_a_queue_group(&mut connect(), &mut connect(), scope);
    stops_when_unsubscribed(&mut connect(), scope);
    refuses_bad_subjects(&mut connect(), scope);
    refuses_what_is_too_large(&mut connect(), scope);
    fails_when_the_body_does(&mut connect(), scope);
    reports_no_responders(&mut connect(), scope);
    waits_for_one_subscription(&mut connect(), scope);
    delivers_headers(&mut connect(), scope);
    refuses_bad_headers(&mut connect(), scope);
    counts_headers_towards_the_limit(&mut connect(), scope);
    waits_no_longer_than_asked(&mut connect(), scope);
}

fn publish(broker: &mut dyn Broker, subject: &str, body: &[u8]) {
    broker
        .publish(&Outgoing::new(subject), &mut SliceBody::new(body))
        .unwrap();
}

fn subscribe(broker: &mut dyn Broker, subject: &str, queue: Option<&str>) -> SubscriptionId {
    let id = broker.subscribe(subject, queue).unwrap();
    broker.flush(LONG).unwrap();
    id
}

fn next(broker: &mut dyn Broker) -> Message {
    broker
        .next(LONG)
        .unwrap()
        .expect("a message within the time")
}

fn assert_silent(broker: &mut dyn Broker) {
    broker.flush(LONG).unwrap();
    assert_eq!(broker.next(SHORT).unwrap(), None);
}

fn delivers_in_order(sender: &mut dyn Broker, receiver: &mut dyn Broker, scope: &str) {
    let subject = format!("{scope}.order");
    let id = subscribe(receiver, &subject, None);
    for number in 0u32..500 {
        publish(sender, &subject, &number.to_le_bytes());
    }
    sender.flush(LONG).unwrap();
    for number in 0u32..500 {
        let message = next(receiver);
        assert_eq!(message.payload, number.to_le_bytes());
        assert_eq!(
            (message.subscription, message.subject.as_str()),
            (id, subject.as_str())
        );
        assert_eq!((message.reply, message.status), (None, None));
    }
}

fn delivers_any_length(broker: &mut dyn Broker, scope: &str) {
    let subject = format!("{scope}.length");
    subscribe(broker, &subject, None);
    let most = broker.max_payload();
    let lengths = [0, 1, 4095, 4096, 4097, 32_768, 100_000, most];
    for len in lengths.into_iter().filter(|len| *len <= most) {
        let sent = bytes(len);
        publish(broker, &subject, &sent);
        assert!(next(broker).payload == sent, "{len} bytes");
    }
}

fn matches_wildcards(broker: &mut dyn Broker, scope: &str) {
    subscribe(broker, &format!("{scope}.wild.*.x"), None);
    publish(broker, &format!("{scope}.wild.a.x"), b"star");
    publish(broker, &format!("{scope}.wild.a.b.x"), b"none");
    assert_eq!(next(broker).payload, b"star");
    assert_silent(broker);
    subscribe(broker, &format!("{scope}.rest.>"), None);
    publish(broker, &format!("{scope}.rest.a.b"), b"rest");
    assert_eq!(next(broker).payload, b"rest");
}

fn keeps_subscriptions_apart(broker: &mut dyn Broker, scope: &str) {
    let (a, b) = (format!("{scope}.apart.a"), format!("{scope}.apart.b"));
    let first = subscribe(broker, &a, None);
    let second = subscribe(broker, &b, None);
    assert_ne!(first, second);
    for (subject, id) in [(&b, second), (&a, first)] {
        publish(broker, subject, b"x");
        assert_eq!(next(broker).subscription, id);
    }
}

fn shares_among_a_queue_group(one: &mut dyn Broker, two: &mut dyn Broker, scope: &str) {
    let subject = format!("{scope}.queue");
    subscribe(one, &subject, Some("workers"));
    subscribe(two, &subject, Some("workers"));
    for _ in 0..40 {
        publish(one, &subject, b"job");
    }
    one.flush(LONG).unwrap();
    let count = |broker: &mut dyn Broker| {
        broker.flush(LONG).unwrap();
        (0..)
            .take_while(|_| broker.next(Duration::from_millis(200)).unwrap().is_some())
            .count()
    };
    let (first, second) = (count(one), count(two));
    assert_eq!(first + second, 40, "each message once");
    assert!(first > 0 && second > 0, "{first} and {second}");
}

fn stops_when_unsubscribed(broker: &mut dyn Broker, scope: &str) {
    let subject = format!("{scope}.stop");
    let id = subscribe(broker, &subject, None);
    publish(broker, &subject, b"dropped");
    broker.flush(LONG).unwrap();
    broker.unsubscribe(id).unwrap();
    publish(broker, &subject, b"unseen");
    assert_silent(broker);
    broker.unsubscribe(id).unwrap();
}

fn refuses_bad_subjects(broker: &mut dyn Broker, scope: &str) {
    let everything = subscribe(broker, &format!("{scope}.bad.>"), None);
    for bad in [
        "",
        "a b",
        "a..b",
        "a\r\nPUB x 0\r\n\r\n",
        "a.>",
        "a.*",
        ".a",
        "a.",
    ] {
        let subject = format!("{scope}.bad.{bad}");
        let error = broker
            .publish(&Outgoing::new(&subject), &mut SliceBody::new(b"x"))
            .unwrap_err();
        assert_eq!(error.kind(), BrokerErrorKind::InvalidSubject, "{bad:?}");
        let good = format!("{scope}.bad.good");
        let error = broker
            .publish(
                &Outgoing::new(&good).reply(&subject),
                &mut SliceBody::new(b"x"),
            )
            .unwrap_err();
        assert_eq!(
            error.kind(),
            BrokerErrorKind::InvalidSubject,
            "{bad:?} as reply"
        );
    }
    for (bad, queue) in [
        ("a b", None),
        ("a.>.b", None),
        ("good", Some("")),
        ("good", Some("a b")),
    ] {
        let error = broker
            .subscribe(&format!("{scope}.bad.{bad}"), queue)
            .unwrap_err();
        assert_eq!(
            error.kind(),
            BrokerErrorKind::InvalidSubject,
            "{bad:?} {queue:?}"
        );
    }
    assert_silent(broker);
    broker.unsubscribe(everything).unwrap();
}

fn refuses_what_is_too_large(broker: &mut dyn Broker, scope: &str) {
    let subject = format!("{scope}.large");
    subscribe(broker, &subject, None);
    let limit = broker.max_payload();
    let error = broker
        .publish(
            &Outgoing::new(&subject),
            &mut SliceBody::new(&bytes(limit + 1)),
        )
        .unwrap_err();
    let (len, limit) = (limit as u64 + 1, limit as u64);
    assert_eq!(error.kind(), BrokerErrorKind::TooLarge { len, limit });
    assert_silent(broker);
    publish(broker, &subject, b"still connected");
    assert_eq!(next(broker).payload, b"still connected");
}

fn fails_when_the_body_does(broker: &mut dyn Broker, scope: &str) {
    let subject = format!("{scope}.failing");
    let watcher = broker.subscribe(&subject, None).unwrap();
    for fails in [true, false] {
        let mut body = Failing::after_five(fails);
        let error = broker
            .publish(&Outgoing::new(&subject), &mut body)
            .unwrap_err();
        assert_eq!(error.kind(), BrokerErrorKind::Local);
    }
    // A connection on which half a message was written is lost; what comes after it is whole.
    let _may_report_the_loss = broker.flush(LONG);
    publish(broker, &subject, b"whole");
    assert_eq!(next(broker).payload, b"whole");
    broker.unsubscribe(watcher).unwrap();
}

fn reports_no_responders(broker: &mut dyn Broker, scope: &str) {
    let inbox = format!("{scope}.inbox");
    subscribe(broker, &inbox, None);
    let nobody = format!("{scope}.nobody");
    broker
        .publish(
            &Outgoing::new(&nobody).reply(&inbox),
            &mut SliceBody::new(b"?"),
        )
        .unwrap();
    assert!(next(broker).is_no_responders());
    let subscribed = format!("{scope}.subscribed");
    subscribe(broker, &subscribed, None);
    broker
        .publish(
            &Outgoing::new(&subscribed).reply(&inbox),
            &mut SliceBody::new(b"?"),
        )
        .unwrap();
    let message = next(broker);
    assert_eq!(
        (message.payload.as_slice(), message.reply),
        (&b"?"[..], Some(inbox))
    );
}

fn waits_for_one_subscription(broker: &mut dyn Broker, scope: &str) {
    let (a, b) = (format!("{scope}.one.a"), format!("{scope}.one.b"));
    subscribe(broker, &a, None);
    let id = subscribe(broker, &b, None);
    for (subject, body) in [(&a, b"1"), (&b, b"2"), (&a, b"3"), (&b, b"4"), (&a, b"5")] {
        publish(broker, subject, body);
    }
    broker.flush(LONG).unwrap();
    for expected in [b"2", b"4"] {
        let message = broker.next_of(id, LONG).unwrap().expect("in time");
        assert_eq!(
            (message.subscription, message.payload),
            (id, expected.to_vec())
        );
    }
    let started = Instant::now();
    let wait = Duration::from_millis(200);
    assert_eq!(broker.next_of(id, wait).unwrap(), None);
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(190), "{waited:?}");
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    for expected in [b"1", b"3", b"5"] {
        assert_eq!(next(broker).payload, expected, "left queued, in order");
    }
    assert_silent(broker);
}

fn delivers_headers(broker: &mut dyn Broker, scope: &str) {
    let subject = format!("{scope}.headers");
    subscribe(broker, &subject, None);
    let headers = [("Nats-Msg-Id", "17"), ("Color", "r ü: d"), ("color", "")];
    let message = Outgoing::new(&subject).reply("answer").headers(&headers);
    let body = bytes(50_000.min(broker.max_payload() / 2));
    broker
        .publish(&message, &mut SliceBody::new(&body))
        .unwrap();
    let received = next(broker);
    let mut found: Vec<_> = received.headers.iter().collect();
    found.sort_unstable();
    assert_eq!(found, [headers[1], headers[0], headers[2]]);
    assert_eq!(received.headers.get("Color"), Some("r ü: d"));
    assert_eq!(received.headers.get("nats-msg-id"), None);
    assert_eq!(
        (received.status, received.reply.as_deref()),
        (None, Some("answer"))
    );
    assert!(received.payload == body);

    let twice = [("A", "1"), ("A", "2")];
    let message = Outgoing::new(&subject).headers(&twice);
    broker.publish(&message, &mut SliceBody::new(b"")).unwrap();
    let received = next(broker);
    let mut found: Vec<_> = received.headers.iter().collect();
    found.sort_unstable();
    assert_eq!(found, twice);
    assert!(received.payload.is_empty());

    publish(broker, &subject, b"none");
    assert!(next(broker).headers.is_empty());
}

fn refuses_bad_headers(broker: &mut dyn Broker, scope: &str) {
    let subject = format!("{scope}.bad-headers");
    subscribe(broker, &subject, None);
    for bad in [
        ("", "x"),
        ("a b", "x"),
        ("a:", "x"),
        ("a", "x\r\nb: y"),
        ("a", "\n"),
    ] {
        let headers = [("good", "x"), bad];
        let message = Outgoing::new(&subject).headers(&headers);
        let error = broker
            .publish(&message, &mut SliceBody::new(b"x"))
            .unwrap_err();
        assert_eq!(error.kind(), BrokerErrorKind::InvalidHeader, "{bad:?}");
        assert!(error.is_not_sent(), "{bad:?}");
    }
    assert_silent(broker);
}

fn counts_headers_towards_the_limit(broker: &mut dyn Broker, scope: &str) {
    let subject = format!("{scope}.header-limit");
    subscribe(broker, &subject, None);
    let headers = [("A", "1")];
    let message = Outgoing::new(&subject).headers(&headers);
    let (block, limit) = ("NATS/1.0\r\nA: 1\r\n\r\n".len(), broker.max_payload());
    let too_long = bytes(limit - block + 1);
    let error = broker
        .publish(&message, &mut SliceBody::new(&too_long))
        .unwrap_err();
    let (len, limit) = (limit as u64 + 1, limit as u64);
    assert_eq!(error.kind(), BrokerErrorKind::TooLarge { len, limit });
    assert_silent(broker);
    let fits = &too_long[1..];
    broker.publish(&message, &mut SliceBody::new(fits)).unwrap();
    assert!(next(broker).payload == fits);
}

fn waits_no_longer_than_asked(broker: &mut dyn Broker, scope: &str) {
    subscribe(broker, &format!("{scope}.wait"), None);
    let started = Instant::now();
    assert_eq!(broker.next(Duration::from_millis(200)).unwrap(), None);
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(190), "{waited:?}");
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    assert_eq!(broker.next(Duration::ZERO).unwrap(), None);
}
