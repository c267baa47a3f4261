//! What natsbridge and the TCP stack need of the STM32H743.

use core::cell::{OnceCell, RefCell};
use core::time::Duration;

use critical_section::Mutex;
use hal::independent_watchdog::IndependentWatchdog;
use hal::pac::TIM2;
use hal::prelude::*;
use hal::rng::Rng;
use hal::timer::Timer;
use natsbridge::adapter::{Platform, PlatformError, TickCounter};
use stm32h7xx_hal as hal;

struct Clock {
    /// Counts microseconds in 32 bits, so it wraps after 71 minutes.
    timer: Timer<TIM2>,
    micros: TickCounter,
}

static CLOCK: Mutex<OnceCell<Clock>> = Mutex::new(OnceCell::new());

pub struct Board {
    rng: RefCell<Rng>,
    watchdog: RefCell<IndependentWatchdog>,
}

impl Board {
    /// `timer` must count microseconds.
    pub fn new(timer: Timer<TIM2>, rng: Rng, watchdog: IndependentWatchdog) -> Self {
        let micros = TickCounter::new();
        // The first board's timer stays the clock.
        critical_section::with(|cs| CLOCK.borrow(cs).set(Clock { timer, micros }).ok());
        Self {
            rng: RefCell::new(rng),
            watchdog: RefCell::new(watchdog),
        }
    }

    pub fn feed_watchdog(&self) {
        self.watchdog.borrow_mut().feed();
    }

    pub fn random_u64(&self) -> u64 {
        let random = self.rng.borrow_mut().r#gen();
        random.expect("the random generator works")
    }
}

/// Microseconds since the board started. The program must ask more often than every 71 minutes; the watchdog sees to
/// that.
fn uptime_us() -> u64 {
    critical_section::with(|cs| {
        let clock = CLOCK.borrow(cs).get();
        clock.map_or(0, |clock| clock.micros.extend(clock.timer.counter()))
    })
}

/// Milliseconds since the board started, for the stack.
pub fn uptime_ms() -> u64 {
    uptime_us() / 1000
}

impl Platform for Board {
    /// No real-time clock is set up: timestamps are of 1970, unless a program asks SNTP and adds what that said.
    fn unix_millis(&self) -> u64 {
        self.uptime_millis()
    }

    fn uptime_millis(&self) -> u64 {
        uptime_ms()
    }

    /// Called wherever nothing moves, so a program that hangs elsewhere is started again.
    fn wait(&self, duration: Duration) {
        self.feed_watchdog();
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let until = uptime_us().saturating_add(micros);
        while uptime_us() < until {}
    }

    /// From the chip's random generator.
    ///
    /// # Panics
    ///
    /// When the generator finds a fault in itself, which lasts until the board is reset: the panic does that.
    fn random(&self, out: &mut [u8]) -> Result<(), PlatformError> {
        let filled = self.rng.borrow_mut().fill(out);
        filled.expect("the random generator works");
        Ok(())
    }
}
