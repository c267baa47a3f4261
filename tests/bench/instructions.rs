//! One send or receive, so many times, for `instructions.sh` to count what the processor does.

mod messages;

use std::hint::black_box;

use messages::{Discarding, bridge, bytes, message, payloads};
use natsbridge::{ReceiveOptions, SendOptions};

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [what, len, times] = arguments.as_slice() else {
        // `cargo bench` runs every program; this one has nothing to tell without valgrind.
        return println!("instructions: run by tests/bench/instructions.sh");
    };
    let (bytes, times) = (bytes(len.parse().unwrap()), times.parse().unwrap());
    match what.as_str() {
        "send" => send(&bytes, times),
        "receive" => receive(&bytes, times),
        "receive-in-place" => receive_in_place(&bytes, times),
        other => panic!("`{other}` is neither send nor receive nor receive-in-place"),
    }
}

fn send(bytes: &[u8], times: usize) {
    let mut bridge = bridge(Discarding::pulling());
    let (payloads, options) = (payloads(1, bytes), SendOptions::default());
    for _ in 0..times {
        black_box(bridge.smartsend("bench", &payloads, &options).unwrap());
    }
}

fn receive(bytes: &[u8], times: usize) {
    let (mut bridge, message) = (bridge(Discarding::unread()), message(1, bytes));
    let options = ReceiveOptions::default();
    for _ in 0..times {
        black_box(bridge.smartreceive(message.as_str(), &options).unwrap());
    }
}

/// With each message goes a copy of it.
fn receive_in_place(bytes: &[u8], times: usize) {
    let (mut bridge, message) = (bridge(Discarding::unread()), message(1, bytes));
    let (options, mut copy) = (ReceiveOptions::default(), message.clone().into_bytes());
    for _ in 0..times {
        copy.copy_from_slice(message.as_bytes());
        black_box(
            bridge
                .receive_in_place(copy.as_mut_slice(), &options)
                .unwrap(),
        );
    }
}
