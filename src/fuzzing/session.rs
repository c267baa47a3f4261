//! The session, with a driver that does what the clients' drivers do and lets the target see it.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use crate::nats::session::{ClientId, Confirmation, Link, Session};
use crate::nats::{BrokerError, Message, SubscriptionId};
use crate::platform::Millis;

/// A session, at most one connection of it and one that it moves to, and a clock.
pub struct NatsSession {
    session: Session,
    link: Option<Link>,
    next_link: Option<Link>,
    now: Millis,
}

/// One user of the session.
#[derive(Clone, Copy)]
pub struct NatsUser(ClientId);

/// A flush that waits.
#[derive(Clone, Copy)]
pub struct NatsFlush(Confirmation, u32);

impl NatsSession {
    /// How long a server may be silent before it gets a PING, and then before it is given up, in
    /// milliseconds.
    pub const PING_INTERVAL: u64 = 3000;
    /// See [`PING_INTERVAL`](Self::PING_INTERVAL).
    pub const TIMEOUT: u64 = 1000;

    /// Limits in bytes.
    pub fn new(max_message_size: usize, max_pending: usize) -> Self {
        Self {
            session: Session::new(max_message_size, max_pending),
            link: None,
            next_link: None,
            now: 0,
        }
    }

    fn new_link(&self) -> Link {
        let [interval, timeout] = [Self::PING_INTERVAL, Self::TIMEOUT].map(Duration::from_millis);
        Link::new(String::from("nats://fuzz"), interval, timeout, self.now)
    }

    /// Bytes that are kept.
    ///
    /// # Panics
    /// If the session has lost count of them.
    pub fn held(&self) -> usize {
        self.session.held()
    }

    /// The time in milliseconds.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Lets time pass.
    pub fn advance(&mut self, millis: u64) {
        self.now += millis;
    }

    // Connections.

    /// Opens a connection.
    pub fn open(&mut self) {
        self.link = Some(self.new_link());
    }

    /// Notes CONNECT with a PING behind it, and returns the subscriptions that it renews.
    pub fn connect_sent(&mut self) -> Vec<u64> {
        if let Some(link) = &mut self.link {
            link.connect_sent(self.now);
        }
        self.session
            .subscriptions()
            .map(|known| known.id.0)
            .collect()
    }

    /// Whether there is a connection.
    pub fn is_open(&self) -> bool {
        self.link.is_some()
    }

    /// Whether the connection is of use.
    pub fn is_ready(&self) -> bool {
        self.link.as_ref().is_some_and(Link::is_ready)
    }

    /// Whether all PINGs of the connection are answered.
    pub fn is_drained(&self) -> bool {
        self.link.as_ref().is_none_or(Link::is_drained)
    }

    /// Reads what the server sends.
    ///
    /// # Errors
    /// The connection is of no use any more.
    pub fn feed(&mut self, input: &[u8]) -> Result<(), String> {
        feed(&mut self.session, &mut self.link, input, self.now)
    }

    /// The connection is lost.
    pub fn lose(&mut self) {
        if let Some(link) = self.link.take() {
            self.session.lost(&link, String::from("cut"));
        }
        self.next_link = None;
    }

    /// Appends what is to be written at once.
    pub fn write_control(&mut self, out: &mut Vec<u8>) {
        if let Some(link) = self.link.as_mut().filter(|link| link.has_control_due()) {
            link.write_control(self.now, out);
        }
    }

    /// Appends a PING to a silent server.
    ///
    /// # Errors
    /// It does not answer.
    pub fn keep_alive(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        let now = self.now;
        let Some(link) = &mut self.link else {
            return Ok(());
        };
        link.keep_alive(now, out).map_err(|error| error.to_string())
    }

    // Moves.

    /// Opens the connection to move to, whose server says `input` before subscriptions are made on both.
    ///
    /// # Errors
    /// It is of no use.
    pub fn start_move(&mut self, input: &[u8]) -> Result<(), String> {
        let mut link = self.new_link();
        link.connect_sent(self.now);
        self.next_link = Some(link);
        feed(&mut self.session, &mut self.next_link, input, self.now)?;
        if let Some(link) = &mut self.link {
            self.session.start_move(link);
        }
        Ok(())
    }

    /// Gives up the move.
    pub fn abandon_move(&mut self) {
        self.next_link = None;
        if let Some(link) = &mut self.link {
            self.session.abandon_move(link);
        }
    }

