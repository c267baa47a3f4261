#![doc = include_str!("../README.md")]
#![no_std]
#![warn(unreachable_pub, clippy::unwrap_used)]
#![warn(
    clippy::alloc_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core
)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod bridge;
mod broker;
mod cause;
mod checksum;
mod codec;
mod envelope;
mod error;
mod file_server;
mod finite;
mod http;
mod incoming;
mod options;
mod payload;
mod platform;
mod retry;
mod stream;
mod trace;
mod transport;
mod wire;

#[cfg(feature = "nal")]
pub mod board;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "std")]
pub mod host;
#[cfg(feature = "std")]
pub mod memory;

pub use bridge::{Messages, NatsBridge};
pub use broker::{
    Broker, BrokerError, BrokerErrorKind, MAX_SUBJECT_LEN, Message, SubjectError, SubjectFault,
    SubjectUse, SubscriptionId, check_queue, check_subject,
};
pub use cause::BoxError;
pub use codec::encode::EnvelopeBody;
pub use envelope::{
    Data, Envelope, EnvelopeError, EnvelopeFault, PayloadEntry, Received, Sent, Transport,
};
pub use error::{Error, ErrorKind, Measured, PayloadRef};
pub use file_server::{
    FileServer, FileServerError, FileServerErrorKind, HttpPut, LinkPolicy, NoFileServer, Plik,
    Upload, file_name,
};
pub use http::{
    HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse, MAX_REASON_LEN, Method,
};
pub use incoming::Incoming;
pub use options::{
    DEFAULT_BROKER_URL, DEFAULT_FILESERVER_URL, DEFAULT_MAX_PAYLOAD, DEFAULT_SIZE_THRESHOLD,
    DEFAULT_TIMEOUT, Limits, MAX_PAYLOAD_SIZE, OptionError, ReceiveOptions, SendOptions,
};
pub use payload::{Content, Json, Payload, PayloadError, PayloadType};
pub use platform::{Platform, PlatformError};
pub use stream::{Body, Sink, SliceBody, StreamError, VecSink};
pub use trace::log_trace;
pub use wire::json::JsonError;
