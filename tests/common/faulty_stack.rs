//! A TCP stack in memory, in either dialect of `embedded-nal`, that is slow, short or cut where a
//! test wants it. Its other end is a [`Peer`], its clock stands still between waits.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use embedded_nal::{AddrType, Dns, TcpClientStack, TcpError, TcpErrorKind, nb};
use natsbridge::adapter::{Platform, PlatformError};
use natsbridge::board::embedded_nal;

/// What a server does.
pub trait Peer {
    /// A client has connected: what it is greeted with.
    fn connected(&mut self) -> Vec<u8>;
    /// The client has sent something: what it is answered.
    fn sent(&mut self, bytes: &[u8]) -> Vec<u8>;
}

/// How a stack says things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// As std-embedded-nal: `WouldBlock` for nothing, `Ok(0)` for the end.
    Std,
    /// As smoltcp-nal: `Ok(0)` for nothing, `PipeClosed` for the end.
    Smoltcp,
}

pub const DIALECTS: [Dialect; 2] = [Dialect::Std, Dialect::Smoltcp];

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The peer closes it: what is sent then is answered with a reset.
    Close,
    Reset,
    /// Nothing is heard any more, and nothing arrives.
    Silence,
}

pub const CUTS: [Cut; 3] = [Cut::Close, Cut::Reset, Cut::Silence];

/// What becomes of a connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connect {
    /// It succeeds after so many calls.
    After(u32),
    Refused,
    Never,
}

/// What goes wrong, from the next call on.
#[derive(Debug, Clone)]
pub struct Faults {
    pub connect: Connect,
    /// The same for IPv6.
    pub connect_v6: Connect,
    /// The most bytes that one send takes.
    pub max_send: usize,
    /// The most bytes that one receive gives.
    pub max_receive: usize,
    /// How many calls in vain there are before each that moves something.
    pub stalls: u32,
    /// How long one byte takes to arrive.
    pub trickle: Duration,
    /// How the connection ends once so many bytes were sent on it, or received.
    pub cut: Option<Cut>,
    pub cut_after_sent: usize,
    pub cut_after_received: usize,
    /// Once so many bytes were sent on a connection, or a few more, there is no room for others.
    pub full_after_sent: usize,
    /// What the peer said shows only when a send has failed.
    pub late: bool,
    /// Names have an IPv4 address, found after so many calls; `None`: they have none.
    pub dns: Option<u32>,
    /// Names have an IPv6 address.
    pub dns_v6: bool,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            connect: Connect::After(0),
            connect_v6: Connect::After(0),
            max_send: usize::MAX,
            max_receive: usize::MAX,
            stalls: 0,
            trickle: Duration::ZERO,
            cut: None,
            cut_after_sent: usize::MAX,
            cut_after_received: usize::MAX,
            full_after_sent: usize::MAX,
            late: false,
            dns: None,
            dns_v6: false,
        }
    }
}

/// A clock that only waiting moves, and looking at it, by a hundredth of a millisecond: an endless
/// loop that looks at it ends. It counts what happens between two waits, as a watchdog would.
#[derive(Clone, Default)]
pub struct Clock(Rc<Time>);

#[derive(Default)]
struct Time {
    micros: Cell<u64>,
    /// Bytes moved since the last wait, and the most between two of them.
    moved: Cell<usize>,
    most_moved: Cell<usize>,
    waited_at: Cell<u64>,
    longest_gap: Cell<u64>,
}

impl Clock {
    pub fn now(&self) -> Duration {
        Duration::from_micros(self.0.micros.get())
    }

    /// The most bytes that moved between two waits.
    pub fn most_moved(&self) -> usize {
        self.0.most_moved.get()
    }

    /// The longest time between two waits.
    pub fn longest_gap(&self) -> Duration {
        Duration::from_micros(self.0.longest_gap.get())
    }

    /// Lets time pass without a wait.
    pub fn pass(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let time = &self.0;
        time.micros.set(time.micros.get().saturating_add(micros));
    }

    fn moved(&self, count: usize) {
        let time = &self.0;
        time.moved.set(time.moved.get() + count);
        let most = time.most_moved.get().max(time.moved.get());
        time.most_moved.set(most);
    }

