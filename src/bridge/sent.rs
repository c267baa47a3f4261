//! What a send gives back.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::file_server::Upload;
use crate::http::url::RedactedUrl;
use crate::message::Envelope;

/// What `smartsend` gives back: the envelope as it went out, and the files that were uploaded for it.
#[derive(Clone)]
pub struct Sent<'a> {
    envelope: Envelope<'a>,
    uploads: Vec<Upload>,
}

impl<'a> Sent<'a> {
    pub(super) fn new(envelope: Envelope<'a>, uploads: Vec<Upload>) -> Self {
        Self { envelope, uploads }
    }

    /// The envelope.
    pub fn envelope(&self) -> &Envelope<'a> {
        &self.envelope
    }

    /// The text of the message, made when asked for, so that a board never holds it.
    pub fn json(&self) -> String {
        self.envelope.json()
    }

    /// The files that were uploaded, in no particular order, with what is needed to delete them again. With
    /// [`SendOptions::is_publish`](crate::SendOptions::is_publish) off nobody else knows of them:
    ///
    /// ```
    /// use natsbridge::host::StdPlatform;
    /// use natsbridge::memory::{MemoryBroker, MemoryFileServer};
    /// use natsbridge::{FileServer as _, NatsBridge, Payload, SendOptions};
    ///
    /// let mut bridge = NatsBridge::new(MemoryBroker::new(), MemoryFileServer::new(), StdPlatform);
    /// let data = [("film", Payload::binary(vec![7; 200_000]))];
    /// let options = SendOptions::default().is_publish(false);
    /// let sent = bridge.smartsend("/chat", &data, &options)?;
    /// for upload in sent.uploads() {
    ///     bridge.file_server().delete(upload).expect("it is there");
    /// }
    /// # Ok::<(), natsbridge::Error>(())
    /// ```
    pub fn uploads(&self) -> &[Upload] {
        &self.uploads
    }

    pub(super) fn into_uploads(self) -> Vec<Upload> {
        self.uploads
    }
}

/// The keys that delete files are not printed.
impl fmt::Debug for Sent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls = self.uploads.iter().map(|upload| RedactedUrl(&upload.url));
        f.debug_struct("Sent")
            .field("envelope", &self.envelope)
            .field("uploads", &urls.collect::<Vec<_>>())
            .finish()
    }
}
