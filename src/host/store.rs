//! Where large payloads are stored: the one place where a file server is chosen from a URL.

mod options;

pub use self::options::StoreOptions;

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use core::fmt;

use crate::file_server::{
    BucketOptions, Directory, FileServer, FileServerError, NoFileServer, ObjectStore, OptionError,
    Upload,
};
#[cfg(feature = "ureq")]
use crate::file_server::{HttpPut, Plik};
#[cfg(all(feature = "s3", feature = "ureq"))]
use crate::file_server::{S3, S3Options};
use crate::host::{NatsClient, StdPlatform};
use crate::http::url::RedactedUrl;
use crate::percent::decode;
use crate::stream::{Body, Sink};

/// A file server of any kind, chosen from a URL. [`connect`](crate::host::connect) and the free functions
/// choose theirs in this way.
///
/// | URL | store |
/// | --- | --- |
/// | `http://host:8080`, `https://…` | [`Plik`](crate::Plik) |
/// | `put+http://host/folder/`, `put+https://…` | [`HttpPut`](crate::HttpPut): nginx with `dav_methods`, dufs, any WebDAV |
/// | `nats-object://bucket` | [`ObjectStore`](crate::ObjectStore) of the NATS server itself; see [`for_client`](Self::for_client) |
/// | `s3://bucket/prefix?endpoint=…&region=…` | `S3` (feature `s3`): AWS, MinIO, R2, Ceph, Garage; keys come from the environment |
/// | `file:///folder` | [`Directory`](crate::Directory): a folder that sender and receiver share |
/// | `none` | [`NoFileServer`](crate::NoFileServer): a message that is too large is refused |
///
/// ```
/// use natsbridge::host::Store;
///
/// let store = Store::from_url("put+http://localhost:8000/files/")?;
/// assert_eq!(store.url(), "put+http://localhost:8000/files/");
/// let error = Store::from_url("ftp://localhost").unwrap_err();
/// let known = error.to_string();
/// assert!(known.contains("http://, https://, put+http://, put+https://"), "{known}");
/// assert!(known.ends_with("file://, nats-object://, none"), "{known}");
/// # Ok::<(), natsbridge::Error>(())
/// ```
pub struct Store {
    file_server: Box<dyn FileServer + Send>,
    url: String,
}

type Make = fn(&str, &StoreOptions) -> Result<Box<dyn FileServer + Send>, OptionError>;

/// What a store's URL starts with, and what makes the store of that URL.
const SCHEMES: &[(&str, Make)] = &[
    #[cfg(feature = "ureq")]
    ("http://", plik),
    #[cfg(feature = "ureq")]
    ("https://", plik),
    #[cfg(feature = "ureq")]
    ("put+http://", put),
    #[cfg(feature = "ureq")]
    ("put+https://", put),
    #[cfg(all(feature = "s3", feature = "ureq"))]
    ("s3://", s3),
    ("file://", directory),
    (BUCKET, bucket),
];
const BUCKET: &str = "nats-object://";
const NONE: &str = "none";

#[cfg(feature = "ureq")]
fn plik(url: &str, options: &StoreOptions) -> Result<Box<dyn FileServer + Send>, OptionError> {
    let plik = Plik::new(options.http_client(), StdPlatform, url)?;
    Ok(Box::new(options.apply_to_plik(plik)?))
}

#[cfg(feature = "ureq")]
fn put(url: &str, options: &StoreOptions) -> Result<Box<dyn FileServer + Send>, OptionError> {
    let url = url.get("put+".len()..).unwrap_or(url);
    let put = HttpPut::new(options.http_client(), StdPlatform, url)?;
    Ok(Box::new(options.apply_to_put(put)?))
}

#[cfg(all(feature = "s3", feature = "ureq"))]
fn s3(url: &str, options: &StoreOptions) -> Result<Box<dyn FileServer + Send>, OptionError> {
    options.check_for_s3()?;
    let bucket = S3Options::from_url(url)?;
    let store = S3::new(options.http_client(), StdPlatform, bucket)?;
    Ok(Box::new(store))
}

fn directory(url: &str, options: &StoreOptions) -> Result<Box<dyn FileServer + Send>, OptionError> {
    options.check_for_directory()?;
    let path = strip_scheme(url, "file://").filter(|path| !path.contains(['?', '#']));
    let path = path.and_then(decode);
    let path = path.filter(|path| path.starts_with('/'));
    let path = path.ok_or(OptionError::Invalid {
        name: "store",
        reason: "the URL of a folder is `file://` and its absolute path, percent-encoded",
    })?;
    Ok(Box::new(Directory::new(StdPlatform, path)?))
}

