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

// In the order in which data flows down: a module uses only what stands below it.
mod bridge;

mod file_server;
mod message;

mod nats;

mod http;

mod json;

mod cause;
mod checksum;
mod platform;
mod stream;
mod trace;

#[cfg(feature = "nal")]
pub mod board;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "std")]
pub mod host;
#[cfg(feature = "std")]
pub mod memory;

pub use bridge::error::{Error, ErrorKind, Measured, PayloadRef};
pub use bridge::options::{
    DEFAULT_SIZE_THRESHOLD, Limits, MAX_PAYLOAD_SIZE, ReceiveOptions, SendOptions,
};
pub use bridge::{Messages, NatsBridge};
pub use cause::BoxError;
pub use file_server::{
    DEFAULT_FILESERVER_URL, FileServer, FileServerError, FileServerErrorKind, HttpPut, LinkPolicy,
    NoFileServer, OptionError, Plik, Upload, file_name,
};
pub use http::{
    HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse, MAX_REASON_LEN, Method,
};
pub use json::JsonError;
pub use message::encode::EnvelopeBody;
pub use message::envelope::{
    Data, Envelope, EnvelopeError, EnvelopeFault, PayloadEntry, Received, Sent, Transport,
};
pub use message::incoming::Incoming;
pub use message::payload::{Content, Json, Payload, PayloadError, PayloadType};
pub use nats::{
    Broker, BrokerError, BrokerErrorKind, DEFAULT_BROKER_URL, DEFAULT_MAX_PAYLOAD, DEFAULT_TIMEOUT,
    MAX_SUBJECT_LEN, Message, SubjectError, SubjectFault, SubjectUse, SubscriptionId, check_queue,
    check_subject,
};
pub use platform::{Platform, PlatformError};
pub use stream::{Body, Sink, SliceBody, StreamError, VecSink};
pub use trace::log_trace;
