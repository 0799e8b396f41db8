//! A simulated PN532 card reader on its high-speed UART, for emulated and real nodes alike.
//!
//! It knows the frames of the PN532 User Manual (UM0701-02, section 6.2) and the commands that an
//! access reader needs (section 7): firmware version, SAM and RF configuration, general status,
//! tests of line and antenna, passive targets of Type A (106 kbit/s) and FeliCa (212 and 424), release
//! and power down. Every other command is answered by the chip's own error frame.
//!
//! ```text
//! reset or power --> Asleep --0x55--> LowVbat --SAMConfiguration--> Normal --PowerDown--> Asleep
//! ```
//! Like the chip it answers nothing while it sleeps, acknowledges a command before it obeys, and
//! with endless retries keeps silent until a card comes or the host sends something new.
//!
//! [`Chip`] does no I/O and has no clock; [`serve`] moves its bytes over any line. A test holds a
//! [`Reader`]: it presents cards, mutes the chip, spoils its answers and sees its reset pin.
//!
//! It is no radio: one card at a time, no collisions, and an attempt to find a card always takes
//! [`ATTEMPT`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Time of one attempt to find a card; about what the chip takes for a request without answer.
pub const ATTEMPT: Duration = Duration::from_millis(5);
/// Most bytes of an unfinished frame that are kept: a frame of 255 bytes with its envelope.
const MAX_INPUT: usize = 300;
/// Most commands that are remembered for a test to look at.
const MAX_COMMANDS: usize = 4096;

const ACK: [u8; 6] = [0, 0, 0xff, 0, 0xff, 0];
/// The application level error frame (6.2.1.5).
const ERROR: [u8; 8] = [0, 0, 0xff, 1, 0xff, 0x7f, 0x81, 0];
const TO_CHIP: u8 = 0xd4;
const TO_HOST: u8 = 0xd5;

/// A card in the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Card {
    /// ISO 14443 Type A with a UID of 4, 7 or 10 bytes.
    TypeA(Vec<u8>),
    /// FeliCa with its IDm.
    Felica([u8; 8]),
}

/// How far the chip is awake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// After reset, power-up and PowerDown; hears only the wake-up byte.
    Asleep,
    /// Awake; SAMConfiguration has not been sent.
    LowVbat,
    Normal,
}

/// A search for a card that is not answered yet.
#[derive(Debug, Clone, Copy)]
struct Search {
    felica: bool,
    /// When to answer that there is none; never with endless retries.
    give_up: Option<Instant>,
    /// Not earlier than this.
    ready: Instant,
}

/// The chip behind the line, without line and clock.
#[derive(Debug)]
struct Chip {
    mode: Mode,
    input: Vec<u8>,
    /// MxRtyPassiveActivation: 0xff is endless (7.3.1, item 5).
    retries: u8,
    search: Option<Search>,
    last_answer: Vec<u8>,
    target: bool,
}

impl Chip {
    const fn new() -> Self {
        Self {
            mode: Mode::Asleep,
            input: Vec::new(),
            retries: 0xff,
            search: None,
            last_answer: Vec::new(),
            target: false,
        }
    }

    /// Takes bytes of the host; gives what the chip says at once.
    fn take(&mut self, bytes: &[u8], now: Instant, seen: &mut Vec<u8>) -> Vec<u8> {
        let mut out = Vec::new();
        for byte in bytes {
            if self.mode == Mode::Asleep {
                if *byte == 0x55 {
                    self.mode = Mode::LowVbat;
                }
                continue;
            }
            self.input.push(*byte);
            while let Some((frame, used)) = frame(&self.input) {
                self.input.drain(..used);
                self.obey(&frame, now, seen, &mut out);
            }
            if self.input.len() > MAX_INPUT {
                self.input.drain(..self.input.len() - MAX_INPUT);
            }
        }
        out
    }

    fn obey(&mut self, frame: &Frame, now: Instant, seen: &mut Vec<u8>, out: &mut Vec<u8>) {
        // Whatever the host says ends a search (6.2.1.3, abort).
        self.search = None;
        match frame {
            Frame::Ack | Frame::Spoilt => {}
            Frame::Nack => out.extend(&self.last_answer),
            Frame::Command(command) => {
                out.extend(ACK);
                let Some((code, parameters)) = command.split_first() else {
                    return out.extend(ERROR);
                };
                if seen.len() < MAX_COMMANDS {
                    seen.push(*code);
                }
                match self.answer(*code, parameters, now) {
                    Some(answer) => out.extend(self.say(*code, &answer)),
                    None if self.search.is_some() => {}
                    None => out.extend(ERROR),
                }
            }
        }
    }

