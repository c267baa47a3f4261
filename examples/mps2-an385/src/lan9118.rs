//! Driver of the SMSC LAN9118 Ethernet controller, as a smoltcp [`Device`]: polled, no interrupts, no DMA.
//!
//! Written for the model in QEMU, which is linked up from the start: a real chip would also need its
//! PHY reset and auto-negotiated.

use core::fmt;

use smoltcp::phy::{Device, DeviceCapabilities, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::EthernetAddress;

/// Byte offsets of the registers; every access is 32 bits wide.
mod register {
    pub const RX_DATA: usize = 0x00;
    pub const TX_DATA: usize = 0x20;
    pub const RX_STATUS: usize = 0x40;
    pub const TX_STATUS: usize = 0x48;
    pub const INT_STS: usize = 0x58;
    pub const INT_EN: usize = 0x5C;
    pub const BYTE_TEST: usize = 0x64;
    pub const RX_CFG: usize = 0x6C;
    pub const TX_CFG: usize = 0x70;
    pub const HW_CFG: usize = 0x74;
    pub const RX_FIFO_INF: usize = 0x7C;
    pub const TX_FIFO_INF: usize = 0x80;
    pub const PMT_CTRL: usize = 0x84;
    pub const MAC_CSR_CMD: usize = 0xA4;
    pub const MAC_CSR_DATA: usize = 0xA8;
    pub const AFC_CFG: usize = 0xAC;
}

/// Registers of the MAC, reached through `MAC_CSR_CMD` and `MAC_CSR_DATA`.
mod mac {
    pub const CONTROL: u32 = 1;
    pub const ADDRESS_HIGH: u32 = 2;
    pub const ADDRESS_LOW: u32 = 3;
}

const BYTE_TEST_VALUE: u32 = 0x8765_4321;
const HW_CFG_SOFT_RESET: u32 = 1;
const HW_CFG_MUST_BE_ONE: u32 = 1 << 20;
const HW_CFG_TX_FIFO_5_KIB: u32 = 5 << 16;
const PMT_READY: u32 = 1;
/// Flow control thresholds that the data sheet recommends.
const AFC_DEFAULT: u32 = 0x006E_3740;
const TX_CFG_ON: u32 = 1 << 1;
const MAC_RX_ON: u32 = 1 << 2;
const MAC_TX_ON: u32 = 1 << 3;
const MAC_FULL_DUPLEX: u32 = 1 << 20;
const MAC_CSR_BUSY: u32 = 1 << 31;
const MAC_CSR_READ: u32 = 1 << 30;
const RX_STATUS_ERROR: u32 = 1 << 15;
const TX_FIRST_SEGMENT: u32 = 1 << 13;
const TX_LAST_SEGMENT: u32 = 1 << 12;

/// Longest frame without its checksum: header of 14 bytes and 1500 bytes of payload.
const MAX_FRAME: usize = 1514;
/// The chip hands the checksum over with each received frame.
const CRC_LEN: usize = 4;
/// Room for the longest frame with its checksum, in whole words.
const BUFFER_LEN: usize = (MAX_FRAME + CRC_LEN).next_multiple_of(4);
/// Frames that a peer may have in flight to one socket. The receive FIFO holds 10,560 bytes, and
/// what does not fit is lost and comes again only after a retransmission time-out.
const MAX_BURST: usize = 6;
/// Reads of a status bit before the chip is taken for dead: the slowest wait is a few milliseconds.
const MAX_TRIES: u32 = 1_000_000;

/// The chip did not answer as its data sheet says: which step, for the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NotResponding(pub &'static str);

impl fmt::Debug for NotResponding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// One frame for each direction, 3 KB, to be put into a static.
pub struct FrameBuffers {
    received: [u8; BUFFER_LEN],
    outgoing: [u8; MAX_FRAME],
}

impl FrameBuffers {
    pub const EMPTY: Self = Self {
        received: [0; BUFFER_LEN],
        outgoing: [0; MAX_FRAME],
    };
}

/// The chip, and the frames that it and the stack are busy with.
pub struct Lan9118 {
    chip: Registers,
    buffers: &'static mut FrameBuffers,
}

impl Lan9118 {
    /// Resets the chip and turns both directions on.
    ///
    /// # Errors
    ///
    /// [`NotResponding`] where there is no such chip, or a step never ends.
    ///
    /// # Safety
    ///
    /// `base` must be the address of a LAN9118 that nothing else uses while this value lives.
    pub unsafe fn new(
        base: usize,
        buffers: &'static mut FrameBuffers,
    ) -> Result<Self, NotResponding> {
        let mut chip = Registers { base };
        chip.reset()?;
        chip.configure()?;
        Ok(Self { chip, buffers })
    }

    /// The address the chip was given, from its own registers.
    ///
    /// # Errors
    ///
    /// [`NotResponding`] when the MAC stays busy.
    pub fn mac_address(&mut self) -> Result<EthernetAddress, NotResponding> {
        let low = self.chip.read_mac(mac::ADDRESS_LOW)?.to_le_bytes();
        let high = self.chip.read_mac(mac::ADDRESS_HIGH)?.to_le_bytes();
        Ok(EthernetAddress([
            low[0], low[1], low[2], low[3], high[0], high[1],
        ]))
    }
}

impl Device for Lan9118 {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received<'_>, Outgoing<'_>)> {
        // Answers are sent while the frame is held, so there must be room for one.
        if !self.chip.has_room() {
            return None;
        }
        let len = self.chip.pop_frame(&mut self.buffers.received)?;
        let received = Received(&self.buffers.received[..len]);
        let outgoing = Outgoing {
            chip: &mut self.chip,
            buffer: &mut self.buffers.outgoing,
        };
        Some((received, outgoing))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Outgoing<'_>> {
        self.chip.has_room().then_some(Outgoing {
            chip: &mut self.chip,
            buffer: &mut self.buffers.outgoing,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.max_transmission_unit = MAX_FRAME;
        capabilities.max_burst_size = Some(MAX_BURST);
        capabilities
    }
}

/// A frame that has been read out of the chip.
pub struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// Room for one frame in the chip.
pub struct Outgoing<'a> {
    chip: &'a mut Registers,
    buffer: &'a mut [u8; MAX_FRAME],
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        // smoltcp keeps to max_transmission_unit, which is the size of the buffer.
        let frame = &mut self.buffer[..len];
        let result = write(frame);
        self.chip.push_frame(frame);
        result
    }
}

