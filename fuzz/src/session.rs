//! A session of NATS against a plain model: what each user must get, in which order, what is confirmed,
//! and what is reported. The input is a list of steps; servers are good, cut off, or hostile.
//!
//! With ample room the model is exact. With tight room any message may be missing, and as many must be
//! reported.

use std::cell::Cell;
use std::collections::VecDeque;

use natsbridge::adapter::BrokerError;
use natsbridge::fuzzing::{NatsFlush, NatsSession, NatsUser};
use natsbridge::{BrokerErrorKind as Kind, Message};

use crate::still::check_words;

const MAX_MESSAGE: usize = 300;
/// Room that is never filled, and room that soon is, in bytes.
const ROOM: [usize; 2] = [10_000_000, 900];
const MAX_USERS: usize = 3;
const MAX_SUBSCRIPTIONS: usize = 6;
/// Subjects and server errors that are told apart, as the session has it.
const MAX_KNOWN: usize = 16;
/// What a subject is used for, as the first letter of its [`key`].
const PUBLISH: char = 'P';
const SUBSCRIPTION: char = 'S';
const MAX_PONGS: usize = 8;
const SUBJECTS: usize = 20;
const REPORT_INTERVAL: u64 = 1000;
const PING: &str = "PING\r\n";
const PONG: &str = "PONG\r\n";
const INFO: &str = "INFO {\"max_payload\":1000,\"headers\":true}\r\n";

/// Each step is a byte, with more behind it that say how.
pub fn nats_session(input: &[u8]) {
    let Some((room, steps)) = input.split_first() else {
        return;
    };
    let mut scene = Scene::new(room & 1 == 0);
    let mut steps = Steps(steps);
    while !steps.0.is_empty() {
        scene.step(&mut steps);
        scene.check();
    }
    scene.finish();
}

struct Steps<'a>(&'a [u8]);

impl<'a> Steps<'a> {
    /// 0 at the end.
    fn byte(&mut self) -> usize {
        usize::from(self.take(1).first().copied().unwrap_or_default())
    }

