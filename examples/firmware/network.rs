//! The board's network as the emulator lays it out.

use smoltcp::wire::Ipv4Address;

use crate::board;
use crate::machine::{self, Ethernet, FrameBuffers};
use crate::stack::{SocketBuffers, SocketTable, Stack, StackConfig};

pub type Network = Stack<Ethernet>;

/// What the emulator has instead of a router. Its ports are those of the host's 127.0.0.1.
pub const HOST: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
/// The address that the emulator expects the board at.
const OWN: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);

/// Starts the chip and the TCP stack over it.
///
/// # Panics
///
/// When there is no such chip, or it does not answer.
pub fn start(
    frames: &'static mut FrameBuffers,
    table: &'static mut SocketTable,
    buffers: &'static mut SocketBuffers,
) -> Network {
    let (chip, mac) = machine::ethernet(frames);
    let config = StackConfig {
        mac,
        address: OWN,
        prefix_len: 24,
        gateway: HOST,
        seed: board::random_u64(),
    };
    Stack::new(chip, &config, table, buffers)
}
