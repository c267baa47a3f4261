//! The least that a send and a receive can cost.

use std::hint::black_box;

use base64::Engine as _;
use base64::engine::Simd;
use base64::engine::general_purpose::PAD;
use serde_json::value::RawValue;

use crate::plain::Envelope;

/// The least that a send can cost: base64 of the bytes, into memory that is there.
pub struct EncodeFloor {
    base64: Simd,
    out: Vec<u8>,
}

impl EncodeFloor {
    pub fn new(len: usize) -> Self {
        Self {
            base64: Simd::standard(PAD),
            out: vec![0; len.div_ceil(3) * 4],
        }
    }

    pub fn run(&mut self, count: usize, bytes: &[u8]) -> u8 {
        for _ in 0..count {
            self.base64.encode_slice(bytes, &mut self.out).unwrap();
            black_box(&mut self.out);
        }
        self.out.first().copied().unwrap_or(0)
    }
}

/// The least that a receive can cost: serde_json finds the texts, and base64 decodes them into
/// memory that is there.
pub struct DecodeFloor {
    base64: Simd,
    out: Vec<u8>,
}

impl DecodeFloor {
    pub fn new(len: usize) -> Self {
        Self {
            base64: Simd::standard(PAD),
            out: vec![0; len.div_ceil(3) * 3],
        }
    }

    pub fn run(&mut self, message: &str) -> usize {
        let envelope: Envelope<&str, &str, &RawValue> = serde_json::from_str(message).unwrap();
        let decode = |data: &str| {
            let len = self.base64.decode_slice(data, &mut self.out).unwrap();
            black_box(&mut self.out);
            len
        };
        envelope.data().copied().map(decode).sum()
    }
}
