//! NATS by the `nats` crate.

#![expect(
    deprecated,
    reason = "all of the crate is: its authors want async, which has no place here"
)]

mod link;
mod options;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::collections::HashMap;
use std::io;
use std::thread;
use std::time::Instant;

use self::link::{Attempt, Event, Link, Unfinished};
use self::options::without_credentials;
use crate::nats::subject::{check_len, check_publish, check_subscribe};
use crate::nats::{
    Broker, BrokerError, BrokerErrorKind as Kind, DEFAULT_MAX_PAYLOAD, Message, SubscriptionId,
};
use crate::platform::deadline_after;
use crate::stream::{Body, read_to_vec};

pub use self::options::NatsOptions;

/// The first pause between attempts to reconnect; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between attempts to reconnect.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A connect that hangs is waited for by the calls that follow, until it has had so many connect
/// timeouts. Then a new one is made, because a peer that accepted and fell silent never answers.
const PATIENCE: u32 = 3;

/// A [`Broker`] by the `nats` crate. The README's table of limits has its time limits.
///
/// A lost connection is told once, as an error of kind [`Disconnected`](Kind::Disconnected). The
/// call after that connects again, to any of the servers, and renews the subscriptions. Messages
/// that were published to them in between are gone.
///
/// The calls of the `nats` crate that may block run on a thread of the client's own. If one hangs,
/// the caller gets its error in time and the connection is given up; the thread ends when the
/// operating system gives up too.
pub struct NatsClient {
    options: NatsOptions,
    link: Option<Link>,
    /// Connects that took too long and still run, by URL. At most one for each server.
    attempts: HashMap<String, Attempt>,
    subscriptions: BTreeMap<SubscriptionId, (String, Option<String>)>,
    next_id: u64,
    max_payload: usize,
    /// Something was published since the last confirmation.
    unconfirmed: bool,
    /// A connection was lost while something was unconfirmed, and no flush has told so yet.
    lost_unconfirmed: bool,
    /// When the server last gave a sign of life.
    last_alive: Instant,
    buffer: Vec<u8>,
}

