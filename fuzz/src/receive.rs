//! Any bytes received, in every form that a message can have.

use natsbridge::memory::{MemoryBroker, MemoryFileServer};
use natsbridge::{
    Envelope, Error, FileServer, Incoming, Limits, Message, NatsBridge, ReceiveOptions, Received,
    SliceBody, SubscriptionId,
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
        let copied = bounded(&mut bridge, message.len(), message);
        let mut in_place = message.to_vec();
        let in_place = bounded(&mut bridge, message.len(), in_place.as_mut_slice());
        check_same(&copied, &in_place);
        let owned = Message::new(SubscriptionId(0), "s", message.to_vec());
        check_same(&copied, &bounded(&mut bridge, message.len(), owned));
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
fn bounded<'m>(
    bridge: &mut Bridge,
    len: usize,
    message: impl Into<Incoming<'m>>,
) -> Result<Received<'m>, Error> {
    let message = message.into();
    let before = PeakAlloc.current_usage();
    PeakAlloc.reset_peak_usage();
    let received = bridge.smartreceive(message, &options());
    let taken = PeakAlloc.peak_usage().saturating_sub(before);
    let most = 3 * len + 65_536;
    assert!(taken <= most, "{taken} bytes for a message of {len}");
    received
}

fn check_same(one: &Result<Received<'_>, Error>, other: &Result<Received<'_>, Error>) {
    match (one, other) {
        (Ok(one), Ok(other)) => assert_eq!(one, other),
        (Err(one), Err(other)) => {
            assert_eq!(one.to_string(), other.to_string());
            assert_eq!(one.kind(), other.kind());
            check_words(one);
            check_words(other);
        }
        (one, other) => panic!("{one:?} {other:?}"),
    }
}
