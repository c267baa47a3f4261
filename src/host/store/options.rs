//! Settings of stores that their URLs do not have.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::file_server::{Credentials, OptionError};
#[cfg(feature = "ureq")]
use crate::file_server::{HttpPut, Plik};
use crate::host::NatsClient;
#[cfg(feature = "ureq")]
use crate::host::{UreqClient, UreqOptions};
#[cfg(feature = "ureq")]
use crate::http::HttpClient;
#[cfg(feature = "ureq")]
use crate::platform::Platform;

/// What a [`Store`](super::Store) can have beside its URL: credentials, TLS, and the options of Plik. A
/// store refuses options that it cannot follow; `none` ignores all of them.
///
/// ```
/// # #[cfg(feature = "ureq")] {
/// use std::time::Duration;
/// use natsbridge::Credentials;
/// use natsbridge::host::{Store, StoreOptions};
///
/// let options = StoreOptions::default()
///     .credentials(Credentials::basic("me", "secret"))
///     .ttl(Duration::from_secs(3600));
/// let store = Store::with_options("https://plik.example", &options)?;
/// let error = Store::with_options("put+https://files.example/", &options).unwrap_err();
/// assert_eq!(error.to_string(), "`ttl` cannot be used: only a Plik server has it");
/// # }
/// # Ok::<(), natsbridge::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct StoreOptions {
    #[cfg(feature = "ureq")]
    http: UreqOptions,
    credentials: Vec<Credentials>,
    plik_token: Option<String>,
    plik_login: Option<(String, String)>,
    ttl: Option<Duration>,
    one_shot: bool,
    removable: bool,
    download_domain: Option<String>,
    client: Option<NatsClient>,
}

impl StoreOptions {
    /// A client of the NATS server that keeps the buckets of `nats-object://`. The store uses a clone of it,
    /// which shares its connection. Default: none.
    #[must_use]
    pub fn client(mut self, client: &NatsClient) -> Self {
        self.client = Some(client.clone());
        self
    }

    /// Root certificates, a client certificate and a proxy of the HTTP client. Default: those of
    /// [`UreqOptions`].
    #[cfg(feature = "ureq")]
    #[must_use]
    pub fn http(mut self, options: UreqOptions) -> Self {
        self.http = options;
        self
    }

    /// Sends these credentials to the server, and to no other; several with different header fields add up.
    /// Default: none.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials.push(credentials);
        self
    }

    /// The user token of Plik; see [`Plik::token`](crate::Plik::token). Default: none.
    #[must_use]
    pub fn plik_token(mut self, token: &str) -> Self {
        self.plik_token = Some(token.to_string());
        self
    }

    /// Protects uploads to Plik; see [`Plik::login`](crate::Plik::login). Default: none.
    #[must_use]
    pub fn plik_login(mut self, login: &str, password: &str) -> Self {
        self.plik_login = Some((login.to_string(), password.to_string()));
        self
    }

    /// How long the server keeps an upload; see [`Plik::ttl`](crate::Plik::ttl). Default: as long as the server
    /// keeps uploads by default.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Whether a file is deleted by its first download; see [`Plik::one_shot`](crate::Plik::one_shot). Default
    /// false.
    #[must_use]
    pub fn one_shot(mut self, one_shot: bool) -> Self {
        self.one_shot = one_shot;
        self
    }

    /// Whether everyone who knows the URL may delete the file; see
    /// [`Plik::removable`](crate::Plik::removable). Default false.
    #[must_use]
    pub fn removable(mut self, removable: bool) -> Self {
        self.removable = removable;
        self
    }

    /// A second origin that belongs to the server; see
    /// [`Plik::download_domain`](crate::Plik::download_domain). Default: none.
    #[must_use]
    pub fn download_domain(mut self, url: &str) -> Self {
        self.download_domain = Some(url.to_string());
        self
    }
}

impl StoreOptions {
    /// Refuses the options that only Plik has.
    fn refuse_those_of_plik(&self) -> Result<(), OptionError> {
        for (name, is_set) in [
            ("token", self.plik_token.is_some()),
            ("login", self.plik_login.is_some()),
            ("ttl", self.ttl.is_some()),
            ("one_shot", self.one_shot),
            ("removable", self.removable),
            ("download_domain", self.download_domain.is_some()),
        ] {
            if is_set {
                let reason = "only a Plik server has it";
                return Err(OptionError::Invalid { name, reason });
            }
        }
        Ok(())
    }

    /// Refuses what a folder does not have.
    pub(super) fn check_for_directory(&self) -> Result<(), OptionError> {
        self.refuse_those_of_plik()?;
        self.refuse_credentials("a folder has none")
    }

    fn refuse_credentials(&self, reason: &'static str) -> Result<(), OptionError> {
        match self.credentials.is_empty() {
            true => Ok(()),
            false => Err(OptionError::Invalid {
                name: "credentials",
                reason,
            }),
        }
    }

    /// The client of a bucket.
    ///
    /// # Errors
    /// There is none, or an option is set that a bucket does not have.
    pub(super) fn for_bucket(&self) -> Result<NatsClient, OptionError> {
        self.refuse_those_of_plik()?;
        self.refuse_credentials("a bucket has those of its NATS client")?;
        self.client.clone().ok_or(OptionError::Invalid {
            name: "store",
            reason: "a bucket needs a NATS client: use `Store::for_client` or `StoreOptions::client`",
        })
    }
}

#[cfg(feature = "ureq")]
impl StoreOptions {
    pub(super) fn http_client(&self) -> UreqClient {
        UreqClient::with_options(&self.http)
    }

    pub(super) fn apply_to_plik<H: HttpClient, P: Platform>(
        &self,
        plik: Plik<H, P>,
    ) -> Result<Plik<H, P>, OptionError> {
        let mut plik = plik.one_shot(self.one_shot).removable(self.removable);
        if let Some(url) = &self.download_domain {
            plik = plik.download_domain(url)?;
        }
        if let Some(ttl) = self.ttl {
            plik = plik.ttl(ttl);
        }
        if let Some(token) = &self.plik_token {
            plik = plik.token(token);
        }
        if let Some((login, password)) = &self.plik_login {
            plik = plik.login(login, password);
        }
        let credentials = self.credentials.iter().cloned();
        Ok(credentials.fold(plik, Plik::credentials))
    }

    pub(super) fn apply_to_put<H: HttpClient, P: Platform>(
        &self,
        put: HttpPut<H, P>,
    ) -> Result<HttpPut<H, P>, OptionError> {
        self.refuse_those_of_plik()?;
        let credentials = self.credentials.iter().cloned();
        Ok(credentials.fold(put, HttpPut::credentials))
    }
}

/// Prints no secrets.
impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("credentials", &self.credentials)
            .field("ttl", &self.ttl)
            .field("one_shot", &self.one_shot)
            .field("removable", &self.removable)
            .finish_non_exhaustive()
    }
}
