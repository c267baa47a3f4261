//! A blocking connection over non-blocking TCP: the only file that mentions `nb`.
//!
//! `embedded-nal` leaves open how a stack says some things, and stacks differ: "nothing yet" is
//! `WouldBlock` on one and `Ok(0)` on another, where `Ok(0)` may also be the end of the stream; a
//! connect to a closed port fails, or never ends. So `WouldBlock` and `Ok(0)` both mean here that
//! nothing moved, and every loop has a deadline. Between two attempts the platform waits, which is
//! where a board polls its stack.

use alloc::string::String;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use embedded_nal::{AddrType, Dns, TcpClientStack, TcpErrorKind, nb};

use super::text;
use crate::cause::debug_tells_causes;
use crate::platform::Platform;
use crate::trace::Escaped;

/// The pause between two attempts at something that does not move: 1 ms.
const PAUSE: Duration = Duration::from_millis(1);
/// The longest name that can be looked up, in bytes (RFC 1035 section 2.3.4).
const MAX_NAME_LEN: usize = 255;

/// A moment of the platform's monotonic clock, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// The moment `wait` after this one; one that no clock can hold never comes.
    pub(crate) fn after(self, wait: Duration) -> Self {
        // Rounded up: a wait is never shorter than it was asked for.
        let part = wait.subsec_nanos().div_ceil(1_000_000);
        let whole = wait.as_secs().saturating_mul(1000);
        Self(self.0.saturating_add(whole).saturating_add(part.into()))
    }

    fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Why a socket did not do what it should.
#[derive(thiserror::Error)]
pub(crate) enum SocketError {
    #[error("the time limit is over")]
    TimedOut,
    #[error("the peer closed the connection")]
    Closed,
    #[error("the network stack says {}", Escaped(.0))]
    Failed(String),
    #[error("there is no connection")]
    NotOpen,
    #[error("`{}` is no IP address, and names are looked up only after `with_dns`", Escaped(.0))]
    NoDns(String),
    #[error("`{}` cannot be looked up: {}", Escaped(name), Escaped(fault))]
    NotFound { name: String, fault: String },
}

debug_tells_causes!(SocketError);

impl SocketError {
    fn of(error: &impl embedded_nal::TcpError) -> Self {
        match error.kind() {
            TcpErrorKind::PipeClosed => Self::Closed,
            _ => Self::Failed(text(format_args!("{error:?}"))),
        }
    }
}

/// What moved first.
pub(crate) enum Moved {
    Sent(usize),
    Received(usize),
}

type Lookup<S> = fn(&mut S, &str, AddrType) -> nb::Result<IpAddr, String>;

/// A stack, at most one connection of it, and the platform that tells and passes the time.
pub(crate) struct Socket<S: TcpClientStack, P> {
    pub(crate) stack: S,
    pub(crate) platform: P,
    /// The only place where a socket of the stack is kept: what is in it is closed exactly once.
    open: Option<S::TcpSocket>,
    lookup: Option<Lookup<S>>,
    /// This stack says `WouldBlock` where nothing has come yet.
    says_would_block: bool,
    may_have_ended: bool,
}

impl<S: TcpClientStack, P: Platform> Socket<S, P> {
    pub(crate) fn new(stack: S, platform: P) -> Self {
        Self {
            stack,
            platform,
            open: None,
            lookup: None,
            says_would_block: false,
            may_have_ended: false,
        }
    }

    /// Looks up names with the stack from now on.
    pub(crate) fn use_dns(&mut self)
    where
        S: Dns,
    {
        self.lookup = Some(|stack, name, kind| {
            let address = stack.get_host_by_name(name, kind);
            address.map_err(|error| error.map(|error| text(format_args!("{error:?}"))))
        });
    }

    pub(crate) fn now(&self) -> Moment {
        Moment(self.platform.uptime_millis())
    }

    pub(crate) fn deadline(&self, wait: Duration) -> Moment {
        self.now().after(wait)
    }

    pub(crate) fn is_over(&self, deadline: Moment) -> bool {
        self.now() >= deadline
    }

