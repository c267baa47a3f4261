//! The client's side of NATS without a socket, clock, lock or thread: what arrived and the time go in,
//! messages, confirmations and errors come out.
//!
//! A [`Session`] outlives its connections: it holds what belongs to the clients that share them
//! (subscriptions, received messages, what is not confirmed). A [`Link`] is one connection. A driver
//! moves the bytes: it feeds what it received, and writes what the functions of
//! [`protocol`](super::protocol) append to its buffer.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::error::{BrokerError, BrokerErrorKind as Kind};
use super::headers::Headers;
use super::protocol::{self, Limits, MessageError, Op, ParseError, Parser, ServerInfo};
use super::subject::MAX_SUBJECT_LEN;
use super::{Message, SubscriptionId};
use crate::cause::text;
use crate::trace::Escaped;

/// Reports of dropped messages are summed up, and made no more often than this.
const REPORT_INTERVAL: Millis = 1000;
/// Server errors that wait to be reported to one client; further ones are only logged.
const MAX_WAITING_ERRORS: usize = 16;
/// PONGs that wait to be written. A server that sends more PINGs than it reads PONGs gets no more.
const MAX_PONGS_DUE: u8 = 8;
/// Messages whose second copy is recognized during a move from one connection to another.
const MAX_OVERLAP: usize = 16_384;
/// A PING is given one more second for this many bytes that were written and are not confirmed.
const SLOWEST_WRITE: u64 = 65_536;

/// A moment of a monotonic clock, in milliseconds.
pub(crate) type Millis = u64;

/// Who uses a session: each clone of a host's client, or the only client of a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientId(u32);

/// What all connections of a client have in common, and what each of its users waits for.
pub(crate) struct Session {
    max_message_size: usize,
    max_pending: usize,
    subscriptions: Vec<Subscription>,
    last_subscription: u64,
    clients: Vec<Client>,
    last_client: u32,
    /// Why the last connection was lost, for the errors that report it.
    loss: String,
    /// Connections that were lost.
    losses: u32,
    /// Messages and confirmations that came, on whichever connection.
    served: u64,
    /// Hashes of the messages that came on the old connection during a move.
    overlap: Vec<u64>,
}

/// A subscription. It stays when the connection is renewed.
pub(crate) struct Subscription {
    pub(crate) id: SubscriptionId,
    client: ClientId,
    pub(crate) subject: String,
    pub(crate) queue: Option<String>,
    /// A connection was lost, and [`Session::next_of`] has not reported it.
    lost: bool,
    /// Drained: it takes what is on its way, and is not renewed.
    ended: bool,
}

/// One user of the session.
struct Client {
    id: ClientId,
    queue: VecDeque<Event>,
    /// Bytes that the events in `queue` take.
    used: usize,
    waiting_errors: usize,
    /// The subscription that [`Session::next_of`] waits for: a message of it is kept even if others
    /// have filled the queue.
    awaited: Option<SubscriptionId>,
    /// Messages that came when there was no room, and are not reported yet.
    dropped: u64,
    reported_at: Option<Millis>,
    unconfirmed: Unconfirmed,
    /// A connection was lost while something was unconfirmed, and that is not reported yet.
    lost: bool,
    /// Publishes and subscriptions that the server refused, for the next flush.
    refused: Vec<Refusal>,
    /// The last of this client's PINGs that was answered, counted from 1.
    confirmed: u32,
    /// PINGs that this client sent.
    pings: u32,
    /// Something changed that the client may be waiting for.
    is_woken: bool,
}

/// What comes to a client, in its order.
enum Event {
    Message(Message),
    /// A message that was read past; how many of them in a row.
    Refused(SubscriptionId, MessageError, u64),
    /// The connection was lost, so that messages may be missing from here on.
    Lost,
    /// A server error that belongs to no publish or subscription of this client.
    ServerError(String),
}

/// A server error that names what it refuses.
struct Refusal {
    subject: String,
    error: String,
}

/// What was published or subscribed since the last confirmation.
#[derive(Default)]
struct Unconfirmed {
    is_some: bool,
    /// Something was published: it is lost if the connection is.
    published: bool,
    /// Hashes of its subjects, the last one first; further ones are not known.
    subjects: [u32; MAX_KNOWN_SUBJECTS],
    known: usize,
    overflowed: bool,
}

/// Subjects whose errors can be told apart while they are unconfirmed.
const MAX_KNOWN_SUBJECTS: usize = 16;

impl Unconfirmed {
    fn add(&mut self, subject: &str) {
        self.is_some = true;
        let hash = hash(subject);
        let known = &self.subjects[..self.known];
        if known.contains(&hash) {
            return;
        }
        match self.subjects.get_mut(self.known) {
            Some(place) => {
                *place = hash;
                self.known += 1;
            }
            None => self.overflowed = true,
        }
    }

    fn has(&self, subject: &str) -> bool {
        self.is_some && self.subjects[..self.known].contains(&hash(subject))
    }
}