    /// Runs `call`, and makes sure that it takes no longer than `limit` and a little.
    pub fn within<T>(&self, limit: Duration, call: impl FnOnce() -> T) -> T {
        let started = self.now();
        let done = call();
        let taken = self.now() - started;
        assert!(
            taken <= limit + Duration::from_millis(5),
            "{taken:?} of {limit:?}"
        );
        done
    }
}

impl Platform for Clock {
    fn unix_millis(&self) -> u64 {
        0
    }

    fn uptime_millis(&self) -> u64 {
        self.pass(Duration::from_micros(10));
        self.0.micros.get() / 1000
    }

    fn wait(&self, duration: Duration) {
        let time = &self.0;
        let gap = time.micros.get() - time.waited_at.get();
        time.longest_gap.set(time.longest_gap.get().max(gap));
        self.pass(duration);
        time.moved.set(0);
        time.waited_at.set(time.micros.get());
    }

    fn random(&self, out: &mut [u8]) -> Result<(), PlatformError> {
        self.pass(Duration::from_micros(1));
        for (byte, clock) in out.iter_mut().zip(self.0.micros.get().to_le_bytes()) {
            *byte = clock;
        }
        Ok(())
    }
}

/// The stack. Clones are the same stack.
pub struct FaultyStack<P>(Rc<RefCell<World<P>>>);

impl<P> Clone for FaultyStack<P> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

struct World<P> {
    dialect: Dialect,
    clock: Clock,
    peer: P,
    faults: Faults,
    pool: usize,
    sockets: BTreeMap<u32, Connection>,
    next_socket: u32,
    calls: u32,
    received: usize,
    /// Addresses of the connections that were made.
    remotes: Vec<SocketAddr>,
    /// Names that were looked up.
    names: Vec<String>,
}

#[derive(Default)]
struct Connection {
    is_up: bool,
    to_client: VecDeque<u8>,
    next_byte: Duration,
    sent: usize,
    received: usize,
    ended: Option<Cut>,
    has_failed: bool,
}

/// What the stack fails with.
#[derive(Debug, Clone, Copy)]
pub struct StackError(TcpErrorKind, &'static str);

impl TcpError for StackError {
    fn kind(&self) -> TcpErrorKind {
        self.0
    }
}

const CLOSED: StackError = StackError(TcpErrorKind::PipeClosed, "Closed");
const RESET: StackError = StackError(TcpErrorKind::Other, "ConnectionReset");
const REFUSED: StackError = StackError(TcpErrorKind::Other, "ConnectionRefused");
const NO_SOCKET: StackError = StackError(TcpErrorKind::Other, "NoSocket");

/// Bytes that a peer's host takes before its silence shows.
const WINDOW: usize = 1000;

impl<P: Peer> FaultyStack<P> {
    /// A stack of two sockets.
    pub fn new(dialect: Dialect, clock: &Clock, peer: P) -> Self {
        Self(Rc::new(RefCell::new(World {
            dialect,
            clock: clock.clone(),
            peer,
            faults: Faults::default(),
            pool: 2,
            sockets: BTreeMap::new(),
            next_socket: 0,
            calls: 0,
            received: 0,
            remotes: Vec::new(),
            names: Vec::new(),
        })))
    }

    pub fn set(&self, faults: Faults) {
        self.0.borrow_mut().faults = faults;
    }

    /// Sockets that nobody has.
    pub fn free(&self) -> usize {
        let world = self.0.borrow();
        world.pool - world.sockets.len()
    }

    /// Connections that were made so far.
    pub fn connects(&self) -> usize {
        self.0.borrow().remotes.len()
    }

    /// Bytes that were received so far.
    pub fn received(&self) -> usize {
        self.0.borrow().received
    }

    /// The address of the last connection that was made.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.0.borrow().remotes.last().copied()
    }

    /// Names that the stack was asked for so far, with repetitions.
    pub fn names(&self) -> Vec<String> {
        self.0.borrow().names.clone()
    }

    /// Sockets that were asked for so far.
    pub fn attempts(&self) -> u32 {
        self.0.borrow().next_socket
    }

    /// Looks at the peer, or changes it.
    pub fn peer<T>(&self, look: impl FnOnce(&mut P) -> T) -> T {
        look(&mut self.0.borrow_mut().peer)
    }

    /// The peer says something by itself, on every connection.
    pub fn say(&self, bytes: &[u8]) {
        let mut world = self.0.borrow_mut();
        for connection in world.sockets.values_mut().filter(|socket| socket.is_up) {
            connection.to_client.extend(bytes);
        }
    }

    /// All connections end.
    pub fn cut(&self, cut: Cut) {
        let mut world = self.0.borrow_mut();
        for connection in world.sockets.values_mut().filter(|socket| socket.is_up) {
            connection.end(cut);
        }
    }
}

