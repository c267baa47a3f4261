//! From payloads to a message that the server has.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::entry::{
    NOT_READ, Named, check_payload, choose_transports, direct_entry, is_settled, make_link,
    message_len, read_content,
};
use super::failure::Failure;
use super::role::Role;
use super::stored::stored_headers_len;
use super::time_limit::TimeLimit;
use super::{Error, Measured, NatsBridge, ReceiveOptions, SendOptions, Sent};
use crate::checksum::HashedBody;
use crate::file_server::retry::with_retries;
use crate::file_server::{FileServer, FileServerError, FileServerErrorKind, OptionError, Upload};
use crate::http::url::RedactedUrl;
use crate::message::fields::too_long_text;
use crate::message::transport::Budget;
use crate::message::{Envelope, Json, Payload, PayloadEntry, PayloadRef, Transport};
use crate::nats::jetstream::PubAck;
use crate::nats::options::redacted_brokers;
use crate::nats::{
    Broker, BrokerErrorKind, DEFAULT_MAX_PAYLOAD, Outgoing, SubjectUse, check_subject,
};
use crate::platform::{Platform, PlatformError};
use crate::stream::check_length;
use crate::timestamp::timestamp;
use crate::trace::log_trace;

/// How long the deletion of all files of one message may take before the next one is not tried.
const DELETE_TIMEOUT_MILLIS: u64 = 10_000;

