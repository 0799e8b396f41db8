//! A sensor node on the WIZnet W5500-EVB-Pico: RP2040 with a W5500 Ethernet controller.
//!
//! | what                                            | where                                        |
//! |-------------------------------------------------|----------------------------------------------|
//! | console, 115200 8N1                             | UART 0: GP0 out, GP1 in                      |
//! | card reader PN532 (HSU, 115200 8N1)             | UART 1: GP4 out, GP5 in; reset GP6           |
//! | probes, Modbus RTU on RS-485, 9600 8N1          | PIO 0: GP22 out, GP26 in; driver enable GP27 |
//! | contacts 0 to 4 of the mount table, to ground   | GP2 GP3 GP7 GP15 GP28, pulled up             |
//! | sensors of the mount table, 3.3 V               | I2C: GP8 data, GP9 clock, pull-ups outside   |
//! | clock DS3231 (battery), memory 24C256           | the same: 0x68, 0x50, permanent supply       |
//! | supply of the sensors, high = on                | GP14                                         |
//! | strike relay, high = released                   | GP10                                         |
//! | buzzer, lamps for granted and denied            | GP11, GP12, GP13                             |
//! | W5500, on the board                             | SPI 0: GP16 to GP19; reset GP20, int. GP21   |
//! | what survives a reset                           | SRAM bank 4                                  |
//!
//! The memory's configuration block says who the node is and what is mounted; this table says where.
//! GP23 to GP25 and GP29 are the Pico's own. Behind the bootloader of `bin/boot.rs`, which swaps
//! signed images. The tasks are those of every board (`common`).
#![no_std]
#![no_main]
#![deny(unsafe_code)]

#[cfg(feature = "tls")]
compile_error!(
    "TLS needs random numbers: the RP2040's ring oscillator is, by its data sheet (2.17.5), no source of \
     them for security; take a board that has one (stm32f767zi)"
);

mod board;
mod hal;
mod slots;

use board::{Bus, ChipFlash, Eeprom, NodeBoard, Rs485, SpareSlot};
use common::i2c::SoftI2c;
use common::pins::{OpenDrain, Switched};
use common::{Board as _, Shared, Task, probe, reader, start};
use core::cell::RefCell;
use embassy_executor::Spawner;
use embassy_futures::join::join;
use embassy_net::{Runner, Stack, StackResources};
use embassy_net_wiznet::chip::W5500;
use embassy_net_wiznet::{Device, State};
use embassy_rp::flash::Flash;
use embassy_rp::gpio::{Input, Level, Output, OutputOpenDrain, Pull};
use embassy_rp::peripherals::{PIO0, SPI0, UART0, UART1};
use embassy_rp::pio_programs::uart::{PioUartRx, PioUartRxProgram, PioUartTx, PioUartTxProgram};
use embassy_rp::spi::{Async, Spi};
use embassy_rp::uart::{BufferedUart, BufferedUartRx};
use embassy_rp::{bind_interrupts, dma, pio, spi, uart};
use embassy_sync::blocking_mutex::Mutex;
use embassy_time::{Delay, Duration, Timer, block_for};
use embedded_hal_bus::spi::ExclusiveDevice;
use node::node::{Boot, Node};
use node::parts::Parts;
use node::update::{Firmware, NorSlots};
use shared::board::Board;
use shared::image::{MARK_LEN, mark};
use shared::provision::Provision;
use shared::wire::Version;
use static_cell::{ConstStaticCell, StaticCell};

const VERSION: Version = Version(0, 1, 0);
/// What the signer reads.
#[used]
static MARK: [u8; MARK_LEN] = mark(Board::Rp2040W5500, VERSION);

/// Sockets: DHCP, the connection to the broker, one spare while an old one is closing.
const SOCKETS: usize = 3;
/// Frames between the W5500 and the network, each way.
const FRAMES: usize = 4;
/// Time between two attempts to read a memory that does not answer.
const MEMORY_RETRY: Duration = Duration::from_secs(1);
/// Bytes a port can hold until its task comes: 11 ms at 115200 bits per second.
const PORT_LEN: usize = 128;
const CONSOLE_LEN: usize = 1024;