    fn below(&mut self, limit: usize) -> usize {
        self.byte() % limit.max(1)
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Event {
    Message {
        sid: u64,
        serial: u64,
    },
    /// A second copy of a message, from the server that is moved to. It comes if there was no room for the first.
    Copy {
        sid: u64,
        serial: u64,
    },
    Unreadable {
        sid: u64,
    },
    Lost,
    ServerError(String),
}

impl Event {
    /// Whether it may be missing where there was no room.
    fn needs_room(&self) -> bool {
        matches!(self, Self::Message { .. } | Self::Unreadable { .. })
    }

    fn is_of(&self, id: u64) -> bool {
        match self {
            Self::Message { sid, .. } | Self::Copy { sid, .. } | Self::Unreadable { sid } => {
                *sid == id
            }
            Self::Lost | Self::ServerError(_) => false,
        }
    }

    fn is_copy_of(&self, message: &Self) -> bool {
        matches!((self, message), (Self::Copy { serial, .. }, Self::Message { serial: first, .. }) if serial == first)
    }
}

struct Subscription {
    id: u64,
    subject: String,
    lost: bool,
    ended: bool,
}

#[derive(Default)]
struct Unconfirmed {
    is_some: bool,
    published: bool,
    known: Vec<String>,
    overflowed: bool,
}

impl Unconfirmed {
    fn add(&mut self, subject: &str) {
        self.is_some = true;
        if self.known.iter().any(|known| known == subject) {
        } else if self.known.len() < MAX_KNOWN {
            self.known.push(subject.into());
        } else {
            self.overflowed = true;
        }
    }
}

/// What one user is to see.
struct User {
    id: NatsUser,
    key: u32,
    has_room: bool,
    subscriptions: Vec<Subscription>,
    expected: VecDeque<Event>,
    /// The serial numbers of the messages that came.
    seen: Vec<u64>,
    waiting_errors: usize,
    /// The last that was reported is a loss.
    after_loss: bool,
    /// Messages that never came, and as many as were reported; `unsure` more may have been.
    missing: u64,
    reported: u64,
    unsure: u64,
    reported_at: Option<u64>,
    unconfirmed: Unconfirmed,
    lost: bool,
    /// Subject and error.
    refused: Vec<(String, String)>,
    /// A flush that waits, its number, and whether it was answered.
    flush: Option<(NatsFlush, u32, bool)>,
    pings: u32,
}

impl User {
    fn new(id: NatsUser, key: u32, has_room: bool) -> Self {
        Self {
            id,
            key,
            has_room,
            subscriptions: Vec::new(),
            expected: VecDeque::new(),
            seen: Vec::new(),
            waiting_errors: 0,
            after_loss: false,
            missing: 0,
            reported: 0,
            unsure: 0,
            reported_at: None,
            unconfirmed: Unconfirmed::default(),
            lost: false,
            refused: Vec::new(),
            flush: None,
            pings: 0,
        }
    }

    fn miss(&mut self, event: &Event) {
        if let Event::Copy { .. } = event {
            return;
        }
        let is_second_loss = *event == Event::Lost && self.after_loss;
        assert!(!self.has_room, "{event:?} never came");
        assert!(event.needs_room() || is_second_loss, "{event:?} never came");
        self.missing += u64::from(event.needs_room());
    }

    /// What came must be the next that is expected, but for what there was no room for.
    fn came(&mut self, came: &Event) {
        loop {
            let Some(event) = self.expected.pop_front() else {
                panic!("{came:?} came, and was not expected");
            };
            let is_second = !self.has_room && event.is_copy_of(came);
            if event == *came || is_second {
                break;
            }
            self.miss(&event);
        }
        self.see(came);
        self.after_loss = *came == Event::Lost;
    }

    /// What came for one subscription, if anything, must be the next that is expected of it, but for what there
    /// was no room for. What else was expected of it until then never will come.
    fn came_of(&mut self, id: u64, came: Option<&Event>) {
        let is_it = |event: &Event| {
            let is_it = |came| event == came || (!self.has_room && event.is_copy_of(came));
            came.is_some_and(is_it)
        };
        let is_due = |event: &Event| event.needs_room() && event.is_of(id);
        let place = self.expected.iter().position(is_it);
        let end = place.unwrap_or(self.expected.len());
        let missing = self.expected.iter().take(end);
        let missing: Vec<_> = missing.filter(|event| is_due(event)).cloned().collect();
        missing.iter().for_each(|event| self.miss(event));
        let at = Cell::new(0);
        self.forget(|event| {
            let at = at.replace(at.get() + 1);
            Some(at) == place || (at < end && is_due(event))
        });
        if let Some(came) = came {
            assert!(place.is_some(), "{came:?} was not expected");
            self.see(came);
        }
    }

    /// A message came: its second copy must not.
    fn see(&mut self, came: &Event) {
        if let Event::Message { serial, .. } = came {
            self.seen.push(*serial);
            self.expected.retain(|event| !event.is_copy_of(came));
        }
    }

    fn forget(&mut self, forget: impl Fn(&Event) -> bool) -> u64 {
        let before = self.expected.len();
        self.expected.retain(|event| !forget(event));
        let forgotten = before - self.expected.len();
        let mut is_behind_loss = false;
        self.expected.retain(|event| {
            let is_second = is_behind_loss && *event == Event::Lost;
            is_behind_loss = *event == Event::Lost;
            !is_second
        });
        forgotten as u64
    }

    fn lose(&mut self) {
        assert!(self.flush.is_none());
        let lost = std::mem::take(&mut self.unconfirmed);
        self.lost |= lost.published;
        self.subscriptions.retain(|known| !known.ended);
        self.subscriptions
            .iter_mut()
            .for_each(|known| known.lost = true);
        if !self.subscriptions.is_empty() && self.expected.back() != Some(&Event::Lost) {
            self.expected.push_back(Event::Lost);
        }
    }

    fn find(&mut self, id: u64) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|known| known.id == id)
    }
}

/// What a server says, whose bytes end at a place of all that it says.
struct Said {
    start: usize,
    end: usize,
    what: What,
}

enum What {
    Message {
        sid: u64,
        serial: u64,
    },
    Copy {
        sid: u64,
        serial: u64,
    },
    Unreadable {
        sid: u64,
    },
    Ping,
    Pong,
    Error {
        subject: Option<String>,
        text: String,
    },
    /// After which the connection is of no use.
    Fatal,
    Nothing,
}

/// The user's key and the number of its PING.
type PingOf = Option<(u32, u32)>;

/// A connection as the server knows it.
struct Connection {
    pings: VecDeque<PingOf>,
    pongs_due: usize,
    heard_at: u64,
    pinged_at: u64,
    written: u64,
    wire: Vec<u8>,
    delivered: usize,
    said: VecDeque<Said>,
}

