//! A file as `multipart/form-data`.

use alloc::format;
use alloc::string::{String, ToString};

use md5::{Digest as _, Md5};

use crate::checksum::Hex;
use crate::stream::{Body, StreamError};

/// A `multipart/form-data` body of one file (RFC 7578), hashed while it is read.
pub(super) struct FormFile<'b> {
    head: String,
    file: &'b mut dyn Body,
    tail: String,
    read: u64,
    md5: Md5,
}

impl<'b> FormFile<'b> {
    pub(super) fn new(boundary: &str, file_name: &str, file: &'b mut dyn Body) -> Self {
        let head = format!(
            "--{boundary}\r\n\
             Content-Disposition: form-data; name=\"file\"; filename=\"{file_name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        Self {
            head,
            file,
            tail: format!("\r\n--{boundary}--\r\n"),
            read: 0,
            md5: Md5::new(),
        }
    }

    pub(super) fn md5(&self) -> String {
        Hex(&self.md5.clone().finalize()).to_string()
    }

    fn read_file(&mut self, out: &mut [u8], left: u64) -> Result<usize, StreamError> {
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        let count = self.file.read(&mut out[..room])?.min(room);
        self.md5.update(&out[..count]);
        Ok(count)
    }
}

impl Body for FormFile<'_> {
    fn len(&self) -> u64 {
        self.head.len() as u64 + self.file.len() + self.tail.len() as u64
    }

    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        let file_start = self.head.len() as u64;
        let file_end = file_start + self.file.len();
        let count = if self.read < file_start {
            copy_from(self.head.as_bytes(), self.read, out)
        } else if self.read < file_end {
            self.read_file(out, file_end - self.read)?
        } else {
            copy_from(self.tail.as_bytes(), self.read - file_end, out)
        };
        self.read += count as u64;
        Ok(count)
    }

    fn rewind(&mut self) -> Result<(), StreamError> {
        self.file.rewind()?;
        self.read = 0;
        self.md5 = Md5::new();
        Ok(())
    }
}

/// Copies what stands in `text` from byte `start` on, as far as it fits.
fn copy_from(text: &[u8], start: u64, out: &mut [u8]) -> usize {
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    let rest = text.get(start..).unwrap_or_default();
    let count = rest.len().min(out.len());
    out[..count].copy_from_slice(&rest[..count]);
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    use crate::stream::{SliceBody, read_to_vec};

    #[test]
    fn a_form_is_the_same_in_any_chunks_and_again() {
        let mut file = SliceBody::new(b"hello");
        let mut form = FormFile::new("B", "n.txt", &mut file);
        let mut whole = Vec::new();
        read_to_vec(&mut form, &mut whole).unwrap();
        let expected = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"n.txt\"\r\n\
             Content-Type: application/octet-stream\r\n\r\nhello\r\n--B--\r\n";
        assert_eq!(core::str::from_utf8(&whole).unwrap(), expected);
        assert_eq!(form.md5(), "5d41402abc4b2a76b9719d911017c592");
        form.rewind().unwrap();
        let mut bytewise = Vec::new();
        let mut one = [0];
        while form.read(&mut one).unwrap() == 1 {
            bytewise.push(one[0]);
        }
        assert_eq!(bytewise, whole);
        assert_eq!(form.md5(), "5d41402abc4b2a76b9719d911017c592");
    }
}