/// FNV-1a of all that tells two messages apart.
fn message_hash(message: &Message) -> u64 {
    let id = message.subscription.0.to_le_bytes();
    let reply = message.reply.as_deref().unwrap_or_default();
    let parts = [
        &id[..],
        message.subject.as_bytes(),
        reply.as_bytes(),
        &message.payload,
    ];
    let bytes = parts.into_iter().flatten();
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// FNV-1a. A collision only gives an error that names its subject to one client more.
fn hash(subject: &str) -> u32 {
    subject.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// One connection: its parser, what its server said of itself, and PINGs without an answer.
pub(crate) struct Link {
    /// The server's URL, without secrets.
    pub(crate) url: String,
    parser: Parser,
    pub(crate) info: Option<ServerInfo>,
    /// INFO has come since this was last asked for.
    has_news: bool,
    state: State,
    /// Whose PINGs are to be answered, in their order, each with `written` when it was sent.
    pings: VecDeque<(PingOf, u64)>,
    pongs_due: u8,
    is_move_ping_due: bool,
    ping_interval: Millis,
    timeout: Millis,
    heard_at: Millis,
    /// When the oldest PING without an answer was written.
    waiting_since: Option<Millis>,
    /// Bytes written on this connection.
    written: u64,
    /// As many of them as a PONG has confirmed.
    confirmed: u64,
    overlap: Overlap,
}

/// How far a connection has come.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// CONNECT is not confirmed yet.
    Connecting,
    Ready,
    /// The server has sent an error after which it closes.
    Refused(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PingOf {
    Connect,
    KeepAlive,
    /// Behind the last that is written on this connection, or the first after a move to it.
    Move,
    /// A client's, with its number.
    Client(ClientId, u32),
}

/// What happens to messages while a client moves from one connection to another and its subscriptions
/// are on both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overlap {
    None,
    /// They may come on the new connection too.
    Old,
    /// They may have come on the old connection.
    New,
}

/// A PING to wait for; see [`Session::is_confirmed`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Confirmation(u32);

/// Why a connection is of no use any more.
#[derive(thiserror::Error)]
pub(crate) enum LinkError {
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error("the server closes the connection: {0}")]
    Refused(String),
    #[error("no answer to a PING within {0} ms")]
    Silent(Millis),
    #[error("the server did not begin with INFO")]
    NotInfo,
}

crate::cause::debug_tells_causes!(LinkError);

impl Link {
    /// A connection that has just been opened.
    pub(crate) fn new(
        url: String,
        ping_interval: Duration,
        timeout: Duration,
        now: Millis,
    ) -> Self {
        Self {
            url,
            parser: Parser::new(Limits {
                // The room in a client's queue decides.
                max_payload: usize::MAX,
                ..Limits::default()
            }),
            info: None,
            has_news: false,
            state: State::Connecting,
            pings: VecDeque::new(),
            pongs_due: 0,
            is_move_ping_due: false,
            ping_interval: millis(ping_interval).max(1),
            timeout: millis(timeout).max(1),
            heard_at: now,
            waiting_since: None,
            written: 0,
            confirmed: 0,
            overlap: Overlap::None,
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// The server's error after which it closes, if it has sent one.
    pub(crate) fn refusal(&self) -> Option<&str> {
        match &self.state {
            State::Refused(error) => Some(error),
            _ => None,
        }
    }

    /// INFO, if one has come since the last call.
    pub(crate) fn take_news(&mut self) -> Option<&ServerInfo> {
        match core::mem::take(&mut self.has_news) {
            true => self.info.as_ref(),
            false => None,
        }
    }

    /// Notes that CONNECT is written with a PING behind it.
    pub(crate) fn connect_sent(&mut self, now: Millis) {
        self.ping_sent(PingOf::Connect, now);
    }

    /// Notes that this is the connection that was moved to.
    pub(crate) fn moved_to(&mut self) {
        self.overlap = Overlap::New;
    }

    /// Appends the PING behind the last that is written on the old connection.
    pub(crate) fn write_last_ping(&mut self, now: Millis, out: &mut Vec<u8>) {
        protocol::ping(out);
        self.ping_sent(PingOf::Move, now);
    }

    /// Notes that the old connection has ended: what comes behind the answer to a PING that is sent now
    /// has not come on it.
    pub(crate) fn old_ended(&mut self) {
        self.is_move_ping_due = true;
    }

    /// Whether everything that was written has been answered.
    pub(crate) fn is_drained(&self) -> bool {
        self.pings.is_empty()
    }

    /// PINGs that are not answered yet.
    #[cfg(feature = "nal")]
    pub(crate) fn unanswered(&self) -> usize {
        self.pings.len()
    }

    fn ping_sent(&mut self, of: PingOf, now: Millis) {
        self.pings.push_back((of, self.written));
        self.waiting_since.get_or_insert(now);
    }

    /// Notes that bytes were written: an answer may take as long as they do.
    pub(crate) fn wrote(&mut self, len: usize) {
        self.written = self.written.saturating_add(len as u64);
    }

    /// Whether PONGs or the PING at the end of a move are to be written.
    pub(crate) fn has_control_due(&self) -> bool {
        self.pongs_due > 0 || self.is_move_ping_due
    }

    /// Appends PONGs and the PING at the end of a move, if they are due.
    pub(crate) fn write_control(&mut self, now: Millis, out: &mut Vec<u8>) {
        for _ in 0..core::mem::take(&mut self.pongs_due) {
            protocol::pong(out);
        }
        if core::mem::take(&mut self.is_move_ping_due) {
            self.write_last_ping(now, out);
        }
    }

    /// Appends a PING if the server has been silent for long.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) fn keep_alive(&mut self, now: Millis, out: &mut Vec<u8>) -> Result<(), LinkError> {
        if now < self.wake_at() {
            return Ok(());
        }
        if self.waiting_since.is_some() {
            return Err(self.silence());
        }
        protocol::ping(out);
        self.ping_sent(PingOf::KeepAlive, now);
        Ok(())
    }

    /// What it means that [`wake_at`](Self::wake_at) has come while a PING is not answered.
    pub(crate) fn silence(&self) -> LinkError {
        LinkError::Silent(self.timeout)
    }

    /// When [`keep_alive`](Self::keep_alive) has something to do, unless the server says something
    /// before.
    pub(crate) fn wake_at(&self) -> Millis {
        match self.waiting_since {
            Some(since) => {
                let written = self.written.saturating_sub(self.confirmed);
                let for_written = written.saturating_mul(1000) / SLOWEST_WRITE;
                let silent_since = since.max(self.heard_at);
                silent_since
                    .saturating_add(self.timeout)
                    .saturating_add(for_written)
            }
            None => self.heard_at.saturating_add(self.ping_interval),
        }
    }
}

impl Session {
    /// A session whose clients keep up to `max_pending` bytes of messages each, of at most
    /// `max_message_size` bytes a message.
    pub(crate) fn new(max_message_size: usize, max_pending: usize) -> Self {
        Self {
            max_message_size,
            max_pending,
            subscriptions: Vec::new(),
            last_subscription: 0,
            clients: Vec::new(),
            last_client: 0,
            loss: String::new(),
            losses: 0,
            served: 0,
            overlap: Vec::new(),
        }
    }

    // Clients.

    pub(crate) fn add_client(&mut self) -> ClientId {
        self.last_client = self.last_client.wrapping_add(1);
        let id = ClientId(self.last_client);
        // A board has one.
        self.clients.reserve_exact(1);
        self.clients.push(Client {
            id,
            queue: VecDeque::new(),
            used: 0,
            waiting_errors: 0,
            awaited: None,
            dropped: 0,
            reported_at: None,
            unconfirmed: Unconfirmed::default(),
            lost: false,
            refused: Vec::new(),
            confirmed: 0,
            pings: 0,
            is_woken: false,
        });
        id
    }

    /// Forgets a client with its subscriptions, whose ids are returned to be unsubscribed from.
    pub(crate) fn remove_client(&mut self, id: ClientId) -> Vec<SubscriptionId> {
        let of_client = |known: &&Subscription| known.client == id;
        let ids = self.subscriptions.iter().filter(of_client);
        let ids = ids.map(|known| known.id).collect();
        self.subscriptions.retain(|known| known.client != id);
        self.clients.retain(|client| client.id != id);
        ids
    }

    /// Whether anything has changed for a client since this was last asked.
    pub(crate) fn take_woken(&mut self, id: ClientId) -> bool {
        let client = self.client(id);
        client.is_some_and(|client| core::mem::take(&mut client.is_woken))
    }

    #[inline(never)]
    fn client(&mut self, id: ClientId) -> Option<&mut Client> {
        self.clients.iter_mut().find(|client| client.id == id)
    }

    // Subscriptions.

    /// Adds a subscription. It is to be written if there is a connection.
    ///
    /// # Errors
    /// The length in bytes for which there is no memory.
    pub(crate) fn subscribe(
        &mut self,
        client: ClientId,
        subject: &str,
        queue: Option<&str>,
    ) -> Result<SubscriptionId, usize> {
        let id = SubscriptionId(self.last_subscription + 1);
        let subscription = Subscription {
            id,
            client,
            subject: copy(subject)?,
            queue: queue.map(copy).transpose()?,
            lost: false,
            ended: false,
        };
        let no_memory = |_| size_of::<Subscription>();
        self.subscriptions.try_reserve(1).map_err(no_memory)?;
        self.subscriptions.push(subscription);
        self.last_subscription = id.0;
        if let Some(client) = self.client(client) {
            client.unconfirmed.add(subject);
        }
        Ok(id)
    }

    /// Removes a subscription and its messages; false if there was none. It is to be written then.
    pub(crate) fn unsubscribe(&mut self, client: ClientId, id: SubscriptionId) -> bool {
        let is_it = |known: &Subscription| known.id == id && known.client == client;
        let known = self.subscriptions.iter().any(is_it);
        self.subscriptions.retain(|known| !is_it(known));
        if let Some(client) = self.client(client) {
            client.forget(id);
        }
        known
    }

    /// Ends a client's subscriptions but for what is on its way. They are to be unsubscribed from.
    pub(crate) fn drain(&mut self, client: ClientId) -> Vec<SubscriptionId> {
        let of_client = self.subscriptions.iter_mut();
        let of_client = of_client.filter(|known| known.client == client);
        let end = |known: &mut Subscription| {
            known.ended = true;
            known.id
        };
        of_client.map(end).collect()
    }

    /// Forgets the subscriptions that were drained; their messages stay.
    pub(crate) fn end_drained(&mut self, client: ClientId) {
        let is_over = |known: &Subscription| known.client == client && known.ended;
        self.subscriptions.retain(|known| !is_over(known));
    }

    /// The subscriptions that a new connection has to renew.
    pub(crate) fn subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        self.subscriptions.iter().filter(|known| !known.ended)
    }

    /// Subscriptions are in the order of their ids, which only grow.
    fn subscription(&self, id: SubscriptionId) -> Option<&Subscription> {
        let place = self
            .subscriptions
            .binary_search_by_key(&id, |known| known.id);
        place.ok().and_then(|place| self.subscriptions.get(place))
    }

    pub(crate) fn has_subscriptions(&self) -> bool {
        self.subscriptions().next().is_some()
    }

    // Publishing.

    /// Notes that a message is about to be written.
    pub(crate) fn publish(&mut self, client: ClientId, subject: &str) {
        if let Some(client) = self.client(client) {
            client.unconfirmed.add(subject);
            client.unconfirmed.published = true;
        }
    }

    /// The loss of what a client had not got confirmed, to be reported now.
    pub(crate) fn take_loss(&mut self, id: ClientId) -> Option<BrokerError> {
        let client = self.client(id)?;
        core::mem::take(&mut client.lost).then(|| self.lost_error())
    }

    /// Notes that a client has sent a PING behind all it wrote before.
    pub(crate) fn ping_sent(&mut self, link: &mut Link, id: ClientId, now: Millis) -> Confirmation {
        let number = self.client(id).map_or(0, |client| {
            client.pings = client.pings.wrapping_add(1);
            client.pings
        });
        link.ping_sent(PingOf::Client(id, number), now);
        Confirmation(number)
    }

    pub(crate) fn is_confirmed(&mut self, id: ClientId, confirmation: Confirmation) -> bool {
        let confirmed = self.client(id).map_or(0, |client| client.confirmed);
        confirmation.0.wrapping_sub(confirmed) as i32 <= 0
    }

    /// Notes that all that a client wrote has been confirmed.
    ///
    /// # Errors
    /// The server refused some of it; each refusal is reported once.
    pub(crate) fn confirm(&mut self, id: ClientId) -> Result<(), BrokerError> {
        let Some(client) = self.client(id) else {
            return Ok(());
        };
        client.unconfirmed = Unconfirmed::default();
        if client.refused.is_empty() {
            return Ok(());
        }
        let Refusal { subject, error } = client.refused.remove(0);
        Err(server_error(&error).with_subject(subject))
    }

    /// Whether a client has published something that is neither confirmed nor reported as lost.
    pub(crate) fn has_unconfirmed(&mut self, id: ClientId) -> bool {
        let client = self.client(id);
        client.is_some_and(|client| client.unconfirmed.published || client.lost)
    }

    // Receiving.

    /// Reads one thing that the server said, and returns how many bytes it took of `input`.
    ///
    /// # Errors
    /// The connection is of no use any more.
    pub(crate) fn feed(
        &mut self,
        link: &mut Link,
        input: &[u8],
        now: Millis,
    ) -> Result<usize, LinkError> {
        if !input.is_empty() {
            link.heard_at = now;
        }
        let room = |sid| self.room(SubscriptionId(sid));
        let (used, op) = link.parser.feed(input, &room)?;
        match op {
            Some(op) => self.handle(link, op).map(|()| used),
            None => Ok(used),
        }
    }

    fn handle(&mut self, link: &mut Link, op: Op) -> Result<(), LinkError> {
        let is_start = matches!(op, Op::Info(_) | Op::Err(_));
        if link.info.is_none() && !is_start {
            // Before TLS anybody in between could have written it.
            return Err(LinkError::NotInfo);
        }
        match op {
            Op::Msg(msg) => {
                let headers = Headers::from_block(msg.headers);
                let id = SubscriptionId(msg.sid);
                let message = Message {
                    reply: msg.reply,
                    status: headers.status(),
                    headers,
                    ..Message::new(id, msg.subject, msg.payload)
                };
                self.served += 1;
                if !self.came_already(link, &message) {
                    self.deliver(id, Event::Message(message));
                }
            }
            Op::Refused { sid, error } => {
                let id = SubscriptionId(sid);
                self.deliver(id, Event::Refused(id, error, 1));
            }
            Op::Info(info) => {
                link.info = Some(info);
                link.has_news = true;
            }
            Op::Ping => link.pongs_due = (link.pongs_due + 1).min(MAX_PONGS_DUE),
            Op::Pong => self.pong(link),
            Op::Ok => {}
            Op::Err(error) => {
                let is_kept = link.info.is_some() && stays_connected_after(&error);
                let named = named_subject(&error);
                // A server may say as much as a control line holds.
                let error = text(format_args!("{error}"));
                if !is_kept {
                    link.state = State::Refused(error.clone());
                    return Err(LinkError::Refused(error));
                }
                self.server_error(named, error);
            }
        }
        Ok(())
    }

    fn pong(&mut self, link: &mut Link) {
        // PONGs that nobody asked for confirm nothing.
        let Some((of, written)) = link.pings.pop_front() else {
            return;
        };
        link.confirmed = written;
        link.waiting_since = link.pings.front().map(|_| link.heard_at);
        match of {
            PingOf::Connect if link.state == State::Connecting => link.state = State::Ready,
            PingOf::Client(id, number) => {
                self.served += 1;
                if let Some(client) = self.client(id) {
                    client.confirmed = number;
                    client.is_woken = true;
                }
            }
            PingOf::Move if link.overlap == Overlap::New => {
                link.overlap = Overlap::None;
                self.overlap = Vec::new();
            }
            PingOf::KeepAlive | PingOf::Connect | PingOf::Move => {}
        }
    }

    /// Whether a message has come on the connection that a client is moving away from. Each message of a
    /// queue group comes on one of the two only, and another may be the same.
    fn came_already(&mut self, link: &Link, message: &Message) -> bool {
        let subscription = self.subscription(message.subscription);
        if link.overlap == Overlap::None || subscription.is_none_or(|known| known.queue.is_some()) {
            return false;
        }
        let hash = message_hash(message);
        if link.overlap == Overlap::New {
            let place = self.overlap.iter().position(|known| *known == hash);
            return place.map(|place| self.overlap.remove(place)).is_some();
        }
        if self.overlap.len() < MAX_OVERLAP {
            self.overlap.push(hash);
        }
        false
    }

    /// The longest payload in bytes that there is room for.
    fn room(&self, id: SubscriptionId) -> usize {
        let client = self.subscription(id).and_then(|known| {
            let mut clients = self.clients.iter();
            clients.find(|client| client.id == known.client)
        });
        // A message that nobody wants is read past.
        client.map_or(0, |client| {
            if client.has_place_for(id) {
                return self.max_message_size;
            }
            let left = self.max_pending.saturating_sub(client.used);
            let left = left.saturating_sub(size_of::<Event>());
            left.min(self.max_message_size)
        })
    }

    /// Puts what came for a subscription into its client's queue.
    fn deliver(&mut self, id: SubscriptionId, event: Event) {
        let Some(client) = self.subscription(id).map(|known| known.client) else {
            return;
        };
        let (limit, max_pending) = (self.max_message_size, self.max_pending);
        let Some(client) = self.client(client) else {
            return;
        };
        client.is_woken = true;
        match event {
            Event::Refused(_, MessageError::PayloadTooLarge { len, .. }, _) if len <= limit => {
                // It would have fitted at another time.
                client.dropped += 1;
            }
            Event::Refused(id, MessageError::PayloadTooLarge { len, .. }, count) => {
                let error = MessageError::PayloadTooLarge { len, limit };
                client.refuse(id, error, count, max_pending);
            }
            Event::Refused(id, error, count) => client.refuse(id, error, count, max_pending),
            event => {
                let fits = client.has_place_for(id) || client.used + event.cost() <= max_pending;
                if !fits || !client.push(event) {
                    client.dropped += 1;
                }
            }
        }
    }

    /// A server error that names a subject goes to the client that published or subscribed there and
    /// waits for a confirmation, else to the owner of the subscription; any other to all clients.
    fn server_error(&mut self, named: Option<String>, error: String) {
        let subject = named.as_deref().unwrap_or_default();
        let owner = self.owner_of(named.as_deref(), &error);
        let subscribed = self.subscriptions.iter();
        let subscribed: Vec<_> = subscribed
            .filter(|known| known.subject == subject)
            .map(|known| known.client)
            .collect();
        for client in &mut self.clients {
            if owner.is_some_and(|owns| owns(client, subject)) {
                client.refused_by_server(subject, &error);
            } else if owner.is_none() && (subscribed.is_empty() || subscribed.contains(&client.id))
            {
                client.server_error(error.clone());
            }
        }
    }

    /// How to tell the clients that an error belongs to, if it belongs to what is not confirmed.
    fn owner_of(&self, subject: Option<&str>, error: &str) -> Option<fn(&Client, &str) -> bool> {
        let candidates: &[fn(&Client, &str) -> bool] = match subject {
            Some(_) => &[
                |client, subject| client.unconfirmed.has(subject),
                |client, _| client.unconfirmed.overflowed,
            ],
            // A limit on subscriptions names no subject, and belongs to who has just made one.
            None if is_about_subscriptions(error) => &[|client, _| client.unconfirmed.is_some],
            None => &[],
        };
        let subject = subject.unwrap_or_default();
        let mut candidates = candidates.iter().copied();
        candidates.find(|owns| self.clients.iter().any(|client| owns(client, subject)))
    }

    /// The next message of a client, or what is to be reported instead; `None` if there is nothing.
    pub(crate) fn next(
        &mut self,
        id: ClientId,
        now: Millis,
    ) -> Option<Result<Message, BrokerError>> {
        let client = self.client(id)?;
        if let Some(dropped) = client.take_dropped(now) {
            return Some(Err(slow_consumer(dropped)));
        }
        Some(match client.pop()? {
            Event::Message(message) => Ok(message),
            Event::Refused(id, error, count) => Err(refused(id, &error, count)),
            Event::ServerError(error) => Err(server_error(&error)),
            Event::Lost => {
                let of_client = self.subscriptions.iter_mut();
                let of_client = of_client.filter(|known| known.client == id);
                of_client.for_each(|known| known.lost = false);
                Err(self.lost_error())
            }
        })
    }

    /// The next message of one subscription, and the loss of its connection; the rest stays queued.
    pub(crate) fn next_of(
        &mut self,
        client: ClientId,
        id: SubscriptionId,
    ) -> Option<Result<Message, BrokerError>> {
        let is_it = |known: &Subscription| known.id == id && known.client == client;
        let is_known = self.subscriptions.iter().any(is_it);
        let queue = self.client(client)?;
        queue.awaited = Some(id);
        if let Some(message) = queue.take_of(id) {
            queue.awaited = None;
            return Some(Ok(message));
        }
        if !is_known {
            let message = text(format_args!("there is no subscription {}", id.0));
            return Some(Err(BrokerError::new(Kind::InvalidOption, message)));
        }
        let others = |known: &Subscription| known.client == client && known.id != id;
        let has_others = self.subscriptions.iter().any(others);
        let mut subscriptions = self.subscriptions.iter_mut();
        let subscription = subscriptions.find(|known| known.id == id)?;
        if !core::mem::take(&mut subscription.lost) {
            return None;
        }
        if !has_others && let Some(client) = self.client(client) {
            client.forget_losses();
        }
        Some(Err(self.lost_error()))
    }

    /// Ends a wait for the messages of one subscription.
    pub(crate) fn stop_waiting(&mut self, id: ClientId) {
        if let Some(client) = self.client(id) {
            client.awaited = None;
        }
    }

    /// When a client's [`next`](Self::next) has something to report, if nothing comes before.
    pub(crate) fn report_at(&mut self, id: ClientId) -> Option<Millis> {
        let client = self.client(id)?;
        let reported_at = client.reported_at?;
        (client.dropped > 0).then(|| reported_at.saturating_add(REPORT_INTERVAL))
    }

    // Moves to another connection.

    /// Starts to note what comes on a connection, because subscriptions are being made on another one to
    /// move to.
    pub(crate) fn start_move(&mut self, link: &mut Link) {
        self.overlap = Vec::new();
        link.overlap = Overlap::Old;
    }

    /// Notes that the move did not come about: what came before must not be compared with what comes in
    /// another move.
    pub(crate) fn abandon_move(&mut self, link: &mut Link) {
        self.overlap = Vec::new();
        link.overlap = Overlap::None;
    }

    // Losses.

    /// Notes that a connection is lost, and why: unconfirmed publishes with it, and perhaps messages.
    pub(crate) fn lost(&mut self, link: &Link, cause: String) {
        log::debug!(target: "natsbridge", "{}: {}", link.url, Escaped(&cause));
        self.loss = text(format_args!(
            "the connection to {} is lost: {cause}",
            link.url
        ));
        self.losses = self.losses.wrapping_add(1);
        self.overlap = Vec::new();
        for subscription in &mut self.subscriptions {
            subscription.lost = true;
        }
        self.subscriptions.retain(|known| !known.ended);
        for client in &mut self.clients {
            let lost = core::mem::take(&mut client.unconfirmed);
            client.lost |= lost.published;
            client.is_woken = true;
            let id = client.id;
            let has_any = self.subscriptions.iter().any(|known| known.client == id);
            if has_any && !matches!(client.queue.back(), Some(Event::Lost)) {
                client.push(Event::Lost);
            }
        }
    }

    /// How many connections were lost so far: what was asked before another one was lost is not answered.
    pub(crate) fn losses(&self) -> u32 {
        self.losses
    }

    /// Bytes of what is kept for all clients.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn held(&self) -> usize {
        let of_client = |client: &Client| {
            let used = client.queue.iter().map(Event::cost).sum::<usize>();
            assert_eq!(used, client.used, "the bytes in a queue");
            let refused = client.refused.iter();
            used + refused
                .map(|known| known.subject.len() + known.error.len())
                .sum::<usize>()
        };
        let clients = self.clients.iter().map(of_client).sum::<usize>();
        clients + self.overlap.len() * size_of::<u64>() + self.loss.len()
    }

    /// How many messages and confirmations have come: a connection on which none came was of no use.
    #[cfg(feature = "std")]
    pub(crate) fn served(&self) -> u64 {
        self.served
    }

    fn lost_error(&self) -> BrokerError {
        BrokerError::new(Kind::Disconnected, self.loss.clone())
    }
}

