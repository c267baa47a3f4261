//! The flags that say where large payloads are stored. Which store a URL stands for is decided by the
//! library's `host::Store`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use natsbridge::host::{NatsClient, Store, StoreOptions, UreqOptions};
use natsbridge::{Credentials, DEFAULT_FILESERVER_URL};

use crate::connection::seconds;
use crate::failure::{Failure, bad_flag, while_doing};
use crate::secrets::Secrets;

/// Where payloads go that are too large for a message.
#[derive(Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreArgs {
    /// The store of large payloads: http(s)://host:port is a Plik server, put+http(s)://host:port/folder/ one that
    /// stores what is PUT (nginx with dav, dufs, any WebDAV), nats-object://bucket the Object Store of the NATS server
    /// itself, made if it is not there; s3://bucket/prefix?endpoint=URL&region=NAME a bucket of S3, with keys from
    /// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; file:///folder a folder that both sides share; `none` refuses what is too large for a message.
    /// `plik` and `put` are these kinds of server at --fileserver
    #[arg(
        long,
        value_name = "URL",
        env = "NATSBRIDGE_STORE",
        hide_env_values = true
    )]
    #[arg(default_value = "plik")]
    store: String,

    /// The URL of the store, if --store says `plik` or `put`
    #[arg(long, value_name = "URL", default_value = DEFAULT_FILESERVER_URL)]
    fileserver: String,

    /// Trust the certificates in this PEM file, and no others [default: Mozilla's roots]
    #[arg(long, value_name = "FILE")]
    store_ca: Option<PathBuf>,

    /// The client certificate for the store, a PEM file of its chain
    #[arg(long, value_name = "FILE", requires = "store_key")]
    store_cert: Option<PathBuf>,

    /// The key of --store-cert, a PEM file
    #[arg(long, value_name = "FILE", requires = "store_cert")]
    store_key: Option<PathBuf>,

    /// Connect to the store through this HTTP proxy, http://[user:password@]host:port
    #[arg(
        long,
        value_name = "URL",
        env = "NATSBRIDGE_PROXY",
        hide_env_values = true
    )]
    proxy: Option<String>,

    /// Plik: how long the server keeps a file [default: as the server does]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    ttl: Option<Duration>,

    /// Plik: the first download deletes the file
    #[arg(long)]
    one_shot: bool,

    /// Plik: everyone who knows the URL may delete the file
    #[arg(long)]
    removable: bool,

    /// Plik: a second origin that belongs to the server, from which files may be fetched
    #[arg(long, value_name = "URL")]
    download_domain: Option<String>,
}

impl StoreArgs {
    /// The store, which may be one of the server that `client` connects to; no connection is made.
    pub(crate) fn open(&self, secrets: &Secrets, client: &NatsClient) -> Result<Store, Failure> {
        let options = self.options(secrets)?.client(client);
        let url = match self.store.as_str() {
            "plik" => self.fileserver.clone(),
            "put" => format!("put+{}", self.fileserver),
            url => url.to_string(),
        };
        Store::with_options(&url, &options).map_err(|error| bad_flag("--store", error))
    }

    fn options(&self, secrets: &Secrets) -> Result<StoreOptions, Failure> {
        let mut options = StoreOptions::default()
            .http(self.http()?)
            .one_shot(self.one_shot)
            .removable(self.removable);
        if let Some(ttl) = self.ttl {
            options = options.ttl(ttl);
        }
        if let Some(url) = &self.download_domain {
            options = options.download_domain(url);
        }
        if let Some((user, password)) = secrets.read_pair("basic-auth", ':')? {
            options = options.credentials(Credentials::basic(&user, &password));
        }
        if let Some((name, value)) = secrets.read_pair("header", ':')? {
            let header = Credentials::header(name.trim(), value.trim());
            options = options.credentials(header.map_err(|error| bad_flag("--header", error))?);
        }
        if let Some(token) = secrets.read("plik-token")? {
            options = options.plik_token(&token);
        }
        if let Some((login, password)) = secrets.read_pair("plik-login", ':')? {
            options = options.plik_login(&login, &password);
        }
        Ok(options)
    }

    fn http(&self) -> Result<UreqOptions, Failure> {
        let mut options = UreqOptions::default();
        if let Some(path) = &self.store_ca {
            let pem = read(path)?;
            let trusted = options.root_certificates(&pem);
            options = trusted.map_err(|error| bad_flag("--store-ca", error))?;
        }
        if let (Some(cert), Some(key)) = (&self.store_cert, &self.store_key) {
            let shown = options.client_certificate(&read(cert)?, &read(key)?);
            options = shown.map_err(|error| bad_flag("--store-cert", error))?;
        }
        if let Some(url) = &self.proxy {
            let proxied = options.proxy(url);
            options = proxied.map_err(|error| bad_flag("--proxy", error))?;
        }
        Ok(options)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| while_doing(format!("cannot read {}", path.display()), error))
}
