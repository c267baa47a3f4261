//! A store of one's own: a shared folder. It needs no server: `cargo run --example own_store`

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use natsbridge::adapter::{Body, BoxError, FileServer, FileServerError, Sink, Upload};
use natsbridge::host::StdPlatform;
use natsbridge::memory::MemoryBroker;
use natsbridge::{FileServerErrorKind as Kind, NatsBridge, Payload, SendOptions};

type Stored<T> = Result<T, FileServerError>;

/// Its URLs are the paths of files in the folder.
struct SharedFolder(PathBuf);

impl FileServer for SharedFolder {
    fn upload(&mut self, _: &str, body: &mut dyn Body) -> Stored<Upload> {
        let (mut bytes, mut len) = (vec![0; body.len() as usize + 1], 0);
        while let count @ 1.. = body.read(&mut bytes[len..]).map_err(failed)? {
            len += count;
        }
        if len as u64 != body.len() {
            return Err(failed("the payload has another length than it had"));
        }
        let file = tempfile::NamedTempFile::new_in(&self.0).map_err(failed)?;
        fs::write(file.path(), &bytes[..len]).map_err(failed)?;
        let (_, path) = file.keep().map_err(failed)?;
        Ok(Upload::new(path.display().to_string()))
    }

    fn download(&mut self, url: &str, limit: u64, to: &mut dyn Sink) -> Stored<u64> {
        let len = fs::metadata(url).map_err(failed)?.len();
        if len > limit {
            return Err(FileServerError::new(Kind::TooLarge { limit }, url));
        }
        to.write(&fs::read(url).map_err(failed)?).map_err(failed)?;
        Ok(len)
    }

    fn owns(&self, url: &str) -> bool {
        Path::new(url).parent() == Some(&self.0) // others are not downloaded
    }
}

fn failed(error: impl Into<BoxError>) -> FileServerError {
    FileServerError::new(Kind::Local, "the shared folder failed").with_source(error)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let store = SharedFolder(folder.path().to_path_buf());
    let mut bridge = NatsBridge::new(MemoryBroker::new(), store, StdPlatform);
    bridge.subscribe("/files", None)?;
    let data = [("film", Payload::binary(vec![7; 1_000_000]))];
    bridge.smartsend("/files", &data, &SendOptions::default())?;
    let received = bridge.next(Duration::ZERO)?.ok_or("no message")?;
    println!("a film of {} bytes", received.bytes("film")?.len());
    Ok(())
}