    /// The answer to a command; nothing while it searches, and when it is an error.
    fn answer(&mut self, code: u8, parameters: &[u8], now: Instant) -> Option<Vec<u8>> {
        match (code, parameters) {
            // GetFirmwareVersion: PN532, 1.6, Type A, B and ISO 18092.
            (0x02, []) => Some(vec![0x32, 1, 6, 7]),
            // GetGeneralStatus: no error, field on, targets, SAM.
            (0x04, []) => {
                let mut status = vec![0, 1, u8::from(self.target)];
                if self.target {
                    status.extend([1, 0, 0, 0]);
                }
                status.push(0x80);
                Some(status)
            }
            // Diagnose, communication line: says back what it was told.
            (0x00, [0, rest @ ..]) => Some([&[0], rest].concat()),
            // Diagnose, antenna: 0 is well.
            (0x00, [7, _]) => Some(vec![0]),
            // SetParameters.
            (0x12, [_]) => Some(Vec::new()),
            // SAMConfiguration; 1 is normal mode.
            (0x14, [mode, ..]) => {
                self.mode = if *mode == 1 { Mode::Normal } else { Mode::LowVbat };
                Some(Vec::new())
            }
            (0x16, [_, ..]) => {
                self.mode = Mode::Asleep;
                Some(vec![0])
            }
            // RFConfiguration: the field, or the retries.
            (0x32, [5, _, _, retries]) => {
                self.retries = *retries;
                Some(Vec::new())
            }
            (0x32, [1 | 2 | 4 | 0x0a..=0x0d, _, ..]) => Some(Vec::new()),
            // InDeselect, InRelease.
            (0x44 | 0x52, [_]) => {
                self.target = false;
                Some(vec![0])
            }
            // InListPassiveTarget: 106 kbit/s, or FeliCa with its polling command.
            (0x4a, [1 | 2, rate, rest @ ..]) if self.mode == Mode::Normal => {
                let felica = match (rate, rest) {
                    (0, []) => false,
                    (1 | 2, [0, _, _, _, _]) => true,
                    _ => return None,
                };
                let attempts = (self.retries != 0xff).then(|| u32::from(self.retries) + 1);
                self.search = Some(Search {
                    felica,
                    ready: now + ATTEMPT,
                    give_up: attempts.map(|attempts| now + ATTEMPT * attempts),
                });
                None
            }
            _ => None,
        }
    }

    /// Answers the search that is under way, when there is something to answer.
    fn look(&mut self, card: Option<&Card>, now: Instant) -> Option<Vec<u8>> {
        let search = self.search.filter(|search| now >= search.ready)?;
        let found = match card {
            Some(Card::TypeA(uid)) if !search.felica => {
                // SENS_RES by the length of the UID, SEL_RES of a card without ISO 14443-4.
                let sens: [u8; 2] = match uid.len() {
                    4 => [0, 0x04],
                    7 => [0, 0x44],
                    _ => [0, 0x84],
                };
                let length = u8::try_from(uid.len()).unwrap_or(u8::MAX);
                Some([&[1, 1, sens[0], sens[1], 0x08, length][..], uid].concat())
            }
            Some(Card::Felica(idm)) if search.felica => {
                // POL_RES: its length, code 1, IDm and eight bytes of manufacture parameters.
                Some([&[1, 1, 18, 1][..], idm, &[0x00, 0xf1, 0, 0, 0, 1, 0x43, 0]].concat())
            }
            _ => None,
        };
        let nothing = search.give_up.is_some_and(|at| now >= at).then(|| vec![0]);
        self.target = found.is_some();
        let answer = found.or(nothing)?;
        self.search = None;
        Some(self.say(0x4a, &answer))
    }

    /// When [`Self::look`] may have something new to say without any card coming or going.
    fn due(&self, now: Instant) -> Option<Instant> {
        let search = self.search?;
        if now < search.ready {
            Some(search.ready)
        } else {
            search.give_up
        }
    }

    fn say(&mut self, code: u8, answer: &[u8]) -> Vec<u8> {
        let body = [&[TO_HOST, code.wrapping_add(1)], answer].concat();
        self.last_answer = envelope(&body);
        self.last_answer.clone()
    }
}

/// A normal information frame (6.2.1.1) of host or chip.
#[must_use]
pub fn envelope(body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).expect("a frame of the chip has at most 255 bytes");
    let sum = body.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    let head = [0, 0, 0xff, length, length.wrapping_neg()];
    [&head[..], body, &[sum.wrapping_neg(), 0]].concat()
}