struct Scene {
    session: NatsSession,
    has_room: bool,
    users: Vec<User>,
    last_key: u32,
    connection: Option<Connection>,
    serial: u64,
}

impl Scene {
    fn new(has_room: bool) -> Self {
        let room = ROOM[usize::from(!has_room)];
        let mut scene = Self {
            session: NatsSession::new(MAX_MESSAGE, room),
            has_room,
            users: Vec::new(),
            last_key: 0,
            connection: None,
            serial: 0,
        };
        scene.add_user();
        scene.connect(&mut Steps(&[1]));
        scene
    }

    fn step(&mut self, steps: &mut Steps<'_>) {
        match steps.below(24) {
            0 => self.add_user(),
            1 | 2 => self.subscribe(steps),
            3 => self.unsubscribe(steps),
            4 | 5 => self.publish(steps),
            6 | 7 => self.flush(steps),
            8 => self.end_flush(steps),
            9..=11 => self.server_sends(steps),
            12 => self.server_answers(steps),
            13 => self.server_refuses(steps),
            14 => self.server_is_hostile(steps),
            15 | 16 => self.deliver_some(steps),
            17 => self.next(steps),
            18 => self.next_of(steps),
            19 => self.pass_time(steps),
            20 => self.connect(steps),
            21 => self.move_away(steps),
            22 => self.raw(steps),
            _ => self.end_something(steps),
        }
    }

    // Users.

    fn add_user(&mut self) {
        if self.users.len() < MAX_USERS {
            self.last_key += 1;
            let id = self.session.add_user();
            self.users.push(User::new(id, self.last_key, self.has_room));
        }
    }

    fn user(&mut self, steps: &mut Steps<'_>) -> &mut User {
        let place = steps.below(self.users.len());
        &mut self.users[place]
    }

    fn subscribe(&mut self, steps: &mut Steps<'_>) {
        let (place, subject) = (steps.below(self.users.len()), subject(steps));
        let user = &mut self.users[place];
        if user.subscriptions.len() < MAX_SUBSCRIPTIONS && user.flush.is_none() {
            let id = self.session.subscribe(user.id, &subject);
            user.unconfirmed.add(&key(SUBSCRIPTION, &subject));
            user.subscriptions.push(Subscription {
                id: id.expect("memory for a subscription"),
                subject,
                lost: false,
                ended: false,
            });
        }
    }

    fn unsubscribe(&mut self, steps: &mut Steps<'_>) {
        let (place, id) = (steps.below(self.users.len()), self.any_id(steps));
        let user = &mut self.users[place];
        let known = user.find(id).is_some();
        assert_eq!(self.session.unsubscribe(user.id, id), known);
        user.subscriptions.retain(|known| known.id != id);
        user.unsure += user.forget(|event| event.is_of(id));
    }

    /// The id of a subscription of anybody, or of none.
    fn any_id(&self, steps: &mut Steps<'_>) -> u64 {
        let ids = self.users.iter().flat_map(|user| &user.subscriptions);
        let ids = ids
            .map(|known| known.id)
            .chain([10_000])
            .collect::<Vec<_>>();
        ids[steps.below(ids.len())]
    }

    fn publish(&mut self, steps: &mut Steps<'_>) {
        let (place, subject, len) = (
            steps.below(self.users.len()),
            subject(steps),
            steps.byte() * 64,
        );
        let Some(connection) = &mut self.connection else {
            return;
        };
        let user = &mut self.users[place];
        if user.flush.is_some() {
            return;
        }
        let published = self.session.publish(user.id, &subject, len);
        assert_eq!(published.is_err(), user.lost, "a loss is reported once");
        user.lost = false;
        if published.is_ok() {
            connection.written += len as u64;
            user.unconfirmed.add(&key(PUBLISH, &subject));
            user.unconfirmed.published = true;
        }
    }

    fn flush(&mut self, steps: &mut Steps<'_>) {
        let place = steps.below(self.users.len());
        let user = &mut self.users[place];
        if user.flush.is_some() {
            return;
        }
        let loss = self.session.take_loss(user.id);
        assert_eq!(loss.is_some(), user.lost, "a loss is reported once");
        user.lost = false;
        let Some(connection) = self.connection.as_mut().filter(|_| loss.is_none()) else {
            return;
        };
        let flush = self.session.flush(user.id).expect("there is a connection");
        user.pings += 1;
        user.flush = Some((flush, user.pings, false));
        connection.pings.push_back(Some((user.key, user.pings)));
        connection.pinged_at = self.session.now();
    }

