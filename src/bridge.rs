//! The bridge: the only file that knows the order of the steps.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::broker::{
    Broker, BrokerError, BrokerErrorKind, Message, SubjectUse, SubscriptionId, check_subject,
};
use crate::checksum::{CheckedSink, HashedBody, Hex};
use crate::codec::encode::entry_length;
use crate::envelope::{Data, Envelope, EnvelopeFault, PayloadEntry, Received, Sent, Transport};
use crate::error::{Error, Measured, PayloadRef};
use crate::file_server::{FileServer, FileServerError, FileServerErrorKind, Upload};
use crate::incoming::{DataPlace, Incoming, Rest};
use crate::options::{
    DEFAULT_BROKER_URL, DEFAULT_MAX_PAYLOAD, DEFAULT_TIMEOUT, Limits, OptionError, ReceiveOptions,
    SendOptions,
};
use crate::payload::{Payload, PayloadError};
use crate::platform::{Platform, new_id, new_token, timestamp};
use crate::retry::Pause;
use crate::stream::{Body, Sink, SliceBody, StreamError, VecSink};
use crate::trace::log_trace;
use crate::transport::{Budget, Candidate, choose};

/// Messages of other subscriptions that may wait while a request waits for its answer.
const MAX_WAITING: usize = 1024;
/// A server that asks for a longer pause than this is not asked again.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Sends and receives messages of several typed payloads, by way of a broker and a file server.
///
/// ```
/// use std::time::Duration;
/// use natsbridge::memory::{MemoryBroker, MemoryFileServer};
/// use natsbridge::{NatsBridge, Payload, SendOptions, host::StdPlatform};
///
/// let mut bridge = NatsBridge::new(MemoryBroker::new(), MemoryFileServer::new(), StdPlatform);
/// bridge.subscribe("/chat", None)?;
/// bridge.smartsend(
///     "/chat",
///     &[("note", Payload::text("hello")), ("file", Payload::binary(vec![7; 200_000]))],
///     &SendOptions::default(),
/// )?;
/// let received = bridge.next(Duration::from_secs(1))?.expect("one message was sent");
/// assert_eq!(received.payloads[0].1.as_text(), Some("hello"));
/// assert_eq!(received.payloads[1].1.len(), 200_000);
/// # Ok::<(), natsbridge::Error>(())
/// ```
#[derive(Debug)]
pub struct NatsBridge<B, F, P> {
    broker: B,
    file_server: F,
    platform: P,
    limits: Limits,
    receive_options: ReceiveOptions,
    broker_url: String,
    waiting: VecDeque<Message>,
}

impl<B: Broker, F: FileServer, P: Platform> NatsBridge<B, F, P> {
    /// A bridge with the limits for hosts, [`Limits::default`]. Use
    /// [`NoFileServer`](crate::NoFileServer) where there is none.
    pub fn new(broker: B, file_server: F, platform: P) -> Self {
        Self {
            broker,
            file_server,
            platform,
            limits: Limits::default(),
            receive_options: ReceiveOptions::default(),
            broker_url: DEFAULT_BROKER_URL.to_string(),
            waiting: VecDeque::new(),
        }
    }

    /// Sets the limits of sends and receives.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the options of [`next`](Self::next), [`messages`](Self::messages) and
    /// [`request`](Self::request).
    #[must_use]
    pub fn with_receive_options(mut self, options: ReceiveOptions) -> Self {
        self.receive_options = options;
        self
    }

    /// Sets the broker that is named in envelopes. Default
    /// [`DEFAULT_BROKER_URL`](crate::DEFAULT_BROKER_URL). Leave passwords out.
    #[must_use]
    pub fn with_broker_url(mut self, broker_url: impl Into<String>) -> Self {
        self.broker_url = broker_url.into();
        self
    }

    /// The broker, for what only it can do.
    pub fn broker(&mut self) -> &mut B {
        &mut self.broker
    }

