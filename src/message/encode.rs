//! Envelope to bytes, as a stream that is encoded while it is read.

use super::base64::{base64_length, encode_slice};
use super::entry::{Data, NO_METADATA, PayloadEntry};
use super::envelope::Envelope;
use super::fields::{ENVELOPE, EnvelopeValue, PAYLOAD, PayloadValue};
use crate::json::number::Digits;
use crate::json::{self, plain_len};
use crate::stream::{Body, StreamError};
use crate::trace::utf8_start;
use alloc::string::String;

/// The JSON of an envelope: compact, keys in the family's order, non-ASCII as it is. It is made of
/// pieces, one after the other; at any moment only the place in the current one is kept.
#[derive(Debug, Clone)]
pub struct EnvelopeBody<'e> {
    envelope: &'e Envelope<'e>,
    len: u64,
    /// 0 for the envelope's own fields, then one for each payload.
    section: usize,
    /// Which piece of the section.
    piece: usize,
    /// Bytes of the piece's source that have been read.
    offset: usize,
    /// Encoded bytes that did not fit into the last `out`.
    left: Leftover,
}

/// A part of the JSON: what stands before a value, and the value.
struct Piece<'e> {
    key: &'e str,
    value: Value<'e>,
}

enum Value<'e> {
    /// As it is.
    Raw(&'e str),
    /// Escaped, with the quote behind it.
    Text(&'e str),
    Number(u64),
    /// With the quote behind it.
    Base64(&'e [u8]),
}

/// Bytes at a time that become one text.
const TEXT_CHUNK: usize = if cfg!(feature = "std") { 4096 } else { 1024 };

impl Envelope<'_> {
    /// The message as a stream of bytes whose length is known first. It is encoded while it is
    /// read, so that it never stands in memory as a whole.
    pub fn body(&self) -> EnvelopeBody<'_> {
        EnvelopeBody::new(self)
    }

    /// The same, when its length is known.
    pub(crate) fn body_of_len(&self, len: u64) -> EnvelopeBody<'_> {
        EnvelopeBody::with_len(self, len)
    }

    /// The message as one text.
    pub fn json(&self) -> String {
        let body = self.body();
        let mut text = String::with_capacity(usize::try_from(body.len()).unwrap_or(0));
        body.write_text(&mut text);
        text
    }

    /// The message as one text, or none if there is no memory for it.
    pub(crate) fn try_json(&self) -> Option<String> {
        let body = self.body();
        let mut text = String::new();
        text.try_reserve_exact(usize::try_from(body.len()).ok()?)
            .ok()?;
        body.write_text(&mut text);
        Some(text)
    }
}

impl<'e> EnvelopeBody<'e> {
    fn new(envelope: &'e Envelope<'e>) -> Self {
        Self::with_len(envelope, length(envelope))
    }

    fn with_len(envelope: &'e Envelope<'e>, len: u64) -> Self {
        debug_assert_eq!(len, length(envelope));
        Self {
            envelope,
            len,
            section: 0,
            piece: 0,
            offset: 0,
            left: Leftover::default(),
        }
    }

    /// Appends all of it.
    fn write_text(mut self, text: &mut String) {
        let mut chunk = [0; TEXT_CHUNK];
        // The start of a character whose end is in the next chunk.
        let mut kept = 0;
        loop {
            let filled = kept + self.fill(&mut chunk[kept..]);
            if filled == kept {
                return;
            }
            // What is encoded is JSON and so UTF-8: nothing is left out here.
            let whole = utf8_start(&chunk[..filled]);
            let len = whole.len();
            text.push_str(whole);
            chunk.copy_within(len..filled, 0);
            kept = filled - len;
        }
    }

