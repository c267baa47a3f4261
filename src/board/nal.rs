//! [`Transport`] over an `embedded-nal` stack: the only file that mentions `nb`.
//!
//! `embedded-nal` leaves open how a stack says some things, and stacks differ: "nothing yet" is
//! `WouldBlock` on one and `Ok(0)` on another; `Ok(0)` is the end of the stream on the first and means
//! nothing on the second; a connect to a closed port fails, or never ends. What a stack means by `Ok(0)`
//! shows once it has answered `WouldBlock` to a receive.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use embedded_nal::{AddrType, Dns, TcpClientStack, TcpError, TcpErrorKind, nb};

use crate::address::parse_ip;
use crate::cause::text;
use crate::http::url::bare_host;
use crate::net::deadline::Moment;
use crate::net::{Transport, TransportError, TransportErrorKind as Kind};
use crate::platform::Platform;
use crate::trace::Escaped;

/// The pause between two attempts when nothing moves: 1 ms.
const PAUSE: Duration = Duration::from_millis(1);
/// The longest name that can be looked up, in bytes (RFC 1035 section 2.3.4).
const MAX_NAME_LEN: usize = 255;

type OpenName<S, P> = fn(&mut Nal<S, P>, &str, u16, Moment) -> Result<(), TransportError>;

/// A [`Transport`] over a [`TcpClientStack`] and a [`Platform`]: a stack, at most one connection of it,
/// and the clock that bounds connects and look-ups.
///
/// The clients of this module make one of the stack that they are given. It is public so that it can be
/// wrapped, in TLS for example.
///
/// - A name is looked up, after [`with_dns`](Self::with_dns), for its IPv4 address first. If no
///   connection can be made to that, the IPv6 address is looked up and tried. An IPv4 address that does
///   not answer has half of the time for itself; it is given the other half too if there is no IPv6
///   address.
/// - `Ok(0)` from `receive` is the end of the stream on a stack that has ever answered `WouldBlock` to a
///   `receive`, and means "nothing yet" on any other. A stack must not use both for "nothing yet".
/// - The socket is returned to the stack exactly once, whatever fails.
///
/// ```no_run
/// use core::time::Duration;
/// use natsbridge::board::Nal;
/// use natsbridge::host::StdPlatform;
/// use natsbridge::net::Transport;
/// use std_embedded_nal::Stack;
///
/// let mut transport = Nal::new(Stack::default(), StdPlatform).with_dns();
/// transport.open("nats.example.com", 4222, Duration::from_secs(5))?;
/// # Ok::<(), natsbridge::net::TransportError>(())
/// ```
pub struct Nal<S: TcpClientStack, P> {
    stack: S,
    platform: P,
    /// The only place where a socket of the stack is kept: what is in it is closed exactly once.
    socket: Option<S::TcpSocket>,
    /// With DNS only. A pointer, so that what it needs is in the flash of the boards that use it.
    open_name: Option<OpenName<S, P>>,
    /// This stack answers `WouldBlock` where nothing has come yet.
    says_would_block: bool,
}

impl<S: TcpClientStack, P> fmt::Debug for Nal<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nal")
            .field("is_open", &self.socket.is_some())
            .finish_non_exhaustive()
    }
}

impl<S: TcpClientStack, P: Platform> Nal<S, P> {
    /// A transport without a connection, to hosts given by their IP addresses.
    pub fn new(stack: S, platform: P) -> Self {
        Self {
            stack,
            platform,
            socket: None,
            open_name: None,
            says_would_block: false,
        }
    }

    /// Also looks up names, with the stack's DNS, at each [`open`](Transport::open).
    #[must_use]
    pub fn with_dns(mut self) -> Self
    where
        S: Dns,
    {
        self.use_dns();
        self
    }

    pub(crate) fn use_dns(&mut self)
    where
        S: Dns,
    {
        self.open_name = Some(Self::open_name);
    }

    /// The stack, for what only it can do. The socket of the connection is out of reach.
    pub fn stack(&mut self) -> &mut S {
        &mut self.stack
    }

    /// Connects, or goes on to connect where an attempt has timed out.
    fn connect(&mut self, remote: SocketAddr, deadline: Moment) -> Result<(), TransportError> {
        if self.socket.is_none() {
            self.socket = Some(self.stack.socket().map_err(|error| failed(&error))?);
        }
        self.until(deadline, |nal| {
            let Some(socket) = &mut nal.socket else {
                return Err(TransportError::from(Kind::Closed));
            };
            moved(nal.stack.connect(socket, remote))
        })
    }

    /// Attempts something until it comes to an end or `deadline` has come, but at least once.
    fn until<T>(
        &mut self,
        deadline: Moment,
        mut attempt: impl FnMut(&mut Self) -> Result<Option<T>, TransportError>,
    ) -> Result<T, TransportError> {
        loop {
            if let Some(done) = attempt(self)? {
                return Ok(done);
            }
            if Moment::now(&self.platform) >= deadline {
                return Err(TransportError::from(Kind::Timeout));
            }
            self.platform.wait(PAUSE);
        }
    }
}