/// What the host can send.
#[derive(Debug, PartialEq, Eq)]
enum Frame {
    Ack,
    Nack,
    Command(Vec<u8>),
    /// A frame with a wrong checksum: heard, not obeyed and not acknowledged.
    Spoilt,
}

/// The first whole frame and how many bytes it ends after; what stands before it is dropped.
fn frame(input: &[u8]) -> Option<(Frame, usize)> {
    let start = input.windows(2).position(|pair| pair == [0, 0xff])? + 2;
    let (length, check) = (*input.get(start)?, *input.get(start + 1)?);
    let body = start + 2;
    match (length, check) {
        (0, 0xff) => return Some((Frame::Ack, body)),
        (0xff, 0) => return Some((Frame::Nack, body)),
        _ if length.wrapping_add(check) != 0 || length == 0 => return Some((Frame::Spoilt, body)),
        _ => {}
    }
    let end = body + usize::from(length);
    let sum = input.get(end)?;
    let bytes = &input[body..end];
    let total = bytes.iter().fold(*sum, |sum, byte| sum.wrapping_add(*byte));
    let frame = match bytes {
        [TO_CHIP, command @ ..] if total == 0 => Frame::Command(command.to_vec()),
        _ => Frame::Spoilt,
    };
    Some((frame, end + 1))
}

/// What is wrong with the chip or its line.
#[derive(Debug, Default)]
struct Faults {
    mute: bool,
    unplugged: bool,
    /// Answers whose last checksum is to be wrong.
    spoilt: u32,
    /// Bytes to send out of turn.
    garbage: Vec<u8>,
}

#[derive(Debug)]
struct State {
    chip: Chip,
    card: Option<Card>,
    faults: Faults,
    /// Level of the reset pin; low holds the chip.
    reset: bool,
    resets: u32,
    commands: Vec<u8>,
}

impl State {
    const fn is_deaf(&self) -> bool {
        self.faults.mute || self.faults.unplugged || self.reset
    }
}

