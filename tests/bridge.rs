//! The bridge's order of steps: what it calls, when, and what it does not call.

mod common;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::mocks::{MockBroker, MockFileServer, MockPlatform};
use mockall::Sequence;
use mockall::predicate::eq;
use natsbridge::adapter::Upload;
use natsbridge::adapter::{
    Body, BrokerError, Content, FileServer as _, FileServerError, PlatformError, Sink, SliceBody,
    StreamError,
};
use natsbridge::{
    BrokerErrorKind, Envelope, Error, ErrorKind, FileServerErrorKind as FileKind, Json, Limits,
    LinkPolicy, Message, NatsBridge, OptionError, Payload, PayloadError, PayloadType,
    ReceiveOptions, SendOptions, SubscriptionId,
};
use serde_json::Value;

const URL: &str = "http://files/1";

fn without_payloads() -> SendOptions {
    SendOptions::default().allow_empty(true)
}

/// A platform that counts its random bytes up and waits for nothing.
fn platform() -> MockPlatform {
    let mut platform = MockPlatform::new();
    let next = Mutex::new(0u8);
    platform.expect_random().returning(move |out| {
        let mut next = next.lock().unwrap();
        *next = next.wrapping_add(1);
        out.fill(*next);
        Ok(())
    });
    platform
        .expect_unix_millis()
        .return_const(1_772_759_955_000u64);
    platform.expect_uptime_millis().return_const(0u64);
    platform
}

fn broker(max_payload: usize) -> MockBroker {
    let mut broker = MockBroker::new();
    broker.expect_max_payload().return_const(max_payload);
    broker
        .expect_inbox_prefix()
        .return_const("_INBOX".to_string());
    broker
}

fn read(body: &mut dyn Body) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(body.len()).unwrap()];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += body.read(&mut bytes[filled..]).unwrap();
    }
    bytes
}

fn bridge(
    broker: MockBroker,
    files: MockFileServer,
) -> NatsBridge<MockBroker, MockFileServer, MockPlatform> {
    NatsBridge::new(broker, files, platform())
}

fn kinds(error: &Error) -> (ErrorKind, bool) {
    (error.kind(), error.is_transient())
}

fn file_error(kind: FileKind) -> FileServerError {
    FileServerError::new(kind, "said the mock")
}

fn broker_error(kind: BrokerErrorKind) -> BrokerError {
    BrokerError::new(kind, "said the mock")
}

#[test]
fn uploads_come_before_the_publish_and_the_publish_before_the_flush() {
    let mut order = Sequence::new();
    let (mut broker, mut files) = (broker(1_000_000), MockFileServer::new());
    for name in ["a", "c"] {
        files
            .expect_upload()
            .times(1)
            .in_sequence(&mut order)
            .returning(move |given, body| {
                assert_eq!(given, name);
                assert_eq!(read(body), name.repeat(200).as_bytes());
                Ok(Upload::new(format!("http://files/{name}")))
            });
    }
    let published = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&published);
    broker
        .expect_publish()
        .times(1)
        .in_sequence(&mut order)
        .returning(move |message, body| {
            assert_eq!((message.subject, message.reply), ("/chat", None));
            *seen.lock().unwrap() = read(body);
            Ok(())
        });
    let limit = Duration::from_secs(7);
    broker
        .expect_flush()
        .with(eq(limit))
        .times(1)
        .in_sequence(&mut order)
        .returning(|_| Ok(()));
    let texts = ["a".repeat(200), "b".repeat(99), "c".repeat(200)];
    let data = [
        ("a", Payload::text(&*texts[0])),
        ("b", Payload::text(&*texts[1])),
        ("c", Payload::text(&*texts[2])),
    ];
    let options = SendOptions::default()
        .size_threshold(100)
        .timeout(limit)
        .keep_json(true);
    let mut bridge = bridge(broker, files);
    let sent = bridge.smartsend("/chat", &data, &options).unwrap();
    let published = published.lock().unwrap();
    assert_eq!(*published, sent.json().unwrap().as_bytes());
    let envelope = Envelope::parse(&published, &Limits::default()).unwrap();
    let transports: Vec<_> = envelope
        .payloads
        .iter()
        .map(|entry| &*entry.transport_name)
        .collect();
    assert_eq!(transports, ["link", "direct", "link"]);
    assert_eq!(envelope.payloads[0].sha256().unwrap().unwrap().len(), 64);
}

