//! What the adapters over HTTP share: the server's URL, credentials, and time limits.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::error::check_url;
use super::{Credentials, FileServerError, OptionError};
use crate::http::url::Url;
use crate::http::{
    DEFAULT_IDLE_TIMEOUT, HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse, Method,
};
use crate::stream::{Body, Sink};

/// The fixed part of the time limit of an exchange: 30 s.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// The lowest accepted transfer rate: 65,536 bytes/s.
const DEFAULT_MIN_RATE: u64 = 65_536;
/// The longest response to a request that is not a download, in bytes.
pub(super) const MAX_ANSWER_LEN: usize = 65_536;
/// A shorter body is sent as soon as its head: the server reads both at once. 1 KiB.
const MIN_EXPECT_LEN: u64 = 1024;

/// A server, and the client for it.
pub(super) struct Endpoint<H> {
    http: H,
    pub(super) access: Access,
    pub(super) timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) min_rate: u64,
    /// Whether the connection was lost during the last upload. The server may have refused it before it had
    /// read all of it, and its response was lost: the next upload sends `Expect: 100-continue`.
    asks_first: bool,
}

/// Where the server is, and what is sent to it. Apart from the client, which is used at the same time.
pub(super) struct Access {
    /// Without a slash at the end.
    pub(super) base_url: String,
    /// The server's second origin, for downloads; or empty.
    pub(super) download_url: String,
    /// Those of other origins have a URL at their origin.
    credentials: Vec<(Option<String>, Credentials)>,
}

impl<H> Endpoint<H> {
    pub(super) fn new(http: H, base_url: &str) -> Result<Self, OptionError> {
        let base_url = base_url.trim_end_matches('/');
        check_url("fileserver_url", base_url)?;
        Ok(Self {
            http,
            access: Access {
                base_url: base_url.to_string(),
                download_url: String::new(),
                credentials: Vec::new(),
            },
            timeout: DEFAULT_TIMEOUT,
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            min_rate: DEFAULT_MIN_RATE,
            asks_first: false,
        })
    }

    /// Sets credentials for this server. They replace those with the same header.
    pub(super) fn set_credentials(&mut self, credentials: Credentials) {
        let set = &mut self.access.credentials;
        set.retain(|(origin, set)| {
            origin.is_some() || !set.name.eq_ignore_ascii_case(&credentials.name)
        });
        set.push((None, credentials));
    }

    pub(super) fn set_credentials_for(
        &mut self,
        origin: &str,
        credentials: Credentials,
    ) -> Result<(), OptionError> {
        check_url("origin", origin)?;
        let origin = Some(origin.to_string());
        self.access.credentials.push((origin, credentials));
        Ok(())
    }

    /// The fixed time, and the time for `bytes` at the lowest accepted rate.
    fn time_limit(&self, bytes: u64) -> Duration {
        let transfer = Duration::from_secs(bytes / self.min_rate.max(1));
        self.timeout.saturating_add(transfer)
    }
}

impl Access {
    /// Whether `url` is at one of this server's origins.
    pub(super) fn is_at(&self, url: &str) -> bool {
        is_same_origin(&self.base_url, url) || is_same_origin(&self.download_url, url)
    }

    /// The credentials for `url`: never those of another origin, and never without TLS if the server
    /// has TLS.
    fn credentials_for<'e>(&'e self, url: &'e str) -> impl Iterator<Item = (&'e str, &'e str)> {
        let is_https = |url| Url::parse(url).is_some_and(|url| url.is_https);
        let is_own = self.is_at(url) && (is_https(url) || !is_https(&self.base_url));
        let fits = move |(origin, _): &&(Option<String>, Credentials)| match origin {
            None => is_own,
            Some(origin) => is_same_origin(origin, url),
        };
        let fitting = self.credentials.iter().filter(fits);
        fitting.map(|(_, credentials)| (&*credentials.name, &*credentials.value))
    }
}

impl<H: HttpClient> Endpoint<H> {
    /// Sends a request and receives its response.
    pub(super) fn exchange(
        &mut self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &mut dyn Body,
        (limit, sink): (u64, &mut dyn Sink),
    ) -> Result<HttpResponse, FileServerError> {
        let mut all = Vec::from(headers);
        all.extend(self.access.credentials_for(url));
        let is_upload = body.len() >= MIN_EXPECT_LEN;
        let request = HttpRequest {
            headers: &all,
            timeout: self.time_limit(body.len().max(limit)),
            idle_timeout: self.idle_timeout,
            limit,
            expect_continue: is_upload && self.asks_first,
            ..HttpRequest::new(method, url)
        };
        let done = self.http.execute(&request, body, sink);
        if is_upload {
            self.asks_first = asks_first(self.asks_first, &done);
        }
        Ok(done?)
    }
}

fn asks_first(before: bool, done: &Result<HttpResponse, HttpError>) -> bool {
    match done {
        Ok(response) => before && !response.is_success(),
        Err(error) => {
            let kinds = [HttpErrorKind::Disconnected, HttpErrorKind::Timeout];
            before || kinds.contains(&error.kind())
        }
    }
}

fn is_same_origin(one: &str, other: &str) -> bool {
    match (Url::parse(one), Url::parse(other)) {
        (Some(one), Some(other)) => one.same_origin(&other),
        _ => false,
    }
}

