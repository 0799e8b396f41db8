//! The card reader: bytes between its port and [`node::reader::Reader`], its reset pin, and what it
//! says to the node.

use crate::{Board, Shared, Task, next_second, now_ms};
use embassy_futures::select::{Either, select};
use embassy_time::{Instant, Timer, with_timeout};
use embedded_io_async::{Read, Write};
use node::reader::{Config, Event, Reader};

/// Bits per second of the reader's high-speed UART after its reset (8N1).
pub const BAUD: u32 = 115_200;
/// Bytes taken at once; more wait in the port's buffer.
const PIECE: usize = 32;
/// Longest time between two check-ins, in milliseconds.
const LONGEST_PAUSE_MS: u64 = 1_000;
/// Longest time for the port to take a command: 48 bytes take 4 ms.
const SEND: embassy_time::Duration = embassy_time::Duration::from_millis(50);

/// Serves the reader for ever.
pub async fn run<B: Board>(shared: &'static Shared<B>, mut port: impl Read + Write) -> ! {
    let portal = loop {
        if let Some(portal) = &shared.provision.portal {
            break portal;
        }
        shared.check_in(Task::Reader);
        next_second().await;
    };
    let mut reader = Reader::new(Config {
        cards: portal.cards,
        ..Config::default()
    });
    let mut bytes = [0; PIECE];
    let mut length = 0;
    // What the port itself lost: overruns and breaks.
    let mut lost = 0_u32;
    loop {
        shared.check_in(Task::Reader);
        if shared.is_watching() {
            let turn = reader.poll(now_ms(), &bytes[..length]);
            shared.board.reset_reader(turn.reset);
            // A port that takes nothing shows as a reader that does not answer.
            if with_timeout(SEND, port.write_all(&turn.transmit)).await.is_err() {
                lost = lost.saturating_add(1);
            }
            match turn.event {
                Some(Event::Card { kind, uid }) => {
                    shared.step(|node, now_ms| node.card(kind, uid.as_slice(), now_ms));
                }
                Some(Event::State(state)) => shared.step(|node, now_ms| node.reader(state, now_ms)),
                Some(Event::SeveralCards | Event::RandomUid) => {
                    shared.step(|node, now_ms| node.unreadable(now_ms));
                }
                None => {}
            }
            let lost = lost.saturating_add(shared.board.lost(Task::Reader));
            shared.garbled(Task::Reader, reader.garbage().saturating_add(lost));
        }
        let next = Instant::from_millis(reader.next_ms().clamp(now_ms() + 1, now_ms() + LONGEST_PAUSE_MS));
        length = match select(port.read(&mut bytes), Timer::at(next)).await {
            Either::First(Ok(length)) => length,
            Either::First(Err(_)) => {
                lost = lost.saturating_add(1);
                // A line that is held low reports itself again and again.
                Timer::after_millis(1).await;
                0
            }
            Either::Second(()) => 0,
        };
    }
}
