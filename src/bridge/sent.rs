//! What a send returns.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::file_server::Upload;
use crate::http::url::RedactedUrl;
use crate::message::Envelope;
use crate::nats::jetstream::PubAck;

/// What `smartsend` returns: the envelope as it was sent, and the files that were uploaded for it. It owns
/// all of it, and can be kept.
///
/// ```
/// use natsbridge::memory::{MemoryBroker, MemoryFileServer};
/// use natsbridge::adapter::{Broker, FileServer, Platform};
/// use natsbridge::{Error, NatsBridge, Payload, SendOptions, Sent};
///
/// fn ask(
///     bridge: &mut NatsBridge<impl Broker, impl FileServer, impl Platform>,
///     question: &str,
/// ) -> Result<Sent, Error> {
///     bridge.smartsend("/questions", &[("question", Payload::text(question))], &SendOptions::default())
/// }
///
/// let platform = natsbridge::host::StdPlatform;
/// let mut bridge = NatsBridge::new(MemoryBroker::new(), MemoryFileServer::new(), platform);
/// let sent = ask(&mut bridge, "how many?")?;
/// assert_eq!(sent.msg_id().len(), 36);
/// assert_eq!(sent.envelope().send_to, "/questions");
/// # Ok::<(), natsbridge::Error>(())
/// ```
#[derive(Clone)]
pub struct Sent {
    envelope: Envelope<'static>,
    json: Option<String>,
    uploads: Vec<Upload>,
    stored: Option<PubAck>,
}

impl Sent {
    pub(super) fn new(
        envelope: Envelope<'_>,
        uploads: Vec<Upload>,
        stored: Option<PubAck>,
        keep_json: bool,
    ) -> Self {
        Self {
            stored,
            json: keep_json.then(|| envelope.try_json()).flatten(),
            envelope: envelope.into_detached(),
            uploads,
        }
    }

    /// The id of the message: [`SendOptions::msg_id`](crate::SendOptions::msg_id), or the one that was made
    /// for it.
    pub fn msg_id(&self) -> &str {
        &self.envelope.msg_id
    }

    /// The id of the conversation: [`SendOptions::correlation_id`](crate::SendOptions::correlation_id), or
    /// the one that was made for it.
    pub fn correlation_id(&self) -> &str {
        &self.envelope.correlation_id
    }

    /// The envelope. The `data` of its direct payloads is empty, so that nothing is copied; that of links is
    /// their URL.
    pub fn envelope(&self) -> &Envelope<'static> {
        &self.envelope
    }

    /// The text of the message. `None` unless [`SendOptions::keep_json`](crate::SendOptions::keep_json) is
    /// set or [`SendOptions::is_publish`](crate::SendOptions::is_publish) is off, so that a board need not
    /// hold it; also `None` where there is no memory for it.
    ///
    /// ```
    /// use natsbridge::memory::{MemoryBroker, MemoryFileServer};
    /// use natsbridge::{NatsBridge, Payload, SendOptions, host::StdPlatform};
    ///
    /// let mut bridge = NatsBridge::new(MemoryBroker::new(), MemoryFileServer::new(), StdPlatform);
    /// let options = SendOptions::default().keep_json(true);
    /// let sent = bridge.smartsend("/chat", &[("note", Payload::text("hello"))], &options)?;
    /// assert!(sent.json().is_some_and(|json| json.contains(r#""data":"aGVsbG8=""#)));
    /// # Ok::<(), natsbridge::Error>(())
    /// ```
    pub fn json(&self) -> Option<&str> {
        self.json.as_deref()
    }

    /// The files that were uploaded, in no particular order, with what is needed to delete them again. With
    /// [`SendOptions::is_publish`](crate::SendOptions::is_publish) off no message links to them:
    ///
    /// ```
    /// use natsbridge::host::StdPlatform;
    /// use natsbridge::memory::{MemoryBroker, MemoryFileServer};
    /// use natsbridge::adapter::FileServer as _;
    /// use natsbridge::{NatsBridge, Payload, SendOptions};
    ///
    /// let mut bridge = NatsBridge::new(MemoryBroker::new(), MemoryFileServer::new(), StdPlatform);
    /// let data = [("film", Payload::binary(vec![7; 200_000]))];
    /// let options = SendOptions::default().is_publish(false);
    /// let sent = bridge.smartsend("/chat", &data, &options)?;
    /// for upload in sent.uploads() {
    ///     bridge.file_server().delete(upload)?;
    /// }
    /// # Ok::<(), natsbridge::Error>(())
    /// ```
    pub fn uploads(&self) -> &[Upload] {
        &self.uploads
    }

    /// Where a stream has stored the message, of a send with
    /// [`SendOptions::stored`](crate::SendOptions::stored); otherwise `None`.
    pub fn stored(&self) -> Option<&PubAck> {
        self.stored.as_ref()
    }

    pub(super) fn into_uploads(self) -> Vec<Upload> {
        self.uploads
    }
}

/// Prints no keys that delete files.
impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls = self.uploads.iter().map(|upload| RedactedUrl(&upload.url));
        f.debug_struct("Sent")
            .field("envelope", &self.envelope)
            .field("uploads", &urls.collect::<Vec<_>>())
            .field("stored", &self.stored)
            .finish()
    }
}
