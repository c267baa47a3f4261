//! Driver of virtio's network device over memory-mapped registers, as a smoltcp [`Device`]: polled, no interrupts.
//!
//! By the specification of virtio 1.1, sections 2.6, 4.2 and 5.1: split queues, no offloads. The device is one of
//! version 2, which QEMU offers with `-global virtio-mmio.force-legacy=false`.

use core::fmt;
use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{Ordering, fence};

use smoltcp::phy::{Device, DeviceCapabilities, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::EthernetAddress;

/// Byte offsets of the registers; every access but those of the address is 32 bits wide.
mod register {
    pub const MAGIC: usize = 0x000;
    pub const VERSION: usize = 0x004;
    pub const DEVICE_ID: usize = 0x008;
    pub const DEVICE_FEATURES: usize = 0x010;
    pub const DEVICE_FEATURES_SELECT: usize = 0x014;
    pub const DRIVER_FEATURES: usize = 0x020;
    pub const DRIVER_FEATURES_SELECT: usize = 0x024;
    pub const QUEUE_SELECT: usize = 0x030;
    pub const QUEUE_MAX: usize = 0x034;
    pub const QUEUE_LEN: usize = 0x038;
    pub const QUEUE_READY: usize = 0x044;
    pub const QUEUE_NOTIFY: usize = 0x050;
    pub const STATUS: usize = 0x070;
    pub const QUEUE_DESCRIPTORS: usize = 0x080;
    pub const QUEUE_AVAILABLE: usize = 0x090;
    pub const QUEUE_USED: usize = 0x0A0;
    pub const MAC_ADDRESS: usize = 0x100;
}

const MAGIC_VALUE: u32 = 0x7472_6976;
const VERSION_MODERN: u32 = 2;
const ID_NETWORK: u32 = 1;
const STATUS_ACKNOWLEDGE: u32 = 1;
const STATUS_DRIVER: u32 = 2;
const STATUS_DRIVER_OK: u32 = 4;
const STATUS_FEATURES_OK: u32 = 8;
/// In the lower 32 features: the device knows its address.
const FEATURE_MAC: u32 = 1 << 5;
/// In the upper ones: version 1 of the specification or later.
const FEATURE_VERSION_1: u32 = 1;
const RECEIVE_QUEUE: u32 = 0;
const SEND_QUEUE: u32 = 1;
/// A buffer that the device writes.
const DESCRIPTOR_WRITE: u16 = 2;
/// The device need not interrupt.
const AVAILABLE_NO_INTERRUPT: u16 = 1;

/// Longest frame: header of 14 bytes and 1500 bytes of payload. The device strips checksums.
const MAX_FRAME: usize = 1514;
/// What stands before each frame. All zero: nothing is left to the device.
const HEADER_LEN: usize = 12;
const BUFFER_LEN: usize = HEADER_LEN + MAX_FRAME;
/// Buffers in each direction, a power of two.
const SLOTS: usize = 8;
/// Frames that a peer may have in flight to one socket: those that find no buffer are lost.
const MAX_BURST: usize = 6;

/// The device is not what its driver is for: which step, for the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Unsuitable(pub &'static str);

impl fmt::Debug for Unsuitable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[repr(C, align(16))]
struct Descriptor {
    address: u64,
    len: u32,
    flags: u16,
    next: u16,
}

/// What the driver offers.
#[repr(C, align(2))]
struct Available {
    flags: u16,
    index: u16,
    slots: [u16; SLOTS],
}

#[repr(C)]
struct UsedElement {
    slot: u32,
    len: u32,
}

/// What the device has done with.
#[repr(C, align(4))]
struct Used {
    flags: u16,
    index: u16,
    elements: [UsedElement; SLOTS],
}

/// What driver and device share for one direction.
#[repr(C)]
struct QueueMemory {
    descriptors: [Descriptor; SLOTS],
    available: Available,
    used: Used,
    buffers: [[u8; BUFFER_LEN]; SLOTS],
}

impl QueueMemory {
    const EMPTY: Self = Self {
        descriptors: [const {
            Descriptor {
                address: 0,
                len: 0,
                flags: 0,
                next: 0,
            }
        }; SLOTS],
        available: Available {
            flags: 0,
            index: 0,
            slots: [0; SLOTS],
        },
        used: Used {
            flags: 0,
            index: 0,
            elements: [const { UsedElement { slot: 0, len: 0 } }; SLOTS],
        },
        buffers: [[0; BUFFER_LEN]; SLOTS],
    };
}

/// The frames of both directions and their queues, 25 KB, to be put into a static.
pub struct FrameBuffers {
    receive: QueueMemory,
    send: QueueMemory,
}

impl FrameBuffers {
    pub const EMPTY: Self = Self {
        receive: QueueMemory::EMPTY,
        send: QueueMemory::EMPTY,
    };
}

/// The device and its two queues.
pub struct VirtioNet {
    registers: Registers,
    receive: Queue,
    send: Queue,
    /// The buffer of the last frame that was received, which the device gets back before the next one is read.
    held: Option<usize>,
    /// Buffers that the device sends.
    is_sending: [bool; SLOTS],
}

impl VirtioNet {
    /// Whether the registers at `base` are those of a network device.
    ///
    /// # Safety
    ///
    /// `base` must be the address of registers of virtio.
    pub unsafe fn is_at(base: usize) -> bool {
        let registers = Registers { base };
        registers.read(register::MAGIC) == MAGIC_VALUE
            && registers.read(register::DEVICE_ID) == ID_NETWORK
    }

    /// Resets the device and turns both directions on.
    ///
    /// # Errors
    ///
    /// [`Unsuitable`] where the device is of an older version, or too small.
    ///
    /// # Safety
    ///
    /// `base` must be the address of a network device that nothing else uses while this value lives, and the device
    /// must reach memory at the addresses that the program does.
    pub unsafe fn new(base: usize, memory: &'static mut FrameBuffers) -> Result<Self, Unsuitable> {
        let mut registers = Registers { base };
        registers.negotiate()?;
        let receive = Queue::new(&mut registers, RECEIVE_QUEUE, &mut memory.receive)?;
        let send = Queue::new(&mut registers, SEND_QUEUE, &mut memory.send)?;
        registers.add_status(STATUS_DRIVER_OK);
        let mut device = Self {
            registers,
            receive,
            send,
            held: None,
            is_sending: [false; SLOTS],
        };
        for slot in 0..SLOTS {
            device.offer_to_receive(slot);
        }
        Ok(device)
    }

    /// The address of the device, from its own registers.
    pub fn mac_address(&self) -> EthernetAddress {
        let mut address = [0; 6];
        for (place, byte) in address.iter_mut().enumerate() {
            *byte = self.registers.read_byte(register::MAC_ADDRESS + place);
        }
        EthernetAddress(address)
    }

    fn offer_to_receive(&mut self, slot: usize) {
        self.receive.offer(slot, BUFFER_LEN, DESCRIPTOR_WRITE);
        self.registers.write(register::QUEUE_NOTIFY, RECEIVE_QUEUE);
    }

    /// Room for a frame to send, if the device has none of it left to do.
    fn outgoing(&mut self) -> Option<usize> {
        while let Some((slot, _)) = self.send.take() {
            self.is_sending[slot] = false;
        }
        self.is_sending.iter().position(|is_sending| !is_sending)
    }
}

impl Device for VirtioNet {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received<'_>, Outgoing<'_>)> {
        if let Some(slot) = self.held.take() {
            self.offer_to_receive(slot);
        }
        // Answers are sent while the frame is held, so there must be room for one.
        let free = self.outgoing()?;
        let (slot, len) = self.receive.take()?;
        self.held = Some(slot);
        let frame = HEADER_LEN..len.clamp(HEADER_LEN, BUFFER_LEN);
        let received = Received(&self.receive.buffer(slot)[frame]);
        let outgoing = Outgoing {
            registers: &mut self.registers,
            queue: &mut self.send,
            is_sending: &mut self.is_sending,
            slot: free,
        };
        Some((received, outgoing))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Outgoing<'_>> {
        let slot = self.outgoing()?;
        Some(Outgoing {
            registers: &mut self.registers,
            queue: &mut self.send,
            is_sending: &mut self.is_sending,
            slot,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.max_transmission_unit = MAX_FRAME;
        capabilities.max_burst_size = Some(MAX_BURST);
        capabilities
    }
}

/// A frame in the buffer that it was received in.
pub struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// Room for one frame.
pub struct Outgoing<'a> {
    registers: &'a mut Registers,
    queue: &'a mut Queue,
    is_sending: &'a mut [bool; SLOTS],
    slot: usize,
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        // smoltcp keeps to max_transmission_unit, which is the size of the buffer. The header stays zero.
        let result = write(&mut self.queue.buffer(self.slot)[HEADER_LEN..HEADER_LEN + len]);
        self.is_sending[self.slot] = true;
        self.queue.offer(self.slot, HEADER_LEN + len, 0);
        self.registers.write(register::QUEUE_NOTIFY, SEND_QUEUE);
        result
    }
}

