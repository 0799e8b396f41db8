//! A sensor node on the ST NUCLEO-F767ZI.
//!
//! | what                                             | where                                       |
//! |--------------------------------------------------|---------------------------------------------|
//! | console, 115200 8N1                              | USART 3: PD8 out, PD9 in (the ST-LINK's)    |
//! | card reader PN532 (HSU, 115200 8N1)              | USART 2: PD5 out, PD6 in; reset PD4         |
//! | probes, Modbus RTU on RS-485, 9600 8N1           | USART 6: PG14 out, PG9 in; driver enable PG8|
//! | contacts 0 to 6 of the mount table, to ground    | PE7 to PE13, pulled up                      |
//! | contacts 7 to 13, the same                       | PF2 PF3 PF4 PF5 PF7 PF8 PF9                 |
//! | sensors of the mount table, 3.3 V                | I2C: PB9 data, PB8 clock, pull-ups outside  |
//! | clock DS3231 (battery), memory 24C256            | the same: 0x68, 0x50, permanent supply      |
//! | supply of the sensors, high = on                 | PF12                                        |
//! | strike relay, high = released                    | PF13                                        |
//! | buzzer, lamps for granted and denied             | PF14, PF15, PG0                             |
//! | Ethernet, LAN8742A on the board                  | RMII: PA1 PA2 PA7 PB13 PC1 PC4 PC5 PG11 PG13|
//! | crystal: 8 MHz of the ST-LINK                    | PH0                                         |
//! | what survives a reset                            | the last 256 bytes of RAM                   |
//!
//! The memory's configuration block says who the node is and what is mounted; this table says where.
//! Behind the bootloader of `bin/boot.rs`, which swaps signed images. The tasks are those of every
//! board (`common`).
#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod board;
mod hal;
mod slots;

use board::{Bus, Eeprom, Large, Middle, NodeBoard, Rs485, SpareSlot};
use common::i2c::SoftI2c;
use common::pins::{OpenDrain, Switched};
use common::{Board as _, Shared, Task, probe, reader, start};
use core::cell::RefCell;
use embassy_executor::Spawner;
use embassy_futures::join::join;
use embassy_net::{Runner, Stack, StackResources};
use embassy_stm32::eth::{self, Ethernet, GenericPhy, PacketQueue, Sma};
use embassy_stm32::flash::Flash;
use embassy_stm32::gpio::{Input, Level, Output, OutputOpenDrain, Pull, Speed};
use embassy_stm32::peripherals::{ETH, ETH_SMA, RNG, USART2, USART3, USART6};
use embassy_stm32::rng::{self, Rng};
use embassy_stm32::time::Hertz;
use embassy_stm32::usart::{self, BufferedUart, BufferedUartRx};
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_stm32::{Config, bind_interrupts, rcc};
use embassy_sync::blocking_mutex::Mutex;
use embassy_time::{Duration, Timer, block_for};
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
static MARK: [u8; MARK_LEN] = mark(Board::Stm32f767zi, VERSION);

/// Sockets: DHCP, the connection to the broker, one spare while an old one is closing.
const SOCKETS: usize = 3;
/// Frames between the controller and the network, each way.
const FRAMES: usize = 4;
/// Time between two attempts to read a memory that does not answer.
const MEMORY_RETRY: Duration = Duration::from_secs(1);
/// Bytes a port can hold until its task comes: 11 ms at 115200 bits per second.
const PORT_LEN: usize = 128;
const CONSOLE_LEN: usize = 1024;
/// The watchdog's time in microseconds; erasing a sector takes up to 4 s, in which nothing runs.
const WATCHDOG_US: u32 = 8_000_000;

bind_interrupts!(struct Interrupts {
    ETH => eth::InterruptHandler;
    RNG => rng::InterruptHandler<RNG>;
    USART2 => usart::BufferedInterruptHandler<USART2>;
    USART3 => usart::BufferedInterruptHandler<USART3>;
    USART6 => usart::BufferedInterruptHandler<USART6>;
});

type Everything = &'static Shared<NodeBoard>;
type Device = Ethernet<'static, ETH, GenericPhy<Sma<'static, ETH_SMA>>>;

