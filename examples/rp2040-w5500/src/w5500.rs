//! A TCP stack over the WIZnet W5500: [`TcpClientStack`] over its registers, IPv4 only, without interrupts.
//!
//! The chip does TCP by itself, so nothing need be polled between calls. `tests/board_w5500.rs` runs this file
//! against an imitated chip. What a method returns, where `embedded-nal` leaves it open:
//!
//! | event | result |
//! |---|---|
//! | nothing received yet, send buffer full, connecting | `WouldBlock` |
//! | peer closed or reset, and all that was received has been read | [`ChipError::Closed`], kind `PipeClosed` |
//! | connection refused, or the chip's retries are over | [`ChipError::Refused`] |
//! | all sockets in use | [`ChipError::NoSocket`] |
//! | `close` | returns the socket to the pool whatever happens; blocks for at most [`CLOSE_MS`] |

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use embedded_nal::{TcpClientStack, TcpError, TcpErrorKind, nb};
use w5500_ll::net::Eui48Addr;
use w5500_ll::{
    BufferSize, Mode, Protocol, Registers, Sn, SocketCommand, SocketInterrupt, SocketMode,
    SocketStatus,
};

/// Sockets in the pool. Each has half of 8 KB for each direction, and so all of the chip's 32 KB are used.
pub const SOCKETS: usize = 4;
/// The longest time that `close` waits for the peer, in milliseconds; then the connection is dropped.
pub const CLOSE_MS: u64 = 500;

const BUFFER: BufferSize = BufferSize::KB4;
/// First of the ports that are free for any client (RFC 6335, section 6).
const FIRST_LOCAL_PORT: u16 = 49152;
/// Reads of a register before the chip is taken for dead. A command is accepted within microseconds.
const MAX_TRIES: u32 = 1000;

/// The board's addresses, and where its connections start.
#[derive(Debug, Clone, Copy)]
pub struct ChipConfig {
    pub mac: [u8; 6],
    pub address: Ipv4Addr,
    pub mask: Ipv4Addr,
    pub gateway: Ipv4Addr,
    /// Chooses the first local port; must differ from boot to boot.
    pub seed: u16,
}

/// A socket of the pool. Dropping it does not free it: give it to `close`.
#[derive(Debug)]
pub struct TcpSocket {
    slot: usize,
}

/// What went wrong in the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChipError {
    /// Every socket of the pool is in use.
    NoSocket,
    /// The chip has no IPv6.
    Ipv4Only,
    /// The peer refused the connection, or did not answer.
    Refused,
    /// The connection is at its end, or never was.
    Closed,
    /// SPI failed, or the chip does not accept a command.
    NotResponding,
}

impl TcpError for ChipError {
    fn kind(&self) -> TcpErrorKind {
        match self {
            Self::Closed => TcpErrorKind::PipeClosed,
            _ => TcpErrorKind::Other,
        }
    }
}

/// One socket's place in the pool.
#[derive(Clone, Copy, Default)]
struct Slot {
    in_use: bool,
    /// `connect` has been asked for, so that a second call waits rather than starts again.
    started: bool,
    /// The chip has a command to send that it has not confirmed. It must not get another one.
    sending: bool,
}

/// The chip and its sockets.
pub struct W5500<R> {
    chip: R,
    /// Milliseconds since reset.
    uptime_ms: fn() -> u64,
    slots: [Slot; SOCKETS],
    next_port: u16,
}

impl<R: Registers> W5500<R> {
    /// Resets the chip and tells it the board's addresses.
    ///
    /// # Errors
    ///
    /// [`ChipError::NotResponding`] when there is no such chip.
    pub fn new(
        mut chip: R,
        config: &ChipConfig,
        uptime_ms: fn() -> u64,
    ) -> Result<Self, ChipError> {
        configure(&mut chip, config)?;
        Ok(Self {
            chip,
            uptime_ms,
            slots: [Slot::default(); SOCKETS],
            next_port: FIRST_LOCAL_PORT + config.seed % (u16::MAX - FIRST_LOCAL_PORT),
        })
    }

    /// Whether the cable is in.
    pub fn has_link(&mut self) -> bool {
        let status = self.chip.phycfgr();
        status.is_ok_and(|status| status.lnk() == w5500_ll::LinkStatus::Up)
    }

