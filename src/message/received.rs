//! A message whose payloads are opened.

use alloc::string::String;
use alloc::vec::{self, Vec};
use core::iter::Map;
use core::slice;

use super::envelope::Envelope;
use super::error::{EnvelopeError, EnvelopeFault, PayloadRef};
use super::payload::Payload;
use crate::nats::Headers;

/// Names of payloads that an error lists.
const MAX_NAMES: usize = 8;

/// What `smartreceive`, `next` and `request` return: the envelope, and its payloads opened, in order. It
/// owns all of it.
///
/// ```
/// use std::time::Duration;
/// use natsbridge::memory::{MemoryBroker, MemoryFileServer};
/// use natsbridge::{Error, NatsBridge, Payload, Received, SendOptions, host::StdPlatform};
///
/// fn celsius(received: &Received) -> Result<f64, Error> {
///     Ok(received.json("celsius")?)
/// }
///
/// let mut bridge = NatsBridge::new(MemoryBroker::new(), MemoryFileServer::new(), StdPlatform);
/// bridge.subscribe("rooms.*", None)?;
/// let reading = [("note", Payload::text("window open")), ("celsius", Payload::dictionary(&17.5)?)];
/// bridge.smartsend("rooms.7", &reading, &SendOptions::default())?;
///
/// while let Some(received) = bridge.next(Duration::ZERO)? {
///     assert_eq!(received.subject(), "rooms.7");
///     assert_eq!(received.text("note")?, "window open");
///     assert_eq!(celsius(&received)?, 17.5);
///     let error = received.text("nota").unwrap_err();
///     assert_eq!(error.to_string(), "there is no payload `nota`, but `note`, `celsius`");
/// }
/// # Ok::<(), natsbridge::Error>(())
/// ```
pub type Received = Opened<'static>;

/// A message whose payloads are opened; `'m` is the memory that they stand in. Mostly it is their own:
/// [`Received`]. [`NatsBridge::receive_in_place`](crate::NatsBridge::receive_in_place) leaves them where they arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened<'m> {
    /// The envelope. The `data` of its direct payloads is empty, because it stands opened in
    /// [`payloads`](Self::payloads).
    pub envelope: Envelope<'static>,
    /// Each payload's name and data. What the envelope says of it is at the same place in
    /// `envelope.payloads`.
    pub payloads: Vec<(String, Payload<'m>)>,
    /// The reply subject of NATS, where the sender set one.
    pub reply: Option<String>,
    /// The headers of NATS. None for a message that did not come from a broker.
    pub headers: Headers,
    pub(crate) subject: Option<String>,
}

impl<'m> Opened<'m> {
    /// The subject that the message was delivered on. For one that did not come from a broker, the
    /// envelope's `send_to`.
    pub fn subject(&self) -> &str {
        self.subject.as_deref().unwrap_or(&self.envelope.send_to)
    }