/// The register block: what the chip can do, without buffers.
struct Registers {
    base: usize,
}

impl Registers {
    fn read(&self, offset: usize) -> u32 {
        // SAFETY: `base` is the chip's address (promised to `Lan9118::new`), `offset` is one of `register`.
        unsafe { core::ptr::read_volatile((self.base + offset) as *const u32) }
    }

    fn write(&mut self, offset: usize, value: u32) {
        // SAFETY: as in `read`; `&mut self` keeps two writers apart.
        unsafe { core::ptr::write_volatile((self.base + offset) as *mut u32, value) }
    }

    fn wait_until(
        &self,
        what: &'static str,
        is_ready: impl Fn(&Self) -> bool,
    ) -> Result<(), NotResponding> {
        match (0..MAX_TRIES).any(|_| is_ready(self)) {
            true => Ok(()),
            false => Err(NotResponding(what)),
        }
    }

    fn reset(&mut self) -> Result<(), NotResponding> {
        self.wait_until("byte test", |chip| {
            chip.read(register::BYTE_TEST) == BYTE_TEST_VALUE
        })?;
        self.write(register::HW_CFG, HW_CFG_SOFT_RESET);
        self.wait_until("soft reset", |chip| {
            chip.read(register::HW_CFG) & HW_CFG_SOFT_RESET == 0
        })?;
        self.wait_until("power management", |chip| {
            chip.read(register::PMT_CTRL) & PMT_READY != 0
        })
    }

    fn configure(&mut self) -> Result<(), NotResponding> {
        self.write(register::HW_CFG, HW_CFG_MUST_BE_ONE | HW_CFG_TX_FIFO_5_KIB);
        self.write(register::INT_EN, 0);
        self.write(register::INT_STS, u32::MAX);
        self.write(register::AFC_CFG, AFC_DEFAULT);
        self.write(register::RX_CFG, 0);
        self.write(register::TX_CFG, TX_CFG_ON);
        self.write_mac(mac::CONTROL, MAC_RX_ON | MAC_TX_ON | MAC_FULL_DUPLEX)
    }

    fn read_mac(&mut self, index: u32) -> Result<u32, NotResponding> {
        self.write(register::MAC_CSR_CMD, MAC_CSR_BUSY | MAC_CSR_READ | index);
        self.wait_for_mac()?;
        Ok(self.read(register::MAC_CSR_DATA))
    }

    fn write_mac(&mut self, index: u32, value: u32) -> Result<(), NotResponding> {
        self.write(register::MAC_CSR_DATA, value);
        self.write(register::MAC_CSR_CMD, MAC_CSR_BUSY | index);
        self.wait_for_mac()
    }

    fn wait_for_mac(&self) -> Result<(), NotResponding> {
        self.wait_until("MAC register", |chip| {
            chip.read(register::MAC_CSR_CMD) & MAC_CSR_BUSY == 0
        })
    }

    /// Reads frames until one is good, and gives its length without the checksum.
    fn pop_frame(&mut self, buffer: &mut [u8; BUFFER_LEN]) -> Option<usize> {
        while self.received_frames() > 0 {
            let status = self.read(register::RX_STATUS);
            let len = (status >> 16 & 0x3FFF) as usize;
            let is_good = status & RX_STATUS_ERROR == 0 && (CRC_LEN..=BUFFER_LEN).contains(&len);
            // A bad frame is read as well: the model loses count when it is told to skip one.
            self.read_words(len, buffer);
            if is_good {
                return Some(len - CRC_LEN);
            }
        }
        None
    }

    fn received_frames(&self) -> u32 {
        self.read(register::RX_FIFO_INF) >> 16 & 0xFF
    }

    /// Takes `len` bytes out of the receive FIFO; those that do not fit the buffer are dropped.
    fn read_words(&mut self, len: usize, buffer: &mut [u8; BUFFER_LEN]) {
        let mut room = buffer.chunks_exact_mut(4);
        for _ in 0..len.div_ceil(4) {
            let word = self.read(register::RX_DATA);
            if let Some(bytes) = room.next() {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
        }
    }

    /// Whether a frame of any length fits the transmit FIFO, with its two command words.
    fn has_room(&mut self) -> bool {
        let used_statuses = self.read(register::TX_FIFO_INF) >> 16 & 0xFF;
        for _ in 0..used_statuses {
            self.read(register::TX_STATUS);
        }
        let free = self.read(register::TX_FIFO_INF) & 0xFFFF;
        free as usize >= BUFFER_LEN + 8
    }

    fn push_frame(&mut self, frame: &[u8]) {
        let len = frame.len() as u32; // at most MAX_FRAME
        self.write(register::TX_DATA, TX_FIRST_SEGMENT | TX_LAST_SEGMENT | len);
        self.write(register::TX_DATA, len);
        for bytes in frame.chunks(4) {
            let mut word = [0; 4];
            word[..bytes.len()].copy_from_slice(bytes);
            self.write(register::TX_DATA, u32::from_le_bytes(word));
        }
    }
}