impl<S: TcpClientStack + Dns, P: Platform> Nal<S, P> {
    fn open_name(&mut self, name: &str, port: u16, deadline: Moment) -> Result<(), TransportError> {
        let first = match self.look_up(name, AddrType::IPv4, deadline) {
            Ok(address) => SocketAddr::new(address, port),
            Err(error) if error.kind() == Kind::NotFound => {
                // Boards that have nothing but IPv4 are better served by what was said about it.
                let second = self.look_up(name, AddrType::IPv6, deadline);
                let second = second.map_err(|second| match second.kind() {
                    Kind::NotFound => error,
                    _ => second,
                })?;
                return self.connect(SocketAddr::new(second, port), deadline);
            }
            Err(error) => return Err(error),
        };
        let now = Moment::now(&self.platform);
        let half = now.share(deadline, 2);
        let Err(failed) = self.connect(first, half) else {
            return Ok(());
        };
        match self.look_up(name, AddrType::IPv6, deadline) {
            Ok(second) => {
                self.close();
                let second = SocketAddr::new(second, port);
                let connected = self.connect(second, deadline);
                connected.map_err(|error| {
                    let message = text(format_args!("by IPv4: {failed}; by IPv6: {error}"));
                    TransportError::new(error.kind(), message)
                })
            }
            // There is nothing else to do with the time.
            Err(_) if failed.kind() == Kind::Timeout => self.connect(first, deadline),
            Err(_) => Err(failed),
        }
    }

    fn look_up(
        &mut self,
        name: &str,
        kind: AddrType,
        deadline: Moment,
    ) -> Result<IpAddr, TransportError> {
        let not_found = |fault: &str| {
            let (name, fault) = (Escaped(name), Escaped(fault));
            let message = text(format_args!("`{name}` cannot be looked up: {fault}"));
            TransportError::new(Kind::NotFound, message)
        };
        if name.len() > MAX_NAME_LEN {
            return Err(not_found("the name is too long"));
        }
        self.until(deadline, |nal| {
            match nal.stack.get_host_by_name(name, kind.clone()) {
                Ok(address) => Ok(Some(address)),
                Err(nb::Error::WouldBlock) => Ok(None),
                Err(nb::Error::Other(fault)) => Err(not_found(&text(format_args!("{fault:?}")))),
            }
        })
    }
}

impl<S: TcpClientStack, P: Platform> Transport for Nal<S, P> {
    fn open(&mut self, host: &str, port: u16, timeout: Duration) -> Result<(), TransportError> {
        self.close();
        let deadline = Moment::now(&self.platform).after(timeout);
        let opened = match (parse_ip(bare_host(host)), self.open_name) {
            (Some(address), _) => self.connect(SocketAddr::new(address, port), deadline),
            (None, Some(open_name)) => open_name(self, host, port, deadline),
            (None, None) => Err(no_address(host)),
        };
        opened.inspect_err(|_| self.close())
    }

    fn try_send(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        let Some(socket) = &mut self.socket else {
            return Err(TransportError::from(Kind::Closed));
        };
        let sent = moved(self.stack.send(socket, bytes))?;
        Ok(sent.map_or(0, |count| count.min(bytes.len())))
    }

    fn try_receive(&mut self, out: &mut [u8]) -> Result<usize, TransportError> {
        let Some(socket) = &mut self.socket else {
            return Err(TransportError::from(Kind::Closed));
        };
        match moved(self.stack.receive(socket, out))? {
            None => {
                self.says_would_block = true;
                Ok(0)
            }
            Some(0) if self.says_would_block && !out.is_empty() => {
                Err(TransportError::from(Kind::Closed))
            }
            Some(count) => Ok(count.min(out.len())),
        }
    }

    fn wait(&mut self, duration: Duration) {
        self.platform.wait(duration);
    }

    fn close(&mut self) {
        if let Some(socket) = self.socket.take() {
            // Whatever the stack says to it, the socket is no longer ours.
            self.stack.close(socket).ok();
        }
    }

    fn is_open(&self) -> bool {
        self.socket.is_some()
    }
}

impl<S: TcpClientStack, P> Drop for Nal<S, P> {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            self.stack.close(socket).ok();
        }
    }
}

fn no_address(host: &str) -> TransportError {
    let message = text(format_args!(
        "`{}` is no IP address, and names are looked up only after `with_dns`",
        Escaped(host)
    ));
    TransportError::new(Kind::Unsupported, message)
}

/// Nothing, if it would block.
fn moved<T, E: TcpError>(done: nb::Result<T, E>) -> Result<Option<T>, TransportError> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(nb::Error::WouldBlock) => Ok(None),
        Err(nb::Error::Other(error)) => Err(failed(&error)),
    }
}

fn failed(error: &impl TcpError) -> TransportError {
    match error.kind() {
        TcpErrorKind::PipeClosed => TransportError::from(Kind::Closed),
        _ => {
            let message = text(format_args!("the network stack says {error:?}"));
            TransportError::new(Kind::Failed, message)
        }
    }
}
