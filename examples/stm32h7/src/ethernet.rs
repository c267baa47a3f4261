//! The HAL's Ethernet is a [`Device`](smoltcp_hal::phy::Device) of smoltcp 0.11, the stack wants one of smoltcp 0.14.

use smoltcp::phy::{Device, DeviceCapabilities, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp_hal::phy as hal;

/// An Ethernet device of smoltcp 0.11 as one of smoltcp 0.14. Checksums are computed in software.
pub struct Ethernet<D>(pub D);

impl<D: hal::Device> Device for Ethernet<D> {
    type RxToken<'a>
        = Received<D::RxToken<'a>>
    where
        Self: 'a;
    type TxToken<'a>
        = Outgoing<D::TxToken<'a>>
    where
        Self: 'a;

    fn receive(&mut self, now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let (received, outgoing) = self.0.receive(hal_instant(now))?;
        Some((Received(received), Outgoing(outgoing)))
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        self.0.transmit(hal_instant(now)).map(Outgoing)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let theirs = self.0.capabilities();
        let mut capabilities = DeviceCapabilities::default();
        capabilities.max_transmission_unit = theirs.max_transmission_unit;
        capabilities.max_burst_size = theirs.max_burst_size;
        capabilities
    }
}

fn hal_instant(now: Instant) -> smoltcp_hal::time::Instant {
    smoltcp_hal::time::Instant::from_micros(now.total_micros())
}

/// A frame that was received.
pub struct Received<T>(T);

impl<T: hal::RxToken> RxToken for Received<T> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        self.0.consume(|frame| read(frame))
    }
}

/// Room for a frame to be sent.
pub struct Outgoing<T>(T);

impl<T: hal::TxToken> TxToken for Outgoing<T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        self.0.consume(len, write)
    }
}
