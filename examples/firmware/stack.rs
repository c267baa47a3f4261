//! A blocking-style TCP stack for boards: [`TcpClientStack`] over smoltcp, IPv4 only.
//!
//! Nothing runs behind the caller's back: every method first lets the interface move packets, so a
//! program that waits by trying again makes progress, and one that does not call makes none.
//!
//! What a method gives, where embedded-nal leaves it open:
//!
//! | event | result |
//! |---|---|
//! | nothing received yet, send buffer full, connecting | `WouldBlock` |
//! | peer closed or reset | [`StackError::Closed`], kind `PipeClosed` |
//! | connection refused or given up | [`StackError::Refused`], until the socket is closed |
//! | all sockets in use | [`StackError::NoSocket`] |
//! | `close` | returns the socket to the pool whatever happens; blocks for at most [`CLOSE_MS`] |

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use embedded_nal::{TcpClientStack, TcpError, TcpErrorKind};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::Device;
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpCidr, Ipv4Address};

use crate::board;

/// Sockets in the pool: two message brokers and a file server, or three message brokers.
pub const SOCKETS: usize = 3;
/// Receive buffer of one socket in bytes, and so the largest window it offers: two full segments. All
/// windows together must stay under the 10 KB that the Ethernet chip can hold.
pub const RX_BUFFER: usize = 2 * 1460;
/// Send buffer of one socket in bytes.
pub const TX_BUFFER: usize = 2048;
/// Longest time that `close` waits for the peer, in milliseconds; then the connection is reset.
pub const CLOSE_MS: u64 = 500;

/// First of the ports that are free for any client (RFC 6335, section 6).
const FIRST_LOCAL_PORT: u16 = 49152;
const LOCAL_PORTS: u16 = u16::MAX - FIRST_LOCAL_PORT;

/// Send and receive buffers of the pool, 15 KB with the constants above. To be put into a static: then
/// they cost neither heap nor stack, and being all zero they take no room in the firmware image either.
pub struct SocketBuffers([([u8; RX_BUFFER], [u8; TX_BUFFER]); SOCKETS]);

impl SocketBuffers {
    pub const EMPTY: Self = Self([([0; RX_BUFFER], [0; TX_BUFFER]); SOCKETS]);
}

/// The sockets themselves, less than 1 KB. To be put into a static of its own: it is not all zero.
pub struct SocketTable([SocketStorage<'static>; SOCKETS]);

impl SocketTable {
    pub const EMPTY: Self = Self([SocketStorage::EMPTY; SOCKETS]);
}

/// The board's addresses, and where its connections start.
#[derive(Debug, Clone, Copy)]
pub struct StackConfig {
    pub mac: EthernetAddress,
    pub address: Ipv4Address,
    pub prefix_len: u8,
    pub gateway: Ipv4Address,
    /// Chooses the first local port and TCP's initial sequence numbers; must differ from boot to boot.
    pub seed: u64,
}

/// A socket of the pool. Dropping it does not free it: give it to `close`.
#[derive(Debug)]
pub struct TcpSocket {
    slot: usize,
}

/// What went wrong in the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StackError {
    /// Every socket of the pool is in use.
    NoSocket,
    /// The stack has no IPv6.
    Ipv4Only,
    /// The address or port to connect to is zero.
    Unaddressable,
    /// The peer refused the connection, or did not answer until TCP gave up.
    Refused,
    /// The connection is at its end, or never was.
    Closed,
}

impl TcpError for StackError {
    fn kind(&self) -> TcpErrorKind {
        match self {
            Self::Closed => TcpErrorKind::PipeClosed,
            _ => TcpErrorKind::Other,
        }
    }
}

/// One socket's place in the pool.
#[derive(Clone, Copy)]
struct Slot {
    handle: SocketHandle,
    in_use: bool,
    /// `connect` has been asked for, so that a second call waits rather than starts again.
    started: bool,
}

impl Slot {
    fn new(handle: SocketHandle) -> Self {
        Self {
            handle,
            in_use: false,
            started: false,
        }
    }
}

/// The interface, its device and the pool of sockets.
pub struct Stack<D: Device> {
    interface: Interface,
    device: D,
    sockets: SocketSet<'static>,
    slots: [Slot; SOCKETS],
    next_port: u16,
}

impl<D: Device> Stack<D> {
    /// Sets up the interface and its sockets.
    pub fn new(
        mut device: D,
        config: &StackConfig,
        table: &'static mut SocketTable,
        buffers: &'static mut SocketBuffers,
    ) -> Self {
        let mut link = Config::new(config.mac.into());
        link.random_seed = config.seed;
        let mut interface = Interface::new(link, &mut device, now());
        interface.update_ip_addrs(|addresses| {
            // The list is new and has room for two.
            let _ = addresses.push(IpCidr::new(config.address.into(), config.prefix_len));
        });
        // The table is new and has room for two routes.
        let _ = interface
            .routes_mut()
            .add_default_ipv4_route(config.gateway);
        let mut sockets = SocketSet::new(&mut table.0[..]);
        let slots = buffers
            .0
            .each_mut()
            .map(|(rx, tx)| Slot::new(sockets.add(new_socket(rx, tx))));
        Self {
            interface,
            device,
            sockets,
            slots,
            next_port: FIRST_LOCAL_PORT + (config.seed % u64::from(LOCAL_PORTS)) as u16,
        }
    }

    /// Lets the interface receive and send what it can, without waiting.
    pub fn poll(&mut self) {
        self.interface
            .poll(now(), &mut self.device, &mut self.sockets);
    }

    fn tcp(&mut self, socket: &TcpSocket) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.slots[socket.slot].handle)
    }

    fn start_connecting(
        &mut self,
        socket: &TcpSocket,
        remote: SocketAddr,
    ) -> Result<(), StackError> {
        let IpAddr::V4(address) = remote.ip() else {
            return Err(StackError::Ipv4Only);
        };
        let local_port = self.take_port();
        let handle = self.slots[socket.slot].handle;
        self.sockets
            .get_mut::<tcp::Socket>(handle)
            .connect(
                self.interface.context(),
                (address, remote.port()),
                local_port,
            )
            .map_err(|_| StackError::Unaddressable)?;
        self.slots[socket.slot].started = true;
        self.poll();
        Ok(())
    }

    /// A port not used for as long as possible, so that the peer does not take it for an old connection.
    fn take_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = match port {
            u16::MAX => FIRST_LOCAL_PORT,
            _ => port + 1,
        };
        port
    }

    /// Polls until the connection has been taken down in order, or the time for that is over.
    fn wait_for_close(&mut self, socket: &TcpSocket) {
        let deadline = board::uptime_ms() + CLOSE_MS;
        while !is_over(self.tcp(socket).state()) && board::uptime_ms() < deadline {
            self.poll();
        }
    }
}