/// One direction. Each slot is a buffer and its descriptor, of the driver's or of the device's at a time.
struct Queue {
    memory: *mut QueueMemory,
    /// How many slots have been offered, and how many came back.
    offered: u16,
    taken: u16,
}

impl Queue {
    fn new(
        registers: &mut Registers,
        number: u32,
        memory: &'static mut QueueMemory,
    ) -> Result<Self, Unsuitable> {
        for (descriptor, buffer) in memory.descriptors.iter_mut().zip(&memory.buffers) {
            descriptor.address = address(buffer);
        }
        memory.available.flags = AVAILABLE_NO_INTERRUPT;
        registers.write(register::QUEUE_SELECT, number);
        if (registers.read(register::QUEUE_MAX) as usize) < SLOTS {
            return Err(Unsuitable("its queues are too short"));
        }
        registers.write(register::QUEUE_LEN, SLOTS as u32);
        registers.write_address(register::QUEUE_DESCRIPTORS, address(&memory.descriptors));
        registers.write_address(register::QUEUE_AVAILABLE, address(&memory.available));
        registers.write_address(register::QUEUE_USED, address(&memory.used));
        registers.write(register::QUEUE_READY, 1);
        Ok(Self {
            memory,
            offered: 0,
            taken: 0,
        })
    }

