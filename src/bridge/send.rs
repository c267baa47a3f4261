//! From payloads to a message that the server has.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::NatsBridge;
use crate::broker::{Broker, SubjectUse, check_subject};
use crate::checksum::{HashedBody, Hex};
use crate::codec::encode::entry_length;
use crate::envelope::{Data, Envelope, PayloadEntry, Sent, Transport};
use crate::error::{Error, Measured, PayloadRef};
use crate::file_server::{FileServer, FileServerError, FileServerErrorKind, Upload};
use crate::options::{DEFAULT_MAX_PAYLOAD, OptionError, ReceiveOptions, SendOptions};
use crate::payload::{Payload, PayloadError};
use crate::platform::{Platform, new_id, timestamp};
use crate::retry::{Pause, with_retries};
use crate::stream::{Body, SliceBody};
use crate::trace::log_trace;
use crate::transport::{Budget, Candidate, choose};

impl<B: Broker, F: FileServer, P: Platform> NatsBridge<B, F, P> {
    pub(super) fn send_with_reply<'a, N: AsRef<str>>(
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
        let file_server = &mut self.file_server;
        let pause = Pause::of(&ReceiveOptions::default());
        let uploaded = with_retries(&pause, &self.platform, || {
            body.rewind().map_err(FileServerError::local)?;
            file_server.upload(&entry.dataname, &mut body)
        });
        let upload = uploaded.map_err(|failed| failed.at(entry.place()))?;
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
