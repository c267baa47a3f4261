//! Any answers from a server, to requests of JetStream and its Object Store.

use std::cell::Cell;
use std::collections::VecDeque;
use std::error::Error;
use std::time::Duration;

use natsbridge::adapter::{Body, Broker, BrokerError, FileServer, Outgoing, SliceBody, VecSink};
use natsbridge::{
    BrokerErrorKind, BucketOptions, ConsumeOptions, JetStream, Message, NatsBridge, NoFileServer,
    ObjectStore, StreamOptions, SubscriptionId,
};

use crate::still::{Still, check_words};

/// What is stored and sent.
const CONTENT: &[u8] = b"hello";
/// The time that one answer may cost, pauses and time limits included.
const TIME_PER_ANSWER: Duration = Duration::from_secs(60);
/// The calls of the broker that one answer may cost.
const CALLS_PER_ANSWER: u64 = 5000;

/// A server whose answers stand in the fuzzer's input, one after the other. Between them is a byte 0x1e.
/// The first line of each is `status;reply;subject`, the rest its body; the subject is the one that was
/// asked for unless it is given. Status `-` is a server error about the subject, `!` a lost connection, `?`
/// silence. After the last one nobody answers any more.
struct Answers<'a> {
    platform: &'a Still,
    answers: VecDeque<&'a [u8]>,
    /// The reply subject of the last request.
    reply: String,
    calls: Cell<u64>,
    max_calls: u64,
}

impl<'a> Answers<'a> {
    fn new(input: &'a [u8], platform: &'a Still) -> Self {
        let answers: VecDeque<_> = input.split(|byte| *byte == 0x1e).collect();
        Self {
            platform,
            max_calls: (answers.len() as u64 + 10) * CALLS_PER_ANSWER,
            answers,
            reply: String::new(),
            calls: Cell::new(0),
        }
    }

    fn count(&self) {
        self.calls.set(self.calls.get() + 1);
        assert!(self.calls.get() < self.max_calls, "it does not end");
    }

    /// The next answer: its status, what else stands in its first line, and its body.
    fn answer(&mut self) -> Option<(String, String, String, Vec<u8>)> {
        let answer = self.answers.pop_front()?;
        let end = answer.iter().position(|byte| *byte == b'\n');
        let (head, body) = answer.split_at(end.unwrap_or(answer.len()));
        let body = body.get(1..).unwrap_or_default().to_vec();
        let head = String::from_utf8_lossy(head).into_owned();
        let mut words = head.splitn(3, ';').map(str::to_string);
        let mut word = || words.next().unwrap_or_default();
        Some((word(), word(), word(), body))
    }
}

impl Broker for Answers<'_> {
    fn max_payload(&self) -> usize {
        1_048_576
    }

    /// Nothing that an answer said may make the next request say something else.
    fn publish(&mut self, message: &Outgoing<'_>, body: &mut dyn Body) -> Result<(), BrokerError> {
        self.count();
        let subjects = [message.subject].into_iter().chain(message.reply);
        for subject in subjects {
            let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '>' && c != '*';
            assert!(subject.chars().all(is_plain), "{subject:?}");
        }
        for (name, value) in message.headers {
            assert!(!name.contains(char::is_control), "{name:?}");
            assert!(!value.contains(char::is_control), "{value:?}");
        }
        let mut out = [0; 64];
        while body.read(&mut out).expect("memory can be read") > 0 {}
        if let Some(reply) = message.reply {
            self.reply = reply.to_string();
        }
        Ok(())
    }

    fn flush(&mut self, _: Duration) -> Result<(), BrokerError> {
        self.count();
        let next = self.answers.front();
        if !next.is_some_and(|answer| answer.starts_with(b"-")) {
            return Ok(());
        }
        let subject = self
            .answer()
            .map_or(String::new(), |(_, _, subject, _)| subject);
        let error = BrokerError::new(BrokerErrorKind::Refused, "a server error");
        Err(error.with_subject(subject))
    }

    fn subscribe(&mut self, _: &str, _: Option<&str>) -> Result<SubscriptionId, BrokerError> {
        self.count();
        Ok(SubscriptionId(1))
    }

    fn unsubscribe(&mut self, _: SubscriptionId) -> Result<(), BrokerError> {
        self.count();
        Ok(())
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Message>, BrokerError> {
        self.next_of(SubscriptionId(1), wait)
    }

    fn next_of(
        &mut self,
        id: SubscriptionId,
        wait: Duration,
    ) -> Result<Option<Message>, BrokerError> {
        use natsbridge::Platform as _;
        self.count();
        let Some((status, reply, subject, body)) = self.answer() else {
            self.platform.wait(wait);
            return Ok(None);
        };
        match &*status {
            "?" => {
                self.platform.wait(wait);
                return Ok(None);
            }
            "!" => return Err(BrokerError::new(BrokerErrorKind::Disconnected, "cut off")),
            _ => {}
        }
        let subject = match subject {
            subject if subject.is_empty() => self.reply.clone(),
            subject => subject,
        };
        let mut message = Message::new(id, subject, body);
        message.status = status.parse().ok();
        message.reply = Some(reply).filter(|reply| !reply.is_empty());
        Ok(Some(message))
    }
}