    fn current(&self) -> Option<Piece<'e>> {
        let Some(index) = self.section.checked_sub(1) else {
            return envelope_piece(self.envelope, self.piece);
        };
        match self.envelope.payloads.get(index) {
            Some(entry) => payload_piece(entry, index, self.piece),
            None if index == self.envelope.payloads.len() && self.piece == 0 => {
                Some(Piece::raw("]}"))
            }
            None => None,
        }
    }

    fn advance(&mut self) {
        let pieces = match self.section {
            0 => ENVELOPE.len(),
            _ => PAYLOAD_PIECES,
        };
        self.offset = 0;
        self.piece += 1;
        if self.piece == pieces {
            (self.section, self.piece) = (self.section + 1, 0);
        }
    }

    fn fill(&mut self, out: &mut [u8]) -> usize {
        let mut filled = self.left.take(out);
        while filled < out.len() {
            let Some(piece) = self.current() else { break };
            let (read, written, done) = self.encode(&piece, &mut out[filled..]);
            self.offset += read;
            filled += written;
            if done {
                self.advance();
            }
            if self.left.len() > 0 {
                filled += self.left.take(&mut out[filled..]);
            }
        }
        filled
    }

    /// Encodes the rest of `piece`, as far as it fits; what is begun and does not fit is kept.
    /// Returns the bytes read, the bytes written, and whether the piece is at its end.
    fn encode(&mut self, piece: &Piece<'e>, out: &mut [u8]) -> (usize, usize, bool) {
        let key = piece.key.as_bytes().get(self.offset..).unwrap_or_default();
        let (count, done) = copy(key, out);
        if !done {
            return (count, count, false);
        }
        let offset = self.offset + count - piece.key.len();
        let out = &mut out[count..];
        let (read, written, done) = match piece.value {
            Value::Raw(text) => copy_from(text, offset, out),
            Value::Text(text) => self.encode_text(&text.as_bytes()[offset..], out),
            Value::Number(number) => copy_from(Digits::of(number).as_str(), offset, out),
            Value::Base64(bytes) => self.encode_base64(&bytes[offset..], out),
        };
        (count + read, count + written, done)
    }

    fn encode_text(&mut self, text: &[u8], out: &mut [u8]) -> (usize, usize, bool) {
        // No further than there is room: a long text would be scanned again for each piece of it.
        let fitting = &text[..text.len().min(out.len())];
        let count = plain_len(fitting);
        copy(&fitting[..count], out);
        match fitting.get(count).copied().and_then(escape) {
            Some(escaped) => {
                self.left = escaped;
                (count + 1, count, false)
            }
            None if count < text.len() => (count, count, false),
            None => {
                let quote = out.get_mut(count).map(|place| *place = b'"');
                if quote.is_none() {
                    self.left = Leftover::QUOTE;
                }
                (count, count + usize::from(quote.is_some()), true)
            }
        }
    }

    fn encode_base64(&mut self, bytes: &[u8], out: &mut [u8]) -> (usize, usize, bool) {
        // Whole groups of three, or all: only the last group of the payload may be padded.
        let count = (out.len() / 4 * 3).min(bytes.len());
        let written = encode_slice(&bytes[..count], out);
        let rest = &bytes[count..];
        let group = &rest[..rest.len().min(3)];
        let done = group.len() == rest.len();
        self.left = Leftover::base64(group);
        if done {
            self.left.push(b'"');
        }
        (count + group.len(), written, done)
    }
}

impl Body for EnvelopeBody<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        Ok(self.fill(out))
    }

    fn rewind(&mut self) -> Result<(), StreamError> {
        (self.section, self.piece, self.offset) = (0, 0, 0);
        self.left = Leftover::default();
        Ok(())
    }
}

impl<'e> Piece<'e> {
    fn raw(key: &'e str) -> Self {
        let value = Value::Raw("");
        Self { key, value }
    }
}

/// The pieces before the first payload, one for each field:
/// `{"correlation_id":"…"`, …, `,"metadata":{}`, `,"payloads":[`.
fn envelope_piece<'e>(envelope: &'e Envelope<'e>, piece: usize) -> Option<Piece<'e>> {
    let field = ENVELOPE.get(piece)?;
    let value = match &field.value {
        EnvelopeValue::Text(_, text) => Value::Text((text.get)(envelope)),
        EnvelopeValue::Object(text) => Value::Raw(object((text.get)(envelope))),
        EnvelopeValue::Payloads => Value::Raw("["),
    };
    let key = field.key;
    Some(Piece { key, value })
}

/// One for each field, the comma before and the bracket behind them.
const PAYLOAD_PIECES: usize = PAYLOAD.len() + 2;

