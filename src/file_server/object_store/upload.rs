//! From a body to the chunks of an object.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use sha2::{Digest as _, Sha256};

use super::meta::{chunk_subject, digest, meta_id};
use super::{
    FileServerError, FileServerErrorKind, HEADER_ROOM, ObjectInfo, ObjectStore, file_error,
};
use crate::json::number::{Digits, decimal};
use crate::nats::jetstream::{
    Api, Deadline, Inbox, JetStreamError, JetStreamErrorKind, MSG_ID, PubAck, read_pub_ack,
};
use crate::nats::{Broker, Outgoing};
use crate::platform::{Platform, new_token};
use crate::stream::{Body, SliceBody, StreamError, check_length};
use crate::timestamp::timestamp;

impl<B: Broker, P: Platform> ObjectStore<B, P> {
    pub(super) fn token(&self) -> Result<String, FileServerError> {
        new_token(self.jetstream.platform()).map_err(|error| {
            let message = "no name for an object can be made";
            FileServerError::new(FileServerErrorKind::Local, message).with_source(error)
        })
    }

    /// Stores `body` as `name`. What an object of that name had before stays.
    pub(super) fn store(
        &mut self,
        name: &str,
        body: &mut dyn Body,
    ) -> Result<ObjectInfo, FileServerError> {
        let nuid = self.token()?;
        let mut sent = Sent::default();
        let stored = self.store_chunks(&nuid, body, &mut sent);
        stored.inspect_err(|_| {
            if sent.chunks > 0 {
                self.clean_up(&nuid);
            }
        })?;
        let info = ObjectInfo {
            name: name.into(),
            size: sent.size,
            chunks: sent.chunks,
            modified: timestamp(self.jetstream.platform().unix_millis()),
            digest: digest(&sent.sha256.finalize()),
            is_deleted: false,
            nuid,
            max_chunk_size: sent.chunk_size as u64,
            is_link: false,
        };
        let Err(error) = self.publish_meta(&info) else {
            return Ok(info);
        };
        let has_meta = match error.is_not_delivered() {
            true => Some(false),
            false => self.has_meta(&info, &error),
        };
        match has_meta {
            Some(true) => return Ok(info),
            Some(false) => self.clean_up(&info.nuid),
            // An object may have the chunks, now or later.
            None => {}
        }
        Err(self.object_error(name, error))
    }

    /// Whether the bucket has these metadata, whose publish failed with `error`; `None` if that cannot be
    /// found out.
    fn has_meta(&mut self, info: &ObjectInfo, error: &JetStreamError) -> Option<bool> {
        if error.is_transient() {
            // They may still arrive. Once their id is taken they are not stored any more.
            let subject = chunk_subject(&self.bucket, &info.nuid);
            let headers = [(MSG_ID, &*meta_id(info))];
            let message = Outgoing::new(&subject).headers(&headers);
            let taken = self.jetstream.publish(&message, &mut SliceBody::new(b""));
            taken.ok()?;
        }
        let found = self.find(&self.bucket.clone(), &info.name).ok()?;
        Some(found.is_some_and(|found| found.nuid == info.nuid))
    }

    fn store_chunks(
        &mut self,
        nuid: &str,
        body: &mut dyn Body,
        sent: &mut Sent,
    ) -> Result<(), FileServerError> {
        let subject = chunk_subject(&self.bucket, nuid);
        let what = format!("the bucket `{}`", self.bucket);
        let mut chunk = Chunk::new(self.max_chunk_size());
        chunk.fill(body)?;
        if !chunk.bytes.is_empty() {
            let mut first = self.store_first(&subject, nuid, &chunk.bytes);
            // A broker that connects when it is first needed says only then how long a message may be.
            let max_chunk_size = self.max_chunk_size();
            if is_not_stored(&first) && max_chunk_size < chunk.size {
                body.rewind().map_err(FileServerError::local)?;
                chunk.size = max_chunk_size;
                chunk.fill(body)?;
                first = self.store_first(&subject, nuid, &chunk.bytes);
            }
            if !is_not_stored(&first) {
                sent.add(&chunk.bytes);
            }
            let ack = first.map_err(|error| file_error(&what, error))?;
            chunk.fill(body)?;
            if !chunk.bytes.is_empty() {
                self.store_rest((&subject, ack.sequence), (&mut chunk, body), sent)?;
            }
        }
        sent.chunk_size = chunk.size;
        check_length(body.len(), sent.size).map_err(FileServerError::local)
    }

    /// How many bytes go into a chunk, as far as the server's limit is known.
    fn max_chunk_size(&mut self) -> usize {
        let max_payload = self.broker().max_payload().saturating_sub(HEADER_ROOM);
        self.chunk_size.min(max_payload).max(1)
    }

    /// The first chunk goes alone: it may wait for a cluster that elects a leader, and shows whether there
    /// is a bucket at all.
    fn store_first(
        &mut self,
        subject: &str,
        nuid: &str,
        chunk: &[u8],
    ) -> Result<PubAck, JetStreamError> {
        let headers = [(MSG_ID, nuid)];
        let message = Outgoing::new(subject).headers(&headers);
        self.jetstream.publish(&message, &mut SliceBody::new(chunk))
    }

