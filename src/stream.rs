//! Streams of bytes: a [`Body`] is read, a [`Sink`] is written.
//!
//! Nothing here holds a whole payload. That is why a board can send a message that is larger than
//! its heap, and a host a file that is larger than its memory.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::DerefMut;

use crate::cause::{BoxError, debug_tells_causes};
use crate::trace::Escaped;

/// Bytes to send, whose number is known before the first one is read.
pub trait Body {
    /// The length in bytes from start to end, whatever has been read so far.
    fn len(&self) -> u64;

    /// Copies the next bytes to the start of `out` and returns how many. 0 means the end, unless `out` is empty. If
    /// the end comes before [`len`](Body::len) bytes, the send fails.
    ///
    /// # Errors
    /// [`StreamError`] if the source fails, a file for example.
    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError>;

    /// Starts over: the next [`read`](Body::read) returns the first byte again.
    ///
    /// # Errors
    /// [`StreamError::CannotRewind`] if the bytes can be read only once.
    fn rewind(&mut self) -> Result<(), StreamError>;

    /// Whether there are no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What [`read`](Body::read) has not returned yet, if all of it stands in memory: who sends it may take it from
    /// there instead. Default: `None`.
    fn rest(&self) -> Option<&[u8]> {
        None
    }
}

/// A target for bytes that arrive.
pub trait Sink {
    /// Writes all of `chunk`.
    ///
    /// # Errors
    /// [`StreamError`] if it cannot be written; write no more after that.
    fn write(&mut self, chunk: &[u8]) -> Result<(), StreamError>;

    /// Discards what was written, because a retry starts from the first byte.
    ///
    /// # Errors
    /// [`StreamError::CannotRewind`] if that is not possible.
    fn reset(&mut self) -> Result<(), StreamError>;
}

/// Why a [`Body`] could not be read or a [`Sink`] not be written: a failure of this machine, not of the
/// network.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// Reading or writing failed.
    #[error("local input or output failed")]
    Io(#[source] BoxError),
    /// A file cannot be opened or created.
    #[error("`{}` cannot be opened", Escaped(path))]
    File {
        /// The file.
        path: String,
        /// Why.
        source: BoxError,
    },
    /// Out of memory.
    #[error("no memory for {len} bytes")]
    OutOfMemory {
        /// Bytes requested.
        len: usize,
    },
    /// More bytes arrived than the sink accepts.
    #[error("more than the limit of {limit} bytes")]
    TooLarge {
        /// The most that is allowed, in bytes.
        limit: u64,
    },
    /// Its length differs from the declared one.
    #[error("{actual} bytes where {expected} were declared")]
    Length {
        /// Bytes declared.
        expected: u64,
        /// Bytes found.
        actual: u64,
    },
    /// It is a pipe, a device, a directory, or a file of `/proc`: its length is not known before it
    /// is read.
    #[error(
        "`{}` is no regular file of a known length: read it whole, and send its bytes",
        Escaped(path)
    )]
    NotRegularFile {
        /// The file.
        path: String,
    },
    /// It can be read or written only once.
    #[error("cannot start over")]
    CannotRewind,
}

debug_tells_causes!(StreamError);

/// `&mut T`, `Box<T>` and other pointers to a body are bodies.
impl<P> Body for P
where
    P: DerefMut,
    P::Target: Body,
{
    fn len(&self) -> u64 {
        (**self).len()
    }
    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        (**self).read(out)
    }
    fn rewind(&mut self) -> Result<(), StreamError> {
        (**self).rewind()
    }
    fn rest(&self) -> Option<&[u8]> {
        (**self).rest()
    }
}

/// `&mut T`, `Box<T>` and other pointers to a sink are sinks.
impl<P> Sink for P
where
    P: DerefMut,
    P::Target: Sink,
{
    fn write(&mut self, chunk: &[u8]) -> Result<(), StreamError> {
        (**self).write(chunk)
    }
    fn reset(&mut self) -> Result<(), StreamError> {
        (**self).reset()
    }
}

/// A [`Body`] of bytes in memory.
#[derive(Debug, Clone)]
pub struct SliceBody<'a> {
    bytes: &'a [u8],
    read: usize,
}

impl<'a> SliceBody<'a> {
    /// A body of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, read: 0 }
    }
}