impl Client {
    /// One message fits whatever its size; and one that is waited for.
    fn has_place_for(&self, id: SubscriptionId) -> bool {
        self.queue.is_empty()
            || (self.awaited == Some(id) && !self.queue.iter().any(|event| event.is_of(id)))
    }

    /// Adds an event; false if there is no memory for it.
    fn push(&mut self, event: Event) -> bool {
        if self.queue.len() == self.queue.capacity() {
            // From one on: on a board seldom more than one waits.
            let more = self.queue.len().max(1);
            if self.queue.try_reserve_exact(more).is_err() {
                return false;
            }
        }
        self.used += event.cost();
        self.queue.push_back(event);
        true
    }

    fn pop(&mut self) -> Option<Event> {
        let event = self.queue.pop_front()?;
        self.used -= event.cost();
        if let Event::ServerError(_) = event {
            self.waiting_errors -= 1;
        }
        Some(event)
    }

    fn take_of(&mut self, id: SubscriptionId) -> Option<Message> {
        let is_it =
            |event: &Event| matches!(event, Event::Message(message) if message.subscription == id);
        let place = self.queue.iter().position(is_it)?;
        let event = self.queue.remove(place)?;
        self.used -= event.cost();
        let is_loss = |place: usize| matches!(self.queue.get(place), Some(Event::Lost));
        if place.checked_sub(1).is_some_and(is_loss) && is_loss(place) {
            // Nothing is left between two losses.
            self.used -= Event::Lost.cost();
            self.queue.remove(place);
        }
        match event {
            Event::Message(message) => Some(message),
            _ => None,
        }
    }

