//! What natsbridge needs of the RP2040.

use core::time::Duration;

use natsbridge::adapter::{Platform, PlatformError};
use rp2040_hal::rosc::{Enabled, RingOscillator};
use rp2040_hal::{Timer, Watchdog, pac};

/// Bits of the ring oscillator that become one: single ones follow each other too closely.
const BITS_FOR_ONE: usize = 64;

pub struct Board {
    timer: Timer,
    oscillator: RingOscillator<Enabled>,
    watchdog: Watchdog,
}

impl Board {
    pub fn new(timer: Timer, oscillator: RingOscillator<Enabled>, watchdog: Watchdog) -> Self {
        Self {
            timer,
            oscillator,
            watchdog,
        }
    }

    pub fn feed_watchdog(&self) {
        self.watchdog.feed();
    }

    pub fn random_u16(&self) -> u16 {
        u16::from_le_bytes([self.random_byte(), self.random_byte()])
    }

    fn random_byte(&self) -> u8 {
        let bit = || (0..BITS_FOR_ONE).fold(false, |odd, _| odd ^ self.oscillator.get_random_bit());
        (0..8).fold(0, |byte, _| byte << 1 | u8::from(bit()))
    }
}

/// Milliseconds since reset, for the stack.
pub fn uptime_ms() -> u64 {
    // SAFETY: the registers are read only, and `Timer` starts the counter first.
    let timer = unsafe { &*pac::TIMER::PTR };
    loop {
        let high = timer.timerawh().read().bits();
        let low = timer.timerawl().read().bits();
        // Otherwise the lower half has wrapped meanwhile.
        if timer.timerawh().read().bits() == high {
            return (u64::from(high) << 32 | u64::from(low)) / 1000;
        }
    }
}

impl Platform for Board {
    /// The chip has no clock that runs without power: timestamps are of 1970, unless a program asks SNTP and adds what
    /// that said.
    fn unix_millis(&self) -> u64 {
        self.uptime_millis()
    }

    fn uptime_millis(&self) -> u64 {
        self.timer.get_counter().ticks() / 1000
    }

    /// Called wherever nothing moves, so a program that hangs elsewhere is started again.
    fn wait(&self, duration: Duration) {
        self.watchdog.feed();
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let until = self.timer.get_counter().ticks().saturating_add(micros);
        while self.timer.get_counter().ticks() < until {}
    }

    /// Good enough for ids and inboxes in a network of one's own. Whoever can guess the oscillator's bits can guess
    /// them, so not for keys: TLS is not for this chip anyway.
    fn random(&self, out: &mut [u8]) -> Result<(), PlatformError> {
        out.fill_with(|| self.random_byte());
        Ok(())
    }
}