    fn start_connecting(&mut self, slot: usize, remote: SocketAddr) -> Result<(), ChipError> {
        let IpAddr::V4(address) = remote.ip() else {
            return Err(ChipError::Ipv4Only);
        };
        let (socket, port) = (number(slot), self.take_port());
        // Acknowledged at once: most of what comes is waited for.
        let mode = SocketMode::DEFAULT.set_protocol(Protocol::Tcp).enable_nd();
        checked(self.chip.set_sn_mr(socket, mode))?;
        checked(self.chip.set_sn_port(socket, port))?;
        checked(self.chip.set_sn_ir(socket, u8::MAX))?;
        self.command(slot, SocketCommand::Open)?;
        checked(self.chip.set_sn_dipr(socket, &address))?;
        checked(self.chip.set_sn_dport(socket, remote.port()))?;
        self.command(slot, SocketCommand::Connect)?;
        self.slots[slot].started = true;
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

    /// Gives a command, and waits until the chip has accepted it.
    fn command(&mut self, slot: usize, command: SocketCommand) -> Result<(), ChipError> {
        let socket = number(slot);
        checked(self.chip.set_sn_cr(socket, command))?;
        for _ in 0..MAX_TRIES {
            if checked(self.chip.sn_cr(socket))? == 0 {
                return Ok(());
            }
        }
        Err(ChipError::NotResponding)
    }

    fn status(&mut self, slot: usize) -> Result<SocketStatus, ChipError> {
        let status = checked(self.chip.sn_sr(number(slot)))?;
        // Others are shown for moments, in between.
        Ok(status.unwrap_or(SocketStatus::SynSent))
    }

    /// Whether the chip has sent what it was asked to. It must be asked for nothing more until then.
    fn has_sent(&mut self, slot: usize) -> Result<bool, ChipError> {
        if !self.slots[slot].sending {
            return Ok(true);
        }
        let raised = checked(self.chip.sn_ir(number(slot)))?;
        if !raised.sendok_raised() {
            return Ok(false);
        }
        let sent = SocketInterrupt::SENDOK_MASK;
        checked(self.chip.set_sn_ir(number(slot), sent))?;
        self.slots[slot].sending = false;
        Ok(true)
    }

    /// Bytes received and not read.
    fn unread(&mut self, slot: usize) -> Result<usize, ChipError> {
        self.settled(|chip| chip.sn_rx_rsr(number(slot)))
    }

    /// Room in the send buffer.
    fn room(&mut self, slot: usize) -> Result<usize, ChipError> {
        self.settled(|chip| chip.sn_tx_fsr(number(slot)))
    }

    /// A register that changes while it is read, so two reads must agree.
    fn settled(
        &mut self,
        read: impl Fn(&mut R) -> Result<u16, R::Error>,
    ) -> Result<usize, ChipError> {
        let mut before = checked(read(&mut self.chip))?;
        for _ in 0..MAX_TRIES {
            let after = checked(read(&mut self.chip))?;
            if after == before {
                return Ok(usize::from(after));
            }
            before = after;
        }
        Err(ChipError::NotResponding)
    }

    fn write(&mut self, slot: usize, bytes: &[u8]) -> Result<(), ChipError> {
        let socket = number(slot);
        let place = checked(self.chip.sn_tx_wr(socket))?;
        // The chip wraps the place at the end of its buffer.
        checked(self.chip.set_sn_tx_buf(socket, place, bytes))?;
        let place = place.wrapping_add(bytes.len() as u16);
        checked(self.chip.set_sn_tx_wr(socket, place))?;
        self.command(slot, SocketCommand::Send)?;
        self.slots[slot].sending = true;
        Ok(())
    }

    fn read(&mut self, slot: usize, out: &mut [u8]) -> Result<(), ChipError> {
        let socket = number(slot);
        let place = checked(self.chip.sn_rx_rd(socket))?;
        checked(self.chip.sn_rx_buf(socket, place, out))?;
        let place = place.wrapping_add(out.len() as u16);
        checked(self.chip.set_sn_rx_rd(socket, place))?;
        self.command(slot, SocketCommand::Recv)
    }

    /// Takes the connection down in order, as far as the time allows.
    fn finish(&mut self, slot: usize) -> Result<(), ChipError> {
        if self.status(slot)? == SocketStatus::Closed {
            return Ok(());
        }
        let deadline = (self.uptime_ms)() + CLOSE_MS;
        // The end of what is being sent would be lost with a connection that is closed too early.
        while !self.has_sent(slot)? && (self.uptime_ms)() < deadline {
            if self.status(slot)? == SocketStatus::Closed {
                return Ok(());
            }
        }
        self.command(slot, SocketCommand::Disconnect)?;
        while !is_over(self.status(slot)?) && (self.uptime_ms)() < deadline {}
        Ok(())
    }
}

impl<R: Registers> TcpClientStack for W5500<R> {
    type TcpSocket = TcpSocket;
    type Error = ChipError;

