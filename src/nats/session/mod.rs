//! The client's side of NATS without a socket, clock, lock or thread: what arrived and the time go in,
//! messages, confirmations and errors come out.
//!
//! A [`Session`] outlives its connections: it holds what belongs to the clients that share them
//! (subscriptions, received messages, what is not confirmed). A [`Link`] is one connection. A driver
//! moves the bytes: it feeds what it received, and writes what the functions of
//! [`protocol`](super::protocol) append to its buffer.

mod client;
mod error;
mod link;
mod receive;
mod unconfirmed;

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

pub(crate) use self::client::ClientId;
use self::client::{Client, Event, Refusal};
pub(crate) use self::error::is_about_credentials;
use self::error::{refused_use, server_error};
pub(crate) use self::link::{Link, LinkError};
use self::link::{Overlap, PingOf};
use self::unconfirmed::Unconfirmed;
use super::error::{BrokerError, BrokerErrorKind as Kind};
use super::{SubjectUse, SubscriptionId};
use crate::cause::text;
use crate::platform::Millis;
use crate::trace::Escaped;

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

/// A PING to wait for; see [`Session::is_confirmed`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Confirmation(u32);

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
            client.unconfirmed.add(subject, SubjectUse::Subscribe);
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
            client.unconfirmed.add(subject, SubjectUse::Publish);
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
        let is_subscription = refused_use(&error) == SubjectUse::Subscribe;
        let error = server_error(&error).with_subject(subject);
        Err(error.of_subscription(is_subscription))
    }

    /// Whether a client has published something that is neither confirmed nor reported as lost.
    pub(crate) fn has_unconfirmed(&mut self, id: ClientId) -> bool {
        let client = self.client(id);
        client.is_some_and(|client| client.unconfirmed.published || client.lost)
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

fn copy(text: &str) -> Result<String, usize> {
    let mut copy = String::new();
    copy.try_reserve_exact(text.len()).map_err(|_| text.len())?;
    copy.push_str(text);
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;
    use alloc::vec;
    use core::time::Duration;

    use super::client::MAX_WAITING_ERRORS;
    use super::error::named_subject;
    use super::receive::MAX_PONGS_DUE;
    use super::unconfirmed::MAX_KNOWN_SUBJECTS;

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
