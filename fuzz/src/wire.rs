//! Any bytes from a server, cut in any way.

use natsbridge::fuzzing;
use peak_alloc::PeakAlloc;

use crate::plain_http;

/// Cuts `bytes` into pieces of 0 to 16 bytes: which, `seed` says.
fn pieces(bytes: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut state = u64::from(seed);
    let mut rest = bytes;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        // Knuth's MMIX generator; its high bits are good enough to cut by.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let (piece, tail) = rest.split_at(rest.len().min((state >> 60) as usize + 1));
        pieces.push(piece);
        rest = tail;
    }
    pieces
}

/// The first byte says how to cut, the rest is what a NATS server sends.
pub fn nats_protocol(input: &[u8]) {
    let Some((seed, stream)) = input.split_first() else {
        return;
    };
    for limits in [None, Some([40, 60, 20, 30])] {
        let whole = fuzzing::nats(limits, [stream]);
        assert_eq!(fuzzing::nats(limits, stream.chunks(1)), whole);
        assert_eq!(fuzzing::nats(limits, pieces(stream, *seed)), whole);
    }
}

/// The first byte says how to cut, the rest is what an HTTP server sends. However it is cut, it is what
/// a plain reader of the whole finds in it, and the parsers' memory does not grow with it.
pub fn http_response(input: &[u8]) {
    let Some((seed, stream)) = input.split_first() else {
        return;
    };
    for (max_head, method) in [(8192, "GET"), (100, "POST"), (8192, "HEAD"), (1000, "PUT")] {
        let whole = fuzzing::http(max_head, method, [stream]);
        assert_eq!(fuzzing::http(max_head, method, stream.chunks(1)), whole);
        let cut = pieces(stream, *seed);
        let in_pieces = fuzzing::http(max_head, method, cut.iter().copied());
        assert_eq!(in_pieces, whole);
        assert_eq!(plain_http::read(max_head, method, stream), whole.found());
        let before = PeakAlloc.current_usage();
        PeakAlloc.reset_peak_usage();
        fuzzing::http_without_keeping(max_head, method, cut);
        let taken = PeakAlloc.peak_usage().saturating_sub(before);
        // A buffer that grows holds up to twice its bytes, and half of that once more while it moves;
        // then there is the `Location`.
        let most = 4 * max_head + 1024;
        assert!(taken <= most, "{taken} bytes for a head of {max_head}");
    }
}
