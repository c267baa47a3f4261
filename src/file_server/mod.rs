//! File servers, which store what is too large for a message.

mod credentials;
#[cfg(feature = "std")]
mod directory;
mod endpoint;
mod error;
mod link_policy;
mod multipart;
mod object_store;
mod plik;
mod put;
pub(crate) mod retry;
#[cfg(feature = "s3")]
mod s3;
mod stores;

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::ops::DerefMut;

use crate::http::url::RedactedUrl;
use crate::platform::{Platform, new_token};
use crate::stream::{Body, Sink};

pub use self::credentials::Credentials;
#[cfg(feature = "std")]
pub use self::directory::Directory;
pub use self::error::{FileServerError, FileServerErrorKind, OptionError};
pub use self::link_policy::LinkPolicy;
#[cfg(feature = "fuzzing")]
pub(crate) use self::object_store::parse_object_info;
pub use self::object_store::{BucketOptions, ObjectInfo, ObjectStore};
pub use self::plik::Plik;
pub use self::put::HttpPut;
#[cfg(feature = "s3")]
pub use self::s3::{S3, S3Options};
pub use self::stores::Stores;

/// The default file server.
pub const DEFAULT_FILESERVER_URL: &str = "http://localhost:8080";

/// A store for files that every receiver of a message can fetch by URL.
///
/// `contract::file_server` (feature `contract`) checks an implementation:
///
/// - Every call returns within a time limit that the adapter sets.
/// - `upload` gives every file a URL of its own, even if two have the same name.
/// - `download` writes exactly the bytes that were uploaded into the sink, or fails.
/// - An adapter does not retry an upload or a download as a whole. The bridge does, if the error
///   [`is_transient`](FileServerError::is_transient).
///
/// It is not a file system: no listing, no overwriting, no partial reads.
pub trait FileServer {
    /// Stores `body`. `Ok` means that the server has all of it.
    ///
    /// # Errors
    /// [`FileServerError`]. A partial upload is removed if possible.
    fn upload(&mut self, dataname: &str, body: &mut dyn Body) -> Result<Upload, FileServerError>;

    /// Fetches `url`, which the caller has checked against its [`LinkPolicy`], into `sink`, and returns its
    /// length in bytes. Reads at most `limit` bytes.
    ///
    /// # Errors
    /// [`FileServerError`]; the contents of the sink are then invalid.
    fn download(
        &mut self,
        url: &str,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<u64, FileServerError>;

    /// Whether `url` is at this server, so that it may be fetched whatever the [`LinkPolicy`] allows.
    fn owns(&self, url: &str) -> bool;

    /// Deletes an upload whose message was not delivered.
    ///
    /// # Errors
    /// [`FileServerErrorKind::Unsupported`] if the server cannot delete, which is the default.
    fn delete(&mut self, upload: &Upload) -> Result<(), FileServerError> {
        let _ = upload;
        Err(FileServerError::unsupported("delete"))
    }
}

/// `&mut T`, `Box<T>` and other pointers to a file server are file servers.
impl<P> FileServer for P
where
    P: DerefMut,
    P::Target: FileServer,
{
    fn upload(&mut self, dataname: &str, body: &mut dyn Body) -> Result<Upload, FileServerError> {
        (**self).upload(dataname, body)
    }
    fn download(
        &mut self,
        url: &str,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<u64, FileServerError> {
        (**self).download(url, limit, sink)
    }
    fn owns(&self, url: &str) -> bool {
        (**self).owns(url)
    }
    fn delete(&mut self, upload: &Upload) -> Result<(), FileServerError> {
        (**self).delete(upload)
    }
}

/// No file server: every payload travels in the message, or the send fails. Links are refused with kind
/// [`FileServerErrorKind::Unsupported`].
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFileServer;

impl FileServer for NoFileServer {
    fn upload(&mut self, _: &str, _: &mut dyn Body) -> Result<Upload, FileServerError> {
        Err(FileServerError::unsupported("upload"))
    }
    fn download(&mut self, _: &str, _: u64, _: &mut dyn Sink) -> Result<u64, FileServerError> {
        Err(FileServerError::unsupported("download"))
    }
    fn owns(&self, _: &str) -> bool {
        false
    }
}

/// A stored file.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upload {
    /// Where receivers fetch it.
    pub url: String,
    /// What [`FileServer::delete`] needs, in a format of the adapter's. It may be a secret and is never put into a
    /// message.
    pub delete_key: Option<String>,
}

impl Upload {
    /// A file at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            delete_key: None,
        }
    }
}

/// Prints neither the key that deletes the file nor the query of the URL.
impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upload({})", RedactedUrl(&self.url))
    }
}

/// A name that is safe as a file's name and as a segment of a URL: of `dataname`, the characters
/// `A` to `Z`, `a` to `z`, `0` to `9`, `.`, `_` and `-` are kept, others become `_`; at most 128 bytes;
/// never empty, `.` or `..`.
///
/// ```
/// use natsbridge::adapter::file_name;
///
/// assert_eq!(file_name("report 1.pdf"), "report_1.pdf");
/// assert_eq!(file_name("../../etc/passwd"), ".._.._etc_passwd");
/// assert_eq!(file_name(".."), "_");
/// ```
pub fn file_name(dataname: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let safe = |c: char| if is_safe(c) { c } else { '_' };
    let name: String = dataname.chars().map(safe).take(128).collect();
    match name.as_str() {
        "" | "." | ".." => "_".to_string(),
        _ => name,
    }
}

/// 32 random hex digits, a dash and the payload's name made safe.
fn unique_name(platform: &impl Platform, dataname: &str) -> Result<String, FileServerError> {
    let token = new_token(platform).map_err(|error| {
        FileServerError::new(FileServerErrorKind::Local, "no unique name").with_source(error)
    })?;
    Ok(format!("{token}-{}", file_name(dataname)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn file_names_are_safe() {
        for (dataname, name) in [
            ("photo.png", "photo.png"),
            ("a b/c\\d:é", "a_b_c_d__"),
            ("", "_"),
            (".", "_"),
            ("..", "_"),
            ("...", "..."),
            ("\r\n\0", "___"),
        ] {
            assert_eq!(file_name(dataname), name, "{dataname:?}");
        }
        for (len, expected) in [(127, 127), (128, 128), (129, 128)] {
            assert_eq!(file_name(&"x".repeat(len)).len(), expected);
        }
    }

    #[test]
    fn without_a_file_server_nothing_is_stored_fetched_or_deleted() {
        // A pointer to it behaves in the same way.
        fn all(server: &mut impl FileServer) -> [FileServerError; 3] {
            let mut nothing = crate::stream::SliceBody::new(&[]);
            let mut sink = crate::stream::VecSink::new(1);
            assert!(!server.owns("http://h/x"));
            [
                server.upload("x", &mut nothing).unwrap_err(),
                server.download("http://h/x", 1, &mut sink).unwrap_err(),
                server.delete(&Upload::new("http://h/x")).unwrap_err(),
            ]
        }
        for errors in [all(&mut NoFileServer), all(&mut &mut NoFileServer)] {
            for (error, what) in errors.iter().zip(["upload", "download", "delete"]) {
                assert_eq!(error.kind(), FileServerErrorKind::Unsupported);
                let words = format!("there is no file server to {what} with");
                assert_eq!(error.to_string(), words);
            }
        }
    }
}
