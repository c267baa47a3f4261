//! From payloads to a message that the server has.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::{Error, Measured, Named, NatsBridge, ReceiveOptions, SendOptions};
use crate::checksum::{HashedBody, Hex};
use crate::file_server::retry::with_retries;
use crate::file_server::{FileServer, FileServerError, FileServerErrorKind, OptionError, Upload};
use crate::json::number::Digits;
use crate::message::encode::{base64_length, entry_length};
use crate::message::timestamp::timestamp;
use crate::message::transport::{Budget, Candidate, choose};
use crate::message::{
    Content, Data, Envelope, PayloadEntry, PayloadError, PayloadRef, Sent, Transport,
};
use crate::nats::{
    Broker, BrokerErrorKind, DEFAULT_MAX_PAYLOAD, Outgoing, SubjectUse, check_subject,
};
use crate::platform::{Platform, PlatformError};
use crate::stream::{Body as _, read_to_vec};
use crate::trace::log_trace;

/// Server errors about earlier sends that wait to be reported.
const MAX_EARLIER_ERRORS: usize = 16;
/// How long the deletion of all files of one message may take before the next one is not tried.
const DELETE_TIMEOUT_MILLIS: u64 = 10_000;

/// Stands for data that are not in memory and may never come there.
const NOT_READ: Data<'static> = Data::Text(Cow::Borrowed(""));

