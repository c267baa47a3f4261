//! Plik, the file server of the NATSBridge family.
//!
//! An upload takes two requests: one that creates it with its options, one that adds the file.

mod api;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use core::time::Duration;

use self::api::{Added, Created, NewUpload};
use super::endpoint::{Endpoint, MAX_ANSWER_LEN};
use super::error::check_url;
use super::multipart::FormFile;
use super::{
    Credentials, FileServer, FileServerError, FileServerErrorKind, OptionError, Upload, file_name,
};
use crate::cause::BoxError;
use crate::http::url::RedactedUrl;
use crate::http::{HttpClient, HttpResponse, Method};
use crate::json::JsonError;
use crate::platform::{Platform, new_token};
use crate::stream::{Body, Sink, SliceBody, VecSink};

/// Plik returns plain statuses only to user agents that it knows. Others are redirected to a web page, so that
/// a missing file looks like a success to clients that follow redirects.
const USER_AGENT: (&str, &str) = (
    "User-Agent",
    concat!("plik_client/natsbridge-", env!("CARGO_PKG_VERSION")),
);

/// Uploads to Plik, checks size and MD5 of what it stored, downloads from it and deletes again.
///
/// By default a file can be fetched any number of times, is kept for the server's default time (30 days), and
/// can be deleted by this sender only. If the server overrides an option, the upload fails. Time limits by
/// default: 30 s for an exchange and the time for its bytes at 65,536 bytes/s, and 30 s in which no byte
/// moves. If the connection is lost during an upload, the next one sends `Expect: 100-continue`, so that a
/// refusal is reported.
///
/// ```
/// use std::time::Duration;
/// use natsbridge::host::{StdPlatform, UreqClient};
/// use natsbridge::Plik;
///
/// # #[cfg(feature = "ureq")] {
/// let files = Plik::new(UreqClient::new(), StdPlatform, "https://plik.example")?
///     .download_domain("https://dl.plik.example")?
///     .login("me", "secret")
///     .ttl(Duration::from_secs(3600));
/// # }
/// # Ok::<(), natsbridge::OptionError>(())
/// ```
pub struct Plik<H, P> {
    endpoint: Endpoint<H>,
    platform: P,
    options: NewUpload,
    token: Option<String>,
}

/// Prints no secrets.
impl<H, P> fmt::Debug for Plik<H, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plik")
            .field("endpoint", &self.endpoint)
            .field("one_shot", &self.options.one_shot)
            .field("removable", &self.options.removable)
            .field("ttl", &self.options.ttl)
            .finish_non_exhaustive()
    }
}

impl<H: HttpClient, P: Platform> Plik<H, P> {
    /// The Plik server at `base_url`; a slash or `/upload` at its end does not matter.
    ///
    /// # Errors
    /// [`OptionError::Url`] if that is not an `http` or `https` URL, [`OptionError::Invalid`] if it
    /// has a user name, a query or a fragment.
    pub fn new(http: H, platform: P, base_url: &str) -> Result<Self, OptionError> {
        let base_url = base_url.trim_end_matches('/');
        let base_url = base_url.strip_suffix("/upload").unwrap_or(base_url);
        Ok(Self {
            endpoint: Endpoint::new(http, base_url)?,
            platform,
            options: NewUpload::default(),
            token: None,
        })
    }

