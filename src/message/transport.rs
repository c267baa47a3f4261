//! Direct or link: which payloads of a message travel in it, and which by way of the file server.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// How a payload travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// In the message, as base64.
    Direct,
    /// By way of a file server; its URL is in the message.
    Link,
}

impl Transport {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Link => "link",
        }
    }
}

/// What is known of a payload when its transport is chosen. Lengths are those of its entry in the
/// JSON, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    /// Serialized bytes.
    pub(crate) size: u64,
    pub(crate) direct_len: u64,
    /// As a link; a lower bound as long as the URL is not known.
    pub(crate) link_len: u64,
    /// It has been uploaded already.
    pub(crate) is_link: bool,
}

/// What a message has to fit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Payloads of this many serialized bytes or more become links.
    pub(crate) size_threshold: u64,
    /// The longest message, in bytes.
    pub(crate) max_len: u64,
    /// Whether there is a file server.
    pub(crate) links: bool,
}

impl Budget {
    /// Whether a payload of `size` serialized bytes is to be a link.
    pub(crate) fn wants_link(&self, size: u64) -> bool {
        self.links && size >= self.size_threshold
    }
}

/// Chooses for each payload. Those at the threshold or over it become links; then, while the
/// message is too long, the largest of the others, one after the other. `fixed_len` is what the
/// message has beside their entries, in bytes.
///
/// # Errors
/// The length in bytes of the shortest message that could be made, if that is still too long.
pub(crate) fn choose(
    candidates: &[Candidate],
    fixed_len: u64,
    budget: &Budget,
) -> Result<Vec<Transport>, u64> {
    let by_size = |payload: &Candidate| {
        if payload.is_link || budget.wants_link(payload.size) {
            Transport::Link
        } else {
            Transport::Direct
        }
    };
    let mut chosen: Vec<_> = candidates.iter().map(by_size).collect();
    let mut len = fixed_len + length(candidates, &chosen);
    let mut largest = largest_first(candidates, &chosen, budget);
    while len > budget.max_len {
        let Some((_, Reverse(index))) = largest.pop() else {
            return Err(len);
        };
        let payload = &candidates[index];
        chosen[index] = Transport::Link;
        len -= payload.direct_len - payload.link_len;
    }
    Ok(chosen)
}

fn length(candidates: &[Candidate], chosen: &[Transport]) -> u64 {
    let entry_len = |(payload, transport): (&Candidate, &Transport)| match transport {
        Transport::Direct => payload.direct_len,
        Transport::Link => payload.link_len,
    };
    candidates.iter().zip(chosen).map(entry_len).sum()
}

/// The direct payloads that are shorter as links, by size and place: the largest, of those the first, is
/// on top. A heap takes a tenth of the flash that a sort does.
fn largest_first(
    candidates: &[Candidate],
    chosen: &[Transport],
    budget: &Budget,
) -> BinaryHeap<(u64, Reverse<usize>)> {
    let helps = |(payload, transport): (&Candidate, &Transport)| {
        budget.links && *transport == Transport::Direct && payload.link_len < payload.direct_len
    };
    let payloads = candidates.iter().zip(chosen).enumerate();
    payloads
        .filter(|(_, payload)| helps(*payload))
        .map(|(index, (payload, _))| (payload.size, Reverse(index)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Payloads of these sizes, with entries of 10 bytes beside direct data and of 30 as links.
    fn payloads(sizes: &[u64]) -> Vec<Candidate> {
        let candidate = |size: &u64| Candidate {
            size: *size,
            direct_len: 10 + size,
            link_len: 30,
            is_link: false,
        };
        sizes.iter().map(candidate).collect()
    }

    fn letters(chosen: &[Transport]) -> alloc::string::String {
        chosen
            .iter()
            .map(|transport| &transport.as_str()[..1])
            .collect()
    }

    #[test]
    fn table() {
        // sizes, threshold, longest message, file server, what is chosen or the shortest length
        for (sizes, size_threshold, max_len, links, expected) in [
            (&[99, 100, 101][..], 100, 1000, true, Ok("dll")),
            (&[0], 0, 1000, true, Ok("l")),
            (&[0], 1, 1000, true, Ok("d")),
            (&[], 100, 5, true, Ok("")),
            (&[], 100, 4, true, Err(5)),
            // without a file server what would be a link goes direct if it fits
            (&[100], 100, 115, false, Ok("d")),
            (&[100], 100, 114, false, Err(115)),
            // 5 + 110 + 60 + 100 = 275 is the length with all direct
            (&[100, 50, 90], 1000, 275, true, Ok("ddd")),
            (&[100, 50, 90], 1000, 274, true, Ok("ldd")),
            (&[100, 50, 90], 1000, 195, true, Ok("ldd")),
            (&[100, 50, 90], 1000, 194, true, Ok("ldl")),
            (&[100, 50, 90], 1000, 124, true, Ok("lll")),
            (&[100, 50, 90], 1000, 95, true, Ok("lll")),
            (&[100, 50, 90], 1000, 94, true, Err(95)),
            // of two that are equally large the first goes first
            (&[50, 50], 1000, 100, true, Ok("ld")),
            // a payload that is longer as a link stays
            (&[20, 19], 1000, 63, true, Err(64)),
        ] {
            let budget = Budget {
                size_threshold,
                max_len,
                links,
            };
            let chosen = choose(&payloads(sizes), 5, &budget);
            let chosen = chosen.as_deref().map(letters).map_err(|len| *len);
            assert_eq!(
                chosen.as_deref(),
                expected.as_ref().map(|text| *text),
                "{sizes:?} {budget:?}"
            );
        }
    }

    #[test]
    fn what_is_uploaded_stays_a_link() {
        let mut candidates = payloads(&[10, 10]);
        candidates[1].is_link = true;
        let budget = Budget {
            size_threshold: 100,
            max_len: 1000,
            links: false,
        };
        assert_eq!(letters(&choose(&candidates, 0, &budget).unwrap()), "dl");
    }

    #[test]
    fn what_is_as_long_as_a_link_stays() {
        let mut candidates = payloads(&[50, 30]);
        candidates[0].link_len = candidates[0].direct_len;
        let budget = Budget {
            size_threshold: 100,
            max_len: 90,
            links: true,
        };
        assert_eq!(letters(&choose(&candidates, 0, &budget).unwrap()), "dl");
    }
}
