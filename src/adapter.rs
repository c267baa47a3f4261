//! What brokers, file servers, HTTP clients, platforms and streamed contents of one's own are made with: the
//! traits, what their methods take and return, and their errors. The functions of the feature `contract`
//! check an implementation.
//!
//! ```
//! use natsbridge::adapter::{Body, FileServer, FileServerError, Sink, Upload};
//! use natsbridge::memory::MemoryFileServer;
//!
//! /// A file server that counts its uploads.
//! struct Counting<F> {
//!     inner: F,
//!     uploads: usize,
//! }
//!
//! impl<F: FileServer> FileServer for Counting<F> {
//!     fn upload(&mut self, dataname: &str, body: &mut dyn Body) -> Result<Upload, FileServerError> {
//!         self.uploads += 1;
//!         self.inner.upload(dataname, body)
//!     }
//!     fn download(&mut self, url: &str, limit: u64, sink: &mut dyn Sink) -> Result<u64, FileServerError> {
//!         self.inner.download(url, limit, sink)
//!     }
//!     fn owns(&self, url: &str) -> bool {
//!         self.inner.owns(url)
//!     }
//! }
//!
//! let mut server = Counting { inner: MemoryFileServer::new(), uploads: 0 };
//! server.upload("note", &mut natsbridge::adapter::SliceBody::new(b"hi"))?;
//! assert_eq!(server.uploads, 1);
//! # Ok::<(), natsbridge::Error>(())
//! ```

pub use crate::cause::BoxError;
pub use crate::file_server::{FileServer, FileServerError, file_name};
#[doc(no_inline)]
pub use crate::file_server::{FileServerErrorKind, Upload};
pub use crate::http::{
    HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse, MAX_REASON_LEN, Method,
};
pub use crate::json::JsonError;
pub use crate::message::{Content, EnvelopeBody, InPlace, Stream, WithMetadata};
pub use crate::nats::{
    Broker, BrokerError, DEFAULT_MAX_PAYLOAD, DEFAULT_TIMEOUT, MAX_SUBJECT_LEN, Outgoing,
    SubjectError, SubjectFault, SubjectUse, check_queue, check_subject,
};
#[doc(no_inline)]
pub use crate::nats::{BrokerErrorKind, Headers, Message, SubscriptionId};
pub use crate::platform::{Platform, PlatformError, TickCounter};
pub use crate::stream::{Body, Sink, SliceBody, StreamError, VecSink};
