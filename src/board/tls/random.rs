//! Random bytes for rustls, which takes its generator as a `static` and so cannot be given a
//! [`Platform`](crate::platform::Platform): a pool that the platform fills before each handshake.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use sha2::{Digest as _, Sha256};

const WORDS: usize = 8;

/// A secret of 256 bits, from which bytes are derived by SHA-256, and a number for each derivation. Tasks
/// that draw at the same time draw different numbers, and so different bytes.
pub(super) struct Pool {
    secret: [AtomicU32; WORDS],
    drawn: AtomicU32,
}

pub(super) static POOL: Pool = Pool::new();

impl Pool {
    const fn new() -> Self {
        Self {
            secret: [const { AtomicU32::new(0) }; WORDS],
            drawn: AtomicU32::new(0),
        }
    }

    /// Adds 32 random bytes to the secret. It is no worse than before, whatever they are.
    pub(super) fn add(&self, bytes: &[u8; 4 * WORDS]) {
        for (word, bytes) in self.secret.iter().zip(bytes.chunks_exact(4)) {
            let added = bytes
                .iter()
                .fold(0, |word, byte| word << 8 | u32::from(*byte));
            word.fetch_xor(added, Relaxed);
        }
    }

    pub(super) fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(4 * WORDS) {
            let block = self.derive(b"bytes");
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }

    /// Replaces the secret by another that it cannot be computed from: what was drawn stays secret even
    /// from an attacker who reads the memory later.
    pub(super) fn forget(&self) {
        self.forget_while(|| ());
    }

    /// What another task adds meanwhile stays in the secret, because this is added to it.
    fn forget_while(&self, other_task: impl FnOnce()) {
        let block = self.derive(b"forget");
        other_task();
        self.add(&block);
    }

    fn derive(&self, purpose: &[u8]) -> [u8; 4 * WORDS] {
        let mut hash = Sha256::new();
        hash.update(self.drawn.fetch_add(1, Relaxed).to_le_bytes());
        for word in &self.secret {
            hash.update(word.load(Relaxed).to_le_bytes());
        }
        hash.update(purpose);
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(pool: &Pool) -> [u8; 80] {
        let mut out = [0; 80];
        pool.fill(&mut out);
        out
    }

    #[test]
    fn no_two_draws_are_equal() {
        let pool = Pool::new();
        pool.add(&[7; 32]);
        let first = drawn(&pool);
        assert_ne!(first[..32], first[32..64]);
        assert_ne!(first, drawn(&pool));
    }

    #[test]
    fn every_bit_that_is_added_counts() {
        for bit in 0..256 {
            let (one, other) = (Pool::new(), Pool::new());
            let mut bytes = [0x5a; 32];
            one.add(&bytes);
            bytes[bit / 8] ^= 1 << (bit % 8);
            other.add(&bytes);
            assert_ne!(drawn(&one), drawn(&other), "bit {bit}");
        }
    }

    #[test]
    fn what_is_added_while_the_secret_is_replaced_counts() {
        let [without, with] = [(); 2].map(|()| Pool::new());
        without.forget();
        with.forget_while(|| with.add(&[1; 32]));
        assert_ne!(drawn(&without), drawn(&with));
    }

    #[test]
    fn what_is_added_and_what_is_forgotten_change_what_is_drawn() {
        let pools = [(); 3].map(|()| Pool::new());
        pools[1].add(&[1; 32]);
        pools[2].forget();
        // The same number of draws for each.
        pools[0].derive(b"x");
        pools[1].derive(b"x");
        let [plain, added, forgot] = pools.each_ref().map(drawn);
        assert!(plain != added && plain != forgot && added != forgot);
    }
}
