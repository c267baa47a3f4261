//! The fields of a message and of a payload in it: the one table that reading, writing, checking and
//! printing go by. A new field is a line here and a member of its struct.

use super::entry::{PayloadEntry, own};
use super::envelope::Envelope;
use super::limits::Limits;
use crate::nats::MAX_SUBJECT_LEN;
use crate::nats::options::redacted_brokers;
use alloc::borrow::Cow;
use core::fmt;

/// A field of a message or of a payload.
pub(crate) struct Field<V> {
    pub(crate) name: &'static str,
    /// What is written before the value: a bracket or comma, the name, a colon, and the quote that opens a
    /// text.
    pub(crate) key: &'static str,
    pub(crate) required: bool,
    pub(crate) value: V,
}

/// What stands in a field of the message, and where it is kept.
pub(crate) enum EnvelopeValue {
    Text(TextKind, EnvelopeText),
    /// The text of a JSON object.
    Object(EnvelopeText),
    Payloads,
}

/// What stands in a field of a payload, and where it is kept.
pub(crate) enum PayloadValue {
    Text(PayloadText),
    /// The text of a JSON object.
    Object(PayloadText),
    Size,
    Data,
}

pub(crate) struct EnvelopeText {
    pub(crate) get: for<'e> fn(&'e Envelope<'_>) -> &'e str,
    pub(crate) get_mut: for<'e, 'a> fn(&'e mut Envelope<'a>) -> &'e mut Cow<'a, str>,
}

pub(crate) struct PayloadText {
    pub(crate) get: for<'e> fn(&'e PayloadEntry<'_>) -> &'e str,
    pub(crate) get_mut: for<'e, 'a> fn(&'e mut PayloadEntry<'a>) -> &'e mut Cow<'a, str>,
}

/// What a text is, which decides how long it may be and whether it is printed whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextKind {
    Name,
    Subject,
    Url,
}

impl TextKind {
    /// The most bytes that a text may have, written and read alike. What can be published on is never
    /// over it.
    pub(crate) fn max_len(self, limits: &Limits) -> usize {
        match self {
            Self::Name => limits.max_name_len,
            Self::Subject | Self::Url => limits.max_name_len.max(MAX_SUBJECT_LEN),
        }
    }
}

/// The fields of a message, in the order in which they are written.
pub(crate) static ENVELOPE: [Field<EnvelopeValue>; 14] = {
    use EnvelopeValue::{Object, Payloads, Text};
    use TextKind::{Name, Subject, Url};

    macro_rules! at {
        ($field:ident) => {
            EnvelopeText {
                get: |envelope| &envelope.$field,
                get_mut: |envelope| &mut envelope.$field,
            }
        };
    }
    [
        required("{\"correlation_id\":\"", Text(Name, at!(correlation_id))),
        optional(",\"msg_id\":\"", Text(Name, at!(msg_id))),
        optional(",\"timestamp\":\"", Text(Name, at!(timestamp))),
        optional(",\"send_to\":\"", Text(Subject, at!(send_to))),
        optional(",\"msg_purpose\":\"", Text(Name, at!(msg_purpose))),
        optional(",\"sender_name\":\"", Text(Name, at!(sender_name))),
        optional(",\"sender_id\":\"", Text(Name, at!(sender_id))),
        optional(",\"receiver_name\":\"", Text(Name, at!(receiver_name))),
        optional(",\"receiver_id\":\"", Text(Name, at!(receiver_id))),
        optional(",\"reply_to\":\"", Text(Subject, at!(reply_to))),
        optional(",\"reply_to_msg_id\":\"", Text(Name, at!(reply_to_msg_id))),
        optional(",\"broker_url\":\"", Text(Url, at!(broker_url))),
        optional(",\"metadata\":", Object(at!(metadata))),
        required(",\"payloads\":", Payloads),
    ]
};

