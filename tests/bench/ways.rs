//! The ways to send and to receive by this library.
#![allow(dead_code, reason = "each bench uses a part")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use natsbridge::{Envelope, Limits, ReceiveOptions, SendOptions};

use crate::messages::{Bridge, Discarding, bridge, link_bridge, payloads};
use crate::side_by_side::{Way, way};

/// What is sent is asked for as a text.
pub fn send_as_text(count: usize, bytes: &[u8]) -> impl Way {
    let mut bridge = bridge(Discarding::unread());
    let payloads = payloads(count, bytes);
    let options = SendOptions::default().keep_json(true);
    way(move || {
        let sent = bridge.smartsend("bench", &payloads, &options).unwrap();
        assert!(sent.json().is_some());
        sent
    })
}

/// What is sent is pulled into the broker's buffer.
pub fn send_to_broker(count: usize, bytes: &[u8]) -> impl Way {
    let mut bridge = bridge(Discarding::pulling());
    let (payloads, options) = (payloads(count, bytes), SendOptions::default());
    way(move || drop(bridge.smartsend("bench", &payloads, &options).unwrap()))
}

/// A message that has been parsed is written again.
pub fn write_again(message: &str) -> impl Way {
    let envelope = Envelope::parse(message.as_bytes(), &Limits::default()).unwrap();
    way(move || envelope.json())
}

/// Every payload is a link.
pub fn send_links(count: usize, bytes: &[u8]) -> impl Way {
    let mut bridge = link_bridge(bytes);
    let (payloads, options) = (payloads(count, bytes), SendOptions::default());
    way(move || drop(bridge.smartsend("bench", &payloads, &options).unwrap()))
}

/// Every payload is a link.
pub fn receive_links(message: &str, bytes: &[u8]) -> impl Way {
    let (mut bridge, options) = (link_bridge(bytes), ReceiveOptions::default());
    way(move || bridge.smartreceive(message, &options).unwrap())
}

/// Payloads are decoded into memory of their own.
pub fn receive_copied(message: &str) -> impl Way {
    let (mut bridge, options) = (bridge(Discarding::unread()), ReceiveOptions::default());
    way(move || bridge.smartreceive(message, &options).unwrap())
}

/// A message is gone once it is decoded where it stands, so each call has a copy of its own. The
/// copies are made before the clock runs, and as few at a time as a processor's cache can hold.
pub fn receive_in_place(message: &str) -> impl Way {
    const CACHE: usize = 64 << 10;
    let (mut bridge, options) = (bridge(Discarding::unread()), ReceiveOptions::default());
    let at_once = (CACHE / message.len()).max(1);
    let mut copies = vec![message.as_bytes().to_vec(); at_once];
    move |times| {
        let mut left = usize::try_from(times).unwrap();
        let mut taken = Duration::ZERO;
        while left > 0 {
            let some = left.min(at_once);
            let copies = &mut copies[..some];
            for copy in copies.iter_mut() {
                copy.copy_from_slice(message.as_bytes());
            }
            taken += receive_each(&mut bridge, copies, &options);
            left -= some;
        }
        taken
    }
}

fn receive_each(bridge: &mut Bridge, copies: &mut [Vec<u8>], options: &ReceiveOptions) -> Duration {
    let started = Instant::now();
    for copy in copies {
        black_box(
            bridge
                .receive_in_place(copy.as_mut_slice(), options)
                .unwrap(),
        );
    }
    started.elapsed()
}

/// Each time is so many times.
pub fn times(many: u64, mut way: impl Way) -> impl Way {
    move |times| way(many * times)
}