bind_interrupts!(struct Interrupts {
    UART0_IRQ => uart::BufferedInterruptHandler<UART0>;
    UART1_IRQ => uart::BufferedInterruptHandler<UART1>;
    PIO0_IRQ_0 => pio::InterruptHandler<PIO0>;
    DMA_IRQ_0 => dma::InterruptHandler<embassy_rp::peripherals::DMA_CH0>,
        dma::InterruptHandler<embassy_rp::peripherals::DMA_CH1>;
});

type Everything = &'static Shared<NodeBoard>;
type Wiznet = embassy_net_wiznet::Runner<
    'static,
    W5500,
    ExclusiveDevice<Spi<'static, SPI0, Async>, Output<'static>, Delay>,
    Input<'static>,
    Output<'static>,
>;

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static CONSOLE: ConstStaticCell<([u8; CONSOLE_LEN], [u8; PORT_LEN])> =
        ConstStaticCell::new(([0; CONSOLE_LEN], [0; PORT_LEN]));
    static READER: ConstStaticCell<[[u8; PORT_LEN]; 2]> = ConstStaticCell::new([[0; PORT_LEN]; 2]);
    static BUS: StaticCell<RefCell<Bus>> = StaticCell::new();
    static FLASH: StaticCell<slots::Shared<ChipFlash>> = StaticCell::new();
    static PROVISION: StaticCell<Provision> = StaticCell::new();
    static NODE: StaticCell<Option<Node<Eeprom, SpareSlot>>> = StaticCell::new();
    static SHARED: StaticCell<Shared<NodeBoard>> = StaticCell::new();
    static PARTS: StaticCell<Parts> = StaticCell::new();
    static STATE: StaticCell<State<FRAMES, FRAMES>> = StaticCell::new();
    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();

    let (cause, crash) = hal::crash::cause();
    let p = embassy_rp::init(embassy_rp::config::Config::default());
    let watchdog = hal::watchdog::start(p.WATCHDOG);
    let mut config = uart::Config::default();
    config.baudrate = reader::BAUD;
    let (send, receive) = CONSOLE.take();
    let (console, mut typed) =
        BufferedUart::new(p.UART0, p.PIN_0, p.PIN_1, Interrupts, send, receive, config).split();
    let [send, receive] = READER.take();
    let card_reader = BufferedUart::new(p.UART1, p.PIN_4, p.PIN_5, Interrupts, send, receive, config);
    let board = NodeBoard {
        console: RefCell::new(console),
        watchdog: RefCell::new(watchdog),
        bus: BUS.init(RefCell::new(SoftI2c::new(OpenDrain {
            clock: OutputOpenDrain::new(p.PIN_9, Level::High),
            data: OutputOpenDrain::new(p.PIN_8, Level::High),
        }))),
        contacts: RefCell::new([
            Input::new(p.PIN_2, Pull::Up),
            Input::new(p.PIN_3, Pull::Up),
            Input::new(p.PIN_7, Pull::Up),
            Input::new(p.PIN_15, Pull::Up),
            Input::new(p.PIN_28, Pull::Up),
        ]),
        switched: RefCell::new(Switched {
            strike: Output::new(p.PIN_10, Level::Low),
            buzzer: Output::new(p.PIN_11, Level::Low),
            granted: Output::new(p.PIN_12, Level::Low),
            denied: Output::new(p.PIN_13, Level::Low),
            rail: Output::new(p.PIN_14, Level::Low),
            reader_reset: Output::new(p.PIN_6, Level::Low),
        }),
    };
    let flash = &*FLASH.init(Mutex::new(RefCell::new(Flash::new_blocking(p.FLASH))));

    let mut about = Firmware {
        board: Board::Rp2040W5500,
        version: VERSION,
        key: None,
    };
    let provision = common::console::provision(&board, &mut board.memory(), about, &mut typed).await;
    let provision = PROVISION.init(provision);
    about.key = provision.update_key;
    let boot = Boot {
        cause,
        crash,
        rtc_unix_ms: board.clock(),
    };
    let retry = |line: core::fmt::Arguments<'_>| {
        board.log(line);
        board.free_bus();
        board.feed_watchdog();
        block_for(MEMORY_RETRY);
    };
    let parts = || {
        (
            board.memory(),
            NorSlots::new(slots::spare(flash), slots::notes(flash)),
        )
    };
    let node = start::node(NODE.init(None), parts, provision, about, boot, retry);
    board.log(format_args!(
        "node {} firmware {VERSION} boot {} cause {cause:?} pending {}",
        provision.node,
        node.boot(),
        node.pending()
    ));
    let seed = start::seed(provision, node.boot());
    let shared: Everything = SHARED.init(Shared::new(board, provision, node));

    let mut config = spi::Config::default();
    config.frequency = 20_000_000;
    let bus = Spi::new(
        p.SPI0, p.PIN_18, p.PIN_19, p.PIN_16, p.DMA_CH0, p.DMA_CH1, Interrupts, config,
    );
    let Ok(device) = ExclusiveDevice::new(bus, Output::new(p.PIN_17, Level::High), Delay);
    let (interrupt, reset) = (Input::new(p.PIN_21, Pull::Up), Output::new(p.PIN_20, Level::High));
    let state = STATE.init(State::new());
    let Ok((driver, wiznet)) =
        embassy_net_wiznet::new(start::mac(provision), state, device, interrupt, reset).await
    else {
        // Soldered to the board: one that does not answer is broken, or hung until its next reset.
        panic!("the W5500 does not answer")
    };
    let resources = RESOURCES.init(StackResources::new());
    let (stack, runner) = embassy_net::new(driver, start::network(provision), resources, seed.into());

    let pio::Pio {
        mut common, sm0, sm1, ..
    } = pio::Pio::new(p.PIO0, Interrupts);
    let (send, receive) = (
        PioUartTxProgram::new(&mut common),
        PioUartRxProgram::new(&mut common),
    );
    let line = Rs485 {
        send: PioUartTx::new(probe::BAUD, &mut common, sm0, p.PIN_22, &send),
        receive: PioUartRx::new(probe::BAUD, &mut common, sm1, p.PIN_26, &receive),
        drive: Output::new(p.PIN_27, Level::Low),
        sent: 0,
    };

    // Each task is spawned once, so its storage is free.
    spawner.spawn(wiznet_frames(wiznet).expect("spawned once"));
    spawner.spawn(frames(runner, shared).expect("spawned once"));
    spawner.spawn(life(shared).expect("spawned once"));
    spawner.spawn(sampler(shared, PARTS.init(Parts::new(&provision.mounts, true))).expect("spawned once"));
    spawner.spawn(cards(shared, card_reader).expect("spawned once"));
    spawner.spawn(talk(shared, typed).expect("spawned once"));
    spawner.spawn(probe(shared, line).expect("spawned once"));
    spawner.spawn(uplink(shared, stack, seed).expect("spawned once"));
    spawner.spawn(supervise(shared).expect("spawned once"));
}

