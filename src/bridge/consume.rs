//! Messages of a durable consumer, one after the other.

use alloc::string::String;
use core::ops::Deref;
use core::time::Duration;

use super::in_progress::InProgress;
use super::{Error, NatsBridge};
use crate::file_server::{FileServer, FileServerErrorKind};
use crate::message::Received;
use crate::nats::Broker;
use crate::nats::jetstream::{
    ACK_PREFIX, Ack, AckInfo, ConsumeOptions, Deadline, Delivered, JetStreamError, Puller,
    not_permitted,
};
use crate::platform::Platform;
use crate::trace::Escaped;

/// How long a consumer that is dropped may take to give back what it has fetched.
const DROP_TIMEOUT: Duration = Duration::from_secs(1);

/// The messages of a durable pull consumer of JetStream; see [`NatsBridge::consume`].
///
/// Dropping it gives back what was fetched and not taken, so that another worker gets it at once. A
/// [`Delivery`] that was not acknowledged is delivered again after the consumer's `ack_wait`.
///
/// ```no_run
/// use std::time::Duration;
/// use natsbridge::{ConsumeOptions, Payload, SendOptions, host};
///
/// # fn work(_: &natsbridge::Delivery) -> bool { true }
/// let mut bridge = host::connect("nats://localhost:4222", "http://localhost:8080")?;
/// let options = ConsumeOptions::default().max_deliver(5);
/// let mut jobs = bridge.consume("JOBS", "worker", options)?;
/// while let Some(job) = jobs.next(Duration::from_secs(60))? {
///     jobs.in_progress(&job)?; // its time starts anew
///     if job.payloads.is_empty() {
///         jobs.term(&job)?; // never again
///     } else if work(&job) {
///         let done = [("done", Payload::text("yes"))];
///         jobs.bridge().smartsend("done", &done, &SendOptions::default())?;
///         jobs.ack_confirmed(&job)?;
///     } else {
///         jobs.nak(&job, Duration::from_secs(10))?; // again, in 10 s
///     }
/// }
/// # Ok::<(), natsbridge::Error>(())
/// ```
#[derive(Debug)]
pub struct Consumer<'b, B: Broker, F: FileServer, P: Platform> {
    bridge: &'b mut NatsBridge<B, F, P>,
    puller: Puller,
    options: ConsumeOptions,
    /// How often the server delivers a message at most.
    max_deliver: Option<u64>,
    /// After which time the server delivers one again.
    ack_wait: Duration,
}

/// A message of a [`Consumer`], which dereferences to what was [`Received`]. Its `reply` is empty: JetStream
/// uses the reply subject of NATS for acknowledgements, so that an answer goes to the envelope's `reply_to`.
#[derive(Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// The message.
    pub received: Received,
    /// Where it comes from, and how often it was delivered.
    pub info: AckInfo,
    ack_subject: String,
}

impl Deref for Delivery {
    type Target = Received;

    fn deref(&self) -> &Self::Target {
        &self.received
    }
}

impl<B: Broker, F: FileServer, P: Platform> NatsBridge<B, F, P> {
    /// Finds a durable pull consumer of a stream of JetStream, or creates it. Several workers, in one
    /// program or many, may share it: each message goes to one of them, and to another one if it is not
    /// acknowledged in time.
    ///
    /// While there is a [`Consumer`], [`next`](Self::next) of the bridge, by way of [`Consumer::bridge`],
    /// is not to be called: it would take the consumer's messages.
    ///
    /// # Errors
    /// [`Error::JetStream`]: no such stream, no permission, JetStream is not enabled, or the consumer exists
    /// with another configuration, whose differences are named.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use natsbridge::{ConsumeOptions, host};
    ///
    /// let mut bridge = host::connect("nats://localhost:4222", "http://localhost:8080")?;
    /// let mut orders = bridge.consume("ORDERS", "worker", ConsumeOptions::default())?;
    /// while let Some(order) = orders.next(Duration::from_secs(60))? {
    ///     println!("{} was delivered {} time(s)", order.envelope.msg_id, order.info.delivered);
    ///     orders.ack(&order)?;
    /// }
    /// # Ok::<(), natsbridge::Error>(())
    /// ```
    pub fn consume(
        &mut self,
        stream: &str,
        consumer: &str,
        options: ConsumeOptions,
    ) -> Result<Consumer<'_, B, F, P>, Error> {
        let domain = options.domain.as_deref();
        let opened = self.with_jetstream(options.timeout, domain, |jetstream| {
            let info = jetstream.ensure_consumer(stream, consumer, &options)?;
            let puller = Puller::new(jetstream, (stream, consumer), options.batch, false)?;
            Ok::<_, JetStreamError>((info, puller))
        });
        let (info, puller) = opened?;
        Ok(Consumer {
            bridge: self,
            puller,
            options,
            max_deliver: info.max_deliver(),
            ack_wait: info.ack_wait(),
        })
    }
}

