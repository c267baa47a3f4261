//! A folder as a file server.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use core::fmt;
use core::time::Duration;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf, absolute};
use std::time::SystemTime;

use super::{
    FileServer, FileServerError, FileServerErrorKind as Kind, OptionError, Upload, file_name,
    unique_name,
};
use crate::http::url::RedactedUrl;
use crate::percent::encode_path;
use crate::platform::Platform;
use crate::stream::{Body, Sink, check_length};

/// Bytes that are copied at a time.
const CHUNK_LEN: usize = 65_536;
/// How long the random part of a file's name is: a UUID in hex digits.
const TOKEN_LEN: usize = 32;

/// A folder that sender and receiver share at the same path: on one machine, or in a network file system. Its
/// links are `file:` URLs, which only a receiver with this store and this folder fetches.
///
/// A file is written under a temporary name, made durable and then renamed, so that there is never a part
/// of one behind a link. Its name is 32 random hex digits, a dash and the payload's name made
/// [safe](file_name). Only such files of the folder itself are read: no others, no folders within it, and
/// nothing that is not a regular file (symbolic links, pipes, devices).
///
/// Calls take as long as the file system does: a network file system that hangs is not given up.
///
/// ```
/// use natsbridge::host::StdPlatform;
/// use natsbridge::{Directory, NatsBridge, memory::MemoryBroker};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path();
/// let files = Directory::new(StdPlatform, path)?;
/// let bridge = NatsBridge::new(MemoryBroker::new(), files, StdPlatform);
/// # let _ = bridge;
/// # Ok::<(), natsbridge::OptionError>(())
/// ```
pub struct Directory<P> {
    platform: P,
    folder: PathBuf,
    /// The URL of the folder, without a `/` at its end.
    base_url: String,
}

impl<P> fmt::Debug for Directory<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Directory").field(&self.folder).finish()
    }
}

impl<P: Platform> Directory<P> {
    /// The folder at `path`, which is created if it is not there. `platform` gives the random names.
    ///
    /// # Errors
    /// [`OptionError::Invalid`] if it is no folder and cannot be made one.
    pub fn new(platform: P, path: impl AsRef<Path>) -> Result<Self, OptionError> {
        let path = path.as_ref();
        let folder = absolute(path).and_then(|folder| {
            fs::create_dir_all(&folder)?;
            Ok(folder)
        });
        let folder = folder.map_err(|_| OptionError::Invalid {
            name: "folder",
            reason: "it cannot be opened or created",
        })?;
        Ok(Self {
            platform,
            base_url: file_url(&folder),
            folder,
        })
    }

    /// Deletes the files that were stored `age` ago or earlier, and parts of files that were never completed,
    /// and returns their number. Nothing else does that: call it now and then. An upload under way whose body
    /// paused for `age` counts as one that was never completed, and fails: choose a longer `age`.
    ///
    /// # Errors
    /// Of kind [`Local`](Kind::Local), if the folder cannot be read. A file that cannot be deleted is
    /// passed over.
    pub fn remove_older_than(&mut self, age: Duration) -> Result<u64, FileServerError> {
        let Some(newest) = SystemTime::now().checked_sub(age) else {
            return Ok(0);
        };
        let failed = |error| self.failed("read", &self.base_url, error);
        let mut removed = 0;
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_ours = entry.file_name().to_str().is_some_and(|name| {
                let unfinished = name
                    .strip_prefix('.')
                    .and_then(|name| name.strip_suffix(".part"));
                is_stored_name(name) || unfinished.is_some_and(is_token)
            });
            // Of a symbolic link: its own.
            let is_old = |metadata: &fs::Metadata| {
                metadata.is_file() && metadata.modified().is_ok_and(|time| time <= newest)
            };
            if is_ours && entry.metadata().is_ok_and(|metadata| is_old(&metadata)) {
                removed += u64::from(fs::remove_file(entry.path()).is_ok());
            }
        }
        Ok(removed)
    }

    /// The file behind one of our links, whether it is there or not.
    fn path_of(&self, url: &str) -> Option<PathBuf> {
        let name = url.strip_prefix(&self.base_url)?.strip_prefix('/')?;
        is_stored_name(name).then(|| self.folder.join(name))
    }

    fn own_path(&self, url: &str) -> Result<PathBuf, FileServerError> {
        self.path_of(url).ok_or_else(|| {
            // A name that no file of this store has.
            let kind = match url.strip_prefix(&self.base_url) {
                Some(name) if name.starts_with('/') => Kind::NotFound,
                _ => Kind::InvalidUrl,
            };
            let message = format!("{} is no file of {}", RedactedUrl(url), self.base_url);
            FileServerError::new(kind, message)
        })
    }

    fn failed(&self, action: &str, url: &str, error: io::Error) -> FileServerError {
        let kind = match error.kind() {
            ErrorKind::NotFound => Kind::NotFound,
            ErrorKind::PermissionDenied => Kind::Unauthorized,
            ErrorKind::TimedOut => Kind::Timeout,
            _ => Kind::Local,
        };
        FileServerError::new(kind, format!("cannot {action} {url}")).with_source(error)
    }

    /// Writes all of `body` to a new file, which survives a loss of power.
    fn write(&self, path: &Path, url: &str, body: &mut dyn Body) -> Result<(), FileServerError> {
        let failed = |error| self.failed("write", url, error);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(failed)?;
        let (len, mut written) = (body.len(), 0);
        let mut chunk = vec![0; CHUNK_LEN];
        while written < len {
            let count = body.read(&mut chunk).map_err(FileServerError::local)?;
            if count == 0 {
                check_length(len, written).map_err(FileServerError::local)?;
            }
            let count = count.min(chunk.len());
            file.write_all(&chunk[..count]).map_err(failed)?;
            written += count as u64;
        }
        check_length(len, written).map_err(FileServerError::local)?;
        file.sync_all().map_err(failed)
    }

    fn rename(&self, from: &Path, name: &str, url: &str) -> Result<(), FileServerError> {
        let failed = |error| self.failed("rename", url, error);
        #[cfg(unix)]
        let folder = self.open_folder().map_err(failed)?;
        let to = self.folder.join(name);
        fs::rename(from, &to).map_err(failed)?;
        // The name is durable once the folder is.
        #[cfg(unix)]
        if let Some(folder) = folder {
            sync_folder(&folder).map_err(|error| {
                fs::remove_file(&to).ok();
                failed(error)
            })?;
        }
        Ok(())
    }

    /// The folder, or `None` if this program may write to it but not read it.
    #[cfg(unix)]
    fn open_folder(&self) -> io::Result<Option<File>> {
        match File::open(&self.folder) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(None),
            opened => opened.map(Some),
        }
    }
}

