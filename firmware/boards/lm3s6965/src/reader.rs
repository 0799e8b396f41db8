//! The card reader: bytes between its port and [`node::reader::Reader`], its reset pin, and what it
//! says to the node.

use crate::board::{Shared, Task};
use crate::hal::clock::now_ms;
use crate::hal::gpio::Output;
use crate::hal::uart::{Parity, READER};
use embassy_futures::select::{Either, select};
use embassy_time::{Instant, Timer};
use node::reader::{Config, Event, Reader};

/// Bits per second of the reader's high-speed UART after its reset.
const BAUD: u32 = 115_200;
/// Bytes taken at once; more wait in the ring.
const PIECE: usize = 32;

/// Serves the reader for ever.
pub(crate) async fn run(shared: &'static Shared) -> ! {
    while shared.provision.portal.is_none() {
        shared.check_in(Task::Reader);
        Timer::after_millis(LONGEST_PAUSE_MS).await;
    }
    Output::ReaderReset.start(false);
    READER.start(BAUD, Parity::None);
    let mut reader = Reader::new(Config::default());
    let mut bytes = [0; PIECE];
    let mut length = 0;
    loop {
        shared.check_in(Task::Reader);
        if shared.is_watching() {
            let turn = reader.poll(now_ms(), &bytes[..length]);
            Output::ReaderReset.set(!turn.reset);
            READER.write(&turn.transmit);
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
            shared.garbled(Task::Reader, reader.garbage().saturating_add(READER.lost()));
        }
        let next = Instant::from_millis(reader.next_ms().clamp(now_ms() + 1, now_ms() + LONGEST_PAUSE_MS));
        length = match select(READER.read(&mut bytes), Timer::at(next)).await {
            Either::First(length) => length,
            Either::Second(()) => 0,
        };
    }
}

/// Between two check-ins, in milliseconds.
const LONGEST_PAUSE_MS: u64 = 2_500;
