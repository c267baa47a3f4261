//! The Object Store of JetStream as a file server.

mod bucket;
mod download;
pub(super) mod link;
mod list;
mod meta;
mod upload;

use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;

use super::{FileServer, FileServerError, FileServerErrorKind, OptionError, Upload, file_name};
use crate::http::url::RedactedUrl;
use crate::nats::jetstream::{
    Deadline, JetStream, JetStreamError, JetStreamErrorKind, MSG_ID, StreamInfo,
};
use crate::nats::{Broker, BrokerErrorKind, Outgoing};
use crate::platform::Platform;
use crate::stream::{Body, Sink, SliceBody};

pub use self::bucket::BucketOptions;
use self::link::{MAX_NAME_LEN, is_bucket, is_object, link, parse_link, stream_of};
pub use self::meta::ObjectInfo;
#[cfg(feature = "fuzzing")]
pub(crate) use self::meta::parse_object_info;
use self::meta::{chunk_subject, is_nuid, meta_id, meta_subject};

/// Bytes of an object in one message, unless it is set otherwise.
const CHUNK_SIZE: usize = 131_072;
/// A chunk leaves so much of the server's limit to its headers, in bytes.
const HEADER_ROOM: usize = 256;
/// Chunks that are on their way at a time, unless it is set otherwise.
const WINDOW: u32 = 16;
/// How long there may be no progress, unless it is set otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long an attempt to remove what is of no use any more may take.
const CLEAN_UP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a reader may leave the consumer of its chunks alone.
const INACTIVE_THRESHOLD: Duration = Duration::from_secs(60);
/// With this header a message replaces all that its subject has.
const ROLLUP: (&str, &str) = ("Nats-Rollup", "sub");

/// A [`FileServer`] that keeps files in a bucket of JetStream's Object Store, so that `nats-server -js` is
/// all that is needed. Every official client reads and writes the same objects.
///
/// Links are `nats-object://<bucket>/<object>`, the object's name percent-encoded. Files are sent in
/// chunks of which a bounded number is on its way, and fetched at the receiver's pace; digest, size and
/// number of chunks are checked. Memory does not grow with the file: it takes one chunk to upload, and to
/// download as many as are on their way.
///
/// It uses a client of its own, or a clone of the bridge's.
///
/// ```no_run
/// use std::time::Duration;
/// use natsbridge::host::{NatsClient, NatsOptions, StdPlatform};
/// use natsbridge::{BucketOptions, NatsBridge, ObjectStore, Payload, SendOptions};
///
/// let client = NatsClient::new(NatsOptions::new("nats://localhost:4222"));
/// let mut store = ObjectStore::new(client.clone(), StdPlatform, "files")?;
/// let a_week = Duration::from_secs(7 * 86_400);
/// store.create_bucket(&BucketOptions::default().ttl(a_week)).expect("JetStream is enabled");
///
/// let mut bridge = NatsBridge::new(client, store, StdPlatform);
/// let film = [("film", Payload::binary(vec![7; 200_000]))];
/// bridge.smartsend("/chat", &film, &SendOptions::default())?;
/// # Ok::<(), natsbridge::Error>(())
/// ```
#[derive(Debug)]
pub struct ObjectStore<B, P> {
    jetstream: JetStream<B, P>,
    bucket: String,
    chunk_size: usize,
    window: u32,
    timeout: Duration,
}

impl<B: Broker, P: Platform> ObjectStore<B, P> {
    /// The store in `bucket`, which must exist before something is stored: see
    /// [`create_bucket`](Self::create_bucket).
    ///
    /// # Errors
    /// [`OptionError::Invalid`] if that is not the name of a bucket: letters, digits, `-` and `_`.
    pub fn new(broker: B, platform: P, bucket: &str) -> Result<Self, OptionError> {
        if !is_bucket(bucket) {
            return Err(OptionError::Invalid {
                name: "bucket",
                reason: "its name is not made of letters, digits, `-` and `_`",
            });
        }
        Ok(Self {
            jetstream: JetStream::new(broker, platform).timeout(TIMEOUT),
            bucket: bucket.to_string(),
            chunk_size: CHUNK_SIZE,
            window: WINDOW,
            timeout: TIMEOUT,
        })
    }

    /// Sets how many bytes of an object go into one message. Default 131,072; less where the server accepts
    /// less; 0 is 1. A board takes 4096 or so, and whoever sends to it too.
    #[must_use]
    pub fn chunk_size(mut self, chunk_size: usize) -> Self {
        self.chunk_size = chunk_size.max(1);
        self
    }

    /// Sets how many chunks are on their way at a time, in either direction. Default 16; 0 is 1. Downloads
    /// count chunks of [`chunk_size`](Self::chunk_size), and fetch at least one, however large it is.
    #[must_use]
    pub fn window(mut self, chunks: u32) -> Self {
        self.window = chunks.max(1);
        self
    }

