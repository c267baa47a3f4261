//! File servers, which carry what is too large for a message.

mod link_policy;
mod plik;
mod put;
pub(crate) mod retry;

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::ops::DerefMut;
use core::time::Duration;

use base64::Engine as _;

use crate::bridge::options::OptionError;
use crate::cause::{BoxError, debug_tells_causes};
use crate::http::{HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse, Method, Url};
use crate::stream::{Body, Sink, StreamError};
use crate::trace::Escaped;

pub use link_policy::LinkPolicy;
pub use plik::Plik;
pub use put::HttpPut;

/// A place for files that any receiver of a message can reach by URL.
///
/// Who implements it runs the contract functions in `tests/common/contract.rs` against it. In
/// words:
///
/// - Every call returns within a bounded time of the adapter's own.
/// - `upload` gives every file a URL of its own, even if two have the same name.
/// - `download` writes exactly the bytes that were uploaded into the sink, or fails.
/// - Nothing is tried again here: the bridge does that, for errors that
///   [`is_transient`](FileServerError::is_transient) says it can cure.
///
/// It is not a file system: no listing, no overwriting, no partial reads.
pub trait FileServer {
    /// Stores `body`. `Ok` says that the server has all of it.
    ///
    /// # Errors
    /// [`FileServerError`]. What is left of a failed upload is removed where that is possible.
    fn upload(&mut self, dataname: &str, body: &mut dyn Body) -> Result<Upload, FileServerError>;

    /// Fetches `url`, which the caller has checked against its [`LinkPolicy`], into `sink`, and
    /// says how many bytes it has. No more than `limit` bytes are read.
    ///
    /// # Errors
    /// [`FileServerError`]; what is in the sink is of no use then.
    fn download(
        &mut self,
        url: &str,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<u64, FileServerError>;

    /// Whether `url` is at this server, so that it may be fetched without a word of the
    /// [`LinkPolicy`].
    fn owns(&self, url: &str) -> bool;

    /// Removes an upload again, because the message that should have told of it was not sent.
    ///
    /// # Errors
    /// [`FileServerErrorKind::Unsupported`] where the server has no such thing, which is the
    /// default.
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

/// No file server: every payload goes in the message, or not at all. Links are refused with kind
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
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upload {
    /// Where receivers fetch it.
    pub url: String,
    /// What [`FileServer::delete`] needs to know, in the adapter's own form. It may be a secret
    /// and never goes into a message.
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

/// Why a [`FileServer`] failed: a kind to act on, words for a person, and the cause.
pub struct FileServerError {
    kind: FileServerErrorKind,
    message: String,
    retry_after: Option<Duration>,
    source: Option<BoxError>,
}

debug_tells_causes!(FileServerError);

impl FileServerError {
    /// An error that says `message`: lower case, no full stop, with the URL it is about.
    pub fn new(kind: FileServerErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
            source: None,
        }
    }

    /// The same error, with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// A body or sink of this machine failed.
    pub(crate) fn local(error: StreamError) -> Self {
        let message = "a stream of this machine failed";
        Self::new(FileServerErrorKind::Local, message).with_source(error)
    }

    fn unsupported(what: &str) -> Self {
        let message = format!("there is no file server to {what} with");
        Self::new(FileServerErrorKind::Unsupported, message)
    }

    /// What `response`, which is not the one hoped for, means.
    fn refused(action: &str, response: &HttpResponse) -> Self {
        let status = response.status;
        let kind = match status {
            401 | 403 => FileServerErrorKind::Unauthorized,
            404 | 410 => FileServerErrorKind::NotFound,
            408 | 425 | 429 | 500..=599 => FileServerErrorKind::ServerFault { status },
            _ => FileServerErrorKind::Refused { status },
        };
        let mut message = format!("{action} was answered with status {status}");
        if !response.reason.is_empty() {
            message = format!("{message}: {}", response.reason.trim_end());
        }
        if let Some(location) = &response.location {
            message = format!("{message} (redirect to {location}, not followed)");
        }
        Self {
            retry_after: response.retry_after,
            ..Self::new(kind, message)
        }
    }

    /// What happened, to act on.
    pub fn kind(&self) -> FileServerErrorKind {
        self.kind
    }

    /// How long the server asks to wait before the next attempt.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether another attempt may succeed: no connection, too slow, or a status of 408, 425, 429
    /// or 500 to 599.
    pub fn is_transient(&self) -> bool {
        use FileServerErrorKind as Kind;
        matches!(
            self.kind,
            Kind::Unreachable | Kind::Timeout | Kind::Disconnected | Kind::ServerFault { .. }
        )
    }
}

impl fmt::Display for FileServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Escaped(&self.message))
    }
}