fn payload_piece<'e>(entry: &'e PayloadEntry<'e>, index: usize, piece: usize) -> Option<Piece<'e>> {
    let Some(piece) = piece.checked_sub(1) else {
        return Some(Piece::raw(if index == 0 { "" } else { "," }));
    };
    let Some(field) = PAYLOAD.get(piece) else {
        return (piece == PAYLOAD.len()).then_some(Piece::raw("}"));
    };
    let value = match &field.value {
        PayloadValue::Text(text) => Value::Text((text.get)(entry)),
        PayloadValue::Object(text) => Value::Raw(object((text.get)(entry))),
        PayloadValue::Size => entry.size.map_or(Value::Raw("null"), Value::Number),
        PayloadValue::Data => match &entry.data {
            Data::Text(text) => Value::Text(text),
            Data::Bytes(bytes) => Value::Base64(bytes),
        },
    };
    let key = field.key;
    Some(Piece { key, value })
}

fn object(metadata: &str) -> &str {
    if metadata.is_empty() {
        NO_METADATA
    } else {
        metadata
    }
}

/// The length of the JSON in bytes, without encoding it.
fn length(envelope: &Envelope<'_>) -> u64 {
    let own = (0..ENVELOPE.len()).filter_map(|piece| envelope_piece(envelope, piece));
    let payloads = envelope.payloads.iter().enumerate();
    let own: u64 = own.map(|piece| piece_length(&piece)).sum();
    own + payloads
        .map(|(index, entry)| entry_length(entry, index))
        .sum::<u64>()
        + "]}".len() as u64
}

/// The length in bytes of one payload's entry, with the comma before it.
pub(crate) fn entry_length(entry: &PayloadEntry<'_>, index: usize) -> u64 {
    let pieces = (0..PAYLOAD_PIECES).filter_map(|piece| payload_piece(entry, index, piece));
    pieces.map(|piece| piece_length(&piece)).sum()
}

/// The quote behind a text.
const QUOTE_LEN: u64 = 1;

fn piece_length(piece: &Piece<'_>) -> u64 {
    let value = match piece.value {
        Value::Raw(text) => text.len() as u64,
        Value::Text(text) => {
            let (_, rest) = text.as_bytes().split_at(plain_len(text.as_bytes()));
            let escapes = rest.iter().copied().filter_map(escape);
            let more: u64 = escapes.map(|escaped| escaped.len() as u64 - 1).sum();
            text.len() as u64 + more + QUOTE_LEN
        }
        Value::Number(number) => Digits::of(number).as_str().len() as u64,
        Value::Base64(bytes) => base64_length(bytes.len() as u64) + QUOTE_LEN,
    };
    piece.key.len() as u64 + value
}

/// A few encoded bytes that wait for room.
#[derive(Debug, Clone, Copy, Default)]
struct Leftover {
    bytes: [u8; 6],
    start: usize,
    end: usize,
}

impl Leftover {
    const QUOTE: Self = Self {
        bytes: [b'"', 0, 0, 0, 0, 0],
        start: 0,
        end: 1,
    };

    fn base64(group: &[u8]) -> Self {
        let mut left = Self::default();
        left.end = encode_slice(group, &mut left.bytes);
        left
    }

    /// The caller has made room: there are never more than 5 bytes before.
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.end) {
            *place = byte;
            self.end += 1;
        }
    }

    fn len(&self) -> usize {
        self.end - self.start
    }

    fn take(&mut self, out: &mut [u8]) -> usize {
        let (count, _) = copy(&self.bytes[self.start..self.end], out);
        self.start += count;
        count
    }
}

fn escape(byte: u8) -> Option<Leftover> {
    let (bytes, end) = json::escape(byte)?;
    Some(Leftover {
        bytes,
        start: 0,
        end,
    })
}

fn copy(from: &[u8], out: &mut [u8]) -> (usize, bool) {
    let count = from.len().min(out.len());
    out[..count].copy_from_slice(&from[..count]);
    (count, count == from.len())
}

