//! `smartsend` and `smartreceive` of payloads in the message, without any network: against the
//! least that they can cost, and against serde and base64 as a program without this library would
//! use them.

mod messages;
mod side_by_side;

use std::hint::black_box;
use std::time::{Duration, Instant};

use messages::{
    Bridge, DecodeFloor, Discarding, EncodeFloor, SHAPES, bridge, bytes, message, payloads,
    plain_receive, plain_send,
};
use natsbridge::{ReceiveOptions, SendOptions};
use side_by_side::{SideBySide, Way, way};

const FLOOR: &str = "floor";
const PLAIN: &str = "serde";

fn main() {
    let mut sides = SideBySide::new();
    for (name, count, len) in SHAPES {
        send(&mut sides, name, count, &bytes(len));
    }
    for (name, count, len) in SHAPES {
        receive(&mut sides, name, count, &bytes(len));
    }
    sides.finish();
}

fn send(sides: &mut SideBySide, name: &str, count: usize, bytes: &[u8]) {
    let floor = || {
        let mut floor = EncodeFloor::new(bytes.len());
        way(move || floor.run(count, bytes))
    };
    let plain = || way(|| plain_send(count, bytes));
    sides.group("send as text");
    sides.compare(name, FLOOR, send_as_text(count, bytes), floor());
    sides.compare(name, PLAIN, send_as_text(count, bytes), plain());
    sides.group("send");
    sides.compare(name, FLOOR, send_to_broker(count, bytes), floor());
    sides.compare(name, PLAIN, send_to_broker(count, bytes), plain());
}

/// What is sent is asked for as a text.
fn send_as_text(count: usize, bytes: &[u8]) -> impl Way {
    let mut bridge = bridge(Discarding::unread());
    let (payloads, options) = (payloads(count, bytes), SendOptions::default());
    way(move || {
        bridge
            .smartsend("bench", &payloads, &options)
            .unwrap()
            .json()
    })
}

/// What is sent is pulled into the broker's buffer.
fn send_to_broker(count: usize, bytes: &[u8]) -> impl Way {
    let mut bridge = bridge(Discarding::pulling());
    let (payloads, options) = (payloads(count, bytes), SendOptions::default());
    way(move || drop(bridge.smartsend("bench", &payloads, &options).unwrap()))
}

fn receive(sides: &mut SideBySide, name: &str, count: usize, bytes: &[u8]) {
    let message = message(count, bytes);
    let floor = || {
        let mut floor = DecodeFloor::new(bytes.len());
        way({
            let message = &message;
            move || floor.run(message)
        })
    };
    let plain = || way(|| plain_receive(&message));
    sides.group("receive");
    sides.compare(name, FLOOR, receive_copied(&message), floor());
    sides.compare(name, PLAIN, receive_copied(&message), plain());
    sides.group("receive in place");
    sides.compare(name, FLOOR, receive_in_place(&message), floor());
    sides.compare(name, PLAIN, receive_in_place(&message), plain());
}

fn receive_copied(message: &str) -> impl Way {
    let (mut bridge, options) = (bridge(Discarding::unread()), ReceiveOptions::default());
    way(move || bridge.smartreceive(message, &options).unwrap())
}

/// A message is gone once it is decoded where it stands, so each call has a copy of its own. The
/// copies are made before the clock runs, and as few at a time as a processor's cache can hold.
fn receive_in_place(message: &str) -> impl Way {
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
        black_box(bridge.smartreceive(copy.as_mut_slice(), options).unwrap());
    }
    started.elapsed()
}
