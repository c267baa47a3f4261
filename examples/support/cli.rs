//! Flags that more than one example has.

use std::time::Duration;

use clap::{Args, ValueEnum};
use natsbridge::host::{NatsClient, NatsOptions, StdPlatform, UreqClient};
use natsbridge::{
    DEFAULT_BROKER_URL, DEFAULT_FILESERVER_URL, FileServer, HttpPut, LinkPolicy, NatsBridge,
    NoFileServer, Plik, ReceiveOptions, SendOptions,
};

use super::failure::Failure;
use super::progress::Progress;

/// The bridge of the examples: which file server it has shows only at run time.
pub(crate) type Bridge = NatsBridge<NatsClient, Progress<Box<dyn FileServer>>, StdPlatform>;

/// More would be of no use, and might be more than a clock can count.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Where broker and file server are.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// NATS server: nats://host:port or tls://host:port, user:password@ or token@ before the host.
    /// Several, with commas between, are tried in their order
    #[arg(long, value_name = "URL", env = "NATS_URL", hide_env_values = true)]
    #[arg(default_value = DEFAULT_BROKER_URL)]
    broker: String,

    /// File server for what is too large for a message: http://host:port, with the folder for files
    /// behind it if the store is `put`
    #[arg(long, value_name = "URL", default_value = DEFAULT_FILESERVER_URL)]
    fileserver: String,

    /// What kind of file server that is
    #[arg(long, value_enum, default_value_t = Store::Plik)]
    store: Store,

    /// How long each step may take: to connect, to hand a message over, to have it confirmed
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Store {
    /// A Plik server
    Plik,
    /// A server that stores what is PUT: nginx with dav, dufs, any WebDAV
    Put,
    /// No file server: a message that is too large is refused
    None,
}

impl Connection {
    /// A bridge that connects when it first needs the broker.
    pub(crate) fn bridge(&self) -> Result<Bridge, Failure> {
        let options = NatsOptions::new(&self.broker)
            .connect_timeout(self.timeout)
            .timeout(self.timeout);
        let broker = NatsClient::new(options);
        let broker_url = broker.public_url();
        let file_server = Progress::new(self.file_server()?);
        Ok(NatsBridge::new(broker, file_server, StdPlatform).with_broker_url(broker_url))
    }

    /// A bridge that is connected, so that nothing is uploaded for a broker that is not there, and
    /// the broker's own limit on messages is known.
    pub(crate) fn connect(&self) -> Result<Bridge, Failure> {
        let mut bridge = self.bridge()?;
        let connected = bridge.broker().connect();
        connected.map_err(natsbridge::Error::from)?;
        Ok(bridge)
    }

    fn file_server(&self) -> Result<Box<dyn FileServer>, natsbridge::Error> {
        let url = self.fileserver.as_str();
        Ok(match self.store {
            Store::Plik => Box::new(Plik::new(UreqClient::new(), StdPlatform, url)?),
            Store::Put => Box::new(HttpPut::new(UreqClient::new(), StdPlatform, url)?),
            Store::None => Box::new(NoFileServer),
        })
    }
}

/// What the sender says of itself and its message.
#[derive(Debug, Args)]
pub(crate) struct EnvelopeArgs {
    /// A payload of this many bytes or more goes by way of the file server
    #[arg(long, value_name = "BYTES", default_value_t = natsbridge::DEFAULT_SIZE_THRESHOLD)]
    threshold: usize,

    /// The same for all messages of one conversation [default: a fresh UUID]
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,

    /// What the message is for: chat, ACK, NACK, updateStatus, shutdown, ...
    #[arg(long, value_name = "PURPOSE", default_value = "chat")]
    msg_purpose: String,

    /// Who sends
    #[arg(long, value_name = "NAME", default_value = "NATSBridge")]
    sender_name: String,

    /// Who sends [default: a fresh UUID]
    #[arg(long, value_name = "ID")]
    sender_id: Option<String>,

    /// Who is meant; empty for everybody
    #[arg(long, value_name = "NAME", default_value = "")]
    receiver_name: String,

    /// Who is meant; empty for everybody
    #[arg(long, value_name = "ID", default_value = "")]
    receiver_id: String,

    /// The message that this one answers; empty if none
    #[arg(long, value_name = "ID", default_value = "")]
    reply_to_msg_id: String,

    /// This message [default: a fresh UUID]
    #[arg(long, value_name = "ID")]
    msg_id: Option<String>,
}

impl EnvelopeArgs {
    /// The library's options that these flags stand for.
    pub(crate) fn options(&self, timeout: Duration) -> SendOptions {
        let mut options = SendOptions::default()
            .size_threshold(self.threshold)
            .msg_purpose(&self.msg_purpose)
            .sender_name(&self.sender_name)
            .receiver_name(&self.receiver_name)
            .receiver_id(&self.receiver_id)
            .reply_to_msg_id(&self.reply_to_msg_id)
            .timeout(timeout);
        options.correlation_id = self.correlation_id.clone();
        options.sender_id = self.sender_id.clone();
        options.msg_id = self.msg_id.clone();
        options
    }
}

/// Whose links are followed.
#[derive(Debug, Args)]
pub(crate) struct LinkArgs {
    /// Also fetch links from this server (scheme, host and port count), not only from --fileserver;
    /// may be given several times
    #[arg(long, value_name = "URL")]
    allow_origin: Vec<String>,
}

impl LinkArgs {
    /// The library's options that these flags stand for.
    pub(crate) fn options(&self) -> Result<ReceiveOptions, natsbridge::Error> {
        let mut policy = LinkPolicy::default();
        for origin in &self.allow_origin {
            policy = policy.allow(origin)?;
        }
        Ok(ReceiveOptions::default().link_policy(policy))
    }
}

/// Parses a number of seconds, with decimals if need be.
pub(crate) fn seconds(text: &str) -> Result<Duration, Failure> {
    let wait = Duration::try_from_secs_f64(text.parse()?)?;
    if wait > LONGEST_WAIT {
        return Err(format!("more than {} seconds", LONGEST_WAIT.as_secs()).into());
    }
    Ok(wait)
}