impl<D: Device> TcpClientStack for Stack<D> {
    type TcpSocket = TcpSocket;
    type Error = StackError;

    fn socket(&mut self) -> Result<TcpSocket, StackError> {
        self.poll();
        let slot = self
            .slots
            .iter()
            .position(|slot| !slot.in_use)
            .ok_or(StackError::NoSocket)?;
        self.slots[slot].in_use = true;
        self.slots[slot].started = false;
        Ok(TcpSocket { slot })
    }

    fn connect(
        &mut self,
        socket: &mut TcpSocket,
        remote: SocketAddr,
    ) -> nb::Result<(), StackError> {
        self.poll();
        if !self.slots[socket.slot].started {
            self.start_connecting(socket, remote)?;
        }
        let tcp = self.tcp(socket);
        if tcp.may_send() {
            Ok(())
        } else if tcp.is_active() {
            Err(nb::Error::WouldBlock)
        } else {
            Err(StackError::Refused.into())
        }
    }

    fn send(&mut self, socket: &mut TcpSocket, bytes: &[u8]) -> nb::Result<usize, StackError> {
        self.poll();
        if bytes.is_empty() {
            return Ok(0);
        }
        match self.tcp(socket).send_slice(bytes) {
            Ok(0) => Err(nb::Error::WouldBlock),
            Ok(sent) => {
                // On its way now: the caller may have nothing to ask for a while.
                self.poll();
                Ok(sent)
            }
            Err(_) => Err(StackError::Closed.into()),
        }
    }

    fn receive(
        &mut self,
        socket: &mut TcpSocket,
        buffer: &mut [u8],
    ) -> nb::Result<usize, StackError> {
        self.poll();
        if buffer.is_empty() {
            return Ok(0);
        }
        match self.tcp(socket).recv_slice(buffer) {
            Ok(0) => Err(nb::Error::WouldBlock),
            Ok(received) => Ok(received),
            Err(_) => Err(StackError::Closed.into()),
        }
    }

    fn close(&mut self, socket: TcpSocket) -> Result<(), StackError> {
        self.poll();
        self.tcp(&socket).close();
        self.wait_for_close(&socket);
        // Nothing more is expected after TIME-WAIT has begun, and a peer that did not answer is told.
        self.tcp(&socket).abort();
        self.poll();
        self.slots[socket.slot].in_use = false;
        Ok(())
    }
}

/// Takes all sockets that can be had, counts them, and gives them back.
pub fn free_sockets(stack: &mut impl TcpClientStack) -> usize {
    let sockets: Vec<_> = core::iter::from_fn(|| stack.socket().ok()).collect();
    let free = sockets.len();
    for socket in sockets {
        // A socket that was never connected has nobody to say goodbye to.
        let _ = stack.close(socket);
    }
    free
}

fn now() -> Instant {
    // 2^63 milliseconds are longer than the counter lives.
    Instant::from_millis(board::uptime_ms() as i64)
}

/// Both sides have said that they are done. The last wait of TIME-WAIT is left out: a socket of the
/// pool is worth more than the protection it gives, and its port comes back only after 16,383 others.
fn is_over(state: tcp::State) -> bool {
    matches!(state, tcp::State::Closed | tcp::State::TimeWait)
}

fn new_socket(rx: &'static mut [u8], tx: &'static mut [u8]) -> tcp::Socket<'static> {
    let mut socket = tcp::Socket::new(tcp::SocketBuffer::new(rx), tcp::SocketBuffer::new(tx));
    // Requests are written whole, so holding back a short segment only delays the answer.
    socket.set_nagle_enabled(false);
    socket
}
