//! A look at the messages of a handshake before rustls reads them. It collects all that a message lists, in
//! elements that are up to 12 times as long in memory, and only then knows whether the server may send that.

use alloc::format;

use rustls::Error;

const CERTIFICATE: u8 = 11;
/// More are refused here, without telling how many there are: 64 take 1.5 KB.
const MAX_ENTRIES: usize = 64;
/// The longest message of another type, in bytes. A longer one lists more than a board can use: the names of
/// authorities for clients, of which each byte takes 12 of memory or fewer, or unknown extensions.
const MAX_LEN: usize = 2048;

/// Where in the messages the bytes that come next belong (RFC 8446 sections 4 and 4.4.2).
#[derive(Debug, Clone, Copy)]
enum Field {
    /// Type and length of a message.
    Head,
    /// The length of a certificate message's context.
    Context,
    /// The length of its list.
    List,
    /// The length of a certificate.
    Certificate,
    /// The length of a certificate's extensions.
    Extensions,
}

/// Follows messages over the records that they come in.
#[derive(Debug)]
pub(super) struct Messages {
    field: Field,
    /// What of the field was read, and how many bytes of it are to come.
    value: usize,
    missing: usize,
    /// How many bytes come before the field.
    skip: usize,
    /// How many bytes of the message are to come.
    left: usize,
    entries: usize,
}

impl Messages {
    pub(super) fn new() -> Self {
        Self {
            field: Field::Head,
            value: 0,
            missing: 4,
            skip: 0,
            left: 4,
            entries: 0,
        }
    }

    /// Passes on the bytes of a record, or refuses the message that they belong to.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Result<(), Error> {
        bytes.iter().try_for_each(|byte| self.pass_byte(*byte))
    }

    fn pass_byte(&mut self, byte: u8) -> Result<(), Error> {
        self.left = self.left.saturating_sub(1);
        if self.skip > 0 {
            self.skip -= 1;
        } else {
            self.value = self.value << 8 | usize::from(byte);
            self.missing = self.missing.saturating_sub(1);
            if self.missing == 0 {
                self.read_field()?;
            }
        }
        // Whatever the lengths in it say, a message ends where its own says.
        if self.left == 0 {
            *self = Self::new();
        }
        Ok(())
    }

    fn read_field(&mut self) -> Result<(), Error> {
        let value = core::mem::take(&mut self.value);
        let (next, missing, skip) = match self.field {
            Field::Head => {
                let kind = value >> 24;
                self.left = value & 0x00ff_ffff;
                if kind == usize::from(CERTIFICATE) {
                    (Field::Context, 1, 0)
                } else {
                    check_len(self.left)?;
                    (Field::Head, 4, self.left)
                }
            }
            Field::Context => (Field::List, 3, value),
            Field::List => (Field::Certificate, 3, 0),
            Field::Certificate => {
                self.entries += 1;
                check_entries(self.entries)?;
                (Field::Extensions, 2, value)
            }
            Field::Extensions => (Field::Certificate, 3, value),
        };
        (self.field, self.missing, self.skip) = (next, missing, skip);
        Ok(())
    }
}

fn check_entries(count: usize) -> Result<(), Error> {
    if count <= MAX_ENTRIES {
        return Ok(());
    }
    let message = format!("the server sent more than {MAX_ENTRIES} certificates");
    Err(Error::General(message))
}

fn check_len(len: usize) -> Result<(), Error> {
    match len <= MAX_LEN {
        true => Ok(()),
        false => Err(Error::PeerSentOversizedRecord),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let len = (body.len() as u32).to_be_bytes();
        [&[kind][..], &len[1..], body].concat()
    }

    fn certificates(count: usize) -> Vec<u8> {
        let list = [0, 0, 2, 7, 7, 0, 1, 7].repeat(count);
        let len = (list.len() as u32).to_be_bytes();
        message(CERTIFICATE, &[&[1, 7][..], &len[1..], &list].concat())
    }

    #[test]
    fn messages_are_followed_over_any_records() {
        let around = [message(8, &[0, 0]), message(20, &[7; 32]), message(15, &[])].concat();
        for (message, is_refused) in [
            (certificates(0), false),
            (certificates(MAX_ENTRIES), false),
            (certificates(MAX_ENTRIES + 1), true),
            (message(13, &[0; MAX_LEN]), false),
            (message(13, &[0; MAX_LEN + 1]), true),
            // It ends before its list does: what follows is another message.
            (message(CERTIFICATE, &[0, 0, 9, 9, 0, 9, 9]), false),
        ] {
            let all = [&around[..], &message, &around, &message].concat();
            for len in [1, 2, 3, 7, all.len()] {
                let mut messages = Messages::new();
                let passed = all.chunks(len).try_for_each(|part| messages.pass(part));
                assert_eq!(passed.is_err(), is_refused, "{message:?} in parts of {len}");
                assert!(is_refused || messages.left == 4, "{message:?}");
            }
        }
    }
}
