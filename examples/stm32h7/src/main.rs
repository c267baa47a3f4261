//! natsbridge on an ST NUCLEO-H743ZI2: STM32H743 (Cortex-M7) with its Ethernet, and TCP by smoltcp. It sends a message
//! every ten seconds, and answers what is asked of it.
//!
//! **Not tried on hardware.** It builds; pins, clocks and Ethernet are as in the HAL's example for this board,
//! `ethernet-nucleo-h743zi2`, and its documentation. What that means for each part:
//!
//! | part | what is known |
//! |---|---|
//! | natsbridge, the stack (`../firmware/stack.rs`) | tests run them in QEMU, on this instruction set too |
//! | `ethernet.rs`, between the stack and the HAL's driver | ran once on a host: 200,000 bytes there and back |
//! | the HAL's driver, clocks, pins | as in the HAL's example, which watches the link and sends nothing |
//! | timer, random generator, watchdog | by the HAL's documentation |
//! | where stack, heap and DMA buffers are (`memory.x`) | by the HAL's `memory.x` and its Ethernet examples |
//!
//! The data cache stays off: the HAL does not keep it and the Ethernet's DMA coherent. The clock is the chip's own
//! oscillator, which may be off by 1 %. The link must be 100 Mbit/s, full duplex; jumpers JP6 and JP7 must be on.
//!
//! Set the addresses below to those of your network, then `cargo run --release` with
//! `probe-rs run --chip STM32H743ZITx` as cargo's runner. Its log lines come over RTT, encoded by `defmt`.

#![no_std]
#![no_main]

extern crate alloc;

mod board;
mod ethernet;
#[path = "../../rp2040-w5500/src/logger.rs"]
mod logger;
#[path = "../../firmware/stack.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod stack;

use core::mem::MaybeUninit;
use core::net::Ipv4Addr;
use core::panic::PanicInfo;
use core::time::Duration;

use cortex_m::peripheral::SCB;
use cortex_m_rt::entry;
use defmt_rtt as _;
use embedded_alloc::LlffHeap;
use embedded_nal::SharableStack;
use hal::ethernet::{DesRing, EthernetDMA, EthernetMAC, PHY, phy::LAN8742A};
use hal::independent_watchdog::IndependentWatchdog;
use hal::{pac, prelude::*};
use natsbridge::adapter::Platform;
use natsbridge::board::{HttpClient, NatsClient, NatsOptions};
use natsbridge::{Error, HttpPut, Limits, NatsBridge, Payload, ReceiveOptions, SendOptions};
use stm32h7xx_hal as hal;

use board::Board;
use ethernet::Ethernet;
use stack::{SocketBuffers, SocketTable, Stack, StackConfig};

const NATS: &str = "nats://192.168.1.10:4222";
const FILES: &str = "http://192.168.1.10:8080/files";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 50);
const PREFIX_LEN: u8 = 24;
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
/// One of those that anybody may use in their own network.
const MAC: [u8; 6] = [0x02, 0x00, 0x00, 0x48, 0x37, 0x01];

/// 256 of 512 KB: a message of 50,000 bytes is received in 70 KB.
const HEAP_LEN: usize = 256 * 1024;
/// Payloads of at least so many bytes are uploaded. The limit for all is 50,000.
const SIZE_THRESHOLD: usize = 20_000;
/// Longer than any call of the stack blocks, which `board.rs` cannot feed the watchdog in.
const WATCHDOG_MS: u32 = 5000;
const PERIOD: Duration = Duration::from_secs(10);
/// Between two attempts, while there is no server.
const PAUSE: Duration = Duration::from_secs(1);

/// Frames that the DMA holds for each direction. The stack keeps to as many.
const FRAMES: usize = 4;
type Dma = EthernetDMA<FRAMES, FRAMES>;
type Network = Stack<Ethernet<Dma>>;

/// Frames and their descriptors, where the DMA reaches them. It takes addresses of whole words only, which the HAL's
/// type does not ask for.
#[repr(align(4))]
struct Rings(MaybeUninit<DesRing<FRAMES, FRAMES>>);

#[unsafe(link_section = ".sram3.ethernet")]
static mut RINGS: Rings = Rings(MaybeUninit::uninit());

#[global_allocator]
static HEAP: LlffHeap = LlffHeap::empty();