    /// The user waits no longer.
    fn end_flush(&mut self, steps: &mut Steps<'_>) {
        self.user(steps).flush = None;
    }

    fn end_something(&mut self, steps: &mut Steps<'_>) {
        let (place, others) = (steps.below(self.users.len()), self.users.len() - 1);
        let user = &mut self.users[place];
        let ids = user
            .subscriptions
            .iter()
            .map(|known| known.id)
            .collect::<Vec<_>>();
        match steps.below(4) {
            0 if others > 0 => {
                let user = self.users.remove(place);
                assert_eq!(self.session.remove_user(user.id), ids);
            }
            1 => {
                assert_eq!(self.session.drain(user.id), ids);
                user.subscriptions
                    .iter_mut()
                    .for_each(|known| known.ended = true);
            }
            2 => {
                self.session.end_drained(user.id);
                user.subscriptions.retain(|known| !known.ended);
            }
            _ => self.lose(),
        }
    }

    // What the server says.

    fn say(&mut self, bytes: impl AsRef<[u8]>, what: What) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        let start = connection.delivered + connection.wire.len();
        connection.wire.extend_from_slice(bytes.as_ref());
        let end = connection.delivered + connection.wire.len();
        connection.said.push_back(Said { start, end, what });
    }

    fn message(&mut self, steps: &mut Steps<'_>) -> (Vec<u8>, u64, u64) {
        let (sid, form, len) = (self.any_id(steps), steps.byte(), 20 + steps.byte() % 200);
        self.serial += 1;
        let serial = self.serial;
        let body = format!("{serial:<len$}");
        let reply = if form & 1 == 0 { "" } else { "reply.to " };
        let bytes = match form & 2 == 0 {
            true => format!("MSG subject {sid} {reply}{len}\r\n{body}\r\n"),
            false => {
                let headers = "NATS/1.0\r\nA: b\r\nno colon\r\n\r\n";
                let head = headers.len();
                let all = head + len;
                format!("HMSG subject {sid} {reply}{head} {all}\r\n{headers}{body}\r\n")
            }
        };
        (bytes.into_bytes(), sid, serial)
    }

    fn server_sends(&mut self, steps: &mut Steps<'_>) {
        let (bytes, sid, serial) = self.message(steps);
        self.say(bytes, What::Message { sid, serial });
    }

    fn server_answers(&mut self, steps: &mut Steps<'_>) {
        for _ in 0..=steps.below(3) {
            self.say(PONG, What::Pong);
        }
    }

    fn server_refuses(&mut self, steps: &mut Steps<'_>) {
        let (form, subject) = (steps.below(5), subject(steps));
        let (text, subject) = match form {
            0 | 1 => (
                format!("Permissions Violation for Publish to \"{subject}\""),
                Some(subject),
            ),
            2 => (
                format!(
                    "permissions violation for Subscription to \"{subject}\" using queue \"q\""
                ),
                Some(subject),
            ),
            3 => ("Invalid Subject \u{1b}[31m".into(), None),
            _ => ("maximum subscriptions exceeded".into(), None),
        };
        self.say(format!("-ERR '{text}'\r\n"), What::Error { subject, text });
    }

    fn server_is_hostile(&mut self, steps: &mut Steps<'_>) {
        let (form, sid) = (steps.below(14), self.any_id(steps));
        let too_long = MAX_MESSAGE + 1;
        let long = "x".repeat(2000);
        match form {
            0 => self.say(
                [&b"MSG \xff"[..], format!(" {sid} 1\r\nx\r\n").as_bytes()].concat(),
                What::Unreadable { sid },
            ),
            1 => self.say(
                format!("MSG a {sid} {too_long}\r\n{:too_long$}\r\n", ""),
                What::Unreadable { sid },
            ),
            2 => {
                for _ in 0..=steps.byte() {
                    self.say(PING, What::Ping);
                }
            }
            3 => self.say("+OK\r\n", What::Nothing),
            4 => self.say(
                "INFO {\"ldm\":true,\"connect_urls\":[\"a:1\"]}\r\n",
                What::Nothing,
            ),
            5 => {
                let text = format!("Invalid Subject {long}");
                self.say(
                    format!("-ERR '{text}'\r\n"),
                    What::Error {
                        subject: None,
                        text,
                    },
                );
            }
            6 => {
                let text = format!("Permissions Violation for Publish to \"{long}x\"");
                self.say(
                    format!("-ERR '{text}'\r\n"),
                    What::Error {
                        subject: None,
                        text,
                    },
                );
            }
            7 => self.say("hello\r\n", What::Fatal),
            8 => self.say(format!("MSG a {sid} 99999999999999999999\r\n"), What::Fatal),
            9 => self.say(format!("MSG a {sid} 2\r\nabc\r\n"), What::Fatal),
            10 => self.say("-ERR 'Authorization Violation'\r\n", What::Fatal),
            11 => self.say("INFO {\r\n", What::Fatal),
            12 => self.say(format!("HMSG a {sid} 9 8\r\n"), What::Fatal),
            _ => self.say("\0\r\n", What::Fatal),
        }
    }

    // What arrives of it.

    fn deliver_some(&mut self, steps: &mut Steps<'_>) {
        match steps.byte() {
            0..128 => self.deliver(usize::MAX),
            len => self.deliver(len - 127),
        }
    }

    fn deliver(&mut self, len: usize) {
        let Some(connection) = self
            .connection
            .as_mut()
            .filter(|known| !known.wire.is_empty())
        else {
            return;
        };
        let rest = connection.wire.split_off(len.min(connection.wire.len()));
        let piece = std::mem::replace(&mut connection.wire, rest);
        connection.delivered += piece.len();
        connection.heard_at = self.session.now();
        let delivered = connection.delivered;
        let fed = self.session.feed(&piece);
        loop {
            let Some(connection) = &mut self.connection else {
                return;
            };
            match connection.said.front() {
                Some(Said {
                    start,
                    end,
                    what: What::Fatal,
                }) if *start < delivered => {
                    assert!(
                        fed.is_err() || *end > delivered,
                        "a server that broke the protocol"
                    );
                    if fed.is_err() {
                        self.lose();
                    }
                    return;
                }
                Some(said) if said.end <= delivered => {}
                _ => break,
            }
            if let Some(said) = connection.said.pop_front() {
                self.arrived(said.what);
            }
        }
        assert_eq!(fed, Ok(()), "a good server");
    }

    fn arrived(&mut self, what: What) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        match what {
            What::Message { sid, serial } => self.arrived_for(sid, Event::Message { sid, serial }),
            What::Copy { sid, serial } => self.arrived_for(sid, Event::Copy { sid, serial }),
            What::Unreadable { sid } => self.arrived_for(sid, Event::Unreadable { sid }),
            What::Ping => connection.pongs_due = (connection.pongs_due + 1).min(MAX_PONGS),
            What::Pong => {
                if let Some(Some((key, number))) = connection.pings.pop_front() {
                    let user = self.users.iter_mut().find(|user| user.key == key);
                    if let Some(Some((_, waits, is_answered))) = user.map(|user| &mut user.flush) {
                        *is_answered |= number == *waits;
                    }
                }
            }
            What::Error { subject, text } => self.refuse(subject.as_deref(), &text),
            What::Fatal | What::Nothing => {}
        }
    }

    fn arrived_for(&mut self, sid: u64, event: Event) {
        for user in &mut self.users {
            let is_new =
                !matches!(&event, Event::Copy { serial, .. } if user.seen.contains(serial));
            if is_new && user.find(sid).is_some() {
                user.expected.push_back(event.clone());
            }
        }
    }

    fn refuse(&mut self, subject: Option<&str>, text: &str) {
        let is_about_all = text.starts_with("maximum subscriptions");
        let purpose = match text.contains("for Subscription") {
            true => SUBSCRIPTION,
            false => PUBLISH,
        };
        let refused = key(purpose, subject.unwrap_or_default());
        let owns: [&dyn Fn(&User) -> bool; 2] = match subject {
            Some(_) => [&|user| user.unconfirmed.known.contains(&refused), &|user| {
                user.unconfirmed.overflowed
            }],
            None => [
                &move |user| is_about_all && user.unconfirmed.is_some,
                &|_| false,
            ],
        };
        let owns = owns.into_iter().find(|owns| self.users.iter().any(owns));
        let subject = subject.unwrap_or_default();
        let has_it = |user: &User| {
            user.subscriptions
                .iter()
                .any(|known| known.subject == subject)
        };
        let anybody_has_it = self.users.iter().any(has_it);
        for user in &mut self.users {
            match owns {
                Some(owns) if owns(user) => {
                    let refusal = (subject.to_string(), text.to_string());
                    if !user.refused.contains(&refusal) && user.refused.len() < MAX_KNOWN {
                        user.refused.push(refusal);
                    }
                }
                None if (!anybody_has_it || has_it(user)) && user.waiting_errors < MAX_KNOWN => {
                    user.waiting_errors += 1;
                    user.expected.push_back(Event::ServerError(text.into()));
                }
                _ => {}
            }
        }
    }

    // What the users see.

    fn next(&mut self, steps: &mut Steps<'_>) {
        let place = steps.below(self.users.len());
        self.next_for(place);
    }

    /// False if there was nothing.
    fn next_for(&mut self, place: usize) -> bool {
        let now = self.session.now();
        let user = &mut self.users[place];
        let Some(next) = self.session.next(user.id) else {
            for event in std::mem::take(&mut user.expected) {
                user.miss(&event);
            }
            return false;
        };
        let error = match next {
            Ok(message) => {
                user.came(&event(&message));
                return true;
            }
            Err(error) => error,
        };
        check_words(&error);
        match error.kind() {
            Kind::SlowConsumer { dropped } => {
                assert!(dropped > 0);
                let is_due = |at: u64| now >= at + REPORT_INTERVAL;
                assert!(user.reported_at.is_none_or(is_due), "reported too often");
                user.reported_at = Some(now);
                user.reported += dropped;
            }
            Kind::Disconnected => {
                user.came(&Event::Lost);
                user.subscriptions
                    .iter_mut()
                    .for_each(|known| known.lost = false);
            }
            Kind::Refused => {
                let text = user.expected.iter().find_map(|event| match event {
                    Event::ServerError(text) => Some(text.clone()),
                    _ => None,
                });
                let text = text.expect("a server error");
                assert!(error.to_string().contains(&text[..15]), "{error}");
                user.came(&Event::ServerError(text));
                user.waiting_errors -= 1;
            }
            Kind::Local => {
                let (count, sid) = unreadable(&error);
                (0..count).for_each(|_| user.came(&Event::Unreadable { sid }));
            }
            _ => panic!("{error}"),
        }
        true
    }

    fn next_of(&mut self, steps: &mut Steps<'_>) {
        let (place, id, stops) = (
            steps.below(self.users.len()),
            self.any_id(steps),
            steps.byte(),
        );
        let user = &mut self.users[place];
        let next = self.session.next_of(user.id, id);
        if stops & 1 == 0 {
            self.session.stop_waiting(user.id);
        }
        let (came, count) = match &next {
            Some(Ok(message)) => (Some(event(message)), 1),
            Some(Err(error)) if error.kind() == Kind::Local => {
                let (count, sid) = unreadable(error);
                (Some(Event::Unreadable { sid }), count)
            }
            _ => (None, 1),
        };
        for _ in 0..count {
            user.came_of(id, came.as_ref());
        }
        let known = user.find(id).map(|known| std::mem::take(&mut known.lost));
        match next {
            None => assert_eq!(known, Some(false), "a loss that is not reported"),
            Some(Ok(_)) | Some(Err(_)) if came.is_some() => {
                // It is reported behind what was received.
                if let (Some(subscription), Some(lost)) = (user.find(id), known) {
                    subscription.lost = lost;
                }
            }
            Some(Ok(_)) => unreachable!("it came"),
            Some(Err(error)) => match error.kind() {
                Kind::Disconnected => {
                    assert_eq!(known, Some(true), "a loss is reported once");
                    if user.subscriptions.len() == 1 {
                        user.forget(|event| *event == Event::Lost);
                    }
                }
                Kind::InvalidOption => assert_eq!(known, None),
                _ => panic!("{error}"),
            },
        }
    }

    // Time and connections.

    fn pass_time(&mut self, steps: &mut Steps<'_>) {
        let long = steps.byte();
        self.session.advance(if long & 1 == 0 {
            long as u64
        } else {
            20 * long as u64
        });
        let mut out = Vec::new();
        self.session.write_control(&mut out);
        let now = self.session.now();
        let Some(connection) = &mut self.connection else {
            return;
        };
        let due = std::mem::take(&mut connection.pongs_due);
        assert_eq!(String::from_utf8_lossy(&out), PONG.repeat(due));
        out.clear();
        let kept = self.session.keep_alive(&mut out);
        let silent = now - connection.heard_at;
        let for_written = connection.written * 1000 / 65_536;
        let last = connection.pinged_at.max(connection.heard_at);
        let give_up = last + NatsSession::TIMEOUT + for_written;
        match kept {
            Err(_) => {
                assert!(!connection.pings.is_empty() && silent >= NatsSession::TIMEOUT);
                self.lose();
            }
            Ok(()) if out.is_empty() && connection.pings.is_empty() => {
                assert!(silent < NatsSession::PING_INTERVAL, "a silent server");
            }
            Ok(()) if out.is_empty() => assert!(now < give_up, "a server that does not answer"),
            Ok(()) => {
                assert!(out == PING.as_bytes() && connection.pings.is_empty());
                assert!(silent >= NatsSession::PING_INTERVAL);
                connection.pings.push_back(None);
                connection.pinged_at = now;
            }
        }
    }

    fn new_connection(&self) -> Connection {
        Connection {
            pings: VecDeque::new(),
            pongs_due: 0,
            heard_at: self.session.now(),
            pinged_at: self.session.now(),
            written: 0,
            wire: Vec::new(),
            delivered: 0,
            said: VecDeque::new(),
        }
    }

    fn connect(&mut self, steps: &mut Steps<'_>) {
        if self.connection.is_some() {
            return;
        }
        let form = steps.byte();
        self.session.open();
        self.connection = Some(self.new_connection());
        if form & 3 == 0 {
            let (bytes, ..) = self.message(steps);
            self.session
                .feed(&bytes)
                .expect_err("a message before INFO");
            self.lose();
            return;
        }
        self.session.feed(INFO.as_bytes()).expect("INFO");
        assert!(!self.session.is_ready());
        assert_eq!(self.session.connect_sent(), self.renewed());
        if form & 3 == 2 {
            self.lose();
            return;
        }
        self.session.feed(PONG.as_bytes()).expect("PONG");
        assert!(self.session.is_ready() && self.session.is_drained());
    }

    fn renewed(&self) -> Vec<u64> {
        let known = self.users.iter().flat_map(|user| &user.subscriptions);
        let ids = known.filter(|known| !known.ended).map(|known| known.id);
        let mut ids = ids.collect::<Vec<_>>();
        ids.sort_unstable();
        ids
    }

    fn lose(&mut self) {
        if self.connection.take().is_none() {
            return;
        }
        self.session.lose();
        for user in &mut self.users {
            if let Some((flush, ..)) = user.flush.take() {
                let is_confirmed = self.session.is_confirmed(user.id, flush);
                assert!(!is_confirmed, "confirmed by a connection that is lost");
            }
            user.lose();
        }
    }

    /// Some messages come on the old connection, some on both, some on the new one.
    fn move_away(&mut self, steps: &mut Steps<'_>) {
        self.deliver(usize::MAX);
        // A server that was cut within a line is not asked to answer any more.
        if self
            .connection
            .as_ref()
            .is_none_or(|known| !known.said.is_empty())
        {
            return;
        }
        let (form, both, alone) = (steps.byte(), steps.below(4), steps.below(3));
        let greeting = if form & 1 == 0 {
            "INFO {}\r\nPONG\r\n"
        } else {
            "INFO {}\r\nhello\r\n"
        };
        let started = self.session.start_move(greeting.as_bytes());
        assert_eq!(started.is_err(), form & 1 == 1);
        (0..alone).for_each(|_| self.server_sends(steps));
        if form & 3 != 0 {
            self.session.abandon_move();
            self.deliver(usize::MAX);
            return;
        }
        let on_both = (0..both).map(|_| self.message(steps)).collect::<Vec<_>>();
        for (bytes, sid, serial) in &on_both {
            self.say(
                bytes,
                What::Message {
                    sid: *sid,
                    serial: *serial,
                },
            );
        }
        let mut out = Vec::new();
        self.session.write_last(&mut out);
        assert_eq!(out, PING.as_bytes());
        if let Some(connection) = &mut self.connection {
            connection.pings.push_back(None);
        }
        let answers = self
            .connection
            .as_ref()
            .map_or(0, |known| known.pings.len());
        (0..answers).for_each(|_| self.say(PONG, What::Pong));
        self.deliver(usize::MAX);
        assert!(self.session.is_drained());
        if form & 4 != 0 {
            self.lose();
            return;
        }
        self.connection = Some(self.new_connection());
        self.session.end_move();
        out.clear();
        self.session.write_control(&mut out);
        assert_eq!(out, PING.as_bytes());
        if let Some(connection) = &mut self.connection {
            connection.pings.push_back(None);
        }
        for (bytes, sid, serial) in on_both {
            self.say(bytes, What::Copy { sid, serial });
            // What there was no room for the first time may find some now, or be counted again.
            let owner = self
                .users
                .iter_mut()
                .find(|user| user.subscriptions.iter().any(|known| known.id == sid));
            if let Some(owner) = owner {
                owner.unsure += 1;
            }
        }
        (0..alone).for_each(|_| self.server_sends(steps));
        if form & 8 == 0 {
            self.say(PONG, What::Pong);
            (0..alone).for_each(|_| self.server_sends(steps));
        }
    }

    /// Any bytes; what they mean is not looked into. Then all starts anew.
    fn raw(&mut self, steps: &mut Steps<'_>) {
        if self.connection.is_none() {
            return;
        }
        let len = steps.byte();
        self.session.feed(steps.take(len)).ok();
        self.lose();
        for user in &mut self.users {
            self.session.take_loss(user.id);
            let refused = (0..=MAX_KNOWN).find(|_| self.session.confirm(user.id).is_ok());
            refused.expect("refusals are bounded");
            let mut losses = 0;
            loop {
                match self.session.next(user.id) {
                    Some(Err(error)) => {
                        check_words(&error);
                        losses += u32::from(error.kind() == Kind::Disconnected);
                    }
                    Some(Ok(_)) => {}
                    None if user.has_room || user.reported_at.is_none() => break,
                    None => {
                        self.session.advance(REPORT_INTERVAL);
                        user.reported_at = None;
                    }
                }
            }
            assert!(
                losses > 0 || user.subscriptions.is_empty(),
                "a loss that is not reported"
            );
            let fresh = User::new(user.id, user.key, user.has_room);
            let old = std::mem::replace(user, fresh);
            (user.subscriptions, user.pings) = (old.subscriptions, old.pings);
            user.subscriptions
                .iter_mut()
                .for_each(|known| known.lost = false);
            // When something was last reported is not known.
            self.session.advance(REPORT_INTERVAL);
        }
    }

    // What holds after each step.

    fn check(&mut self) {
        assert_eq!(self.session.is_open(), self.connection.is_some());
        for user in &mut self.users {
            let left = user.unconfirmed.published || user.lost;
            assert_eq!(self.session.has_unconfirmed(user.id), left);
            assert!(user.reported <= user.missing + user.unsure + user.expected.len() as u64);
            let Some((flush, _, is_answered)) = user.flush else {
                continue;
            };
            assert_eq!(self.session.is_confirmed(user.id, flush), is_answered);
            if is_answered {
                user.flush = None;
                (user.unconfirmed, user.lost) = (Unconfirmed::default(), false);
                let confirmed = self.session.confirm(user.id);
                let refused = (!user.refused.is_empty()).then(|| user.refused.remove(0));
                let told = confirmed.as_ref().err().and_then(BrokerError::subject);
                assert_eq!(told, refused.as_ref().map(|(subject, _)| &**subject));
                assert!(confirmed.is_ok_and(|()| refused.is_none()) || refused.is_some());
            }
        }
        let room = ROOM[usize::from(!self.has_room)];
        // One message and one that is waited for, whatever there is, and errors.
        let most = self.users.len() * (room + 3 * MAX_MESSAGE + 100_000) + 200_000;
        let held = self.session.held();
        assert!(held <= most, "{held} bytes are kept");
    }

    fn finish(&mut self) {
        self.deliver(usize::MAX);
        self.check();
        for place in 0..self.users.len() {
            for _ in 0..2 {
                while self.next_for(place) {}
                self.session.advance(REPORT_INTERVAL);
            }
            let user = &self.users[place];
            let (missing, reported) = (user.missing, user.reported);
            assert!(
                missing <= reported && reported <= missing + user.unsure,
                "{missing} are missing, {reported} reported"
            );
            assert!(reported == 0 || !user.has_room);
        }
    }
}

/// A subject is told apart with its use.
fn key(purpose: char, subject: &str) -> String {
    format!("{purpose}{subject}")
}

fn subject(steps: &mut Steps<'_>) -> String {
    format!("s.{}", steps.below(SUBJECTS))
}

fn event(message: &Message) -> Event {
    let text = std::str::from_utf8(&message.payload).expect("what the server sent");
    let serial = text.trim_end().parse().expect("what the server sent");
    let sid = message.subscription.0;
    Event::Message { sid, serial }
}

/// How many, and of which subscription.
fn unreadable(error: &BrokerError) -> (u64, u64) {
    let text = error.to_string();
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty());
    let mut number = || {
        numbers
            .next()
            .and_then(|digits| digits.parse().ok())
            .expect("a number")
    };
    (number(), number())
}
