//! What an INFO says.

use alloc::string::String;
use alloc::vec::Vec;

use super::error::ParseError;
use crate::json::{self, JsonError};

/// Servers of a cluster that are kept from one INFO; a server announces itself and its peers.
const MAX_CONNECT_URLS: usize = 32;
/// A longer URL of a server is not kept, in bytes.
const MAX_CONNECT_URL_LEN: usize = 300;

/// The part of an INFO that a client needs. Fields the server left out have their default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerInfo {
    /// Most bytes the server takes in one message. Default 1,048,576.
    pub(crate) max_payload: usize,
    /// Whether the server knows headers, and so `no_responders`. Default false.
    pub(crate) headers: bool,
    /// Whether the connection must be upgraded to TLS. Default false.
    pub(crate) tls_required: bool,
    /// Whether the connection may be upgraded to TLS. Default false.
    pub(crate) tls_available: bool,
    /// Whether the server is about to close its connections (lame duck mode). Default false.
    pub(crate) lame_duck: bool,
    /// What an nkey has to sign in CONNECT. Default none.
    pub(crate) nonce: Option<String>,
    /// Servers of the cluster, as `host:port`: at most 32, of at most 300 bytes each. Default none.
    pub(crate) connect_urls: Vec<String>,
}

impl Default for ServerInfo {
    fn default() -> Self {
        Self {
            max_payload: 1_048_576,
            headers: false,
            tls_required: false,
            tls_available: false,
            lame_duck: false,
            nonce: None,
            connect_urls: Vec::new(),
        }
    }
}

pub(super) fn server_info(json: &[u8]) -> Result<ServerInfo, ParseError> {
    let text = core::str::from_utf8(json).map_err(|error| ParseError::BadInfo {
        at: error.valid_up_to(),
    })?;
    let mut info = ServerInfo::default();
    let read = json::read_object(text, &mut |key, value| {
        match key {
            "max_payload" => {
                info.max_payload = usize::try_from(value.unsigned()?).unwrap_or(usize::MAX);
            }
            "headers" => info.headers = value.boolean()?,
            "tls_required" => info.tls_required = value.boolean()?,
            "tls_available" => info.tls_available = value.boolean()?,
            "ldm" => info.lame_duck = value.boolean()?,
            "nonce" => info.nonce = Some(value.text()?.into_owned()),
            "connect_urls" if !value.null() => read_connect_urls(value, &mut info.connect_urls)?,
            "connect_urls" => {}
            _ => drop(value.skip()?),
        }
        Ok(())
    });
    match read {
        Ok(()) => Ok(info),
        Err(JsonError::Unexpected { at, .. }) => Err(ParseError::BadInfo { at }),
        Err(JsonError::OutOfMemory { .. }) => Err(ParseError::NoMemory),
    }
}

fn read_connect_urls(
    value: &mut json::Reader<'_>,
    urls: &mut Vec<String>,
) -> Result<(), JsonError> {
    let mut elements = value.array()?;
    while value.next_element(&mut elements)? {
        let url = value.text()?;
        if urls.len() < MAX_CONNECT_URLS && url.len() <= MAX_CONNECT_URL_LEN {
            urls.push(url.into_owned());
        }
    }
    Ok(())
}
