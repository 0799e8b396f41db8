//! A sensor node on the Stellaris LM3S6965 evaluation board, which is also the emulated board of
//! the tests.
//!
//! | channel | what                                | where                   |
//! |---------|-------------------------------------|-------------------------|
//! | 0       | door contact, normally closed       | port E, pin 0           |
//! | 1       | leak contact, normally closed       | port E, pin 1           |
//! | 2       | temperature, TMP105                 | I2C 0, address 0x48     |
//!
//! (unless the configuration block says otherwise). The EEPROM (24C256, I2C 0, address 0x50) holds who the node is and the events. Three tasks
//! share one `Node`: the sampler feeds it, the uplink sends what it has to say, the network task
//! moves frames; the supervisor feeds the watchdog while all of them are heard of. Nothing here
//! restarts because the controller is away.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod ear;
mod hal;
mod uplink;

use core::cell::RefCell;
use core::fmt::Display;
use cortex_m_rt::entry;
use embassy_executor::Spawner;
use embassy_executor::raw::Executor;
use embassy_futures::join::join;
use embassy_futures::select::select;
use embassy_net::{Ipv4Cidr, Runner, Stack, StackResources, StaticConfigV4};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant, Timer};
use embedded_hal::delay::DelayNs as _;
use embedded_hal_bus::i2c::RefCellDevice;
use hal::clock::{Spin, now_ms};
use hal::console::console;
use hal::ethernet::Ethernet;
use hal::i2c::Bus;
use node::SENSOR_POLL_MS;
use node::drivers::{eeprom24::Eeprom24, tmp105::Tmp105};
use node::identity::provision;
use node::memory::MemoryFault;
use node::node::{Boot, Node, Order};
use node::supervisor::Supervisor;
use node::update::{Firmware, NoSlots};
use shared::board::Board as Kind;
use shared::mount::{Mount, Part};
use shared::provision::Provision;
use shared::wire::Version;
use static_cell::{ConstStaticCell, StaticCell};

const FIRMWARE: Version = Version(0, 1, 0);

const DOOR: usize = 0;
const LEAK: usize = 1;
const TEMPERATURE: usize = 2;
const MOUNTS: [Mount; 3] = [
    Mount::new(Part::Contact, 0, 0),
    Mount::new(Part::Contact, 1, 0),
    Mount::new(Part::Tmp105, TMP105_ADDRESS, 0),
];

const TMP105_ADDRESS: u8 = 0x48;
const EEPROM_ADDRESS: u8 = 0x50;

/// Sockets: DHCP, the connection to the broker, one spare while an old one is closing.
const SOCKETS: usize = 3;

/// Tasks that check in, with the longest silence of each in milliseconds.
const SAMPLER: usize = 0;
const NETWORK: usize = 1;
const UPLINK: usize = 2;
const ALLOWANCES_MS: [u64; 3] = [3_000, 5_000, uplink::LONGEST_SILENCE_MS];
const CHECK_IN_MS: u64 = 1_000;
const SUPERVISE_MS: u64 = 500;
/// Time between two attempts to read a memory that does not answer.
const MEMORY_RETRY_MS: u32 = 1_000;

type Device = RefCellDevice<'static, Bus>;
type Eeprom = Eeprom24<Device, Spin>;

/// What the tasks share. They all run on one executor, so a borrow never meets another one as
/// long as it is not held across an `await`; none is.
struct Shared {
    node: RefCell<&'static mut Node<Eeprom, NoSlots>>,
    tasks: RefCell<Supervisor<3>>,
}

impl Shared {
    fn check_in(&self, task: usize) {
        self.tasks.borrow_mut().check_in(task, now_ms());
    }

    fn taken_over(&self) {
        self.node.borrow_mut().taken_over();
    }
}

/// Set when the node may have something new to send.
static NEWS: Signal<CriticalSectionRawMutex, ()> = Signal::new();

