//! An in-process broker and file server: for first steps, for tests, and for messages between the parts of
//! one program.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::file_server::{FileServer, FileServerError, FileServerErrorKind, Upload, file_name};
use crate::http::url::RedactedUrl;
use crate::nats::subject::check_subscribe;
use crate::nats::{
    Broker, BrokerError, BrokerErrorKind, DEFAULT_MAX_PAYLOAD, Message, Outgoing, SubscriptionId,
};
use crate::platform::deadline_after;
use crate::stream::{Body, Sink, read_to_vec};

/// Bytes of messages that may wait for one client. Further ones are dropped, which is reported.
const MAX_PENDING: usize = 64 << 20;

/// A [`Broker`] in memory. A clone is another client of the same broker: all subscribers, the publisher
/// included, get what one publishes. Clients may be on different threads.
///
/// Like NATS it has subjects with `*` and `>`, queue groups, a maximum message size, and "no responders" for
/// requests.
#[derive(Debug)]
pub struct MemoryBroker {
    hub: Arc<Hub>,
    client: u64,
}

#[derive(Debug)]
struct Hub {
    state: Mutex<HubState>,
    changed: Condvar,
    max_payload: usize,
}

#[derive(Debug, Default)]
struct HubState {
    next_id: u64,
    subscriptions: BTreeMap<SubscriptionId, Subscription>,
    inboxes: BTreeMap<u64, Inbox>,
    /// Counts deliveries, so that the members of a queue group take turns.
    turn: usize,
}

#[derive(Debug)]
struct Subscription {
    client: u64,
    subject: String,
    queue: Option<String>,
}

#[derive(Debug, Default)]
struct Inbox {
    messages: VecDeque<Message>,
    pending: usize,
    dropped: u64,
}

impl MemoryBroker {
    /// A new broker that accepts messages of at most 1,048,576 bytes, NATS's default.
    pub fn new() -> Self {
        Self::with_max_payload(DEFAULT_MAX_PAYLOAD)
    }

    /// A new broker that accepts messages of at most `max_payload` bytes.
    pub fn with_max_payload(max_payload: usize) -> Self {
        let hub = Hub {
            state: Mutex::default(),
            changed: Condvar::new(),
            max_payload,
        };
        Self::join(Arc::new(hub))
    }

    fn join(hub: Arc<Hub>) -> Self {
        let mut state = hub.lock();
        state.next_id += 1;
        let client = state.next_id;
        state.inboxes.insert(client, Inbox::default());
        drop(state);
        Self { hub, client }
    }
}

impl Default for MemoryBroker {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for MemoryBroker {
    fn clone(&self) -> Self {
        Self::join(Arc::clone(&self.hub))
    }
}

impl Drop for MemoryBroker {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        state.inboxes.remove(&self.client);
        let is_other = |_: &_, subscription: &mut Subscription| subscription.client != self.client;
        state.subscriptions.retain(is_other);
    }
}

impl Hub {
    /// A panic of another client leaves the state consistent: every change is complete.
    fn lock(&self) -> MutexGuard<'_, HubState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HubState {
    /// The receivers of a message on `subject`: every subscription without a queue group, and one of each
    /// group.
    fn receivers(&mut self, subject: &str) -> Vec<(u64, SubscriptionId)> {
        let mut receivers = Vec::new();
        let mut groups: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for (id, subscription) in &self.subscriptions {
            let receiver = (subscription.client, *id);
            match &subscription.queue {
                _ if !matches_subject(&subscription.subject, subject) => {}
                Some(queue) => groups.entry(queue).or_default().push(receiver),
                None => receivers.push(receiver),
            }
        }
        receivers.extend(
            groups
                .values()
                .map(|members| members[self.turn % members.len()]),
        );
        self.turn = self.turn.wrapping_add(1);
        receivers
    }

    fn deliver(&mut self, subject: &str, message: &Message) -> usize {
        let receivers = self.receivers(subject);
        for (client, subscription) in &receivers {
            let Some(inbox) = self.inboxes.get_mut(client) else {
                continue;
            };
            if inbox.pending + message.payload.len() > MAX_PENDING {
                inbox.dropped += 1;
                continue;
            }
            inbox.pending += message.payload.len();
            let subscription = *subscription;
            inbox.messages.push_back(Message {
                subscription,
                ..message.clone()
            });
        }
        receivers.len()
    }
}