/// A bucket that is created before the first upload, if there is none of that name.
fn bucket(url: &str, options: &StoreOptions) -> Result<Box<dyn FileServer + Send>, OptionError> {
    let name = strip_scheme(url, BUCKET).unwrap_or(url);
    let name = name.strip_suffix('/').unwrap_or(name);
    let store = ObjectStore::new(options.for_bucket()?, StdPlatform, name)?;
    let is_created = false;
    Ok(Box::new(Bucket { store, is_created }))
}

impl Store {
    /// The store of that URL. No connection is made before a payload needs it; a folder is created at once.
    ///
    /// # Errors
    /// [`OptionError::UnknownStore`] lists what a URL may start with; the others are those of the store's
    /// `new`. A bucket is
    /// [`Invalid`](OptionError::Invalid): it needs a client.
    pub fn from_url(url: &str) -> Result<Self, OptionError> {
        Self::with_options(url, &StoreOptions::default())
    }

    /// As [`from_url`](Self::from_url), with settings that the URL does not have; for an example see
    /// [`StoreOptions`].
    ///
    /// # Errors
    /// As [`from_url`](Self::from_url), and [`OptionError::Invalid`] for an option that this kind of store does
    /// not have.
    pub fn with_options(url: &str, options: &StoreOptions) -> Result<Self, OptionError> {
        if url == NONE {
            return Ok(Self::new(NoFileServer, url));
        }
        let is_its = |(scheme, _): &&(&str, Make)| strip_scheme(url, scheme).is_some();
        match SCHEMES.iter().find(is_its) {
            Some((_, make)) => Ok(Self {
                file_server: make(url, options)?,
                url: url.to_string(),
            }),
            None => Err(OptionError::UnknownStore {
                url: RedactedUrl(url).to_string(),
                known: known(),
            }),
        }
    }

    /// As [`from_url`](Self::from_url), and a bucket of the Object Store of the server that `client` is connected
    /// to. The store uses a clone of it, which shares its connection. The bucket is created with
    /// [`BucketOptions::default`] before the first upload, if there is none of that name.
    ///
    /// ```no_run
    /// use natsbridge::host::{NatsClient, NatsOptions, StdPlatform, Store};
    /// use natsbridge::NatsBridge;
    ///
    /// let client = NatsClient::new(NatsOptions::new("nats://localhost:4222"));
    /// let store = Store::for_client("nats-object://films", &client)?;
    /// let bridge = NatsBridge::new(client, store, StdPlatform);
    /// # Ok::<(), natsbridge::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`from_url`](Self::from_url), and [`OptionError::Invalid`] for a name that no bucket can have.
    pub fn for_client(url: &str, client: &NatsClient) -> Result<Self, OptionError> {
        Self::with_options(url, &StoreOptions::default().client(client))
    }

    /// A store of one's own. `url` is what [`url`](Self::url) returns.
    ///
    /// ```
    /// use natsbridge::host::Store;
    /// use natsbridge::memory::MemoryFileServer;
    ///
    /// let store = Store::new(MemoryFileServer::new(), "memory");
    /// assert_eq!(store.url(), "memory");
    /// ```
    pub fn new(file_server: impl FileServer + Send + 'static, url: impl Into<String>) -> Self {
        Self {
            file_server: Box::new(file_server),
            url: url.into(),
        }
    }

    /// The URL that it was chosen from.
    pub fn url(&self) -> &str {
        &self.url
    }
}

fn known() -> String {
    let mut known = String::new();
    for (scheme, _) in SCHEMES {
        known.push_str(scheme);
        known.push_str(", ");
    }
    known.push_str(NONE);
    known
}

/// What stands behind the scheme of `url`, if it is that one.
fn strip_scheme<'a>(url: &'a str, scheme: &str) -> Option<&'a str> {
    let (start, rest) = url.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// A bucket that is created before something is stored in it.
struct Bucket {
    store: ObjectStore<NatsClient, StdPlatform>,
    is_created: bool,
}