impl Connection {
    fn end(&mut self, cut: Cut) {
        self.ended = Some(cut);
        if cut != Cut::Close {
            self.to_client.clear();
        }
    }
}

impl<P: Peer> World<P> {
    /// Whether this call is one in vain.
    fn stalls(&mut self) -> bool {
        self.calls = self.calls.wrapping_add(1);
        !self.calls.is_multiple_of(self.faults.stalls + 1)
    }

    fn nothing(&self) -> nb::Result<usize, StackError> {
        match self.dialect {
            Dialect::Std => Err(nb::Error::WouldBlock),
            Dialect::Smoltcp => Ok(0),
        }
    }

    fn reset(&self) -> nb::Error<StackError> {
        nb::Error::Other(match self.dialect {
            Dialect::Std => RESET,
            Dialect::Smoltcp => CLOSED,
        })
    }

    fn connect(&mut self, id: u32, remote: SocketAddr) -> nb::Result<(), StackError> {
        let connect = match remote {
            SocketAddr::V4(_) => &mut self.faults.connect,
            SocketAddr::V6(_) => &mut self.faults.connect_v6,
        };
        match *connect {
            Connect::Refused if self.dialect == Dialect::Std => {
                return Err(nb::Error::Other(REFUSED));
            }
            // smoltcp-nal tries again and again.
            Connect::Refused | Connect::Never => return Err(nb::Error::WouldBlock),
            Connect::After(calls) if calls > 0 => {
                *connect = Connect::After(calls - 1);
                return Err(nb::Error::WouldBlock);
            }
            Connect::After(_) => {}
        }
        self.remotes.push(remote);
        let connection = self.sockets.get_mut(&id).expect("a socket of ours");
        connection.is_up = true;
        connection.to_client.extend(self.peer.connected());
        Ok(())
    }

    fn send(&mut self, id: u32, bytes: &[u8]) -> nb::Result<usize, StackError> {
        let stalls = self.stalls();
        let connection = self.sockets.get_mut(&id).expect("a socket of ours");
        let ended = connection.ended;
        if ended == Some(Cut::Reset) {
            connection.has_failed = true;
            return Err(self.reset());
        }
        let is_full = connection.sent >= self.faults.full_after_sent;
        if stalls || is_full || bytes.is_empty() {
            return self.nothing();
        }
        let connection = self.sockets.get_mut(&id).expect("a socket of ours");
        assert!(connection.is_up, "not connected");
        let mut count = bytes.len().min(self.faults.max_send);
        match ended {
            // What came before can still be received.
            Some(Cut::Close) => connection.ended = Some(Cut::Reset),
            Some(_) => {
                count = count.min(WINDOW.saturating_sub(connection.sent));
                if count == 0 {
                    return self.nothing();
                }
            }
            None => {
                count = count.min(self.faults.cut_after_sent - connection.sent);
                let answer = self.peer.sent(&bytes[..count]);
                connection.to_client.extend(answer);
            }
        }
        connection.sent += count;
        self.clock.moved(count);
        self.cut_where_wanted(id);
        Ok(count)
    }