    /// Sets how long a request may take, and how long a transfer may make no progress. Default 10 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self.jetstream = self.jetstream.timeout(timeout);
        self
    }

    /// Sets the JetStream domain. Default: the one that the server belongs to.
    #[must_use]
    pub fn domain(mut self, domain: &str) -> Self {
        self.jetstream = self.jetstream.domain(domain);
        self
    }

    /// The broker, for what only it can do.
    pub fn broker(&mut self) -> &mut B {
        self.jetstream.broker()
    }

    /// Finds the bucket, or creates it.
    ///
    /// # Errors
    /// [`Refused`](FileServerErrorKind::Refused) if it exists with another configuration, whose differences
    /// are named, or if there is no JetStream; [`Unauthorized`](FileServerErrorKind::Unauthorized).
    pub fn create_bucket(
        &mut self,
        options: &BucketOptions,
    ) -> Result<StreamInfo, FileServerError> {
        let stream = options.stream(&self.bucket);
        let created = self.jetstream.ensure_stream(&stream);
        created.map_err(|error| file_error(&format!("the bucket `{}`", self.bucket), error))
    }

    /// Stores `body` as `name`; an object of that name is replaced.
    ///
    /// ```no_run
    /// use natsbridge::host::{NatsClient, NatsOptions, StdPlatform};
    /// use natsbridge::adapter::{SliceBody, VecSink};
    /// use natsbridge::ObjectStore;
    ///
    /// let client = NatsClient::new(NatsOptions::default());
    /// let mut store = ObjectStore::new(client, StdPlatform, "files").expect("a good name");
    /// store.put("dir/note.txt", &mut SliceBody::new(b"hello"))?;
    /// let mut sink = VecSink::new(1000);
    /// store.get("dir/note.txt", 1000, &mut sink)?;
    /// assert_eq!(sink.into_bytes(), b"hello");
    /// for object in store.list()? {
    ///     println!("{}: {} bytes", object.name, object.size);
    /// }
    /// store.remove("dir/note.txt")?;
    /// # Ok::<(), natsbridge::FileServerError>(())
    /// ```
    ///
    /// # Errors
    /// [`FileServerError`]; an object of that name is as it was, or, if the error is
    /// [transient](FileServerError::is_transient), perhaps replaced. Its kind is
    /// [`NotFound`](FileServerErrorKind::NotFound) if there is no such bucket.
    pub fn put(&mut self, name: &str, body: &mut dyn Body) -> Result<ObjectInfo, FileServerError> {
        self.check_object(name)?;
        let before = self.find(&self.bucket.clone(), name)?;
        let info = self.store(name, body)?;
        if let Some(before) = before {
            self.clean_up(&before.nuid);
        }
        Ok(info)
    }

    /// Fetches the object `name` into `sink`, and says how many bytes it has; at most `limit`.
    ///
    /// # Errors
    /// As [`download`](FileServer::download).
    pub fn get(
        &mut self,
        name: &str,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<u64, FileServerError> {
        self.check_object(name)?;
        self.fetch(&self.bucket.clone(), name, (limit, sink))
    }

    /// What is known of an object; `None` if there is none, or none any more.
    ///
    /// # Errors
    /// [`FileServerError`].
    pub fn info(&mut self, name: &str) -> Result<Option<ObjectInfo>, FileServerError> {
        self.check_object(name)?;
        let info = self.find(&self.bucket.clone(), name)?;
        Ok(info.filter(|info| !info.is_deleted))
    }

    /// Deletes an object; false if there is none.
    ///
    /// # Errors
    /// [`FileServerError`]. The object may be deleted and its chunks still be stored: the same call removes
    /// them then.
    pub fn remove(&mut self, name: &str) -> Result<bool, FileServerError> {
        self.check_object(name)?;
        let Some(info) = self.find(&self.bucket.clone(), name)? else {
            return Ok(false);
        };
        if !info.is_deleted {
            let deleted = ObjectInfo {
                size: 0,
                chunks: 0,
                digest: String::new(),
                is_deleted: true,
                ..info.clone()
            };
            let published = self.publish_meta(&deleted);
            published.map_err(|error| self.object_error(name, error))?;
        }
        let purged = self.purge(&info.nuid, self.timeout);
        purged.map_err(|error| self.object_error(name, error))?;
        Ok(!info.is_deleted)
    }

    fn check_object(&self, name: &str) -> Result<(), FileServerError> {
        if is_object(name) {
            return Ok(());
        }
        let message = format!(
            "an object's name has 1 to {MAX_NAME_LEN} bytes and no control characters, not `{name}`"
        );
        Err(FileServerError::new(
            FileServerErrorKind::InvalidUrl,
            message,
        ))
    }

    /// What is stored of an object, deleted or not.
    fn find(&mut self, bucket: &str, name: &str) -> Result<Option<ObjectInfo>, FileServerError> {
        let deadline = Deadline::after(self.jetstream.platform(), self.timeout);
        let (stream, subject) = (stream_of(bucket), meta_subject(bucket, name));
        let found = self
            .jetstream
            .api()
            .last_message(&stream, &subject, deadline);
        let what = || format!("the object `{name}` of the bucket `{bucket}`");
        let Some(data) = found.map_err(|error| file_error(&what(), error))? else {
            return Ok(None);
        };
        let invalid = |cause| {
            let message = format!("the metadata of {} cannot be read", what());
            FileServerError::new(FileServerErrorKind::InvalidAnswer, message).with_source(cause)
        };
        ObjectInfo::parse(&data).map(Some).map_err(invalid)
    }

    fn publish_meta(&mut self, info: &ObjectInfo) -> Result<(), JetStreamError> {
        let subject = meta_subject(&self.bucket, &info.name);
        // A repetition that arrives late would replace newer metadata.
        let headers = [ROLLUP, (MSG_ID, &*meta_id(info))];
        let message = Outgoing::new(&subject).headers(match is_nuid(&info.nuid) {
            true => &headers,
            false => &headers[..1],
        });
        let json = info.json(&self.bucket);
        let published = self.jetstream.publish(&message, &mut SliceBody::new(&json));
        published.map(drop)
    }

    fn object_error(&self, name: &str, error: JetStreamError) -> FileServerError {
        let what = format!("the object `{name}` of the bucket `{}`", self.bucket);
        file_error(&what, error)
    }

    /// Removes chunks that belong to no object any more. If that fails, the bucket's TTL removes them.
    fn clean_up(&mut self, nuid: &str) {
        if let Err(error) = self.purge(nuid, CLEAN_UP_TIMEOUT) {
            log::warn!(target: "natsbridge", "the chunks called {nuid} stay: {error:?}");
        }
    }

    /// Removes chunks. It is a success if they are gone already.
    fn purge(&mut self, nuid: &str, timeout: Duration) -> Result<(), JetStreamError> {
        if !is_nuid(nuid) {
            return Ok(());
        }
        let subject = chunk_subject(&self.bucket, nuid);
        let deadline = Deadline::after(self.jetstream.platform(), timeout);
        let stream = stream_of(&self.bucket);
        self.jetstream.api().purge(&stream, &subject, deadline)
    }
}

