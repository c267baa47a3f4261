//! A message: what stands in it beside its payloads.

use super::entry::{PayloadEntry, metadata_json};
use super::error::{EnvelopeError, EnvelopeFault};
use super::json_text::Json;
use alloc::borrow::Cow;
use alloc::vec::Vec;

/// A message: 12 texts, metadata and the entries of its payloads, in the order of the wire. Texts
/// that are not set are empty.
///
/// [`Envelope::parse`] inspects a message before anything is decoded or downloaded:
///
/// ```
/// use natsbridge::{Envelope, Limits, Transport};
///
/// let message = br#"{"correlation_id": "c", "payloads": [{"dataname": "note",
///     "payload_type": "text", "transport": "direct", "data": "aGVsbG8="}]}"#;
/// let envelope = Envelope::parse(message, &Limits::default())?;
/// let entry = &envelope.payloads[0];
/// assert_eq!((&*entry.dataname, entry.transport()?), ("note", Transport::Direct));
/// assert_eq!(entry.open()?.as_text(), Some("hello"));
/// # Ok::<(), natsbridge::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Envelope<'a> {
    /// The same for all messages of one conversation.
    pub correlation_id: Cow<'a, str>,
    /// This message.
    pub msg_id: Cow<'a, str>,
    /// When it was made, by the sender's clock: some members write local time with a `Z`.
    pub timestamp: Cow<'a, str>,
    /// The subject that it is published on.
    pub send_to: Cow<'a, str>,
    /// `chat`, `ACK`, `NACK`, `updateStatus`, `shutdown`, or any other purpose.
    pub msg_purpose: Cow<'a, str>,
    /// Who sends.
    pub sender_name: Cow<'a, str>,
    /// Who sends.
    pub sender_id: Cow<'a, str>,
    /// Who is meant; empty for everybody.
    pub receiver_name: Cow<'a, str>,
    /// Who is meant; empty for everybody.
    pub receiver_id: Cow<'a, str>,
    /// The subject to answer on; empty if no answer is expected.
    pub reply_to: Cow<'a, str>,
    /// The `msg_id` that is answered; empty if none is.
    pub reply_to_msg_id: Cow<'a, str>,
    /// The sender's broker.
    pub broker_url: Cow<'a, str>,
    /// The text of a JSON object.
    pub metadata: Cow<'a, str>,
    /// The payloads, in order.
    pub payloads: Vec<PayloadEntry<'a>>,
}

impl Envelope<'_> {
    /// The metadata, to be read into any type: what
    /// [`SendOptions::metadata`](crate::SendOptions::metadata) set.
    ///
    /// ```
    /// use natsbridge::{Envelope, Limits};
    ///
    /// let message = br#"{"correlation_id": "c", "metadata": {"room": 7}, "payloads": []}"#;
    /// let envelope = Envelope::parse(message, &Limits::default())?;
    /// let metadata: serde_json::Value = envelope.metadata_json()?.parse().unwrap();
    /// assert_eq!(metadata["room"], 7);
    /// # Ok::<(), natsbridge::EnvelopeError>(())
    /// ```
    ///
    /// # Errors
    /// [`EnvelopeFault::Payload`] if it is not JSON, which a parsed envelope's always is.
    pub fn metadata_json(&self) -> Result<Json<'_>, EnvelopeError> {
        metadata_json(&self.metadata).map_err(|error| EnvelopeError {
            payload: None,
            field: Some("metadata"),
            fault: EnvelopeFault::Payload(error),
        })
    }

    /// How many payloads come before the first with an unknown type or transport, which cannot be opened: only
    /// these need room.
    pub(crate) fn openable(&self) -> usize {
        let known =
            |entry: &&PayloadEntry<'_>| entry.payload_type().is_ok() && entry.transport().is_ok();
        self.payloads.iter().take_while(known).count()
    }
}
