//! Brings up chip, node and network. Everything here runs once, in functions that return.

use crate::board::{Device, Eeprom, NodeBoard, Shared, TheNode};
use crate::hal;
use crate::hal::clock::{Spin, now_ms};
use crate::hal::console::console;
use crate::hal::ethernet::Ethernet;
use crate::hal::i2c::Bus;
use crate::hal::uart::CONSOLE;
use core::cell::RefCell;
use core::fmt::Display;
use embassy_net::{Runner, Stack, StackResources};
use embedded_hal::delay::DelayNs as _;
use node::console::{Console, Workbench};
use node::drivers::ds1307::Ds1307;
use node::drivers::eeprom24::Eeprom24;
use node::identity;
use node::node::{Boot, Node};
use node::parts::Parts;
use node::update::{Firmware, NoSlots};
use shared::board::Board;
use shared::provision::{Provision, ProvisionError};
use shared::wire::Version;
use static_cell::{ConstStaticCell, StaticCell};

const VERSION: Version = Version(0, 1, 0);
const ABOUT: Firmware = Firmware {
    board: Board::Lm3s6965,
    version: VERSION,
    // Its flash cannot take a second image.
    key: None,
};
/// Silence on the console after which a board without a block looks at its memory again, in
/// milliseconds.
const LOOK_AGAIN_MS: u64 = 5_000;
const EEPROM_ADDRESS: u8 = 0x50;
/// Sockets: DHCP, the connection to the broker, one spare while an old one is closing.
const SOCKETS: usize = 3;
/// Time between two attempts to read a memory that does not answer.
const MEMORY_RETRY_MS: u32 = 1_000;

/// What the network's tasks need.
pub(crate) struct Network {
    pub(crate) stack: Stack<'static>,
    pub(crate) runner: Runner<'static, &'static mut Ethernet>,
    /// Differs between nodes and boots.
    pub(crate) seed: u32,
}

/// Brings up everything but the tasks.
#[inline(never)]
pub(crate) fn start() -> (&'static Shared, &'static mut Parts, Network) {
    static BUS: StaticCell<RefCell<Bus>> = StaticCell::new();

    let mut core = cortex_m::Peripherals::take().expect("taken once, here");
    hal::start();
    hal::clock::start(&mut core.SYST);
    hal::console::start();
    let bus: &'static RefCell<Bus> = BUS.init(RefCell::new(Bus::start()));
    let provision = read_provision(bus);
    let node = start_node(bus, provision);
    let boot = node.boot();
    let shared = share(provision, bus, node);
    let parts = make_parts(provision);
    let network = start_network(provision, boot);
    hal::watchdog::start();
    (shared, parts, network)
}

#[inline(never)]
fn share(
    provision: &'static Provision,
    bus: &'static RefCell<Bus>,
    node: &'static mut TheNode,
) -> &'static Shared {
    static SHARED: StaticCell<Shared> = StaticCell::new();
    SHARED.init_with(|| Shared::new(NodeBoard::start(bus, provision), provision, node))
}

#[inline(never)]
fn make_parts(provision: &Provision) -> &'static mut Parts {
    static PARTS: StaticCell<Parts> = StaticCell::new();
    PARTS.init_with(|| Parts::new(&provision.mounts, true))
}

/// Reads who we are. A board that cannot is no node yet: it says why on its console, takes a block
/// there, and looks again, because a disturbed bus reads like a damaged block.
#[inline(never)]
fn read_provision(bus: &'static RefCell<Bus>) -> &'static Provision {
    static PROVISION: StaticCell<Provision> = StaticCell::new();

    loop {
        match identity::provision(&mut memory(bus)) {
            Ok(Ok(provision)) => return PROVISION.init(provision),
            Ok(Err(problem)) => take_block(bus, problem),
            Err(fault) => retry(bus, &fault),
        }
    }
}

/// Takes a block over the console; returns when nobody has said anything for a while.
#[inline(never)]
fn take_block(bus: &'static RefCell<Bus>, why: ProvisionError) {
    console!("{why}");
    let mut bench = Workbench::new(ABOUT, why);
    let mut console = Console::new();
    let mut until_ms = now_ms() + LOOK_AGAIN_MS;
    while now_ms() < until_ms {
        while let Some(byte) = CONSOLE.try_read() {
            until_ms = now_ms() + LOOK_AGAIN_MS;
            if let Some(request) = console.feed(byte) {
                console!("{}", bench.answer(request, &mut memory(bus)));
            }
        }
        if bench.is_done() {
            hal::crash::restart();
        }
        // The next byte, or the next second.
        cortex_m::asm::wfi();
    }
}

/// Counts the boot and makes the node, where it stays.
#[inline(never)]
fn start_node(bus: &'static RefCell<Bus>, provision: &Provision) -> &'static mut TheNode {
    static NODE: StaticCell<Option<TheNode>> = StaticCell::new();

    let (cause, crash) = hal::crash::cause();
    // A clock that is not there or not to be believed is set when the controller tells the time.
    let rtc_unix_ms = Ds1307::Ds1338.read(&mut Device::new(bus)).ok();
    let boot = Boot {
        cause,
        crash,
        rtc_unix_ms,
    };
    let place = NODE.init_with(|| None);
    while let Err(fault) = Node::start_in(place, memory(bus), NoSlots, provision, ABOUT, boot, now_ms()) {
        retry(bus, &format_args!("cannot count this boot: {fault}"));
    }
    let node = place.as_mut().expect("made by the loop");
    console!(
        "node {} firmware {VERSION} boot {} cause {cause:?} pending {}",
        provision.node,
        node.boot(),
        node.pending()
    );
    node
}

fn memory(bus: &'static RefCell<Bus>) -> Eeprom {
    Eeprom24::new(Device::new(bus), Spin, EEPROM_ADDRESS)
}

/// Says what is wrong with the memory and waits for a better moment.
fn retry(bus: &RefCell<Bus>, problem: &dyn Display) {
    console!("{problem}");
    bus.borrow_mut().recover();
    Spin.delay_ms(MEMORY_RETRY_MS);
}

#[inline(never)]
fn start_network(provision: &Provision, boot: u32) -> Network {
    static ETHERNET: ConstStaticCell<Ethernet> = ConstStaticCell::new(Ethernet::new());
    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();

    // The chip has no random numbers. The seed only picks port numbers; it is not to be guessed
    // from outside.
    let seed = common::start::seed(provision, boot);
    let config = common::start::network(provision);
    let ethernet = ETHERNET.take();
    ethernet.start(common::start::mac(provision));
    let resources = RESOURCES.init(StackResources::new());
    let (stack, runner) = embassy_net::new(ethernet, config, resources, seed.into());
    Network { stack, runner, seed }
}