#[test]
fn what_cannot_be_sent_reaches_nobody() {
    let long = "x".repeat(1025);
    let many: Vec<_> = (0..10_001).map(|_| ("n", Payload::text(""))).collect();
    let one = [("n", Payload::text("text"))];
    let options = SendOptions::default;
    let limited = Limits::default().max_payload_size(3);
    // Neither mock expects a call: one would panic.
    let mut bridge = bridge(MockBroker::new(), MockFileServer::new()).with_limits(limited);
    for subject in ["", "a b", "a..b", "a.>", "a\r\nb"] {
        let error = bridge.smartsend(subject, &one, &options()).unwrap_err();
        assert!(matches!(error, Error::Subject(_)), "{subject:?}");
        if !subject.is_empty() {
            let answer_there = options().reply_to(subject);
            let error = bridge.smartsend("a", &one, &answer_there).unwrap_err();
            assert!(matches!(error, Error::Subject(_)), "reply_to {subject:?}");
        }
    }
    let error = bridge.smartsend("a", &many, &options()).unwrap_err();
    assert!(matches!(
        error,
        Error::Option(OptionError::TooManyPayloads { count: 10_001, .. })
    ));
    let named = [(long.as_str(), Payload::text(""))];
    let error = bridge.smartsend("a", &named, &options()).unwrap_err();
    assert!(matches!(
        error,
        Error::TooLarge {
            len: 1025,
            limit: 1024,
            ..
        }
    ));
    let error = bridge
        .smartsend("a", &[("a\nb", Payload::text(""))], &options())
        .unwrap_err();
    assert!(matches!(error, Error::Payload { .. }), "{error:?}");
    assert_eq!(error.payload().unwrap().dataname, "a\nb");
    let given = without_payloads().sender_name(long.as_str());
    let error = bridge.smartsend("a", &[], &given).unwrap_err();
    assert!(matches!(
        error,
        Error::Option(OptionError::TooLong {
            name: "sender_name",
            ..
        })
    ));
    let error = bridge.smartsend("a", &[], &options()).unwrap_err();
    assert!(matches!(error, Error::Option(OptionError::NoPayloads)));
    let stored = without_payloads().msg_id("").stored(true);
    let error = bridge.smartsend("a", &[], &stored).unwrap_err();
    assert!(matches!(
        error,
        Error::Option(OptionError::Invalid { name: "msg_id", .. })
    ));
    let error = bridge.smartsend("a", &one, &options()).unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooLarge {
                len: 4,
                limit: 3,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(kinds(&error), (ErrorKind::TooLarge, false));
}

#[test]
fn a_dry_run_uploads_and_does_not_publish() {
    let mut files = MockFileServer::new();
    files
        .expect_upload()
        .times(1)
        .returning(|_, _| Ok(Upload::new(URL)));
    let options = SendOptions::default().size_threshold(0).is_publish(false);
    let data = [("n", Payload::text("text"))];
    let mut bridge = bridge(MockBroker::new(), files);
    let sent = bridge.smartsend("/chat", &data, &options).unwrap();
    assert!(sent.json().unwrap().contains(URL));
}

#[test]
fn without_confirm_nothing_is_flushed() {
    let mut broker = broker(1_000_000);
    broker.expect_publish().times(1).returning(|_, _| Ok(()));
    let options = without_payloads().confirm(false);
    bridge(broker, MockFileServer::new())
        .smartsend("/chat", &[], &options)
        .unwrap();
}

/// Two files are uploaded for a message that fails; the first can be deleted, the second not.
fn send_that_fails(
    published: Option<BrokerError>,
    flushed: Option<BrokerError>,
    deletes: bool,
) -> Error {
    let (mut broker, mut files) = (broker(1_000_000), MockFileServer::new());
    files
        .expect_upload()
        .times(2)
        .returning(|name, _| Ok(Upload::new(format!("http://files/{name}"))));
    let mut published = published;
    broker
        .expect_publish()
        .times(1)
        .returning(move |_, _| published.take().map_or(Ok(()), Err));
    let mut flushed = flushed;
    broker
        .expect_flush()
        .times(usize::from(flushed.is_some()))
        .returning(move |_| flushed.take().map_or(Ok(()), Err));
    for (name, deleted) in [("/a", true), ("/b", false)] {
        files
            .expect_delete()
            .times(usize::from(deletes))
            .withf(move |upload| upload.url.ends_with(name))
            .returning(move |_| match deleted {
                true => Ok(()),
                false => Err(file_error(FileKind::Unreachable)),
            });
    }
    let options = SendOptions::default().size_threshold(0);
    let data = [("a", Payload::text("1")), ("b", Payload::text("2"))];
    let mut bridge = bridge(broker, files);
    bridge.smartsend("/chat", &data, &options).unwrap_err()
}

fn left_behind(error: &Error) -> &[String] {
    let Error::LeftBehind { left_behind, .. } = error else {
        panic!("{error:?}");
    };
    assert!(error.to_string().contains("http://files/b"), "{error}");
    left_behind
}

#[test]
fn files_of_a_message_that_was_certainly_not_delivered_are_deleted() {
    let refused = broker_error(BrokerErrorKind::Refused).with_subject("/chat");
    for (published, flushed) in [
        (Some(broker_error(BrokerErrorKind::Unreachable)), None),
        (Some(broker_error(BrokerErrorKind::Local)), None),
        (
            Some(broker_error(BrokerErrorKind::Disconnected).not_sent()),
            None,
        ),
        (None, Some(refused)),
    ] {
        let kind = ErrorKind::Broker(published.as_ref().or(flushed.as_ref()).unwrap().kind());
        let error = send_that_fails(published, flushed, true);
        assert_eq!(left_behind(&error), ["http://files/b"]);
        assert_eq!(kinds(&error).0, kind);
        let cause = error.source().and_then(core::error::Error::source);
        assert!(cause.unwrap().to_string().contains("said the mock"));
    }
}

#[test]
fn files_of_a_message_that_may_have_been_delivered_stay() {
    use BrokerErrorKind as Kind;
    for (published, flushed) in [
        (Some(Kind::Disconnected), None),
        (Some(Kind::Timeout), None),
        (None, Some(Kind::Disconnected)),
        (None, Some(Kind::Timeout)),
        (None, Some(Kind::Unreachable)),
    ] {
        let kind = ErrorKind::Broker(published.or(flushed).unwrap());
        let error = send_that_fails(
            published.map(broker_error),
            flushed.map(broker_error),
            false,
        );
        assert_eq!(left_behind(&error), ["http://files/a", "http://files/b"]);
        assert_eq!(kinds(&error), (kind, true));
    }
}

#[test]
fn a_file_server_that_does_not_answer_is_not_asked_to_delete_more() {
    let (mut broker, mut files) = (broker(1_000_000), MockFileServer::new());
    files
        .expect_upload()
        .times(3)
        .returning(|name, _| Ok(Upload::new(format!("http://files/{name}"))));
    broker
        .expect_publish()
        .returning(|_, _| Err(broker_error(BrokerErrorKind::Unreachable)));
    files
        .expect_delete()
        .times(1)
        .returning(|_| Err(file_error(FileKind::Timeout)));
    let options = SendOptions::default().size_threshold(0);
    let data = ["a", "b", "c"].map(|name| (name, Payload::text("1")));
    let error = bridge(broker, files)
        .smartsend("/chat", &data, &options)
        .unwrap_err();
    assert_eq!(left_behind(&error).len(), 3);
}

#[test]
fn a_server_error_about_an_earlier_send_does_not_fail_this_one() {
    let mut broker = broker(1_000_000);
    let mut order = Sequence::new();
    broker.expect_publish().times(2).returning(|_, _| Ok(()));
    let refused = |subject: &'static str| {
        move |_| Err(broker_error(BrokerErrorKind::Refused).with_subject(subject))
    };
    broker
        .expect_flush()
        .times(1)
        .in_sequence(&mut order)
        .returning(refused("earlier"));
    broker
        .expect_flush()
        .times(1)
        .in_sequence(&mut order)
        .returning(|_| Ok(()));
    broker
        .expect_flush()
        .times(1)
        .in_sequence(&mut order)
        .returning(refused("/chat"));
    broker.expect_next().times(1).returning(|_| Ok(None));
    let mut bridge = bridge(broker, MockFileServer::new());
    let options = without_payloads();
    bridge.smartsend("/chat", &[], &options).unwrap();
    let error = bridge.next_message(Duration::ZERO).unwrap_err();
    assert!(matches!(&error, Error::Broker(error) if error.subject() == Some("earlier")));
    assert!(bridge.next_message(Duration::ZERO).unwrap().is_none());
    let error = bridge.smartsend("/chat", &[], &options).unwrap_err();
    assert_eq!(kinds(&error).0, ErrorKind::Broker(BrokerErrorKind::Refused));
}