impl<P: Platform> FileServer for Directory<P> {
    fn upload(&mut self, dataname: &str, body: &mut dyn Body) -> Result<Upload, FileServerError> {
        let name = unique_name(&self.platform, dataname)?;
        let url = format!("{}/{name}", self.base_url);
        let token = name.get(..TOKEN_LEN).unwrap_or(&name);
        let part = self.folder.join(format!(".{token}.part"));
        let stored = self.write(&part, &url, body);
        let stored = stored.and_then(|()| self.rename(&part, &name, &url));
        stored.inspect_err(|_| {
            fs::remove_file(&part).ok();
        })?;
        Ok(Upload::new(url))
    }

    fn download(
        &mut self,
        url: &str,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<u64, FileServerError> {
        let path = self.own_path(url)?;
        let mut file = open_regular(&path).map_err(|error| self.failed("read", url, error))?;
        let mut chunk = vec![0; CHUNK_LEN];
        let mut read = 0;
        loop {
            let count = match file.read(&mut chunk) {
                Ok(0) => return Ok(read),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.failed("read", url, error)),
            };
            read += count as u64;
            if read > limit {
                let message = format!("{url} is over the limit of {limit} bytes");
                return Err(FileServerError::new(Kind::TooLarge { limit }, message));
            }
            sink.write(&chunk[..count])
                .map_err(FileServerError::local)?;
        }
    }

    fn owns(&self, url: &str) -> bool {
        self.path_of(url).is_some()
    }

    fn delete(&mut self, upload: &Upload) -> Result<(), FileServerError> {
        let path = self.own_path(&upload.url)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(self.failed("delete", &upload.url, error))
            }
            _ => Ok(()),
        }
    }
}

/// Makes what was renamed in a folder durable, where the file system can.
#[cfg(unix)]
fn sync_folder(folder: &File) -> io::Result<()> {
    match folder.sync_all() {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::InvalidInput | ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

/// Opens a regular file, and nothing else: what is opened is looked at, whatever stood there before.
fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    // A symbolic link is not followed, and the open of a pipe does not wait for a writer.
    #[cfg(all(unix, not(target_os = "espidf")))]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        libc::O_NOFOLLOW | libc::O_NONBLOCK,
    );
    #[cfg(any(not(unix), target_os = "espidf"))]
    if fs::symlink_metadata(path)?.is_symlink() {
        return Err(not_regular());
    }
    let file = options.open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(not_regular())
    }
}

fn not_regular() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "it is not a regular file")
}

/// 32 hex digits, a dash, and a safe name.
fn is_stored_name(name: &str) -> bool {
    let Some((token, rest)) = name.split_at_checked(TOKEN_LEN) else {
        return false;
    };
    let rest = rest
        .strip_prefix('-')
        .filter(|rest| file_name(rest) == *rest);
    is_token(token) && rest.is_some()
}

fn is_token(token: &str) -> bool {
    token.len() == TOKEN_LEN && token.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The `file:` URL of a path (RFC 8089), percent-encoded.
fn file_url(path: &Path) -> String {
    let mut url = String::from("file://");
    encode_path(&mut url, path.as_os_str().as_encoded_bytes());
    url.truncate(url.trim_end_matches('/').len().max("file://".len()));
    url
}