/// What becomes of a message that could not be opened.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It can never be opened.
    Terminate,
    /// It may be later.
    Again,
    /// It may be later, if something is changed here.
    AgainAndReport,
}

impl Verdict {
    fn of(error: &Error) -> Self {
        use FileServerErrorKind as Kind;
        match error {
            Error::Message(_) | Error::LinkRefused { .. } | Error::TooLarge { .. } => {
                Self::Terminate
            }
            Error::FileServer { source, .. } => match source.kind() {
                Kind::NotFound
                | Kind::Mismatch
                | Kind::InvalidUrl
                | Kind::Unsupported
                | Kind::TooLarge { .. } => Self::Terminate,
                _ if source.is_transient() => Self::Again,
                _ => Self::AgainAndReport,
            },
            _ => Self::AgainAndReport,
        }
    }
}

impl<B: Broker, F: FileServer, P: Platform> Consumer<'_, B, F, P> {
    /// The bridge, to send and to reply with.
    pub fn bridge(&mut self) -> &mut NatsBridge<B, F, P> {
        self.bridge
    }

    /// Waits up to `wait` for the next message and opens it; `None` if there was none. Links take their own
    /// time, and so does a connection that has to be made. A connection that is renewed and a cluster that
    /// elects a leader are waited for.
    ///
    /// While files are fetched the server is told now and then that the message is being worked on, so that it does
    /// not go to another worker. A message whose file cannot be fetched now is delivered again after
    /// [`ConsumeOptions::retry_delay`], and the next one is waited for.
    ///
    /// # Errors
    /// As [`smartreceive`](NatsBridge::smartreceive): the message breaks the wire contract, its link is not
    /// allowed, or its file is gone. It is not delivered again. [`Error::JetStream`]: the consumer or its
    /// stream is gone, it cannot be reached for `wait`, or the user may not acknowledge. A message that is longer
    /// than the client takes ([`Broker::next`]) is an error each time it is delivered, every `ack_wait`: a worker
    /// with a higher limit may take it.
    pub fn next(&mut self, wait: Duration) -> Result<Option<Delivery>, Error> {
        // A server answers an acknowledgement only if it is asked to, but refuses any.
        if let Some(error) = self.bridge.earlier.take_error_on(ACK_PREFIX) {
            return Err(not_permitted(error).into());
        }
        let deadline = Deadline::after(&self.bridge.platform, wait);
        loop {
            let left = deadline.left(&self.bridge.platform);
            let (puller, options) = (&mut self.puller, &self.options);
            let domain = options.domain.as_deref();
            let bridge = &mut *self.bridge;
            let next = bridge.with_jetstream(options.timeout, domain, |jetstream| {
                puller.next(jetstream, left)
            });
            let Some(delivered) = next? else {
                return Ok(None);
            };
            if let Some(delivery) = self.open(delivered)? {
                return Ok(Some(delivery));
            }
            if deadline.left(&self.bridge.platform).is_zero() {
                return Ok(None);
            }
        }
    }

    /// Opens a message; `None` if it is to be delivered again.
    fn open(&mut self, delivered: Delivered) -> Result<Option<Delivery>, Error> {
        let Delivered {
            message,
            info,
            ack_subject,
        } = delivered;
        let bridge = &mut *self.bridge;
        let in_progress = InProgress::new(ack_subject.clone(), self.ack_wait, &bridge.platform);
        bridge.in_progress = Some(in_progress);
        let received = bridge.receive_owned(message);
        bridge.in_progress = None;
        let error = match received {
            Ok(received) => {
                return Ok(Some(Delivery {
                    received,
                    info,
                    ack_subject,
                }));
            }
            Err(error) => error,
        };
        let verdict = Verdict::of(&error);
        let ack = match verdict {
            Verdict::Terminate => Ack::Never,
            _ => Ack::Again(self.options.retry_delay),
        };
        if let Err(error) = self.acknowledge(&ack_subject, ack, false) {
            log::warn!(target: "natsbridge", "message {} is not acknowledged: {error:?}", info.stream_sequence);
        }
        let is_last = self
            .max_deliver
            .is_some_and(|limit| info.delivered >= limit);
        if verdict == Verdict::Again && !is_last {
            let (stream, sequence) = (Escaped(&info.stream), info.stream_sequence);
            log::warn!(target: "natsbridge", "message {sequence} of {stream} is to be delivered again: {error:?}");
            return Ok(None);
        }
        Err(error)
    }

    /// Says that the message is done. `Ok` says that this was written to the connection; see
    /// [`ack_confirmed`](Self::ack_confirmed).
    ///
    /// # Errors
    /// [`Error::JetStream`]: the message may be delivered again.
    pub fn ack(&mut self, delivery: &Delivery) -> Result<(), Error> {
        self.acknowledge(&delivery.ack_subject, Ack::Done, false)
    }

    /// Says that the message is done, and waits until the server has that: it is not delivered again, unless the
    /// server is killed before it has written that to its file.
    ///
    /// # Errors
    /// [`Error::JetStream`]: the message may be delivered again.
    pub fn ack_confirmed(&mut self, delivery: &Delivery) -> Result<(), Error> {
        self.acknowledge(&delivery.ack_subject, Ack::Done, true)
    }

    /// Has the message delivered again after `delay`, to this worker or another one.
    ///
    /// # Errors
    /// [`Error::JetStream`]: it may take until the consumer's `ack_wait`.
    pub fn nak(&mut self, delivery: &Delivery, delay: Duration) -> Result<(), Error> {
        self.acknowledge(&delivery.ack_subject, Ack::Again(delay), false)
    }

    /// Says that the message is never to be delivered again, although it is not done.
    ///
    /// # Errors
    /// [`Error::JetStream`]: the message may be delivered again.
    pub fn term(&mut self, delivery: &Delivery) -> Result<(), Error> {
        self.acknowledge(&delivery.ack_subject, Ack::Never, false)
    }

    /// Says that the message is being worked on: its `ack_wait` starts anew.
    ///
    /// # Errors
    /// [`Error::JetStream`]: the message may be delivered again.
    pub fn in_progress(&mut self, delivery: &Delivery) -> Result<(), Error> {
        self.acknowledge(&delivery.ack_subject, Ack::InProgress, false)
    }

    fn acknowledge(&mut self, subject: &str, ack: Ack, confirm: bool) -> Result<(), Error> {
        let options = &self.options;
        let domain = options.domain.as_deref();
        let done = self
            .bridge
            .with_jetstream(options.timeout, domain, |jetstream| {
                jetstream.acknowledge(subject, ack, confirm)
            });
        Ok(done?)
    }
}

