//! JetStream, over any [`Broker`](super::Broker).

use alloc::string::String;

use crate::json::{self, JsonError};

/// A stream's answer to a message that it has stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PubAck {
    pub(crate) stream: String,
    pub(crate) sequence: u64,
    pub(crate) is_duplicate: bool,
}

/// A longer answer is none of a stream, in bytes.
const MAX_PUB_ACK_LEN: usize = 4096;

/// Reads `{"stream":"ORDERS","seq":1}`; `None` if it is anything else.
pub(crate) fn parse_pub_ack(payload: &[u8]) -> Option<PubAck> {
    let payload = payload
        .get(..MAX_PUB_ACK_LEN)
        .is_none()
        .then_some(payload)?;
    let text = core::str::from_utf8(payload).ok()?;
    let (mut stream, mut sequence, mut is_duplicate) = (None, None, false);
    let mut read = |key: &str, value: &mut json::Reader<'_>| -> Result<(), JsonError> {
        match key {
            "stream" => stream = Some(value.text()?.into_owned()),
            "seq" => sequence = Some(value.unsigned()?),
            "duplicate" => is_duplicate = value.boolean()?,
            _ => drop(value.skip()?),
        }
        Ok(())
    };
    json::read_object(text, &mut read).ok()?;
    Some(PubAck {
        stream: stream?,
        sequence: sequence?,
        is_duplicate,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pub_ack_has_a_stream_and_a_sequence() {
        let ack = parse_pub_ack(br#"{"stream":"T","seq":1,"duplicate": true,"domain":"d"}"#);
        let expected = PubAck {
            stream: String::from("T"),
            sequence: 1,
            is_duplicate: true,
        };
        assert_eq!(ack, Some(expected));
        for other in [
            &b""[..],
            b"{}",
            b"[]",
            br#"{"stream":"T"}"#,
            br#"{"seq":1}"#,
            br#"{"stream":"T","seq":-1}"#,
            br#"{"stream":1,"seq":1}"#,
            br#"{"stream":"T","seq":1"#,
            b"\xff",
        ] {
            assert_eq!(parse_pub_ack(other), None, "{}", other.escape_ascii());
        }
    }
}
