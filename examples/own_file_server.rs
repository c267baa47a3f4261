//! A file server of one's own: a folder that sender and receiver share.
//!
//! ```text
//! cargo run --example own_file_server
//! ```
//!
//! It needs no server: the message goes through memory, and a payload of 1 MB through a folder.

mod support;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use natsbridge::host::StdPlatform;
use natsbridge::memory::MemoryBroker;
use natsbridge::{
    Body, FileServer, FileServerError, FileServerErrorKind as Kind, NatsBridge, Payload,
    SendOptions, Sink, Upload, file_name,
};

use support::failure::{Failure, run};

/// A folder as a file server. Its URLs are `shared:` and the name of a file in it.
struct SharedFolder(PathBuf);

impl FileServer for SharedFolder {
    fn upload(&mut self, dataname: &str, body: &mut dyn Body) -> Result<Upload, FileServerError> {
        let (name, mut file) = self.create(&file_name(dataname)).map_err(local)?;
        let mut chunk = [0; 8192];
        loop {
            match body.read(&mut chunk).map_err(local)? {
                0 => return Ok(Upload::new(format!("shared:{name}"))),
                count => file.write_all(&chunk[..count]).map_err(local)?,
            }
        }
    }

    fn download(
        &mut self,
        url: &str,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<u64, FileServerError> {
        let path = self
            .path(url)
            .ok_or_else(|| FileServerError::new(Kind::InvalidUrl, url))?;
        let file = File::open(path).map_err(local)?;
        let mut bytes = Vec::new();
        file.take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(local)?;
        let len = bytes.len() as u64;
        if len > limit {
            return Err(FileServerError::new(Kind::TooLarge { limit }, url));
        }
        sink.write(&bytes).map_err(local)?;
        Ok(len)
    }

    fn owns(&self, url: &str) -> bool {
        self.path(url).is_some()
    }

    fn delete(&mut self, upload: &Upload) -> Result<(), FileServerError> {
        let path = self.path(&upload.url).unwrap_or_default();
        fs::remove_file(path).map_err(local)
    }
}
