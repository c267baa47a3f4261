//! The flags that say where the NATS server is and how to connect to it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use natsbridge::host::{NatsClient, NatsOptions, StdPlatform, Store};
use natsbridge::{DEFAULT_BROKER_URL, NatsBridge};

use crate::failure::{Failure, usage};
use crate::progress::Progress;
use crate::secrets::{Secrets, variable};
use crate::store::StoreArgs;

/// The bridge of this program.
pub(crate) type Bridge = NatsBridge<NatsClient, Progress<Store>, StdPlatform>;

/// More would be of no use, and might be more than a clock can count.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The ways to authenticate, in the order in which the environment is searched for them.
const CREDENTIALS: [(&str, &str); 4] = [
    ("creds", "NATSBRIDGE_CREDS"),
    ("nkey", "NATSBRIDGE_NKEY"),
    ("token", "NATSBRIDGE_TOKEN"),
    ("user", "NATSBRIDGE_USER"),
];

/// Where the NATS server and the store are.
#[derive(Args)]
pub(crate) struct Connection {
    /// nats://host:port or tls://host:port, user:password@ or token@ before the host. Several, separated by
    /// commas, are tried in random order
    #[arg(
        long,
        visible_alias = "server",
        value_name = "URL",
        env = "NATS_URL",
        hide_env_values = true
    )]
    #[arg(default_value = DEFAULT_BROKER_URL, help_heading = "NATS server")]
    broker: String,

    /// How long each step may take: to connect, to write a message, to have it confirmed
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    #[arg(help_heading = "NATS server")]
    pub(crate) timeout: Duration,

    /// The user, with --password [env: NATSBRIDGE_USER]
    #[arg(
        long,
        value_name = "NAME",
        group = "credentials",
        help_heading = "NATS server"
    )]
    user: Option<String>,

    /// A .creds file with a JWT and its seed [env: NATSBRIDGE_CREDS]
    #[arg(
        long,
        value_name = "FILE",
        group = "credentials",
        help_heading = "NATS server"
    )]
    creds: Option<PathBuf>,

    /// Trust the certificates in this PEM file, and no others [default: Mozilla's roots]
    #[arg(long, value_name = "FILE", help_heading = "NATS server")]
    ca: Option<PathBuf>,

    /// The client certificate, a PEM file of its chain
    #[arg(
        long,
        value_name = "FILE",
        requires = "key",
        help_heading = "NATS server"
    )]
    cert: Option<PathBuf>,

    /// The key of --cert, a PEM file
    #[arg(
        long,
        value_name = "FILE",
        requires = "cert",
        help_heading = "NATS server"
    )]
    key: Option<PathBuf>,

    /// Start TLS before the server says anything, for servers with `handshake_first`
    #[arg(long, help_heading = "NATS server")]
    tls_first: bool,

    /// What the inboxes of requests start with
    #[arg(
        long,
        value_name = "PREFIX",
        default_value = "_INBOX",
        help_heading = "NATS server"
    )]
    inbox_prefix: String,

    #[command(flatten)]
    store: StoreArgs,

    #[command(flatten)]
    secrets: Secrets,
}

impl Connection {
    /// A bridge that connects when it first needs the server.
    pub(crate) fn bridge(&self) -> Result<Bridge, Failure> {
        self.make(false)
    }

    /// A bridge that is connected, so that nothing is uploaded for a server that is not there, and
    /// the server's own limit on messages is known.
    pub(crate) fn connect(&self) -> Result<Bridge, Failure> {
        self.make(true)
    }

    fn make(&self, connect: bool) -> Result<Bridge, Failure> {
        let mut broker = NatsClient::new(self.options()?);
        let store = self.store.open(&self.secrets, &broker)?;
        if connect {
            broker.connect().map_err(natsbridge::Error::from)?;
        }
        let url = broker.public_url();
        let bridge = NatsBridge::new(broker, Progress::new(store), StdPlatform);
        Ok(bridge.with_broker_url(url))
    }

    fn options(&self) -> Result<NatsOptions, Failure> {
        let mut options = NatsOptions::new(&self.broker)
            .name("natsbridge")
            .inbox_prefix(&self.inbox_prefix)
            .tls_first(self.tls_first)
            .connect_timeout(self.timeout)
            .timeout(self.timeout);
        if let Some(ca) = &self.ca {
            options = options.root_certificate(ca);
        }
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            options = options.client_certificate(cert, key);
        }
        match self.way()? {
            Some(way) => self.authenticate(options, way),
            None => Ok(options),
        }
    }

    /// How to authenticate: as a flag says, else as the URL does, else by the first variable that is set.
    fn way(&self) -> Result<Option<&'static str>, Failure> {
        for (way, _) in CREDENTIALS {
            let is_given = match way {
                "creds" => self.creds.is_some(),
                "user" => self.user.is_some(),
                _ => self.secrets.has_flag(way),
            };
            if is_given {
                return Ok(Some(way));
            }
        }
        if self.broker.contains('@') {
            return Ok(None);
        }
        for (way, name) in CREDENTIALS {
            if variable(name)?.is_some() {
                return Ok(Some(way));
            }
        }
        Ok(None)
    }

    fn authenticate(&self, options: NatsOptions, way: &str) -> Result<NatsOptions, Failure> {
        let secret = || Ok::<_, Failure>(self.secrets.read(way)?.unwrap_or_default());
        Ok(match way {
            "creds" => match &self.creds {
                Some(path) => options.credentials_file(path),
                None => options.credentials_file(variable("NATSBRIDGE_CREDS")?.unwrap_or_default()),
            },
            "nkey" => options.nkey(&secret()?),
            "token" => options.token(&secret()?),
            _ => {
                let user = match &self.user {
                    Some(user) => user.clone(),
                    None => variable("NATSBRIDGE_USER")?.unwrap_or_default(),
                };
                let password = self.secrets.read("password")?.ok_or_else(|| {
                    usage("--user needs --password-file, --password or NATSBRIDGE_PASSWORD")
                })?;
                options.user_password(&user, &password)
            }
        })
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
