//! Options of sends.

use alloc::string::{String, ToString};
use core::fmt;
use core::time::Duration;

use super::stored::{PublishStored, publish_stored};
use crate::http::url::RedactedUrl;
use crate::message::Json;
use crate::nats::DEFAULT_TIMEOUT;
use crate::nats::options::redacted_brokers;

/// Options of `smartsend`, named as in the other members. Set what differs from the default:
///
/// ```
/// use natsbridge::SendOptions;
///
/// let options = SendOptions::default()
///     .sender_name("sensor-7")
///     .reply_to("/answers")
///     .size_threshold(10_000);
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendOptions {
    /// The `broker_url` of the envelope, which goes without user name, password and token. The free functions also
    /// connect to it, with them. Default: the bridge's, else
    /// [`DEFAULT_BROKER_URL`](crate::DEFAULT_BROKER_URL).
    pub broker_url: Option<String>,
    /// The file server of the free functions, a URL as [`host::Store`](crate::host::Store) has it; a bridge
    /// has its own. Default [`DEFAULT_FILESERVER_URL`](crate::DEFAULT_FILESERVER_URL).
    pub fileserver_url: Option<String>,
    /// Payloads of at least this many serialized bytes are sent as links. Default: the bridge's
    /// [`Limits::size_threshold`](crate::Limits::size_threshold).
    pub size_threshold: Option<usize>,
    /// The same for all messages of one conversation. Default: a fresh UUID v4.
    pub correlation_id: Option<String>,
    /// Default `chat`; the family also names `ACK`, `NACK`, `updateStatus`, `shutdown`.
    pub msg_purpose: String,
    /// Default `NATSBridge`.
    pub sender_name: String,
    /// Default: empty, for everybody.
    pub receiver_name: String,
    /// Default: empty, for everybody.
    pub receiver_id: String,
    /// The subject to reply to. Default: empty, no reply expected.
    pub reply_to: String,
    /// The `msg_id` that this message answers. Default: empty.
    pub reply_to_msg_id: String,
    /// Default: a fresh UUID v4. A [stored](Self::stored) send refuses an empty one.
    pub msg_id: Option<String>,
    /// Default: a fresh UUID v4.
    pub sender_id: Option<String>,
    /// The metadata of the message, a JSON object. Default: `{}`. Those of a payload are set by
    /// [`Payload::with_metadata`](crate::Payload::with_metadata).
    pub metadata: Option<Json<'static>>,
    /// Whether a message without payloads may be sent. Default false, because an empty list is usually a mistake.
    /// An `ACK` may need none.
    pub allow_empty: bool,
    /// Whether to publish. Default true. If not, links are uploaded anyway, and
    /// [`Sent::uploads`](crate::Sent::uploads) has what is needed to delete them.
    pub is_publish: bool,
    /// Whether [`Sent::json`](crate::Sent::json) has the text of the message, a copy of all that travels in
    /// it. Default false; a message that is not published has it in any case.
    pub keep_json: bool,
    /// Whether `Ok` waits until the server has confirmed. Default true. If not, call
    /// [`NatsBridge::flush`](crate::NatsBridge::flush) before you rely on it.
    pub confirm: bool,
    /// How long the confirmation may take, beside the connection's own time limit if one has to be made. Default
    /// [`DEFAULT_TIMEOUT`], 5 s.
    pub timeout: Duration,
    /// How long the whole send may take. Default `None`: the sum of its steps' limits, with up to three attempts
    /// at each upload. It is checked between steps: when it is over, no upload, retry or publish begins, and no
    /// delay or confirmation is waited for. A step that has begun keeps its own limit.
    pub total_timeout: Option<Duration>,
    /// What publishes until a stream has the message. Set by [`stored`](Self::stored) alone, so that firmware
    /// that never calls that one does not have the code.
    pub(super) publish_stored: Option<PublishStored>,
    pub(super) expected_stream: Option<String>,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self {
            broker_url: None,
            fileserver_url: None,
            size_threshold: None,
            correlation_id: None,
            msg_purpose: "chat".to_string(),
            sender_name: "NATSBridge".to_string(),
            receiver_name: String::new(),
            receiver_id: String::new(),
            reply_to: String::new(),
            reply_to_msg_id: String::new(),
            msg_id: None,
            sender_id: None,
            metadata: None,
            allow_empty: false,
            is_publish: true,
            keep_json: false,
            confirm: true,
            timeout: DEFAULT_TIMEOUT,
            total_timeout: None,
            publish_stored: None,
            expected_stream: None,
        }
    }
}

