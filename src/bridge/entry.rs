//! From a payload to its entry in the envelope: direct, not read yet, or a link.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Error, Measured};
use crate::checksum::Hex;
use crate::json::number::Digits;
use crate::message::base64::base64_length;
use crate::message::encode::entry_length;
use crate::message::payload::check_table;
use crate::message::transport::{Budget, Candidate, choose};
use crate::message::{Data, Envelope, Payload, PayloadEntry, PayloadError, PayloadType, Transport};
use crate::stream::{Body as _, check_length};

/// Stands for data that are not in memory.
pub(super) const NOT_READ: Data<'static> = Data::Text(Cow::Borrowed(""));

/// A payload to be sent, and its name.
pub(super) type Named<'a> = (&'a str, Payload<'a>);

pub(super) fn check_payload(name: &str, payload: &Payload<'_>) -> Result<(), PayloadError> {
    if let Some(at) = name.find(char::is_control) {
        return Err(PayloadError::Name { at });
    }
    if let (PayloadType::JsonTable, Some(json)) = (payload.payload_type(), payload.as_bytes()) {
        check_table(json)?;
    }
    if let Some(metadata) = payload.metadata() {
        metadata.members(&["payload_bytes", "sha256"])?;
    }
    Ok(())
}

pub(super) fn direct_entry<'a>(
    id: String,
    index: usize,
    (name, payload): &'a Named<'a>,
) -> PayloadEntry<'a> {
    let size = payload.size();
    // It has been checked: there are members, or no metadata.
    let given = payload.metadata().map_or(Ok(""), |json| json.members(&[]));
    let given = given.unwrap_or_default();
    let data = match payload.as_bytes() {
        Some(bytes) => Data::Bytes(Cow::Borrowed(bytes)),
        None => NOT_READ,
    };
    PayloadEntry {
        index,
        id: Cow::Owned(id),
        dataname: Cow::Borrowed(name),
        type_name: Cow::Borrowed(payload.payload_type().as_str()),
        transport_name: Cow::Borrowed(Transport::Direct.as_str()),
        encoding: Cow::Borrowed("base64"),
        size: Some(size),
        data,
        metadata: metadata(["\"payload_bytes\":", Digits::of(size).as_str(), ""], given),
    }
}

/// The metadata of a payload: one member of ours, then those that are given.
fn metadata(own: [&str; 3], given: &str) -> Cow<'static, str> {
    let comma = if given.is_empty() { "" } else { "," };
    let [key, value, end] = own;
    Cow::Owned(["{", key, value, end, comma, given, "}"].concat())
}

/// What is given of metadata that have been made here: what stands behind our member.
fn given_metadata(metadata: &str) -> &str {
    let given = metadata.split_once(',').map(|(_, given)| given);
    given
        .and_then(|given| given.strip_suffix('}'))
        .unwrap_or_default()
}

/// The length of the message in bytes, with what has not been read yet.
pub(super) fn message_len(envelope: &Envelope<'_>) -> u64 {
    let unread: u64 = envelope.payloads.iter().map(unread_len).sum();
    envelope.body().len() + unread
}

/// What a payload that has not been read adds to the length of the message, in bytes.
fn unread_len(entry: &PayloadEntry<'_>) -> u64 {
    match entry.size {
        Some(size) if entry.data == NOT_READ => base64_length(size),
        _ => 0,
    }
}

/// Whether the message fits as it is, and no payload has to become a link for its size.
pub(super) fn is_settled(envelope: &Envelope<'_>, len: u64, budget: &Budget) -> bool {
    let settled =
        |entry: &PayloadEntry<'_>| entry.is_link() || !budget.wants_link(entry.size.unwrap_or(0));
    len <= budget.max_len && envelope.payloads.iter().all(settled)
}

pub(super) fn choose_transports(
    envelope: &Envelope<'_>,
    budget: &Budget,
) -> Result<Vec<Transport>, Error> {
    let candidates: Vec<_> = envelope.payloads.iter().map(candidate).collect();
    let entry_len = |entry: &PayloadEntry<'_>| entry_length(entry, entry.index);
    let entries: u64 = envelope.payloads.iter().map(entry_len).sum();
    let fixed_len = envelope.body().len() - entries;
    choose(&candidates, fixed_len, budget).map_err(|len| Error::TooLarge {
        what: Measured::Message,
        len,
        limit: budget.max_len,
    })
}

fn candidate(entry: &PayloadEntry<'_>) -> Candidate {
    let len = entry_length(entry, entry.index);
    let is_link = entry.is_link();
    Candidate {
        size: entry.size.unwrap_or(0),
        direct_len: len + unread_len(entry),
        link_len: if is_link {
            len
        } else {
            shortest_link_length(entry)
        },
        is_link,
    }
}

/// A lower bound of what a payload takes as a link, as long as its URL is not known.
fn shortest_link_length(entry: &PayloadEntry<'_>) -> u64 {
    const SHORTEST_URL: &str = "http://h/f";
    let mut link = PayloadEntry {
        index: entry.index,
        id: Cow::Borrowed(&entry.id),
        dataname: Cow::Borrowed(&entry.dataname),
        type_name: Cow::Borrowed(&entry.type_name),
        transport_name: Cow::Borrowed(""),
        encoding: Cow::Borrowed(""),
        size: entry.size,
        data: NOT_READ,
        metadata: Cow::Borrowed(&entry.metadata),
    };
    make_link(&mut link, SHORTEST_URL, &Hex(&[0; 32]).to_string());
    entry_length(&link, link.index)
}

/// Reads what travels in the message into memory.
pub(super) fn read_content(
    entry: &mut PayloadEntry<'_>,
    payload: &Payload<'_>,
) -> Result<(), Error> {
    let read = read_checked(payload).and_then(|bytes| {
        // The message has been measured by what the payload has said of itself.
        check_length(entry.size.unwrap_or(0), bytes.len() as u64)?;
        Ok(bytes)
    });
    match read {
        Ok(bytes) => {
            entry.data = Data::Bytes(Cow::Owned(bytes));
            Ok(())
        }
        Err(source) => Err(Error::Payload {
            payload: Some(entry.place()),
            source,
        }),
    }
}

/// The bytes of a payload that are what its type demands: a receiver would refuse others.
fn read_checked(payload: &Payload<'_>) -> Result<Vec<u8>, PayloadError> {
    let bytes = payload.serialize()?;
    Payload::deserialize(payload.payload_type(), Cow::Borrowed(&bytes))?;
    Ok(bytes.into_owned())
}

pub(super) fn make_link(entry: &mut PayloadEntry<'_>, url: &str, sha256: &str) {
    entry.transport_name = Cow::Borrowed(Transport::Link.as_str());
    entry.encoding = Cow::Borrowed("none");
    entry.data = Data::Text(Cow::Owned(url.to_string()));
    entry.metadata = metadata(
        ["\"sha256\":\"", sha256, "\""],
        given_metadata(&entry.metadata),
    );
}