/// A test's hand on the simulated reader. Clones are the same reader.
#[derive(Debug, Clone)]
pub struct Reader {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// A reader without card, just powered.
    #[must_use]
    pub fn new() -> Self {
        let state = State {
            chip: Chip::new(),
            card: None,
            faults: Faults::default(),
            reset: false,
            resets: 0,
            commands: Vec::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            changed: Arc::new(Notify::new()),
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.locked());
        self.changed.notify_one();
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a card to the reader until [`Self::card_away`].
    pub fn card(&self, card: Card) {
        self.change(|state| state.card = Some(card));
    }

    /// Takes the card away.
    pub fn card_away(&self) {
        self.change(|state| state.card = None);
    }

    /// The chip hangs: it hears and says nothing, until its reset pin was pulsed.
    pub fn mute(&self) {
        self.change(|state| state.faults.mute = true);
    }

    /// Pulls its plug, or puts it back: what no reset pin cures.
    pub fn unplug(&self, out: bool) {
        self.change(|state| {
            state.faults.unplugged = out;
            state.chip = Chip::new();
        });
    }

    /// The next answers have a wrong checksum.
    pub fn spoil(&self, answers: u32) {
        self.change(|state| state.faults.spoilt = answers);
    }

    /// Bytes on the line that the chip never sent.
    pub fn garbage(&self, bytes: &[u8]) {
        self.change(|state| state.faults.garbage.extend(bytes));
    }

    /// The reset pin (RSTPD_N, active low) has this level. A chip that is held hears nothing and
    /// forgets its settings; a hanging one works again when it is let go.
    pub fn reset_pin(&self, high: bool) {
        self.change(|state| {
            if state.reset == high {
                // Held when the level is low.
                state.reset = !high;
                state.chip = Chip::new();
                if high {
                    state.resets += 1;
                    state.faults.mute = false;
                }
            }
        });
    }

    /// Cuts and restores its supply; a card stays where it is.
    pub fn power_cycle(&self) {
        self.change(|state| {
            state.chip = Chip::new();
            state.faults.mute = false;
        });
    }

    /// How often the reset pin was let go.
    #[must_use]
    pub fn resets(&self) -> u32 {
        self.locked().resets
    }

    /// Codes of the commands that the chip has heard.
    #[must_use]
    pub fn commands(&self) -> Vec<u8> {
        self.locked().commands.clone()
    }

    /// True while it looks for a card for ever: the host believes that nobody is there.
    #[must_use]
    pub fn is_left_alone(&self) -> bool {
        let chip = &self.locked().chip;
        chip.retries == 0xff && chip.search.is_some()
    }

    /// True while it looks for cards.
    #[must_use]
    pub fn searches(&self) -> bool {
        self.locked().chip.search.is_some()
    }

    /// Bytes from the host; what the chip says to them.
    fn hear(&self, bytes: &[u8], now: Instant) -> Vec<u8> {
        let mut state = self.locked();
        if state.is_deaf() {
            return Vec::new();
        }
        let State { chip, commands, .. } = &mut *state;
        let said = chip.take(bytes, now, commands);
        spoil(said, &mut state.faults)
    }

    /// What the chip says by itself.
    fn look(&self, now: Instant) -> Vec<u8> {
        let mut state = self.locked();
        let mut out = std::mem::take(&mut state.faults.garbage);
        if !state.is_deaf() {
            let State { chip, card, .. } = &mut *state;
            let said = chip.look(card.as_ref(), now).unwrap_or_default();
            out.extend(spoil(said, &mut state.faults));
        }
        out
    }

    fn due(&self, now: Instant) -> Option<Instant> {
        self.locked().chip.due(now)
    }
}

/// Spoils the checksum of an answer, when one is to be spoilt. Acknowledgements have none.
fn spoil(mut said: Vec<u8>, faults: &mut Faults) -> Vec<u8> {
    let longer = said.len() > ACK.len();
    if let Some(sum) = said.len().checked_sub(2).filter(|_| longer && faults.spoilt > 0) {
        faults.spoilt -= 1;
        said[sum] ^= 0x40;
    }
    said
}

/// Moves bytes between the reader and a line until the line ends.
pub async fn serve(line: impl AsyncRead + AsyncWrite, reader: Reader) {
    let (mut from, mut to) = tokio::io::split(line);
    let mut buffer = [0; 256];
    loop {
        let due = reader.due(Instant::now());
        let said = tokio::select! {
            // Both ends of this select lose nothing when the other one is first: a read that did
            // not finish has taken no byte.
            read = from.read(&mut buffer) => match read {
                Ok(length @ 1..) => reader.hear(&buffer[..length], Instant::now()),
                _ => return,
            },
            () = reader.changed.notified() => reader.look(Instant::now()),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => reader.look(Instant::now()),
        };
        if !said.is_empty() && to.write_all(&said).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wake-up of the manual (7.2.11): preamble long enough for the chip's oscillator.
    const WAKE: [u8; 16] = [0x55, 0x55, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    fn command(bytes: &[u8]) -> Vec<u8> {
        envelope(&[&[TO_CHIP], bytes].concat())
    }

    fn acknowledged(answer: &[u8]) -> Vec<u8> {
        [&ACK[..], answer].concat()
    }

    fn awake() -> Reader {
        let reader = Reader::new();
        reader.hear(&WAKE, Instant::now());
        let said = reader.hear(&command(&[0x14, 1, 0x14, 1]), Instant::now());
        assert_eq!(said, acknowledged(&[0, 0, 0xff, 2, 0xfe, 0xd5, 0x15, 0x16, 0]));
        reader
    }

    #[test]
    fn frames_are_those_of_the_manual() {
        // GetFirmwareVersion, UM0701-02 section 7.2.2.
        let asked = [0, 0, 0xff, 0x02, 0xfe, 0xd4, 0x02, 0x2a, 0x00];
        assert_eq!(command(&[2]), asked);
        let answer = [0, 0, 0xff, 6, 0xfa, 0xd5, 3, 0x32, 1, 6, 7, 0xe8, 0];
        assert_eq!(awake().hear(&asked, Instant::now()), acknowledged(&answer));
    }

    #[test]
    fn asleep_it_hears_nothing_but_the_wake_up() {
        let (reader, now) = (Reader::new(), Instant::now());
        assert_eq!(reader.hear(&command(&[2]), now), [0_u8; 0]);
        reader.hear(&WAKE, now);
        assert!(reader.hear(&command(&[2]), now).starts_with(&ACK));
        // It does not look for cards before SAMConfiguration.
        assert_eq!(reader.hear(&command(&[0x4a, 1, 0]), now), acknowledged(&ERROR));
        // And after PowerDown it sleeps again.
        reader.hear(&command(&[0x16, 0x10]), now);
        assert_eq!(reader.hear(&command(&[2]), now), [0_u8; 0]);
    }

    #[test]
    fn a_card_ends_the_search_for_its_kind_only() {
        let (reader, now) = (awake(), Instant::now());
        assert_eq!(reader.hear(&command(&[0x4a, 1, 0]), now), ACK);
        let later = now + ATTEMPT;
        reader.card(Card::Felica([1, 2, 3, 4, 5, 6, 7, 8]));
        assert_eq!(reader.look(later), [0_u8; 0], "endless retries: no answer");
        reader.card(Card::TypeA(vec![0xde, 0xad, 0xbe, 0xef]));
        let found = [0xd5, 0x4b, 1, 1, 0, 4, 8, 4, 0xde, 0xad, 0xbe, 0xef];
        assert_eq!(reader.look(later), envelope(&found));
        assert_eq!(reader.look(later), [0_u8; 0], "answered once");

        reader.card(Card::Felica([1, 2, 3, 4, 5, 6, 7, 8]));
        reader.hear(&command(&[0x4a, 1, 1, 0, 0xff, 0xff, 0, 0]), later);
        let said = reader.look(later + ATTEMPT);
        assert_eq!(said[5..17], [0xd5, 0x4b, 1, 1, 18, 1, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn limited_retries_end_with_no_target_and_anything_new_aborts_the_search() {
        let (reader, now) = (awake(), Instant::now());
        reader.hear(&command(&[0x32, 5, 0xff, 1, 2]), now);
        reader.hear(&command(&[0x4a, 1, 0]), now);
        assert_eq!(reader.look(now + ATTEMPT * 2), [0_u8; 0]);
        assert_eq!(reader.look(now + ATTEMPT * 3), envelope(&[0xd5, 0x4b, 0]));
        reader.hear(&command(&[0x4a, 1, 0]), now);
        reader.hear(&ACK, now);
        reader.card(Card::TypeA(vec![1, 2, 3, 4]));
        assert_eq!(reader.look(now + ATTEMPT * 9), [0_u8; 0]);
    }

    #[test]
    fn noise_before_a_frame_is_skipped_and_a_spoilt_frame_is_not_obeyed() {
        let (reader, now) = (awake(), Instant::now());
        let mut spoilt = command(&[2]);
        let last = spoilt.len() - 2;
        spoilt[last] ^= 1;
        assert_eq!(reader.hear(&spoilt, now), [0_u8; 0]);
        let noisy = [&[0xff, 0x12, 0, 0, 7, 0xff][..], &command(&[2])].concat();
        assert!(reader.hear(&noisy, now).starts_with(&ACK));
        reader.hear(&[0xaa; 1000], now);
        assert!(reader.hear(&command(&[2]), now).starts_with(&ACK));
    }

    #[test]
    fn what_was_said_is_said_again_when_asked() {
        let (reader, now) = (awake(), Instant::now());
        reader.spoil(1);
        let spoilt = reader.hear(&command(&[2]), now);
        let again = reader.hear(&[0, 0, 0xff, 0xff, 0, 0], now);
        assert_eq!(again, envelope(&[0xd5, 3, 0x32, 1, 6, 7]));
        assert_ne!(spoilt, acknowledged(&again));
    }

    #[test]
    fn only_the_reset_pin_brings_a_hanging_chip_back() {
        let (reader, now) = (awake(), Instant::now());
        reader.mute();
        reader.hear(&WAKE, now);
        assert_eq!(reader.hear(&command(&[2]), now), [0_u8; 0]);
        reader.reset_pin(false);
        reader.hear(&WAKE, now);
        assert_eq!(reader.hear(&command(&[2]), now), [0_u8; 0], "held in reset");
        reader.reset_pin(true);
        assert_eq!(
            reader.hear(&command(&[2]), now),
            [0_u8; 0],
            "asleep after a reset"
        );
        reader.hear(&WAKE, now);
        assert!(reader.hear(&command(&[2]), now).starts_with(&ACK));
        assert_eq!(reader.resets(), 1);
    }

    #[tokio::test]
    async fn a_card_is_found_over_a_line() {
        let (ours, theirs) = tokio::io::duplex(256);
        let reader = Reader::new();
        let serving = tokio::spawn(serve(theirs, reader.clone()));
        let (mut from, mut to) = tokio::io::split(ours);
        to.write_all(&WAKE).await.unwrap();
        to.write_all(&command(&[0x14, 1, 0, 1])).await.unwrap();
        to.write_all(&command(&[0x4a, 1, 0])).await.unwrap();
        reader.card(Card::TypeA(vec![1, 2, 3, 4, 5, 6, 7]));
        let found = envelope(&[0xd5, 0x4b, 1, 1, 0, 0x44, 8, 7, 1, 2, 3, 4, 5, 6, 7]);
        let mut heard = Vec::new();
        let reading = async {
            while !heard.ends_with(&found) {
                heard.push(from.read_u8().await.unwrap());
            }
        };
        tokio::time::timeout(Duration::from_secs(10), reading)
            .await
            .unwrap();
        drop((from, to));
        serving.await.unwrap();
    }
}