impl FileServer for Bucket {
    fn upload(&mut self, dataname: &str, body: &mut dyn Body) -> Result<Upload, FileServerError> {
        if !self.is_created {
            self.store.create_bucket(&BucketOptions::default())?;
            self.is_created = true;
        }
        self.store.upload(dataname, body)
    }
    fn download(
        &mut self,
        url: &str,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<u64, FileServerError> {
        self.store.download(url, limit, sink)
    }
    fn owns(&self, url: &str) -> bool {
        self.store.owns(url)
    }
    fn delete(&mut self, upload: &Upload) -> Result<(), FileServerError> {
        self.store.delete(upload)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", RedactedUrl(&self.url))
    }
}

impl FileServer for Store {
    fn upload(&mut self, dataname: &str, body: &mut dyn Body) -> Result<Upload, FileServerError> {
        self.file_server.upload(dataname, body)
    }
    fn download(
        &mut self,
        url: &str,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<u64, FileServerError> {
        self.file_server.download(url, limit, sink)
    }
    fn owns(&self, url: &str) -> bool {
        self.file_server.owns(url)
    }
    fn delete(&mut self, upload: &Upload) -> Result<(), FileServerError> {
        self.file_server.delete(upload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "ureq")]
    #[test]
    fn a_url_chooses_the_store() {
        for (url, own, foreign) in [
            ("http://h:8080", "http://h:8080/file/a/b/c", "http://g/x"),
            ("HTTPS://h", "https://h/file/a/b/c", "http://h/x"),
            ("put+http://h/f/", "http://h/f/x", "https://h/f/x"),
            ("put+https://h/f/", "https://h/f/x", "http://h/f/x"),
            ("PUT+https://h/f/", "https://h/f/x", "http://h/f/x"),
        ] {
            let store = Store::from_url(url).unwrap();
            assert!(store.owns(own) && !store.owns(foreign), "{store:?}");
            assert_eq!(store.url(), url);
        }
    }

    #[cfg(feature = "ureq")]
    #[test]
    fn options_are_followed_or_refused_and_their_secrets_are_not_shown() {
        let plik = StoreOptions::default()
            .credentials(crate::Credentials::basic("me", "SECRET"))
            .plik_token("SECRET")
            .plik_login("me", "SECRET")
            .ttl(core::time::Duration::from_secs(60))
            .one_shot(true)
            .removable(true)
            .download_domain("https://dl.h");
        let store = Store::with_options("https://h", &plik).unwrap();
        assert!(store.owns("https://dl.h/file/a/b/c"));
        Store::with_options("none", &plik).unwrap();
        let error = Store::with_options("put+https://h/", &plik).unwrap_err();
        let shown = alloc::format!("{plik:?} {store:?} {error:?} {error}");
        assert!(!shown.contains("SECRET"), "{shown}");
        assert!(error.to_string().contains("only a Plik server has it"));
        let basic = StoreOptions::default().credentials(crate::Credentials::basic("me", "SECRET"));
        Store::with_options("put+https://h/", &basic).unwrap();
    }

    #[test]
    fn a_bucket_is_a_store_of_a_client() {
        let client = NatsClient::new(crate::host::NatsOptions::default());
        for (url, own, is_own) in [
            ("nats-object://films", "nats-object://films/a/b", true),
            ("NATS-Object://films/", "nats-object://films/a/b", true),
            ("nats-object://films", "nats-object://other/a/b", false),
            ("none", "nats-object://films/a/b", false),
        ] {
            let store = Store::for_client(url, &client).unwrap();
            assert_eq!(store.owns(own), is_own, "{url}");
            assert_eq!(store.url(), url);
        }
        for url in ["nats-object://", "nats-object://a.b", "nats-object://a/b"] {
            let error = Store::for_client(url, &client).unwrap_err();
            assert!(error.to_string().contains("bucket"), "{url}: {error}");
        }
        let error = Store::from_url("nats-object://films").unwrap_err();
        assert!(error.to_string().contains("for_client"), "{error}");
    }

    #[test]
    fn none_stores_nothing() {
        let mut store = Store::from_url("none").unwrap();
        let mut body = crate::stream::SliceBody::new(b"x");
        let error = store.upload("x", &mut body).unwrap_err();
        let kind = crate::file_server::FileServerErrorKind::Unsupported;
        assert_eq!(error.kind(), kind);
        assert!(!store.owns("http://h/x"));
    }

    #[test]
    fn an_unknown_store_is_answered_with_those_that_exist() {
        for url in [
            "",
            "None",
            "ftp://u:secret@h/x",
            "h:8080",
            "put+ftp://h",
            "é",
        ] {
            let error = Store::from_url(url).unwrap_err();
            assert!(
                matches!(error, OptionError::UnknownStore { .. }),
                "{url}: {error:?}"
            );
            let words = error.to_string();
            assert!(
                words.ends_with("none") && !words.contains("secret"),
                "{words}"
            );
        }
    }

    /// A user name in a URL would be shown by whoever prints it.
    #[cfg(feature = "ureq")]
    #[test]
    fn credentials_in_a_url_are_refused_and_not_shown() {
        for url in ["http://me:secret@h", "put+http://me:secret@h/"] {
            let words = Store::from_url(url).unwrap_err().to_string();
            assert!(
                !words.contains("secret") && !words.contains("me:"),
                "{words}"
            );
        }
    }
}