    /// Gives a slot to the device.
    fn offer(&mut self, slot: usize, len: usize, flags: u16) {
        // SAFETY: `memory` was a static reference that nobody else has, and the device only reads these. The slot is
        // the driver's, and its number is below `SLOTS`.
        unsafe {
            let descriptor = &raw mut (*self.memory).descriptors[slot];
            write_volatile(&raw mut (*descriptor).len, len as u32);
            write_volatile(&raw mut (*descriptor).flags, flags);
            let available = &raw mut (*self.memory).available;
            let place = &raw mut (*available).slots[usize::from(self.offered) % SLOTS];
            write_volatile(place, slot as u16);
            self.offered = self.offered.wrapping_add(1);
            // What was written before must be seen before the index, and that before the device is notified.
            fence(Ordering::SeqCst);
            write_volatile(&raw mut (*available).index, self.offered);
        }
        fence(Ordering::SeqCst);
    }

    /// Takes a slot that the device has done with, and how much the device wrote.
    fn take(&mut self) -> Option<(usize, usize)> {
        // SAFETY: `memory` was a static reference that nobody else has; the device writes these, hence volatile.
        unsafe {
            let used = &raw const (*self.memory).used;
            if read_volatile(&raw const (*used).index) == self.taken {
                return None;
            }
            // The index must be seen before what it stands for.
            fence(Ordering::SeqCst);
            let element = &raw const (*used).elements[usize::from(self.taken) % SLOTS];
            self.taken = self.taken.wrapping_add(1);
            let slot = read_volatile(&raw const (*element).slot) as usize % SLOTS;
            Some((slot, read_volatile(&raw const (*element).len) as usize))
        }
    }

    /// The buffer of a slot that the device has not got.
    fn buffer(&mut self, slot: usize) -> &mut [u8; BUFFER_LEN] {
        // SAFETY: `memory` was a static reference that nobody else has, and the device leaves this buffer alone
        // until it is offered.
        unsafe { &mut (*self.memory).buffers[slot] }
    }
}

/// Where the device finds something. It may be written there.
fn address<T>(place: *const T) -> u64 {
    place.expose_provenance() as u64
}

/// The register block.
struct Registers {
    base: usize,
}

impl Registers {
    fn read(&self, offset: usize) -> u32 {
        // SAFETY: `base` is the device's address (promised to `VirtioNet::new`), `offset` is one of `register`.
        unsafe { read_volatile((self.base + offset) as *const u32) }
    }

    fn read_byte(&self, offset: usize) -> u8 {
        // SAFETY: as in `read`.
        unsafe { read_volatile((self.base + offset) as *const u8) }
    }

    fn write(&mut self, offset: usize, value: u32) {
        // SAFETY: as in `read`; `&mut self` keeps two writers apart.
        unsafe { write_volatile((self.base + offset) as *mut u32, value) }
    }

    fn write_address(&mut self, offset: usize, address: u64) {
        self.write(offset, address as u32);
        self.write(offset + 4, (address >> 32) as u32);
    }

    fn add_status(&mut self, bits: u32) {
        let status = self.read(register::STATUS);
        self.write(register::STATUS, status | bits);
    }

    /// Resets the device, and agrees on what both can do.
    fn negotiate(&mut self) -> Result<(), Unsuitable> {
        if self.read(register::VERSION) != VERSION_MODERN {
            return Err(Unsuitable("it is of a version before 1.0"));
        }
        self.write(register::STATUS, 0);
        self.add_status(STATUS_ACKNOWLEDGE);
        self.add_status(STATUS_DRIVER);
        for (half, wanted) in [(0, FEATURE_MAC), (1, FEATURE_VERSION_1)] {
            self.write(register::DEVICE_FEATURES_SELECT, half);
            if self.read(register::DEVICE_FEATURES) & wanted != wanted {
                return Err(Unsuitable("it has no address of its own"));
            }
            self.write(register::DRIVER_FEATURES_SELECT, half);
            self.write(register::DRIVER_FEATURES, wanted);
        }
        self.add_status(STATUS_FEATURES_OK);
        match self.read(register::STATUS) & STATUS_FEATURES_OK {
            0 => Err(Unsuitable("it does not work without more features")),
            _ => Ok(()),
        }
    }
}