/// 216 MHz from the 8 MHz that the ST-LINK gives, 48 MHz for the random numbers.
fn clocks() -> Config {
    use rcc::{
        AHBPrescaler, APBPrescaler, Hse, HseMode, Pll, PllMul, PllPDiv, PllPreDiv, PllQDiv, PllSource, Sysclk,
    };
    let mut config = Config::default();
    config.rcc.hse = Some(Hse {
        freq: Hertz(8_000_000),
        mode: HseMode::Bypass,
    });
    config.rcc.pll_src = PllSource::HSE;
    config.rcc.pll = Some(Pll {
        prediv: PllPreDiv::DIV4,
        mul: PllMul::MUL216,
        divp: Some(PllPDiv::DIV2),
        divq: Some(PllQDiv::DIV9),
        divr: None,
    });
    config.rcc.sys = Sysclk::PLL1_P;
    config.rcc.ahb_pre = AHBPrescaler::DIV1;
    config.rcc.apb1_pre = APBPrescaler::DIV4;
    config.rcc.apb2_pre = APBPrescaler::DIV2;
    config
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static CONSOLE: ConstStaticCell<([u8; CONSOLE_LEN], [u8; PORT_LEN])> =
        ConstStaticCell::new(([0; CONSOLE_LEN], [0; PORT_LEN]));
    static PORTS: ConstStaticCell<[[u8; PORT_LEN]; 4]> = ConstStaticCell::new([[0; PORT_LEN]; 4]);
    static BUS: StaticCell<RefCell<Bus>> = StaticCell::new();
    static LARGE: StaticCell<slots::Shared<Large>> = StaticCell::new();
    static MIDDLE: StaticCell<slots::Shared<Middle>> = StaticCell::new();
    static PROVISION: StaticCell<Provision> = StaticCell::new();
    static NODE: StaticCell<Option<Node<Eeprom, SpareSlot>>> = StaticCell::new();
    static SHARED: StaticCell<Shared<NodeBoard>> = StaticCell::new();
    static PARTS: StaticCell<Parts> = StaticCell::new();
    static PACKETS: StaticCell<PacketQueue<FRAMES, FRAMES>> = StaticCell::new();
    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();

    let (cause, crash) = hal::crash::cause();
    let p = embassy_stm32::init(clocks());
    let mut watchdog = IndependentWatchdog::new(p.IWDG, WATCHDOG_US);
    watchdog.unleash();

    let mut fast = usart::Config::default();
    fast.baudrate = reader::BAUD;
    let mut slow = usart::Config::default();
    slow.baudrate = probe::BAUD;
    let (send, receive) = CONSOLE.take();
    let [a, b, c, d] = PORTS.take();
    let ports = (
        BufferedUart::new(p.USART3, p.PD9, p.PD8, send, receive, Interrupts, fast),
        BufferedUart::new(p.USART2, p.PD6, p.PD5, a, b, Interrupts, fast),
        BufferedUart::new_with_de(p.USART6, p.PG9, p.PG14, p.PG8, Interrupts, c, d, slow),
    );
    let (Ok(console), Ok(card_reader), Ok(line)) = ports else {
        panic!("these speeds can be made of this clock")
    };
    let (console, mut typed) = console.split();
    let board = NodeBoard {
        random: RefCell::new(Rng::new(p.RNG, Interrupts)),
        console: RefCell::new(console),
        watchdog: RefCell::new(watchdog),
        bus: BUS.init(RefCell::new(SoftI2c::new(OpenDrain {
            clock: OutputOpenDrain::new(p.PB8, Level::High, Speed::Medium),
            data: OutputOpenDrain::new(p.PB9, Level::High, Speed::Medium),
        }))),
        contacts: RefCell::new([
            Input::new(p.PE7, Pull::Up),
            Input::new(p.PE8, Pull::Up),
            Input::new(p.PE9, Pull::Up),
            Input::new(p.PE10, Pull::Up),
            Input::new(p.PE11, Pull::Up),
            Input::new(p.PE12, Pull::Up),
            Input::new(p.PE13, Pull::Up),
            Input::new(p.PF2, Pull::Up),
            Input::new(p.PF3, Pull::Up),
            Input::new(p.PF4, Pull::Up),
            Input::new(p.PF5, Pull::Up),
            Input::new(p.PF7, Pull::Up),
            Input::new(p.PF8, Pull::Up),
            Input::new(p.PF9, Pull::Up),
        ]),
        switched: RefCell::new(Switched {
            strike: Output::new(p.PF13, Level::Low, Speed::Low),
            buzzer: Output::new(p.PF14, Level::Low, Speed::Low),
            granted: Output::new(p.PF15, Level::Low, Speed::Low),
            denied: Output::new(p.PG0, Level::Low, Speed::Low),
            rail: Output::new(p.PF12, Level::Low, Speed::Low),
            reader_reset: Output::new(p.PD4, Level::Low, Speed::Low),
        }),
    };
    let regions = Flash::new_blocking(p.FLASH).into_blocking_regions();
    let large = &*LARGE.init(Mutex::new(RefCell::new(regions.bank1_region3)));
    let middle = &*MIDDLE.init(Mutex::new(RefCell::new(regions.bank1_region2)));

    let mut about = Firmware {
        board: Board::Stm32f767zi,
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
            NorSlots::new(slots::spare(large), slots::notes(middle)),
        )
    };
    let node = start::node(NODE.init(None), parts, provision, about, boot, retry);
    board.log(format_args!(
        "node {} firmware {VERSION} boot {} cause {cause:?} pending {}",
        provision.node,
        node.boot(),
        node.pending()
    ));
    let seed = board.random.borrow_mut().next_u64();
    let shared: Everything = SHARED.init(Shared::new(board, provision, node));

    let driver = Ethernet::new(
        PACKETS.init(PacketQueue::new()),
        p.ETH,
        Interrupts,
        p.PA1,
        p.PA7,
        p.PC4,
        p.PC5,
        p.PG13,
        p.PB13,
        p.PG11,
        start::mac(provision),
        p.ETH_SMA,
        p.PA2,
        p.PC1,
    );
    let resources = RESOURCES.init(StackResources::new());
    let (stack, runner) = embassy_net::new(driver, start::network(provision), resources, seed);

    // Each task is spawned once, so its storage is free.
    spawner.spawn(frames(runner, shared).expect("spawned once"));
    spawner.spawn(life(shared).expect("spawned once"));
    spawner.spawn(sampler(shared, PARTS.init(Parts::new(&provision.mounts, true))).expect("spawned once"));
    spawner.spawn(cards(shared, card_reader).expect("spawned once"));
    spawner.spawn(talk(shared, typed).expect("spawned once"));
    spawner.spawn(probe(shared, Rs485(line)).expect("spawned once"));
    spawner.spawn(uplink(shared, stack, seed as u32).expect("spawned once"));
    spawner.spawn(supervise(shared).expect("spawned once"));
}

#[embassy_executor::task]
async fn frames(mut runner: Runner<'static, Device>, shared: Everything) -> ! {
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
async fn cards(shared: Everything, port: BufferedUart<'static>) -> ! {
    reader::run(shared, port).await
}

#[embassy_executor::task]
async fn talk(shared: Everything, typed: BufferedUartRx<'static>) -> ! {
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
