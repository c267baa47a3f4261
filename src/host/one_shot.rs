//! The family's module-level functions: a connection for each call.

use crate::bridge::{Error, ReceiveOptions, SendOptions, Sent};
use crate::file_server::{DEFAULT_FILESERVER_URL, Plik};
use crate::host::{NatsClient, NatsOptions, StdPlatform, UreqClient};
use crate::message::{Content, Incoming, Received};
use crate::nats::DEFAULT_BROKER_URL;
use crate::{Broker as _, NatsBridge};

/// The usual bridge of a host: NATS, and Plik as the file server.
pub type HostBridge = NatsBridge<NatsClient, Plik<UreqClient, StdPlatform>, StdPlatform>;

/// Connects to a broker, with a Plik server as the file server, to which no request is made before a payload
/// needs it. Blocks at most 5 s.
///
/// # Errors
/// [`Error::Broker`] if there is no connection, [`Error::Option`] if the file server's URL is invalid.
///
/// ```no_run
/// use natsbridge::{Payload, SendOptions, host};
///
/// let mut bridge = host::connect("nats://localhost:4222", "http://localhost:8080")?;
/// let payloads = [("note", Payload::text("hello"))];
/// bridge.smartsend("/chat", &payloads, &SendOptions::default())?;
/// # Ok::<(), natsbridge::Error>(())
/// ```
pub fn connect(broker_url: &str, fileserver_url: &str) -> Result<HostBridge, Error> {
    let mut broker = NatsClient::new(NatsOptions::new(broker_url));
    broker.connect()?;
    bridge(broker, fileserver_url)
}

fn bridge(broker: NatsClient, fileserver_url: &str) -> Result<HostBridge, Error> {
    let broker_url = broker.public_url();
    let file_server = Plik::new(UreqClient::new(), StdPlatform, fileserver_url)?;
    Ok(NatsBridge::new(broker, file_server, StdPlatform).with_broker_url(broker_url))
}

/// Connects, sends one message, waits until the server has it, and closes. See
/// [`NatsBridge::smartsend`]; programs that send more than one message keep a bridge.
///
/// # Errors
/// As [`connect`] and [`NatsBridge::smartsend`].
///
/// ```no_run
/// use natsbridge::{Payload, SendOptions, host};
///
/// let options = SendOptions::default().broker_url("nats://localhost:4222");
/// host::smartsend("/chat", &[("note", Payload::text("hello"))], &options)?;
/// # Ok::<(), natsbridge::Error>(())
/// ```
pub fn smartsend<'a, N: AsRef<str>, C: Content>(
    subject: &'a str,
    data: &'a [(N, C)],
    options: &'a SendOptions,
) -> Result<Sent<'a>, Error> {
    let broker_url = options.broker_url.as_deref().unwrap_or(DEFAULT_BROKER_URL);
    let fileserver_url = options.fileserver_url.as_deref();
    let mut broker = NatsClient::new(NatsOptions::new(broker_url));
    if options.is_publish {
        // Only a connected client knows how long a message may be, and without a broker an upload would be
        // in vain.
        broker.connect()?;
    }
    let mut bridge = bridge(broker, fileserver_url.unwrap_or(DEFAULT_FILESERVER_URL))?;
    let sent = bridge.smartsend(subject, data, options)?;
    if options.is_publish && !options.confirm {
        // What is not confirmed yet must be written before the connection is closed.
        bridge.broker().flush(options.timeout)?;
    }
    Ok(sent)
}

/// The same as [`smartsend`].
///
/// # Errors
/// As [`smartsend`].
pub fn send<'a, N: AsRef<str>, C: Content>(
    subject: &'a str,
    data: &'a [(N, C)],
    options: &'a SendOptions,
) -> Result<Sent<'a>, Error> {
    smartsend(subject, data, options)
}

/// Opens a message from any source, without a broker. See [`NatsBridge::smartreceive`].
///
/// # Errors
/// As [`NatsBridge::smartreceive`].
///
/// ```
/// use natsbridge::{ReceiveOptions, host};
///
/// let message = r#"{"correlation_id": "c", "payloads": [{"dataname": "note",
///     "payload_type": "text", "transport": "direct", "data": "aGVsbG8="}]}"#;
/// let received = host::smartreceive(message, &ReceiveOptions::default())?;
/// assert_eq!(received.payloads[0].1.as_text(), Some("hello"));
/// # Ok::<(), natsbridge::Error>(())
/// ```
pub fn smartreceive<'m>(
    msg: impl Into<Incoming<'m>>,
    options: &ReceiveOptions,
) -> Result<Received<'m>, Error> {
    let fileserver_url = options.fileserver_url.as_deref();
    let broker = NatsClient::new(NatsOptions::new(DEFAULT_BROKER_URL));
    let mut bridge = bridge(broker, fileserver_url.unwrap_or(DEFAULT_FILESERVER_URL))?;
    bridge.smartreceive(msg, options)
}

/// The same as [`smartreceive`].
///
/// # Errors
/// As [`smartreceive`].
pub fn receive<'m>(
    msg: impl Into<Incoming<'m>>,
    options: &ReceiveOptions,
) -> Result<Received<'m>, Error> {
    smartreceive(msg, options)
}
