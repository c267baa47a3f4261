//! From the chunks of an object to a sink.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use sha2::{Digest as _, Sha256};

use super::link::stream_of;
use super::meta::{chunk_subject, is_nuid};
use super::{
    FileServerError, FileServerErrorKind as Kind, INACTIVE_THRESHOLD, ObjectInfo, ObjectStore,
    file_error,
};
use crate::nats::Broker;
use crate::nats::jetstream::{
    Deadline, Delivered, Ephemeral, JetStreamError, JetStreamErrorKind, Puller,
};
use crate::platform::Platform;
use crate::stream::Sink;

/// How long a server may take to find chunks that another one has stored.
const LAG_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two looks at whether it has.
const LAG_PAUSE: Duration = Duration::from_millis(100);
/// How long a fetch may bring nothing before another consumer is made.
pub(super) const QUIET_TIMEOUT: Duration = Duration::from_secs(2);

impl<B: Broker, P: Platform> ObjectStore<B, P> {
    pub(super) fn fetch(
        &mut self,
        bucket: &str,
        name: &str,
        (limit, sink): (u64, &mut dyn Sink),
    ) -> Result<u64, FileServerError> {
        let what = format!("the object `{name}` of the bucket `{bucket}`");
        let found = self.find(bucket, name)?;
        let Some(info) = found.filter(|info| !info.is_deleted) else {
            let message = format!("{what} does not exist");
            return Err(FileServerError::new(Kind::NotFound, message));
        };
        check_info(&what, &info, limit)?;
        let mut object = Object {
            bucket,
            name,
            stream: stream_of(bucket),
            subject: chunk_subject(bucket, &info.nuid),
            what,
            info,
            sink,
            len: 0,
            chunks: 0,
            next_sequence: 1,
            sha256: Sha256::new(),
        };
        self.read_chunks(&mut object)?;
        object.check_whole()?;
        Ok(object.len)
    }

    /// Reads all chunks, with another consumer each time one is lost.
    fn read_chunks(&mut self, object: &mut Object<'_>) -> Result<(), FileServerError> {
        let mut lagging = None;
        let mut idle = self.idle_deadline();
        while object.left() > 0 {
            let before = object.chunks;
            let failed = match self.read_some(object) {
                Ok(()) => None,
                Err(ReadError::File(error)) => return Err(error),
                Err(ReadError::JetStream(error)) => Some(error),
                Err(ReadError::Missing) => {
                    let deadline = *lagging.get_or_insert_with(|| {
                        Deadline::after(self.jetstream.platform(), LAG_TIMEOUT.min(self.timeout))
                    });
                    if deadline.left(self.jetstream.platform()).is_zero() {
                        return Err(self.missing(object));
                    }
                    self.jetstream.platform().wait(LAG_PAUSE);
                    None
                }
            };
            if object.chunks > before {
                (idle, lagging) = (self.idle_deadline(), None);
            }
            let left = idle.left(self.jetstream.platform());
            if left.is_zero() && object.left() > 0 {
                let error = failed.unwrap_or_else(|| {
                    let message = "no chunk has come in time";
                    JetStreamError::new(JetStreamErrorKind::Timeout, message)
                });
                return Err(file_error(&object.what, error));
            }
            if failed.is_some() {
                self.jetstream.platform().wait(LAG_PAUSE.min(left));
            }
        }
        Ok(())
    }

    /// Why chunks are missing: the object may have been removed since.
    fn missing(&mut self, object: &Object<'_>) -> FileServerError {
        match self.find(object.bucket, object.name) {
            Ok(Some(found)) if found.nuid == object.info.nuid && !found.is_deleted => {
                object.mismatch("chunks are missing")
            }
            Ok(_) => {
                let message = [&*object.what, " was removed or replaced"].concat();
                FileServerError::new(Kind::NotFound, message)
            }
            Err(error) => error,
        }
    }

    pub(super) fn idle_deadline(&self) -> Deadline {
        Deadline::after(self.jetstream.platform(), self.timeout)
    }

    /// Reads what one consumer brings.
    fn read_some(&mut self, object: &mut Object<'_>) -> Result<(), ReadError> {
        let deadline = self.idle_deadline();
        let consumer = Ephemeral {
            stream: &object.stream,
            filter_subject: &object.subject,
            start: Some(object.next_sequence),
            inactive_threshold: INACTIVE_THRESHOLD,
        };
        let created = self.jetstream.api().create_ephemeral(&consumer, deadline);
        let consumer = created.map_err(|error| object.read_error(error))?;
        let pending = consumer.pending.unwrap_or(0);
        let read = if pending > object.left() {
            Err(object.mismatch("there are more chunks").into())
        } else if pending == 0 {
            Err(ReadError::Missing)
        } else {
            self.read_pending(object, &consumer.name, pending)
        };
        self.jetstream
            .api()
            .forget_consumer(&object.stream, &consumer.name);
        read
    }