    fn receive(&mut self, id: u32, out: &mut [u8]) -> nb::Result<usize, StackError> {
        self.cut_where_wanted(id);
        if self.faults.late && !self.sockets[&id].has_failed {
            return self.nothing();
        }
        if out.is_empty() {
            return Ok(0);
        }
        let stalls = self.stalls();
        let now = self.clock.now();
        let connection = self.sockets.get_mut(&id).expect("a socket of ours");
        assert!(connection.is_up, "not connected");
        let mut count = out.len().min(connection.to_client.len());
        count = count.min(self.faults.max_receive);
        count = count.min(self.faults.cut_after_received - connection.received);
        if count > 0 && !self.faults.trickle.is_zero() {
            count = usize::from(now >= connection.next_byte);
            connection.next_byte =
                connection.next_byte.max(now) + self.faults.trickle * count as u32;
        }
        if count > 0 && !stalls {
            for (byte, received) in out.iter_mut().zip(connection.to_client.drain(..count)) {
                *byte = received;
            }
            connection.received += count;
            self.received += count;
            self.clock.moved(count);
            self.cut_where_wanted(id);
            return Ok(count);
        }
        match connection.ended {
            Some(Cut::Close) if connection.to_client.is_empty() => match self.dialect {
                Dialect::Std => Ok(0),
                Dialect::Smoltcp => Err(nb::Error::Other(CLOSED)),
            },
            Some(Cut::Reset) => Err(self.reset()),
            _ => self.nothing(),
        }
    }

    /// A cut happens once: what is connected then is whole.
    fn cut_where_wanted(&mut self, id: u32) {
        let faults = &mut self.faults;
        let connection = self.sockets.get_mut(&id).expect("a socket of ours");
        let was_received = connection.received >= faults.cut_after_received;
        let is_there = connection.sent >= faults.cut_after_sent || was_received;
        if let Some(cut) = faults.cut.take_if(|_| is_there) {
            if was_received {
                connection.to_client.clear();
            }
            (faults.cut_after_sent, faults.cut_after_received) = (usize::MAX, usize::MAX);
            connection.end(cut);
        }
    }
}

impl<P: Peer> TcpClientStack for FaultyStack<P> {
    type TcpSocket = u32;
    type Error = StackError;

    fn socket(&mut self) -> Result<u32, StackError> {
        let mut world = self.0.borrow_mut();
        if world.sockets.len() == world.pool {
            return Err(NO_SOCKET);
        }
        world.next_socket += 1;
        let id = world.next_socket;
        world.sockets.insert(id, Connection::default());
        Ok(id)
    }

    fn connect(&mut self, socket: &mut u32, remote: SocketAddr) -> nb::Result<(), StackError> {
        self.0.borrow_mut().connect(*socket, remote)
    }

    fn send(&mut self, socket: &mut u32, bytes: &[u8]) -> nb::Result<usize, StackError> {
        self.0.borrow_mut().send(*socket, bytes)
    }

    fn receive(&mut self, socket: &mut u32, out: &mut [u8]) -> nb::Result<usize, StackError> {
        self.0.borrow_mut().receive(*socket, out)
    }

    fn close(&mut self, socket: u32) -> Result<(), StackError> {
        let closed = self.0.borrow_mut().sockets.remove(&socket);
        closed.map(drop).expect("a socket is closed once");
        // Some stacks say so of a connection that the peer has closed.
        Err(CLOSED)
    }
}

impl<P: Peer> Dns for FaultyStack<P> {
    type Error = &'static str;

    fn get_host_by_name(&mut self, name: &str, kind: AddrType) -> nb::Result<IpAddr, &'static str> {
        let mut world = self.0.borrow_mut();
        world.names.push(name.to_string());
        let is_v4 = kind == AddrType::IPv4;
        let faults = &mut world.faults;
        match &mut faults.dns {
            Some(0) if is_v4 => Ok(Ipv4Addr::LOCALHOST.into()),
            Some(calls) if is_v4 => {
                *calls -= 1;
                Err(nb::Error::WouldBlock)
            }
            _ if !is_v4 && faults.dns_v6 => Ok(Ipv6Addr::LOCALHOST.into()),
            _ => Err(nb::Error::Other("NoSuchName")),
        }
    }

    fn get_host_by_address(&mut self, _: IpAddr, _: &mut [u8]) -> nb::Result<usize, &'static str> {
        Err(nb::Error::Other("NoSuchAddress"))
    }
}
