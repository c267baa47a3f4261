//! From a message to its opened payloads.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::in_progress::ProgressSink;
use super::time_limit::TimeLimit;
use super::{Error, Measured, NatsBridge, ReceiveOptions};
use crate::checksum::CheckedSink;
use crate::file_server::retry::{Failed, with_retries};
use crate::file_server::{FileServer, FileServerError, FileServerErrorKind};
use crate::http::url::RedactedUrl;
use crate::message::incoming::{Origin, Rest, place_of};
use crate::message::{
    Data, Envelope, EnvelopeFault, InPlace, Incoming, Opened, Payload, PayloadEntry, Received,
    Transport,
};
use crate::nats::{Broker, Message};
use crate::platform::Platform;
use crate::stream::{Sink, VecSink};
use crate::trace::log_trace;

impl<B: Broker, F: FileServer, P: Platform> NatsBridge<B, F, P> {
    /// Reads a message and opens all its payloads: text, bytes, a [`Message`] or a parsed
    /// [`Envelope`].
    ///
    /// Blocks only for links: for each at most [`ReceiveOptions::max_retries`] attempts, pauses
    /// between them, and the file server's time limit for each;
    /// [`ReceiveOptions::total_timeout`] limits all of it. The files are loaded into memory: at most
    /// [`Limits::max_opened_size`](crate::Limits::max_opened_size) each,
    /// [`Limits::max_total_download_size`](crate::Limits::max_total_download_size) for the message. Larger ones are
    /// for [`download`](Self::download).
    ///
    /// # Errors
    /// [`Error::Message`], [`Error::LinkRefused`], [`Error::TooLarge`], [`Error::FileServer`],
    /// [`Error::TimedOut`]. One bad payload costs the message; to have the others, see [`Envelope::parse`] and
    /// [`open`](Self::open).
    pub fn smartreceive<'m>(
        &mut self,
        msg: impl Into<Incoming<'m>>,
        options: &ReceiveOptions,
    ) -> Result<Received, Error> {
        self.time = TimeLimit::start(options.total_timeout, &self.platform);
        match msg.into() {
            Incoming::Text(text) => {
                let envelope = Envelope::parse_text(text, &self.limits)?;
                self.receive_copied(envelope, Origin::default(), options)
            }
            Incoming::Bytes(bytes) => {
                let envelope = Envelope::parse(bytes, &self.limits)?;
                self.receive_copied(envelope, Origin::default(), options)
            }
            Incoming::Message(message) => {
                let envelope = Envelope::parse(&message.payload, &self.limits)?;
                self.receive_copied(envelope, Origin::of(message), options)
            }
            Incoming::Owned(message) => self.receive_message(message, options),
            Incoming::Envelope(envelope) => {
                self.receive_copied(envelope.clone(), Origin::default(), options)
            }
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
    ) -> Result<Received, Error> {
        self.smartreceive(msg, options)
    }

    /// As [`smartreceive`](Self::smartreceive), from a `&mut Message` or `&mut [u8]`, but direct payloads are
    /// decoded where they stand in the message, so that no further memory is needed for them. The message is
    /// of no use afterwards.
    ///
    /// ```
    /// use std::time::Duration;
    /// use natsbridge::memory::{MemoryBroker, MemoryFileServer};
    /// use natsbridge::{NatsBridge, Payload, ReceiveOptions, SendOptions, host::StdPlatform};
    ///
    /// let mut bridge = NatsBridge::new(MemoryBroker::new(), MemoryFileServer::new(), StdPlatform);
    /// bridge.subscribe("/chat", None)?;
    /// bridge.smartsend("/chat", &[("note", Payload::text("hi"))], &SendOptions::default())?;
    /// if let Some(mut message) = bridge.next_message(Duration::ZERO)? {
    ///     let opened = bridge.receive_in_place(&mut message, &ReceiveOptions::default())?;
    ///     assert_eq!(opened.text("note")?, "hi");
    /// }
    /// # Ok::<(), natsbridge::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`smartreceive`](Self::smartreceive).
    pub fn receive_in_place<'m>(
        &mut self,
        msg: impl Into<InPlace<'m>>,
        options: &ReceiveOptions,
    ) -> Result<Opened<'m>, Error> {
        self.time = TimeLimit::start(options.total_timeout, &self.platform);
        let InPlace { bytes, origin } = msg.into();
        self.open_in_place(bytes, origin, options)
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
        self.time = TimeLimit::start(options.total_timeout, &self.platform);
        match entry.transport()? {
            Transport::Direct => Ok(entry.open()?),
            Transport::Link => self.open_link(entry, options, &mut { u64::MAX }),
        }
    }

    /// Writes the bytes of one payload of a parsed [`Envelope`] into `sink`, from the file server or, if it
    /// is direct, from the message, and returns how many there are. Size and digest are checked as
    /// [`smartreceive`](Self::smartreceive) checks them; whether a text is UTF-8 and a dictionary JSON is not.
    /// Memory does not grow with the bytes, so that only [`Limits::max_download_size`](crate::Limits::max_download_size) applies.
    ///
    /// # Errors
    /// As [`smartreceive`](Self::smartreceive); the contents of the sink are then invalid.
    pub fn download(
        &mut self,
        entry: &PayloadEntry<'_>,
        options: &ReceiveOptions,
        sink: &mut dyn Sink,
    ) -> Result<u64, Error> {
        self.time = TimeLimit::start(options.total_timeout, &self.platform);
        match entry.transport()? {
            Transport::Direct => decode_to_sink(entry, sink),
            Transport::Link => {
                let limits = FileLimits {
                    each: self.limits.max_download_size,
                    left: u64::MAX,
                };
                self.fetch(entry, options, sink, limits)
            }
        }
    }

    pub(super) fn receive_message(
        &mut self,
        mut message: Message,
        options: &ReceiveOptions,
    ) -> Result<Received, Error> {
        let origin = Origin::take(&mut message);
        let envelope = Envelope::parse(&message.payload, &self.limits)?;
        self.receive_copied(envelope, origin, options)
    }

    pub(super) fn receive_copied(
        &mut self,
        mut envelope: Envelope<'_>,
        origin: Origin,
        options: &ReceiveOptions,
    ) -> Result<Received, Error> {
        log_received(&envelope);
        let mut left = self.check_announced(&envelope)?;
        let mut payloads = Vec::with_capacity(envelope.openable());
        for entry in &mut envelope.payloads {
            let payload = match entry.transport()? {
                Transport::Direct => entry.take()?,
                Transport::Link => {
                    log_link(&envelope.correlation_id, entry);
                    self.open_link(entry, options, &mut left)?
                }
            };
            payloads.push((entry.dataname.to_string(), payload));
        }
        Ok(opened(envelope.into_detached(), payloads, origin))
    }

    pub(super) fn open_in_place<'m>(
        &mut self,
        message: &'m mut [u8],
        origin: Origin,
        options: &ReceiveOptions,
    ) -> Result<Opened<'m>, Error> {
        let (mut envelope, places) = {
            let envelope = Envelope::parse(message, &self.limits)?;
            log_received(&envelope);
            let place = |entry: &PayloadEntry<'_>| place_of(entry, message);
            let places: Vec<_> = envelope.payloads.iter().map(place).collect();
            (envelope.into_detached(), places)
        };
        let mut left = self.check_announced(&envelope)?;
        let mut payloads = Vec::with_capacity(envelope.openable());
        let mut rest = Rest::new(message);
        for (entry, place) in envelope.payloads.iter_mut().zip(places) {
            let payload = match entry.transport()? {
                Transport::Link => {
                    log_link(&envelope.correlation_id, entry);
                    self.open_link(entry, options, &mut left)?
                }
                Transport::Direct if place.is_empty() => entry.take()?,
                Transport::Direct => entry.open_in_place(rest.take(place))?,
            };
            payloads.push((entry.dataname.to_string(), payload));
        }
        Ok(opened(envelope, payloads, origin))
    }

    /// Checks, before a request is made, the sizes that the links of a message declare, one by one and in total.
    /// Returns how many bytes may be downloaded for it.
    fn check_announced(&self, envelope: &Envelope<'_>) -> Result<u64, Error> {
        let (each, limit) = (self.max_opened_size(), self.limits.max_total_download_size);
        let mut len = 0u64;
        for entry in envelope.payloads.iter().filter(|entry| entry.is_link()) {
            check_size(entry, each)?;
            len = len.saturating_add(entry.size.unwrap_or(0));
        }
        if len > limit {
            return Err(too_large_in_total(len, limit));
        }
        Ok(limit)
    }

    fn max_opened_size(&self) -> u64 {
        let limits = &self.limits;
        limits.max_opened_size.min(limits.max_download_size)
    }

    /// Opens a link into memory. `left` is how many bytes may be downloaded for its message, and after it.
    pub(super) fn open_link(
        &mut self,
        entry: &PayloadEntry<'_>,
        options: &ReceiveOptions,
        left: &mut u64,
    ) -> Result<Payload<'static>, Error> {
        let kind = entry.payload_type()?;
        let each = self.max_opened_size();
        let mut sink = VecSink::new(usize::try_from(each).unwrap_or(usize::MAX));
        let limits = FileLimits { each, left: *left };
        *left -= self.fetch(entry, options, &mut sink, limits)?;
        Ok(entry.finish(kind, Cow::Owned(sink.into_bytes()))?)
    }

    /// Downloads a link and checks it against its entry.
    pub(super) fn fetch(
        &mut self,
        entry: &PayloadEntry<'_>,
        options: &ReceiveOptions,
        sink: &mut dyn Sink,
        limits: FileLimits,
    ) -> Result<u64, Error> {
        let Data::Text(url) = &entry.data else {
            return Err(entry.error("data", EnvelopeFault::Missing).into());
        };
        self.check_link(entry, url, options)?;
        check_size(entry, limits.each)?;
        let declared_sha256 = entry.sha256()?;
        let limit = entry.size.unwrap_or(limits.each).min(limits.left);
        self.time.check(&self.platform)?;
        let mut sink = ProgressSink {
            sink,
            in_progress: &mut self.in_progress,
            broker: &mut self.broker,
            platform: &self.platform,
            earlier: &mut self.earlier,
        };
        let mut checked = CheckedSink::new(&mut sink, declared_sha256.is_some());
        let file_server = &mut self.file_server;
        let pause = options.pause(self.time.ends());
        let fetched = with_retries(&pause, &self.platform, &mut || {
            checked.reset().map_err(FileServerError::local)?;
            file_server.download(url, limit, &mut checked)?;
            Ok(())
        });
        fetched.map_err(|failed| match failed.source.kind() {
            FileServerErrorKind::TooLarge { .. } if limits.is_total(entry) => {
                let limit = self.limits.max_total_download_size;
                too_large_in_total(limit.saturating_add(1), limit)
            }
            _ => download_failed(entry, failed),
        })?;
        entry.check_size(checked.len)?;
        if let Some(declared) = declared_sha256 {
            entry.check_sha256(&declared, checked.sha256())?;
        }
        Ok(checked.len)
    }

    /// Checks, before a request is made, whether the URL is allowed.
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
                reason: options.link_policy.refusal(url, &self.file_server),
            });
        }
        Ok(())
    }
}