/// The fields of a payload, in the order in which they are written.
pub(crate) static PAYLOAD: [Field<PayloadValue>; 8] = {
    use PayloadValue::{Data, Object, Size, Text};

    macro_rules! at {
        ($field:ident) => {
            PayloadText {
                get: |entry| &entry.$field,
                get_mut: |entry| &mut entry.$field,
            }
        };
    }
    [
        optional("{\"id\":\"", Text(at!(id))),
        required(",\"dataname\":\"", Text(at!(dataname))),
        required(",\"payload_type\":\"", Text(at!(type_name))),
        required(",\"transport\":\"", Text(at!(transport_name))),
        optional(",\"encoding\":\"", Text(at!(encoding))),
        optional(",\"size\":", Size),
        required(",\"data\":\"", Data),
        optional(",\"metadata\":", Object(at!(metadata))),
    ]
};

const fn required<V>(key: &'static str, value: V) -> Field<V> {
    Field {
        name: name_in(key),
        key,
        required: true,
        value,
    }
}

const fn optional<V>(key: &'static str, value: V) -> Field<V> {
    Field {
        name: name_in(key),
        key,
        required: false,
        value,
    }
}

/// The name in a key: what stands between its first two quotes.
const fn name_in(key: &'static str) -> &'static str {
    let (_, rest) = key.split_at(2);
    let mut len = 0;
    while rest.as_bytes()[len] != b'"' {
        len += 1;
    }
    rest.split_at(len).0
}

/// Which fields of an object there have been.
pub(crate) struct FieldSet<V: 'static> {
    fields: &'static [Field<V>],
    /// A bit for each.
    found: u16,
    /// The place behind the last one.
    next: usize,
}

impl<V> FieldSet<V> {
    pub(crate) fn new(fields: &'static [Field<V>]) -> Self {
        Self {
            fields,
            found: 0,
            next: 0,
        }
    }

    /// The field of that name, with its place. Members write them in order, so the next one is the first
    /// that is compared.
    pub(crate) fn find(&self, name: &str) -> Option<(usize, &'static Field<V>)> {
        let places = (self.next..self.fields.len()).chain(0..self.next);
        let mut fields = places.filter_map(|place| Some((place, self.fields.get(place)?)));
        fields.find(|(_, field)| field.name == name)
    }

    /// Adds the field at `place`; false if it is in the set already.
    pub(crate) fn insert(&mut self, place: usize) -> bool {
        self.next = place + 1;
        let before = self.found;
        self.found |= 1 << place;
        self.found != before
    }

    /// The first field that is required and not there.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        let mut fields = self.fields.iter().enumerate();
        let missing = fields.find(|(place, field)| field.required && self.found & 1 << place == 0);
        missing.map(|(_, field)| field.name)
    }
}

/// A text of a message that is longer than its reader would accept: its name, length and limit in bytes.
pub(crate) fn too_long_text(
    envelope: &Envelope<'_>,
    limits: &Limits,
) -> Option<(&'static str, usize, usize)> {
    ENVELOPE.iter().find_map(|field| {
        let EnvelopeValue::Text(kind, text) = &field.value else {
            return None;
        };
        let (len, limit) = ((text.get)(envelope).len(), kind.max_len(limits));
        (len > limit).then_some((field.name, len, limit))
    })
}

impl fmt::Debug for Envelope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Envelope");
        for field in &ENVELOPE {
            match &field.value {
                // Some members include the password.
                EnvelopeValue::Text(TextKind::Url, text) => {
                    shown.field(field.name, &redacted_brokers((text.get)(self)))
                }
                EnvelopeValue::Text(_, text) | EnvelopeValue::Object(text) => {
                    shown.field(field.name, &(text.get)(self))
                }
                EnvelopeValue::Payloads => shown.field(field.name, &self.payloads),
            };
        }
        shown.finish()
    }
}

impl Envelope<'_> {
    /// The same envelope, which borrows nothing. Direct data is kept only where it stands apart
    /// from the message.
    pub(crate) fn into_detached(mut self) -> Envelope<'static> {
        let mut detached = Envelope::default();
        for field in &ENVELOPE {
            if let EnvelopeValue::Text(_, text) | EnvelopeValue::Object(text) = &field.value {
                *(text.get_mut)(&mut detached) = own(core::mem::take((text.get_mut)(&mut self)));
            }
        }
        // The entries stay where they are: they have the same size with any lifetime.
        let payloads = self.payloads.into_iter();
        detached.payloads = payloads.map(PayloadEntry::into_detached).collect();
        detached
    }
}
