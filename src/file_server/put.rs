//! A server that stores what is PUT: nginx with its dav module, dufs, any WebDAV.

use alloc::format;
use core::fmt;
use core::time::Duration;

use super::endpoint::{Endpoint, MAX_ANSWER_LEN};
use super::{
    Credentials, FileServer, FileServerError, FileServerErrorKind, OptionError, Upload, unique_name,
};
use crate::http::{HttpClient, HttpResponse, Method};
use crate::platform::Platform;
use crate::stream::{Body, Sink, SliceBody, VecSink};

/// Uploads by `PUT <base>/<unique name>`, downloads by GET, deletes by DELETE of the same URL. The
/// unique name is 32 random hex digits, a dash and the payload's name made [safe](crate::adapter::file_name).
///
/// Time limits by default: 30 s for an exchange and the time for its bytes at 65,536 bytes/s, and 30 s in which
/// no byte moves. If the connection is lost during an upload, the next one sends `Expect: 100-continue`, so
/// that a refusal is reported.
///
/// ```
/// use natsbridge::host::{StdPlatform, UreqClient};
/// use natsbridge::{Credentials, HttpPut};
///
/// # #[cfg(feature = "ureq")] {
/// let files = HttpPut::new(UreqClient::new(), StdPlatform, "https://files.example/in")?
///     .credentials(Credentials::bearer("eyJhbGciOi")?)
///     .credentials_for("https://other.example", Credentials::basic("me", "secret"))?;
/// # }
/// # Ok::<(), natsbridge::OptionError>(())
/// ```
pub struct HttpPut<H, P> {
    endpoint: Endpoint<H>,
    platform: P,
}

impl<H, P> fmt::Debug for HttpPut<H, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpPut").field(&self.endpoint).finish()
    }
}

impl<H: HttpClient, P: Platform> HttpPut<H, P> {
    /// The server whose folder for files is `base_url`.
    ///
    /// # Errors
    /// [`OptionError::Url`] if that is not an `http` or `https` URL, [`OptionError::Invalid`] if it
    /// has a user name, a query or a fragment.
    pub fn new(http: H, platform: P, base_url: &str) -> Result<Self, OptionError> {
        Ok(Self {
            endpoint: Endpoint::new(http, base_url)?,
            platform,
        })
    }

    /// Sends these credentials (HTTP Basic) to this server, and to no other.
    #[must_use]
    pub fn basic_auth(mut self, user: &str, password: &str) -> Self {
        self.endpoint
            .set_credentials(Credentials::basic(user, password));
        self
    }

    /// Sends these credentials to this server, and to no other.
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

    fn call(
        &mut self,
        method: Method,
        url: &str,
        body: &mut dyn Body,
    ) -> Result<HttpResponse, FileServerError> {
        let mut answer = VecSink::new(MAX_ANSWER_LEN);
        let bounded = (MAX_ANSWER_LEN as u64, &mut answer as &mut dyn Sink);
        self.endpoint.exchange(method, url, &[], body, bounded)
    }

    fn put(&mut self, url: &str, body: &mut dyn Body) -> Result<(), FileServerError> {
        let response = self.call(Method::Put, url, body)?;
        match response.status {
            200 | 201 | 204 => Ok(()),
            _ => Err(FileServerError::refused("PUT", &response)),
        }
    }
}

impl<H: HttpClient, P: Platform> FileServer for HttpPut<H, P> {
    fn upload(&mut self, dataname: &str, body: &mut dyn Body) -> Result<Upload, FileServerError> {
        let name = unique_name(&self.platform, dataname)?;
        let upload = Upload::new(format!("{}/{name}", self.endpoint.base_url));
        self.put(&upload.url, body).inspect_err(|error| {
            // The server may have stored the file, or a part of it, without a response.
            if error.is_transient() || error.kind() == FileServerErrorKind::InvalidAnswer {
                self.delete(&upload).ok();
            }
        })?;
        Ok(upload)
    }

    fn download(
        &mut self,
        url: &str,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<u64, FileServerError> {
        let nothing = &mut SliceBody::new(&[]);
        let response = (self.endpoint).exchange(Method::Get, url, &[], nothing, (limit, sink))?;
        match response.status {
            200 => Ok(response.body_len),
            _ => Err(FileServerError::refused("GET", &response)),
        }
    }

    fn owns(&self, url: &str) -> bool {
        self.endpoint.is_at(url)
    }

    fn delete(&mut self, upload: &Upload) -> Result<(), FileServerError> {
        let response = self.call(Method::Delete, &upload.url, &mut SliceBody::new(&[]))?;
        match response.status {
            200 | 202 | 204 | 404 => Ok(()),
            _ => Err(FileServerError::refused("DELETE", &response)),
        }
    }
}