impl core::error::Error for FileServerError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

impl From<HttpError> for FileServerError {
    fn from(error: HttpError) -> Self {
        use FileServerErrorKind as Kind;
        let kind = match error.kind() {
            HttpErrorKind::InvalidRequest => Kind::InvalidUrl,
            HttpErrorKind::Unreachable => Kind::Unreachable,
            HttpErrorKind::Timeout => Kind::Timeout,
            HttpErrorKind::Disconnected => Kind::Disconnected,
            HttpErrorKind::TooLarge { limit } => Kind::TooLarge { limit },
            HttpErrorKind::Protocol => Kind::InvalidAnswer,
            HttpErrorKind::Local => Kind::Local,
        };
        Self::new(kind, "the exchange with the file server failed").with_source(error)
    }
}

/// What happened to a [`FileServer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileServerErrorKind {
    /// There is no file server, or it has no such operation.
    Unsupported,
    /// No connection could be made.
    Unreachable,
    /// The time limit is over.
    Timeout,
    /// The connection broke, or the file ended early.
    Disconnected,
    /// The server does not accept the credentials (401, 403).
    Unauthorized,
    /// There is no such file, or no longer (404, 410).
    NotFound,
    /// The server does not do this, whenever it is asked.
    Refused {
        /// The status.
        status: u16,
    },
    /// The server cannot do this now (408, 425, 429, 500 to 599).
    ServerFault {
        /// The status.
        status: u16,
    },
    /// The file is over the limit.
    TooLarge {
        /// The most that is allowed, in bytes.
        limit: u64,
    },
    /// What the server has is not what was sent.
    Mismatch,
    /// The URL cannot be used.
    InvalidUrl,
    /// The server's answer cannot be understood.
    InvalidAnswer,
    /// This machine failed: the body could not be read, or the sink not be written.
    Local,
}

impl fmt::Display for FileServerErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsupported => "unsupported",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Disconnected => "disconnected",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::Refused { .. } => "refused",
            Self::ServerFault { .. } => "server_fault",
            Self::TooLarge { .. } => "too_large",
            Self::Mismatch => "mismatch",
            Self::InvalidUrl => "invalid_url",
            Self::InvalidAnswer => "invalid_answer",
            Self::Local => "local",
        })
    }
}

/// A name that is safe as a file's name and as a segment of a URL: of `dataname`, the characters
/// `A` to `Z`, `a` to `z`, `0` to `9`, `.`, `_` and `-` are kept, others become `_`; at most 128 bytes;
/// never empty, `.` or `..`.
///
/// ```
/// use natsbridge::file_name;
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

/// How long an exchange may take beside the time for its bytes: 30 s.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// The slowest transfer that is waited for: 65,536 bytes a second.
const DEFAULT_MIN_RATE: u64 = 65_536;
/// The longest answer to a request that is no download, in bytes.
const MAX_ANSWER_LEN: usize = 65_536;

/// What the adapters over HTTP share: the server's URL, credentials for it alone, and time limits.
#[derive(Debug)]
struct Endpoint<H> {
    http: H,
    /// Without a slash at the end.
    base_url: String,
    authorization: Option<String>,
    timeout: Duration,
    min_rate: u64,
}

impl<H: HttpClient> Endpoint<H> {
    fn new(http: H, base_url: &str) -> Result<Self, OptionError> {
        let base_url = base_url.trim_end_matches('/');
        if Url::parse(base_url).is_none() || base_url.contains(['?', '#']) {
            return Err(OptionError::Url {
                name: "fileserver_url",
                url: base_url.to_string(),
            });
        }
        Ok(Self {
            http,
            base_url: base_url.to_string(),
            authorization: None,
            timeout: DEFAULT_TIMEOUT,
            min_rate: DEFAULT_MIN_RATE,
        })
    }

    fn set_basic_auth(&mut self, user: &str, password: &str) {
        let credentials = format!("{user}:{password}");
        let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
        self.authorization = Some(format!("Basic {encoded}"));
    }

    fn is_at(&self, url: &str) -> bool {
        match (Url::parse(&self.base_url), Url::parse(url)) {
            (Some(own), Some(url)) => own.same_origin(&url),
            _ => false,
        }
    }

    /// One exchange. Credentials go to the own origin only.
    fn exchange(
        &mut self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &mut dyn Body,
        (limit, sink): (u64, &mut dyn Sink),
    ) -> Result<HttpResponse, FileServerError> {
        let own = self.is_at(url);
        let authorization = self.authorization.as_deref().filter(|_| own);
        let mut all = alloc::vec::Vec::from(headers);
        all.extend(authorization.map(|value| ("Authorization", value)));
        let request = HttpRequest {
            method,
            url,
            headers: &all,
            timeout: self.time_limit(body.len().max(limit)),
            limit,
        };
        Ok(self.http.execute(&request, body, sink)?)
    }