#[test]
fn an_upload_is_tried_again_only_if_that_can_help() {
    for (kind, attempts) in [
        (FileKind::Unreachable, 3),
        (FileKind::Timeout, 3),
        (FileKind::Disconnected, 3),
        (FileKind::ServerFault { status: 503 }, 3),
        (FileKind::Unauthorized, 1),
        (FileKind::NotFound, 1),
        (FileKind::Refused { status: 400 }, 1),
        (FileKind::Mismatch, 1),
        (FileKind::InvalidAnswer, 1),
        (FileKind::Local, 1),
    ] {
        let mut files = MockFileServer::new();
        files
            .expect_upload()
            .times(attempts)
            .returning(move |_, body| {
                assert_eq!(read(body), b"text", "from its start");
                Err(file_error(kind))
            });
        let mut platform = platform();
        platform.expect_wait().times(attempts - 1).return_const(());
        let mut bridge = NatsBridge::new(broker(1_000_000), files, platform);
        let options = SendOptions::default().size_threshold(0);
        let data = [("n", Payload::text("text"))];
        let error = bridge.smartsend("/chat", &data, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileServer(kind));
        let tried = u32::try_from(attempts).unwrap();
        assert!(matches!(&error, Error::FileServer { attempts, .. } if *attempts == tried));
        assert_eq!(error.payload().unwrap().dataname, "n");
    }
}

#[test]
fn an_upload_that_succeeds_at_last_is_hashed_as_a_whole() {
    let mut files = MockFileServer::new();
    let mut order = Sequence::new();
    files
        .expect_upload()
        .times(1)
        .in_sequence(&mut order)
        .returning(|_, body| {
            body.read(&mut [0; 2]).unwrap();
            Err(file_error(FileKind::Disconnected))
        });
    files
        .expect_upload()
        .times(1)
        .in_sequence(&mut order)
        .returning(|_, body| {
            read(body);
            Ok(Upload::new(URL))
        });
    let mut platform = platform();
    platform.expect_wait().times(1).return_const(());
    let mut bridge = NatsBridge::new(MockBroker::new(), files, platform);
    let options = SendOptions::default().size_threshold(0).is_publish(false);
    let data = [("n", Payload::text("abc"))];
    let sent = bridge.smartsend("/chat", &data, &options).unwrap();
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(
        sent.envelope().payloads[0].sha256().unwrap().unwrap(),
        digest
    );
}

#[test]
fn pauses_double_up_to_the_longest_and_are_jittered() {
    let mut files = MockFileServer::new();
    files.expect_owns().return_const(true);
    files
        .expect_download()
        .times(6)
        .returning(|_, _, _| Err(file_error(FileKind::Timeout)));
    let mut platform = platform();
    let pauses = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&pauses);
    platform
        .expect_wait()
        .returning(move |pause| seen.lock().unwrap().push(pause));
    let mut bridge = NatsBridge::new(MockBroker::new(), files, platform);
    let options = ReceiveOptions::default().max_retries(6);
    let error = bridge
        .smartreceive(link(URL, "").as_str(), &options)
        .unwrap_err();
    assert!(matches!(error, Error::FileServer { attempts: 6, .. }));
    let pauses = pauses.lock().unwrap();
    let longest = [100, 200, 400, 800, 1000].map(Duration::from_millis);
    assert_eq!(pauses.len(), longest.len());
    for (pause, longest) in pauses.iter().zip(longest) {
        assert!(
            *pause <= longest && *pause >= longest / 2,
            "{pause:?} of {longest:?}"
        );
    }
    assert!(
        pauses
            .iter()
            .zip(longest)
            .any(|(pause, longest)| *pause < longest)
    );
}

/// A message with one link.
fn link(url: &str, fields: &str) -> String {
    format!(
        r#"{{"correlation_id":"c","payloads":[{{"dataname":"n","payload_type":"text","transport":"link","data":"{url}"{fields}}}]}}"#
    )
}

