//! A W5500 by its data sheet, as far as `w5500.rs` uses it. Each socket of the chip is one of the operating system.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::rc::Rc;

use w5500_ll::{Reg, Registers, SnReg, SocketCommand, SocketInterrupt, SocketStatus};

const SOCKETS: usize = 8;
const COMMON_LEN: usize = 0x40;
const SOCKET_LEN: usize = 0x30;
const BUFFER_LEN: usize = 4096;
/// Where the places in the buffers start: they wrap soon.
const FIRST_PLACE: u16 = u16::MAX - 1000;

/// Clones are the same chip.
#[derive(Clone)]
pub struct Chip(Rc<RefCell<State>>);

struct State {
    common: [u8; COMMON_LEN],
    sockets: [Socket; SOCKETS],
}

/// A bus without a chip.
pub struct Absent;

impl Registers for Absent {
    type Error = Infallible;

    fn read(&mut self, _: u16, _: u8, data: &mut [u8]) -> Result<(), Infallible> {
        data.fill(0);
        Ok(())
    }

    fn write(&mut self, _: u16, _: u8, _: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Chip {
    pub fn new() -> Self {
        let mut common = [0; COMMON_LEN];
        common[Reg::VERSIONR.addr() as usize] = 4;
        let sockets = std::array::from_fn(|_| Socket::new());
        Self(Rc::new(RefCell::new(State { common, sockets })))
    }

    /// Whether a socket has something to send that its peer does not take.
    pub fn is_stuck(&self) -> bool {
        self.0.borrow().sockets.iter().any(|socket| socket.is_stuck)
    }

    /// As after a time-out: the peer is gone, and what was to be sent is not confirmed.
    pub fn lose_connections(&self) {
        let mut state = self.0.borrow_mut();
        state.sockets.iter_mut().for_each(Socket::lose);
    }
}

impl Registers for Chip {
    type Error = Infallible;

    fn read(&mut self, address: u16, block: u8, data: &mut [u8]) -> Result<(), Infallible> {
        let State { common, sockets } = &mut *self.0.borrow_mut();
        let socket = usize::from(block / 4);
        match block % 4 {
            0 => data.copy_from_slice(&common[address.into()..][..data.len()]),
            1 => sockets[socket].read(address.into(), data),
            _ => {
                let bytes = wrapping(address, data.len()).map(|at| sockets[socket].received[at]);
                data.iter_mut()
                    .zip(bytes)
                    .for_each(|(out, byte)| *out = byte);
            }
        }
        Ok(())
    }

    fn write(&mut self, address: u16, block: u8, data: &[u8]) -> Result<(), Infallible> {
        let State { common, sockets } = &mut *self.0.borrow_mut();
        let socket = &mut sockets[usize::from(block / 4)];
        match block % 4 {
            // A reset is over at once.
            0 if address == Reg::MR.addr() => {}
            0 => common[address.into()..][..data.len()].copy_from_slice(data),
            1 => socket.write(address, data),
            _ => {
                for (at, byte) in wrapping(address, data.len()).zip(data) {
                    socket.outgoing[at] = *byte;
                }
            }
        }
        Ok(())
    }
}

/// Places of a buffer, from any place on.
fn wrapping(place: u16, len: usize) -> impl Iterator<Item = usize> {
    (0..len).map(move |offset| (usize::from(place) + offset) % BUFFER_LEN)
}

struct Socket {
    registers: [u8; SOCKET_LEN],
    status: SocketStatus,
    interrupts: u8,
    stream: Option<TcpStream>,
    received: [u8; BUFFER_LEN],
    outgoing: [u8; BUFFER_LEN],
    /// What has been received, and what of it the driver has done with.
    received_end: u16,
    received_start: u16,
    /// What has been sent, and up to where the driver asked for it.
    sent: u16,
    to_send: u16,
    is_stuck: bool,
}

impl Socket {
    fn new() -> Self {
        Self {
            registers: [0; SOCKET_LEN],
            status: SocketStatus::Closed,
            interrupts: 0,
            stream: None,
            received: [0; BUFFER_LEN],
            outgoing: [0; BUFFER_LEN],
            received_end: 0,
            received_start: 0,
            sent: 0,
            to_send: 0,
            is_stuck: false,
        }
    }

    fn read(&mut self, address: usize, data: &mut [u8]) {
        self.move_bytes();
        let unread = self.received_end.wrapping_sub(self.received_start);
        let room = BUFFER_LEN as u16 - self.to_send.wrapping_sub(self.sent);
        self.set(SnReg::SR, &[self.status.into()]);
        self.set(SnReg::IR, &[self.interrupts]);
        self.set(SnReg::RX_RSR0, &unread.to_be_bytes());
        self.set(SnReg::TX_FSR0, &room.to_be_bytes());
        data.copy_from_slice(&self.registers[address..][..data.len()]);
    }

    fn write(&mut self, address: u16, data: &[u8]) {
        if address == SnReg::CR.addr() {
            self.command(data[0]);
        } else if address == SnReg::IR.addr() {
            self.interrupts &= !data[0];
        } else {
            self.registers[address.into()..][..data.len()].copy_from_slice(data);
        }
    }

    fn set(&mut self, register: SnReg, bytes: &[u8]) {
        self.registers[register.addr().into()..][..bytes.len()].copy_from_slice(bytes);
    }

    fn get(&self, register: SnReg) -> u16 {
        let at = usize::from(register.addr());
        u16::from_be_bytes([self.registers[at], self.registers[at + 1]])
    }

    fn command(&mut self, command: u8) {
        const OPEN: u8 = SocketCommand::Open as u8;
        const CONNECT: u8 = SocketCommand::Connect as u8;
        const DISCONNECT: u8 = SocketCommand::Disconnect as u8;
        const CLOSE: u8 = SocketCommand::Close as u8;
        const SEND: u8 = SocketCommand::Send as u8;
        const RECEIVE: u8 = SocketCommand::Recv as u8;
        match command {
            OPEN => self.open(),
            CONNECT => self.connect(),
            DISCONNECT => self.disconnect(),
            CLOSE => self.end(),
            SEND => {
                let is_free = self.sent == self.to_send;
                assert!(is_free, "it is asked to send before it has sent");
                self.to_send = self.get(SnReg::TX_WR0);
            }
            RECEIVE => self.received_start = self.get(SnReg::RX_RD0),
            other => panic!("command {other:#04x}"),
        }
    }

    fn open(&mut self) {
        self.end();
        self.status = SocketStatus::Init;
        (self.received_start, self.received_end) = (FIRST_PLACE, FIRST_PLACE);
        (self.sent, self.to_send) = (FIRST_PLACE, FIRST_PLACE);
        self.set(SnReg::RX_RD0, &FIRST_PLACE.to_be_bytes());
        self.set(SnReg::TX_WR0, &FIRST_PLACE.to_be_bytes());
    }

    fn connect(&mut self) {
        assert_eq!(self.status, SocketStatus::Init, "it must be open");
        let at = usize::from(SnReg::DIPR0.addr());
        let address: [u8; 4] = self.registers[at..at + 4].try_into().unwrap();
        let remote = (Ipv4Addr::from(address), self.get(SnReg::DPORT0));
        self.status = match TcpStream::connect(remote) {
            Ok(stream) => {
                stream.set_nonblocking(true).unwrap();
                self.stream = Some(stream);
                SocketStatus::Established
            }
            Err(_) => SocketStatus::Closed,
        };
    }

    fn disconnect(&mut self) {
        if let Some(stream) = &self.stream {
            // An error means that there is no connection any more.
            let _ = stream.shutdown(Shutdown::Write);
        }
        match self.status {
            SocketStatus::CloseWait => self.end(),
            _ => self.status = SocketStatus::FinWait,
        }
    }

    fn end(&mut self) {
        self.stream = None;
        self.status = SocketStatus::Closed;
    }

    fn lose(&mut self) {
        self.end();
        self.interrupts |= SocketInterrupt::TIMEOUT_MASK;
    }

    fn move_bytes(&mut self) {
        self.receive();
        self.send();
    }

    fn receive(&mut self) {
        let unread = self.received_end.wrapping_sub(self.received_start);
        let mut part = vec![0; BUFFER_LEN - usize::from(unread)];
        let (Some(stream), false) = (&mut self.stream, part.is_empty()) else {
            return;
        };
        match (stream.read(&mut part), self.status) {
            (Ok(0), SocketStatus::Established) => self.status = SocketStatus::CloseWait,
            (Ok(0), SocketStatus::FinWait) => self.end(),
            (Ok(len), _) => {
                for (at, byte) in wrapping(self.received_end, len).zip(part) {
                    self.received[at] = byte;
                }
                self.received_end = self.received_end.wrapping_add(len as u16);
            }
            (Err(error), _) if error.kind() == ErrorKind::WouldBlock => {}
            (Err(_), _) => self.lose(),
        }
    }

    fn send(&mut self) {
        let len = usize::from(self.to_send.wrapping_sub(self.sent));
        let part: Vec<u8> = wrapping(self.sent, len)
            .map(|at| self.outgoing[at])
            .collect();
        let (Some(stream), true) = (&mut self.stream, len > 0) else {
            return;
        };
        match stream.write(&part) {
            Ok(count) => {
                self.is_stuck = false;
                self.sent = self.sent.wrapping_add(count as u16);
                if count == len {
                    self.interrupts |= SocketInterrupt::SENDOK_MASK;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_stuck = true,
            Err(_) => self.lose(),
        }
    }
}
