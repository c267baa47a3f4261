//! Finds the end of a response's body.

use core::mem;

use super::error::ResponseError;
use super::head::Framing;

/// Longest line before a chunk, with extensions and CR LF, in bytes.
pub(crate) const MAX_CHUNK_LINE: usize = 256;
/// Longest trailer section, with the empty line at its end, in bytes.
pub(crate) const MAX_TRAILERS: usize = 4096;

/// Finds the data in a response body, in pieces of any size. It allocates nothing: data is part of the input.
#[derive(Debug)]
pub(crate) struct BodyDecoder {
    state: State,
    /// The size of the next chunk, as far as it is read.
    size: u64,
    /// Bytes used for the chunk size line or the trailers so far.
    overhead: usize,
    failed: Option<ResponseError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// This many bytes are left of a body with a known length.
    Length(u64),
    Size(SizeLine),
    /// This many bytes are left of a chunk.
    Chunk(u64),
    /// Behind a chunk; true once the CR was seen.
    ChunkEnd(bool),
    Trailers(TrailerLine),
    Done,
}

/// What comes next in the line before a chunk (RFC 9112 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SizeLine {
    FirstDigit,
    Digits,
    Blanks,
    Extension,
    Lf,
}

/// What comes next in the lines behind the last chunk (RFC 9112 section 7.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TrailerLine {
    Start,
    Middle,
    Lf,
    LastLf,
}

/// What [`BodyDecoder::feed`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decoded<'a> {
    /// How many bytes of the input were used.
    pub(crate) used: usize,
    /// Data of the body, a part of the input; often empty.
    pub(crate) data: &'a [u8],
    /// Whether the body is complete. What is left of the input does not belong to it.
    pub(crate) done: bool,
}

impl BodyDecoder {
    /// A decoder at the start of a body.
    pub(crate) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(left) => State::Length(left),
            Framing::Chunked => State::Size(SizeLine::FirstDigit),
        };
        Self {
            state,
            size: 0,
            overhead: 0,
            failed: None,
        }
    }

    /// Whether the body is complete: for an empty one that is so before any input.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads bytes up to the end of one run of data. If there is input left and the body is not complete, feed the
    /// rest again.
    ///
    /// # Errors
    /// The body is malformed. Each further call returns the same error.
    pub(crate) fn feed<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<'a>, ResponseError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.read(input);
        self.failed = result.as_ref().err().cloned();
        result
    }

    fn read<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<'a>, ResponseError> {
        let mut rest = input;
        while let Some((&byte, tail)) = rest.split_first() {
            self.state = match self.state {
                State::Length(left) | State::Chunk(left) => {
                    let (data, rest) = split(rest, left);
                    return Ok(self.take_data(data, input.len() - rest.len()));
                }
                State::Size(part) => self.read_size(part, byte)?,
                State::ChunkEnd(cr) => read_chunk_end(cr, byte)?,
                State::Trailers(part) => self.read_trailer(part, byte)?,
                State::Done => break,
            };
            rest = tail;
        }
        let (used, done) = (input.len() - rest.len(), self.is_done());
        Ok(Decoded {
            used,
            data: &[],
            done,
        })
    }

    fn take_data<'a>(&mut self, data: &'a [u8], used: usize) -> Decoded<'a> {
        let len = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.state = match self.state {
            State::Length(left) if left > len => State::Length(left - len),
            State::Chunk(left) if left > len => State::Chunk(left - len),
            State::Chunk(_) => State::ChunkEnd(false),
            _ => State::Done,
        };
        let done = self.is_done();
        Decoded { used, data, done }
    }

    /// Not `httparse::parse_chunk_size`: that one needs the line in one piece, and accepts a line without any
    /// digit as the last chunk.
    fn read_size(&mut self, part: SizeLine, byte: u8) -> Result<State, ResponseError> {
        use SizeLine::{Blanks, Digits, Extension, FirstDigit, Lf};
        let limit = MAX_CHUNK_LINE;
        self.count(limit, ResponseError::ChunkLineTooLong { limit })?;
        let next = match (part, byte) {
            (FirstDigit | Digits, byte) if byte.is_ascii_hexdigit() => {
                self.size = add_digit(self.size, byte).ok_or(ResponseError::ChunkSizeOverflow)?;
                Digits
            }
            (Digits | Blanks, b' ' | b'\t') => Blanks,
            (Digits | Blanks, b';') => Extension,
            (Digits | Blanks | Extension, b'\r') => Lf,
            (Extension, byte) if byte != b'\n' => Extension,
            (Lf, b'\n') => return Ok(self.start_chunk()),
            _ => return Err(ResponseError::BadChunkSize),
        };
        Ok(State::Size(next))
    }

    fn start_chunk(&mut self) -> State {
        self.overhead = 0;
        match mem::take(&mut self.size) {
            0 => State::Trailers(TrailerLine::Start),
            size => State::Chunk(size),
        }
    }

    /// Trailers are dropped: none of them is of use here.
    fn read_trailer(&mut self, part: TrailerLine, byte: u8) -> Result<State, ResponseError> {
        use TrailerLine::{LastLf, Lf, Middle, Start};
        let limit = MAX_TRAILERS;
        self.count(limit, ResponseError::TrailersTooLong { limit })?;
        let next = match (part, byte) {
            (Start, b'\r') => LastLf,
            (Middle, b'\r') => Lf,
            (Start | Middle, byte) if byte != b'\n' => Middle,
            (Lf, b'\n') => Start,
            (LastLf, b'\n') => return Ok(State::Done),
            _ => return Err(ResponseError::BadTrailers),
        };
        Ok(State::Trailers(next))
    }

    fn count(&mut self, limit: usize, error: ResponseError) -> Result<(), ResponseError> {
        if self.overhead >= limit {
            return Err(error);
        }
        self.overhead += 1;
        Ok(())
    }
}

fn add_digit(size: u64, hex_digit: u8) -> Option<u64> {
    let digit = char::from(hex_digit).to_digit(16)?;
    size.checked_mul(16)?.checked_add(u64::from(digit))
}

/// Only the CR LF after a chunk reveals a wrong size, so it is not optional.
fn read_chunk_end(cr: bool, byte: u8) -> Result<State, ResponseError> {
    match (cr, byte) {
        (false, b'\r') => Ok(State::ChunkEnd(true)),
        (true, b'\n') => Ok(State::Size(SizeLine::FirstDigit)),
        _ => Err(ResponseError::ChunkEnd),
    }
}

/// Splits off at most `left` bytes.
fn split(input: &[u8], left: u64) -> (&[u8], &[u8]) {
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    input.split_at(left.min(input.len()))
}