    fn refuse(&mut self, id: SubscriptionId, error: MessageError, count: u64, max_pending: usize) {
        match self.queue.back_mut() {
            Some(Event::Refused(last, why, before)) if *last == id && *why == error => {
                *before += count;
            }
            _ => {
                let event = Event::Refused(id, error, count);
                let fits = self.queue.is_empty() || self.used + event.cost() <= max_pending;
                if !fits || !self.push(event) {
                    self.dropped += count;
                }
            }
        }
    }

    fn refused_by_server(&mut self, subject: &str, error: &str) {
        self.is_woken = true;
        let is_known = self.refused.iter().any(|known| known.subject == subject);
        if !is_known && self.refused.len() < MAX_WAITING_ERRORS {
            let (subject, error) = (subject.to_string(), error.to_string());
            self.refused.push(Refusal { subject, error });
        }
    }

    fn server_error(&mut self, error: String) {
        self.is_woken = true;
        if self.waiting_errors >= MAX_WAITING_ERRORS {
            log::warn!(target: "natsbridge", "server error: {}", Escaped(&error));
        } else if self.push(Event::ServerError(error)) {
            self.waiting_errors += 1;
        }
    }

    fn take_dropped(&mut self, now: Millis) -> Option<u64> {
        let is_due = |at: Millis| now >= at.saturating_add(REPORT_INTERVAL);
        if self.dropped == 0 || !self.reported_at.is_none_or(is_due) {
            return None;
        }
        self.reported_at = Some(now);
        Some(core::mem::take(&mut self.dropped))
    }

