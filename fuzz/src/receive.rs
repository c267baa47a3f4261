//! Any bytes received, in every form that a message can have.

use natsbridge::adapter::{FileServer, SliceBody};
use natsbridge::memory::{MemoryBroker, MemoryFileServer};
use natsbridge::{
    Envelope, Error, Limits, Message, NatsBridge, Opened, ReceiveOptions, SubscriptionId,
};
use peak_alloc::PeakAlloc;

use crate::envelope::tight;
use crate::still::{Still, check_words};

type Bridge = NatsBridge<MemoryBroker, MemoryFileServer, Still>;

fn bridge(limits: Limits) -> Bridge {
    let mut files = MemoryFileServer::new();
    // It is at http://memory.invalid/0000000000000000/f.
    files
        .upload("f", &mut SliceBody::new(b"[\"linked\"]"))
        .expect("memory takes any file");
    NatsBridge::new(MemoryBroker::new(), files, Still::default()).with_limits(limits)
}

/// Nothing panics, all forms are answered alike, and none takes more of the heap than it may.
pub fn receives(message: &[u8]) {
    for limits in [Limits::default(), tight()] {
        let mut bridge = bridge(limits.clone());
        let copied = bounded(message.len(), || bridge.smartreceive(message, &options()));
        let mut in_place = message.to_vec();
        let in_place = bounded(message.len(), || {
            bridge.receive_in_place(in_place.as_mut_slice(), &options())
        });
        check_same(&copied, &in_place);
        let owned = Message::new(SubscriptionId(0), "s", message.to_vec());
        let owned = bounded(message.len(), || bridge.smartreceive(owned, &options()));
        check_same(&copied, &owned);
        if let Ok(envelope) = Envelope::parse(message, &limits) {
            let parsed = bridge.smartreceive(&envelope, &options());
            check_same(&copied, &parsed);
        }
    }
}

fn options() -> ReceiveOptions {
    ReceiveOptions::default()
}

/// A message of n bytes takes at most 3 n and 64 KiB of the heap, whatever is in it. What a target
/// without the counting allocator takes is 0.
fn bounded<T>(len: usize, receive: impl FnOnce() -> T) -> T {
    let before = PeakAlloc.current_usage();
    PeakAlloc.reset_peak_usage();
    let received = receive();
    let taken = PeakAlloc.peak_usage().saturating_sub(before);
    let most = 3 * len + 65_536;
    assert!(taken <= most, "{taken} bytes for a message of {len}");
    received
}

fn check_same(one: &Result<Opened<'_>, Error>, other: &Result<Opened<'_>, Error>) {
    match (one, other) {
        (Ok(one), Ok(other)) => {
            assert_eq!(one.envelope, other.envelope);
            assert_eq!(one.payloads, other.payloads);
        }
        (Err(one), Err(other)) => {
            assert_eq!(one.to_string(), other.to_string());
            assert_eq!(one.kind(), other.kind());
            check_words(one);
            check_words(other);
        }
        (one, other) => panic!("{one:?} {other:?}"),
    }
}