    /// Sends the chunks behind the first one, with a bounded number on their way.
    fn store_rest(
        &mut self,
        (subject, sequence): (&str, u64),
        (chunk, body): (&mut Chunk, &mut dyn Body),
        sent: &mut Sent,
    ) -> Result<(), FileServerError> {
        let what = format!("the bucket `{}`", self.bucket);
        let failed = |error| file_error(&what, error);
        let deadline = Deadline::after(self.jetstream.platform(), self.timeout);
        let inbox = self.jetstream.api().open_inbox(deadline).map_err(failed)?;
        let mut flight = Flight {
            subject,
            inbox: &inbox,
            sent: 0,
            acknowledged: 0,
            sequence,
        };
        let (timeout, window) = (self.timeout, u64::from(self.window));
        let jetstream = &mut self.jetstream.api();
        let mut send_all = || {
            while !chunk.bytes.is_empty() {
                sent.add(&chunk.bytes);
                flight.send(jetstream, &chunk.bytes).map_err(failed)?;
                let awaited = flight.sent.saturating_sub(window - 1);
                while flight.acknowledged < awaited {
                    flight.await_ack(jetstream, timeout).map_err(failed)?;
                }
                chunk.fill(body)?;
            }
            jetstream
                .write_out(subject, &inbox, timeout)
                .map_err(failed)?;
            while flight.acknowledged < flight.sent {
                flight.await_ack(jetstream, timeout).map_err(failed)?;
            }
            Ok(())
        };
        let done = send_all();
        jetstream.close_inbox(&inbox);
        done
    }
}

fn is_not_stored(published: &Result<PubAck, JetStreamError>) -> bool {
    matches!(published, Err(error) if error.is_not_delivered())
}

/// What was sent so far, and may be stored.
#[derive(Default)]
struct Sent {
    chunk_size: usize,
    size: u64,
    chunks: u64,
    sha256: Sha256,
}

impl Sent {
    fn add(&mut self, chunk: &[u8]) {
        self.size += chunk.len() as u64;
        self.chunks += 1;
        self.sha256.update(chunk);
    }
}

/// The bytes that go into one message.
struct Chunk {
    bytes: Vec<u8>,
    size: usize,
}

impl Chunk {
    fn new(size: usize) -> Self {
        let bytes = Vec::new();
        Self { bytes, size }
    }

    /// Reads as much as fits; nothing is left at the end of `body`.
    fn fill(&mut self, body: &mut dyn Body) -> Result<(), FileServerError> {
        let left = usize::try_from(body.len()).unwrap_or(usize::MAX);
        let len = self.size.min(left);
        let missing = len.saturating_sub(self.bytes.len());
        let no_memory = |_| FileServerError::local(StreamError::OutOfMemory { len });
        self.bytes.try_reserve_exact(missing).map_err(no_memory)?;
        self.bytes.resize(len, 0);
        let mut filled = 0;
        while let Some(room) = self.bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
            match body.read(room).map_err(FileServerError::local)? {
                0 => break,
                count => filled += count,
            }
        }
        self.bytes.truncate(filled);
        Ok(())
    }
}

/// Chunks that are on their way.
struct Flight<'a> {
    subject: &'a str,
    inbox: &'a Inbox,
    sent: u64,
    acknowledged: u64,
    /// The sequence number of the last chunk that was acknowledged.
    sequence: u64,
}

impl Flight<'_> {
    fn send(&mut self, jetstream: &mut Api<'_>, chunk: &[u8]) -> Result<(), JetStreamError> {
        self.sent += 1;
        let number = Digits::of(self.sent);
        let reply = [&*self.inbox.subject, ".", number.as_str()].concat();
        let message = Outgoing::new(self.subject).reply(&reply);
        let broker = jetstream.broker();
        Ok(broker.publish(&message, &mut SliceBody::new(chunk))?)
    }

    /// Waits for the answer to the oldest chunk that has none. Another chunk's means that this one was not
    /// stored, or not in its place.
    fn await_ack(
        &mut self,
        jetstream: &mut Api<'_>,
        timeout: Duration,
    ) -> Result<(), JetStreamError> {
        let Some(answer) = jetstream.broker().next_of(self.inbox.id, timeout)? else {
            let message = "a chunk was not acknowledged in time";
            return Err(JetStreamError::new(JetStreamErrorKind::Timeout, message));
        };
        let number = answer.subject.rsplit('.').next().map(str::as_bytes);
        let is_next = number.and_then(decimal) == Some(self.acknowledged + 1);
        match read_pub_ack(&answer) {
            Ok(ack) if is_next && ack.sequence > self.sequence => {
                self.acknowledged += 1;
                self.sequence = ack.sequence;
                Ok(())
            }
            Ok(_) => {
                let message = "the chunks were not stored in their order";
                Err(JetStreamError::new(
                    JetStreamErrorKind::Unavailable,
                    message,
                ))
            }
            Err(error) => Err(error),
        }
    }
}