impl SendOptions {
    /// Sets [`broker_url`](Self::broker_url).
    #[must_use]
    pub fn broker_url(mut self, broker_url: impl Into<String>) -> Self {
        self.broker_url = Some(broker_url.into());
        self
    }

    /// Sets [`fileserver_url`](Self::fileserver_url).
    #[must_use]
    pub fn fileserver_url(mut self, fileserver_url: impl Into<String>) -> Self {
        self.fileserver_url = Some(fileserver_url.into());
        self
    }

    /// Sets [`size_threshold`](Self::size_threshold), in bytes.
    #[must_use]
    pub fn size_threshold(mut self, size_threshold: usize) -> Self {
        self.size_threshold = Some(size_threshold);
        self
    }

    /// Sets [`correlation_id`](Self::correlation_id).
    #[must_use]
    pub fn correlation_id(mut self, correlation_id: impl Into<String>) -> Self {
        self.correlation_id = Some(correlation_id.into());
        self
    }

    /// Sets [`msg_purpose`](Self::msg_purpose).
    #[must_use]
    pub fn msg_purpose(mut self, msg_purpose: impl Into<String>) -> Self {
        self.msg_purpose = msg_purpose.into();
        self
    }

    /// Sets [`sender_name`](Self::sender_name).
    #[must_use]
    pub fn sender_name(mut self, sender_name: impl Into<String>) -> Self {
        self.sender_name = sender_name.into();
        self
    }

    /// Sets [`receiver_name`](Self::receiver_name).
    #[must_use]
    pub fn receiver_name(mut self, receiver_name: impl Into<String>) -> Self {
        self.receiver_name = receiver_name.into();
        self
    }

    /// Sets [`receiver_id`](Self::receiver_id).
    #[must_use]
    pub fn receiver_id(mut self, receiver_id: impl Into<String>) -> Self {
        self.receiver_id = receiver_id.into();
        self
    }

    /// Sets [`reply_to`](Self::reply_to).
    #[must_use]
    pub fn reply_to(mut self, reply_to: impl Into<String>) -> Self {
        self.reply_to = reply_to.into();
        self
    }

    /// Sets [`reply_to_msg_id`](Self::reply_to_msg_id).
    #[must_use]
    pub fn reply_to_msg_id(mut self, reply_to_msg_id: impl Into<String>) -> Self {
        self.reply_to_msg_id = reply_to_msg_id.into();
        self
    }

    /// Sets [`msg_id`](Self::msg_id).
    #[must_use]
    pub fn msg_id(mut self, msg_id: impl Into<String>) -> Self {
        self.msg_id = Some(msg_id.into());
        self
    }

    /// Sets [`sender_id`](Self::sender_id).
    #[must_use]
    pub fn sender_id(mut self, sender_id: impl Into<String>) -> Self {
        self.sender_id = Some(sender_id.into());
        self
    }