#[entry]
fn main() -> ! {
    static EXECUTOR: StaticCell<Executor> = StaticCell::new();

    // This function never returns, so its frame lies below every task for ever: whatever is large
    // and needed only once is made in functions that do return.
    let board = start();
    hal::executor::run(EXECUTOR.init(hal::executor::new()), |spawner| {
        spawn(spawner, board);
    })
}

/// What [`start`] has made.
struct Board {
    bus: &'static RefCell<Bus>,
    shared: &'static Shared,
    provision: &'static Provision,
    stack: Stack<'static>,
    runner: Runner<'static, &'static mut Ethernet>,
    seed: u32,
}

#[inline(never)]
fn spawn(spawner: Spawner, board: Board) {
    let shared = board.shared;
    // Each task is spawned once, so its storage is free.
    spawner.spawn(network(board.runner, shared).expect("spawned once"));
    spawner.spawn(sampler(board.bus, shared).expect("spawned once"));
    spawner.spawn(uplink::run(board.stack, board.provision, board.seed, shared).expect("spawned once"));
    spawner.spawn(supervise(shared).expect("spawned once"));
}

/// Brings up chip, node and network.
#[inline(never)]
fn start() -> Board {
    static BUS: StaticCell<RefCell<Bus>> = StaticCell::new();

    let mut core = cortex_m::Peripherals::take().expect("taken once, here");
    hal::start();
    hal::clock::start(&mut core.SYST);
    hal::console::start();
    let (cause, crash) = hal::crash::cause();
    if let Some(crash) = crash {
        console!(
            "last life: kind {} task {} pc {:#x}",
            crash.kind as u8,
            crash.task,
            crash.pc
        );
    }
    let bus: &'static RefCell<Bus> = BUS.init(RefCell::new(Bus::start()));
    let boot = Boot {
        cause,
        crash,
        rtc_unix_ms: None,
    };
    let (provision, shared) = start_node(bus, boot);
    // The chip has no random numbers. The seed only picks port numbers; it differs between nodes
    // and boots and is not to be guessed from outside.
    let [a, b, c, d, ..] = provision.device_key().derive("net");
    let seed = u32::from_le_bytes([a, b, c, d]) ^ shared.node.borrow().boot().rotate_left(16);
    let (stack, runner) = start_network(provision, seed);
    hal::gpio::start_contact(0);
    hal::gpio::start_contact(1);
    hal::watchdog::start();
    Board {
        bus,
        shared,
        provision,
        stack,
        runner,
        seed,
    }
}

#[inline(never)]
fn start_network(
    provision: &Provision,
    seed: u32,
) -> (Stack<'static>, Runner<'static, &'static mut Ethernet>) {
    static ETHERNET: ConstStaticCell<Ethernet> = ConstStaticCell::new(Ethernet::new());
    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();

    // Locally administered, unique in a site as the node id is.
    let [high, low] = provision.node.to_be_bytes();
    let config = provision.address.map_or_else(
        || embassy_net::Config::dhcpv4(embassy_net::DhcpConfig::default()),
        |own| {
            embassy_net::Config::ipv4_static(StaticConfigV4 {
                address: Ipv4Cidr::new(own.ip.into(), own.prefix),
                gateway: (own.gateway != [0; 4]).then(|| own.gateway.into()),
                dns_servers: heapless::Vec::new(),
            })
        },
    );
    let ethernet = ETHERNET.take();
    ethernet.start([0x02, b'Y', b'G', 0, high, low]);
    embassy_net::new(
        ethernet,
        config,
        RESOURCES.init(StackResources::new()),
        seed.into(),
    )
}

