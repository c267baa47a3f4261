//! `smartsend` and `smartreceive` of payloads in the message, without any network: against the
//! least that they can cost, and against serde and base64 as a program without this library would
//! use them.

mod floor;
mod messages;
mod plain;
mod side_by_side;
mod ways;

use floor::{DecodeFloor, EncodeFloor};
use messages::{SHAPES, bytes, message};
use side_by_side::{SideBySide, way};
use ways::{receive_copied, receive_in_place, send_as_text, send_to_broker};

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
    let plain = || way(|| plain::send(count, bytes));
    sides.group("send as text", 1, count * bytes.len());
    sides.compare(name, FLOOR, send_as_text(count, bytes), floor());
    sides.compare(name, PLAIN, send_as_text(count, bytes), plain());
    sides.group("send", 1, count * bytes.len());
    sides.compare(name, FLOOR, send_to_broker(count, bytes), floor());
    sides.compare(name, PLAIN, send_to_broker(count, bytes), plain());
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
    let plain = || way(|| plain::receive(&message));
    sides.group("receive", 1, count * bytes.len());
    sides.compare(name, FLOOR, receive_copied(&message), floor());
    sides.compare(name, PLAIN, receive_copied(&message), plain());
    sides.group("receive in place", 1, count * bytes.len());
    sides.compare(name, FLOOR, receive_in_place(&message), floor());
    sides.compare(name, PLAIN, receive_in_place(&message), plain());
}