impl<B: Broker, F: FileServer, P: Platform> Drop for Consumer<'_, B, F, P> {
    fn drop(&mut self) {
        let puller = &mut self.puller;
        let domain = self.options.domain.as_deref();
        self.bridge
            .with_jetstream(DROP_TIMEOUT, domain, |jetstream| {
                let waiting = puller.take_waiting(jetstream);
                // First, or the server would deliver them here again.
                puller.close(jetstream);
                if !waiting.is_empty() {
                    puller.give_back(jetstream, &waiting);
                }
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_server::FileServerError;
    use crate::message::PayloadRef;

    fn file_error(kind: FileServerErrorKind) -> Error {
        Error::FileServer {
            payload: Some(PayloadRef::new(0, "x")),
            attempts: 1,
            source: FileServerError::new(kind, ""),
        }
    }

    #[test]
    fn what_can_be_opened_later_is_delivered_again() {
        use FileServerErrorKind as Kind;
        for (kind, verdict) in [
            (Kind::NotFound, Verdict::Terminate),
            (Kind::Mismatch, Verdict::Terminate),
            (Kind::InvalidUrl, Verdict::Terminate),
            (Kind::Unsupported, Verdict::Terminate),
            (Kind::TooLarge { limit: 1 }, Verdict::Terminate),
            (Kind::Unreachable, Verdict::Again),
            (Kind::Timeout, Verdict::Again),
            (Kind::Disconnected, Verdict::Again),
            (Kind::ServerFault { status: 503 }, Verdict::Again),
            (Kind::Unauthorized, Verdict::AgainAndReport),
            (Kind::Expired, Verdict::AgainAndReport),
            (Kind::Refused { status: 400 }, Verdict::AgainAndReport),
            (Kind::InvalidAnswer, Verdict::AgainAndReport),
            (Kind::Local, Verdict::AgainAndReport),
        ] {
            assert_eq!(Verdict::of(&file_error(kind)), verdict, "{kind}");
        }
        let refused = Error::LinkRefused {
            payload: PayloadRef::new(0, "x"),
            url: "http://h/".into(),
            reason: String::new(),
        };
        assert_eq!(Verdict::of(&refused), Verdict::Terminate);
    }
}