    pub(crate) fn left(&self, deadline: Moment) -> Duration {
        deadline.since(self.now())
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether the stack has said what on some stacks is the end of the stream. On others it means
    /// nothing, so it is a reason to ask the peer, not to give up.
    pub(crate) fn may_have_ended(&self) -> bool {
        self.may_have_ended
    }

    /// The address of `host`, which is an IP address, or a name for the stack's DNS.
    pub(crate) fn address(
        &mut self,
        host: &str,
        port: u16,
        deadline: Moment,
    ) -> Result<SocketAddr, SocketError> {
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let address = match bare.unwrap_or(host).parse() {
            Ok(address) => address,
            Err(_) => self.look_up(host, deadline)?,
        };
        Ok(SocketAddr::new(address, port))
    }

    /// IPv4 first: there are boards that have nothing else.
    fn look_up(&mut self, name: &str, deadline: Moment) -> Result<IpAddr, SocketError> {
        let shown = || text(format_args!("{name}"));
        let Some(lookup) = self.lookup else {
            return Err(SocketError::NoDns(shown()));
        };
        let mut fault = String::from("the name is too long");
        let kinds = [AddrType::IPv4, AddrType::IPv6];
        for kind in kinds.iter().filter(|_| name.len() <= MAX_NAME_LEN) {
            let found = self.until(deadline, |socket| {
                match lookup(&mut socket.stack, name, kind.clone()) {
                    Ok(address) => Ok(Some(Ok(address))),
                    Err(nb::Error::WouldBlock) => Ok(None),
                    Err(nb::Error::Other(fault)) => Ok(Some(Err(fault))),
                }
            });
            match found? {
                Ok(address) => return Ok(address),
                Err(first) if *kind == AddrType::IPv4 => fault = first,
                Err(_) => {}
            }
        }
        let name = shown();
        Err(SocketError::NotFound { name, fault })
    }

    /// Connects. Whatever was open before is closed.
    pub(crate) fn connect(
        &mut self,
        remote: SocketAddr,
        deadline: Moment,
    ) -> Result<(), SocketError> {
        self.disconnect();
        match self.stack.socket() {
            Ok(socket) => self.open = Some(socket),
            Err(error) => return Err(SocketError::of(&error)),
        }
        let connected = self.until(deadline, |socket| {
            let Some(open) = &mut socket.open else {
                return Err(SocketError::NotOpen);
            };
            moved(socket.stack.connect(open, remote))
        });
        connected.inspect_err(|_| self.disconnect())
    }

    /// Hands bytes to the stack without waiting, and says how many it took.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> Result<usize, SocketError> {
        let Some(socket) = &mut self.open else {
            return Err(SocketError::NotOpen);
        };
        let sent = moved(self.stack.send(socket, bytes))?;
        Ok(sent.map_or(0, |count| count.min(bytes.len())))
    }

    /// Takes bytes that have come without waiting, and says how many.
    pub(crate) fn try_receive(&mut self, out: &mut [u8]) -> Result<usize, SocketError> {
        let Some(socket) = &mut self.open else {
            return Err(SocketError::NotOpen);
        };
        let received = moved(self.stack.receive(socket, out))?;
        match received {
            None => self.says_would_block = true,
            Some(0) => self.may_have_ended = self.says_would_block,
            Some(_) => self.may_have_ended = false,
        }
        Ok(received.map_or(0, |count| count.min(out.len())))
    }

    /// Sends all of `bytes`, or fails with [`SocketError::TimedOut`], however slowly they go.
    pub(crate) fn send_all(
        &mut self,
        mut bytes: &[u8],
        deadline: Moment,
    ) -> Result<(), SocketError> {
        while !bytes.is_empty() {
            if self.is_over(deadline) {
                return Err(SocketError::TimedOut);
            }
            match self.try_send(bytes)? {
                0 => self.platform.wait(PAUSE),
                count => bytes = &bytes[count..],
            }
        }
        Ok(())
    }

    /// Receives what there is; 0 if nothing came until `deadline`. Looks at least once.
    pub(crate) fn receive(
        &mut self,
        out: &mut [u8],
        deadline: Moment,
    ) -> Result<usize, SocketError> {
        let some = |count| (count > 0).then_some(count);
        match self.until(deadline, |socket| socket.try_receive(out).map(some)) {
            Err(SocketError::TimedOut) => Ok(0),
            received => received,
        }
    }

    /// Sends some of `bytes`, unless there is something to receive.
    pub(crate) fn send_or_receive(
        &mut self,
        bytes: &[u8],
        out: &mut [u8],
        deadline: Moment,
    ) -> Result<Moved, SocketError> {
        self.until(deadline, |socket| {
            // A peer that answers early may be one that reads no further.
            match socket.try_receive(out) {
                Ok(count) if count > 0 => return Ok(Some(Moved::Received(count))),
                _ => {}
            }
            let sent = socket.try_send(bytes)?;
            Ok((sent > 0).then_some(Moved::Sent(sent)))
        })
    }

    /// Attempts something until it comes to an end or `deadline` has come, but at least once.
    fn until<T>(
        &mut self,
        deadline: Moment,
        mut attempt: impl FnMut(&mut Self) -> Result<Option<T>, SocketError>,
    ) -> Result<T, SocketError> {
        loop {
            if let Some(done) = attempt(self)? {
                return Ok(done);
            }
            if self.is_over(deadline) {
                return Err(SocketError::TimedOut);
            }
            self.platform.wait(PAUSE);
        }
    }
}

impl<S: TcpClientStack, P> Socket<S, P> {
    /// Gives the socket back to the stack. The only place that does.
    pub(crate) fn disconnect(&mut self) {
        if let Some(socket) = self.open.take() {
            // Whatever the stack says to it, the socket is no longer ours.
            self.stack.close(socket).ok();
        }
        self.may_have_ended = false;
    }
}

impl<S: TcpClientStack, P> Drop for Socket<S, P> {
    fn drop(&mut self) {
        self.disconnect();
    }
}

/// Nothing, if it would block.
fn moved<T, E: embedded_nal::TcpError>(done: nb::Result<T, E>) -> Result<Option<T>, SocketError> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(nb::Error::WouldBlock) => Ok(None),
        Err(nb::Error::Other(error)) => Err(SocketError::of(&error)),
    }
}