    /// The time for `bytes` at the slowest rate that is waited for, beside the fixed time.
    fn time_limit(&self, bytes: u64) -> Duration {
        let transfer = Duration::from_secs(bytes / self.min_rate.max(1));
        self.timeout.saturating_add(transfer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn only_passing_faults_are_worth_another_attempt() {
        for (status, transient) in [
            (301, false),
            (400, false),
            (401, false),
            (404, false),
            (408, true),
            (425, true),
            (429, true),
            (500, true),
            (503, true),
        ] {
            let response = HttpResponse {
                status,
                ..HttpResponse::default()
            };
            let error = FileServerError::refused("the upload", &response);
            assert_eq!(error.is_transient(), transient, "{status}");
        }
    }

    #[test]
    fn refusals_tell_kind_and_words() {
        // status, reason, kind, words
        for (status, reason, kind, words) in [
            (400, "", "refused", "GET was answered with status 400"),
            (
                401,
                "who?\n",
                "unauthorized",
                "GET was answered with status 401: who?",
            ),
            (403, "", "unauthorized", "GET was answered with status 403"),
            (404, "", "not_found", "GET was answered with status 404"),
            (410, "", "not_found", "GET was answered with status 410"),
            (499, "", "refused", "GET was answered with status 499"),
            (500, "", "server_fault", "GET was answered with status 500"),
            (599, "", "server_fault", "GET was answered with status 599"),
        ] {
            let response = HttpResponse {
                status,
                reason: reason.into(),
                retry_after: Some(Duration::from_secs(7)),
                ..HttpResponse::default()
            };
            let error = FileServerError::refused("GET", &response);
            assert_eq!(error.kind().to_string(), kind, "{status}");
            assert_eq!(error.to_string(), words);
            assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        }
    }

    #[test]
    fn without_a_file_server_nothing_is_stored_fetched_or_deleted() {
        // A pointer to it does as it does.
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

    struct Nobody;

    impl HttpClient for Nobody {
        fn execute(
            &mut self,
            _: &HttpRequest<'_>,
            _: &mut dyn Body,
            _: &mut dyn Sink,
        ) -> Result<HttpResponse, HttpError> {
            Err(HttpError::new(HttpErrorKind::Unreachable, "nobody"))
        }
    }

    #[test]
    fn a_failed_exchange_keeps_kind_and_cause() {
        for (kind, words) in [
            (HttpErrorKind::InvalidRequest, "invalid_url"),
            (HttpErrorKind::Unreachable, "unreachable"),
            (HttpErrorKind::Timeout, "timeout"),
            (HttpErrorKind::Disconnected, "disconnected"),
            (HttpErrorKind::TooLarge { limit: 7 }, "too_large"),
            (HttpErrorKind::Protocol, "invalid_answer"),
            (HttpErrorKind::Local, "local"),
        ] {
            let error = FileServerError::from(HttpError::new(kind, "the cause"));
            assert_eq!(error.kind().to_string(), words);
            let cause = core::error::Error::source(&error).map(ToString::to_string);
            assert_eq!(cause.as_deref(), Some("the cause"), "{words}");
        }
    }

    #[test]
    fn an_endpoint_knows_its_own_origin() {
        let endpoint = Endpoint::new(Nobody, "http://h/base/").unwrap();
        for (url, own) in [
            ("http://h/base/x", true),
            ("http://H:80/y?z", true),
            ("https://h/base/x", false),
            ("http://h:8080/base/x", false),
            ("http://h2/base/x", false),
            ("/base/x", false),
            ("", false),
        ] {
            assert_eq!(endpoint.is_at(url), own, "{url}");
        }
    }

    #[test]
    fn a_transfer_gets_time_for_its_bytes() {
        let mut endpoint = Endpoint::new(Nobody, "http://h").unwrap();
        // bytes, the slowest rate that is waited for, seconds
        for (bytes, min_rate, seconds) in [
            (0, 1000, 30),
            (999, 1000, 30),
            (1000, 1000, 31),
            (10_999, 1000, 40),
            (5, 0, 35),
        ] {
            endpoint.min_rate = min_rate;
            let limit = endpoint.time_limit(bytes);
            assert_eq!(limit, Duration::from_secs(seconds), "{bytes} at {min_rate}");
        }
        endpoint.min_rate = 1;
        assert_eq!(endpoint.time_limit(u64::MAX), Duration::MAX);
    }
}