    /// How long the server keeps an upload, rounded up to whole seconds, at least 1 s. Default: as
    /// long as the server keeps uploads by default.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        let part = u64::from(ttl.subsec_nanos() > 0);
        // 0 would be the server's default, 30 days.
        self.options.ttl = Some(ttl.as_secs().saturating_add(part).max(1));
        self
    }

    /// Whether a file is deleted by its first download, as with the other members. Default false: a second
    /// receiver, or a retry, would not find it.
    #[must_use]
    pub fn one_shot(mut self, one_shot: bool) -> Self {
        self.options.one_shot = one_shot;
        self
    }

    /// Whether everyone who knows the URL may delete the file. Default false.
    #[must_use]
    pub fn removable(mut self, removable: bool) -> Self {
        self.options.removable = removable;
        self
    }

    /// The server's origin for downloads (`DownloadDomain` in its configuration), if it differs from that for
    /// uploads. The server announces it to senders. Programs that only receive must set it, or allow it with a
    /// [`LinkPolicy`](crate::LinkPolicy). Login and credentials are sent there too, unless only the server
    /// itself has TLS.
    ///
    /// # Errors
    /// [`OptionError`] if that is not an `http` or `https` URL, or has more than a path.
    pub fn download_domain(mut self, url: &str) -> Result<Self, OptionError> {
        check_url("download_domain", url)?;
        self.endpoint.access.download_url = url.trim_end_matches('/').to_string();
        Ok(self)
    }

    /// Protects uploads with a login, which downloads need too: the receiver must set the same.
    #[must_use]
    pub fn login(mut self, login: &str, password: &str) -> Self {
        self.options.login = Some(login.to_string());
        self.options.password = Some(password.to_string());
        self.endpoint
            .set_credentials(Credentials::basic(login, password));
        self
    }

    /// Sends these credentials to this server, and to no other: for a proxy in front of it. Both
    /// [`login`](Self::login) and Basic or bearer credentials are an `Authorization` header: the one set
    /// last is used.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.endpoint.set_credentials(credentials);
        self
    }

    /// Sends these credentials to the origin of a URL, from which a
    /// [`LinkPolicy`](crate::LinkPolicy) allows downloads.
    ///
    /// # Errors
    /// [`OptionError`] if `origin` is not an `http` or `https` URL, or has more than a path.
    pub fn credentials_for(
        mut self,
        origin: &str,
        credentials: Credentials,
    ) -> Result<Self, OptionError> {
        self.endpoint.set_credentials_for(origin, credentials)?;
        Ok(self)
    }

    /// The user token (`X-PlikToken`), for uploads to an account.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_string());
        self
    }

    /// The fixed part of the time limit of an exchange; the time for its bytes is added. Default 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.endpoint.timeout = timeout;
        self
    }

    /// How long no byte may move in an exchange. Default 30 s.
    #[must_use]
    pub fn idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.endpoint.idle_timeout = idle_timeout;
        self
    }

    /// The lowest accepted transfer rate, in bytes/s. Default 65,536.
    #[must_use]
    pub fn min_rate(mut self, min_rate: u64) -> Self {
        self.endpoint.min_rate = min_rate;
        self
    }

    /// Sends a request whose response is short, with status 200 or an error.
    fn call(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &mut dyn Body,
    ) -> Result<Vec<u8>, FileServerError> {
        let url = format!("{}{path}", self.endpoint.access.base_url);
        let mut all = Vec::from([USER_AGENT]);
        all.extend_from_slice(headers);
        let mut answer = VecSink::new(MAX_ANSWER_LEN);
        let bounded = (MAX_ANSWER_LEN as u64, &mut answer as &mut dyn Sink);
        let response = self.endpoint.exchange(method, &url, &all, body, bounded)?;
        match response.status {
            200 => Ok(answer.into_bytes()),
            _ => Err(refused(method, response)),
        }
    }

    fn create(&mut self) -> Result<Created, FileServerError> {
        let request = self.options.json();
        let token = self.token.clone();
        let mut headers = Vec::from([("Content-Type", "application/json")]);
        headers.extend(token.as_deref().map(|token| ("X-PlikToken", token)));
        let answer = self.call(
            Method::Post,
            "/upload",
            &headers,
            &mut SliceBody::new(&request),
        )?;
        let created = understand(&answer, Created::parse)?;
        if !created.is_usable() {
            let message = "the upload's id, token or download domain cannot be used";
            let kind = FileServerErrorKind::InvalidAnswer;
            return Err(FileServerError::new(kind, message));
        }
        if created.stream {
            let message = "the server stores no files: it forces stream mode";
            return Err(FileServerError::new(
                FileServerErrorKind::Unsupported,
                message,
            ));
        }
        Ok(created)
    }

    /// Adds the file, and verifies that the server has what was sent.
    fn add(
        &mut self,
        created: &Created,
        dataname: &str,
        body: &mut dyn Body,
    ) -> Result<Added, FileServerError> {
        let boundary = new_token(&self.platform).map_err(local)?;
        let size = body.len();
        let mut form = FormFile::new(&boundary, &file_name(dataname), body);
        let content_type = format!("multipart/form-data; boundary={boundary}");
        let headers = [
            ("Content-Type", content_type.as_str()),
            ("X-UploadToken", created.upload_token.as_str()),
        ];
        let path = format!("/file/{}", Segment(&created.id));
        let answer = self.call(Method::Post, &path, &headers, &mut form)?;
        let added = understand(&answer, Added::parse)?;
        let md5 = form.md5();
        if added.file_size != size || !added.file_md5.eq_ignore_ascii_case(&md5) {
            let message = format!(
                "{size} bytes with MD5 {md5} were sent, the server has {} bytes with MD5 {}",
                added.file_size, added.file_md5
            );
            return Err(FileServerError::new(FileServerErrorKind::Mismatch, message));
        }
        Ok(added)
    }

    fn remove(&mut self, id: &str, upload_token: &str) -> Result<(), FileServerError> {
        let path = format!("/upload/{}", Segment(id));
        let headers = [("X-UploadToken", upload_token)];
        self.call(Method::Delete, &path, &headers, &mut SliceBody::new(&[]))?;
        Ok(())
    }
}