impl<B: Broker, F: FileServer, P: Platform> NatsBridge<B, F, P> {
    pub(super) fn send_with_reply<'a>(
        &mut self,
        subject: &'a str,
        data: Vec<Named<'a>>,
        options: &'a SendOptions,
        reply: Option<&str>,
    ) -> Result<(Sent<'a>, Vec<Upload>), Error> {
        self.check_send(subject, &data, options)?;
        let mut envelope = self.envelope(subject, &data, options)?;
        let mut uploads = Vec::new();
        let sent = self.place_and_publish(&mut envelope, &data, (options, reply), &mut uploads);
        match sent {
            Ok(()) => Ok((Sent::new(envelope), uploads)),
            Err(failure) if failure.may_be_delivered => Err(keep_uploads(uploads, failure.error)),
            Err(failure) => Err(self.delete_uploads(uploads, failure.error)),
        }
    }

    /// Everything that can be refused without asking anybody.
    fn check_send(
        &self,
        subject: &str,
        data: &[Named<'_>],
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
            .try_for_each(|(index, (name, payload))| self.check_payload(index, name, payload))
    }

    fn check_payload(&self, index: usize, name: &str, content: &dyn Content) -> Result<(), Error> {
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
        match (content.size(), self.limits.max_payload_size) {
            (len, Some(limit)) if len > limit => too_large(Measured::Payload(place()), len, limit),
            _ => Ok(()),
        }
    }

    /// The envelope with every payload direct.
    fn envelope<'a>(
        &mut self,
        subject: &'a str,
        data: &[Named<'a>],
        options: &'a SendOptions,
    ) -> Result<Envelope<'a>, Error> {
        let broker_url = match &options.broker_url {
            Some(url) => Cow::Borrowed(url.as_str()),
            None => Cow::Owned(self.broker_url.clone()),
        };
        let mut payloads = Vec::with_capacity(data.len());
        for (index, outgoing) in data.iter().enumerate() {
            payloads.push(direct_entry(self.new_id()?, index, *outgoing));
        }
        Ok(Envelope {
            correlation_id: self.given_or_new(&options.correlation_id)?,
            msg_id: self.given_or_new(&options.msg_id)?,
            timestamp: Cow::Owned(timestamp(self.platform.unix_millis())),
            send_to: Cow::Borrowed(subject),
            msg_purpose: Cow::Borrowed(&options.msg_purpose),
            sender_name: Cow::Borrowed(&options.sender_name),
            sender_id: self.given_or_new(&options.sender_id)?,
            receiver_name: Cow::Borrowed(&options.receiver_name),
            receiver_id: Cow::Borrowed(&options.receiver_id),
            reply_to: Cow::Borrowed(&options.reply_to),
            reply_to_msg_id: Cow::Borrowed(&options.reply_to_msg_id),
            broker_url,
            metadata: Cow::Borrowed("{}"),
            payloads,
        })
    }

    fn given_or_new<'a>(&mut self, given: &'a Option<String>) -> Result<Cow<'a, str>, Error> {
        match given {
            Some(id) => Ok(Cow::Borrowed(id)),
            None => Ok(Cow::Owned(self.new_id()?)),
        }
    }

    fn new_id(&mut self) -> Result<String, PlatformError> {
        self.ids.next(&self.platform)
    }

    /// A broker that connects when it is first needed says only then how long a message may be.
    fn place_and_publish(
        &mut self,
        envelope: &mut Envelope<'_>,
        data: &[Named<'_>],
        (options, reply): (&SendOptions, Option<&str>),
        uploads: &mut Vec<Upload>,
    ) -> Result<(), Failure> {
        if !options.is_publish {
            let max_len = DEFAULT_MAX_PAYLOAD as u64;
            self.place_payloads(envelope, data, options, max_len, uploads)?;
            return Ok(());
        }
        loop {
            let max_len = self.broker.max_payload() as u64;
            let len = self.place_payloads(envelope, data, options, max_len, uploads)?;
            match self.publish(envelope, len, reply, options) {
                Err(Failure {
                    error: Error::Broker(error),
                    ..
                }) if error.is_too_large_for_less_than(max_len) => {}
                published => return published,
            }
        }
    }

    /// Turns payloads into links until the message fits, and returns its length in bytes. How long a
    /// link is shows only when its URL is there, so it may take several rounds; each of them turns
    /// one more. What is left travels in the message, and is read now if it is not in memory.
    fn place_payloads(
        &mut self,
        envelope: &mut Envelope<'_>,
        data: &[Named<'_>],
        options: &SendOptions,
        max_len: u64,
        uploads: &mut Vec<Upload>,
    ) -> Result<u64, Error> {
        let size_threshold = options.size_threshold.unwrap_or(self.limits.size_threshold);
        let mut links = true;
        let len = loop {
            let budget = Budget {
                size_threshold: size_threshold as u64,
                max_len,
                links,
            };
            let len = message_len(envelope);
            if is_settled(envelope, len, &budget) {
                break len;
            }
            let chosen = choose_transports(envelope, &budget)?;
            let entries = envelope.payloads.iter_mut().zip(chosen);
            let mut to_upload = entries
                .filter(|(entry, transport)| *transport == Transport::Link && !is_link(entry));
            let Some((entry, _)) = to_upload.next() else {
                break len;
            };
            match self.upload(&envelope.correlation_id, entry, data[entry.index].1) {
                Ok((upload, sha256)) => {
                    make_link(entry, &upload.url, &sha256);
                    uploads.push(upload);
                }
                Err(error) if is_unsupported(&error) => links = false,
                Err(error) => return Err(error),
            }
        };
        let mut unread = envelope
            .payloads
            .iter_mut()
            .filter(|entry| entry.data == NOT_READ);
        unread.try_for_each(|entry| read_content(entry, data[entry.index].1))?;
        Ok(len)
    }

    fn upload(
        &mut self,
        correlation_id: &str,
        entry: &PayloadEntry<'_>,
        content: &dyn Content,
    ) -> Result<(Upload, String), Error> {
        let place = entry.place();
        log_trace(
            correlation_id,
            format_args!("uploading {place}, {} bytes", content.size()),
        );
        let file_server = &mut self.file_server;
        let pause = ReceiveOptions::default().pause();
        let uploaded = with_retries(&pause, &self.platform, || {
            let mut body = HashedBody::new(content.open().map_err(FileServerError::local)?);
            let upload = file_server.upload(&entry.dataname, &mut body)?;
            Ok((upload, body.sha256()))
        });
        let (upload, sha256) =
            uploaded.map_err(|failed| Error::file_server(entry.place(), failed))?;
        log_trace(
            correlation_id,
            format_args!("uploaded {place} to {}", upload.url),
        );
        Ok((upload, sha256))
    }

    fn publish(
        &mut self,
        envelope: &Envelope<'_>,
        len: u64,
        reply: Option<&str>,
        options: &SendOptions,
    ) -> Result<(), Failure> {
        let (id, subject) = (&envelope.correlation_id, &*envelope.send_to);
        log_trace(id, format_args!("publishing {len} bytes to {subject}"));
        let mut message = Outgoing::new(subject);
        message.reply = reply;
        let published = self
            .broker
            .publish(&message, &mut envelope.body_of_len(len));
        published.map_err(|error| Failure {
            may_be_delivered: !error.is_not_sent(),
            error: error.into(),
        })?;
        if options.confirm {
            self.confirm(subject, options.timeout)?;
            log_trace(id, format_args!("the server has the message to {subject}"));
        }
        Ok(())
    }

    /// Waits until the server has the message to `subject`. Errors about earlier sends are kept: each
    /// belongs to the send whose subject it names.
    fn confirm(&mut self, subject: &str, timeout: Duration) -> Result<(), Failure> {
        loop {
            let Err(error) = self.broker.flush(timeout) else {
                return Ok(());
            };
            let is_refused = error.kind() == BrokerErrorKind::Refused;
            match error.subject() {
                Some(refused) if is_refused && refused != subject => {
                    if self.earlier_errors.len() < MAX_EARLIER_ERRORS {
                        self.earlier_errors.push_back(error);
                    }
                }
                _ => {
                    return Err(Failure {
                        may_be_delivered: !is_refused,
                        error: error.into(),
                    });
                }
            }
        }
    }

    /// Deletes what was uploaded for a message that certainly was not delivered. A server that does not
    /// answer is not asked for the rest.
    pub(super) fn delete_uploads(&mut self, uploads: Vec<Upload>, error: Error) -> Error {
        let started = self.platform.uptime_millis();
        let mut left_behind = Vec::new();
        let mut is_given_up = false;
        for upload in uploads {
            let elapsed = self.platform.uptime_millis().saturating_sub(started);
            is_given_up |= elapsed > DELETE_TIMEOUT_MILLIS;
            let is_deleted = !is_given_up
                && match self.file_server.delete(&upload) {
                    Ok(()) => true,
                    Err(error) => {
                        is_given_up |= error.is_transient();
                        false
                    }
                };
            if !is_deleted {
                left_behind.push(upload);
            }
        }
        keep_uploads(left_behind, error)
    }
}

/// Why a send failed, and whether its message may have been delivered all the same.
struct Failure {
    error: Error,
    may_be_delivered: bool,
}

impl<E: Into<Error>> From<E> for Failure {
    /// A failure before anything was published.
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            may_be_delivered: false,
        }
    }
}