    /// The file server, for what only it can do.
    pub fn file_server(&mut self) -> &mut F {
        &mut self.file_server
    }

    /// Sends named payloads as one message, and chooses for each whether it travels in the message
    /// or by way of the file server. `Ok` says that the server has the message, unless
    /// [`SendOptions::is_publish`] or [`SendOptions::confirm`] is off.
    ///
    /// Blocks for the uploads (at most three attempts each), the publish, and at most
    /// [`SendOptions::timeout`] for its confirmation.
    ///
    /// # Errors
    /// [`Error::Subject`], [`Error::Option`], [`Error::Payload`], [`Error::TooLarge`]: nothing was
    /// sent. [`Error::FileServer`]: nothing was published. [`Error::Broker`]: the message was not
    /// published, or with kind [`Timeout`](BrokerErrorKind::Timeout) or
    /// [`Disconnected`](BrokerErrorKind::Disconnected) it may have been. Files that were uploaded
    /// for a message that failed are deleted again; [`Error::LeftBehind`] lists those that could
    /// not be.
    pub fn smartsend<'a, N: AsRef<str>>(
        &mut self,
        subject: &'a str,
        data: &'a [(N, Payload<'a>)],
        options: &'a SendOptions,
    ) -> Result<Sent<'a>, Error> {
        self.send_with_reply(subject, data, options, None)
    }

    /// The same as [`smartsend`](Self::smartsend).
    ///
    /// # Errors
    /// As [`smartsend`](Self::smartsend).
    pub fn send<'a, N: AsRef<str>>(
        &mut self,
        subject: &'a str,
        data: &'a [(N, Payload<'a>)],
        options: &'a SendOptions,
    ) -> Result<Sent<'a>, Error> {
        self.smartsend(subject, data, options)
    }

    /// Reads a message and opens all its payloads: text, bytes, a [`Message`] or a parsed
    /// [`Envelope`]. From a `&mut Message` or `&mut [u8]` payloads are decoded where they stand, so
    /// that no further memory is needed for them.
    ///
    /// Blocks only for links: for each at most [`ReceiveOptions::max_retries`] attempts, pauses
    /// between them, and the file server's time limit for each.
    ///
    /// # Errors
    /// [`Error::Message`], [`Error::LinkRefused`], [`Error::TooLarge`], [`Error::FileServer`]. One
    /// bad payload costs the message; to have the others, see [`Envelope::parse`] and
    /// [`open`](Self::open).
    pub fn smartreceive<'m>(
        &mut self,
        msg: impl Into<Incoming<'m>>,
        options: &ReceiveOptions,
    ) -> Result<Received<'m>, Error> {
        match msg.into() {
            Incoming::Bytes(bytes, reply) => {
                let envelope = Envelope::parse(bytes, &self.limits)?;
                self.receive_copied(&envelope, reply, options)
            }
            Incoming::Owned(message) => {
                let envelope = Envelope::parse(&message.payload, &self.limits)?;
                self.receive_copied(&envelope, message.reply.clone(), options)
            }
            Incoming::InPlace(bytes, reply) => self.receive_in_place(bytes, reply, options),
            Incoming::Envelope(envelope) => self.receive_copied(envelope, None, options),
        }
    }

    /// The same as [`smartreceive`](Self::smartreceive).
    ///
    /// # Errors
    /// As [`smartreceive`](Self::smartreceive).
    pub fn receive<'m>(
        &mut self,
        msg: impl Into<Incoming<'m>>,
        options: &ReceiveOptions,
    ) -> Result<Received<'m>, Error> {
        self.smartreceive(msg, options)
    }

    /// Opens one payload of a parsed [`Envelope`], so that a bad one does not cost the others.
    ///
    /// # Errors
    /// As [`smartreceive`](Self::smartreceive).
    pub fn open(
        &mut self,
        entry: &PayloadEntry<'_>,
        options: &ReceiveOptions,
    ) -> Result<Payload<'static>, Error> {
        match entry.transport()? {
            Transport::Direct => Ok(entry.open()?),
            Transport::Link => self.open_link(entry, options),
        }
    }

    /// Downloads a link of a parsed [`Envelope`] into `sink`, checked as
    /// [`smartreceive`](Self::smartreceive) checks, and says how many bytes it has. Memory does not
    /// grow with them.
    ///
    /// # Errors
    /// As [`smartreceive`](Self::smartreceive); what is in the sink is of no use then.
    pub fn download(
        &mut self,
        entry: &PayloadEntry<'_>,
        options: &ReceiveOptions,
        sink: &mut dyn Sink,
    ) -> Result<u64, Error> {
        let place = entry.place();
        let Data::Text(url) = &entry.data else {
            return Err(entry.error("data", EnvelopeFault::Missing).into());
        };
        self.check_link(entry, url, options)?;
        let declared_sha256 = entry.sha256()?.map(Cow::into_owned);
        let limit = entry.size.unwrap_or(self.limits.max_download_size);
        let mut checked = CheckedSink::new(sink, declared_sha256.is_some());
        let pause = Pause::of(options);
        let fetched = self.with_retries(&place, &pause, &mut checked, |file_server, checked| {
            checked.reset().map_err(local)?;
            file_server.download(url, limit, checked)
        });
        fetched.map_err(|error| match (&error, entry.size) {
            (Error::FileServer { source, .. }, Some(declared))
                if matches!(source.kind(), FileServerErrorKind::TooLarge { .. }) =>
            {
                entry
                    .error("size", EnvelopeFault::Longer { declared })
                    .into()
            }
            _ => error,
        })?;
        entry.check_size(checked.len)?;
        if let Some(declared) = declared_sha256 {
            let actual = checked.sha256();
            if !declared.eq_ignore_ascii_case(&actual) {
                let fault = EnvelopeFault::Sha256 { declared, actual };
                return Err(entry.error("metadata", fault).into());
            }
        }
        Ok(checked.len)
    }

    /// Asks for messages on `subject`, which may have the wildcards `*` and `>`; with a `queue`
    /// group, each message goes to one of its members. `Ok` says that the server knows, so that no
    /// later message is missed. Blocks at most 5 s beside the connection's own time limit.
    ///
    /// # Errors
    /// [`Error::Broker`].
    pub fn subscribe(
        &mut self,
        subject: &str,
        queue: Option<&str>,
    ) -> Result<SubscriptionId, Error> {
        let id = self.broker.subscribe(subject, queue)?;
        match self.broker.flush(DEFAULT_TIMEOUT) {
            Ok(()) => Ok(id),
            Err(error) => {
                self.broker.unsubscribe(id).ok();
                Err(error.into())
            }
        }
    }

    /// Ends a subscription; messages of it that wait already are dropped.
    ///
    /// # Errors
    /// [`Error::Broker`].
    pub fn unsubscribe(&mut self, id: SubscriptionId) -> Result<(), Error> {
        self.waiting.retain(|message| message.subscription != id);
        Ok(self.broker.unsubscribe(id)?)
    }

    /// Waits up to `wait` for the next message and opens it; `None` if there was none. Links take
    /// their own time.
    ///
    /// # Errors
    /// As [`smartreceive`](Self::smartreceive), and [`Error::Broker`]. The message is taken all the
    /// same: calling again goes on with the next one.
    pub fn next(&mut self, wait: Duration) -> Result<Option<Received<'static>>, Error> {
        let Some(message) = self.next_message(wait)? else {
            return Ok(None);
        };
        let options = self.receive_options.clone();
        self.smartreceive(message, &options).map(Some)
    }

    /// Waits up to `wait` for the next message and does not look into it; `None` if there was none.
    ///
    /// # Errors
    /// [`Error::Broker`].
    pub fn next_message(&mut self, wait: Duration) -> Result<Option<Message>, Error> {
        match self.waiting.pop_front() {
            Some(message) => Ok(Some(message)),
            None => Ok(self.broker.next(wait)?),
        }
    }

    /// Messages one after the other, until none comes for `wait`. A message that cannot be read is
    /// an `Err` in its place and does not end them; neither does a lost connection, which the
    /// broker renews.
    pub fn messages(&mut self, wait: Duration) -> Messages<'_, B, F, P> {
        Messages { bridge: self, wait }
    }

    /// Sends a request and waits up to `wait` for its answer. Envelope and NATS name the same inbox
    /// to answer to.
    ///
    /// # Errors
    /// As [`smartsend`](Self::smartsend) and [`smartreceive`](Self::smartreceive);
    /// [`Error::NoResponders`] at once if nobody listens, [`Error::NoAnswer`] after `wait`.
    pub fn request<N: AsRef<str>>(
        &mut self,
        subject: &str,
        data: &[(N, Payload<'_>)],
        options: &SendOptions,
        wait: Duration,
    ) -> Result<Received<'static>, Error> {
        let inbox = format!("_INBOX.{}", new_token(&self.platform)?);
        let id = self.subscribe(&inbox, None)?;
        let options = options.clone().reply_to(inbox.as_str());
        let answer = self
            .send_with_reply(subject, data, &options, Some(&inbox))
            .and_then(|_| self.wait_for_answer(id, subject, wait));
        let ended = self.unsubscribe(id);
        let message = answer?;
        ended?;
        let options = self.receive_options.clone();
        self.smartreceive(message, &options)
    }

    /// Answers a message: on its `reply_to`, else on its reply subject of NATS; with its
    /// `correlation_id`, and its `msg_id` as `reply_to_msg_id`.
    ///
    /// # Errors
    /// [`Error::NoReplyTo`] if it names neither; else as [`smartsend`](Self::smartsend).
    pub fn reply<N: AsRef<str>>(
        &mut self,
        received: &Received<'_>,
        data: &[(N, Payload<'_>)],
        options: &SendOptions,
    ) -> Result<(), Error> {
        let envelope = &received.envelope;
        let subject = match (&*envelope.reply_to, &received.reply) {
            ("", None) => return Err(Error::NoReplyTo),
            ("", Some(reply)) => reply,
            (reply_to, _) => reply_to,
        };
        let options = options
            .clone()
            .correlation_id(&*envelope.correlation_id)
            .reply_to_msg_id(&*envelope.msg_id);
        self.smartsend(subject, data, &options).map(drop)
    }

    /// Waits up to `wait` until the server has all that was sent with [`SendOptions::confirm`] off.
    ///
    /// # Errors
    /// [`Error::Broker`]: some of it may be lost.
    pub fn flush(&mut self, wait: Duration) -> Result<(), Error> {
        Ok(self.broker.flush(wait)?)
    }

    fn send_with_reply<'a, N: AsRef<str>>(
        &mut self,
        subject: &'a str,
        data: &'a [(N, Payload<'a>)],
        options: &'a SendOptions,
        reply: Option<&str>,
    ) -> Result<Sent<'a>, Error> {
        self.check_send(subject, data, options)?;
        let mut envelope = self.envelope(subject, data, options)?;
        let mut uploads = Vec::new();
        let sent = self.place_and_publish(&mut envelope, options, reply, &mut uploads);
        match sent {
            Ok(()) => Ok(Sent::new(envelope)),
            Err(error) => Err(self.clean_up(uploads, error)),
        }
    }

    /// Everything that can be refused without asking anybody.
    fn check_send<N: AsRef<str>>(
        &self,
        subject: &str,
        data: &[(N, Payload<'_>)],
        options: &SendOptions,
    ) -> Result<(), Error> {
        check_subject(subject, SubjectUse::Publish)?;
        if !options.reply_to.is_empty() {
            check_subject(&options.reply_to, SubjectUse::Publish)?;
        }
        let (limit, count) = (self.limits.max_payloads, data.len());
        if count > limit {
            return Err(OptionError::TooManyPayloads { count, limit }.into());
        }
        for (name, text) in options.texts() {
            let (len, limit) = (text.len(), self.limits.max_name_len);
            if len > limit {
                return Err(OptionError::TooLong { name, len, limit }.into());
            }
        }
        data.iter()
            .enumerate()
            .try_for_each(|(index, (name, payload))| {
                self.check_payload(index, name.as_ref(), payload)
            })
    }

    fn check_payload(&self, index: usize, name: &str, payload: &Payload<'_>) -> Result<(), Error> {
        let place = || PayloadRef::new(index, name);
        let too_large = |what, len, limit| Err(Error::TooLarge { what, len, limit });
        let (len, limit) = (name.len(), self.limits.max_name_len);
        if len > limit {
            return too_large(Measured::Name(place()), len as u64, limit as u64);
        }
        if let Some(at) = name.find(char::is_control) {
            return Err(Error::Payload {
                payload: place(),
                source: PayloadError::Name { at },
            });
        }
        match (payload.len() as u64, self.limits.max_payload_size) {
            (len, Some(limit)) if len > limit => too_large(Measured::Payload(place()), len, limit),
            _ => Ok(()),
        }
    }

    /// The envelope with every payload direct.
    fn envelope<'a, N: AsRef<str>>(
        &self,
        subject: &'a str,
        data: &'a [(N, Payload<'a>)],
        options: &'a SendOptions,
    ) -> Result<Envelope<'a>, Error> {
        let id = |given: &'a Option<String>| match given {
            Some(id) => Ok(Cow::Borrowed(id.as_str())),
            None => new_id(&self.platform).map(Cow::Owned),
        };
        let broker_url = match &options.broker_url {
            Some(url) => Cow::Borrowed(url.as_str()),
            None => Cow::Owned(self.broker_url.clone()),
        };
        let mut payloads = Vec::with_capacity(data.len());
        for (index, (name, payload)) in data.iter().enumerate() {
            payloads.push(self.direct_entry(index, name.as_ref(), payload)?);
        }
        Ok(Envelope {
            correlation_id: id(&options.correlation_id)?,
            msg_id: id(&options.msg_id)?,
            timestamp: Cow::Owned(timestamp(self.platform.unix_millis())),
            send_to: Cow::Borrowed(subject),
            msg_purpose: Cow::Borrowed(&options.msg_purpose),
            sender_name: Cow::Borrowed(&options.sender_name),
            sender_id: id(&options.sender_id)?,
            receiver_name: Cow::Borrowed(&options.receiver_name),
            receiver_id: Cow::Borrowed(&options.receiver_id),
            reply_to: Cow::Borrowed(&options.reply_to),
            reply_to_msg_id: Cow::Borrowed(&options.reply_to_msg_id),
            broker_url,
            metadata: Cow::Borrowed("{}"),
            payloads,
        })
    }

    fn direct_entry<'a>(
        &self,
        index: usize,
        name: &'a str,
        payload: &'a Payload<'a>,
    ) -> Result<PayloadEntry<'a>, Error> {
        let bytes = payload.serialize();
        Ok(PayloadEntry {
            index,
            id: Cow::Owned(new_id(&self.platform)?),
            dataname: Cow::Borrowed(name),
            type_name: Cow::Borrowed(payload.payload_type().as_str()),
            transport_name: Cow::Borrowed(Transport::Direct.as_str()),
            encoding: Cow::Borrowed("base64"),
            size: Some(bytes.len() as u64),
            data: Data::Bytes(bytes),
            metadata: Cow::Owned(format!("{{\"payload_bytes\":{}}}", bytes.len())),
        })
    }

    /// A broker that connects when it is first needed says only then how long a message may be.
    fn place_and_publish(
        &mut self,
        envelope: &mut Envelope<'_>,
        options: &SendOptions,
        reply: Option<&str>,
        uploads: &mut Vec<Upload>,
    ) -> Result<(), Error> {
        if !options.is_publish {
            return self.place_payloads(envelope, options, DEFAULT_MAX_PAYLOAD as u64, uploads);
        }
        loop {
            let max_len = self.broker.max_payload() as u64;
            self.place_payloads(envelope, options, max_len, uploads)?;
            match self.publish(envelope, reply, options) {
                Err(Error::Broker(error)) if error.is_too_large_for_less_than(max_len) => {}
                published => return published,
            }
        }
    }

    /// Turns payloads into links until the message fits. How long a link is shows only when its URL
    /// is there, so it may take several rounds; each of them turns one more.
    fn place_payloads(
        &mut self,
        envelope: &mut Envelope<'_>,
        options: &SendOptions,
        max_len: u64,
        uploads: &mut Vec<Upload>,
    ) -> Result<(), Error> {
        let size_threshold = options.size_threshold.unwrap_or(self.limits.size_threshold);
        let mut links = true;
        loop {
            let chosen = choose_transports(envelope, size_threshold as u64, max_len, links)?;
            let next = envelope
                .payloads
                .iter()
                .zip(chosen)
                .find_map(|(entry, transport)| match (transport, &entry.data) {
                    (Transport::Link, Data::Bytes(bytes)) => Some((entry.index, *bytes)),
                    _ => None,
                });
            let Some((index, bytes)) = next else {
                return Ok(());
            };
            match self.upload(&envelope.correlation_id, &envelope.payloads[index], bytes) {
                Ok((upload, sha256)) => {
                    make_link(&mut envelope.payloads[index], &upload.url, &sha256);
                    uploads.push(upload);
                }
                Err(error) if is_unsupported(&error) => links = false,
                Err(error) => return Err(error),
            }
        }
    }

    fn upload(
        &mut self,
        correlation_id: &str,
        entry: &PayloadEntry<'_>,
        bytes: &[u8],
    ) -> Result<(Upload, String), Error> {
        let place = entry.place();
        log_trace(
            correlation_id,
            format_args!("uploading {place}, {} bytes", bytes.len()),
        );
        let mut body = HashedBody::new(SliceBody::new(bytes));
        let pause = Pause::of(&ReceiveOptions::default());
        let upload = self.with_retries(&place, &pause, &mut body, |file_server, body| {
            body.rewind().map_err(local)?;
            file_server.upload(&entry.dataname, body)
        })?;
        log_trace(
            correlation_id,
            format_args!("uploaded {place} to {}", upload.url),
        );
        Ok((upload, body.sha256()))
    }

    fn publish(
        &mut self,
        envelope: &Envelope<'_>,
        reply: Option<&str>,
        options: &SendOptions,
    ) -> Result<(), Error> {
        if !options.is_publish {
            return Ok(());
        }
        let mut body = envelope.body();
        let (id, subject) = (&envelope.correlation_id, &envelope.send_to);
        log_trace(
            id,
            format_args!("publishing {} bytes to {subject}", body.len()),
        );
        self.broker.publish(subject, reply, &mut body)?;
        if options.confirm {
            self.broker.flush(options.timeout)?;
            log_trace(id, format_args!("the server has the message to {subject}"));
        }
        Ok(())
    }

    /// Upload and publish are one unit: what was uploaded for a message that failed is deleted.
    fn clean_up(&mut self, uploads: Vec<Upload>, error: Error) -> Error {
        let mut left_behind = Vec::new();
        for upload in uploads {
            if self.file_server.delete(&upload).is_err() {
                left_behind.push(upload.url);
            }
        }
        if left_behind.is_empty() {
            return error;
        }
        Error::LeftBehind {
            left_behind,
            source: Box::new(error),
        }
    }

    fn receive_copied(
        &mut self,
        envelope: &Envelope<'_>,
        reply: Option<String>,
        options: &ReceiveOptions,
    ) -> Result<Received<'static>, Error> {
        log_received(envelope);
        let mut payloads = Vec::with_capacity(envelope.payloads.len());
        for entry in &envelope.payloads {
            payloads.push((entry.dataname.to_string(), self.open(entry, options)?));
        }
        Ok(Received {
            envelope: envelope.detached(),
            payloads,
            reply,
        })
    }

    fn receive_in_place<'m>(
        &mut self,
        message: &'m mut [u8],
        reply: Option<String>,
        options: &ReceiveOptions,
    ) -> Result<Received<'m>, Error> {
        let (envelope, places) = {
            let envelope = Envelope::parse(message, &self.limits)?;
            log_received(&envelope);
            let place = |entry: &PayloadEntry<'_>| DataPlace::of(entry, message);
            let places: Vec<_> = envelope.payloads.iter().map(place).collect();
            (envelope.detached(), places)
        };
        let mut payloads = Vec::with_capacity(places.len());
        let mut rest = Rest::new(message);
        for (entry, place) in envelope.payloads.iter().zip(places) {
            let payload = match (entry.transport()?, place) {
                (Transport::Link, _) => self.open_link(entry, options)?,
                (Transport::Direct, DataPlace::Within(range)) => {
                    entry.open_in_place(rest.take(range))?
                }
                (Transport::Direct, DataPlace::Apart(text)) => {
                    let mut text = text.into_bytes();
                    entry.open_in_place(&mut text)?.into_owned()
                }
            };
            payloads.push((entry.dataname.to_string(), payload));
        }
        Ok(Received {
            envelope,
            payloads,
            reply,
        })
    }

    fn open_link(
        &mut self,
        entry: &PayloadEntry<'_>,
        options: &ReceiveOptions,
    ) -> Result<Payload<'static>, Error> {
        let kind = entry.payload_type()?;
        let limit = usize::try_from(self.limits.max_download_size).unwrap_or(usize::MAX);
        let mut sink = VecSink::new(limit);
        self.download(entry, options, &mut sink)?;
        Ok(entry.finish(kind, Cow::Owned(sink.into_bytes()))?)
    }

    /// Before a single byte is asked for: is the place allowed, is the file small enough.
    fn check_link(
        &self,
        entry: &PayloadEntry<'_>,
        url: &str,
        options: &ReceiveOptions,
    ) -> Result<(), Error> {
        if !self.file_server.owns(url) && !options.link_policy.allows(url) {
            return Err(Error::LinkRefused {
                payload: entry.place(),
                url: url.to_string(),
            });
        }
        let limit = self.limits.max_download_size;
        match entry.size {
            Some(len) if len > limit => Err(Error::TooLarge {
                what: Measured::Download(entry.place()),
                len,
                limit,
            }),
            _ => Ok(()),
        }
    }

    fn wait_for_answer(
        &mut self,
        id: SubscriptionId,
        subject: &str,
        wait: Duration,
    ) -> Result<Message, Error> {
        let started = self.platform.uptime_millis();
        loop {
            let waited = self.platform.uptime_millis().saturating_sub(started);
            let left = wait.saturating_sub(Duration::from_millis(waited));
            let Some(message) = self.broker.next(left)? else {
                let subject = subject.to_string();
                let waited = wait;
                return Err(Error::NoAnswer { subject, waited });
            };
            if message.subscription != id {
                self.keep(message)?;
            } else if message.is_no_responders() {
                let subject = subject.to_string();
                return Err(Error::NoResponders { subject });
            } else {
                return Ok(message);
            }
        }
    }

    /// Keeps a message of another subscription for later.
    fn keep(&mut self, message: Message) -> Result<(), Error> {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(message);
            return Ok(());
        }
        let kind = BrokerErrorKind::SlowConsumer { dropped: 1 };
        let text = format!("more than {MAX_WAITING} messages came during a request");
        Err(BrokerError::new(kind, text).into())
    }

    /// Tries until it succeeds, a retry cannot cure it, or `pause` has no further attempt.
    fn with_retries<S, T>(
        &mut self,
        place: &PayloadRef,
        pause: &Pause,
        state: &mut S,
        mut attempt: impl FnMut(&mut F, &mut S) -> Result<T, FileServerError>,
    ) -> Result<T, Error> {
        let mut attempts = 1;
        loop {
            let source = match attempt(&mut self.file_server, state) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let asked = source.retry_after().unwrap_or_default();
            if attempts >= pause.attempts || !source.is_transient() || asked > MAX_RETRY_AFTER {
                return Err(Error::FileServer {
                    payload: place.clone(),
                    attempts,
                    source,
                });
            }
            self.platform
                .wait(pause.after(attempts, &self.platform).max(asked));
            attempts += 1;
        }
    }
}