    fn read_pending(
        &mut self,
        object: &mut Object<'_>,
        consumer: &str,
        pending: u64,
    ) -> Result<(), ReadError> {
        let batch = self.batch(&object.info);
        let name = (&*object.stream, consumer);
        let mut puller = Puller::new(&mut self.jetstream.api(), name, batch, batch > 1)
            .map_err(|error| object.read_error(error))?;
        let mut read = Ok(());
        for number in 1..=pending {
            let next = puller.next(&mut self.jetstream.api(), QUIET_TIMEOUT.min(self.timeout));
            read = match next {
                Ok(Some(delivered)) if delivered.info.consumer_sequence == number => {
                    object.take(&delivered).map_err(ReadError::File)
                }
                // One is lost, and comes by another consumer.
                Ok(_) => break,
                Err(error) => Err(object.read_error(error)),
            };
            if read.is_err() {
                break;
            }
        }
        puller.close(&mut self.jetstream.api());
        read
    }

    /// How many chunks may be on their way: as many bytes as for an upload.
    fn batch(&self, info: &ObjectInfo) -> u32 {
        let window = (self.chunk_size as u64).saturating_mul(self.window.into());
        let average = info.size.div_ceil(info.chunks.max(1));
        let chunk_size = info.max_chunk_size.max(average).max(1);
        let batch = (window / chunk_size).clamp(1, MAX_BATCH);
        u32::try_from(batch).unwrap_or(1)
    }
}

/// More messages are not asked for at a time, however small they are.
const MAX_BATCH: u64 = 256;

/// Refuses what can be refused before a chunk is fetched.
fn check_info(what: &str, info: &ObjectInfo, limit: u64) -> Result<(), FileServerError> {
    let mismatch = |why: &str| {
        Err(FileServerError::new(
            Kind::Mismatch,
            format!("{what} {why}"),
        ))
    };
    if info.is_link {
        let message = format!("{what} stands for another object, which is not followed");
        return Err(FileServerError::new(Kind::Unsupported, message));
    }
    if info.size > limit {
        let len = info.size;
        let message = format!("{what} has {len} bytes, over the limit of {limit} bytes");
        return Err(FileServerError::new(Kind::TooLarge { limit }, message));
    }
    if info.chunks > 0 && !is_nuid(&info.nuid) {
        return mismatch("has chunks without a name");
    }
    if (info.chunks == 0) != (info.size == 0) {
        return mismatch("does not have as many chunks as its size takes");
    }
    Ok(())
}

/// An object that is being read.
struct Object<'s> {
    bucket: &'s str,
    name: &'s str,
    stream: String,
    subject: String,
    what: String,
    info: ObjectInfo,
    sink: &'s mut dyn Sink,
    len: u64,
    chunks: u64,
    /// The sequence number in the stream from which on the next chunk is.
    next_sequence: u64,
    sha256: Sha256,
}

enum ReadError {
    /// It fails whoever reads it.
    File(FileServerError),
    /// Another consumer may have more luck.
    JetStream(JetStreamError),
    /// The server has no further chunk, or not yet.
    Missing,
}

impl From<FileServerError> for ReadError {
    fn from(error: FileServerError) -> Self {
        Self::File(error)
    }
}

impl Object<'_> {
    fn left(&self) -> u64 {
        self.info.chunks.saturating_sub(self.chunks)
    }

    fn take(&mut self, delivered: &Delivered) -> Result<(), FileServerError> {
        let chunk = &delivered.message.payload;
        let left = self.info.size.saturating_sub(self.len);
        if delivered.message.subject != self.subject || chunk.len() as u64 > left {
            return Err(self.mismatch("there are more bytes"));
        }
        self.sink.write(chunk).map_err(FileServerError::local)?;
        self.sha256.update(chunk);
        self.len += chunk.len() as u64;
        self.chunks += 1;
        self.next_sequence = delivered.info.stream_sequence.saturating_add(1);
        Ok(())
    }

    fn check_whole(&mut self) -> Result<(), FileServerError> {
        if self.len != self.info.size {
            return Err(self.mismatch("bytes are missing"));
        }
        let sha256 = core::mem::take(&mut self.sha256).finalize();
        if !self.info.has_digest(&sha256) {
            return Err(self.mismatch("its digest is another one"));
        }
        Ok(())
    }

    fn mismatch(&self, why: &str) -> FileServerError {
        let message = format!("{} is not what was stored: {why}", self.what);
        FileServerError::new(Kind::Mismatch, message)
    }

    /// A consumer that is gone is made anew; what else is not transient fails whoever reads.
    fn read_error(&self, error: JetStreamError) -> ReadError {
        if error.is_transient() || error.kind() == JetStreamErrorKind::NotFound {
            ReadError::JetStream(error)
        } else {
            ReadError::File(file_error(&self.what, error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_that_cannot_be_true_are_refused() {
        let info = |size, chunks, nuid: &str| ObjectInfo {
            size,
            chunks,
            nuid: nuid.into(),
            ..ObjectInfo::default()
        };
        for (info, kind) in [
            (info(0, 0, ""), None),
            (info(10, 1, "n"), None),
            (info(11, 1, "n"), Some(Kind::TooLarge { limit: 10 })),
            (info(u64::MAX, 1, "n"), Some(Kind::TooLarge { limit: 10 })),
            (info(10, 0, "n"), Some(Kind::Mismatch)),
            (info(0, 1, "n"), Some(Kind::Mismatch)),
            (info(10, 1, ""), Some(Kind::Mismatch)),
            (info(10, 1, ">"), Some(Kind::Mismatch)),
            (info(10, 1, "a.b"), Some(Kind::Mismatch)),
        ] {
            let checked = check_info("x", &info, 10).err().map(|error| error.kind());
            assert_eq!(checked, kind, "{info:?}");
        }
    }
}