    /// Sets [`metadata`](Self::metadata).
    ///
    /// ```
    /// use natsbridge::{Json, SendOptions};
    ///
    /// let room = Json::from_text(r#"{"room": 7}"#)?;
    /// let options = SendOptions::default().metadata(room);
    /// # Ok::<(), natsbridge::PayloadError>(())
    /// ```
    #[must_use]
    pub fn metadata(mut self, metadata: Json<'static>) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// Sets [`allow_empty`](Self::allow_empty).
    #[must_use]
    pub fn allow_empty(mut self, allow_empty: bool) -> Self {
        self.allow_empty = allow_empty;
        self
    }

    /// Sets [`is_publish`](Self::is_publish).
    #[must_use]
    pub fn is_publish(mut self, is_publish: bool) -> Self {
        self.is_publish = is_publish;
        self
    }

    /// Sets [`keep_json`](Self::keep_json).
    #[must_use]
    pub fn keep_json(mut self, keep_json: bool) -> Self {
        self.keep_json = keep_json;
        self
    }

    /// Sets [`confirm`](Self::confirm).
    #[must_use]
    pub fn confirm(mut self, confirm: bool) -> Self {
        self.confirm = confirm;
        self
    }

    /// Sets [`timeout`](Self::timeout).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets [`total_timeout`](Self::total_timeout).
    #[must_use]
    pub fn total_timeout(mut self, total_timeout: Duration) -> Self {
        self.total_timeout = Some(total_timeout);
        self
    }

    /// Whether `Ok` waits until a stream of JetStream has stored the message, which
    /// [`Sent::stored`](crate::Sent::stored) shows. Default false. A send that gets no answer, whose
    /// connection is lost, or whose stream has no leader, is repeated within
    /// [`timeout`](Self::timeout), and stored once: its `msg_id` is the `Nats-Msg-Id`. The stream
    /// recognizes it for its duplicate window, 2 minutes by default, so the timeout should be shorter.
    ///
    /// ```no_run
    /// use natsbridge::{Payload, SendOptions, host};
    ///
    /// let mut bridge = host::connect("nats://localhost:4222", "http://localhost:8080")?;
    /// let options = SendOptions::default().stored(true);
    /// let order = [("order", Payload::text("two chairs"))];
    /// let sent = bridge.smartsend("orders.new", &order, &options)?;
    /// if let Some(ack) = sent.stored() {
    ///     println!("message {} of {}", ack.sequence, ack.stream);
    /// }
    /// # Ok::<(), natsbridge::Error>(())
    /// ```
    #[must_use]
    pub fn stored(mut self, stored: bool) -> Self {
        self.publish_stored = stored.then_some(PublishStored(publish_stored));
        self
    }

    /// Names the stream that stores the message; another one refuses it. Sets [`stored`](Self::stored) too.
    /// Default: any stream.
    #[must_use]
    pub fn expected_stream(mut self, stream: impl Into<String>) -> Self {
        self.expected_stream = Some(stream.into());
        self.stored(true)
    }
}

/// Prints URLs without user name, password and token.
impl fmt::Debug for SendOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Destructured, so that a new field cannot be forgotten.
        let Self {
            broker_url,
            fileserver_url,
            size_threshold,
            correlation_id,
            msg_purpose,
            sender_name,
            receiver_name,
            receiver_id,
            reply_to,
            reply_to_msg_id,
            msg_id,
            sender_id,
            metadata,
            allow_empty,
            is_publish,
            keep_json,
            confirm,
            timeout,
            total_timeout,
            publish_stored,
            expected_stream,
        } = self;
        f.debug_struct("SendOptions")
            .field("broker_url", &broker_url.as_deref().map(redacted_brokers))
            .field(
                "fileserver_url",
                &fileserver_url.as_deref().map(RedactedUrl),
            )
            .field("size_threshold", size_threshold)
            .field("correlation_id", correlation_id)
            .field("msg_purpose", msg_purpose)
            .field("sender_name", sender_name)
            .field("receiver_name", receiver_name)
            .field("receiver_id", receiver_id)
            .field("reply_to", reply_to)
            .field("reply_to_msg_id", reply_to_msg_id)
            .field("msg_id", msg_id)
            .field("sender_id", sender_id)
            .field("metadata", metadata)
            .field("allow_empty", allow_empty)
            .field("is_publish", is_publish)
            .field("keep_json", keep_json)
            .field("confirm", confirm)
            .field("timeout", timeout)
            .field("total_timeout", total_timeout)
            .field("stored", &publish_stored.is_some())
            .field("expected_stream", expected_stream)
            .finish()
    }
}
