//! What a server said, and to whom it goes.

use alloc::string::String;
use alloc::vec::Vec;

use super::client::{Client, ClientId, Event, REPORT_INTERVAL};
use super::error::{
    is_about_subscriptions, named_subject, refused_use, slow_consumer, stays_connected_after,
};
use super::link::{Link, LinkError, Overlap, PingOf, State};
use super::{Session, Subscription};
use crate::cause::text;
use crate::nats::headers::Headers;
use crate::nats::protocol::{MessageError, Op};
use crate::nats::{BrokerError, BrokerErrorKind as Kind, Message, SubjectUse, SubscriptionId};
use crate::platform::Millis;

/// PONGs that wait to be written. A server that sends more PINGs than it reads PONGs gets no more.
pub(super) const MAX_PONGS_DUE: u8 = 8;
/// Messages whose second copy is recognized during a move from one connection to another.
const MAX_OVERLAP: usize = 16_384;

impl Session {
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
        if link.pings.is_empty() {
            return;
        }
        let (of, written) = link.pings.remove(0);
        link.confirmed = written;
        link.waiting_since = link.pings.first().map(|_| link.heard_at);
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
        let candidates: &[fn(&Client, &str) -> bool] = match subject.map(|_| refused_use(error)) {
            Some(SubjectUse::Publish) => &[
                |client, subject| client.unconfirmed.has(subject, SubjectUse::Publish),
                |client, _| client.unconfirmed.overflowed,
            ],
            Some(SubjectUse::Subscribe) => &[
                |client, subject| client.unconfirmed.has(subject, SubjectUse::Subscribe),
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
        match client.pop()? {
            Event::Lost => {
                let of_client = self.subscriptions.iter_mut();
                let of_client = of_client.filter(|known| known.client == id);
                of_client.for_each(|known| known.lost = false);
                Some(Err(self.lost_error()))
            }
            event => event.into_message(),
        }
    }

    /// The next message of one subscription or what is to be reported instead, and the loss of its connection; the
    /// rest stays queued.
    pub(crate) fn next_of(
        &mut self,
        client: ClientId,
        id: SubscriptionId,
    ) -> Option<Result<Message, BrokerError>> {
        let is_it = |known: &Subscription| known.id == id && known.client == client;
        let is_known = self.subscriptions.iter().any(is_it);
        let queue = self.client(client)?;
        queue.awaited = Some(id);
        if let Some(event) = queue.take_of(id) {
            queue.awaited = None;
            return event.into_message();
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
}

/// FNV-1a of all that tells two messages apart.
fn message_hash(message: &Message) -> u64 {
    let id = message.subscription.0.to_le_bytes();
    let reply = message.reply.as_deref().unwrap_or_default();
    let parts = [
        &id[..],
        message.subject.as_bytes(),
        reply.as_bytes(),
        message.headers.block(),
        &message.payload,
    ];
    let bytes = parts.into_iter().flatten();
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