    fn socket(&mut self) -> Result<TcpSocket, ChipError> {
        let slot = self.slots.iter().position(|slot| !slot.in_use);
        let slot = slot.ok_or(ChipError::NoSocket)?;
        self.slots[slot] = Slot {
            in_use: true,
            ..Slot::default()
        };
        Ok(TcpSocket { slot })
    }

    fn connect(&mut self, socket: &mut TcpSocket, remote: SocketAddr) -> nb::Result<(), ChipError> {
        if !self.slots[socket.slot].started {
            self.start_connecting(socket.slot, remote)?;
        }
        match self.status(socket.slot)? {
            SocketStatus::Established | SocketStatus::CloseWait => Ok(()),
            SocketStatus::Closed => Err(ChipError::Refused.into()),
            _ => Err(nb::Error::WouldBlock),
        }
    }

    fn send(&mut self, socket: &mut TcpSocket, bytes: &[u8]) -> nb::Result<usize, ChipError> {
        if !may_send(self.status(socket.slot)?) {
            return Err(ChipError::Closed.into());
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        if !self.has_sent(socket.slot)? {
            return Err(nb::Error::WouldBlock);
        }
        let len = self.room(socket.slot)?.min(bytes.len());
        if len == 0 {
            return Err(nb::Error::WouldBlock);
        }
        self.write(socket.slot, &bytes[..len])?;
        Ok(len)
    }

    fn receive(&mut self, socket: &mut TcpSocket, out: &mut [u8]) -> nb::Result<usize, ChipError> {
        if out.is_empty() {
            return Ok(0);
        }
        // Before what is unread: data that comes in between is not mistaken for the end.
        let status = self.status(socket.slot)?;
        let len = self.unread(socket.slot)?.min(out.len());
        if len > 0 {
            self.read(socket.slot, &mut out[..len])?;
            return Ok(len);
        }
        match status {
            SocketStatus::Established => Err(nb::Error::WouldBlock),
            _ => Err(ChipError::Closed.into()),
        }
    }

    fn close(&mut self, socket: TcpSocket) -> Result<(), ChipError> {
        let started = self.slots[socket.slot].started;
        let finished = if started {
            self.finish(socket.slot)
        } else {
            Ok(())
        };
        // Whatever came before, the socket of the chip is free after this.
        let closed = self.command(socket.slot, SocketCommand::Close);
        self.slots[socket.slot].in_use = false;
        finished.and(closed)
    }
}

fn configure<R: Registers>(chip: &mut R, config: &ChipConfig) -> Result<(), ChipError> {
    checked(chip.set_mr(Mode::DEFAULT.rst()))?;
    let is_reset = |chip: &mut R| chip.mr().is_ok_and(|mode| u8::from(mode) & 0x80 == 0);
    if !(0..MAX_TRIES).any(|_| is_reset(chip)) {
        return Err(ChipError::NotResponding);
    }
    const VERSION: u8 = 4;
    if checked(chip.version())? != VERSION {
        return Err(ChipError::NotResponding);
    }
    checked(chip.set_shar(&Eui48Addr { octets: config.mac }))?;
    checked(chip.set_sipr(&config.address))?;
    checked(chip.set_subr(&config.mask))?;
    checked(chip.set_gar(&config.gateway))?;
    for socket in w5500_ll::SOCKETS {
        let size = match usize::from(u8::from(socket)) < SOCKETS {
            true => BUFFER,
            false => BufferSize::KB0,
        };
        checked(chip.set_sn_rxbuf_size(socket, size))?;
        checked(chip.set_sn_txbuf_size(socket, size))?;
    }
    Ok(())
}

/// What SPI itself says is of no use to a program.
fn checked<T, E>(result: Result<T, E>) -> Result<T, ChipError> {
    result.map_err(|_| ChipError::NotResponding)
}

fn number(slot: usize) -> Sn {
    w5500_ll::SOCKETS[slot]
}

/// The chip sends as long as this side has not closed.
fn may_send(status: SocketStatus) -> bool {
    matches!(status, SocketStatus::Established | SocketStatus::CloseWait)
}

/// Both sides have said that they are done. The last wait of TIME-WAIT is left out: its port comes back only after
/// 16,383 others.
fn is_over(status: SocketStatus) -> bool {
    matches!(status, SocketStatus::Closed | SocketStatus::TimeWait)
}
