//! What a client decides while it connects to a server: TLS, CONNECT, and how failures are reported.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::error::{BrokerError, BrokerErrorKind as Kind};
use super::options::{Credentials, NatsOptions};
use super::protocol::{self, ConnectOptions, ServerInfo};
use super::servers::{Server, UrlCredentials};
use super::session::{Link, LinkError, is_about_credentials};
use crate::cause::text;

/// CONNECT's length in bytes at most, beside what the options have of it.
const CONNECT_LEN: usize = 256;
/// JSON escapes a byte with at most so many.
const MAX_ESCAPE_LEN: usize = 6;

/// Why a server could not be connected to.
#[inline(never)] // flash
pub(crate) fn failure(kind: Kind, message: fmt::Arguments<'_>) -> BrokerError {
    BrokerError::new(kind, text(message)).not_sent()
}

/// What a server's answer to the handshake means.
pub(crate) fn link_failure(link: &Link, error: &LinkError) -> BrokerError {
    match link.refusal() {
        Some(error) if is_about_credentials(error) => {
            failure(Kind::Unauthorized, format_args!("{error}"))
        }
        Some(error) => failure(Kind::Unreachable, format_args!("{error}")),
        None => failure(Kind::Protocol, format_args!("{error}")),
    }
}

/// Whether TLS is to be started behind INFO.
pub(crate) fn wants_tls(
    server: &Server,
    options: &NatsOptions,
    info: &ServerInfo,
) -> Result<bool, BrokerError> {
    let wants_tls = server.tls || info.tls_required;
    if !wants_tls || options.tls_first {
        return Ok(false);
    }
    if !info.tls_required && !info.tls_available {
        let message = format_args!("the server does not offer TLS");
        return Err(failure(Kind::InvalidOption, message));
    }
    Ok(true)
}

/// What came behind INFO was not encrypted, and anybody may have written it.
pub(crate) fn text_before_tls() -> BrokerError {
    let message = format_args!("the server wrote more than INFO before TLS");
    failure(Kind::Protocol, message)
}

/// The public nkey and the signature of a nonce, by the key of a seed.
pub(crate) type Sign = fn(seed: &str, nonce: &str) -> Result<(String, String), String>;

/// What CONNECT says to be let in.
#[derive(Default)]
struct Secrets<'a> {
    user: Option<&'a str>,
    password: Option<&'a str>,
    token: Option<&'a str>,
    jwt: Option<&'a str>,
    nkey: Option<String>,
    signature: Option<String>,
}

impl<'a> Secrets<'a> {
    fn new(
        credentials: &'a Credentials,
        server: &'a Server,
        nonce: &str,
        sign: Sign,
    ) -> Result<Self, BrokerError> {
        let mut secrets = Self::default();
        let sign = |seed| {
            let invalid = |error| failure(Kind::InvalidOption, format_args!("{error}"));
            sign(seed, nonce).map_err(invalid)
        };
        match credentials {
            Credentials::InUrl => match &server.credentials {
                UrlCredentials::None => {}
                UrlCredentials::UserPassword(user, password) => {
                    secrets.user = Some(user);
                    secrets.password = Some(password);
                }
                UrlCredentials::Token(token) => secrets.token = Some(token),
            },
            Credentials::UserPassword(user, password) => {
                secrets.user = Some(user);
                secrets.password = Some(password);
            }
            Credentials::Token(token) => secrets.token = Some(token),
            Credentials::Nkey(seed) => {
                let (nkey, signature) = sign(seed)?;
                (secrets.nkey, secrets.signature) = (Some(nkey), Some(signature));
            }
            Credentials::Jwt { jwt, seed } => {
                secrets.signature = Some(sign(seed)?.1);
                secrets.jwt = Some(jwt);
            }
            #[cfg(feature = "std")]
            Credentials::File(path) => {
                let path = path.display();
                return Err(failure(
                    Kind::InvalidOption,
                    format_args!("{path} has not been read"),
                ));
            }
        }
        Ok(secrets)
    }

    fn texts(&self) -> [Option<&str>; 6] {
        let (nkey, signature) = (self.nkey.as_deref(), self.signature.as_deref());
        [
            self.user,
            self.password,
            self.token,
            self.jwt,
            nkey,
            signature,
        ]
    }
}

/// Appends CONNECT to `out`. `credentials` are those of the options, read if they are in a file.
pub(crate) fn write_connect(
    out: &mut Vec<u8>,
    (options, credentials): (&NatsOptions, &Credentials),
    server: &Server,
    info: &ServerInfo,
    is_encrypted: bool,
    sign: Sign,
) -> Result<(), BrokerError> {
    let nonce = info.nonce.as_deref().unwrap_or_default();
    let secrets = Secrets::new(credentials, server, nonce, sign)?;
    let name = options.name.as_deref();
    let texts = secrets.texts().into_iter().chain([name]).flatten();
    let texts: usize = texts.map(|text| MAX_ESCAPE_LEN * text.len()).sum();
    let len = CONNECT_LEN + texts;
    let no_memory = |_| failure(Kind::Local, format_args!("no memory for {len} bytes"));
    out.try_reserve_exact(len).map_err(no_memory)?;
    protocol::connect(
        out,
        &ConnectOptions {
            tls_required: is_encrypted,
            name,
            echo: options.echo,
            headers: info.headers,
            user: secrets.user,
            password: secrets.password,
            auth_token: secrets.token,
            nkey: secrets.nkey.as_deref(),
            jwt: secrets.jwt,
            signature: secrets.signature.as_deref(),
        },
    );
    Ok(())
}
