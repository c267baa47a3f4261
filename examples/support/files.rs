//! Payloads as files of one folder, whatever names their senders chose.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use natsbridge::file_name;

use super::failure::{Failure, while_doing};

/// Of a `msg_id`, this much goes into a file's name: the whole stays under 255 bytes, which is what
/// file systems take.
const MAX_ID_LEN: usize = 64;

/// Where payloads are written, if anywhere.
pub(crate) struct OutDir {
    dir: Option<PathBuf>,
    messages: u64,
}

impl OutDir {
    /// Makes the folder, if one is named.
    pub(crate) fn new(dir: Option<&Path>) -> Result<Self, Failure> {
        if let Some(dir) = dir {
            let doing = || format!("cannot make the folder {}", dir.display());
            fs::create_dir_all(dir).map_err(|error| while_doing(doing(), error))?;
        }
        Ok(Self {
            dir: dir.map(Path::to_path_buf),
            messages: 0,
        })
    }

    /// The files that follow belong to the next message.
    pub(crate) fn begin_message(&mut self) {
        self.messages += 1;
    }

    /// Writes a payload into a file of its own and gives its path, or nothing if there is no folder.
    pub(crate) fn write(
        &self,
        msg_id: &str,
        index: usize,
        dataname: &str,
        bytes: &[u8],
    ) -> Result<Option<String>, Failure> {
        let Some(dir) = &self.dir else {
            return Ok(None);
        };
        let id = match msg_id {
            "" => (self.messages - 1).to_string(),
            id => file_name(id).chars().take(MAX_ID_LEN).collect(),
        };
        let prefix = dir.join(format!("{id}-{index}"));
        let (mut file, path) = self.create(&prefix, &file_name(dataname))?;
        file.write_all(bytes).map_err(|error| {
            // Half a file must not pass for a whole one.
            fs::remove_file(&path).ok();
            while_doing(format!("cannot write {}", path.display()), error)
        })?;
        Ok(Some(path.display().to_string()))
    }

    /// A new file. What is there already, a link among it, is left alone: `msg_id` is the sender's
    /// word and may repeat.
    fn create(&self, prefix: &Path, name: &str) -> Result<(File, PathBuf), Failure> {
        let prefix = prefix.display();
        let mut path = PathBuf::from(format!("{prefix}-{name}"));
        let mut counter = self.messages;
        loop {
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((file, path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    path = PathBuf::from(format!("{prefix}.{counter}-{name}"));
                    counter += 1;
                }
                Err(error) => {
                    let doing = format!("cannot make {}", path.display());
                    return Err(while_doing(doing, error));
                }
            }
        }
    }
}