/// Reads who we are and counts the boot. A node that cannot do either is no node yet: it says why
/// on its console and tries again.
#[inline(never)]
fn start_node(bus: &'static RefCell<Bus>, boot: Boot) -> (&'static Provision, &'static Shared) {
    type Started = Result<Node<Eeprom, NoSlots>, MemoryFault>;

    static NODE: StaticCell<Started> = StaticCell::new();
    static SHARED: StaticCell<Shared> = StaticCell::new();

    let provision = read_provision(bus);
    let about = Firmware {
        board: Kind::Lm3s6965,
        version: FIRMWARE,
        key: None,
    };
    let node = hal::place::make(
        NODE.uninit(),
        || Node::start(memory(bus), NoSlots, provision, about, boot, now_ms()),
        |fault| retry(bus, &format_args!("cannot count this boot: {fault}")),
    );
    console!(
        "node {} firmware {FIRMWARE} boot {} cause {:?} pending {}",
        provision.node,
        node.boot(),
        boot.cause,
        node.pending()
    );
    let shared = SHARED.init(Shared {
        node: RefCell::new(node),
        tasks: RefCell::new(Supervisor::new(ALLOWANCES_MS)),
    });
    (provision, shared)
}

fn memory(bus: &'static RefCell<Bus>) -> Eeprom {
    Eeprom24::new(RefCellDevice::new(bus), Spin, EEPROM_ADDRESS)
}

#[inline(never)]
fn read_provision(bus: &'static RefCell<Bus>) -> &'static Provision {
    static PROVISION: StaticCell<Provision> = StaticCell::new();

    loop {
        match provision(&mut memory(bus)) {
            Ok(Ok(provision)) if provision.mounts.is_empty() => {
                return PROVISION.init(provision.with_mounts(&MOUNTS));
            }
            Ok(Ok(provision)) => return PROVISION.init(provision),
            Ok(Err(problem)) => retry(bus, &problem),
            Err(fault) => retry(bus, &format_args!("cannot read the configuration: {fault}")),
        }
    }
}

/// Says what is wrong with the memory and waits for a better moment.
fn retry(bus: &RefCell<Bus>, problem: &dyn Display) {
    console!("{problem}");
    bus.borrow_mut().recover();
    Spin.delay_ms(MEMORY_RETRY_MS);
}

#[embassy_executor::task]
async fn network(mut runner: Runner<'static, &'static mut Ethernet>, shared: &'static Shared) -> ! {
    let check_in = async {
        loop {
            shared.check_in(NETWORK);
            Timer::after_millis(CHECK_IN_MS).await;
        }
    };
    join(runner.run(), check_in).await.0
}

/// Looks at the contacts at every edge and while a change settles, and reads the sensor.
#[embassy_executor::task]
async fn sampler(bus: &'static RefCell<Bus>, shared: &'static Shared) -> ! {
    let mut sensor = Tmp105::new(TMP105_ADDRESS);
    let mut read_at_ms = now_ms();
    loop {
        let now_ms = now_ms();
        let again_ms = {
            let mut node = shared.node.borrow_mut();
            let [door, leak] = [hal::gpio::is_open(0), hal::gpio::is_open(1)];
            let settling =
                [(DOOR, door), (LEAK, leak)].map(|(channel, open)| node.contact(channel, open, now_ms));
            if now_ms >= read_at_ms {
                read_at_ms = now_ms + SENSOR_POLL_MS;
                node.reading(TEMPERATURE, sensor.read(&mut RefCellDevice::new(bus)), now_ms);
                if node.take_recovery(TEMPERATURE, now_ms) {
                    console!("freeing the sensor bus");
                    bus.borrow_mut().recover();
                }
            }
            node.tick(now_ms);
            if matches!(node.take_order(now_ms), Some(Order::Restart | Order::Erased)) {
                cortex_m::peripheral::SCB::sys_reset();
            }
            settling.into_iter().flatten().fold(read_at_ms, u64::min)
        };
        NEWS.signal(());
        shared.check_in(SAMPLER);
        select(hal::gpio::EDGE.wait(), Timer::at(Instant::from_millis(again_ms))).await;
    }
}

/// Feeds the watchdog while every task is heard of.
#[embassy_executor::task]
async fn supervise(shared: &'static Shared) -> ! {
    loop {
        match shared.tasks.borrow().silent(now_ms()) {
            None => hal::watchdog::feed(),
            // Not fed any more: the watchdog bites within four seconds.
            Some(task) => {
                hal::crash::missed(task);
                console!("task {task} is silent");
            }
        }
        Timer::after(Duration::from_millis(SUPERVISE_MS)).await;
    }
}