/// An error that lists the files that stay: a message that may have been delivered needs them.
pub(super) fn keep_uploads(uploads: Vec<Upload>, error: Error) -> Error {
    if uploads.is_empty() {
        return error;
    }
    Error::LeftBehind {
        left_behind: uploads.into_iter().map(|upload| upload.url).collect(),
        source: Box::new(error),
    }
}

fn direct_entry<'a>(id: String, index: usize, (name, content): Named<'a>) -> PayloadEntry<'a> {
    let size = content.size();
    let data = match content.bytes() {
        Some(bytes) => Data::Bytes(Cow::Borrowed(bytes)),
        None => NOT_READ,
    };
    PayloadEntry {
        index,
        id: Cow::Owned(id),
        dataname: Cow::Borrowed(name),
        type_name: Cow::Borrowed(content.payload_type().as_str()),
        transport_name: Cow::Borrowed(Transport::Direct.as_str()),
        encoding: Cow::Borrowed("base64"),
        size: Some(size),
        data,
        metadata: Cow::Owned(["{\"payload_bytes\":", Digits::of(size).as_str(), "}"].concat()),
    }
}

/// The length of the message in bytes, with what has not been read yet.
fn message_len(envelope: &Envelope<'_>) -> u64 {
    let unread: u64 = envelope.payloads.iter().map(unread_len).sum();
    envelope.body().len() + unread
}