    fn forget(&mut self, id: SubscriptionId) {
        self.retain(|event| !event.is_of(id));
    }

    fn forget_losses(&mut self) {
        self.retain(|event| !matches!(event, Event::Lost));
    }

    fn retain(&mut self, keep: impl Fn(&Event) -> bool) {
        let mut is_behind_loss = false;
        self.queue.retain(|event| {
            let is_loss = matches!(event, Event::Lost);
            let stays = keep(event) && !(is_loss && is_behind_loss);
            is_behind_loss = if stays { is_loss } else { is_behind_loss };
            stays
        });
        self.used = self.queue.iter().map(Event::cost).sum();
    }
}

impl Event {
    /// Bytes that it takes while it waits.
    fn cost(&self) -> usize {
        let more = match self {
            Self::Message(message) => {
                let reply = message.reply.as_ref().map_or(0, String::len);
                message.subject.len() + reply + message.headers.block_len() + message.payload.len()
            }
            Self::ServerError(error) => error.len(),
            Self::Refused(..) | Self::Lost => 0,
        };
        size_of::<Self>() + more
    }

    fn is_of(&self, id: SubscriptionId) -> bool {
        match self {
            Self::Message(message) => message.subscription == id,
            Self::Refused(subscription, ..) => *subscription == id,
            Self::Lost | Self::ServerError(_) => false,
        }
    }
}

/// Whole milliseconds, rounded up: a wait is never shorter than it was asked for.
#[inline(never)] // flash
pub(crate) fn millis(duration: Duration) -> Millis {
    let part = duration.subsec_nanos().div_ceil(1_000_000);
    let whole = duration.as_secs().saturating_mul(1000);
    whole.saturating_add(part.into())
}

fn slow_consumer(dropped: u64) -> BrokerError {
    let message = text(format_args!(
        "{dropped} message(s) were dropped: they came faster than they were taken"
    ));
    BrokerError::new(Kind::SlowConsumer { dropped }, message)
}

fn refused(id: SubscriptionId, error: &MessageError, count: u64) -> BrokerError {
    let message = text(format_args!(
        "{count} message(s) for subscription {} were dropped: {error}",
        id.0
    ));
    BrokerError::new(Kind::Local, message)
}

fn server_error(error: &str) -> BrokerError {
    BrokerError::new(Kind::Refused, text(format_args!("server error: {error}")))
}

fn copy(text: &str) -> Result<String, usize> {
    let mut copy = String::new();
    copy.try_reserve_exact(text.len()).map_err(|_| text.len())?;
    copy.push_str(text);
    Ok(copy)
}

/// Whether a server keeps the connection after this error: it does for what one client may not do, and
/// closes after anything else.
fn stays_connected_after(error: &str) -> bool {
    starts_with(error, "Permissions Violation")
        || starts_with(error, "Invalid Subject")
        || is_about_subscriptions(error)
}