    /// The payload of that name, of several the first; `None` if there is none.
    ///
    /// ```
    /// use natsbridge::{ReceiveOptions, host};
    ///
    /// # let message = r#"{"correlation_id": "c", "payloads": []}"#;
    /// let received = host::smartreceive(message, &ReceiveOptions::default())?;
    /// match received.get("note") {
    ///     Some(payload) => println!("a {} of {} bytes", payload.payload_type(), payload.len()),
    ///     None => println!("no note"),
    /// }
    /// # Ok::<(), natsbridge::Error>(())
    /// ```
    pub fn get(&self, dataname: &str) -> Option<&Payload<'m>> {
        self.find(dataname).map(|(_, payload)| payload)
    }

    /// The text of that name; for an example see [`Received`].
    ///
    /// # Errors
    /// [`EnvelopeFault::NoPayload`] names the payloads that there are, [`EnvelopeFault::WrongType`] the type
    /// that the payload has.
    pub fn text(&self, dataname: &str) -> Result<&str, EnvelopeError> {
        let (index, payload) = self.require(dataname)?;
        let text = payload.as_text();
        text.ok_or_else(|| wrong_type(index, dataname, payload, "a text"))
    }

    /// The dictionary or JSON table of that name, read into any type that serde can read,
    /// `serde_json::Value` among them; for an example see [`Received`].
    ///
    /// # Errors
    /// As [`text`](Self::text), and [`EnvelopeFault::Unexpected`] if the value does not fit `T`.
    #[cfg(feature = "serde")]
    pub fn json<'de, T: serde::Deserialize<'de>>(
        &'de self,
        dataname: &str,
    ) -> Result<T, EnvelopeError> {
        let (index, payload) = self.require(dataname)?;
        let Some(json) = payload.as_json() else {
            return Err(wrong_type(index, dataname, payload, "JSON"));
        };
        json.parse()
            .map_err(|error| fault(index, dataname, EnvelopeFault::Unexpected(error)))
    }

    /// The serialized bytes of the payload of that name, whatever its type.
    ///
    /// ```
    /// use natsbridge::{ReceiveOptions, host};
    ///
    /// let message = r#"{"correlation_id": "c", "payloads": [{"dataname": "photo",
    ///     "payload_type": "image", "transport": "direct", "data": "iVBORw=="}]}"#;
    /// let received = host::smartreceive(message, &ReceiveOptions::default())?;
    /// assert_eq!(received.bytes("photo")?, b"\x89PNG");
    /// # Ok::<(), natsbridge::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`EnvelopeFault::NoPayload`] names the payloads that there are.
    pub fn bytes(&self, dataname: &str) -> Result<&[u8], EnvelopeError> {
        let (_, payload) = self.require(dataname)?;
        Ok(payload.as_bytes().unwrap_or_default())
    }

    /// Names and payloads as a send takes them, borrowed from this message, to pass it on.
    ///
    /// ```
    /// use natsbridge::adapter::{Broker, FileServer, Platform};
    /// use natsbridge::{Error, NatsBridge, Received, SendOptions};
    ///
    /// fn echo(
    ///     bridge: &mut NatsBridge<impl Broker, impl FileServer, impl Platform>,
    ///     received: &Received,
    /// ) -> Result<(), Error> {
    ///     bridge.reply(received, &received.list(), &SendOptions::default())?;
    ///     Ok(())
    /// }
    /// ```
    pub fn list(&self) -> Vec<(&str, Payload<'_>)> {
        self.into_iter()
            .map(|(name, payload)| (name, payload.by_ref()))
            .collect()
    }

    /// The same message, which borrows nothing.
    pub fn into_owned(self) -> Received {
        let payloads = self.payloads.into_iter();
        Opened {
            envelope: self.envelope,
            payloads: payloads
                .map(|(name, payload)| (name, payload.into_owned()))
                .collect(),
            reply: self.reply,
            headers: self.headers,
            subject: self.subject,
        }
    }

    fn find(&self, dataname: &str) -> Option<(usize, &Payload<'m>)> {
        let mut payloads = self.into_iter().enumerate();
        let (index, (_, payload)) = payloads.find(|(_, (name, _))| *name == dataname)?;
        Some((index, payload))
    }

    fn require(&self, dataname: &str) -> Result<(usize, &Payload<'m>), EnvelopeError> {
        let names = self.into_iter().map(|(name, _)| name);
        self.find(dataname).ok_or_else(|| EnvelopeError {
            payload: None,
            field: None,
            fault: EnvelopeFault::NoPayload {
                dataname: dataname.into(),
                present: names.take(MAX_NAMES).map(String::from).collect(),
                count: self.payloads.len(),
            },
        })
    }
}

fn wrong_type(
    index: usize,
    dataname: &str,
    payload: &Payload<'_>,
    expected: &'static str,
) -> EnvelopeError {
    let actual = payload.payload_type();
    fault(
        index,
        dataname,
        EnvelopeFault::WrongType { expected, actual },
    )
}

