//! The family's module-level functions: a connection for each call.

use crate::bridge::NatsBridge;
use crate::bridge::{Error, ReceiveOptions, SendOptions, Sent};
use crate::file_server::DEFAULT_FILESERVER_URL;
use crate::host::{NatsClient, NatsOptions, StdPlatform, Store};
use crate::message::{Incoming, Payload, Received};
use crate::nats::DEFAULT_BROKER_URL;

/// The usual bridge of a host: NATS, and a store that is chosen from a URL.
pub type HostBridge = NatsBridge<NatsClient, Store, StdPlatform>;

/// Connects to a broker, and chooses a store for large payloads from its URL, as [`Store::for_client`] does.
/// No connection to the latter is made before a payload needs it. Blocks at most 5 s.
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
///
/// With a bucket of the server's own Object Store, `nats-server -js` is all that it takes:
///
/// ```no_run
/// use natsbridge::{Payload, PayloadType, SendOptions, host};
///
/// let mut bridge = host::connect("nats://localhost:4222", "nats-object://films")?;
/// let film = Payload::file("film.mp4", PayloadType::Video)?;
/// bridge.smartsend("/chat", &[("film", film)], &SendOptions::default())?;
/// # Ok::<(), natsbridge::Error>(())
/// ```
pub fn connect(broker_url: &str, store_url: &str) -> Result<HostBridge, Error> {
    let mut broker = NatsClient::new(NatsOptions::new(broker_url));
    let store = Store::for_client(store_url, &broker)?;
    broker.connect()?;
    Ok(bridge(broker, store))
}

fn bridge(broker: NatsClient, store: Store) -> HostBridge {
    let broker_url = broker.public_url();
    NatsBridge::new(broker, store, StdPlatform).with_broker_url(broker_url)
}

fn store(url: Option<&str>, client: &NatsClient) -> Result<Store, Error> {
    let url = url.unwrap_or(DEFAULT_FILESERVER_URL);
    Ok(Store::for_client(url, client)?)
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
pub fn smartsend(
    subject: &str,
    data: &[(&str, Payload<'_>)],
    options: &SendOptions,
) -> Result<Sent, Error> {
    let broker_url = options.broker_url.as_deref().unwrap_or(DEFAULT_BROKER_URL);
    let mut broker = NatsClient::new(NatsOptions::new(broker_url));
    let store = store(options.fileserver_url.as_deref(), &broker)?;
    if options.is_publish {
        // Only a connected client knows how long a message may be, and without a broker an upload would be
        // in vain.
        broker.connect()?;
    }
    // What is not confirmed must be written all the same before the connection is closed.
    let options = options.clone().confirm(true);
    bridge(broker, store).smartsend(subject, data, &options)
}

/// The same as [`smartsend`].
///
/// # Errors
/// As [`smartsend`].
pub fn send(
    subject: &str,
    data: &[(&str, Payload<'_>)],
    options: &SendOptions,
) -> Result<Sent, Error> {
    smartsend(subject, data, options)
}

/// Opens a message from any source, without a broker; only a `nats-object` link takes one, at
/// [`DEFAULT_BROKER_URL`](crate::DEFAULT_BROKER_URL). See [`NatsBridge::smartreceive`].
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
/// assert_eq!(received.text("note")?, "hello");
/// # Ok::<(), natsbridge::Error>(())
/// ```
pub fn smartreceive<'m>(
    msg: impl Into<Incoming<'m>>,
    options: &ReceiveOptions,
) -> Result<Received, Error> {
    let broker = NatsClient::new(NatsOptions::new(DEFAULT_BROKER_URL));
    let store = store(options.fileserver_url.as_deref(), &broker)?;
    let mut bridge = bridge(broker, store);
    bridge.smartreceive(msg, options)
}

/// The same as [`smartreceive`].
///
/// # Errors
/// As [`smartreceive`].
pub fn receive<'m>(
    msg: impl Into<Incoming<'m>>,
    options: &ReceiveOptions,
) -> Result<Received, Error> {
    smartreceive(msg, options)
}
