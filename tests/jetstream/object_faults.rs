//! What becomes of objects when something fails in the middle of a call.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use natsbridge::adapter::{
    Body, Broker, BrokerError, FileServer as _, Message, Outgoing, Platform, PlatformError,
    SliceBody, SubscriptionId, VecSink,
};
use natsbridge::host::{NatsClient, StdPlatform};
use natsbridge::{
    BrokerErrorKind, BucketOptions, FileServerErrorKind as Kind, JetStream, ObjectStore,
};

use crate::common::bytes;
use crate::common::nats_server::NatsServer;
use crate::{LONG, client, jetstream, store};

/// The real clock, and what was waited for in vain added to it.
#[derive(Clone, Default)]
struct Clock(Rc<Cell<Duration>>);

impl Clock {
    fn skip(&self, time: Duration) {
        self.0.set(self.0.get() + time);
    }
}

impl Platform for Clock {
    fn unix_millis(&self) -> u64 {
        StdPlatform.unix_millis()
    }

    fn uptime_millis(&self) -> u64 {
        StdPlatform.uptime_millis() + u64::try_from(self.0.get().as_millis()).unwrap()
    }

    fn wait(&self, duration: Duration) {
        self.skip(duration);
    }

    fn random(&self, out: &mut [u8]) -> Result<(), PlatformError> {
        StdPlatform.random(out)
    }
}

/// What happens to the metadata of an object.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// They are stored, and the answer is lost.
    AnswerLost,
    /// They are lost on their way, or arrive after the call has ended.
    Late,
    /// They are stored, and from then on nothing is answered.
    ServerGone,
    /// The second chunk is refused.
    NoPermission,
    /// Those of `y` expire before the first fetch.
    Expired,
    /// The object `x` is removed before its first chunk is fetched.
    Removed,
    /// It is replaced.
    Replaced,
}

/// A client that loses what has to do with the metadata of an object.
struct Faulty {
    inner: NatsClient,
    clock: Clock,
    fault: Fault,
    /// Whether the metadata were published last.
    is_meta: bool,
    is_gone: bool,
    chunks: usize,
    late: Option<Late>,
}