#[embassy_executor::task]
async fn wiznet_frames(runner: Wiznet) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn frames(mut runner: Runner<'static, Device<'static>>, shared: Everything) -> ! {
    let check_in = async {
        loop {
            shared.check_in(Task::Frames);
            Timer::after_secs(1).await;
        }
    };
    join(runner.run(), check_in).await.0
}

#[embassy_executor::task]
async fn life(shared: Everything) -> ! {
    common::life::run(shared).await
}

#[embassy_executor::task]
async fn sampler(shared: Everything, parts: &'static mut Parts) -> ! {
    common::sampler::run(shared, parts).await
}

#[embassy_executor::task]
async fn cards(shared: Everything, port: BufferedUart) -> ! {
    reader::run(shared, port).await
}

#[embassy_executor::task]
async fn talk(shared: Everything, typed: BufferedUartRx) -> ! {
    common::console::run(shared, typed).await
}

#[embassy_executor::task]
async fn probe(shared: Everything, port: Rs485) -> ! {
    common::probe::run(shared, port).await
}

#[embassy_executor::task]
async fn uplink(shared: Everything, stack: Stack<'static>, seed: u32) -> ! {
    common::uplink::run(shared, stack, seed).await
}

#[embassy_executor::task]
async fn supervise(shared: Everything) -> ! {
    common::supervise::run(shared).await
}
