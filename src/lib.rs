// The README's links to pages of the guide lead to its modules here: the first definition counts.
#![doc = "[adapter]: crate::guide::writing_an_adapter"]
#![doc = "[boards]: crate::guide::boards"]
#![doc = "[command_line]: crate::guide::command_line"]
#![doc = "[connection]: crate::guide::connection"]
#![doc = "[contributing]: crate::guide::contributing"]
#![doc = "[durability]: crate::guide::durability"]
#![doc = "[errors]: crate::guide::errors"]
#![doc = "[faults]: crate::guide::faults"]
#![doc = "[interoperability]: crate::guide::interoperability"]
#![doc = "[limits]: crate::guide::limits"]
#![doc = "[security]: crate::guide::security"]
#![doc = "[speed]: crate::guide::speed"]
#![doc = "[stores]: crate::guide::stores"]
#![doc = ""]
#![doc = include_str!("../README.md")]
#![no_std]
// docs.rs shows what needs which feature.
#![cfg_attr(docsrs, feature(doc_cfg))]
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

#[cfg(feature = "nal")]
pub mod net;

mod json;

mod address;
mod cause;
mod checksum;
mod percent;
mod platform;
mod stream;
mod timestamp;
mod trace;

pub mod adapter;
#[cfg(feature = "nal")]
pub mod board;
#[cfg(feature = "contract")]
pub mod contract;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(doc)]
pub mod guide;
#[cfg(feature = "std")]
pub mod host;
#[cfg(feature = "std")]
pub mod memory;

pub use bridge::{
    Consumer, Delivery, Error, ErrorKind, Measured, Messages, NatsBridge, ReceiveOptions,
    SendOptions, Sent,
};
#[cfg(feature = "std")]
pub use file_server::Directory;
pub use file_server::{
    BucketOptions, Credentials, DEFAULT_FILESERVER_URL, FileServerErrorKind, HttpPut, LinkPolicy,
    NoFileServer, ObjectInfo, ObjectStore, OptionError, Plik, Stores,
};
#[cfg(feature = "s3")]
pub use file_server::{S3, S3Options};
pub use message::{
    DEFAULT_SIZE_THRESHOLD, Data, Envelope, EnvelopeError, EnvelopeFault, Incoming, Json, Limits,
    MAX_PAYLOAD_SIZE, Opened, Payload, PayloadEntry, PayloadError, PayloadRef, PayloadType,
    Received, Transport,
};
pub use nats::jetstream::{
    AckInfo, ConsumeOptions, Discard, JetStream, JetStreamError, JetStreamErrorKind, PubAck,
    Storage, StreamInfo, StreamOptions,
};
pub use nats::{BrokerErrorKind, DEFAULT_BROKER_URL, Headers, Message, SubscriptionId};
pub use trace::log_trace;

// Names that stood at the root in 0.1, for code that has not been changed yet.
#[doc(hidden)]
pub use adapter::{
    Body, BoxError, Broker, BrokerError, Content, DEFAULT_MAX_PAYLOAD, DEFAULT_TIMEOUT,
    EnvelopeBody, FileServer, FileServerError, HttpClient, HttpError, HttpErrorKind, HttpRequest,
    HttpResponse, JsonError, MAX_REASON_LEN, MAX_SUBJECT_LEN, Method, Outgoing, Platform,
    PlatformError, Sink, SliceBody, StreamError, SubjectError, SubjectFault, SubjectUse,
    TickCounter, Upload, VecSink, check_queue, check_subject, file_name,
};
#[doc(hidden)]
pub use nats::NatsOptions;
