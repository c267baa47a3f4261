//! Files as payloads and as targets of downloads.

use alloc::boxed::Box;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::message::{Content, Payload, PayloadType};
use crate::stream::{Body, Sink, StreamError, check_length};

impl Payload<'_> {
    /// The file at `path`, as long as it is now: it is read when it is sent, in chunks if it becomes a link,
    /// so that memory does not grow with it. A message never has a part of it: where its length changes
    /// before all of it is sent, the send fails. Whether it is what its type demands (UTF-8 of a text, JSON of
    /// a dictionary) is checked only if it travels in the message; else the receiver does.
    ///
    /// ```no_run
    /// use natsbridge::{Payload, PayloadType, SendOptions, host};
    ///
    /// let mut bridge = host::connect("nats://localhost:4222", "http://localhost:8080")?;
    /// let film = Payload::file("film.mp4", PayloadType::Video)?;
    /// let list = [("note", Payload::text("my holidays")), ("film", film)];
    /// bridge.smartsend("/films", &list, &SendOptions::default())?;
    /// # Ok::<(), natsbridge::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`StreamError::File`] if there is no such file, [`StreamError::NotRegularFile`] if it is a pipe,
    /// a device, a directory or a file of `/proc`.
    pub fn file(path: impl Into<PathBuf>, kind: PayloadType) -> Result<Self, StreamError> {
        FileSource::new(path.into(), kind).map(Self::stream)
    }
}

#[derive(Debug)]
struct FileSource {
    path: PathBuf,
    kind: PayloadType,
    len: u64,
}

impl FileSource {
    fn new(path: PathBuf, kind: PayloadType) -> Result<Self, StreamError> {
        let (is_file, len) = look_at(&path).map_err(|error| file_error(&path, error))?;
        if !is_file {
            let path = path.to_string_lossy().into_owned();
            return Err(StreamError::NotRegularFile { path });
        }
        Ok(Self { path, kind, len })
    }
}

/// Whether it is a regular file, and its length in bytes. Files of /proc and /sys report a length of 0.
fn look_at(path: &Path) -> io::Result<(bool, u64)> {
    let metadata = path.metadata()?;
    let len = metadata.len();
    let is_file = metadata.is_file() && (len > 0 || File::open(path)?.read(&mut [0])? == 0);
    Ok((is_file, len))
}

fn file_error(path: &Path, error: io::Error) -> StreamError {
    StreamError::File {
        path: path.to_string_lossy().into_owned(),
        source: error.into(),
    }
}

impl Content for FileSource {
    fn payload_type(&self) -> PayloadType {
        self.kind
    }
    fn size(&self) -> u64 {
        self.len
    }
    fn open(&self) -> Result<Box<dyn Body + '_>, StreamError> {
        let file = File::open(&self.path).map_err(|error| file_error(&self.path, error))?;
        let mut file = FileBody {
            file,
            len: self.len,
            read: 0,
        };
        file.check_len()?;
        Ok(Box::new(file))
    }
}

struct FileBody {
    file: File,
    len: u64,
    read: u64,
}

impl FileBody {
    /// A reader of no more than the declared bytes would not notice that there are more.
    fn check_len(&mut self) -> Result<(), StreamError> {
        let actual = self.file.metadata()?.len();
        check_length(self.len, actual)
    }
}

impl Body for FileBody {
    fn len(&self) -> u64 {
        self.len
    }
    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        let left = usize::try_from(self.len - self.read).unwrap_or(usize::MAX);
        let room = left.min(out.len());
        let count = loop {
            match self.file.read(&mut out[..room]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.read += count as u64;
        if count == left || (count == 0 && room > 0) {
            self.check_len()?;
            check_length(self.len, self.read)?;
        }
        Ok(count)
    }
    fn rewind(&mut self) -> Result<(), StreamError> {
        self.read = 0;
        Ok(self.file.rewind()?)
    }
}

/// A file that a download is written to, in chunks, however long it is.
///
/// ```no_run
/// use natsbridge::host::{self, FileSink};
/// use natsbridge::{Envelope, Limits, ReceiveOptions};
///
/// # let message = b"";
/// let mut bridge = host::connect("nats://localhost:4222", "http://localhost:8080")?;
/// let envelope = Envelope::parse(message, &Limits::default())?;
/// let mut file = FileSink::create("film.mp4")?;
/// bridge.download(&envelope.payloads[0], &ReceiveOptions::default(), &mut file)?;
/// # Ok::<(), natsbridge::Error>(())
/// ```
#[derive(Debug)]
pub struct FileSink {
    file: File,
}

impl FileSink {
    /// Creates a file at `path`, which must not exist: a name from a message must not overwrite anything.
    ///
    /// # Errors
    /// [`StreamError::File`] if it exists or cannot be created.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, StreamError> {
        let path = path.as_ref();
        let file = File::create_new(path).map_err(|error| file_error(path, error))?;
        Ok(Self { file })
    }
}

