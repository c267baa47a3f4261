//! The subjects of what is not confirmed yet.

use crate::nats::SubjectUse;

/// What was published or subscribed since the last confirmation.
#[derive(Default)]
pub(super) struct Unconfirmed {
    pub(super) is_some: bool,
    /// Something was published: it is lost if the connection is.
    pub(super) published: bool,
    /// Hashes of its subjects and their uses; further ones are not known.
    pub(super) subjects: [u32; MAX_KNOWN_SUBJECTS],
    pub(super) known: usize,
    pub(super) overflowed: bool,
}

/// Subjects whose errors can be told apart while they are unconfirmed.
pub(super) const MAX_KNOWN_SUBJECTS: usize = 16;

impl Unconfirmed {
    pub(super) fn add(&mut self, subject: &str, purpose: SubjectUse) {
        self.is_some = true;
        let hash = hash(subject, purpose);
        let known = &self.subjects[..self.known];
        if known.contains(&hash) {
            return;
        }
        match self.subjects.get_mut(self.known) {
            Some(place) => {
                *place = hash;
                self.known += 1;
            }
            None => self.overflowed = true,
        }
    }

    pub(super) fn has(&self, subject: &str, purpose: SubjectUse) -> bool {
        self.is_some && self.subjects[..self.known].contains(&hash(subject, purpose))
    }
}

/// FNV-1a. A collision only gives an error that names its subject to one client more.
fn hash(subject: &str, purpose: SubjectUse) -> u32 {
    let start = 0x811c_9dc5 ^ purpose as u32;
    subject.bytes().fold(start, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}
