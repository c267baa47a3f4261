//! What is read from a connection.

use alloc::string::String;
use alloc::vec::Vec;
use std::time::Instant;

use super::stream::ReadHalf;

/// How much is read at a time, in bytes.
const READ_BUFFER: usize = 64 << 10;

/// What is read from, by one thread at a time.
pub(super) struct Source {
    pub(super) half: ReadHalf,
    pub(super) epoch: u64,
    /// Came with the answer to CONNECT, and is read first.
    pub(super) rest: Vec<u8>,
    pub(super) buffer: Vec<u8>,
    /// When it was lent last, or would have been.
    pub(super) lent_at: Instant,
    /// What came of the last read.
    pub(super) fed: Result<Fed, String>,
}

/// How reading goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fed {
    Goes,
    /// Callers may read from here on.
    MayLend,
    /// All that was written on the old connection is answered.
    Drained,
}

impl Source {
    pub(super) fn new(half: ReadHalf, rest: Vec<u8>, epoch: u64) -> Self {
        Self {
            half,
            epoch,
            rest,
            buffer: alloc::vec![0; READ_BUFFER],
            lent_at: Instant::now(),
            fed: Ok(Fed::Goes),
        }
    }

    pub(super) fn goes(&self) -> bool {
        matches!(self.fed, Ok(Fed::Goes | Fed::MayLend))
    }
}