/// Prints no credentials, and not the client, which may have its own.
impl<H> fmt::Debug for Endpoint<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("base_url", &self.access.base_url)
            .field("download_url", &self.access.download_url)
            .field("timeout", &self.timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("min_rate", &self.min_rate)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{SliceBody, VecSink};

    fn endpoint<H>(http: H) -> Endpoint<H> {
        Endpoint::new(http, "http://h/base/").unwrap()
    }

    #[test]
    fn an_endpoint_knows_its_own_origin() {
        let endpoint = endpoint(());
        for (url, own) in [
            ("http://h/base/x", true),
            ("http://H:80/y?z", true),
            ("https://h/base/x", false),
            ("http://h:8080/base/x", false),
            ("http://h2/base/x", false),
            ("/base/x", false),
            ("", false),
        ] {
            assert_eq!(endpoint.access.is_at(url), own, "{url}");
        }
    }

    #[test]
    fn a_transfer_gets_time_for_its_bytes() {
        let mut endpoint = endpoint(());
        // bytes, the lowest accepted rate, seconds
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

    /// Issue 10, point 15: further allowed origins, each with credentials of its own.
    #[test]
    fn credentials_go_to_their_origin_only() {
        let mut endpoint = endpoint(());
        endpoint.access.download_url = "http://dl/x".to_string();
        endpoint.set_credentials(Credentials::basic("replaced", "replaced"));
        endpoint.set_credentials(Credentials::basic("me", "secret"));
        endpoint.set_credentials(Credentials::header("X-Key", "k").unwrap());
        let bearer = Credentials::bearer("t").unwrap();
        endpoint
            .set_credentials_for("https://o/any", bearer)
            .unwrap();
        let own = [("Authorization", "Basic bWU6c2VjcmV0"), ("X-Key", "k")];
        for (url, expected) in [
            ("http://h/f", &own[..]),
            ("http://dl/f", &own[..]),
            ("https://dl/f", &[]),
            ("https://o/f", &[("Authorization", "Bearer t")]),
            ("http://o/f", &[]),
            ("http://evil/f", &[]),
            ("http://me@h/f", &[]),
        ] {
            let sent: Vec<_> = endpoint.access.credentials_for(url).collect();
            assert_eq!(sent, expected, "{url}");
        }
        // Credentials of a server with TLS are not sent without TLS.
        endpoint.access.base_url = "https://h".to_string();
        assert_eq!(endpoint.access.credentials_for("http://dl/f").count(), 0);
        assert_eq!(endpoint.access.credentials_for("https://h/f").count(), 2);
        let error = endpoint.set_credentials_for("o", Credentials::basic("a", "b"));
        assert!(error.is_err());
    }

    /// Fails or responds as scripted, and records whether the request had `Expect: 100-continue`.
    struct Asked<'a>(&'a [Result<u16, HttpErrorKind>], Vec<bool>);

    impl HttpClient for Asked<'_> {
        fn execute(
            &mut self,
            request: &HttpRequest<'_>,
            _: &mut dyn Body,
            _: &mut dyn Sink,
        ) -> Result<HttpResponse, HttpError> {
            let result = self.0[self.1.len()];
            self.1.push(request.expect_continue);
            let answered = result.map(|status| HttpResponse {
                status,
                ..HttpResponse::default()
            });
            answered.map_err(|kind| HttpError::new(kind, "told"))
        }
    }

    /// Issue 10, point 12.
    #[test]
    fn after_a_lost_upload_the_server_is_asked_first() {
        const LOST: Result<u16, HttpErrorKind> = Err(HttpErrorKind::Disconnected);
        const LATE: Result<u16, HttpErrorKind> = Err(HttpErrorKind::Timeout);
        const NOBODY: Result<u16, HttpErrorKind> = Err(HttpErrorKind::Unreachable);
        // the result of each request, which of them send `Expect: 100-continue`
        for (results, asks) in [
            (&[Ok(200), Ok(401), NOBODY, Ok(200)][..], &[false; 4][..]),
            (&[LOST, Ok(413), Ok(413)], &[false, true, true]),
            (&[LATE, LOST, Ok(201), Ok(201)], &[false, true, true, false]),
        ] {
            let mut endpoint = endpoint(Asked(results, Vec::new()));
            let mut upload = |len| {
                let bytes = alloc::vec![0; len];
                let (mut body, mut sink) = (SliceBody::new(&bytes), VecSink::new(0));
                endpoint
                    .exchange(Method::Put, "http://h/f", &[], &mut body, (0, &mut sink))
                    .ok();
                endpoint.http.1.len()
            };
            while upload(1024) < results.len() {}
            assert_eq!(endpoint.http.1, asks, "{results:?}");
        }
        let mut endpoint = endpoint(Asked(&[LOST, Ok(200)], Vec::new()));
        for len in [1024, 1023] {
            let bytes = alloc::vec![0; len];
            let (mut body, mut sink) = (SliceBody::new(&bytes), VecSink::new(0));
            endpoint
                .exchange(Method::Put, "http://h/f", &[], &mut body, (0, &mut sink))
                .ok();
        }
        assert_eq!(endpoint.http.1, [false, false], "too short to ask first");
    }
}