impl Sink for FileSink {
    fn write(&mut self, chunk: &[u8]) -> Result<(), StreamError> {
        Ok(self.file.write_all(chunk)?)
    }
    fn reset(&mut self) -> Result<(), StreamError> {
        self.file.set_len(0)?;
        Ok(self.file.rewind()?)
    }
}

impl From<io::Error> for StreamError {
    fn from(error: io::Error) -> Self {
        Self::Io(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    use crate::bridge::{NatsBridge, SendOptions};
    use crate::host::StdPlatform;
    use crate::memory::{MemoryBroker, MemoryFileServer};
    use crate::stream::read_to_vec;

    fn source(path: &Path) -> Result<FileSource, StreamError> {
        FileSource::new(path.into(), PayloadType::Binary)
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Payload::file("/no/such\nfile", PayloadType::Binary).unwrap_err();
        let words = alloc::format!("{:?}", crate::Error::from(error));
        let start =
            "a payload cannot be used: it cannot be read: `/no/such\\u{a}file` cannot be opened: ";
        assert!(words.starts_with(start), "{words}");
    }

    /// Issue 10, point 2: they were sent as 0 bytes.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_no_regular_file_is_refused() {
        for path in ["/proc/self/status", "/dev/null", "/dev/zero", "/proc"] {
            let error = source(Path::new(path)).unwrap_err();
            assert!(
                matches!(error, StreamError::NotRegularFile { .. }),
                "{path}"
            );
            let words = alloc::format!(
                "`{path}` is no regular file of a known length: read it whole, and send its bytes"
            );
            assert_eq!(alloc::format!("{error}"), words);
        }
    }

    /// Sends a file whose length becomes `after` bytes after it was measured.
    fn send_changed(before: usize, after: usize, threshold: usize) -> Result<Vec<u8>, ()> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, vec![1; before]).unwrap();
        let payload = Payload::file(&path, PayloadType::Binary).unwrap();
        std::fs::write(&path, vec![1; after]).unwrap();
        let files = MemoryFileServer::new();
        let mut bridge = NatsBridge::new(MemoryBroker::new(), files.clone(), StdPlatform);
        bridge.subscribe("s", None).unwrap();
        let options = SendOptions::default().size_threshold(threshold);
        let sent = bridge.smartsend("s", &[("f", payload)], &options).map(drop);
        let message = bridge.next_message(core::time::Duration::ZERO).unwrap();
        if sent.is_err() {
            assert!(message.is_none() && files.is_empty());
        }
        sent.map_err(drop)?;
        let options = crate::bridge::ReceiveOptions::default();
        let message = message.unwrap();
        let received = bridge.smartreceive(&message, &options).unwrap();
        Ok(received.bytes("f").unwrap().to_vec())
    }

    /// Issue 10, point 2: a grown file was cut to its first length.
    #[test]
    fn a_file_whose_length_changed_is_not_sent() {
        for threshold in [0, usize::MAX] {
            for (before, after) in [(0, 1), (1, 0), (1000, 1001), (1000, 999), (1000, 9000)] {
                let sent = send_changed(before, after, threshold);
                assert_eq!(sent, Err(()), "{before} {after} {threshold}");
            }
            for len in [0, 1, 1000] {
                assert_eq!(send_changed(len, len, threshold), Ok(vec![1; len]));
            }
        }
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_an_error() {
        for after in [999, 1001] {
            for chunk in [1, 500, 1000, 5000] {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("f");
                std::fs::write(&path, vec![1; 1000]).unwrap();
                let payload = source(&path).unwrap();
                let mut body = payload.open().unwrap();
                std::fs::write(&path, vec![1; after]).unwrap();
                let mut out = vec![0; chunk];
                let fault = (0..=1000).find_map(|_| body.read(&mut out).err());
                assert!(
                    matches!(fault, Some(StreamError::Length { expected: 1000, actual }) if actual == after as u64),
                    "{fault:?}"
                );
            }
        }
    }

    #[test]
    fn a_file_is_read_again_from_its_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"hello").unwrap();
        let payload = source(&path).unwrap();
        let mut body = payload.open().unwrap();
        for _ in 0..2 {
            let mut read = Vec::new();
            read_to_vec(&mut body, &mut read).unwrap();
            assert_eq!(read, b"hello");
            body.rewind().unwrap();
        }
    }
}
