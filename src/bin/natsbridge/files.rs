//! Payloads as files of one folder, whatever names their senders chose.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use natsbridge::Received;
use natsbridge::adapter::{Sink, StreamError, file_name};
use sha2::{Digest as _, Sha256};

use crate::failure::{Failure, while_doing};
use crate::output::{Shown, value_of};

/// Of a `msg_id`, this much goes into a file's name: the whole stays under 255 bytes, which is what
/// file systems take.
const MAX_ID_LEN: usize = 64;

/// Where payloads are written, if anywhere.
pub(crate) struct OutDir {
    dir: Option<PathBuf>,
    messages: u64,
    is_durable: bool,
}

impl OutDir {
    /// Makes the folder, if one is named, and checks that it can be written to before the first message
    /// arrives.
    pub(crate) fn new(dir: Option<&Path>) -> Result<Self, Failure> {
        if let Some(dir) = dir {
            let doing = || format!("cannot make the folder {}", dir.display());
            fs::create_dir_all(dir).map_err(|error| while_doing(doing(), error))?;
            let doing = || format!("cannot write to the folder {}", dir.display());
            try_to_write(dir).map_err(|error| while_doing(doing(), error))?;
        }
        Ok(Self {
            dir: dir.map(Path::to_path_buf),
            messages: 0,
            is_durable: false,
        })
    }

    /// Sets whether a file is on the disk before it is reported.
    pub(crate) fn durable(mut self, is_durable: bool) -> Self {
        self.is_durable = is_durable;
        self
    }

    /// The files that follow belong to the next message.
    pub(crate) fn begin_message(&mut self) {
        self.messages += 1;
    }

    /// A new file for a payload, if there is a folder; else the payload is only counted and hashed.
    pub(crate) fn create(
        &self,
        msg_id: &str,
        index: usize,
        dataname: &str,
    ) -> Result<PayloadFile, Failure> {
        let created = match &self.dir {
            Some(dir) => {
                let prefix = dir.join(format!("{}-{index}", self.file_id(msg_id)));
                let mut name = file_name(dataname);
                if name.to_ascii_lowercase().ends_with(PART) {
                    // It could be what another process writes to.
                    name.push('_');
                }
                Some(self.create_new(&prefix, &name)?)
            }
            None => None,
        };
        Ok(PayloadFile {
            created,
            is_durable: self.is_durable,
            size: 0,
            sha256: Sha256::new(),
            fault: None,
        })
    }

    /// Stores a payload that is in memory.
    pub(crate) fn store(
        &self,
        msg_id: &str,
        index: usize,
        dataname: &str,
        bytes: &[u8],
    ) -> Result<Shown, Failure> {
        let mut file = self.create(msg_id, index, dataname)?;
        let written = file.write(bytes);
        file.finish(written)
    }

    /// Stores the payloads of a message that is in memory.
    pub(crate) fn store_all(&mut self, received: &Received) -> Result<Vec<Shown>, Failure> {
        self.begin_message();
        let msg_id = &received.envelope.msg_id;
        let mut stored = Vec::with_capacity(received.payloads.len());
        for (index, (name, payload)) in received.payloads.iter().enumerate() {
            let file = self.store(msg_id, index, name, &payload.serialize()?)?;
            stored.push(file.with_value(value_of(payload)));
        }
        Ok(stored)
    }

    fn file_id(&self, msg_id: &str) -> String {
        match msg_id {
            "" => (self.messages - 1).to_string(),
            id => file_name(id).chars().take(MAX_ID_LEN).collect(),
        }
    }