impl fmt::Debug for NatsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsClient")
            .field("servers", &self.public_url())
            .field("is_connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

impl NatsClient {
    /// A client that connects when it is first needed, or by [`connect`](Self::connect).
    pub fn new(options: NatsOptions) -> Self {
        Self {
            options,
            link: None,
            attempts: HashMap::new(),
            subscriptions: BTreeMap::new(),
            next_id: 1,
            max_payload: DEFAULT_MAX_PAYLOAD,
            unconfirmed: false,
            lost_unconfirmed: false,
            last_alive: Instant::now(),
            buffer: Vec::new(),
        }
    }

    /// Connects to the first server that answers, unless there is a connection. Blocks at most
    /// [`NatsOptions::connect_timeout`].
    ///
    /// # Errors
    /// Of kind [`Unreachable`](Kind::Unreachable), [`Unauthorized`](Kind::Unauthorized) or
    /// [`InvalidOption`](Kind::InvalidOption), with the URL of the last server tried.
    pub fn connect(&mut self) -> Result<(), BrokerError> {
        if self.is_connected() {
            return Ok(());
        }
        self.let_go();
        self.connect_within(self.options.connect_timeout)
    }

    /// Gives up the connection, if there is one, connects again and renews the subscriptions.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn reconnect(&mut self) -> Result<(), BrokerError> {
        self.let_go();
        self.connect()
    }

    /// Closes the connection and ends the subscriptions. What was published and not flushed may be
    /// lost.
    pub fn close(&mut self) {
        self.let_go();
        self.subscriptions.clear();
    }

    /// Whether there is a connection that is not known to be lost.
    pub fn is_connected(&self) -> bool {
        self.link
            .as_ref()
            .is_some_and(|link| !link.shared.is_lost())
    }

    /// The servers' URLs without users, passwords and tokens.
    pub fn public_url(&self) -> String {
        let urls: Vec<_> = self
            .options
            .servers
            .iter()
            .map(|url| without_credentials(url))
            .collect();
        urls.join(",")
    }

    fn connect_within(&mut self, limit: Duration) -> Result<(), BrokerError> {
        self.options.check_files().map_err(|(path, error)| {
            let message = format!("{} cannot be read", path.display());
            BrokerError::new(Kind::InvalidOption, message).with_source(error)
        })?;
        let deadline = deadline_after(limit);
        let servers = self.options.servers.clone();
        let mut last = BrokerError::new(Kind::InvalidOption, "no server is named");
        for (tried, url) in servers.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(servers.len() - tried).unwrap_or(u32::MAX);
            match self.connect_to(url, share) {
                Ok(link) => {
                    self.max_payload = link.max_payload();
                    self.last_alive = Instant::now();
                    self.link = Some(link);
                    return self.renew_subscriptions();
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn connect_to(&mut self, url: &str, wait: Duration) -> Result<Link, BrokerError> {
        let shown = without_credentials(url);
        let patience = self.options.connect_timeout.saturating_mul(PATIENCE);
        let kept = self.attempts.remove(url);
        let kept = kept.filter(|attempt| attempt.age() < patience);
        let attempt = kept.unwrap_or_else(|| Attempt::start(&self.options, url));
        match attempt.wait(wait, &shown) {
            Ok(Ok(link)) => Ok(link),
            Ok(Err(error)) => Err(connect_failed(&shown, error)),
            Err(attempt) => {
                self.attempts.insert(url.to_string(), attempt);
                let message = format!("no answer from {shown} within {} ms", wait.as_millis());
                Err(BrokerError::new(Kind::Unreachable, message))
            }
        }
    }

    fn renew_subscriptions(&mut self) -> Result<(), BrokerError> {
        let wait = self.options.timeout;
        for (id, (subject, queue)) in self.subscriptions.clone() {
            self.on_link(|link| link.subscribe(id, &subject, queue.as_deref(), wait))?;
        }
        Ok(())
    }

    /// A connection to work on. The loss of one is told here, once, before a new one is made.
    fn live(&mut self) -> Result<(), BrokerError> {
        if self.is_connected() {
            return Ok(());
        }
        if self.link.is_some() {
            return Err(self.lost());
        }
        self.connect_within(self.options.connect_timeout)
    }

    fn lost(&mut self) -> BrokerError {
        let url = self
            .link
            .as_ref()
            .map(|link| link.url.clone())
            .unwrap_or_default();
        self.let_go();
        BrokerError::new(
            Kind::Disconnected,
            format!("the connection to {url} is lost"),
        )
    }

    fn let_go(&mut self) {
        self.link = None;
        self.lost_unconfirmed |= core::mem::take(&mut self.unconfirmed);
    }

    /// Works on the connection, which is given up if that takes too long or fails.
    fn on_link<T>(
        &mut self,
        work: impl FnOnce(&mut Link) -> Result<io::Result<T>, Unfinished>,
    ) -> Result<T, BrokerError> {
        let Some(link) = &mut self.link else {
            return Err(self.lost());
        };
        let worked = work(link);
        let url = &link.url;
        let error = match worked {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => {
                let message = format!("the connection to {url} is lost");
                BrokerError::new(Kind::Disconnected, message).with_source(error)
            }
            Err(Unfinished::Lost) => return Err(self.lost()),
            Err(Unfinished::TimedOut) => {
                let message = format!("no answer from {url} in time, the connection is given up");
                BrokerError::new(Kind::Timeout, message)
            }
        };
        self.let_go();
        Err(error)
    }

    /// Tries to connect until it succeeds or `deadline` has come. What no retry cures is told after
    /// a pause, so that a loop of calls does not spin.
    fn connect_until(&mut self, deadline: Instant) -> Result<(), BrokerError> {
        let mut pause = FIRST_PAUSE;
        let left = || deadline.saturating_duration_since(Instant::now());
        loop {
            let error = match self.connect_within(left().min(self.options.connect_timeout)) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if !error.is_transient() {
                pause = LONGEST_PAUSE;
            }
            thread::sleep(pause.min(left()));
            if left().is_zero() || !error.is_transient() {
                return Err(error);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks the server for an answer on this very connection.
    fn round_trip(&mut self, wait: Duration) -> Result<(), BrokerError> {
        self.on_link(|link| {
            let flushed = link.flush(wait)?;
            Ok(flushed.and_then(|()| match link.shared.is_lost() {
                true => Err(io::ErrorKind::ConnectionReset.into()),
                false => Ok(()),
            }))
        })?;
        self.last_alive = Instant::now();
        Ok(())
    }

    fn tell(&mut self, event: Event) -> Result<Message, BrokerError> {
        let url = self
            .link
            .as_ref()
            .map(|link| link.url.clone())
            .unwrap_or_default();
        self.last_alive = Instant::now();
        match event {
            Event::Message(message) => Ok(message),
            Event::Complaint(complaint) => Err(refused(&url, &complaint)),
            Event::Dropped(dropped) => {
                let message = format!("{dropped} messages came faster than they were taken");
                Err(BrokerError::new(Kind::SlowConsumer { dropped }, message))
            }
            Event::Lost | Event::Nothing => Err(self.lost()),
        }
    }

    fn complaint(&self) -> Option<BrokerError> {
        let link = self.link.as_ref()?;
        let complaint = link.shared.take_complaint()?;
        Some(refused(&link.url, &complaint))
    }
}

fn refused(url: &str, complaint: &str) -> BrokerError {
    BrokerError::new(Kind::Refused, format!("{url} complains: {complaint}"))
}

fn connect_failed(url: &str, error: io::Error) -> BrokerError {
    let text = error.to_string();
    let kind = match error.kind() {
        _ if text.contains("Authorization") || text.contains("certificate") => Kind::Unauthorized,
        _ if url.parse::<nats::ServerAddress>().is_err() => Kind::InvalidOption,
        _ if broke_off(&text) => Kind::Unreachable,
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Kind::Protocol,
        _ => Kind::Unreachable,
    };
    BrokerError::new(kind, format!("no connection to {url}")).with_source(error)
}

/// The crate takes a line that broke off with its connection for one that it does not know.
fn broke_off(text: &str) -> bool {
    let unknown = text.split_once("Unknown(").map(|(_, line)| line);
    unknown.is_some_and(|line| !line.ends_with("\\n\")"))
}

impl Broker for NatsClient {
    fn max_payload(&self) -> usize {
        self.link
            .as_ref()
            .map_or(self.max_payload, Link::max_payload)
    }

    fn publish(
        &mut self,
        subject: &str,
        reply: Option<&str>,
        body: &mut dyn Body,
    ) -> Result<(), BrokerError> {
        check_publish(subject, reply)?;
        self.live()?;
        check_len(body, self.max_payload())?;
        let mut buffer = core::mem::take(&mut self.buffer);
        read_to_vec(body, &mut buffer)?;
        let wait = self.options.timeout;
        self.buffer = self.on_link(|link| link.publish(subject, reply, buffer, wait))?;
        self.unconfirmed = true;
        Ok(())
    }

    fn flush(&mut self, wait: Duration) -> Result<(), BrokerError> {
        if self.lost_unconfirmed || (self.unconfirmed && !self.is_connected()) {
            let error = self.lost();
            self.lost_unconfirmed = false;
            return Err(error);
        }
        self.live()?;
        self.round_trip(wait)
            .inspect_err(|_| self.lost_unconfirmed = false)?;
        self.unconfirmed = false;
        self.complaint().map_or(Ok(()), Err)
    }

    fn subscribe(
        &mut self,
        subject: &str,
        queue: Option<&str>,
    ) -> Result<SubscriptionId, BrokerError> {
        check_subscribe(subject, queue)?;
        self.live()?;
        let id = SubscriptionId(self.next_id);
        let wait = self.options.timeout;
        self.on_link(|link| link.subscribe(id, subject, queue, wait))?;
        self.next_id += 1;
        let queue = queue.map(ToString::to_string);
        self.subscriptions.insert(id, (subject.to_string(), queue));
        Ok(id)
    }

    fn unsubscribe(&mut self, id: SubscriptionId) -> Result<(), BrokerError> {
        self.subscriptions.remove(&id);
        if self.link.is_none() {
            return Ok(());
        }
        let wait = self.options.timeout;
        self.on_link(|link| link.unsubscribe(id, wait).map(Ok))
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Message>, BrokerError> {
        let deadline = deadline_after(wait);
        if self.link.is_none() {
            self.connect_until(deadline)?;
        }
        loop {
            let Some(link) = &self.link else {
                return Ok(None);
            };
            // A link may be dead without anybody having noticed.
            let idle = self.last_alive.elapsed();
            let ping_due = deadline_after(self.options.ping_interval.saturating_sub(idle));
            let event = link.shared.next(deadline.min(ping_due));
            match event {
                Event::Nothing if Instant::now() >= ping_due => {
                    self.round_trip(self.options.timeout)?;
                }
                Event::Nothing => return Ok(None),
                event => return self.tell(event).map(Some),
            }
        }
    }
}
