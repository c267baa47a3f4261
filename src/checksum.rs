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

/// A body that is hashed as it is read.
pub(crate) struct HashedBody<T> {
    body: T,
    sha256: Sha256,
}

impl<T: Body> HashedBody<T> {
    pub(crate) fn new(body: T) -> Self {
        Self {
            body,
            sha256: Sha256::new(),
        }
    }

    pub(crate) fn sha256(self) -> String {
        Hex(&self.sha256.finalize()).to_string()
    }
}

impl<T: Body> Body for HashedBody<T> {
    fn len(&self) -> u64 {
        self.body.len()
    }

    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        let count = self.body.read(out)?;
        self.sha256.update(&out[..count]);
        Ok(count)
    }

    fn rewind(&mut self) -> Result<(), StreamError> {
        self.sha256 = Sha256::new();
        self.body.rewind()
    }
}

/// A sink that counts and, if wanted, hashes what is written.
pub(crate) struct CheckedSink<'s> {
    sink: &'s mut dyn Sink,
    pub(crate) len: u64,
    sha256: Option<Sha256>,
}

impl<'s> CheckedSink<'s> {
    pub(crate) fn new(sink: &'s mut dyn Sink, hash: bool) -> Self {
        Self {
            sink,
            len: 0,
            sha256: hash.then(Sha256::new),
        }
    }

    pub(crate) fn sha256(&mut self) -> String {
        let digest = self.sha256.take().map(Sha256::finalize);
        digest.map_or(String::new(), |digest| Hex(&digest).to_string())
    }
}

impl Sink for CheckedSink<'_> {
    fn write(&mut self, chunk: &[u8]) -> Result<(), StreamError> {
        self.len += chunk.len() as u64;
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(chunk);
        }
        self.sink.write(chunk)
    }

    fn reset(&mut self) -> Result<(), StreamError> {
        if self.len > 0 {
            self.sink.reset()?;
        }
        self.len = 0;
        self.sha256 = self.sha256.as_ref().map(|_| Sha256::new());
        Ok(())
    }
}