/// Nothing panics, whatever a server answers, and it can neither make us wait nor make us ask for ever.
pub fn jetstream_answers(input: &[u8]) {
    let answers = input.split(|byte| *byte == 0x1e).count();
    let limit = TIME_PER_ANSWER * u32::try_from(answers + 10).unwrap_or(u32::MAX);
    for exchange in [streams, sends, consumers, downloads, uploads, lists] {
        let platform = Still::default();
        exchange(Answers::new(input, &platform), &platform);
        assert!(platform.waited() <= limit, "{:?}", platform.waited());
    }
}

fn check<T, E: Error>(result: Result<T, E>) -> Option<T> {
    result.inspect_err(|error| check_words(error)).ok()
}

fn streams(broker: Answers<'_>, platform: &Still) {
    let mut jetstream = JetStream::new(broker, platform);
    let options = StreamOptions::new("S").subject("s.>").max_messages(5);
    check(jetstream.ensure_stream(&options));
    check(jetstream.stream_info("S"));
    check(jetstream.delete_stream("S"));
}

fn sends(broker: Answers<'_>, platform: &Still) {
    let mut jetstream = JetStream::new(broker, platform);
    let message = Outgoing::new("s.a").headers(&[("Nats-Msg-Id", "1")]);
    if let Some(ack) = check(jetstream.publish(&message, &mut SliceBody::new(CONTENT))) {
        assert!(ack.stream.len() < 4096);
    }
}

fn consumers(broker: Answers<'_>, platform: &Still) {
    let mut bridge = NatsBridge::new(broker, NoFileServer, platform);
    let options = ConsumeOptions::default().batch(3);
    let Some(mut jobs) = check(bridge.consume("S", "w", options)) else {
        return;
    };
    for _ in 0..5 {
        if let Some(Some(job)) = check(jobs.next(Duration::from_secs(10))) {
            assert_eq!((&*job.info.stream, &*job.info.consumer), ("S", "w"));
            check(jobs.ack(&job));
            check(jobs.ack_confirmed(&job));
        }
    }
}

fn store<'a>(broker: Answers<'a>, platform: &'a Still) -> ObjectStore<Answers<'a>, &'a Still> {
    let store = ObjectStore::new(broker, platform, "files").expect("a good name");
    store.chunk_size(2).window(2)
}

fn downloads(broker: Answers<'_>, platform: &Still) {
    let mut sink = VecSink::new(64);
    let mut store = store(broker, platform);
    let url = "nats-object://files/a/b";
    if let Some(len) = check(store.download(url, 64, &mut sink)) {
        assert_eq!(len, sink.into_bytes().len() as u64);
    }
}

fn uploads(broker: Answers<'_>, platform: &Still) {
    let mut store = store(broker, platform);
    check(store.create_bucket(&BucketOptions::default()));
    if let Some(upload) = check(store.upload("a", &mut SliceBody::new(CONTENT))) {
        assert!(store.owns(&upload.url), "{:?}", upload.url);
        check(store.delete(&upload));
    }
    check(store.put("a", &mut SliceBody::new(CONTENT)));
}

fn lists(broker: Answers<'_>, platform: &Still) {
    check(store(broker, platform).list());
}