impl<H: HttpClient, P: Platform> FileServer for Plik<H, P> {
    fn upload(&mut self, dataname: &str, body: &mut dyn Body) -> Result<Upload, FileServerError> {
        let created = self.create()?;
        let added = created.check_options(&self.options);
        let added = added.and_then(|()| self.add(&created, dataname, body));
        let added = added.inspect_err(|_| {
            // If this fails too, the upload expires on the server.
            self.remove(&created.id, &created.upload_token).ok();
        })?;
        let domain = created.download_domain.trim_end_matches('/');
        let base_url = if domain.is_empty() {
            &self.endpoint.access.base_url
        } else {
            domain
        };
        let url = format!(
            "{base_url}/file/{}/{}/{}",
            Segment(&created.id),
            Segment(&added.id),
            Segment(&added.file_name)
        );
        if !domain.is_empty() {
            self.endpoint.access.download_url = domain.to_string();
        }
        Ok(Upload {
            url,
            delete_key: Some(format!("{} {}", created.id, created.upload_token)),
        })
    }

    fn download(
        &mut self,
        url: &str,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<u64, FileServerError> {
        let nothing = &mut SliceBody::new(&[]);
        let bounded = (limit, sink);
        let response =
            (self.endpoint).exchange(Method::Get, url, &[USER_AGENT], nothing, bounded)?;
        match response.status {
            200 => Ok(response.body_len),
            _ => Err(refused(Method::Get, response)),
        }
    }

    fn owns(&self, url: &str) -> bool {
        self.endpoint.access.is_at(url)
    }

    fn delete(&mut self, upload: &Upload) -> Result<(), FileServerError> {
        let key = upload.delete_key.as_deref().unwrap_or_default();
        match key.split_once(' ') {
            Some((id, upload_token)) => self.remove(id, upload_token),
            None => Err(FileServerError::new(
                FileServerErrorKind::Unsupported,
                format!(
                    "the upload token of {} is not known",
                    RedactedUrl(&upload.url)
                ),
            )),
        }
    }
}

/// The response to a failed GET may be a redirect with status and reason in its target.
fn refused(method: Method, mut response: HttpResponse) -> FileServerError {
    if let Some(location) = response.location.take_if(|url| url.contains("errcode=")) {
        let value = |name| {
            let mut parts = location.split(['?', '&']);
            parts.find_map(|part| part.strip_prefix(name))
        };
        let status = value("errcode=").and_then(|digits| digits.parse().ok());
        response.status = status.unwrap_or(response.status);
        response.reason = value("err=").unwrap_or_default().to_string();
    }
    FileServerError::refused(method.as_str(), &response)
}

fn understand<T>(
    answer: &[u8],
    parse: fn(&str) -> Result<T, JsonError>,
) -> Result<T, FileServerError> {
    let invalid = |source: BoxError| {
        let message = "the response is not one of Plik's";
        FileServerError::new(FileServerErrorKind::InvalidAnswer, message).with_source(source)
    };
    let text = core::str::from_utf8(answer).map_err(|error| invalid(error.into()))?;
    parse(text).map_err(|error| invalid(error.into()))
}

fn local(error: impl Into<BoxError>) -> FileServerError {
    FileServerError::new(FileServerErrorKind::Local, "the request cannot be made")
        .with_source(error)
}

/// One segment of a URL's path, percent-encoded (RFC 3986 section 2.3: what is unreserved stays).
struct Segment<'a>(&'a str);