    /// A new file. What is there already, a link among it, is left alone: `msg_id` is untrusted and
    /// may repeat.
    fn create_new(&self, prefix: &Path, name: &str) -> Result<Created, Failure> {
        let prefix = prefix.display();
        let mut path = PathBuf::from(format!("{prefix}-{name}"));
        let mut counter = self.messages;
        loop {
            match Created::new(&path) {
                Ok(created) => return Ok(created),
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

fn try_to_write(dir: &Path) -> io::Result<()> {
    let mut counter = 0;
    loop {
        let path = dir.join(format!(".{}-{counter}{PART}", std::process::id()));
        // What is there already, a link among it, is left alone.
        match File::create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => counter += 1,
            created => return created.and_then(|_| fs::remove_file(path)),
        }
    }
}

/// What the name of a file ends in until it is whole.
const PART: &str = ".part";

/// A file that has another name until it is whole: who watches the folder, or starts this program again after
/// it was killed, must not take half a file for a whole one.
struct Created {
    file: File,
    part: PathBuf,
    path: PathBuf,
}

impl Created {
    fn new(path: &Path) -> io::Result<Self> {
        let mut part = path.as_os_str().to_os_string();
        part.push(PART);
        let part = PathBuf::from(part);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&part)?;
        // While the part is ours, no other process of this program makes a file of that name.
        if path.symlink_metadata().is_ok() {
            fs::remove_file(&part)?;
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let path = path.to_path_buf();
        Ok(Self { file, part, path })
    }

    /// Gives the file its name.
    fn keep(&self, is_durable: bool) -> io::Result<()> {
        if is_durable {
            self.file.sync_all()?;
        }
        fs::rename(&self.part, &self.path)?;
        // Its name is durable once the folder is, where the file system can do that.
        #[cfg(unix)]
        if let Some(folder) = self.path.parent().filter(|_| is_durable) {
            File::open(folder)?.sync_all().ok();
        }
        Ok(())
    }
}

/// Where the bytes of a payload go, in chunks, however many they are.
pub(crate) struct PayloadFile {
    created: Option<Created>,
    is_durable: bool,
    size: u64,
    sha256: Sha256,
    /// Why the disk failed, which is not the sender's error.
    fault: Option<io::Error>,
}

impl PayloadFile {
    /// The file, if `written` says that all of it is there. Half a file must not pass for a whole
    /// one, and is removed.
    pub(crate) fn finish<T>(
        self,
        written: Result<T, impl Into<Failure>>,
    ) -> Result<Shown, Failure> {
        let mut stored = Shown {
            size: Some(self.size),
            sha256: Some(hex(&self.sha256.finalize())),
            ..Shown::default()
        };
        let Some(created) = self.created else {
            return written.map(|_| stored).map_err(Into::into);
        };
        let doing = || format!("cannot write {}", created.path.display());
        let renamed = match (written, self.fault) {
            (Ok(_), _) => created
                .keep(self.is_durable)
                .map_err(|error| while_doing(doing(), error)),
            (Err(_), Some(fault)) => Err(while_doing(doing(), fault)),
            (Err(error), None) => Err(error.into()),
        };
        if let Err(error) = renamed {
            fs::remove_file(&created.part).ok();
            return Err(error);
        }
        stored.file = Some(created.path);
        Ok(stored)
    }

    /// Keeps what went wrong here, apart from what went wrong elsewhere.
    fn keep(&mut self, done: io::Result<()>) -> Result<(), StreamError> {
        done.map_err(|error| {
            let reported = StreamError::from(io::Error::from(error.kind()));
            self.fault = Some(error);
            reported
        })
    }
}

impl Sink for PayloadFile {
    fn write(&mut self, chunk: &[u8]) -> Result<(), StreamError> {
        self.size += chunk.len() as u64;
        self.sha256.update(chunk);
        let done = match &mut self.created {
            Some(created) => created.file.write_all(chunk),
            None => Ok(()),
        };
        self.keep(done)
    }

    fn reset(&mut self) -> Result<(), StreamError> {
        self.size = 0;
        self.sha256 = Sha256::new();
        let done = match &mut self.created {
            Some(Created { file, .. }) => file.set_len(0).and_then(|()| file.rewind()),
            None => Ok(()),
        };
        self.keep(done)
    }
}

/// Removes the files of payloads, because their message is not whole.
pub(crate) fn remove(stored: &[Shown]) {
    for path in stored.iter().filter_map(|payload| payload.file.as_ref()) {
        fs::remove_file(path).ok();
    }
}

pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