#[test]
fn a_link_to_elsewhere_is_not_fetched() {
    let elsewhere = "http://elsewhere/1";
    let mut files = MockFileServer::new();
    files.expect_owns().with(eq(elsewhere)).return_const(false);
    let mut refusing = bridge(MockBroker::new(), files);
    let message = link(elsewhere, "");
    let error = refusing
        .smartreceive(message.as_str(), &ReceiveOptions::default())
        .unwrap_err();
    assert_eq!(kinds(&error), (ErrorKind::LinkRefused, false));
    assert!(error.to_string().contains(elsewhere));

    let mut files = MockFileServer::new();
    files.expect_owns().return_const(false);
    files.expect_download().times(1).returning(|_, _, sink| {
        sink.write(b"abc").unwrap();
        Ok(3)
    });
    let policy = LinkPolicy::default().allow("http://elsewhere").unwrap();
    let options = ReceiveOptions::default().link_policy(policy);
    let received = bridge(MockBroker::new(), files)
        .smartreceive(message.as_str(), &options)
        .unwrap();
    assert_eq!(received.payloads[0].1.as_text(), Some("abc"));
}

#[test]
fn a_download_has_the_limit_of_its_size_or_of_the_bridge() {
    for (fields, limit) in [(r#","size":3"#, 3), ("", 10), (r#","size":10"#, 10)] {
        let mut files = MockFileServer::new();
        files.expect_owns().return_const(true);
        files
            .expect_download()
            .times(1)
            .withf(move |_, given, _| *given == limit)
            .returning(|_, limit, _| Err(file_error(FileKind::TooLarge { limit })));
        let limits = Limits::default().max_download_size(10);
        let mut bridge = bridge(MockBroker::new(), files).with_limits(limits);
        let message = link(URL, fields);
        let error = bridge
            .smartreceive(message.as_str(), &ReceiveOptions::default())
            .unwrap_err();
        let expected = match fields {
            "" => ErrorKind::FileServer(FileKind::TooLarge { limit: 10 }),
            _ => ErrorKind::InvalidMessage,
        };
        assert_eq!(error.kind(), expected, "{fields}");
    }
    // Over the limit by its own word: not even asked for.
    let mut files = MockFileServer::new();
    files.expect_owns().return_const(true);
    let limits = Limits::default().max_download_size(10);
    let mut bridge = bridge(MockBroker::new(), files).with_limits(limits);
    let message = link(URL, r#","size":11"#);
    let error = bridge
        .smartreceive(message.as_str(), &ReceiveOptions::default())
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooLarge {
                len: 11,
                limit: 10,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn a_download_that_breaks_starts_over() {
    let mut order = Sequence::new();
    let mut files = MockFileServer::new();
    files.expect_owns().return_const(true);
    files
        .expect_download()
        .times(1)
        .in_sequence(&mut order)
        .returning(|_, _, sink| {
            sink.write(b"half").unwrap();
            Err(file_error(FileKind::Disconnected))
        });
    files
        .expect_download()
        .times(1)
        .in_sequence(&mut order)
        .returning(|_, _, sink| {
            sink.write(b"whole").unwrap();
            Ok(5)
        });
    let mut platform = platform();
    platform.expect_wait().times(1).return_const(());
    let mut bridge = NatsBridge::new(MockBroker::new(), files, platform);
    let message = link(URL, r#","size":5"#);
    let received = bridge
        .smartreceive(message.as_str(), &ReceiveOptions::default())
        .unwrap();
    assert_eq!(received.payloads[0].1.as_text(), Some("whole"));
}

/// A sink that cannot start over.
struct Once(Vec<u8>);

impl Sink for Once {
    fn write(&mut self, chunk: &[u8]) -> Result<(), StreamError> {
        self.0.extend_from_slice(chunk);
        Ok(())
    }
    fn reset(&mut self) -> Result<(), StreamError> {
        Err(StreamError::CannotRewind)
    }
}

#[test]
fn a_sink_that_cannot_start_over_gets_each_byte_once() {
    let mut files = MockFileServer::new();
    files.expect_owns().return_const(true);
    files.expect_download().times(1).returning(|_, _, sink| {
        sink.write(b"half").unwrap();
        Err(file_error(FileKind::Disconnected))
    });
    let mut platform = platform();
    platform.expect_wait().times(1).return_const(());
    let mut bridge = NatsBridge::new(MockBroker::new(), files, platform);
    let message = link(URL, "");
    let envelope = Envelope::parse(message.as_bytes(), &Limits::default()).unwrap();
    let mut sink = Once(Vec::new());
    let error = bridge
        .download(&envelope.payloads[0], &ReceiveOptions::default(), &mut sink)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FileServer(FileKind::Local));
    assert_eq!(sink.0, b"half");
}

#[test]
fn one_bad_payload_does_not_cost_the_others() {
    let message = r#"{"correlation_id":"c","payloads":[
        {"dataname":"bad","payload_type":"text","transport":"direct","data":"?"},
        {"dataname":"odd","payload_type":"what","transport":"direct","data":""},
        {"dataname":"good","payload_type":"text","transport":"direct","data":"YQ=="}]}"#;
    let mut bridge = bridge(MockBroker::new(), MockFileServer::new());
    let options = ReceiveOptions::default();
    let error = bridge.smartreceive(message, &options).unwrap_err();
    assert_eq!(error.payload().unwrap().dataname, "bad");
    let envelope = Envelope::parse(message.as_bytes(), &Limits::default()).unwrap();
    let opened: Vec<_> = envelope
        .payloads
        .iter()
        .map(|entry| bridge.open(entry, &options))
        .collect();
    assert!(opened[0].is_err());
    assert_eq!(opened[1].as_ref().unwrap_err().payload().unwrap().index, 1);
    assert_eq!(opened[2].as_ref().unwrap().as_text(), Some("a"));
}

/// An answer as it would come to a request's inbox.
fn answer(id: u64) -> Message {
    let body = r#"{"correlation_id":"c","payloads":[]}"#;
    Message::new(SubscriptionId(id), "inbox", body.as_bytes().to_vec())
}

#[test]
fn a_request_subscribes_asks_waits_and_unsubscribes() {
    let mut order = Sequence::new();
    let mut broker = broker(1_000_000);
    let inbox = Arc::new(Mutex::new(String::new()));
    let (at_subscribe, at_publish) = (Arc::clone(&inbox), Arc::clone(&inbox));
    broker
        .expect_subscribe()
        .times(1)
        .in_sequence(&mut order)
        .returning(move |subject, queue| {
            assert!(subject.starts_with("_INBOX.") && queue.is_none());
            *at_subscribe.lock().unwrap() = subject.to_string();
            Ok(SubscriptionId(7))
        });
    broker
        .expect_flush()
        .times(1)
        .in_sequence(&mut order)
        .returning(|_| Ok(()));
    broker
        .expect_publish()
        .times(1)
        .in_sequence(&mut order)
        .returning(move |message, body| {
            let inbox = at_publish.lock().unwrap();
            assert_eq!(
                (message.subject, message.reply),
                ("service", Some(inbox.as_str()))
            );
            let sent = read(body);
            let envelope = Envelope::parse(&sent, &Limits::default()).unwrap();
            assert_eq!(envelope.reply_to, *inbox);
            Ok(())
        });
    broker
        .expect_flush()
        .times(1)
        .in_sequence(&mut order)
        .returning(|_| Ok(()));
    let id = SubscriptionId(7);
    // A stream that captures the subject acknowledges the question before the service answers it.
    let ack = br#"{"stream":"S","seq":1}"#.to_vec();
    for answer in [Message::new(id, "inbox", ack), answer(7)] {
        broker
            .expect_next_of()
            .withf(move |of, _| *of == id)
            .times(1)
            .in_sequence(&mut order)
            .return_once(move |_, _| Ok(Some(answer)));
    }
    broker
        .expect_unsubscribe()
        .with(eq(id))
        .times(1)
        .in_sequence(&mut order)
        // The answer is as good.
        .returning(|_| Err(broker_error(BrokerErrorKind::Disconnected)));
    let mut bridge = bridge(broker, MockFileServer::new());
    let wait = Duration::from_secs(1);
    bridge
        .request("service", &[], &without_payloads(), wait)
        .unwrap();
}

#[test]
fn files_of_a_request_are_deleted_when_nobody_listens_and_stay_when_nobody_answers() {
    for nobody in [true, false] {
        let (mut broker, mut files) = (requestable(), MockFileServer::new());
        broker
            .expect_next_of()
            .times(1)
            .returning(move |_, _| Ok(nobody.then(no_responders)));
        files
            .expect_upload()
            .times(1)
            .returning(|_, _| Ok(Upload::new("http://files/b")));
        files
            .expect_delete()
            .times(usize::from(nobody))
            .returning(|_| Ok(()));
        let options = SendOptions::default().size_threshold(0);
        let data = [("b", Payload::text("1"))];
        let error = bridge(broker, files)
            .request("service", &data, &options, Duration::from_secs(1))
            .unwrap_err();
        if nobody {
            assert!(matches!(error, Error::NoResponders { .. }), "{error:?}");
        } else {
            assert_eq!(left_behind(&error), ["http://files/b"]);
            assert_eq!(kinds(&error).0, ErrorKind::NoAnswer);
        }
    }
}

/// A broker on which everything goes well until the answer is waited for.
fn requestable() -> MockBroker {
    let mut broker = broker(1_000_000);
    broker
        .expect_subscribe()
        .returning(|_, _| Ok(SubscriptionId(7)));
    broker.expect_flush().returning(|_| Ok(()));
    broker.expect_publish().returning(|_, _| Ok(()));
    broker.expect_unsubscribe().times(1).returning(|_| Ok(()));
    broker
}

fn no_responders() -> Message {
    let mut message = Message::new(SubscriptionId(7), "inbox", Vec::new());
    message.status = Some(503);
    message
}

#[test]
fn a_request_knows_that_nobody_listens_or_answers() {
    for nobody in [true, false] {
        let mut broker = requestable();
        broker
            .expect_next_of()
            .times(1)
            .returning(move |_, _| Ok(nobody.then(no_responders)));
        let mut bridge = bridge(broker, MockFileServer::new());
        let wait = Duration::from_secs(1);
        let error = bridge
            .request("service", &[], &without_payloads(), wait)
            .unwrap_err();
        let kind = if nobody {
            ErrorKind::NoResponders
        } else {
            ErrorKind::NoAnswer
        };
        assert_eq!(kinds(&error), (kind, true));
        assert!(error.to_string().contains("service"), "{error}");
    }
}

#[test]
fn a_reply_goes_where_the_message_says_and_names_it() {
    for (reply_to, nats_reply, subject) in [
        ("/answers", None, Some("/answers")),
        ("/answers", Some("inbox"), Some("/answers")),
        ("", Some("inbox"), Some("inbox")),
        ("", None, None),
    ] {
        let mut broker = broker(1_000_000);
        broker
            .expect_publish()
            .times(usize::from(subject.is_some()))
            .returning(move |message, body| {
                assert_eq!(Some(message.subject), subject);
                let sent = read(body);
                let envelope = Envelope::parse(&sent, &Limits::default()).unwrap();
                assert_eq!(
                    (&*envelope.correlation_id, &*envelope.reply_to_msg_id),
                    ("c", "m")
                );
                Ok(())
            });
        broker.expect_flush().returning(|_| Ok(()));
        let mut bridge = bridge(broker, MockFileServer::new());
        let body = format!(
            r#"{{"correlation_id":"c","msg_id":"m","reply_to":"{reply_to}","payloads":[]}}"#
        );
        let mut message = Message::new(SubscriptionId(1), "s", body.into_bytes());
        message.reply = nats_reply.map(str::to_string);
        let received = bridge
            .smartreceive(message, &ReceiveOptions::default())
            .unwrap();
        let replied = bridge.reply(&received, &[], &without_payloads());
        match subject {
            Some(subject) => assert_eq!(replied.unwrap().envelope().send_to, subject),
            None => assert!(matches!(replied, Err(Error::NoReplyTo))),
        }
    }
}

#[test]
fn a_subscription_that_the_server_refuses_is_taken_back() {
    let mut broker = broker(1_000_000);
    broker
        .expect_subscribe()
        .returning(|_, _| Ok(SubscriptionId(7)));
    broker
        .expect_flush()
        .times(1)
        .returning(|_| Err(broker_error(BrokerErrorKind::Refused)));
    broker
        .expect_unsubscribe()
        .with(eq(SubscriptionId(7)))
        .times(1)
        .returning(|_| Ok(()));
    let error = bridge(broker, MockFileServer::new())
        .subscribe("secret", None)
        .unwrap_err();
    assert_eq!(
        kinds(&error),
        (ErrorKind::Broker(BrokerErrorKind::Refused), false)
    );
}

#[test]
fn messages_go_on_after_a_bad_one() {
    let mut broker = MockBroker::new();
    let mut order = Sequence::new();
    let mut gives = |payload: &'static [u8]| {
        broker
            .expect_next()
            .times(1)
            .in_sequence(&mut order)
            .returning(move |_| Ok(Some(Message::new(SubscriptionId(1), "s", payload.to_vec()))));
    };
    gives(b"not json");
    gives(br#"{"correlation_id":"c","payloads":[]}"#);
    broker
        .expect_next()
        .times(1)
        .in_sequence(&mut order)
        .returning(|_| Err(broker_error(BrokerErrorKind::Disconnected)));
    broker
        .expect_next()
        .times(1)
        .in_sequence(&mut order)
        .returning(|_| Ok(None));
    let mut bridge = bridge(broker, MockFileServer::new());
    let all: Vec<_> = bridge
        .messages(Duration::ZERO)
        .map(|message| message.is_ok())
        .collect();
    assert_eq!(all, [false, true, false]);
}

#[test]
fn without_random_bytes_nothing_is_sent() {
    let mut platform = MockPlatform::new();
    platform
        .expect_random()
        .returning(|_| Err(PlatformError("none".into())));
    let mut bridge = NatsBridge::new(MockBroker::new(), MockFileServer::new(), platform);
    let error = bridge
        .smartsend("/chat", &[], &without_payloads())
        .unwrap_err();
    assert_eq!(kinds(&error), (ErrorKind::Platform, false));
}

#[test]
fn payloads_become_links_one_after_the_other_until_the_message_fits() {
    let payload = "x".repeat(300);
    let data = ["a", "b", "c"].map(|name| (name, Payload::text(payload.as_str())));
    let sends_with = |max_payload: usize, uploads: usize| {
        let (mut broker, mut files) = (broker(max_payload), MockFileServer::new());
        let url = "http://files/".to_string() + &"u".repeat(40);
        files
            .expect_upload()
            .times(uploads)
            .returning(move |_, _| Ok(Upload::new(url.clone())));
        files.expect_delete().returning(|_| Ok(()));
        broker.expect_publish().returning(move |_, body| {
            assert!(body.len() <= max_payload as u64);
            Ok(())
        });
        broker.expect_flush().returning(|_| Ok(()));
        let options = SendOptions::default().keep_json(true);
        let mut bridge = bridge(broker, files);
        bridge
            .smartsend("/chat", &data, &options)
            .map(|sent| sent.json().unwrap().len() as u64)
    };
    let all_direct = usize::try_from(sends_with(1_000_000, 0).unwrap()).unwrap();
    assert_eq!(sends_with(all_direct, 0).unwrap(), all_direct as u64);
    let one_link = usize::try_from(sends_with(all_direct - 1, 1).unwrap()).unwrap();
    let two_links = usize::try_from(sends_with(one_link - 1, 2).unwrap()).unwrap();
    let three_links = usize::try_from(sends_with(two_links - 1, 3).unwrap()).unwrap();
    let error = sends_with(three_links - 1, 3).unwrap_err();
    let limit = three_links as u64 - 1;
    assert!(
        matches!(error, Error::TooLarge { len, limit: given, .. } if len == limit + 1 && given == limit)
    );
}

/// A platform whose clock goes on while files are sent and fetched, and while it waits.
#[derive(Clone, Default)]
struct Clock(Arc<Mutex<u64>>);

impl Clock {
    fn go_on(&self, time: Duration) {
        *self.0.lock().unwrap() += u64::try_from(time.as_millis()).unwrap();
    }

    fn platform(&self) -> MockPlatform {
        let mut platform = MockPlatform::new();
        platform.expect_random().returning(|out| {
            out.fill(0);
            Ok(())
        });
        platform.expect_unix_millis().return_const(0u64);
        let clock = self.clone();
        platform
            .expect_uptime_millis()
            .returning(move || *clock.0.lock().unwrap());
        let clock = self.clone();
        platform
            .expect_wait()
            .returning(move |pause| clock.go_on(pause));
        platform
    }
}

/// Issue 10, point 9.
#[test]
fn a_send_has_its_total_time() {
    const UPLOAD: Duration = Duration::from_secs(10);
    let data = ["a", "b", "c"].map(|name| (name, Payload::text("text")));
    // seconds in all, uploads that are begun, whether it is published, seconds for the confirmation
    for (total, uploads, published, confirmation) in [
        (None, 3, true, 5),
        (Some(5), 1, false, 0),
        (Some(20), 2, false, 0),
        (Some(21), 3, false, 0),
        (Some(30), 3, false, 0),
        (Some(33), 3, true, 3),
        (Some(60), 3, true, 5),
    ] {
        let clock = Clock::default();
        let (mut broker, mut files) = (broker(1_000_000), MockFileServer::new());
        let at_upload = clock.clone();
        files
            .expect_upload()
            .times(uploads)
            .returning(move |name, body| {
                at_upload.go_on(UPLOAD);
                read(body);
                Ok(Upload::new(format!("http://files/{name}")))
            });
        let deleted = if published { 0 } else { uploads };
        files.expect_delete().times(deleted).returning(|_| Ok(()));
        broker
            .expect_publish()
            .times(usize::from(published))
            .returning(|_, _| Ok(()));
        broker
            .expect_flush()
            .with(eq(Duration::from_secs(confirmation)))
            .times(usize::from(published))
            .returning(|_| Ok(()));
        let mut options = SendOptions::default().size_threshold(0);
        options.total_timeout = total.map(Duration::from_secs);
        let mut bridge = NatsBridge::new(broker, files, clock.platform());
        match bridge.smartsend("/chat", &data, &options) {
            Ok(_) => assert!(published, "{total:?}"),
            Err(error) => {
                assert!(!published, "{total:?}: {error}");
                assert_eq!(kinds(&error), (ErrorKind::TimedOut, true));
            }
        }
    }
}

#[test]
fn a_receive_has_its_total_time() {
    // milliseconds in all, attempts that are made: each takes 1 s, and at least 50 ms lie between two
    for (total, attempts) in [
        (None, 3),
        (Some(1000), 1),
        (Some(1050), 1),
        (Some(60_000), 3),
    ] {
        let clock = Clock::default();
        let mut files = MockFileServer::new();
        files.expect_owns().return_const(true);
        let at_download = clock.clone();
        files
            .expect_download()
            .times(attempts)
            .returning(move |_, _, _| {
                at_download.go_on(Duration::from_secs(1));
                Err(file_error(FileKind::Unreachable))
            });
        let mut options = ReceiveOptions::default();
        options.total_timeout = total.map(Duration::from_millis);
        let mut bridge = NatsBridge::new(MockBroker::new(), files, clock.platform());
        let message = link(URL, "");
        let error = bridge.smartreceive(message.as_str(), &options).unwrap_err();
        // The last failure says more than that the time is over.
        let unreachable = ErrorKind::FileServer(FileKind::Unreachable);
        assert_eq!(error.kind(), unreachable, "{total:?}");
    }
    let clock = Clock::default();
    let mut files = MockFileServer::new();
    files.expect_owns().return_const(true);
    let at_download = clock.clone();
    files
        .expect_download()
        .times(1)
        .returning(move |_, _, sink| {
            at_download.go_on(Duration::from_secs(1));
            sink.write(b"text").unwrap();
            Ok(4)
        });
    let entry =
        r#"{"dataname":"n","payload_type":"text","transport":"link","data":"http://files/1"}"#;
    let message = format!(r#"{{"correlation_id":"c","payloads":[{entry},{entry}]}}"#);
    let options = ReceiveOptions::default().total_timeout(Duration::from_secs(1));
    let mut bridge = NatsBridge::new(MockBroker::new(), files, clock.platform());
    let error = bridge.smartreceive(message.as_str(), &options).unwrap_err();
    assert_eq!(kinds(&error), (ErrorKind::TimedOut, true));
    assert_eq!(error.to_string(), "the time limit of 1000 ms is over");
}

/// Issue 10, point 16.
#[test]
fn what_a_dry_run_uploads_can_be_deleted() {
    let mut files = MockFileServer::new();
    files.expect_upload().times(1).returning(|_, body| {
        read(body);
        let mut upload = Upload::new(URL);
        upload.delete_key = Some("key".to_string());
        Ok(upload)
    });
    files
        .expect_delete()
        .times(1)
        .withf(|upload| upload.url == URL && upload.delete_key.as_deref() == Some("key"))
        .returning(|_| Ok(()));
    let options = SendOptions::default().size_threshold(0).is_publish(false);
    let data = [("n", Payload::text("text"))];
    let mut bridge = bridge(MockBroker::new(), files);
    let sent = bridge.smartsend("/chat", &data, &options).unwrap();
    for upload in sent.uploads() {
        bridge.file_server().delete(upload).unwrap();
    }
}

#[test]
fn a_direct_payload_can_be_downloaded() {
    let large = "A".repeat(100_000) + "YQ==";
    let message = |data: &str, fields: &str| {
        format!(
            r#"{{"correlation_id":"c","payloads":[{{"dataname":"n","payload_type":"binary","transport":"direct","data":"{data}"{fields}}}]}}"#
        )
    };
    let mut bridge = bridge(MockBroker::new(), MockFileServer::new());
    let mut download = |message: &str| {
        let envelope = Envelope::parse(message.as_bytes(), &Limits::default()).unwrap();
        let mut sink = Once(Vec::new());
        let options = ReceiveOptions::default();
        let len = bridge.download(&envelope.payloads[0], &options, &mut sink)?;
        assert_eq!(len, sink.0.len() as u64);
        Ok::<_, Error>(sink.0)
    };
    let whole = download(&message(&large, "")).unwrap();
    assert_eq!((whole.len(), whole.last()), (75_001, Some(&b'a')));
    assert_eq!(download(&message("", r#","size":0"#)).unwrap(), b"");
    for wrong in [message("YQ==", r#","size":2"#), message("YR==", "")] {
        let error = download(&wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidMessage, "{wrong}");
    }
}

#[test]
fn metadata_are_set_and_read_on_messages_and_payloads() {
    let json = |text: &str| Json::from_text(text.to_string()).unwrap();
    for (size_threshold, own) in [(100, r#""payload_bytes":4"#), (0, r#""sha256":""#)] {
        let mut files = MockFileServer::new();
        files.expect_upload().returning(|_, body| {
            read(body);
            Ok(Upload::new(URL))
        });
        let options = SendOptions::default()
            .size_threshold(size_threshold)
            .is_publish(false)
            .metadata(json(r#" {"room": 7}"#));
        let data = [
            (
                "a",
                Payload::text("text").with_metadata(json(r#"{ "lens": "a,b", "x": {} }"#)),
            ),
            ("b", Payload::text("text").with_metadata(json("{}"))),
        ];
        let mut bridge = bridge(MockBroker::new(), files);
        let sent = bridge.smartsend("/chat", &data, &options).unwrap();
        let text = sent.json().unwrap();
        let envelope = Envelope::parse(text.as_bytes(), &Limits::default()).unwrap();
        let read: BTreeMap<String, u8> = envelope.metadata_json().unwrap().parse().unwrap();
        assert_eq!(read["room"], 7);
        let [first, second] = &envelope.payloads[..] else {
            panic!("{text}");
        };
        let read: BTreeMap<String, Value> = first.metadata_json().unwrap().parse().unwrap();
        assert_eq!((read.len(), &read["lens"]), (3, &Value::from("a,b")));
        let read: BTreeMap<String, Value> = second.metadata_json().unwrap().parse().unwrap();
        assert_eq!(read.len(), 1);
        assert!(
            first.metadata.contains(own) && second.metadata.contains(own),
            "{text}"
        );
        assert_eq!(first.sha256().unwrap().is_some(), size_threshold == 0);
    }
    let mut bridge = bridge(MockBroker::new(), MockFileServer::new());
    let one = [("a", Payload::text("text"))];
    let options = SendOptions::default().metadata(json("[]"));
    let error = bridge.smartsend("/chat", &one, &options).unwrap_err();
    assert!(matches!(error, Error::Option(OptionError::Metadata)));
    for wrong in ["1", r#"{"sha256":1}"#, r#"{"payload_bytes":1}"#] {
        let data = [("a", Payload::text("text").with_metadata(json(wrong)))];
        let options = SendOptions::default();
        let error = bridge.smartsend("/chat", &data, &options).unwrap_err();
        assert!(matches!(error, Error::Payload { .. }), "{wrong}");
    }
}

#[test]
fn a_payload_of_another_length_than_it_has_said_is_not_sent() {
    /// One byte longer than it says.
    struct Growing;
    impl Content for Growing {
        fn payload_type(&self) -> PayloadType {
            PayloadType::Binary
        }
        fn size(&self) -> u64 {
            9
        }
        fn open(&self) -> Result<Box<dyn Body + '_>, StreamError> {
            Ok(Box::new(SliceBody::new(&[7; 10])))
        }
    }
    for (threshold, what) in [(100, "direct"), (0, "link")] {
        let mut bridge = bridge(broker(1_000_000), MockFileServer::new());
        let data = [("n", Payload::stream(Growing))];
        let options = SendOptions::default().size_threshold(threshold);
        let error = bridge.smartsend("/chat", &data, &options).unwrap_err();
        let text = format!("{error:?}");
        assert!(text.contains("10") && text.contains('9'), "{what}: {text}");
    }
}

#[test]
fn what_is_not_what_its_type_demands_is_not_sent() {
    /// Bytes that are not in memory.
    struct Stream(PayloadType, &'static [u8]);
    impl Content for Stream {
        fn payload_type(&self) -> PayloadType {
            self.0
        }
        fn size(&self) -> u64 {
            self.1.len() as u64
        }
        fn open(&self) -> Result<Box<dyn Body + '_>, StreamError> {
            Ok(Box::new(SliceBody::new(self.1)))
        }
    }
    let mut bridge = bridge(broker(1_000_000), MockFileServer::new());
    for content in [
        Stream(PayloadType::Text, b"\xff"),
        Stream(PayloadType::Dictionary, b"{"),
        Stream(PayloadType::JsonTable, b"{}"),
    ] {
        let data = [("n", Payload::stream(content))];
        let options = SendOptions::default();
        let error = bridge.smartsend("/chat", &data, &options).unwrap_err();
        assert!(matches!(error, Error::Payload { .. }), "{error:?}");
    }
    let table = Payload::JsonTable(Json::from_text("{}").unwrap());
    let data = [("n", table)];
    let options = SendOptions::default();
    let error = bridge.smartsend("/chat", &data, &options).unwrap_err();
    let Error::Payload { source, .. } = error else {
        panic!("it should be refused");
    };
    assert!(matches!(source, PayloadError::NotArray));
}

/// Issue 10, point 10: the message is measured again after all that is certain to be a link, not after each.
#[test]
fn many_links_are_uploaded_in_one_round() {
    let mut files = MockFileServer::new();
    files
        .expect_upload()
        .times(2000)
        .returning(|_, _| Ok(Upload::new(URL)));
    let options = SendOptions::default().size_threshold(0).is_publish(false);
    let data = vec![("n", Payload::text("")); 2000];
    let mut bridge = bridge(MockBroker::new(), files);
    let started = Instant::now();
    let sent = bridge.smartsend("/chat", &data, &options).unwrap();
    let taken = started.elapsed();
    let started = Instant::now();
    let text = sent.json().unwrap();
    let envelope = Envelope::parse(text.as_bytes(), &Limits::default()).unwrap();
    let mut body = envelope.body();
    assert!(body.len() > 400_000);
    read(&mut body);
    // It took thousands of times as long as to write the message once.
    let once = started.elapsed();
    assert!(taken < 200 * once, "{taken:?} {once:?}");
}
