//! natsbridge on a WIZnet W5500-EVB-Pico: RP2040 (Cortex-M0+) and W5500. It sends a message every ten seconds, and answers
//! what is asked of it.
//!
//! **Not tried on hardware.** It builds, and its TCP stack, `w5500.rs`, passes the tests of `tests/board_w5500` over an
//! imitated chip. Pins, clocks and SPI are by the board's schematic and the HAL's documentation.
//!
//! Set the addresses below to those of your network, then `cargo run --release` with `probe-rs` as cargo's runner, or
//! convert the program with `elf2uf2-rs`. Its log lines come over RTT, encoded by `defmt`.

#![no_std]
#![no_main]

mod logger;
mod platform;
mod w5500;

use core::net::Ipv4Addr;
use core::panic::PanicInfo;
use core::time::Duration;

use cortex_m::peripheral::SCB;
use defmt_rtt as _;
use embedded_alloc::LlffHeap;
use embedded_hal::delay::DelayNs;
use embedded_hal_bus::spi::ExclusiveDevice;
use embedded_nal::SharableStack;
use hal::clocks::init_clocks_and_plls;
use hal::fugit::{ExtU32, RateExtU32};
use hal::gpio::{FunctionSpi, Pins};
use hal::{Clock, Sio, Spi, Timer, Watchdog, pac, rosc::RingOscillator};
use natsbridge::board::{HttpClient, NatsClient, NatsOptions};
use natsbridge::{Error, HttpPut, Limits, NatsBridge, Payload, ReceiveOptions, SendOptions};
use rp2040_hal as hal;
use w5500_ll::Registers;
use w5500_ll::eh1::vdm;

use platform::Board;
use w5500::{ChipConfig, W5500};

const NATS: &str = "nats://192.168.1.10:4222";
const FILES: &str = "http://192.168.1.10:8080/files";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 50);
const MASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
/// One of those that anybody may use in their own network.
const MAC: [u8; 6] = [0x02, 0x00, 0x00, 0x55, 0x00, 0x01];

/// 150 KB: a message of 50,000 bytes is received in 70 KB.
const HEAP_LEN: usize = 150 * 1024;
const CRYSTAL_HZ: u32 = 12_000_000;
/// Longer than any call of the stack blocks, which `platform.rs` cannot feed the watchdog in.
const WATCHDOG_S: u32 = 5;
const PERIOD: Duration = Duration::from_secs(10);

/// Second-stage boot loader for the board's flash chip.
#[unsafe(link_section = ".boot2")]
#[used]
pub static BOOT2_FIRMWARE: [u8; 256] = rp2040_boot2::BOOT_LOADER_W25Q080;

#[global_allocator]
static HEAP: LlffHeap = LlffHeap::empty();

#[hal::entry]
fn main() -> ! {
    start_heap();
    logger::start();
    let mut device = pac::Peripherals::take().expect("taken here only");
    let mut watchdog = Watchdog::new(device.WATCHDOG);
    let clocks = init_clocks_and_plls(
        CRYSTAL_HZ,
        device.XOSC,
        device.CLOCKS,
        device.PLL_SYS,
        device.PLL_USB,
        &mut device.RESETS,
        &mut watchdog,
    );
    let clocks = clocks.expect("the crystal starts");
    let timer = Timer::new(device.TIMER, &mut device.RESETS, &clocks);
    let oscillator = RingOscillator::new(device.ROSC).initialize();
    let sio = Sio::new(device.SIO);
    let pins = Pins::new(
        device.IO_BANK0,
        device.PADS_BANK0,
        sio.gpio_bank0,
        &mut device.RESETS,
    );

    let mut reset = pins.gpio20.into_push_pull_output();
    let mut delay = timer;
    // An output pin of this chip cannot fail.
    w5500_ll::eh1::reset(&mut reset, &mut delay).ok();
    delay.delay_ms(50);
    let lines = (
        pins.gpio19.into_function::<FunctionSpi>(),
        pins.gpio16.into_function::<FunctionSpi>(),
        pins.gpio18.into_function::<FunctionSpi>(),
    );
    let bus = Spi::<_, _, _, 8>::new(device.SPI0, lines).init(
        &mut device.RESETS,
        clocks.peripheral_clock.freq(),
        20.MHz(),
        embedded_hal::spi::MODE_0,
    );
    let select = pins.gpio17.into_push_pull_output();
    let spi = ExclusiveDevice::new(bus, select, timer).expect("an output pin cannot fail");

    watchdog.start(WATCHDOG_S.secs());
    let board = Board::new(timer, oscillator, watchdog);
    run(vdm::W5500::new(spi), &board)
}

/// Serves until something fails, and then starts again.
fn run(chip: impl Registers, board: &Board) -> ! {
    let config = ChipConfig {
        mac: MAC,
        address: ADDRESS,
        mask: MASK,
        gateway: GATEWAY,
        seed: board.random_u16(),
    };
    let mut chip = W5500::new(chip, &config, platform::uptime_ms).expect("the W5500 answers");
    while !chip.has_link() {
        board.feed_watchdog();
    }
    let network = SharableStack::new(chip);
    loop {
        if let Err(error) = serve(&network, board) {
            defmt::warn!("{}", defmt::Display2Format(&error));
        }
    }
}

fn serve<R: Registers>(network: &SharableStack<W5500<R>>, board: &Board) -> Result<(), Error> {
    let nats = NatsClient::new(network.acquire(), board, NatsOptions::new(NATS));
    let http = HttpClient::new(network.acquire(), board);
    let files = HttpPut::new(http, board, FILES)?;
    let mut bridge = NatsBridge::new(nats, files, board).with_limits(Limits::micropython());
    bridge.subscribe("pico.echo", None)?;
    loop {
        let payloads = [("uptime", Payload::text("alive"))];
        bridge.smartsend("pico.alive", &payloads, &SendOptions::default())?;
        if let Some(mut message) = bridge.next_message(PERIOD)? {
            let question = bridge.receive_in_place(&mut message, &ReceiveOptions::default());
            let answered = question.and_then(|question| {
                bridge.reply(&question, &question.list(), &SendOptions::default())
            });
            // It may be no message of natsbridge, or ask for no answer. A lost connection fails the next send.
            if let Err(error) = answered {
                defmt::warn!("{}", defmt::Display2Format(&error));
            }
        }
    }
}

fn start_heap() {
    use core::mem::MaybeUninit;
    static mut ARENA: [MaybeUninit<u8>; HEAP_LEN] = [MaybeUninit::uninit(); HEAP_LEN];
    // SAFETY: nothing else names the arena, and this runs once.
    unsafe { HEAP.init(&raw mut ARENA as usize, HEAP_LEN) };
}

/// Says what is wrong and starts the board again.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    defmt::error!("{}", defmt::Display2Format(info));
    SCB::sys_reset()
}