    /// Appends the last that the old connection gets.
    pub fn write_last(&mut self, out: &mut Vec<u8>) {
        if let Some(link) = &mut self.link {
            link.write_last_ping(self.now, out);
        }
    }

    /// Goes on with the new connection.
    pub fn end_move(&mut self) {
        if let Some(mut link) = self.next_link.take() {
            link.moved_to();
            link.old_ended();
            self.link = Some(link);
        }
    }

    // Users.

    /// One user more.
    pub fn add_user(&mut self) -> NatsUser {
        NatsUser(self.session.add_client())
    }

    /// Forgets a user, and returns its subscriptions.
    pub fn remove_user(&mut self, user: NatsUser) -> Vec<u64> {
        ids(self.session.remove_client(user.0))
    }

    /// A subscription.
    pub fn subscribe(&mut self, user: NatsUser, subject: &str) -> Option<u64> {
        let id = self.session.subscribe(user.0, subject, None);
        id.ok().map(|id| id.0)
    }

    /// Ends a subscription; false if there is none.
    pub fn unsubscribe(&mut self, user: NatsUser, id: u64) -> bool {
        self.session.unsubscribe(user.0, SubscriptionId(id))
    }

    /// Ends all subscriptions but for what is on its way.
    pub fn drain(&mut self, user: NatsUser) -> Vec<u64> {
        ids(self.session.drain(user.0))
    }

    /// Ends them.
    pub fn end_drained(&mut self, user: NatsUser) {
        self.session.end_drained(user.0);
    }

    /// Notes a message of so many bytes; or a loss that is reported instead.
    ///
    /// # Errors
    /// The loss.
    pub fn publish(
        &mut self,
        user: NatsUser,
        subject: &str,
        len: usize,
    ) -> Result<(), BrokerError> {
        if let Some(loss) = self.session.take_loss(user.0) {
            return Err(loss);
        }
        if let Some(link) = &mut self.link {
            link.wrote(len);
        }
        self.session.publish(user.0, subject);
        Ok(())
    }

    /// The loss of what is not confirmed.
    pub fn take_loss(&mut self, user: NatsUser) -> Option<BrokerError> {
        self.session.take_loss(user.0)
    }

    /// Sends a PING, if there is a connection.
    pub fn flush(&mut self, user: NatsUser) -> Option<NatsFlush> {
        let link = self.link.as_mut()?;
        let confirmation = self.session.ping_sent(link, user.0, self.now);
        Some(NatsFlush(confirmation, self.session.losses()))
    }

    /// Whether it was answered on the connection that it was sent on.
    pub fn is_confirmed(&mut self, user: NatsUser, flush: NatsFlush) -> bool {
        self.session.losses() == flush.1 && self.session.is_confirmed(user.0, flush.0)
    }

    /// All that was published is confirmed.
    ///
    /// # Errors
    /// The server refused some of it.
    pub fn confirm(&mut self, user: NatsUser) -> Result<(), BrokerError> {
        self.session.confirm(user.0)
    }

    /// Whether something published is neither confirmed nor reported as lost.
    pub fn has_unconfirmed(&mut self, user: NatsUser) -> bool {
        self.session.has_unconfirmed(user.0)
    }

    /// The next message.
    pub fn next(&mut self, user: NatsUser) -> Option<Result<Message, BrokerError>> {
        self.session.next(user.0, self.now)
    }

    /// The next message of a subscription.
    pub fn next_of(&mut self, user: NatsUser, id: u64) -> Option<Result<Message, BrokerError>> {
        self.session.next_of(user.0, SubscriptionId(id))
    }

    /// Ends the wait for it.
    pub fn stop_waiting(&mut self, user: NatsUser) {
        self.session.stop_waiting(user.0);
    }
}

fn feed(
    session: &mut Session,
    link: &mut Option<Link>,
    mut input: &[u8],
    now: Millis,
) -> Result<(), String> {
    let Some(link) = link else { return Ok(()) };
    while !input.is_empty() {
        let fed = session.feed(link, input, now);
        let used = fed.map_err(|error| error.to_string())?;
        assert!(used > 0, "a session that stands still");
        input = &input[used..];
    }
    Ok(())
}

fn ids(ids: Vec<SubscriptionId>) -> Vec<u64> {
    ids.into_iter().map(|id| id.0).collect()
}