fn fault(index: usize, dataname: &str, fault: EnvelopeFault) -> EnvelopeError {
    EnvelopeError {
        payload: Some(PayloadRef::new(index, dataname)),
        field: None,
        fault,
    }
}

/// Payloads by value, with their names.
impl<'m> IntoIterator for Opened<'m> {
    type Item = (String, Payload<'m>);
    type IntoIter = vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.payloads.into_iter()
    }
}

type Owned<'m> = (String, Payload<'m>);

/// Payloads with their names.
impl<'o, 'm> IntoIterator for &'o Opened<'m> {
    type Item = (&'o str, &'o Payload<'m>);
    type IntoIter = Map<slice::Iter<'o, Owned<'m>>, fn(&'o Owned<'m>) -> Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.payloads
            .iter()
            .map(|(name, payload)| (name.as_str(), payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;
    use alloc::vec;

    fn received(payloads: Vec<(String, Payload<'static>)>) -> Received {
        Opened {
            envelope: Envelope::default(),
            payloads,
            reply: None,
            headers: Headers::default(),
            subject: None,
        }
    }

    #[test]
    fn payloads_are_read_by_name_and_errors_say_what_is_there() {
        let received = received(vec![
            ("note".into(), Payload::text("hi")),
            ("room".into(), Payload::dictionary(&7).unwrap()),
            ("rows".into(), Payload::json_table(&[1, 2]).unwrap()),
            ("photo\n".into(), Payload::Image(vec![1, 2].into())),
            ("note".into(), Payload::text("the second of its name")),
        ]);
        assert_eq!(received.text("note").unwrap(), "hi");
        assert_eq!(received.json::<u8>("room").unwrap(), 7);
        assert_eq!(received.json::<Vec<u8>>("rows").unwrap(), [1, 2]);
        assert_eq!(received.bytes("photo\n").unwrap(), [1, 2]);
        assert_eq!(received.bytes("note").unwrap(), b"hi");
        assert_eq!(received.get("Note"), None);
        let borrowed: &str = received.text("note").unwrap();
        assert_eq!(received.get("note").unwrap().as_text(), Some(borrowed));
        for (error, words) in [
            (
                received.text("x\r").unwrap_err(),
                "there is no payload `x\\u{d}`, but `note`, `room`, `rows`, `photo\\u{a}`, `note`",
            ),
            (
                received.text("photo\n").unwrap_err(),
                "payload 3 `photo\\u{a}`: it is of type `image`, and not a text",
            ),
            (
                received.json::<u8>("note").unwrap_err(),
                "payload 0 `note`: it is of type `text`, and not JSON",
            ),
            (
                received.json::<u8>("rows").unwrap_err(),
                "payload 2 `rows`: it is not what is asked for",
            ),
        ] {
            assert_eq!(error.to_string(), words);
        }
        let debug = alloc::format!("{:?}", received.json::<u8>("rows").unwrap_err());
        assert!(debug.contains("invalid type: sequence"), "{debug}");
    }

    #[test]
    fn an_error_about_a_missing_payload_stays_short() {
        let name = |number: usize| alloc::format!("{number}{}", "x".repeat(1000));
        let many = (0..1000).map(|number| (name(number), Payload::text("")));
        let error = received(many.collect()).text(&name(7777)).unwrap_err();
        let words = error.to_string();
        assert!(words.len() < 3000, "{} bytes", words.len());
        assert!(words.ends_with("and 992 more"), "{words}");
        let error = received(Vec::new()).bytes("a").unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no payload `a`: the message has none"
        );
    }

    #[test]
    fn payloads_are_iterated_by_value_and_by_reference() {
        let received = received(vec![("note".into(), Payload::text("hi"))]);
        for (name, payload) in &received {
            assert_eq!((name, payload.as_text()), ("note", Some("hi")));
        }
        assert_eq!(received.list(), [("note", Payload::text("hi"))]);
        let owned: Vec<(String, Payload<'static>)> = received.into_iter().collect();
        assert_eq!(owned.len(), 1);
    }
}
