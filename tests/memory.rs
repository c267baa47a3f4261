//! What a receive takes of the heap: at most three times the message and 64 KiB, whatever is in it.
//! The counting allocator lets no reallocation pass for free: old and new memory count at once.

use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use natsbridge::host::StdPlatform;
use natsbridge::memory::MemoryBroker;
use natsbridge::{NatsBridge, NoFileServer, ReceiveOptions};
use peak_alloc::PeakAlloc;

#[cfg(feature = "fuzzing")]
#[path = "../fuzz/src/plain_http.rs"]
mod plain_http;
#[cfg(feature = "fuzzing")]
#[path = "../fuzz/src/wire.rs"]
#[allow(dead_code, reason = "the NATS protocol is tested elsewhere")]
mod wire;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

fn message(payloads: &str) -> String {
    format!(r#"{{"correlation_id":"c","payloads":[{payloads}]}}"#)
}

fn payload(kind: &str, name: &str, data: &str) -> String {
    format!(
        r#"{{"dataname":"{name}","payload_type":"{kind}","transport":"direct","data":"{data}"}}"#
    )
}

/// A message of about `len` bytes, full of the same payload, but not of more than it may have.
fn full_of(payload: &str, len: usize) -> String {
    let count = (len / (payload.len() + 1)).min(400 + len / 136);
    message(&vec![payload; count].join(","))
}

/// Half of the message as many payloads as there may be, the other half one with an escape.
fn mixed(payload: &str, len: usize) -> String {
    let count = (len / 2 / payload.len()).min(380 + len / 152);
    let long = self::payload("binary", "n", &format!("{}\\u0051AAA", base64(len / 2)));
    message(&format!("{},{long}", vec![payload; count].join(",")))
}

fn base64(len: usize) -> String {
    "QUFB".repeat(len / 4)
}

/// The base64 of brackets, `len` characters, and with its first character escaped.
fn brackets(len: usize) -> [String; 2] {
    let text = STANDARD.encode("[".repeat(len / 4 * 3));
    let escaped = text.replacen('W', "\\u0057", 1);
    [text, escaped]
}

/// Messages of about `len` bytes that take much memory for what they are.
fn greedy(len: usize) -> Vec<(&'static str, String)> {
    let own = r#"{"id":"11111111-1111-4111-8111-111111111111","dataname":"n","payload_type":"text","transport":"direct","encoding":"base64","size":0,"data":"","metadata":{"payload_bytes":0}}"#;
    let nobody_s = r#"{"dataname":"","payload_type":"","transport":"","data":""}"#;
    let data = base64(len);
    let [deep, deep_escaped] = brackets(len);
    let escapes = "\\/".repeat(len / 2);
    let beside = |field: &str| format!(r#"{{"correlation_id":"c","payloads":[],{field}}}"#);
    let link = |url: &str| message(&payload("text", "n", url).replace("direct", "link"));
    vec![
        ("smallest payloads", full_of(&payload("text", "", ""), len)),
        (
            "small payloads",
            full_of(&payload("text", "n", "QQ=="), len),
        ),
        ("payloads as sent", full_of(own, len)),
        ("unknown payloads", full_of(nobody_s, len)),
        ("names", full_of(&payload("text", &"n".repeat(50), ""), len)),
        (
            "long names",
            full_of(&payload("text", &"n".repeat(1024), ""), len),
        ),
        (
            "escaped names",
            full_of(&payload("text", &"\\/".repeat(100), ""), len),
        ),
        ("mixed", mixed(&payload("text", "", ""), len)),
        ("unknown and mixed", mixed(nobody_s, len)),
        (
            "no payloads at all",
            message(&vec!["{}"; len / 3].join(",")),
        ),
        ("data", message(&payload("binary", "n", &data))),
        (
            "escape first",
            message(&payload("binary", "n", &format!("\\u0051AAA{data}"))),
        ),
        (
            "escape last",
            message(&payload("binary", "n", &format!("{data}\\u0051AAA"))),
        ),
        ("escapes only", message(&payload("binary", "n", &escapes))),
        (
            "deep dictionary",
            message(&payload("dictionary", "n", &deep)),
        ),
        (
            "escaped and deep",
            message(&payload("dictionary", "n", &deep_escaped)),
        ),
        (
            "metadata",
            beside(&format!(r#""metadata":{{"a":"{data}"}}"#)),
        ),
        (
            "deep and unknown",
            beside(&format!(r#""x":{}"#, "[".repeat(len))),
        ),
        ("long key", beside(&format!(r#""\n{data}":0"#))),
        ("long id", beside(&format!(r#""msg_id":"\n{data}""#))),
        ("link", link(&data)),
        ("escaped link", link(&format!("\\/{data}"))),
    ]
}

/// Most heap in use while a message is received, in bytes, beside what was in use before.
fn taken<T, E>(
    receive: impl FnOnce(&mut Bridge, &ReceiveOptions) -> Result<T, E>,
) -> (usize, bool) {
    let mut bridge = NatsBridge::new(MemoryBroker::new(), NoFileServer, StdPlatform);
    let options = ReceiveOptions::default();
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let received = receive(&mut bridge, &options);
    (HEAP.peak_usage() - before, received.is_ok())
}

type Bridge = NatsBridge<MemoryBroker, NoFileServer, StdPlatform>;

/// The heap is counted as one: only one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Issue 10: `http_response` has a bound of memory.
#[cfg(feature = "fuzzing")]
#[test]
fn http_responses_take_no_more_memory_than_a_head() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let many = |part: &str, count| part.repeat(count);
    let ok = "HTTP/1.1 200 OK\r\n";
    for stream in [
        many("HTTP/1.1 204 \r\n\r\n", 100_000),
        many("HTTP/1.1 100 \r\n\r\n", 100_000),
        many(ok, 100_000),
        format!("{ok}Location: {}", many("x", 1_000_000)),
        format!(
            "{ok}Location: {}\r\nContent-Length: 0\r\n\r\n",
            many("x", 8_000)
        ),
        format!(
            "{ok}Content-Length: 1000000\r\n\r\n{}",
            many("x", 1_000_000)
        ),
        format!(
            "{ok}Transfer-Encoding: chunked\r\n\r\n{}",
            many("1\r\nx\r\n", 100_000)
        ),
        format!(
            "{ok}Transfer-Encoding: chunked\r\n\r\n0\r\n{}",
            many("T: t\r\n", 100_000)
        ),
    ] {
        // The first byte says how it is cut.
        wire::http_response(&[b"\x07", stream.as_bytes()].concat());
    }
}

#[test]
fn a_message_takes_at_most_three_times_its_length_and_64_kib() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut received = 0;
    // Among them some whose parts are just over a power of two, where buffers double in vain.
    for len in [1_000, 30_000, 87_500, 175_000, 699_200, 1_050_000] {
        for (name, text) in greedy(len) {
            let most = 3 * text.len() + 65_536;
            let (copied, is_ok) =
                taken(|bridge, options| bridge.smartreceive(text.as_str(), options));
            let mut bytes = text.clone().into_bytes();
            let (in_place, _) =
                taken(|bridge, options| bridge.receive_in_place(&mut bytes[..], options).map(drop));
            let len = text.len();
            assert!(copied <= most, "{name}: {copied} bytes for {len}, copied");
            assert!(
                in_place <= most,
                "{name}: {in_place} bytes for {len}, in place"
            );
            received += usize::from(is_ok);
        }
    }
    assert!(received > 50, "only {received} were messages");
}
