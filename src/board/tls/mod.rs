//! TLS over another transport.

mod failure;
mod keys;
mod messages;
mod options;
mod provider;
mod random;
mod session;
mod verifier;

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use self::failure::NO_CLOCK;
pub use self::options::TlsOptions;
use self::random::POOL;
use self::session::Session;
use crate::net::deadline::Moment;
use crate::net::{Transport, TransportError, TransportErrorKind as Kind};
use crate::platform::Platform;

/// The pause when nothing moves: 1 ms.
const PAUSE: Duration = Duration::from_millis(1);

/// A [`Transport`] with TLS 1.3 over one without, by `rustls` with the cryptography of RustCrypto. Needs
/// feature `board-tls`, which is **experimental**: it may change in any release.
///
/// Before the first byte is sent on a connection, the server has shown a certificate, has signed the
/// handshake with its key, and the certificate was checked as `rustls` does on hosts:
///
/// - It leads to one of the roots of [`TlsOptions`], over certificates that may be CAs, within the lengths
///   of path and the names that those allow.
/// - It and all of those are valid at the time of [`Platform::unix_millis`]. Without a clock (0) nothing
///   is sent.
/// - It is for the host of the URL, by a DNS name or IP address in its subject alternative names. The
///   common name does not count.
/// - If it has an extended key usage, that includes servers. The key usage is not looked at.
///
/// There is no option that turns a check off.
///
/// Servers must have TLS 1.3 with `TLS_CHACHA20_POLY1305_SHA256`, the group P-256 (secp256r1), and at most
/// three certificates, of P-256 and signed by ECDSA with SHA-256. nats-server and nginx since 1.23.4 have all but
/// the certificates by default; an older nginx needs `ssl_protocols TLSv1.3`. Certificates of clients, RSA,
/// revocation lists and resumption are not supported.
///
/// A handshake takes about 65 million instructions of a Cortex-M3, one that fails up to 100 million without a
/// wait. The buffers and rustls are on the heap: about
/// 22 KB for each connection, and up to 32 KB more while a long record is read. A heap that is too small for that
/// ends the program, as everywhere in Rust.
///
/// ```no_run
/// use natsbridge::board::{Nal, NatsOptions, Tls, TlsOptions, TransportNatsClient};
/// use natsbridge::host::StdPlatform;
/// use std_embedded_nal::Stack;
///
/// // include_bytes!("ca.der")
/// # let root: &[u8] = &[];
/// let options = TlsOptions::new(root)?;
/// let tls = Tls::new(Nal::new(Stack::default(), StdPlatform), StdPlatform, options);
/// let url = NatsOptions::new("tls://10.0.2.2:4222").nkey("SU...");
/// let mut client = TransportNatsClient::over(tls, StdPlatform, url);
/// client.connect()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Tls<T, P> {
    transport: T,
    platform: P,
    options: TlsOptions,
    session: Option<Box<Session>>,
}

impl<T, P> fmt::Debug for Tls<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("options", &self.options)
            .field("is_encrypted", &self.session.is_some())
            .finish_non_exhaustive()
    }
}

impl<T: Transport, P: Platform> Tls<T, P> {
    /// TLS over `transport`, with the clocks and the random bytes of `platform`.
    pub fn new(transport: T, platform: P, options: TlsOptions) -> Self {
        Self {
            transport,
            platform,
            options,
            session: None,
        }
    }

    /// The transport below, for what only it can do. Bytes that are sent there are not encrypted, and end the
    /// TLS connection.
    pub fn transport(&mut self) -> &mut T {
        &mut self.transport
    }

    fn new_session(&self, server_name: &str) -> Result<Session, TransportError> {
        let unix_millis = self.platform.unix_millis();
        if unix_millis == 0 {
            return Err(TransportError::new(Kind::Unsupported, NO_CLOCK));
        }
        let mut random = [0; 32];
        self.platform.random(&mut random).map_err(|error| {
            TransportError::new(Kind::Failed, "there are no random bytes").with_source(error.0)
        })?;
        POOL.add(&random);
        let session = Session::new(&self.options, server_name, unix_millis);
        POOL.forget();
        session
    }