impl<B: Broker, F: FileServer, P: Platform> NatsBridge<B, F, P> {
    pub(super) fn send_as<'a>(
        &mut self,
        role: Role<'a>,
        subject: &'a str,
        data: &'a [Named<'a>],
        options: &'a SendOptions,
    ) -> Result<Sent, Error> {
        self.time = TimeLimit::start(options.total_timeout, &self.platform);
        self.check_send(subject, data, (options, role))?;
        let mut envelope = self.envelope(subject, data, (options, role))?;
        if let Some((name, len, limit)) = too_long_text(&envelope, &self.limits) {
            return Err(OptionError::TooLong { name, len, limit }.into());
        }
        let mut uploads = Vec::new();
        let sent = self.place_and_publish(&mut envelope, data, (options, role), &mut uploads);
        match sent {
            Ok(stored) => {
                let keep_json = options.keep_json || !options.is_publish;
                Ok(Sent::new(envelope, uploads, stored, keep_json))
            }
            Err(failure) if failure.may_be_delivered => Err(keep_uploads(uploads, failure.error)),
            Err(failure) => Err(self.delete_uploads(uploads, failure.error)),
        }
    }

    /// Everything that can be refused without asking anybody.
    fn check_send(
        &self,
        subject: &str,
        data: &[Named<'_>],
        (options, role): (&SendOptions, Role<'_>),
    ) -> Result<(), Error> {
        check_subject(subject, SubjectUse::Publish)?;
        let reply_to = role.inbox().unwrap_or(&options.reply_to);
        if !reply_to.is_empty() {
            check_subject(reply_to, SubjectUse::Publish)?;
        }
        let (limit, count) = (self.limits.max_payloads, data.len());
        if count > limit {
            return Err(OptionError::TooManyPayloads { count, limit }.into());
        }
        if count == 0 && !options.allow_empty {
            return Err(OptionError::NoPayloads.into());
        }
        // By an empty one a stream recognizes nothing, and would store a repetition too.
        if options.publish_stored.is_some() && options.msg_id.as_deref() == Some("") {
            return Err(OptionError::Invalid {
                name: "msg_id",
                reason: "it is empty",
            }
            .into());
        }
        if let Some(metadata) = &options.metadata {
            metadata.members(&[]).map_err(|_| OptionError::Metadata)?;
        }
        data.iter()
            .enumerate()
            .try_for_each(|(index, (name, payload))| self.check_payload(index, name, payload))
    }

    fn check_payload(&self, index: usize, name: &str, payload: &Payload<'_>) -> Result<(), Error> {
        let place = || PayloadRef::new(index, name);
        let too_large = |what, len, limit| Err(Error::TooLarge { what, len, limit });
        let (len, limit) = (name.len(), self.limits.max_name_len);
        if len > limit {
            return too_large(Measured::Name(place()), len as u64, limit as u64);
        }
        check_payload(name, payload).map_err(|source| Error::Payload {
            payload: Some(place()),
            source,
        })?;
        match (payload.size(), self.limits.max_payload_size) {
            (len, Some(limit)) if len > limit => too_large(Measured::Payload(place()), len, limit),
            _ => Ok(()),
        }
    }

    /// The envelope with every payload direct.
    fn envelope<'a>(
        &mut self,
        subject: &'a str,
        data: &'a [Named<'a>],
        (options, role): (&'a SendOptions, Role<'a>),
    ) -> Result<Envelope<'a>, Error> {
        let broker_url = match &options.broker_url {
            Some(url) => redacted_brokers(url),
            None => self.broker_url.clone(),
        };
        let mut payloads = Vec::with_capacity(data.len());
        for (index, named) in data.iter().enumerate() {
            payloads.push(direct_entry(self.new_id()?, index, named));
        }
        Ok(Envelope {
            correlation_id: match role {
                Role::Reply { request } => Cow::Borrowed(&request.correlation_id),
                _ => self.given_or_new(&options.correlation_id)?,
            },
            msg_id: self.given_or_new(&options.msg_id)?,
            timestamp: Cow::Owned(timestamp(self.platform.unix_millis())),
            send_to: Cow::Borrowed(subject),
            msg_purpose: Cow::Borrowed(&options.msg_purpose),
            sender_name: Cow::Borrowed(&options.sender_name),
            sender_id: self.given_or_new(&options.sender_id)?,
            receiver_name: Cow::Borrowed(&options.receiver_name),
            receiver_id: Cow::Borrowed(&options.receiver_id),
            reply_to: Cow::Borrowed(role.inbox().unwrap_or(&options.reply_to)),
            reply_to_msg_id: Cow::Borrowed(match role {
                Role::Reply { request } => &request.msg_id,
                _ => &options.reply_to_msg_id,
            }),
            broker_url: Cow::Owned(broker_url),
            metadata: Cow::Borrowed(options.metadata.as_ref().map_or("{}", Json::as_str)),
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
        (options, role): (&SendOptions, Role<'_>),
        uploads: &mut Vec<Upload>,
    ) -> Result<Option<PubAck>, Failure> {
        if !options.is_publish {
            let max_len = DEFAULT_MAX_PAYLOAD as u64;
            self.place_payloads(envelope, data, options, max_len, uploads)?;
            return Ok(None);
        }
        loop {
            let max_payload = self.broker.max_payload() as u64;
            let headers_len = match options.publish_stored {
                Some(_) => stored_headers_len(envelope, options.expected_stream.as_deref()),
                None => 0,
            };
            let max_len = max_payload.saturating_sub(headers_len);
            let len = self.place_payloads(envelope, data, options, max_len, uploads)?;
            self.time.check(&self.platform)?;
            let published = match options.publish_stored {
                Some(publish) => self.store(publish, envelope, len, options).map(Some),
                None => self
                    .publish(envelope, len, role.inbox(), options)
                    .map(|()| None),
            };
            match published {
                Err(failure) if failure.is_too_large_for_less_than(max_payload) => {}
                published => return published,
            }
        }
    }

    /// Turns payloads into links until the message fits, and returns its length in bytes. How long a
    /// link is shows only when its URL is there, so it may take several rounds; each of them turns
    /// all that are links for certain. What is left travels in the message, and is read now if it is not in memory.
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
            match self.upload_chosen(envelope, data, &chosen, uploads) {
                Ok(0) => break len,
                Ok(_) => {}
                Err(error) if is_unsupported(&error) => links = false,
                Err(error) => return Err(error),
            }
        };
        let mut unread = envelope
            .payloads
            .iter_mut()
            .filter(|entry| entry.data == NOT_READ);
        unread.try_for_each(|entry| read_content(entry, &data[entry.index].1))?;
        Ok(len)
    }

    /// Turns what is chosen into links, unless it is one already, and returns how many were turned. That there is no
    /// store for one is an error only if no other could be turned.
    fn upload_chosen(
        &mut self,
        envelope: &mut Envelope<'_>,
        data: &[Named<'_>],
        chosen: &[Transport],
        uploads: &mut Vec<Upload>,
    ) -> Result<usize, Error> {
        let before = uploads.len();
        let mut unsupported = None;
        for (entry, transport) in envelope.payloads.iter_mut().zip(chosen) {
            if *transport == Transport::Link && !entry.is_link() {
                let payload = &data[entry.index].1;
                match self.upload(&envelope.correlation_id, entry, payload, uploads) {
                    Err(error) if is_unsupported(&error) => unsupported = Some(error),
                    uploaded => uploaded?,
                }
            }
        }
        match (uploads.len() - before, unsupported) {
            (0, Some(error)) => Err(error),
            (turned, _) => Ok(turned),
        }
    }

    fn upload(
        &mut self,
        correlation_id: &str,
        entry: &mut PayloadEntry<'_>,
        payload: &Payload<'_>,
        uploads: &mut Vec<Upload>,
    ) -> Result<(), Error> {
        let place = entry.place();
        log_trace(
            correlation_id,
            format_args!("uploading {place}, {} bytes", payload.size()),
        );
        self.time.check(&self.platform)?;
        let file_server = &mut self.file_server;
        let pause = ReceiveOptions::default().pause(self.time.ends());
        let uploaded = with_retries(&pause, &self.platform, &mut || {
            let body = payload.open().map_err(FileServerError::local)?;
            let announced = entry.size.unwrap_or(0);
            check_length(announced, body.len()).map_err(FileServerError::local)?;
            let mut body = HashedBody::new(body);
            let upload = file_server.upload(&entry.dataname, &mut body)?;
            log_trace(
                correlation_id,
                format_args!("uploaded {place} to {}", RedactedUrl(&upload.url)),
            );
            make_link(entry, &upload.url, &body.sha256());
            uploads.push(upload);
            Ok(())
        });
        uploaded.map_err(|failed| Error::file_server(place, failed))
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
        published.map_err(|error| {
            self.earlier.reported(&error);
            Failure {
                may_be_delivered: !error.is_not_sent(),
                error: error.into(),
            }
        })?;
        if options.confirm {
            let wait = self.time.shorten(options.timeout, &self.platform);
            self.confirm((subject, SubjectUse::Publish), wait)?;
            log_trace(id, format_args!("the server has the message to {subject}"));
        } else {
            self.earlier.add_unconfirmed();
        }
        Ok(())
    }

    /// Waits until the server has the message or subscription to `subject`. Errors about earlier sends and
    /// subscriptions are kept: each belongs to the one whose subject it names.
    pub(super) fn confirm(
        &mut self,
        (subject, purpose): (&str, SubjectUse),
        timeout: Duration,
    ) -> Result<(), Failure> {
        loop {
            let Err(error) = self.flush_broker(timeout) else {
                return Ok(());
            };
            let is_refused = error.kind() == BrokerErrorKind::Refused;
            let is_subscription = purpose == SubjectUse::Subscribe;
            let is_other =
                |refused| refused != subject || error.refuses_subscription() != is_subscription;
            match error.subject() {
                Some(refused) if is_refused && is_other(refused) => {
                    self.earlier.keep(error);
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

fn is_unsupported(error: &Error) -> bool {
    matches!(error, Error::FileServer { source, .. } if source.kind() == FileServerErrorKind::Unsupported)
}
