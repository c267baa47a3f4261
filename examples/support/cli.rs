//! Flags that more than one example has.

use std::time::Duration;

use clap::{Args, ValueEnum};
use natsbridge::adapter::{Broker, BrokerError, FileServer, HttpClient};
use natsbridge::host::{NatsClient, NatsOptions, StdPlatform, UreqClient};
use natsbridge::{
    DEFAULT_BROKER_URL, DEFAULT_FILESERVER_URL, HttpPut, Limits, LinkPolicy, NatsBridge,
    NoFileServer, Plik, ReceiveOptions, SendOptions,
};

use super::failure::Failure;
use super::progress::Progress;

/// The bridge of the examples: which broker and file server it has shows only at run time.
pub(crate) type Bridge = NatsBridge<Box<dyn Broker>, Progress<Box<dyn FileServer>>, StdPlatform>;

/// More would be of no use, and might be more than a clock can count.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Where broker and file server are.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// NATS server: nats://host:port or tls://host:port, user:password@ or token@ before the host.
    /// Several, with commas between, are tried in their order
    #[arg(long, value_name = "URL", env = "NATS_URL", hide_env_values = true)]
    #[arg(default_value = DEFAULT_BROKER_URL)]
    pub(crate) broker: String,

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

    /// The adapters to connect by; none: the host's.
    #[arg(skip)]
    pub(crate) by: Option<Adapters>,
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

/// A broker, and its URL without secrets.
type Named = (Box<dyn Broker>, String);

impl Connection {
    /// A bridge that connects when it first needs the broker.
    pub(crate) fn bridge(&self) -> Result<Bridge, Failure> {
        self.make(false)
    }

    /// A bridge that is connected, so that nothing is uploaded for a broker that is not there, and
    /// the broker's own limit on messages is known.
    pub(crate) fn connect(&self) -> Result<Bridge, Failure> {
        self.make(true)
    }

    fn make(&self, connect: bool) -> Result<Bridge, Failure> {
        let by = self.by.unwrap_or(HOST);
        let (broker, broker_url) = (by.broker)(self, connect).map_err(natsbridge::Error::from)?;
        let file_server = Progress::new(self.file_server((by.http)())?);
        Ok(NatsBridge::new(broker, file_server, StdPlatform).with_broker_url(broker_url))
    }

    fn file_server(
        &self,
        http: Box<dyn HttpClient>,
    ) -> Result<Box<dyn FileServer>, natsbridge::Error> {
        let url = self.fileserver.as_str();
        Ok(match self.store {
            Store::Plik => Box::new(Plik::new(http, StdPlatform, url)?),
            Store::Put => Box::new(HttpPut::new(http, StdPlatform, url)?),
            Store::None => Box::new(NoFileServer),
        })
    }
}

/// What makes a program's connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Adapters {
    /// A broker as the flags name it, connected if so wished.
    pub(crate) broker: fn(&Connection, bool) -> Result<Named, BrokerError>,
    /// What a file server is spoken to by.
    pub(crate) http: fn() -> Box<dyn HttpClient>,
}

const HOST: Adapters = Adapters {
    broker: host_broker,
    http: || Box::new(UreqClient::new()),
};

fn host_broker(connection: &Connection, connect: bool) -> Result<Named, BrokerError> {
    let options = NatsOptions::new(&connection.broker)
        .connect_timeout(connection.timeout)
        .timeout(connection.timeout);
    let mut broker = NatsClient::new(options);
    if connect {
        broker.connect()?;
    }
    let url = broker.public_url();
    Ok((Box::new(broker), url))
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

    /// Refuse a linked file that is longer
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().max_download_size)]
    max_download: u64,
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

    /// The library's limits with these flags in them.
    pub(crate) fn limits(&self) -> Limits {
        Limits::default().max_download_size(self.max_download)
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
