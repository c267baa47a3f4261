//! Files as contents of payloads, and as sinks of downloads.

use alloc::boxed::Box;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::message::{Content, PayloadType};
use crate::stream::{Body, Sink, StreamError};

/// A file to be sent as a payload. As a link it is read in chunks, however long it is.
///
/// ```no_run
/// use natsbridge::host::{self, FileSource};
/// use natsbridge::{PayloadType, SendOptions};
///
/// let film = FileSource::new("film.mp4", PayloadType::Video)?;
/// let mut bridge = host::connect("nats://localhost:4222", "http://localhost:8080")?;
/// bridge.smartsend("/films", &[("film.mp4", film)], &SendOptions::default())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct FileSource {
    path: PathBuf,
    kind: PayloadType,
    len: u64,
}

impl FileSource {
    /// The file at `path`, as long as it is now. If its length changes before it is sent, sending
    /// fails. Whether it is what its type demands (UTF-8 of a text, JSON of a dictionary) is for the
    /// receiver to find out.
    ///
    /// # Errors
    /// [`StreamError::Io`] if there is no such file.
    pub fn new(path: impl Into<PathBuf>, kind: PayloadType) -> Result<Self, StreamError> {
        let path = path.into();
        let len = path.metadata()?.len();
        Ok(Self { path, kind, len })
    }
}

impl Content for FileSource {
    fn payload_type(&self) -> PayloadType {
        self.kind
    }
    fn size(&self) -> u64 {
        self.len
    }
    fn bytes(&self) -> Option<&[u8]> {
        None
    }
    fn open(&self) -> Result<Box<dyn Body + '_>, StreamError> {
        let file = File::open(&self.path)?;
        Ok(Box::new(FileBody {
            file,
            len: self.len,
        }))
    }
}

struct FileBody {
    file: File,
    len: u64,
}

impl Body for FileBody {
    fn len(&self) -> u64 {
        self.len
    }
    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        loop {
            match self.file.read(out) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return Ok(read?),
            }
        }
    }
    fn rewind(&mut self) -> Result<(), StreamError> {
        Ok(self.file.rewind()?)
    }
}

/// A file that a download goes into, in chunks, however long it is.
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
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FileSink {
    file: File,
}

impl FileSink {
    /// A file at `path` that must not be there yet: a name from a message is not to overwrite
    /// anything.
    ///
    /// # Errors
    /// [`StreamError::Io`] if it is there, or cannot be made.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, StreamError> {
        let file = File::create_new(path)?;
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
