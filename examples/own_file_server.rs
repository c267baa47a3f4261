//! A file server of one's own: a folder that sender and receiver share.
//!
//! ```text
//! cargo run --example own_file_server
//! ```
//!
//! It needs no server: the message goes through memory, and a payload of 1 MB through a folder.

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use natsbridge::adapter::{
    Body, BoxError, FileServer, FileServerError, Sink, StreamError, Upload, file_name,
};
use natsbridge::host::StdPlatform;
use natsbridge::memory::MemoryBroker;
use natsbridge::{FileServerErrorKind as Kind, NatsBridge, Payload, SendOptions};

use support::failure::{Failure, print, run};

/// A folder as a file server. Its URLs are `shared:` and the name of a file in it.
struct SharedFolder(PathBuf);

impl FileServer for SharedFolder {
    fn upload(&mut self, _: &str, body: &mut dyn Body) -> Result<Upload, FileServerError> {
        // Its name is new, and it vanishes unless it is kept, so that no half a file stays behind.
        let mut file = tempfile::NamedTempFile::with_prefix_in("", &self.0).map_err(failed)?;
        let (mut chunk, mut actual, expected) = ([0; 8192], 0, body.len());
        while let count @ 1.. = body.read(&mut chunk).map_err(failed)? {
            file.write_all(&chunk[..count]).map_err(failed)?;
            actual += count as u64;
        }
        if actual != expected {
            return Err(failed(StreamError::Length { expected, actual }));
        }
        let (_, path) = file.keep().map_err(failed)?;
        let name = path.file_name().unwrap_or_default();
        Ok(Upload::new(format!("shared:{}", name.display())))
    }

    fn download(
        &mut self,
        url: &str,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<u64, FileServerError> {
        let mut file = File::open(self.path(url)?).map_err(failed)?;
        let (mut chunk, mut total) = ([0; 8192], 0);
        while let count @ 1.. = file.read(&mut chunk).map_err(failed)? {
            total += count as u64;
            if total > limit {
                return Err(FileServerError::new(Kind::TooLarge { limit }, url));
            }
            sink.write(&chunk[..count]).map_err(failed)?;
        }
        Ok(total)
    }

    fn owns(&self, url: &str) -> bool {
        self.path(url).is_ok()
    }

    fn delete(&mut self, upload: &Upload) -> Result<(), FileServerError> {
        fs::remove_file(self.path(&upload.url)?).map_err(failed)
    }
}

impl SharedFolder {
    /// The file of a URL. A name that `file_name` would change could lead out of the folder.
    fn path(&self, url: &str) -> Result<PathBuf, FileServerError> {
        match url.strip_prefix("shared:") {
            Some(name) if file_name(name) == name => Ok(self.0.join(name)),
            _ => Err(FileServerError::new(Kind::InvalidUrl, url)),
        }
    }
}

fn failed(error: impl Into<BoxError>) -> FileServerError {
    FileServerError::new(Kind::Local, "the shared folder failed").with_source(error)
}

fn main() -> ExitCode {
    run(own_file_server)
}

fn own_file_server() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let file_server = SharedFolder(folder.path().to_path_buf());
    let mut bridge = NatsBridge::new(MemoryBroker::new(), file_server, StdPlatform);
    bridge.subscribe("/files", None)?;

    let sent = [("large", Payload::binary(vec![7; 1_000_000]))];
    bridge.smartsend("/files", &sent, &SendOptions::default())?;
    let files = fs::read_dir(folder.path())?.count();

    let received = bridge.next(Duration::from_secs(5))?;
    let received = received.ok_or("the message did not arrive")?;
    let (name, payload) = &received.payloads[0];
    let transport = &received.envelope.payloads[0].transport_name;
    if *payload != sent[0].1 || files != 1 {
        return Err(format!("`{name}` is not what was sent").into());
    }
    let len = payload.len();
    print(&format!(
        "`{name}`, {len} bytes, by {transport}: {files} file in the folder, equal"
    ))?;
    Ok(())
}
