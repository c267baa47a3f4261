//! Digests of streams, and how they are written as text.

use alloc::string::{String, ToString};
use core::fmt;

use sha2::{Digest as _, Sha256};

use crate::stream::{Body, Sink, StreamError};

/// Bytes in lower-case hex digits.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// SHA-256. Its parts are generic and would be in a board's flash once for each user.
struct Hasher(Sha256);

impl Hasher {
    fn new() -> Self {
        Self(Sha256::new())
    }

    #[inline(never)]
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    #[inline(never)]
    fn finish(self) -> String {
        Hex(&self.0.finalize()).to_string()
    }
}

/// A body that is hashed as it is read.
pub(crate) struct HashedBody<T> {
    body: T,
    hasher: Hasher,
}

impl<T: Body> HashedBody<T> {
    pub(crate) fn new(body: T) -> Self {
        Self {
            body,
            hasher: Hasher::new(),
        }
    }

    pub(crate) fn sha256(self) -> String {
        self.hasher.finish()
    }
}

impl<T: Body> Body for HashedBody<T> {
    fn len(&self) -> u64 {
        self.body.len()
    }

    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        let count = self.body.read(out)?;
        self.hasher.update(&out[..count]);
        Ok(count)
    }

    fn rewind(&mut self) -> Result<(), StreamError> {
        self.hasher = Hasher::new();
        self.body.rewind()
    }
}

/// A sink that counts and, if wanted, hashes what is written.
pub(crate) struct CheckedSink<'s> {
    sink: &'s mut dyn Sink,
    pub(crate) len: u64,
    hasher: Option<Hasher>,
}

impl<'s> CheckedSink<'s> {
    pub(crate) fn new(sink: &'s mut dyn Sink, hash: bool) -> Self {
        Self {
            sink,
            len: 0,
            hasher: hash.then(Hasher::new),
        }
    }

    pub(crate) fn sha256(&mut self) -> String {
        let hasher = self.hasher.take();
        hasher.map_or(String::new(), Hasher::finish)
    }
}

impl Sink for CheckedSink<'_> {
    fn write(&mut self, chunk: &[u8]) -> Result<(), StreamError> {
        self.len += chunk.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(chunk);
        }
        self.sink.write(chunk)
    }

    fn reset(&mut self) -> Result<(), StreamError> {
        if self.len > 0 {
            self.sink.reset()?;
        }
        self.len = 0;
        self.hasher = self.hasher.as_ref().map(|_| Hasher::new());
        Ok(())
    }
}