    /// Moves records in both directions until the server has proved who it is.
    fn shake_hands(&mut self, deadline: Moment) -> Result<(), TransportError> {
        loop {
            let Some(session) = &mut self.session else {
                return Err(Kind::Closed.into());
            };
            session.process()?;
            let is_flushed = flush(&mut self.transport, session)?;
            if session.is_ready() && is_flushed {
                return Ok(());
            }
            if Moment::now(&self.platform) >= deadline {
                return Err(Kind::Timeout.into());
            }
            // A server may send without end while its side of the network takes nothing: nobody reads that yet.
            if session.has_plain() || receive(&mut self.transport, session)? == 0 {
                self.transport.wait(PAUSE);
            }
        }
    }
}

/// Takes in what has come, without waiting.
fn receive(transport: &mut impl Transport, session: &mut Session) -> Result<usize, TransportError> {
    let room = session.room();
    if room.is_empty() {
        return Ok(0);
    }
    let count = transport.try_receive(room)?;
    session.received(count);
    Ok(count)
}

impl<T: Transport, P: Platform> Transport for Tls<T, P> {
    fn open(&mut self, host: &str, port: u16, timeout: Duration) -> Result<(), TransportError> {
        self.session = None;
        self.transport.open(host, port, timeout)
    }

    fn start_tls(&mut self, server_name: &str, timeout: Duration) -> Result<(), TransportError> {
        let deadline = Moment::now(&self.platform).after(timeout);
        let session = self.new_session(server_name);
        let shaken = session.and_then(|session| {
            self.session = Some(Box::new(session));
            self.shake_hands(deadline)
        });
        // Whatever a caller does next, nothing goes to a server that has not proved who it is. An alert tells it
        // why.
        shaken.inspect_err(|_| self.close())
    }

    fn try_send(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        let Some(session) = &mut self.session else {
            return self.transport.try_send(bytes);
        };
        if !session.is_ready() {
            return Err(Kind::Closed.into());
        }
        // One record at a time is in memory.
        if bytes.is_empty() || !flush(&mut self.transport, session)? {
            return Ok(0);
        }
        let count = session.encrypt(bytes)?;
        flush(&mut self.transport, session)?;
        Ok(count)
    }

    fn try_flush(&mut self) -> Result<bool, TransportError> {
        match &mut self.session {
            Some(session) => flush(&mut self.transport, session),
            None => self.transport.try_flush(),
        }
    }

    fn try_receive(&mut self, out: &mut [u8]) -> Result<usize, TransportError> {
        let Some(session) = &mut self.session else {
            return self.transport.try_receive(out);
        };
        if !session.is_ready() {
            return Err(Kind::Closed.into());
        }
        let mut flushed = Ok(true);
        // A server that sends records without data does not keep the caller here.
        let mut left = session.input_len();
        while !session.has_plain() {
            session.process()?;
            if session.has_plain() || left == 0 {
                break;
            }
            if session.is_closed() {
                return Err(Kind::Closed.into());
            }
            // What was received before an error is read first.
            flushed = flush(&mut self.transport, session);
            match receive(&mut self.transport, session)? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        match (session.read(out), flushed) {
            (0, Err(error)) => Err(error),
            (count, _) => Ok(count),
        }
    }

    fn wait(&mut self, duration: Duration) {
        self.transport.wait(duration);
    }

    fn close(&mut self) {
        if let Some(mut session) = self.session.take() {
            if session.is_ready() {
                session.close();
            }
            flush(&mut self.transport, &mut session).ok();
        }
        self.transport.close();
    }

    fn is_open(&self) -> bool {
        self.transport.is_open()
    }
}

/// Sends of the records that wait as much as goes without waiting; whether that is all.
fn flush(transport: &mut impl Transport, session: &mut Session) -> Result<bool, TransportError> {
    while !session.output().is_empty() {
        match transport.try_send(session.output())? {
            0 => return Ok(false),
            count => session.sent(count),
        }
    }
    transport.try_flush()
}