fn opened<'m>(
    envelope: Envelope<'static>,
    payloads: Vec<(String, Payload<'m>)>,
    origin: Origin,
) -> Opened<'m> {
    Opened {
        envelope,
        payloads,
        reply: origin.reply,
        headers: origin.headers,
        subject: origin.subject,
    }
}

/// How long a file may be, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileLimits {
    /// Each file.
    pub(super) each: u64,
    /// What other files of the message have left of the limit on all of them.
    pub(super) left: u64,
}

impl FileLimits {
    /// Whether a file of that entry would exceed the limit on all files of the message before its own.
    fn is_total(&self, entry: &PayloadEntry<'_>) -> bool {
        self.left < entry.size.unwrap_or(self.each)
    }
}

fn check_size(entry: &PayloadEntry<'_>, limit: u64) -> Result<(), Error> {
    match entry.size {
        Some(len) if len > limit => Err(Error::TooLarge {
            what: Measured::Download(entry.place()),
            len,
            limit,
        }),
        _ => Ok(()),
    }
}

fn too_large_in_total(len: u64, limit: u64) -> Error {
    Error::TooLarge {
        what: Measured::Downloads,
        len,
        limit,
    }
}

/// Writes the bytes of a direct payload, and checks how many there are.
pub(super) fn decode_to_sink(entry: &PayloadEntry<'_>, sink: &mut dyn Sink) -> Result<u64, Error> {
    entry.payload_type()?;
    let mut len = 0;
    entry.decode_to(&mut |block| {
        len += block.len() as u64;
        sink.write(block)
            .map_err(|error| EnvelopeFault::Payload(error.into()))
    })?;
    entry.check_size(len)?;
    Ok(len)
}

/// A file that is longer than its entry declares is an error of the sender, not of the server.
fn download_failed(entry: &PayloadEntry<'_>, failed: Failed) -> Error {
    match (failed.source.kind(), entry.size) {
        (FileServerErrorKind::TooLarge { .. }, Some(declared)) => entry
            .error("size", EnvelopeFault::Longer { declared })
            .into(),
        _ => Error::file_server(entry.place(), failed),
    }
}

fn log_link(correlation_id: &str, entry: &PayloadEntry<'_>) {
    if let Data::Text(url) = &entry.data {
        log_trace(
            correlation_id,
            format_args!("fetching {} from {}", entry.place(), RedactedUrl(url)),
        );
    }
}

fn log_received(envelope: &Envelope<'_>) {
    let (id, count) = (&envelope.correlation_id, envelope.payloads.len());
    log_trace(id, format_args!("received a message of {count} payload(s)"));
}
