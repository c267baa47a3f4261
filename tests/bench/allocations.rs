//! How often a send and a receive ask for memory, and for how much. Apart from the other benches,
//! because counting takes time.

mod messages;
mod plain;

use allocation_counter::measure;
use messages::{Discarding, SHAPES, bridge, bytes, message, payloads};
use natsbridge::{ReceiveOptions, SendOptions};

fn main() {
    println!(
        "| {:29} | allocations | bytes, all | bytes, peak | in payloads |",
        ""
    );
    println!(
        "| {:-<29} | ----------: | ---------: | ----------: | ----------: |",
        ""
    );
    for (name, count, len) in SHAPES {
        let bytes = bytes(len);
        send(name, count, &bytes);
        receive(name, count, &bytes);
    }
    println!("\nin payloads: all bytes asked for, in lengths of all the message's payloads");
}

fn send(name: &str, count: usize, bytes: &[u8]) {
    let (payloads, options) = (payloads(count, bytes), SendOptions::default());
    let as_text = options.clone().keep_json(true);
    let len = count * bytes.len();
    let mut unread = bridge(Discarding::unread());
    row("send as text", name, len, || {
        unread.smartsend("bench", &payloads, &as_text).unwrap();
    });
    let mut pulling = bridge(Discarding::pulling());
    row("send", name, len, || {
        pulling.smartsend("bench", &payloads, &options).unwrap();
    });
    row("send, serde", name, len, || drop(plain::send(count, bytes)));
}

fn receive(name: &str, count: usize, bytes: &[u8]) {
    let (message, options) = (message(count, bytes), ReceiveOptions::default());
    let len = count * bytes.len();
    let mut bridge = bridge(Discarding::unread());
    row("receive", name, len, || {
        bridge.smartreceive(message.as_str(), &options).unwrap();
    });
    // Each call needs a message of its own: one for the call that does not count.
    let mut copies = vec![message.clone().into_bytes(); 2];
    row("receive in place", name, len, || {
        let mut copy = copies.pop().unwrap();
        bridge
            .receive_in_place(copy.as_mut_slice(), &options)
            .unwrap();
    });
    row("receive, serde", name, len, || {
        drop(plain::receive(&message))
    });
}

/// The second call counts: what the first one makes for all that follow is there then.
fn row(what: &str, name: &str, len: usize, mut work: impl FnMut()) {
    work();
    let counted = measure(work);
    let in_payloads = match len {
        0 => String::new(),
        _ => format!("{:.2}", counted.bytes_total as f64 / len as f64),
    };
    println!(
        "| {:29} | {:11} | {:10} | {:11} | {in_payloads:>11} |",
        format!("{what}, {name}"),
        counted.count_total,
        counted.bytes_total,
        counted.bytes_max,
    );
}
