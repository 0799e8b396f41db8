//! A sensor node on the Stellaris LM3S6965 evaluation board, which is also the emulated board of
//! the tests.
//!
//! | what                                             | where                                    |
//! |--------------------------------------------------|------------------------------------------|
//! | console and provisioning, 115200 8N1             | UART 0: A0 in, A1 out                    |
//! | card reader PN532 (HSU, 115200 8N1)              | UART 1: D2 in, D3 out; reset C6          |
//! | probes, Modbus RTU on RS-485                     | UART 2: G0 in, G1 out; driver enable C5  |
//! | contacts 0 to 13 of the mount table, closed = 0  | E0 E1 E2 E3 F1 A6 A7 B4 B5 B6 D4 D5 D6 D7|
//! | strike relay, high = released                    | C4                                       |
//! | buzzer, lamps for granted and denied             | PCA9552 on I2C, 0x60: LED1, LED2, LED3   |
//! | lamp beside the relay (shows the strike)         | the same: LED0                           |
//! | supply of the sensors, high = on                 | B0                                       |
//! | sensors of the mount table                       | I2C 0: B2 clock, B3 data                 |
//! | clock DS1338                                     | I2C 0, 0x68                              |
//! | memory 24C256, on the permanent supply           | I2C 0, 0x50                              |
//! | display SSD0323                                  | SSI 0: A2, A3, A5; C7 data, D0 select    |
//!
//! The memory's configuration block says who the node is and what is mounted; this table says where.
//! All tasks share one `Node` and none waits while it holds it. The supervisor feeds the watchdog
//! while every task is heard of. Nothing here restarts because the controller is away.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

#[cfg(all(feature = "tls", not(feature = "tls-test-seed")))]
compile_error!(
    "TLS needs random numbers, and the LM3S6965 has no source of them: take a board that has one \
     (stm32f767zi), or, for the tests on the emulated board, the feature `tls-test-seed` as well"
);

mod board;
mod display;
mod expander;
mod hal;
mod start;

use board::{CardReader, DISPLAY, Line, Shared, Typed};
use common::{Task, next_second};
use cortex_m_rt::entry;
use embassy_executor::Spawner;
use embassy_executor::raw::Executor;
use embassy_futures::join::join;
use embassy_net::Runner;
use hal::ethernet::Ethernet;
use hal::executor::Watched;
use node::parts::Parts;
use start::Network;
use static_cell::StaticCell;

#[entry]
fn main() -> ! {
    static EXECUTOR: StaticCell<Executor> = StaticCell::new();

    // This function never returns, so its frame lies below every task for ever: whatever is large
    // and needed only once is made in functions that do return.
    let (shared, parts, network) = start::start();
    hal::executor::run(EXECUTOR.init(hal::executor::new()), |spawner| {
        spawn(spawner, shared, parts, network);
    })
}

#[inline(never)]
fn spawn(spawner: Spawner, shared: &'static Shared, parts: &'static mut Parts, network: Network) {
    // Each task is spawned once, so its storage is free.
    spawner.spawn(frames(network.runner, shared).expect("spawned once"));
    spawner.spawn(sampler(shared, parts).expect("spawned once"));
    spawner.spawn(life(shared).expect("spawned once"));
    spawner.spawn(uplink(shared, network.stack, network.seed).expect("spawned once"));
    spawner.spawn(display(shared).expect("spawned once"));
    spawner.spawn(reader(shared).expect("spawned once"));
    spawner.spawn(probe(shared).expect("spawned once"));
    spawner.spawn(console(shared).expect("spawned once"));
    spawner.spawn(supervise(shared).expect("spawned once"));
}

/// Moves frames between the network and whoever is connected.
#[embassy_executor::task]
async fn frames(mut runner: Runner<'static, &'static mut Ethernet>, shared: &'static Shared) -> ! {
    let check_in = async {
        loop {
            shared.check_in(Task::Frames);
            next_second().await;
        }
    };
    Watched::new(Task::Frames as usize, join(runner.run(), check_in))
        .await
        .0
}

#[embassy_executor::task]
async fn sampler(shared: &'static Shared, parts: &'static mut Parts) -> ! {
    Watched::new(Task::Sampler as usize, common::sampler::run(shared, parts)).await
}

#[embassy_executor::task]
async fn life(shared: &'static Shared) -> ! {
    Watched::new(Task::Life as usize, common::life::run(shared)).await
}

#[embassy_executor::task]
async fn uplink(shared: &'static Shared, stack: embassy_net::Stack<'static>, seed: u32) -> ! {
    Watched::new(Task::Uplink as usize, common::uplink::run(shared, stack, seed)).await
}

#[embassy_executor::task]
async fn display(shared: &'static Shared) -> ! {
    Watched::new(DISPLAY, display::run(shared)).await
}

#[embassy_executor::task]
async fn reader(shared: &'static Shared) -> ! {
    Watched::new(
        Task::Reader as usize,
        common::reader::run(shared, CardReader::start()),
    )
    .await
}

#[embassy_executor::task]
async fn probe(shared: &'static Shared) -> ! {
    let line = Line::start(shared.provision);
    Watched::new(Task::Probe as usize, common::probe::run(shared, line)).await
}

#[embassy_executor::task]
async fn console(shared: &'static Shared) -> ! {
    Watched::new(Task::Console as usize, common::console::run(shared, Typed)).await
}

#[embassy_executor::task]
async fn supervise(shared: &'static Shared) -> ! {
    common::supervise::run(shared).await
}