impl Body for SliceBody<'_> {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        let rest = &self.bytes[self.read..];
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        self.read += count;
        Ok(count)
    }

    fn rewind(&mut self) -> Result<(), StreamError> {
        self.read = 0;
        Ok(())
    }

    fn rest(&self) -> Option<&[u8]> {
        self.bytes.get(self.read..)
    }
}

/// A [`Sink`] into memory, up to a limit. It allocates as bytes arrive, never because of a declared length,
/// and out of memory is an error.
#[derive(Debug)]
pub struct VecSink {
    bytes: Vec<u8>,
    limit: usize,
}

impl VecSink {
    /// A sink that accepts at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
        }
    }

    /// The bytes written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl Sink for VecSink {
    fn write(&mut self, chunk: &[u8]) -> Result<(), StreamError> {
        if chunk.len() > self.limit - self.bytes.len() {
            return Err(StreamError::TooLarge {
                limit: self.limit as u64,
            });
        }
        let no_memory = |_| StreamError::OutOfMemory { len: chunk.len() };
        self.bytes.try_reserve(chunk.len()).map_err(no_memory)?;
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    fn reset(&mut self) -> Result<(), StreamError> {
        self.bytes.clear();
        Ok(())
    }
}

/// Reads the rest of `body` into the memory of `out`, and checks its length.
pub(crate) fn read_to_vec(body: &mut dyn Body, out: &mut Vec<u8>) -> Result<(), StreamError> {
    let len = body.len();
    read_len_to_vec(body, len, out)
}

/// Reads the next `expected` bytes of `body` into the memory of `out`.
pub(crate) fn read_len_to_vec(
    body: &mut dyn Body,
    expected: u64,
    out: &mut Vec<u8>,
) -> Result<(), StreamError> {
    let no_memory = StreamError::OutOfMemory {
        len: usize::try_from(expected).unwrap_or(usize::MAX),
    };
    let Ok(len) = usize::try_from(expected) else {
        return Err(no_memory);
    };
    if out
        .try_reserve_exact(len.saturating_sub(out.len()))
        .is_err()
    {
        return Err(no_memory);
    }
    // Only memory that is new to `out` is cleared: the rest is overwritten.
    out.resize(len, 0);
    let mut filled = 0;
    while filled < len {
        match body.read(&mut out[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    check_length(expected, filled as u64)
}

/// A stream that is shorter or longer than declared must never pass for a complete one.
pub(crate) fn check_length(expected: u64, actual: u64) -> Result<(), StreamError> {
    if actual == expected {
        Ok(())
    } else {
        Err(StreamError::Length { expected, actual })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_slice_is_read_in_chunks_and_again() {
        let mut body = SliceBody::new(b"abcde");
        let mut out = [0; 3];
        assert_eq!(body.read(&mut out).unwrap(), 3);
        assert_eq!(&out, b"abc");
        assert_eq!(body.rest().unwrap(), b"de");
        assert_eq!(body.read(&mut out).unwrap(), 2);
        assert_eq!(body.read(&mut out).unwrap(), 0);
        body.rewind().unwrap();
        let mut all = Vec::new();
        read_to_vec(&mut body, &mut all).unwrap();
        assert_eq!(all, b"abcde");
    }

    #[test]
    fn a_sink_takes_its_limit_and_no_more() {
        for (len, fits) in [(9, true), (10, true), (11, false)] {
            let mut sink = VecSink::new(10);
            sink.write(&[1; 4]).unwrap();
            assert_eq!(sink.write(&vec![1; len - 4]).is_ok(), fits, "{len}");
        }
        let mut sink = VecSink::new(2);
        sink.write(b"ab").unwrap();
        sink.reset().unwrap();
        sink.write(b"cd").unwrap();
        assert_eq!(sink.into_bytes(), b"cd");
    }

    #[test]
    fn a_body_that_ends_early_is_an_error() {
        struct Short;
        impl Body for Short {
            fn len(&self) -> u64 {
                3
            }
            fn read(&mut self, _: &mut [u8]) -> Result<usize, StreamError> {
                Ok(0)
            }
            fn rewind(&mut self) -> Result<(), StreamError> {
                Err(StreamError::CannotRewind)
            }
        }
        let error = read_to_vec(&mut Short, &mut Vec::new()).unwrap_err();
        assert!(matches!(
            error,
            StreamError::Length {
                expected: 3,
                actual: 0
            }
        ));
    }
}