/// Metadata that arrive late.
struct Late {
    subject: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Faulty {
    /// Deletes the message, as its time limit would.
    fn expire(&mut self) {
        // The base64 of `y`.
        let found = self.ask("MSG.GET", r#"{"last_by_subj":"$O.files.M.eQ=="}"#);
        let delete = format!(r#"{{"seq":{}}}"#, found["message"]["seq"]);
        let deleted = self.ask("MSG.DELETE", &delete);
        assert_eq!(deleted["success"], true, "{deleted}");
    }

    fn ask(&mut self, operation: &str, body: &str) -> serde_json::Value {
        let id = self.inner.subscribe("_INBOX.expire", None).unwrap();
        let subject = format!("$JS.API.STREAM.{operation}.OBJ_files");
        let question = Outgoing::new(&subject).reply("_INBOX.expire");
        let mut body = SliceBody::new(body.as_bytes());
        self.inner.publish(&question, &mut body).unwrap();
        let answer = self.inner.next_of(id, LONG).unwrap().unwrap();
        self.inner.unsubscribe(id).unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    }

    fn deliver_late(&mut self) {
        let Late {
            subject,
            headers,
            body,
        } = self.late.take().expect("metadata that are late");
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let message = Outgoing::new(&subject).headers(&headers);
        let mut body = SliceBody::new(&body);
        self.inner.publish(&message, &mut body).unwrap();
        self.inner.flush(LONG).unwrap();
    }
}

impl Broker for Faulty {
    fn max_payload(&self) -> usize {
        self.inner.max_payload()
    }

    fn publish(&mut self, message: &Outgoing<'_>, body: &mut dyn Body) -> Result<(), BrokerError> {
        self.is_meta = message.subject.starts_with("$O.files.M.");
        if message.subject.contains(".CONSUMER.CREATE.") {
            let mut other = ObjectStore::new(self.inner.clone(), StdPlatform, "files").unwrap();
            match std::mem::replace(&mut self.fault, Fault::None) {
                Fault::Removed => assert!(other.remove("x").unwrap()),
                Fault::Replaced => drop(other.put("x", &mut SliceBody::new(NEW)).unwrap()),
                fault => self.fault = fault,
            }
        }
        if self.fault == Fault::Expired && message.subject.contains(".MSG.NEXT.") {
            self.fault = Fault::None;
            self.expire();
        }
        if message.subject.starts_with("$O.files.C.") {
            self.chunks += 1;
            if self.fault == Fault::NoPermission && self.chunks == 2 {
                let kind = BrokerErrorKind::Unauthorized;
                return Err(BrokerError::new(kind, "no permission any more"));
            }
        }
        if !self.is_meta || self.fault != Fault::Late {
            return self.inner.publish(message, body);
        }
        let headers = message.headers.iter();
        let headers = headers
            .map(|&(name, value)| (name.into(), value.into()))
            .collect();
        let mut read = vec![0; usize::try_from(body.len()).unwrap()];
        assert_eq!(body.read(&mut read).unwrap(), read.len());
        self.late = Some(Late {
            subject: message.subject.into(),
            headers,
            body: read,
        });
        Ok(())
    }

    fn flush(&mut self, wait: Duration) -> Result<(), BrokerError> {
        self.inner.flush(wait)
    }

    fn subscribe(
        &mut self,
        subject: &str,
        queue: Option<&str>,
    ) -> Result<SubscriptionId, BrokerError> {
        self.inner.subscribe(subject, queue)
    }

    fn unsubscribe(&mut self, id: SubscriptionId) -> Result<(), BrokerError> {
        self.inner.unsubscribe(id)
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Message>, BrokerError> {
        self.inner.next(wait)
    }

    fn next_of(
        &mut self,
        id: SubscriptionId,
        wait: Duration,
    ) -> Result<Option<Message>, BrokerError> {
        let is_lost = self.is_gone || self.is_meta && self.fault != Fault::None;
        if !is_lost {
            return self.inner.next_of(id, wait);
        }
        if self.fault != Fault::Late {
            self.inner.next_of(id, LONG)?.expect("an answer to lose");
        }
        self.is_gone = self.fault == Fault::ServerGone;
        self.clock.skip(wait);
        Ok(None)
    }
}

fn faulty(server: &NatsServer, fault: Fault) -> ObjectStore<Faulty, Clock> {
    let clock = Clock::default();
    let broker = Faulty {
        inner: client(&server.url()),
        clock: clock.clone(),
        fault,
        is_meta: false,
        is_gone: false,
        chunks: 0,
        late: None,
    };
    ObjectStore::new(broker, clock, "files").unwrap()
}

const OLD: &[u8] = b"the old content";
const NEW: &[u8] = b"the new content, which is longer";

/// A server with an object `x`, and a second client of it.
fn start() -> (NatsServer, ObjectStore<NatsClient, StdPlatform>) {
    let server = NatsServer::start_jetstream();
    let mut store = store(&server.url(), "files");
    store.create_bucket(&BucketOptions::default()).unwrap();
    store.put("x", &mut SliceBody::new(OLD)).unwrap();
    (server, store)
}

fn content(store: &mut ObjectStore<NatsClient, StdPlatform>, name: &str) -> Vec<u8> {
    let mut sink = VecSink::new(1000);
    store.get(name, 1000, &mut sink).unwrap();
    sink.into_bytes()
}

fn messages(server: &NatsServer) -> u64 {
    let info = jetstream(server).stream_info("OBJ_files").unwrap();
    info.messages
}

#[test]
fn metadata_whose_answer_is_lost_are_looked_up() {
    let (server, mut other) = start();
    let mut faulty = faulty(&server, Fault::AnswerLost);
    let info = faulty.put("x", &mut SliceBody::new(NEW)).unwrap();
    assert_eq!(info.size, NEW.len() as u64);
    assert_eq!(content(&mut other, "x"), NEW);
    // A chunk and its metadata; what was replaced is gone.
    assert_eq!(messages(&server), 2);
    let upload = faulty.upload("y", &mut SliceBody::new(NEW)).unwrap();
    let mut sink = VecSink::new(1000);
    other.download(&upload.url, 1000, &mut sink).unwrap();
    assert_eq!(sink.into_bytes(), NEW);
}

#[test]
fn metadata_that_arrive_late_are_not_stored() {
    let (server, mut other) = start();
    let mut faulty = faulty(&server, Fault::Late);
    let error = faulty.put("x", &mut SliceBody::new(NEW)).unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    assert_eq!(messages(&server), 2);
    faulty.broker().deliver_late();
    assert_eq!(content(&mut other, "x"), OLD);
    assert_eq!(messages(&server), 2);
}

#[test]
fn chunks_stay_while_it_is_not_known_whether_their_object_was_stored() {
    let (server, mut other) = start();
    let mut faulty = faulty(&server, Fault::ServerGone);
    let error = faulty.put("x", &mut SliceBody::new(NEW)).unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    assert_eq!(content(&mut other, "x"), NEW);
}

/// A server on which the user `some` may do everything but publish on `denied`.
fn start_denying(denied: &str) -> (NatsServer, impl Fn(&str) -> String) {
    let config = format!(
        r#"authorization {{ users: [ {{ user: all, password: x }}, {{ user: some, password: x,
            permissions: {{ publish: {{ deny: ["{denied}"] }} }} }} ] }}"#
    );
    let server = NatsServer::start_jetstream_with(&config, "");
    let port = server.port();
    (server, move |user: &str| {
        format!("nats://{user}:x@127.0.0.1:{port}")
    })
}

