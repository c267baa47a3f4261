//! A payload that travels by way of the file server, and is never in memory as a whole.

use alloc::boxed::Box;
use alloc::format;

use natsbridge::adapter::{Body, Content, Sink, StreamError};
use natsbridge::{Envelope, Limits, Payload, PayloadType, ReceiveOptions, SendOptions, Transport};

use super::PATIENCE;
use crate::bench::{Bench, Failure, Unmet, check};
use crate::pattern;

/// Uploads a payload that is made as it goes, and downloads it again into a sink that compares. The
/// library itself counts and hashes it both ways.
pub fn link(bench: &mut Bench<'_>) -> Result<u32, Failure> {
    let subject = format!("{}.link", bench.subject);
    let recorded = bench.words.number("bytes", 1_000_000);
    let recording = Recording { len: recorded };
    let bridge = &mut bench.bridge;
    let id = bridge.subscribe(&subject, None)?;
    let payloads = [("recording", Payload::stream(recording))];
    bridge.smartsend(&subject, &payloads, &SendOptions::default())?;
    let message = bridge
        .next_message(PATIENCE)?
        .ok_or(Unmet("nothing came back"))?;
    let envelope = Envelope::parse(&message.payload, &Limits::default())?;
    let entry = envelope
        .payloads
        .first()
        .ok_or(Unmet("no payload came back"))?;
    check(entry.transport()? == Transport::Link, "it is no link")?;
    let mut comparison = Comparison { compared: 0 };
    let len = bridge.download(entry, &ReceiveOptions::default(), &mut comparison)?;
    check(len == recorded, "another length came back")?;
    check(comparison.compared == len, "not all of it was compared")?;
    bridge.unsubscribe(id)?;
    Ok(1)
}

/// Bytes that nobody has, as from a microphone.
struct Recording {
    len: u64,
}

impl Content for Recording {
    fn payload_type(&self) -> PayloadType {
        PayloadType::Audio
    }

    fn size(&self) -> u64 {
        self.len
    }

    fn open(&self) -> Result<Box<dyn Body + '_>, StreamError> {
        let len = self.len;
        Ok(Box::new(Playback { len, place: 0 }))
    }
}

struct Playback {
    len: u64,
    place: u64,
}

impl Body for Playback {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        let places = self.place..self.len;
        let start = self.place;
        for (place, byte) in places.zip(out) {
            *byte = pattern::at(place);
            self.place += 1;
        }
        // No more than the length of `out`.
        Ok((self.place - start) as usize)
    }

    fn rewind(&mut self) -> Result<(), StreamError> {
        self.place = 0;
        Ok(())
    }
}

/// Compares what arrives with what was sent, and keeps nothing of it.
struct Comparison {
    compared: u64,
}

impl Sink for Comparison {
    fn write(&mut self, chunk: &[u8]) -> Result<(), StreamError> {
        for byte in chunk {
            if *byte != pattern::at(self.compared) {
                return Err(StreamError::Io(Unmet("other bytes came back").into()));
            }
            self.compared += 1;
        }
        Ok(())
    }

    fn reset(&mut self) -> Result<(), StreamError> {
        self.compared = 0;
        Ok(())
    }
}
