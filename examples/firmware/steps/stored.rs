//! A message that a stream of JetStream keeps until a worker is done with it.

use alloc::format;

use natsbridge::{ConsumeOptions, JetStream, PayloadType, SendOptions, StreamOptions};

use super::PATIENCE;
use crate::bench::{Bench, Failure, Unmet, check};
use crate::pattern;
use crate::platform::Board;

const STREAM: &str = "BOARD";
const LEN: usize = 10_000;

/// Creates the stream, has it store a message, takes that from a durable consumer, and acknowledges it.
pub fn stored(bench: &mut Bench<'_>) -> Result<u32, Failure> {
    let subject = format!("{}.stored", bench.subject);
    let Bench { bridge, sample, .. } = bench;
    let stream = StreamOptions::new(STREAM).subject(&*subject);
    JetStream::new(bridge.broker(), Board).ensure_stream(&stream)?;
    let payload = pattern::payload(PayloadType::Binary, LEN, sample)?;
    let options = SendOptions::default().stored(true);
    let sent = bridge.smartsend(&subject, &[("sample", payload)], &options)?;
    let is_first = sent.stored().is_some_and(|stored| stored.sequence == 1);
    check(is_first, "it is not the first message of the stream")?;
    let mut consumer = bridge.consume(STREAM, "worker", ConsumeOptions::default())?;
    let delivery = consumer.next(PATIENCE)?;
    let delivery = delivery.ok_or(Unmet("the stream has nothing"))?;
    let is_equal = delivery.bytes("sample")? == &sample[..LEN];
    check(is_equal, "other bytes came back")?;
    consumer.ack_confirmed(&delivery)?;
    Ok(1)
}
