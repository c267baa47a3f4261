//! Options, messages and errors, from ours to the crate's and back.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::path::Path;
use std::{fs, io};

use crate::nats::credentials::{decode_seed, parse_creds};
use crate::nats::options::{Credentials, Pem};
use crate::nats::servers::{Server, UrlCredentials};
use crate::nats::session::is_about_credentials;
use crate::nats::{BrokerError, BrokerErrorKind as Kind, NatsOptions, SubscriptionId};

/// The crate's options for one server, without callbacks; or what is wrong with ours.
pub(super) fn crate_options(
    options: &NatsOptions,
    server: &Server,
) -> Result<nats::Options, String> {
    if !options.echo || options.tls_first {
        return Err(unsupported("`echo(false)` and TLS before INFO"));
    }
    let mut to = match (&options.credentials, &server.credentials) {
        (Credentials::InUrl, UrlCredentials::None) => nats::Options::new(),
        (Credentials::UserPassword(user, password), _)
        | (Credentials::InUrl, UrlCredentials::UserPassword(user, password)) => {
            nats::Options::with_user_pass(user, password)
        }
        (Credentials::Token(token), _) | (Credentials::InUrl, UrlCredentials::Token(token)) => {
            nats::Options::with_token(token)
        }
        (Credentials::Jwt { jwt, seed }, _) => with_jwt(jwt, seed)?,
        (Credentials::File(path), _) => {
            let text = read(path)?;
            let parsed = parse_creds(&text).map_err(|error| error.to_string());
            let made = parsed.and_then(|(jwt, seed)| with_jwt(jwt, seed));
            made.map_err(|error| format!("{}: {error}", path.display()))?
        }
        (Credentials::Nkey(_), _) => return Err(unsupported("nkeys")),
    };
    for root in &options.roots {
        to = to.add_root_certificate(file(root)?);
    }
    if let Some((certificate, key)) = &options.client_certificate {
        to = to.client_cert(file(certificate)?, file(key)?);
    }
    if let Some(name) = &options.name {
        to = to.with_name(name);
    }
    Ok(to.tls_required(server.tls))
}

fn unsupported(what: &str) -> String {
    format!("host::NatsCrateClient does not support {what}: use host::NatsClient")
}

fn read(path: &Path) -> Result<String, String> {
    let text = fs::read_to_string(path);
    text.map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

fn file(pem: &Pem) -> Result<&Path, String> {
    match pem {
        Pem::File(path) => read(path).map(|_| path.as_path()),
        Pem::Text(_) => Err(unsupported("PEM text")),
    }
}

fn with_jwt(jwt: &str, seed: &str) -> Result<nats::Options, String> {
    decode_seed(seed).map_err(|error| error.to_string())?;
    let creds = format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    );
    nats::Options::with_static_credentials(&creds).map_err(|error| error.to_string())
}

pub(super) fn connect_failed(error: io::Error) -> BrokerError {
    let text = error.to_string();
    let is_unauthorized =
        is_about_credentials(&text) || text.to_lowercase().contains("certificate");
    let kind = match error.kind() {
        _ if is_unauthorized => Kind::Unauthorized,
        io::ErrorKind::InvalidInput => Kind::Protocol,
        _ => Kind::Unreachable,
    };
    BrokerError::new(kind, text)
}

/// A message in the words of a server: HMSG, with an empty block if it has no headers.
pub(super) fn encode(id: SubscriptionId, message: &nats::Message) -> Vec<u8> {
    let mut block = String::new();
    if let Some(headers) = &message.headers {
        let of_server = |name| headers.get(name).map_or("", String::as_str);
        block = format!(
            "NATS/1.0 {} {}\r\n",
            of_server("Status"),
            of_server("Description")
        );
        let all = headers
            .iter()
            .flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        all.for_each(|(name, value)| block.extend([name, ": ", value, "\r\n"]));
        block.push_str("\r\n");
    }
    let (subject, reply) = (
        &message.subject,
        message.reply.as_deref().unwrap_or_default(),
    );
    let (len, total) = (block.len(), block.len() + message.data.len());
    let line = format!("HMSG {subject} {} {reply} {len} {total}\r\n", id.0);
    [line.as_bytes(), block.as_bytes(), &message.data, b"\r\n"].concat()
}
