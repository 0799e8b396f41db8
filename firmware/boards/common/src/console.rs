//! The serial console: who the node is and how it is, and its provisioning while it is none
//! ([`node::console`]).

use crate::{Board, Shared, Task, next_second};
use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Timer};
use embedded_io_async::Read;
use node::console::{Console, Request, Workbench};
use node::identity;
use node::memory::Memory;
use node::update::Firmware;
use shared::provision::{Provision, ProvisionError};

/// Bytes taken at once; more wait in the port's buffer.
const PIECE: usize = 32;
/// Time between two attempts to read a memory that does not answer.
const MEMORY_RETRY: Duration = Duration::from_secs(1);

/// Reads who we are. Without a block the console takes one; a memory that does not answer is asked
/// again and again. Nothing else runs meanwhile, so this feeds the watchdog.
pub async fn provision<B: Board>(
    board: &B,
    memory: &mut impl Memory,
    about: Firmware,
    port: &mut impl Read,
) -> Provision {
    loop {
        board.feed_watchdog();
        match identity::provision(memory) {
            Ok(Ok(provision)) => return provision,
            Ok(Err(why)) => {
                board.log(format_args!("{why}"));
                workbench(board, memory, about, why, port).await;
            }
            Err(fault) => {
                board.log(format_args!("{fault}"));
                board.free_bus();
                Timer::after(MEMORY_RETRY).await;
            }
        }
    }
}

/// Takes a block, until there is one.
async fn workbench<B: Board>(
    board: &B,
    memory: &mut impl Memory,
    about: Firmware,
    why: ProvisionError,
    port: &mut impl Read,
) {
    let mut console = Console::new();
    let mut bench = Workbench::new(about, why);
    while !bench.is_done() {
        board.feed_watchdog();
        lines(port, &mut console, |request| {
            let answer = bench.answer(request, memory);
            board.log(format_args!("{answer}"));
        })
        .await;
    }
}

/// Answers for ever.
pub async fn run<B: Board>(shared: &'static Shared<B>, mut port: impl Read) -> ! {
    let mut console = Console::new();
    loop {
        shared.check_in(Task::Console);
        lines(&mut port, &mut console, |request| {
            let answer = shared.step(|node, now_ms| node.answer(request, now_ms));
            shared.board.log(format_args!("{answer}"));
        })
        .await;
        let lost = shared.board.lost(Task::Console);
        shared.garbled(Task::Console, lost.saturating_add(console.refused().into()));
    }
}

/// What has come, or comes before the next second begins.
async fn lines(port: &mut impl Read, console: &mut Console, mut take: impl FnMut(Request)) {
    let mut bytes = [0; PIECE];
    match select(port.read(&mut bytes), next_second()).await {
        Either::First(Ok(length)) => bytes[..length]
            .iter()
            .filter_map(|byte| console.feed(*byte))
            .for_each(&mut take),
        // A line that is held low reports itself again and again.
        Either::First(Err(_)) => Timer::after_millis(1).await,
        Either::Second(()) => {}
    }
    // They may have held a key.
    bytes.fill(0);
}