impl core::fmt::Display for Segment<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                f.write_char(char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;

    use crate::http::{HttpError, HttpRequest};
    use crate::platform::PlatformError;
    use crate::stream::read_to_vec;

    #[test]
    fn a_redirect_to_the_error_page_is_the_error() {
        let response = HttpResponse {
            status: 301,
            location: Some("/#/?err=file+gone&errcode=404&uri=/file/x".into()),
            ..HttpResponse::default()
        };
        let error = refused(Method::Get, response);
        assert_eq!(error.kind(), FileServerErrorKind::NotFound);
        assert_eq!(
            error.to_string(),
            "GET was answered with status 404: file+gone"
        );
        let response = HttpResponse {
            status: 302,
            location: Some("http://elsewhere/".into()),
            ..HttpResponse::default()
        };
        let error = refused(Method::Get, response);
        assert_eq!(error.kind(), FileServerErrorKind::Refused { status: 302 });
    }

    #[test]
    fn an_upload_whose_names_cannot_be_used_is_refused() {
        for (answer, usable) in [
            (r#"{"id":"u","uploadToken":"t"}"#, true),
            (r#"{"id":"u","uploadToken":""}"#, true),
            (
                r#"{"id":"u","uploadToken":"t","downloadDomain":"https://dl.example/x/"}"#,
                true,
            ),
            (r#"{"id":"","uploadToken":"t"}"#, false),
            (r#"{"id":"u v","uploadToken":"t"}"#, false),
            (r#"{"id":"u","uploadToken":"t\r\nX: y"}"#, false),
            (
                r#"{"id":"u","uploadToken":"t","downloadDomain":"dl.example"}"#,
                false,
            ),
            (
                r#"{"id":"u","uploadToken":"t","downloadDomain":"https://dl.ex%mple/"}"#,
                false,
            ),
            (
                r#"{"id":"u","uploadToken":"t","downloadDomain":"http://h/?x"}"#,
                false,
            ),
            (
                r#"{"id":"u","uploadToken":"t","downloadDomain":"http://h/ "}"#,
                false,
            ),
        ] {
            let created = Created::parse(answer).unwrap();
            assert_eq!(created.is_usable(), usable, "{answer}");
        }
    }

    /// A server with these responses, and the requests it got.
    struct Answers<'a> {
        bodies: &'a [&'static str],
        asked: &'a mut Vec<String>,
    }

    impl HttpClient for Answers<'_> {
        fn execute(
            &mut self,
            request: &HttpRequest<'_>,
            body: &mut dyn Body,
            sink: &mut dyn Sink,
        ) -> Result<HttpResponse, HttpError> {
            read_to_vec(body, &mut Vec::new())?;
            let answer = self.bodies.get(self.asked.len()).copied();
            self.asked
                .push(format!("{} {}", request.method.as_str(), request.url));
            sink.write(answer.unwrap_or_default().as_bytes())?;
            Ok(HttpResponse {
                status: 200,
                ..HttpResponse::default()
            })
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
            Err(HttpError::new(
                crate::http::HttpErrorKind::Unreachable,
                "nobody",
            ))
        }
    }

    struct Still;

    impl Platform for Still {
        fn unix_millis(&self) -> u64 {
            0
        }
        fn uptime_millis(&self) -> u64 {
            0
        }
        fn wait(&self, _: Duration) {}
        fn random(&self, out: &mut [u8]) -> Result<(), PlatformError> {
            out.fill(7);
            Ok(())
        }
    }

    #[test]
    fn a_file_that_was_not_stored_as_it_is_is_taken_back() {
        use FileServerErrorKind::{Mismatch, Unsupported};
        const CREATED: &str = r#"{"id":"u","uploadToken":"t","stream":false}"#;
        let all = [
            "POST http://h/upload",
            "POST http://h/file/u",
            "DELETE http://h/upload/u",
        ];
        // the responses, the result, the requests
        for (bodies, expected, requests) in [
            (
                [
                    CREATED,
                    r#"{"id":"f","fileName":"n","fileSize":5,"fileMd5":"5D41402ABC4B2A76B9719D911017C592"}"#,
                ],
                Ok("http://h/file/u/f/n"),
                &all[..2],
            ),
            (
                [
                    CREATED,
                    r#"{"id":"f","fileName":"n","fileSize":4,"fileMd5":"5d41402abc4b2a76b9719d911017c592"}"#,
                ],
                Err(Mismatch),
                &all[..],
            ),
            (
                [
                    CREATED,
                    r#"{"id":"f","fileName":"n","fileSize":5,"fileMd5":"5d41402abc4b2a76b9719d911017c593"}"#,
                ],
                Err(Mismatch),
                &all[..],
            ),
            // Issue 10, point 13: the server overrides an option.
            (
                [r#"{"id":"u","uploadToken":"t","oneShot":true}"#, "{}"],
                Err(Mismatch),
                &["POST http://h/upload", "DELETE http://h/upload/u"],
            ),
            // Such a server keeps no file.
            (
                [r#"{"id":"u","uploadToken":"t","stream":true}"#, ""],
                Err(Unsupported),
                &all[..1],
            ),
        ] {
            let mut asked = Vec::new();
            let answers = Answers {
                bodies: &bodies,
                asked: &mut asked,
            };
            let mut plik = Plik::new(answers, Still, "http://h").unwrap();
            let uploaded = plik.upload("n", &mut SliceBody::new(b"hello"));
            let uploaded = uploaded.map(|upload| upload.url);
            assert_eq!(
                uploaded.as_deref().map_err(FileServerError::kind),
                expected,
                "{bodies:?}"
            );
            assert_eq!(asked, requests, "{bodies:?}");
        }
    }

    #[test]
    fn the_own_origins_are_the_server_s_and_its_download_domain_s() {
        let bodies = [
            r#"{"id":"u","uploadToken":"t","downloadDomain":"https://dl.example/x/"}"#,
            r#"{"id":"f","fileName":"n","fileSize":0,"fileMd5":"d41d8cd98f00b204e9800998ecf8427e"}"#,
        ];
        let answers = Answers {
            bodies: &bodies,
            asked: &mut Vec::new(),
        };
        let mut plik = Plik::new(answers, Still, "http://h").unwrap();
        let owned = |plik: &Plik<_, _>| {
            [
                "http://h/x",
                "https://dl.example/y",
                "http://dl.example/y",
                "?",
            ]
            .map(|url| plik.owns(url))
        };
        assert_eq!(owned(&plik), [true, false, false, false]);
        let upload = plik.upload("n", &mut SliceBody::new(&[])).unwrap();
        assert_eq!(upload.url, "https://dl.example/x/file/u/f/n");
        assert_eq!(owned(&plik), [true, true, false, false]);

        // A server that announces none leaves what was set.
        let bodies = [r#"{"id":"u","uploadToken":"t"}"#, bodies[1]];
        let answers = Answers {
            bodies: &bodies,
            asked: &mut Vec::new(),
        };
        let plik = Plik::new(answers, Still, "http://h").unwrap();
        let mut plik = plik.download_domain("https://dl.example").unwrap();
        plik.upload("n", &mut SliceBody::new(&[])).unwrap();
        assert_eq!(owned(&plik), [true, true, false, false]);
    }

    /// Issue 10, point 13.
    #[test]
    fn options_that_the_server_overrode_are_an_error_that_says_so() {
        let hour = Duration::from_secs(3600);
        type Server = Plik<Answers<'static>, Still>;
        type Set = fn(Server) -> Server;
        let cases: [(Set, &'static str, &str); 4] = [
            (
                |plik| plik.ttl(Duration::from_secs(3600)),
                r#"{"id":"u","uploadToken":"t","ttl":2592000}"#,
                "the time to live in seconds is 2592000, requested was 3600",
            ),
            (
                |plik| plik.one_shot(true),
                r#"{"id":"u","uploadToken":"t","oneShot":false}"#,
                "one-shot is false, requested was true",
            ),
            (
                |plik| plik,
                r#"{"id":"u","uploadToken":"t","removable":true}"#,
                "removable is true, requested was false",
            ),
            (
                |plik| plik.login("me", "secret"),
                r#"{"id":"u","uploadToken":"t","protectedByPassword":false}"#,
                "password protection is false, requested was true",
            ),
        ];
        for (set, answer, words) in cases {
            let answers = Answers {
                bodies: Box::leak(Box::new([answer])),
                asked: Box::leak(Box::default()),
            };
            let mut plik = set(Plik::new(answers, Still, "http://h").unwrap());
            let error = plik.upload("n", &mut SliceBody::new(b"hello")).unwrap_err();
            assert_eq!(error.kind(), FileServerErrorKind::Mismatch);
            let expected = format!("the server overrides an option: {words}");
            assert_eq!(error.to_string(), expected);
        }
        let as_asked =
            r#"{"id":"u","uploadToken":"t","ttl":3600,"oneShot":false,"removable":false}"#;
        let mut asked = NewUpload::default();
        let created = Created::parse(as_asked).unwrap();
        assert!(created.check_options(&asked).is_ok(), "a ttl by default");
        asked.ttl = Some(hour.as_secs());
        assert!(created.check_options(&asked).is_ok());
    }

    #[test]
    fn options_that_are_not_set_are_left_to_the_server() {
        let plik = || Plik::new(Nobody, Still, "http://h").unwrap();
        let ttl = Duration::from_secs(60);
        for (plik, expected) in [
            (plik(), r#"{"oneShot":false,"removable":false}"#),
            (
                plik().one_shot(true).ttl(ttl).login("\u{fc}", "\"\\"),
                "{\"oneShot\":true,\"removable\":false,\"ttl\":60,\"login\":\"\u{fc}\",\"password\":\"\\\"\\\\\"}",
            ),
            (
                plik().removable(true),
                r#"{"oneShot":false,"removable":true}"#,
            ),
        ] {
            assert_eq!(String::from_utf8(plik.options.json()).unwrap(), expected);
        }
    }

    /// Issue 10, point 13: 0 would be the server's default, 30 days.
    #[test]
    fn a_time_to_live_is_rounded_up() {
        for (ttl, seconds) in [
            (Duration::ZERO, 1),
            (Duration::from_millis(1), 1),
            (Duration::from_millis(1000), 1),
            (Duration::from_millis(1001), 2),
            (Duration::MAX, u64::MAX),
        ] {
            let plik = Plik::new(Nobody, Still, "http://h").unwrap().ttl(ttl);
            assert_eq!(plik.options.ttl, Some(seconds), "{ttl:?}");
        }
    }

    /// Issue 10, point 13: a program that only receives has made no request.
    #[test]
    fn a_download_domain_can_be_set() {
        let plik = Plik::new(Nobody, Still, "http://h").unwrap();
        let plik = plik.download_domain("https://dl.example/x/").unwrap();
        assert!(plik.owns("https://dl.example/y") && plik.owns("http://h/y"));
        assert!(!plik.owns("http://dl.example/y"));
        for url in ["dl.example", "https://me:SECRET@dl.example", "https://h/?x"] {
            let plik = Plik::new(Nobody, Still, "http://h").unwrap();
            let words = format!("{:?}", plik.download_domain(url).unwrap_err());
            assert!(!words.contains("SECRET"), "{words}");
        }
    }

    /// Issue 10, point 7.
    #[test]
    fn nothing_that_is_printed_has_a_secret() {
        let secret = |name| Credentials::header(name, "SECRET").unwrap();
        let plik = Plik::new(Nobody, Still, "http://h").unwrap();
        let plik = plik
            .login("SECRET", "SECRET")
            .token("SECRET")
            .credentials(secret("X-Key"))
            .credentials_for("http://o", secret("X-Key"))
            .unwrap();
        let put = super::super::HttpPut::new(Nobody, Still, "http://h").unwrap();
        let put = put.basic_auth("SECRET", "SECRET");
        let encoded = Credentials::basic("SECRET", "SECRET").value;
        let encoded = encoded.strip_prefix("Basic ").unwrap();
        let upload = Upload {
            url: "http://h/f?sig=SECRET".to_string(),
            delete_key: Some("u SECRET".to_string()),
        };
        let request = HttpRequest {
            headers: &[("X-Key", "SECRET")],
            ..HttpRequest::new(Method::Get, "http://h/f?sig=SECRET")
        };
        let response = HttpResponse {
            location: Some("http://h/f?sig=SECRET".to_string()),
            ..HttpResponse::default()
        };
        let userinfo = Plik::new(Nobody, Still, "http://SECRET:SECRET@h").unwrap_err();
        for printed in [
            format!("{plik:?}"),
            format!("{plik:#?}"),
            format!("{put:?}"),
            format!("{upload:?}"),
            format!("{request:?}"),
            format!("{response:?}"),
            format!("{userinfo:?} {userinfo}"),
        ] {
            assert!(!printed.contains("SECRET"), "{printed}");
            assert!(!printed.contains(encoded), "{printed}");
            assert!(printed.len() > 10, "{printed}");
        }
    }

    #[test]
    fn segments_are_percent_encoded() {
        assert_eq!(
            Segment("a b%é/..?#").to_string(),
            "a%20b%25%C3%A9%2F..%3F%23"
        );
    }
}
