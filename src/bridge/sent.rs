//! The result of a send.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::file_server::Upload;
use crate::http::url::RedactedUrl;
use crate::message::Envelope;

/// A sent message: its envelope, and the files that were uploaded for it.
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

    /// The text of the message. It is made by this call, so that a board need not hold it.
    pub fn json(&self) -> String {
        self.envelope.json()
    }

    /// The files that were uploaded, in no particular order, with what is needed to delete them again. With
    /// [`SendOptions::is_publish`](crate::SendOptions::is_publish) off no message links to them:
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

/// Prints no keys that delete files.
impl fmt::Debug for Sent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls = self.uploads.iter().map(|upload| RedactedUrl(&upload.url));
        f.debug_struct("Sent")
            .field("envelope", &self.envelope)
            .field("uploads", &urls.collect::<Vec<_>>())
            .finish()
    }
}