/// As [`EnvelopeBody::encode`].
fn copy_from(text: &str, offset: usize, out: &mut [u8]) -> (usize, usize, bool) {
    let (count, done) = copy(&text.as_bytes()[offset..], out);
    (count, count, done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::Cow;
    use alloc::vec::Vec;

    use crate::message::Limits;

    fn entry<'a>(index: usize, data: Data<'a>) -> PayloadEntry<'a> {
        PayloadEntry {
            index,
            id: Cow::Borrowed("id"),
            dataname: Cow::Borrowed("a\"b\\c\n\u{1}é😀"),
            type_name: Cow::Borrowed("binary"),
            transport_name: Cow::Borrowed("direct"),
            encoding: Cow::Borrowed("base64"),
            size: Some(u64::MAX),
            data,
            metadata: Cow::Borrowed(""),
        }
    }

    fn envelope(bytes: &[u8]) -> Envelope<'_> {
        Envelope {
            correlation_id: Cow::Borrowed("\u{1f}\t\r"),
            payloads: Vec::from([
                entry(0, Data::Bytes(Cow::Borrowed(bytes))),
                entry(1, Data::Text(Cow::Borrowed("http://h/\"x\""))),
            ]),
            ..Envelope::default()
        }
    }

    fn read_in_chunks(body: &mut EnvelopeBody<'_>, chunk: usize) -> Vec<u8> {
        let mut whole = Vec::new();
        let mut out = alloc::vec![0; chunk];
        loop {
            match body.read(&mut out).unwrap() {
                0 => return whole,
                count => whole.extend_from_slice(&out[..count]),
            }
        }
    }

    #[test]
    fn the_bytes_are_the_same_in_any_chunks_and_as_many_as_announced() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for len in [0, 1, 2, 3, 4, 5, 100, 999, 1000] {
            let envelope = envelope(&bytes[..len]);
            let whole = envelope.json();
            let mut body = envelope.body();
            assert_eq!(body.len(), whole.len() as u64);
            for chunk in [1, 2, 3, 4, 5, 7, 64, 4096] {
                assert_eq!(
                    read_in_chunks(&mut body, chunk),
                    whole.as_bytes(),
                    "{len} {chunk}"
                );
                body.rewind().unwrap();
            }
        }
    }

    #[test]
    fn a_character_may_stand_across_two_chunks_of_the_text() {
        for shift in 0..4 {
            let name = "x".repeat(shift) + &"😀".repeat(TEXT_CHUNK);
            let mut envelope = envelope(&[]);
            envelope.payloads[1].dataname = Cow::Borrowed(&name);
            let text = envelope.json();
            assert!(text.contains(&name), "{shift}");
            let bytes = read_in_chunks(&mut envelope.body(), 64);
            assert!(text.as_bytes() == bytes, "{shift}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let envelope = envelope(&[0, 254, 255]);
        let text = envelope.json();
        let back = Envelope::parse(text.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(back.correlation_id, envelope.correlation_id);
        assert_eq!(back.payloads[0].dataname, envelope.payloads[0].dataname);
        assert_eq!(back.payloads[0].size, Some(u64::MAX));
        assert_eq!(back.payloads[0].data, Data::Text("AP7/".into()));
        assert_eq!(back.payloads[1].data, envelope.payloads[1].data);
        assert_eq!(back.json(), text);
    }

    #[test]
    fn each_escape_is_written_in_one_way() {
        let envelope = Envelope {
            correlation_id: Cow::Borrowed("\"\\/\u{8}\t\n\u{c}\r\u{1f}\u{7f}é"),
            ..Envelope::default()
        };
        let expected = concat!(r#"\"\\/\u0008\t\n\u000c\r\u001f"#, "\u{7f}é\",");
        let text = envelope.json();
        let (_, value) = text.split_at("{\"correlation_id\":\"".len());
        assert!(value.starts_with(expected), "{text}");
    }

    #[test]
    fn an_envelope_without_anything_is_still_whole() {
        assert_eq!(
            Envelope::default().json(),
            "{\"correlation_id\":\"\",\"msg_id\":\"\",\"timestamp\":\"\",\"send_to\":\"\",\
             \"msg_purpose\":\"\",\"sender_name\":\"\",\"sender_id\":\"\",\"receiver_name\":\"\",\
             \"receiver_id\":\"\",\"reply_to\":\"\",\"reply_to_msg_id\":\"\",\"broker_url\":\"\",\
             \"metadata\":{},\"payloads\":[]}"
        );
    }
}
