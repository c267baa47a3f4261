//! A file server that answers as it was told.

use std::collections::BTreeMap;

use natsbridge::FileServerErrorKind;
use natsbridge::adapter::Upload;
use natsbridge::adapter::{Body, FileServer, FileServerError, Sink};

/// Serves fixed files, and answers every upload in the same way.
pub struct FixedFiles {
    files: BTreeMap<String, Vec<u8>>,
    upload: Result<String, (FileServerErrorKind, String)>,
}

impl FixedFiles {
    /// Serves `files` and stores nothing.
    pub fn serving(files: BTreeMap<String, Vec<u8>>) -> Self {
        let upload = Err((FileServerErrorKind::Unsupported, String::new()));
        Self { files, upload }
    }

    /// Says of every upload that it is at `url`.
    pub fn storing_at(url: &str) -> Self {
        let upload = Ok(url.to_string());
        Self {
            files: BTreeMap::new(),
            upload,
        }
    }

    /// Has no uploads.
    pub fn unsupported() -> Self {
        Self::serving(BTreeMap::new())
    }

    /// Fails at every upload.
    pub fn failing(message: &str) -> Self {
        let upload = Err((FileServerErrorKind::Local, message.to_string()));
        Self {
            files: BTreeMap::new(),
            upload,
        }
    }
}

impl FileServer for FixedFiles {
    fn upload(&mut self, _: &str, body: &mut dyn Body) -> Result<Upload, FileServerError> {
        let mut out = [0; 64];
        while body.read(&mut out).unwrap() > 0 {}
        match &self.upload {
            Ok(url) => Ok(Upload::new(url.as_str())),
            Err((kind, message)) => Err(FileServerError::new(*kind, message.as_str())),
        }
    }

    fn download(&mut self, url: &str, _: u64, sink: &mut dyn Sink) -> Result<u64, FileServerError> {
        let Some(bytes) = self.files.get(url) else {
            return Err(FileServerError::new(
                FileServerErrorKind::NotFound,
                "not there",
            ));
        };
        sink.write(bytes).unwrap();
        Ok(bytes.len() as u64)
    }

    fn owns(&self, _: &str) -> bool {
        true
    }
}