#[test]
fn chunks_are_removed_if_further_ones_are_not_permitted() {
    let (server, _) = start();
    let mut faulty = faulty(&server, Fault::NoPermission);
    let uploaded = faulty.upload("y", &mut SliceBody::new(&bytes(400_000)));
    assert_eq!(uploaded.unwrap_err().kind(), Kind::Unauthorized);
    assert_eq!(messages(&server), 2);
}

#[test]
fn chunks_whose_metadata_are_not_permitted_are_removed() {
    let (_server, url) = start_denying("$O.files.M.>");
    let mut all = store(&url("all"), "files");
    all.create_bucket(&BucketOptions::default()).unwrap();
    let mut some = store(&url("some"), "files");
    let uploaded = some.upload("x", &mut SliceBody::new(&bytes(400_000)));
    assert_eq!(uploaded.unwrap_err().kind(), Kind::Unauthorized);
    let mut jetstream = JetStream::new(client(&url("all")), StdPlatform);
    assert_eq!(jetstream.stream_info("OBJ_files").unwrap().messages, 0);
}

#[test]
fn an_object_whose_chunks_cannot_be_removed_is_removed_by_a_repetition() {
    let (_server, url) = start_denying("$JS.API.STREAM.PURGE.>");
    let mut all = store(&url("all"), "files");
    all.create_bucket(&BucketOptions::default()).unwrap();
    all.put("x", &mut SliceBody::new(OLD)).unwrap();
    let mut some = store(&url("some"), "files");
    for _ in 0..2 {
        let error = some.remove("x").unwrap_err();
        assert_eq!(error.kind(), Kind::Unauthorized);
        assert_eq!(some.info("x").unwrap(), None);
    }
    let mut jetstream = JetStream::new(client(&url("all")), StdPlatform);
    assert_eq!(jetstream.stream_info("OBJ_files").unwrap().messages, 2);
    assert!(!all.remove("x").unwrap());
    assert_eq!(jetstream.stream_info("OBJ_files").unwrap().messages, 1);
}

#[test]
fn metadata_that_expire_while_they_are_listed_are_not_waited_for() {
    for names in [["y", "a", "b"], ["a", "y", "b"], ["a", "b", "y"]] {
        let (server, mut other) = start();
        other.remove("x").unwrap();
        for name in names {
            other.put(name, &mut SliceBody::new(NEW)).unwrap();
        }
        let mut faulty = faulty(&server, Fault::Expired);
        let listed = faulty.list().unwrap();
        let listed: Vec<_> = listed.iter().map(|info| &*info.name).collect();
        assert_eq!(listed, ["a", "b"], "{names:?}");
    }
}

#[test]
fn an_object_that_is_removed_while_it_is_fetched_is_not_found() {
    for fault in [Fault::Removed, Fault::Replaced] {
        let (server, _) = start();
        let mut faulty = faulty(&server, fault);
        let error = faulty.get("x", 1000, &mut VecSink::new(1000)).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
    }
}