fn is_about_subscriptions(error: &str) -> bool {
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

/// The subject in `Permissions Violation for Publish to "a.b"`, which the server quotes as Go does. A
/// longer one than may be used is none of ours.
fn named_subject(error: &str) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const INFO: &[u8] = b"INFO {\"max_payload\":1000,\"headers\":true}\r\n";

    /// A session, one connection of it, and a clock that the test moves.
    struct Scene {
        session: Session,
        link: Link,
        now: Millis,
    }

    impl Scene {
        fn new() -> Self {
            Self::with_pending(1_000_000)
        }

        fn with_pending(max_pending: usize) -> Self {
            let mut scene = Self {
                session: Session::new(1000, max_pending),
                link: link(0),
                now: 0,
            };
            scene.connect();
            scene
        }

        fn connect(&mut self) {
            self.link = link(self.now);
            self.feed(INFO);
            assert!(self.link.take_news().is_some() && !self.link.is_ready());
            self.link.connect_sent(self.now);
            self.feed(b"PONG\r\n");
            assert!(self.link.is_ready());
        }

        fn try_feed(&mut self, mut input: &[u8]) -> Result<(), LinkError> {
            while !input.is_empty() {
                let used = self.session.feed(&mut self.link, input, self.now)?;
                assert!(used > 0);
                input = &input[used..];
            }
            Ok(())
        }

        fn feed(&mut self, input: &[u8]) {
            self.try_feed(input).unwrap();
        }

        fn lose(&mut self) {
            self.session.lost(&self.link, String::from("cut"));
        }

        fn client(&mut self) -> ClientId {
            self.session.add_client()
        }

        fn subscribe(&mut self, client: ClientId, subject: &str) -> SubscriptionId {
            self.session.subscribe(client, subject, None).unwrap()
        }

        fn ping(&mut self, client: ClientId) -> Confirmation {
            self.session.ping_sent(&mut self.link, client, self.now)
        }

        /// What `next` returns: a payload, or the kind of the error.
        fn next(&mut self, client: ClientId) -> Option<Result<Vec<u8>, Kind>> {
            let next = self.session.next(client, self.now)?;
            Some(
                next.map(|message| message.payload)
                    .map_err(|error| error.kind()),
            )
        }

        fn next_of(
            &mut self,
            client: ClientId,
            id: SubscriptionId,
        ) -> Option<Result<Vec<u8>, Kind>> {
            let next = self.session.next_of(client, id)?;
            Some(
                next.map(|message| message.payload)
                    .map_err(|error| error.kind()),
            )
        }
    }

    fn link(now: Millis) -> Link {
        let (interval, timeout) = (Duration::from_secs(30), Duration::from_secs(5));
        Link::new(String::from("nats://a:4222"), interval, timeout, now)
    }

    fn payload(text: &str) -> Option<Result<Vec<u8>, Kind>> {
        Some(Ok(text.as_bytes().to_vec()))
    }

    #[test]
    fn each_client_gets_the_messages_of_its_subscriptions() {
        let mut scene = Scene::new();
        let (one, two) = (scene.client(), scene.client());
        let (a, b) = (scene.subscribe(one, "a"), scene.subscribe(two, "b"));
        assert_eq!((a.0, b.0), (1, 2));
        scene.feed(b"MSG b 2 1\r\nx\r\nMSG a 1 1\r\ny\r\nMSG c 3 1\r\nz\r\n");
        assert!(scene.session.take_woken(one) && scene.session.take_woken(two));
        assert!(!scene.session.take_woken(one));
        assert_eq!((scene.next(one), scene.next(one)), (payload("y"), None));
        assert_eq!((scene.next(two), scene.next(two)), (payload("x"), None));
    }

    #[test]
    fn next_of_leaves_the_others_queued() {
        let mut scene = Scene::new();
        let client = scene.client();
        let (a, b) = (scene.subscribe(client, "a"), scene.subscribe(client, "b"));
        scene.feed(b"MSG a 1 1\r\n1\r\nMSG b 2 1\r\n2\r\nMSG a 1 1\r\n3\r\n");
        assert_eq!(scene.next_of(client, b), payload("2"));
        assert_eq!(scene.next_of(client, b), None);
        assert_eq!(scene.next_of(client, a), payload("1"));
        assert_eq!(scene.next(client), payload("3"));
        assert_eq!(
            scene.next_of(client, SubscriptionId(9)),
            Some(Err(Kind::InvalidOption))
        );
    }

    #[test]
    fn unsubscribed_messages_are_dropped_and_drained_ones_are_not() {
        let mut scene = Scene::new();
        let client = scene.client();
        let a = scene.subscribe(client, "a");
        scene.feed(b"MSG a 1 1\r\nx\r\n");
        assert!(scene.session.unsubscribe(client, a));
        assert!(!scene.session.unsubscribe(client, a));
        scene.feed(b"MSG a 1 1\r\nx\r\n");
        assert_eq!(scene.next(client), None);
        let b = scene.subscribe(client, "b");
        assert_eq!(scene.session.drain(client), [b]);
        assert!(!scene.session.has_subscriptions());
        scene.feed(b"MSG b 2 1\r\ny\r\n");
        scene.session.end_drained(client);
        scene.feed(b"MSG b 2 1\r\nz\r\n");
        assert_eq!(
            (scene.next(client), scene.next(client)),
            (payload("y"), None)
        );
    }

    #[test]
    fn a_pong_confirms_the_ping_it_answers() {
        let mut scene = Scene::new();
        let (one, two) = (scene.client(), scene.client());
        scene.session.publish(one, "a");
        let (first, other) = (scene.ping(one), scene.ping(two));
        scene.session.publish(one, "a");
        let second = scene.ping(one);
        assert!(!scene.session.is_confirmed(one, first));
        scene.feed(b"PONG\r\n");
        assert!(scene.session.is_confirmed(one, first));
        assert!(!scene.session.is_confirmed(one, second));
        assert!(!scene.session.is_confirmed(two, other));
        scene.feed(b"PONG\r\nPONG\r\n");
        assert!(scene.session.is_confirmed(one, second) && scene.session.is_confirmed(two, other));
        // PONGs that nobody asked for confirm nothing that comes later.
        scene.feed(b"PONG\r\nPONG\r\n");
        let third = scene.ping(one);
        assert!(!scene.session.is_confirmed(one, third));
    }

    #[test]
    fn a_server_error_belongs_to_the_publish_it_names() {
        let mut scene = Scene::new();
        let (one, two) = (scene.client(), scene.client());
        scene.session.publish(one, "denied");
        scene.session.publish(one, "denied");
        scene.session.publish(one, "good");
        scene.session.publish(two, "good");
        let error = b"-ERR 'Permissions Violation for Publish to \"denied\"'\r\n";
        scene.feed(error);
        scene.feed(error);
        let refused = scene.session.confirm(one).unwrap_err();
        assert_eq!(
            (refused.kind(), refused.subject()),
            (Kind::Refused, Some("denied"))
        );
        scene.session.confirm(one).unwrap();
        scene.session.confirm(two).unwrap();
        assert_eq!((scene.next(one), scene.next(two)), (None, None));
        // It belongs to nothing that is unconfirmed now: all are told.
        scene.feed(error);
        assert_eq!(scene.next(one), Some(Err(Kind::Refused)));
        assert_eq!(scene.next(two), Some(Err(Kind::Refused)));
        scene.session.confirm(one).unwrap();
    }

    #[test]
    fn a_server_error_finds_its_publish_among_many_subjects() {
        let mut scene = Scene::new();
        let (one, two) = (scene.client(), scene.client());
        for number in 0..MAX_KNOWN_SUBJECTS + 5 {
            scene.session.publish(one, &alloc::format!("s.{number}"));
        }
        scene.session.publish(two, "other");
        scene.feed(b"-ERR 'Permissions Violation for Publish to \"s.20\"'\r\n");
        let refused = scene.session.confirm(one).unwrap_err();
        assert_eq!(refused.subject(), Some("s.20"));
        scene.session.confirm(two).unwrap();
        assert_eq!(scene.next(two), None);
    }

    #[test]
    fn a_refused_subscription_is_an_error_of_the_flush_and_later_of_next() {
        let mut scene = Scene::new();
        let (one, two) = (scene.client(), scene.client());
        scene.subscribe(one, "secret");
        let error =
            b"-ERR 'Permissions Violation for Subscription to \"secret\" using queue \"q\"'\r\n";
        scene.feed(error);
        assert_eq!(
            scene.session.confirm(one).unwrap_err().kind(),
            Kind::Refused
        );
        // Renewed after a reconnect, it is refused again.
        scene.feed(error);
        scene.session.confirm(one).unwrap();
        assert_eq!(
            (scene.next(one), scene.next(two)),
            (Some(Err(Kind::Refused)), None)
        );
        scene.subscribe(two, "one too many");
        scene.feed(b"-ERR 'maximum subscriptions exceeded'\r\n");
        assert_eq!(
            scene.session.confirm(two).unwrap_err().kind(),
            Kind::Refused
        );
        scene.session.confirm(one).unwrap();
    }

    #[test]
    fn named_subjects_are_quoted_as_go_does() {
        for (error, subject) in [
            ("Permissions Violation for Publish to \"a.b\"", Some("a.b")),
            (
                "Permissions Violation for Publish to \"a\\\"b\\\\\"",
                Some("a\"b\\"),
            ),
            ("Permissions Violation for Publish to \"a", None),
            ("Permissions Violation for Publish to \"a\\", None),
            ("Stale Connection", None),
        ] {
            assert_eq!(named_subject(error).as_deref(), subject, "{error}");
        }
    }

    #[test]
    fn errors_after_which_a_server_closes_end_the_connection() {
        for error in [
            "Maximum Payload Violation",
            "Authorization Violation",
            "Stale Connection",
            "x",
        ] {
            let mut scene = Scene::new();
            let line = alloc::format!("-ERR '{error}'\r\n");
            assert!(matches!(
                scene.try_feed(line.as_bytes()),
                Err(LinkError::Refused(_))
            ));
            assert_eq!(scene.link.refusal(), Some(error));
            assert_eq!(
                is_about_credentials(error),
                error.starts_with("Authorization")
            );
        }
        assert!(is_about_credentials("User Authentication Expired"));
    }

    #[test]
    fn a_loss_is_reported_once_behind_what_was_received_before() {
        let mut scene = Scene::new();
        let (one, two) = (scene.client(), scene.client());
        scene.subscribe(one, "a");
        scene.feed(b"MSG a 1 1\r\n1\r\n");
        scene.lose();
        scene.lose();
        scene.connect();
        scene.feed(b"MSG a 1 1\r\n2\r\n");
        assert_eq!(scene.next(one), payload("1"));
        assert_eq!(scene.next(one), Some(Err(Kind::Disconnected)));
        assert_eq!((scene.next(one), scene.next(one)), (payload("2"), None));
        // Who has neither subscriptions nor anything unconfirmed does not notice.
        assert_eq!(scene.next(two), None);
        assert!(scene.session.take_loss(two).is_none());
    }

    #[test]
    fn a_loss_of_something_unconfirmed_is_reported_to_its_client_once() {
        let mut scene = Scene::new();
        let (one, two) = (scene.client(), scene.client());
        scene.session.publish(one, "a");
        scene.session.publish(two, "a");
        let confirmation = scene.ping(two);
        scene.feed(b"PONG\r\n");
        assert!(scene.session.is_confirmed(two, confirmation));
        scene.session.confirm(two).unwrap();
        assert!(scene.session.has_unconfirmed(one) && !scene.session.has_unconfirmed(two));
        scene.lose();
        let loss = scene.session.take_loss(one).unwrap();
        assert_eq!(loss.kind(), Kind::Disconnected);
        assert!(
            loss.to_string().contains("nats://a:4222 is lost: cut"),
            "{loss}"
        );
        assert!(scene.session.take_loss(one).is_none());
        assert!(scene.session.take_loss(two).is_none());
    }

    #[test]
    fn a_ping_of_a_lost_connection_is_not_confirmed_by_the_next_one() {
        let mut scene = Scene::new();
        let client = scene.client();
        let lost = scene.ping(client);
        scene.lose();
        scene.connect();
        let next = scene.ping(client);
        assert!(!scene.session.is_confirmed(client, lost));
        scene.feed(b"PONG\r\n");
        assert!(scene.session.is_confirmed(client, next));
    }

    #[test]
    fn next_of_reports_a_loss_once() {
        let mut scene = Scene::new();
        let client = scene.client();
        let inbox = scene.subscribe(client, "inbox");
        scene.lose();
        assert_eq!(scene.next_of(client, inbox), Some(Err(Kind::Disconnected)));
        assert_eq!(
            (scene.next_of(client, inbox), scene.next(client)),
            (None, None)
        );
        // With another subscription, `next` reports it for that one.
        scene.subscribe(client, "a");
        scene.lose();
        assert_eq!(scene.next_of(client, inbox), Some(Err(Kind::Disconnected)));
        assert_eq!(scene.next(client), Some(Err(Kind::Disconnected)));
        assert_eq!(
            (scene.next_of(client, inbox), scene.next(client)),
            (None, None)
        );
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_and_reported_once_a_second() {
        let mut scene = Scene::with_pending(2 * size_of::<Event>() + 20);
        let client = scene.client();
        let id = scene.subscribe(client, "a");
        for _ in 0..5 {
            scene.feed(b"MSG a 1 1\r\nx\r\n");
        }
        assert_eq!(
            scene.next(client),
            Some(Err(Kind::SlowConsumer { dropped: 3 }))
        );
        scene.feed(b"MSG a 1 1\r\nx\r\n");
        assert_eq!(scene.next(client), payload("x"));
        assert_eq!(scene.session.report_at(client), Some(1000));
        scene.now = 1000;
        assert_eq!(
            scene.next(client),
            Some(Err(Kind::SlowConsumer { dropped: 1 }))
        );
        assert_eq!(
            (scene.next(client), scene.next(client)),
            (payload("x"), None)
        );
        // One message fits whatever its size, and so does one that is waited for.
        let long = alloc::format!("MSG a 1 900\r\n{:900}\r\n", "");
        scene.feed(long.as_bytes());
        scene.subscribe(client, "inbox");
        assert!(scene.next_of(client, SubscriptionId(2)).is_none());
        scene.feed(b"MSG inbox 2 6\r\nanswer\r\nMSG inbox 2 6\r\nanswer\r\n");
        assert_eq!(scene.next_of(client, SubscriptionId(2)), payload("answer"));
        assert!(scene.next_of(client, SubscriptionId(2)).is_none());
        scene.now = 2000;
        assert_eq!(
            scene.next(client),
            Some(Err(Kind::SlowConsumer { dropped: 1 }))
        );
        assert!(matches!(scene.next(client), Some(Ok(message)) if message.len() == 900));
        assert!(scene.session.unsubscribe(client, id));
    }

    #[test]
    fn messages_that_cannot_be_kept_are_reported_with_their_number() {
        let mut scene = Scene::new();
        let client = scene.client();
        scene.subscribe(client, ">");
        let long = alloc::format!("MSG a 1 1001\r\n{:1001}\r\n", "");
        scene.feed(b"MSG caf\xe9 1 1\r\nx\r\nMSG caf\xe9 1 1\r\nx\r\nMSG ok 1 2\r\nok\r\n");
        scene.feed(long.as_bytes());
        let error = scene.session.next(client, 0).unwrap().unwrap_err();
        assert_eq!(error.kind(), Kind::Local);
        assert!(error.to_string().contains("2 message(s)"), "{error}");
        assert_eq!(scene.next(client), payload("ok"));
        let error = scene.session.next(client, 0).unwrap().unwrap_err();
        assert!(
            error
                .to_string()
                .contains("1001 bytes is over the limit of 1000"),
            "{error}"
        );
    }

    #[test]
    fn a_silent_server_is_asked_and_then_given_up() {
        let mut scene = Scene::new();
        let mut out = Vec::new();
        assert_eq!(scene.link.wake_at(), 30_000);
        scene.link.keep_alive(29_999, &mut out).unwrap();
        assert!(out.is_empty());
        scene.link.keep_alive(30_000, &mut out).unwrap();
        assert_eq!(out, b"PING\r\n");
        scene.link.keep_alive(34_999, &mut out).unwrap();
        let error = scene.link.keep_alive(35_000, &mut out).unwrap_err();
        assert!(matches!(error, LinkError::Silent(5000)));
        assert_eq!(out, b"PING\r\n");
        // Whatever it says is a sign of life; a PONG starts over.
        scene.now = 34_000;
        scene.feed(b"+OK\r\n");
        scene.link.keep_alive(38_999, &mut out).unwrap();
        scene.feed(b"PONG\r\n");
        assert_eq!(scene.link.wake_at(), 64_000);
    }

    #[test]
    fn an_answer_may_take_as_long_as_what_was_written_before() {
        let mut scene = Scene::new();
        let client = scene.client();
        scene.link.wrote(655_360);
        scene.ping(client);
        assert_eq!(scene.link.wake_at(), 15_000);
        scene.feed(b"PONG\r\n");
        scene.ping(client);
        assert_eq!(scene.link.wake_at(), 5_000);
    }

    #[test]
    fn pings_are_answered_and_their_backlog_is_bounded() {
        let mut scene = Scene::new();
        let mut out = Vec::new();
        assert!(!scene.link.has_control_due());
        scene.feed(b"PING\r\nPING\r\n");
        assert!(scene.link.has_control_due());
        scene.link.write_control(0, &mut out);
        assert_eq!(out, b"PONG\r\nPONG\r\n");
        assert!(!scene.link.has_control_due());
        out.clear();
        (0..1000).for_each(|_| scene.feed(b"PING\r\n"));
        scene.link.write_control(0, &mut out);
        assert_eq!(out.len(), usize::from(MAX_PONGS_DUE) * 6);
    }

    #[test]
    fn news_of_the_server_come_once() {
        let mut scene = Scene::new();
        assert!(scene.link.take_news().is_none());
        scene.feed(b"INFO {\"ldm\":true,\"connect_urls\":[\"b:1\"]}\r\n");
        let info = scene.link.take_news().unwrap();
        assert!(info.lame_duck);
        assert_eq!(info.connect_urls, vec![String::from("b:1")]);
        assert!(scene.link.take_news().is_none());
    }

    #[test]
    fn during_a_move_each_message_comes_once() {
        let mut scene = Scene::new();
        let client = scene.client();
        scene.subscribe(client, "a");
        scene.session.start_move(&mut scene.link);
        scene.feed(b"MSG a 1 1\r\n1\r\nMSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n");
        let mut out = Vec::new();
        scene.link.write_last_ping(0, &mut out);
        assert_eq!(out, b"PING\r\n");
        assert!(!scene.link.is_drained());
        scene.feed(b"PONG\r\n");
        assert!(scene.link.is_drained());
        // The new connection has what came from when its subscriptions were made.
        scene.connect();
        scene.link.moved_to();
        scene.feed(b"MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\nMSG a 1 1\r\n3\r\n");
        scene.link.old_ended();
        out.clear();
        scene.link.write_control(0, &mut out);
        assert_eq!(out, b"PING\r\n");
        scene.feed(b"MSG a 1 1\r\n4\r\nPONG\r\nMSG a 1 1\r\n1\r\n");
        let mut all = Vec::new();
        while let Some(message) = scene.next(client) {
            all.extend(message.unwrap());
        }
        assert_eq!(all, b"112341");
    }

    #[test]
    fn what_came_before_a_move_that_failed_is_not_taken_for_a_second_copy() {
        let mut scene = Scene::new();
        let client = scene.client();
        scene.subscribe(client, "a");
        scene.session.start_move(&mut scene.link);
        scene.feed(b"MSG a 1 1\r\n1\r\n");
        scene.session.abandon_move(&mut scene.link);
        scene.feed(b"MSG a 1 1\r\n1\r\n");
        scene.session.start_move(&mut scene.link);
        scene.connect();
        scene.link.moved_to();
        scene.feed(b"MSG a 1 1\r\n1\r\n");
        let received = core::iter::from_fn(|| scene.next(client)).count();
        assert_eq!(received, 3);
    }

    #[test]
    fn a_server_begins_with_info() {
        for early in ["PING", "PONG", "+OK", "MSG a 1 1\r\nx"] {
            let mut scene = Scene::new();
            let client = scene.client();
            scene.subscribe(client, "a");
            scene.link = link(0);
            let early = alloc::format!("{early}\r\n");
            let fed = scene.try_feed(early.as_bytes());
            assert!(matches!(fed, Err(LinkError::NotInfo)), "{early}: {fed:?}");
            assert_eq!(scene.next(client), None);
        }
        // An error may come instead, and belongs to nothing that was published before.
        let mut scene = Scene::new();
        let client = scene.client();
        scene.session.publish(client, "a");
        scene.link = link(0);
        let fed = scene.try_feed(b"-ERR 'Permissions Violation for Publish to \"a\"'\r\n");
        assert!(matches!(fed, Err(LinkError::Refused(_))), "{fed:?}");
        scene.session.confirm(client).unwrap();
    }

    #[test]
    fn losses_with_nothing_between_are_one() {
        let mut scene = Scene::new();
        let client = scene.client();
        scene.subscribe(client, "a");
        for answer in [true, false] {
            let inbox = scene.subscribe(client, "inbox");
            scene.lose();
            scene.connect();
            let answered = alloc::format!("MSG inbox {} 1\r\nx\r\n", inbox.0);
            scene.feed(answered.as_bytes());
            scene.lose();
            scene.connect();
            if answer {
                assert_eq!(scene.next_of(client, inbox), payload("x"));
            }
            scene.session.unsubscribe(client, inbox);
            assert_eq!(scene.next(client), Some(Err(Kind::Disconnected)));
            assert_eq!(scene.next(client), None);
        }
    }

    #[test]
    fn what_is_written_behind_a_ping_is_not_confirmed_with_it() {
        let mut scene = Scene::new();
        let client = scene.client();
        scene.ping(client);
        scene.link.wrote(655_360);
        scene.ping(client);
        scene.feed(b"PONG\r\n");
        assert_eq!(scene.link.wake_at(), 15_000);
        scene.feed(b"PONG\r\n");
        assert_eq!(scene.link.wake_at(), 30_000);
    }

    #[test]
    fn long_server_errors_are_cut() {
        let mut scene = Scene::with_pending(1000);
        let client = scene.client();
        let long = "x".repeat(60_000);
        let error = alloc::format!("-ERR 'Invalid Subject {long}'\r\n");
        (0..20).for_each(|_| scene.feed(error.as_bytes()));
        let used = scene.session.client(client).unwrap().used;
        assert!(used < 2000 * MAX_WAITING_ERRORS, "{used}");
        let named = alloc::format!("Permissions Violation for Publish to \"{long}\"");
        assert_eq!(named_subject(&named), None);
    }

    #[test]
    fn what_is_no_copy_is_delivered_during_a_move() {
        let mut scene = Scene::new();
        let client = scene.session.add_client();
        scene.session.subscribe(client, "a", Some("q")).unwrap();
        scene.session.subscribe(client, "b", None).unwrap();
        scene.feed(b"MSG b 2 1\r\n1\r\n");
        // Another connection is about to be opened.
        scene.session.start_move(&mut scene.link);
        scene.feed(b"MSG a 1 1\r\n2\r\nMSG b 2 1\r\n3\r\n");
        scene.connect();
        scene.link.moved_to();
        scene.feed(b"MSG b 2 1\r\n1\r\nMSG a 1 1\r\n2\r\nMSG b 2 1\r\n3\r\n");
        let mut all = Vec::new();
        while let Some(message) = scene.next(client) {
            all.extend(message.unwrap());
        }
        assert_eq!(all, b"12312");
    }

    #[test]
    fn a_client_that_has_gone_costs_the_others_nothing() {
        let mut scene = Scene::new();
        let (one, two) = (scene.client(), scene.client());
        let (a, b) = (scene.subscribe(one, "a"), scene.subscribe(two, "b"));
        let gone = scene.ping(one);
        let kept = scene.ping(two);
        assert_eq!(scene.session.remove_client(one), [a]);
        scene.feed(b"MSG a 1 1\r\nx\r\nPONG\r\nPONG\r\nMSG b 2 1\r\ny\r\n");
        assert!(scene.session.is_confirmed(two, kept));
        assert!(!scene.session.is_confirmed(one, gone));
        assert_eq!(scene.next(two), payload("y"));
        assert_eq!(
            scene.session.subscriptions().map(|known| known.id).next(),
            Some(b)
        );
    }
}