/// What a payload that has not been read adds to the length of the message, in bytes.
fn unread_len(entry: &PayloadEntry<'_>) -> u64 {
    match entry.size {
        Some(size) if entry.data == NOT_READ => base64_length(size),
        _ => 0,
    }
}

/// Whether the message fits as it is, and no payload has to become a link for its size.
fn is_settled(envelope: &Envelope<'_>, len: u64, budget: &Budget) -> bool {
    let settled =
        |entry: &PayloadEntry<'_>| is_link(entry) || !budget.wants_link(entry.size.unwrap_or(0));
    len <= budget.max_len && envelope.payloads.iter().all(settled)
}

fn choose_transports(envelope: &Envelope<'_>, budget: &Budget) -> Result<Vec<Transport>, Error> {
    let candidates: Vec<_> = envelope.payloads.iter().map(candidate).collect();
    let entry_len = |entry: &PayloadEntry<'_>| entry_length(entry, entry.index);
    let entries: u64 = envelope.payloads.iter().map(entry_len).sum();
    let fixed_len = envelope.body().len() - entries;
    choose(&candidates, fixed_len, budget).map_err(|len| Error::TooLarge {
        what: Measured::Message,
        len,
        limit: budget.max_len,
    })
}

fn candidate(entry: &PayloadEntry<'_>) -> Candidate {
    let len = entry_length(entry, entry.index);
    let is_link = is_link(entry);
    Candidate {
        size: entry.size.unwrap_or(0),
        direct_len: len + unread_len(entry),
        link_len: if is_link {
            len
        } else {
            shortest_link_length(entry)
        },
        is_link,
    }
}

/// The least that a payload takes as a link, while its URL is not known.
fn shortest_link_length(entry: &PayloadEntry<'_>) -> u64 {
    const SHORTEST_URL: &str = "http://h/f";
    let mut link = PayloadEntry {
        index: entry.index,
        id: Cow::Borrowed(&entry.id),
        dataname: Cow::Borrowed(&entry.dataname),
        type_name: Cow::Borrowed(&entry.type_name),
        transport_name: Cow::Borrowed(""),
        encoding: Cow::Borrowed(""),
        size: entry.size,
        data: NOT_READ,
        metadata: Cow::Borrowed(""),
    };
    make_link(&mut link, SHORTEST_URL, &Hex(&[0; 32]).to_string());
    entry_length(&link, link.index)
}

fn is_link(entry: &PayloadEntry<'_>) -> bool {
    entry.transport_name == Transport::Link.as_str()
}

/// Reads what travels in the message into memory.
fn read_content(entry: &mut PayloadEntry<'_>, content: &dyn Content) -> Result<(), Error> {
    let mut bytes = Vec::new();
    let read = content
        .open()
        .and_then(|mut body| read_to_vec(&mut body, &mut bytes));
    match read {
        Ok(()) => {
            entry.data = Data::Bytes(Cow::Owned(bytes));
            Ok(())
        }
        Err(error) => Err(Error::Payload {
            payload: entry.place(),
            source: error.into(),
        }),
    }
}

fn make_link(entry: &mut PayloadEntry<'_>, url: &str, sha256: &str) {
    entry.transport_name = Cow::Borrowed(Transport::Link.as_str());
    entry.encoding = Cow::Borrowed("none");
    entry.data = Data::Text(Cow::Owned(url.to_string()));
    entry.metadata = Cow::Owned(["{\"sha256\":\"", sha256, "\"}"].concat());
}

fn is_unsupported(error: &Error) -> bool {
    matches!(error, Error::FileServer { source, .. } if source.kind() == FileServerErrorKind::Unsupported)
}