impl<B: Broker, P: Platform> FileServer for ObjectStore<B, P> {
    /// Every upload is an object of its own, whose name is a random token, a slash and a safe form of
    /// `dataname`.
    fn upload(&mut self, dataname: &str, body: &mut dyn Body) -> Result<Upload, FileServerError> {
        let token = self.token()?;
        let name = [&token, "/", &file_name(dataname)].concat();
        self.store(&name, body)?;
        Ok(Upload::new(link(&self.bucket, &name)))
    }

    /// From another bucket too, if the link policy allows that.
    fn download(
        &mut self,
        url: &str,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<u64, FileServerError> {
        let (bucket, name) = parse(url)?;
        self.fetch(bucket, &name, (limit, sink))
    }

    fn owns(&self, url: &str) -> bool {
        parse_link(url).is_some_and(|(bucket, _)| bucket == self.bucket)
    }

    fn delete(&mut self, upload: &Upload) -> Result<(), FileServerError> {
        let (bucket, name) = parse(&upload.url)?;
        if bucket != self.bucket {
            let message = format!("`{}` is in another bucket", RedactedUrl(&upload.url));
            return Err(FileServerError::new(
                FileServerErrorKind::InvalidUrl,
                message,
            ));
        }
        self.remove(&name).map(drop)
    }
}

fn parse(url: &str) -> Result<(&str, String), FileServerError> {
    parse_link(url).ok_or_else(|| {
        let message = format!("`{}` is no link to an object", RedactedUrl(url));
        FileServerError::new(FileServerErrorKind::InvalidUrl, message)
    })
}

/// What an error of JetStream means for a file.
fn file_error(what: &str, error: JetStreamError) -> FileServerError {
    use FileServerErrorKind as Kind;
    use JetStreamErrorKind as From;
    let kind = match error.kind() {
        From::NoStream | From::NotFound => Kind::NotFound,
        From::NotPermitted => Kind::Unauthorized,
        From::NotEnabled => Kind::Refused { status: 503 },
        From::StreamFull | From::StorageLimit => Kind::Refused { status: 507 },
        From::Conflict | From::WrongStream => Kind::Refused { status: 409 },
        From::Refused { code, .. } => Kind::Refused { status: code },
        From::Unavailable => Kind::ServerFault { status: 503 },
        From::Timeout | From::Broker(BrokerErrorKind::Timeout) => Kind::Timeout,
        From::Broker(BrokerErrorKind::Unreachable) => Kind::Unreachable,
        From::Broker(BrokerErrorKind::Disconnected | BrokerErrorKind::SlowConsumer { .. }) => {
            Kind::Disconnected
        }
        From::Broker(BrokerErrorKind::Unauthorized | BrokerErrorKind::Refused) => {
            Kind::Unauthorized
        }
        From::TooLarge | From::Broker(BrokerErrorKind::TooLarge { .. }) => {
            Kind::Refused { status: 413 }
        }
        From::InvalidAnswer | From::Broker(BrokerErrorKind::Protocol) => Kind::InvalidAnswer,
        From::InvalidOption => Kind::InvalidUrl,
        _ => Kind::Local,
    };
    FileServerError::new(kind, format!("{what} cannot be reached")).with_source(error)
}