/// Whether a message on `subject` is for a subscription to `pattern`.
fn matches_subject(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

impl Broker for MemoryBroker {
    fn max_payload(&self) -> usize {
        self.hub.max_payload
    }

    fn publish(&mut self, outgoing: &Outgoing<'_>, body: &mut dyn Body) -> Result<(), BrokerError> {
        outgoing.check()?;
        outgoing.check_len(body, self.hub.max_payload)?;
        let mut message = Message::new(SubscriptionId(0), outgoing.subject, Vec::new());
        message.reply = outgoing.reply.map(ToString::to_string);
        if !outgoing.headers.is_empty() {
            message.headers = outgoing.headers.iter().copied().collect();
        }
        read_to_vec(body, &mut message.payload)?;
        let mut state = self.hub.lock();
        if state.deliver(outgoing.subject, &message) == 0
            && let Some(reply) = outgoing.reply
        {
            let mut nobody = Message::new(SubscriptionId(0), reply, Vec::new());
            nobody.status = Some(503);
            state.deliver(reply, &nobody);
        }
        self.hub.changed.notify_all();
        Ok(())
    }

    fn flush(&mut self, _: Duration) -> Result<(), BrokerError> {
        Ok(())
    }

    fn subscribe(
        &mut self,
        subject: &str,
        queue: Option<&str>,
    ) -> Result<SubscriptionId, BrokerError> {
        check_subscribe(subject, queue)?;
        let mut state = self.hub.lock();
        state.next_id += 1;
        let id = SubscriptionId(state.next_id);
        let subscription = Subscription {
            client: self.client,
            subject: subject.to_string(),
            queue: queue.map(ToString::to_string),
        };
        state.subscriptions.insert(id, subscription);
        Ok(id)
    }

    fn unsubscribe(&mut self, id: SubscriptionId) -> Result<(), BrokerError> {
        let mut state = self.hub.lock();
        state.subscriptions.remove(&id);
        if let Some(inbox) = state.inboxes.get_mut(&self.client) {
            inbox.messages.retain(|message| message.subscription != id);
            inbox.pending = inbox
                .messages
                .iter()
                .map(|message| message.payload.len())
                .sum();
        }
        Ok(())
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Message>, BrokerError> {
        self.take(wait, |inbox| {
            if inbox.dropped > 0 {
                let dropped = core::mem::take(&mut inbox.dropped);
                let message = format!("{dropped} messages came faster than they were taken");
                let kind = BrokerErrorKind::SlowConsumer { dropped };
                return Some(Err(BrokerError::new(kind, message)));
            }
            inbox.messages.pop_front().map(Ok)
        })
    }

    fn next_of(
        &mut self,
        id: SubscriptionId,
        wait: Duration,
    ) -> Result<Option<Message>, BrokerError> {
        self.take(wait, |inbox| {
            let is_it = |message: &Message| message.subscription == id;
            let place = inbox.messages.iter().position(is_it)?;
            inbox.messages.remove(place).map(Ok)
        })
    }
}

impl MemoryBroker {
    /// Waits up to `wait` until `take` returns something.
    fn take(
        &self,
        wait: Duration,
        take: impl Fn(&mut Inbox) -> Option<Result<Message, BrokerError>>,
    ) -> Result<Option<Message>, BrokerError> {
        let deadline = deadline_after(wait);
        let mut state = self.hub.lock();
        loop {
            let Some(inbox) = state.inboxes.get_mut(&self.client) else {
                return Ok(None);
            };
            if let Some(taken) = take(inbox) {
                let message = taken?;
                inbox.pending -= message.payload.len();
                return Ok(Some(message));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let waited = self.hub.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A [`FileServer`] in memory. A clone is another client of the same server.
#[derive(Debug, Clone, Default)]
pub struct MemoryFileServer {
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

/// Where its files are. `.invalid` is a domain that no machine can have (RFC 2606 section 2).
const MEMORY_URL: &str = "http://memory.invalid/";

impl MemoryFileServer {
    /// A new server, without files.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of files.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there are no files.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileServer for MemoryFileServer {
    fn upload(&mut self, dataname: &str, body: &mut dyn Body) -> Result<Upload, FileServerError> {
        let mut bytes = Vec::new();
        read_to_vec(body, &mut bytes).map_err(FileServerError::local)?;
        let mut files = self.lock();
        let number = files
            .keys()
            .filter_map(|url| number(url))
            .max()
            .map_or(0, |last| last + 1);
        let url = format!("{MEMORY_URL}{number:016}/{}", file_name(dataname));
        files.insert(url.clone(), bytes);
        Ok(Upload::new(url))
    }

    fn download(
        &mut self,
        url: &str,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<u64, FileServerError> {
        let files = self.lock();
        let Some(bytes) = files.get(url) else {
            let message = format!("there is no {}", RedactedUrl(url));
            return Err(FileServerError::new(FileServerErrorKind::NotFound, message));
        };
        let len = bytes.len() as u64;
        if len > limit {
            let message = format!(
                "{} has {len} bytes, over the limit of {limit} bytes",
                RedactedUrl(url)
            );
            let kind = FileServerErrorKind::TooLarge { limit };
            return Err(FileServerError::new(kind, message));
        }
        sink.write(bytes).map_err(FileServerError::local)?;
        Ok(len)
    }

    fn owns(&self, url: &str) -> bool {
        url.starts_with(MEMORY_URL)
    }

    fn delete(&mut self, upload: &Upload) -> Result<(), FileServerError> {
        self.lock().remove(&upload.url);
        Ok(())
    }
}

fn number(url: &str) -> Option<u64> {
    let digits = url.strip_prefix(MEMORY_URL)?.split('/').next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_nats() {
        for (pattern, subject, matches) in [
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
            ("a.b.c", "a.b", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("*.b", "a.b", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("/chat", "/chat/room1", false),
        ] {
            assert_eq!(
                matches_subject(pattern, subject),
                matches,
                "{pattern} {subject}"
            );
        }
    }
}