fn log_received(envelope: &Envelope<'_>) {
    let (id, count) = (&envelope.correlation_id, envelope.payloads.len());
    log_trace(id, format_args!("received a message of {count} payload(s)"));
}

fn choose_transports(
    envelope: &Envelope<'_>,
    size_threshold: u64,
    max_len: u64,
    links: bool,
) -> Result<Vec<Transport>, Error> {
    let candidates: Vec<_> = envelope.payloads.iter().map(candidate).collect();
    let entries: u64 = candidates
        .iter()
        .map(|payload| {
            if payload.is_link {
                payload.link_len
            } else {
                payload.direct_len
            }
        })
        .sum();
    let budget = Budget {
        size_threshold,
        max_len,
        fixed_len: envelope.body().len() - entries,
        links,
    };
    choose(&candidates, &budget).map_err(|len| Error::TooLarge {
        what: Measured::Message,
        len,
        limit: max_len,
    })
}

fn candidate(entry: &PayloadEntry<'_>) -> Candidate {
    const SHORTEST_URL: &str = "http://h/f";
    let is_link = !matches!(entry.data, Data::Bytes(_));
    let len = entry_length(entry, entry.index);
    let link_len = if is_link {
        len
    } else {
        let mut link = PayloadEntry {
            index: entry.index,
            id: Cow::Borrowed(&entry.id),
            dataname: Cow::Borrowed(&entry.dataname),
            type_name: Cow::Borrowed(&entry.type_name),
            transport_name: Cow::Borrowed(""),
            encoding: Cow::Borrowed(""),
            size: entry.size,
            data: Data::Text(Cow::Borrowed("")),
            metadata: Cow::Borrowed(""),
        };
        make_link(&mut link, SHORTEST_URL, &Hex(&[0; 32]).to_string());
        entry_length(&link, link.index)
    };
    Candidate {
        size: entry.size.unwrap_or(0),
        direct_len: len,
        link_len,
        is_link,
    }
}

fn make_link(entry: &mut PayloadEntry<'_>, url: &str, sha256: &str) {
    entry.transport_name = Cow::Borrowed(Transport::Link.as_str());
    entry.encoding = Cow::Borrowed("none");
    entry.data = Data::Text(Cow::Owned(url.to_string()));
    entry.metadata = Cow::Owned(format!("{{\"sha256\":\"{sha256}\"}}"));
}

fn is_unsupported(error: &Error) -> bool {
    matches!(error, Error::FileServer { source, .. } if source.kind() == FileServerErrorKind::Unsupported)
}

fn local(error: StreamError) -> FileServerError {
    FileServerError::new(
        FileServerErrorKind::Local,
        "a stream of this machine failed",
    )
    .with_source(error)
}

/// Messages one after the other; see [`NatsBridge::messages`].
#[derive(Debug)]
pub struct Messages<'b, B, F, P> {
    bridge: &'b mut NatsBridge<B, F, P>,
    wait: Duration,
}

impl<B: Broker, F: FileServer, P: Platform> Iterator for Messages<'_, B, F, P> {
    type Item = Result<Received<'static>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.bridge.next(self.wait).transpose()
    }
}