#[entry]
fn main() -> ! {
    // The entry macro makes these `&'static mut`: it is called once.
    static mut TABLE: SocketTable = SocketTable::EMPTY;
    static mut BUFFERS: SocketBuffers = SocketBuffers::EMPTY;

    start_heap();
    logger::start();
    let mut core = cortex_m::Peripherals::take().expect("taken here only");
    let device = pac::Peripherals::take().expect("taken here only");
    // Before what follows, which waits without a limit for hardware that does not answer.
    let mut watchdog = IndependentWatchdog::new(device.IWDG);
    watchdog.start(WATCHDOG_MS.millis());
    core.SCB.enable_icache();

    device.RCC.ahb2enr.modify(|_, w| w.sram3en().set_bit());
    let power = device.PWR.constrain().freeze();
    let rcc = device.RCC.constrain().sys_ck(200.MHz()).hclk(200.MHz());
    let configured = rcc.freeze(power, &device.SYSCFG);
    let (clocks, parts) = (configured.clocks, configured.peripheral);
    let timer = device.TIM2.tick_timer(1.MHz(), parts.TIM2, &clocks);
    let rng = device.RNG.constrain(parts.RNG, &clocks);
    let board = Board::new(timer, rng, watchdog);

    let a = device.GPIOA.split(parts.GPIOA);
    let b = device.GPIOB.split(parts.GPIOB);
    let c = device.GPIOC.split(parts.GPIOC);
    let g = device.GPIOG.split(parts.GPIOG);
    let pins = (
        a.pa1.into_alternate(),  // RMII_REF_CLK
        a.pa2.into_alternate(),  // RMII_MDIO
        c.pc1.into_alternate(),  // RMII_MDC
        a.pa7.into_alternate(),  // RMII_CRS_DV
        c.pc4.into_alternate(),  // RMII_RXD0
        c.pc5.into_alternate(),  // RMII_RXD1
        g.pg11.into_alternate(), // RMII_TX_EN
        g.pg13.into_alternate(), // RMII_TXD0
        b.pb13.into_alternate(), // RMII_TXD1
    );
    let rings = &raw mut RINGS;
    // SAFETY: nothing else names the rings, and this runs once.
    let rings = unsafe { &mut *rings };
    let (dma, mac) = hal::ethernet::new(
        device.ETHERNET_MAC,
        device.ETHERNET_MTL,
        device.ETHERNET_DMA,
        pins,
        rings.0.write(DesRing::new()),
        smoltcp_hal::wire::EthernetAddress(MAC),
        parts.ETH1MAC,
        &clocks,
    );
    run(start_network(dma, mac, TABLE, BUFFERS, &board), &board)
}

/// Starts the chip between MAC and cable, waits until the cable is in, and starts the stack.
fn start_network(
    dma: Dma,
    mac: EthernetMAC,
    table: &'static mut SocketTable,
    buffers: &'static mut SocketBuffers,
    board: &Board,
) -> Network {
    let mut phy = LAN8742A::new(mac);
    phy.phy_reset();
    phy.phy_init();
    while !phy.poll_link() {
        board.feed_watchdog();
    }
    let config = StackConfig {
        mac: smoltcp::wire::EthernetAddress(MAC),
        address: ADDRESS,
        prefix_len: PREFIX_LEN,
        gateway: GATEWAY,
        seed: board.random_u64(),
    };
    Stack::new(Ethernet(dma), &config, table, buffers)
}

/// Serves until something fails, and then starts again.
fn run(network: Network, board: &Board) -> ! {
    let network = SharableStack::new(network);
    loop {
        if let Err(error) = serve(&network, board) {
            defmt::warn!("{}", defmt::Display2Format(&error));
        }
        board.wait(PAUSE);
    }
}

fn serve(network: &SharableStack<Network>, board: &Board) -> Result<(), Error> {
    let nats = NatsClient::new(network.acquire(), board, NatsOptions::new(NATS));
    let http = HttpClient::new(network.acquire(), board);
    let files = HttpPut::new(http, board, FILES)?;
    let limits = Limits::micropython().size_threshold(SIZE_THRESHOLD);
    let mut bridge = NatsBridge::new(nats, files, board).with_limits(limits);
    bridge.subscribe("nucleo.echo", None)?;
    loop {
        let payloads = [("uptime", Payload::text("alive"))];
        bridge.smartsend("nucleo.alive", &payloads, &SendOptions::default())?;
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
