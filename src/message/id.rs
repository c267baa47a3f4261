//! Ids of messages, conversations and senders.

use alloc::string::String;
use core::fmt;

use crate::platform::{Platform, PlatformError, uuid_v4};

/// Fresh ids.
pub(crate) struct Ids {
    drawn: [[u8; 16]; IDS_DRAWN],
    left: usize,
}

/// Ids that are not used yet are not printed: they must not be guessed.
impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ids").finish_non_exhaustive()
    }
}

/// Random bytes are drawn for so many ids at once. A message of one payload needs four; on a host, where
/// each draw is a call of the operating system, those of 16 messages are drawn.
const IDS_DRAWN: usize = if cfg!(feature = "std") { 64 } else { 4 };

impl Ids {
    pub(crate) const fn new() -> Self {
        Self {
            drawn: [[0; 16]; IDS_DRAWN],
            left: 0,
        }
    }

    /// A UUID v4, in its 36 lower-case characters.
    pub(crate) fn next(&mut self, platform: &impl Platform) -> Result<String, PlatformError> {
        if self.left == 0 {
            platform.random(self.drawn.as_flattened_mut())?;
            self.left = self.drawn.len();
        }
        self.left -= 1;
        let id = uuid_v4(self.drawn[self.left]).hyphenated();
        Ok(String::from(&*id.encode_lower(&mut [0; 36])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    use crate::platform::new_token;

    #[test]
    fn ids_are_version_4_whatever_the_bytes() {
        struct Ones;
        impl Platform for Ones {
            fn unix_millis(&self) -> u64 {
                0
            }
            fn uptime_millis(&self) -> u64 {
                0
            }
            fn wait(&self, _: Duration) {}
            fn random(&self, out: &mut [u8]) -> Result<(), PlatformError> {
                out.fill(0xff);
                Ok(())
            }
        }
        let id = Ids::new().next(&Ones).unwrap();
        assert_eq!(id, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(new_token(&&Ones).unwrap(), id.replace('-', ""));
    }

    #[test]
    fn no_two_ids_are_made_of_the_same_bytes() {
        struct Counting(core::cell::Cell<u8>);
        impl Platform for Counting {
            fn unix_millis(&self) -> u64 {
                0
            }
            fn uptime_millis(&self) -> u64 {
                0
            }
            fn wait(&self, _: Duration) {}
            fn random(&self, out: &mut [u8]) -> Result<(), PlatformError> {
                for byte in out {
                    *byte = self.0.get();
                    self.0.set(byte.wrapping_add(1));
                }
                Ok(())
            }
        }
        let platform = Counting(core::cell::Cell::new(0));
        let mut ids = Ids::new();
        // Bytes repeat after 16 ids: no id may be used twice from one draw.
        let made: alloc::collections::BTreeSet<_> =
            (0..16).map(|_| ids.next(&platform).unwrap()).collect();
        assert_eq!(made.len(), 16);
    }
}
