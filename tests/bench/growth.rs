//! Whether time grows as the message does, and no faster: what a byte of 10 MB costs beside one of
//! 100 KB, and a payload or a link among a thousand beside one alone.

mod messages;
mod side_by_side;
mod ways;

use messages::{bytes, link_message, message};
use side_by_side::SideBySide;
use ways::{
    receive_copied, receive_in_place, receive_links, send_as_text, send_links, send_to_broker,
    times, write_again,
};

fn main() {
    let mut sides = SideBySide::new();
    bytes_of_a_large_message(&mut sides);
    payloads_of_a_large_message(&mut sides);
    links_of_a_large_message(&mut sides);
    sides.finish();
}

fn bytes_of_a_large_message(sides: &mut SideBySide) {
    const MANY: u64 = 100;
    const SMALLER: &str = "100 of 100 KB";
    let (large, small) = (bytes(10_000_000), bytes(100_000));
    let (large_message, small_message) = (message(1, &large), message(1, &small));
    sides.group("10 MB", 1, large.len());
    sides.compare(
        "send as text",
        SMALLER,
        send_as_text(1, &large),
        times(MANY, send_as_text(1, &small)),
    );
    sides.compare(
        "send",
        SMALLER,
        send_to_broker(1, &large),
        times(MANY, send_to_broker(1, &small)),
    );
    sides.compare(
        "write again",
        SMALLER,
        write_again(&large_message),
        times(MANY, write_again(&small_message)),
    );
    sides.compare(
        "receive",
        SMALLER,
        receive_copied(&large_message),
        times(MANY, receive_copied(&small_message)),
    );
    sides.compare(
        "receive in place",
        SMALLER,
        receive_in_place(&large_message),
        times(MANY, receive_in_place(&small_message)),
    );
}

fn payloads_of_a_large_message(sides: &mut SideBySide) {
    const MANY: usize = 1000;
    const SMALLER: &str = "1000 of one";
    let bytes = bytes(100);
    let (large, small) = (message(MANY, &bytes), message(1, &bytes));
    let many = MANY as u64;
    sides.group("1000 payloads", 1, MANY * bytes.len());
    sides.compare(
        "send as text",
        SMALLER,
        send_as_text(MANY, &bytes),
        times(many, send_as_text(1, &bytes)),
    );
    sides.compare(
        "send",
        SMALLER,
        send_to_broker(MANY, &bytes),
        times(many, send_to_broker(1, &bytes)),
    );
    sides.compare(
        "receive",
        SMALLER,
        receive_copied(&large),
        times(many, receive_copied(&small)),
    );
    sides.compare(
        "receive in place",
        SMALLER,
        receive_in_place(&large),
        times(many, receive_in_place(&small)),
    );
}

fn links_of_a_large_message(sides: &mut SideBySide) {
    const MANY: usize = 4000;
    const SMALLER: &str = "4000 of one";
    let bytes = bytes(100);
    let (large, small) = (link_message(MANY, &bytes), link_message(1, &bytes));
    let many = MANY as u64;
    sides.group("4000 links", 1, MANY * bytes.len());
    sides.compare(
        "send",
        SMALLER,
        send_links(MANY, &bytes),
        times(many, send_links(1, &bytes)),
    );
    sides.compare(
        "receive",
        SMALLER,
        receive_links(&large, &bytes),
        times(many, receive_links(&small, &bytes)),
    );
}
