//! What the contracts have in common.

use alloc::vec::Vec;
use core::time::Duration;

use crate::stream::{Body, StreamError};

/// Longer than anything takes that works.
pub(super) const LONG: Duration = Duration::from_secs(10);

/// Bytes that differ from place to place.
pub(super) fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 167 + (i >> 8)) as u8).collect()
}

/// Says that it has ten bytes, and fails or ends after five.
pub(super) struct Failing {
    read: bool,
    fails: bool,
}

impl Failing {
    pub(super) fn after_five(fails: bool) -> Self {
        Self { read: false, fails }
    }
}

impl Body for Failing {
    fn len(&self) -> u64 {
        10
    }
    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        match core::mem::replace(&mut self.read, true) {
            true if self.fails => Err(StreamError::CannotRewind),
            true => Ok(0),
            false => Ok(out.len().min(5)),
        }
    }
    fn rewind(&mut self) -> Result<(), StreamError> {
        Ok(())
    }
}
