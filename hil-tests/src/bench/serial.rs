//! A real board on the bench: its console on one serial port, a stimulus box on another, and the
//! simulated reader and probe on two more where they are connected.
//!
//! | variable     | port                                                                      |
//! |--------------|---------------------------------------------------------------------------|
//! | `HIL_PORT`   | the board's console                                                       |
//! | `HIL_BOX`    | the stimulus box                                                          |
//! | `HIL_READER` | USB-TTL at the board's reader UART, answered as a PN532; optional         |
//! | `HIL_PROBE`  | USB-RS485 at the board's probe line, answered as Modbus RTU; optional     |
//! | `HIL_BROKER` | address and port where the broker listens, as the board reaches this host |
//!
//! The stimulus box is a second microcontroller with relays and inputs. It speaks lines of ASCII
//! at 115200 8N1 and answers each with `ok`, `ok <level>` or `no <why>`:
//!
//! ```text
//! C <channel> <0|1>   opens (1) or closes a contact      T <milli>      temperature at the sensor
//! L <0|1>             network cable                      V <line> <mV>  voltage; line 255: supply
//! P <0|1>             power                              R              presses reset
//! H                   hangs the node                     O <output>     level of an output
//! ```
//! When an output switches, it says so by itself: `! <output> <0|1>`. Outputs are numbered as in
//! [`Output::ALL`]; 4 is the reset pin of the reader.

use super::{ANSWER, Bench, Line, MAX_TRACE, Output, Picture, Switched};
use crate::pn532::{self, Reader};
use crate::probe::{self, Probe};
use crate::wait_for;
use shared::console;
use shared::provision::Provision;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, ReadHalf, WriteHalf,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_serial::{SerialPortBuilderExt as _, SerialStream};

/// The box's number of the reader's reset pin.
const READER_RESET: usize = Output::ALL.len();
/// Bits per second of the box and of the reader.
const BAUD: u32 = 115_200;
/// Bits per second of the probe's line.
const PROBE_BAUD: u32 = 9_600;
/// Answers of the box that nobody waits for any more.
const MAX_ANSWERS: usize = 16;

/// Where a real board is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    /// Its console.
    pub console: String,
    /// The stimulus box.
    pub stimulus: String,
    /// Its reader's UART.
    pub reader: Option<String>,
    /// Its probes' line.
    pub probe: Option<String>,
}

impl Ports {
    /// What the environment says; nothing without `HIL_PORT`.
    ///
    /// # Panics
    /// When there is a board but no stimulus box.
    #[must_use]
    pub fn of_environment() -> Option<Self> {
        let port = |name: &str| std::env::var(name).ok().filter(|port| !port.is_empty());
        Some(Self {
            console: port("HIL_PORT")?,
            stimulus: port("HIL_BOX").expect("HIL_PORT is set: HIL_BOX must name the stimulus box's port"),
            reader: port("HIL_READER"),
            probe: port("HIL_PROBE"),
        })
    }
}

/// True when no real board is connected, which is said aloud. Unlike a missing program this is no
/// failure under CI: a board cannot be installed.
#[must_use]
#[expect(clippy::print_stderr, reason = "the log of the test")]
pub fn no_board() -> bool {
    let none = Ports::of_environment().is_none();
    if none {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        eprintln!("SKIPPED {test}: no real board (HIL_PORT, HIL_BOX)");
        crate::note_skipped(test, "no real board (HIL_PORT, HIL_BOX)");
    }
    none
}

/// What came from board and box since the bench was made.
#[derive(Debug, Clone, Default)]
struct Seen {
    console: Arc<Mutex<String>>,
    trace: Arc<Mutex<Vec<Switched>>>,
}

/// A real board. See the module.
#[derive(Debug)]
pub struct SerialBench {
    console: WriteHalf<SerialStream>,
    stimulus: WriteHalf<SerialStream>,
    answers: mpsc::Receiver<String>,
    reader: Reader,
    probe: Probe,
    seen: Seen,
    _tasks: JoinSet<()>,
}

impl SerialBench {
    /// Opens the ports and powers the board on, with closed contacts and 25 °C.
    ///
    /// # Panics
    /// When a port cannot be opened or the box does not answer.
    pub async fn open(ports: &Ports) -> Self {
        let (reader, probe, seen) = (Reader::new(), Probe::new(), Seen::default());
        let mut tasks = JoinSet::new();
        let (from_console, console) = tokio::io::split(port(&ports.console, console::BAUD));
        tasks.spawn(listen(from_console, Arc::clone(&seen.console)));
        let (from_box, stimulus) = tokio::io::split(port(&ports.stimulus, BAUD));
        let (to_answers, answers) = mpsc::channel(MAX_ANSWERS);
        tasks.spawn(sort(
            from_box,
            to_answers,
            Arc::clone(&seen.trace),
            reader.clone(),
        ));
        if let Some(path) = &ports.reader {
            tasks.spawn(pn532::serve(port(path, BAUD), reader.clone()));
        }
        if let Some(path) = &ports.probe {
            tasks.spawn(probe::serve(port(path, PROBE_BAUD), probe.clone()));
        }
        let mut bench = Self {
            console,
            stimulus,
            answers,
            reader,
            probe,
            seen,
            _tasks: tasks,
        };
        bench.temperature(25_000).await;
        bench.link(true).await;
        bench.power_on().await;
        bench
    }

    /// Gives the board its block over its console, as `yagura node provision` does, after erasing
    /// the node that it was.
    ///
    /// # Panics
    /// When the board refuses or does not answer.
    pub async fn provision(&mut self, provision: &Provision) {
        let who = self.say("?").await;
        let was = who.split_whitespace().nth(2).unwrap_or("none").to_owned();
        if was != "none" {
            self.say(&format!("erase {was}")).await;
            self.power_cut().await;
            self.power_on().await;
        }
        let block = provision.encode();
        self.say("begin").await;
        for n in 0..console::CHUNKS {
            self.say(&console::chunk(&block, n)).await;
        }
        self.say(&console::commit(&block)).await;
    }

    /// Types a line and waits for the board's answer to it.
    async fn say(&mut self, line: &str) -> String {
        let before = self.console().len();
        self.type_line(line).await;
        let what = format!("the board's answer to `{line}`");
        let answer = wait_for(&what, ANSWER, async || {
            let console = self.console();
            // What comes before the line's end may still grow.
            let (whole, _) = console.get(before..)?.rsplit_once('\n')?;
            let mut lines = whole.lines().map(str::trim);
            lines
                .find(|line| line.starts_with(console::ANSWER) || line.starts_with(console::REFUSAL))
                .map(str::to_owned)
        });
        let answer = answer.await;
        assert!(answer.starts_with(console::ANSWER), "the board: {answer}");
        answer
    }

    /// Has the box do something; what it answers after `ok`.
    async fn ask(&mut self, line: &str) -> String {
        while self.answers.try_recv().is_ok() {}
        let exchange = async {
            self.stimulus
                .write_all(format!("{line}\n").as_bytes())
                .await
                .ok()?;
            self.answers.recv().await
        };
        let answer = timeout(ANSWER, exchange).await.ok().flatten();
        let answer = answer.unwrap_or_else(|| panic!("the stimulus box does not answer `{line}`"));
        let done = answer.strip_prefix("ok").map(str::trim);
        done.unwrap_or_else(|| panic!("the stimulus box on `{line}`: {answer}"))
            .to_owned()
    }
}

fn port(path: &str, baud: u32) -> SerialStream {
    let port = tokio_serial::new(path, baud).open_native_async();
    port.unwrap_or_else(|error| panic!("opening {path}: {error}"))
}

async fn listen(mut from: ReadHalf<SerialStream>, console: Arc<Mutex<String>>) {
    let mut buffer = [0; 256];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        locked(&console).push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
}

/// Tells what the box says by itself from its answers.
async fn sort(
    from: ReadHalf<SerialStream>,
    answers: mpsc::Sender<String>,
    trace: Arc<Mutex<Vec<Switched>>>,
    reader: Reader,
) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let line = line.trim();
        let Some(switched) = line.strip_prefix("! ") else {
            // Nobody waits for an answer that does not fit any more.
            let _ = answers.try_send(line.to_owned());
            continue;
        };
        let mut words = switched.split_whitespace();
        let number = words.next().and_then(|word| word.parse::<usize>().ok());
        let (Some(number), Some(level)) = (number, words.next()) else {
            continue;
        };
        if number == READER_RESET {
            reader.reset_pin(level == "1");
        } else if let Some(output) = Output::ALL.get(number) {
            let mut trace = locked(&trace);
            if trace.len() < MAX_TRACE {
                trace.push(Switched {
                    output: *output,
                    on: level == "1",
                    at: Instant::now(),
                });
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bench for SerialBench {
    async fn power_on(&mut self) {
        self.reader.power_cycle();
        self.ask("P 1").await;
    }

    async fn power_cut(&mut self) {
        self.ask("P 0").await;
    }

    async fn reset(&mut self) {
        self.ask("R").await;
    }

    async fn hang(&mut self) -> bool {
        self.ask("H").await;
        true
    }

    /// A real board's resets are not seen from outside.
    fn resets(&self) -> Vec<String> {
        Vec::new()
    }

    async fn contact(&mut self, channel: u8, open: bool) {
        self.ask(&format!("C {channel} {}", u8::from(open))).await;
    }

    async fn temperature(&mut self, milli: i32) {
        self.ask(&format!("T {milli}")).await;
    }

    async fn line_voltage(&mut self, line: Line, millivolts: u16) {
        let number = match line {
            Line::Supervised(number) => number,
            Line::Supply => u8::MAX,
        };
        self.ask(&format!("V {number} {millivolts}")).await;
    }

    async fn link(&mut self, up: bool) {
        self.ask(&format!("L {}", u8::from(up))).await;
    }

    async fn rtc(&mut self, _unix_s: u64) -> bool {
        false
    }

    fn reader(&self) -> &Reader {
        &self.reader
    }

    fn probe(&self) -> &Probe {
        &self.probe
    }

    async fn output(&mut self, output: Output) -> bool {
        let number = Output::ALL.iter().position(|one| *one == output);
        let number = number.expect("one of all");
        self.ask(&format!("O {number}")).await == "1"
    }

    fn trace(&self) -> Vec<Switched> {
        locked(&self.seen.trace).clone()
    }

    async fn screenshot(&mut self) -> Option<Picture> {
        None
    }

    fn console(&self) -> String {
        locked(&self.seen.console).clone()
    }

    async fn type_line(&mut self, line: &str) {
        let typed = self.console.write_all(format!("{line}\r\n").as_bytes()).await;
        typed.expect("the console's port takes what is typed");
    }

    fn eeprom(&self) -> Option<Vec<u8>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::fs::File;
    use std::time::Duration;
    use tokio_serial::SerialPort as _;

    const BOUND: Duration = Duration::from_secs(10);

    /// A pseudo terminal: our end, what keeps the far end open, and its path.
    fn terminal() -> (SerialStream, File, String) {
        use std::os::unix::fs::OpenOptionsExt as _;
        let (near, far) = SerialStream::pair().unwrap();
        let path = far.name().unwrap();
        // Without becoming this process's terminal, and without the lock of a port in use.
        let no_terminal = rustix::fs::OFlags::NOCTTY.bits().cast_signed();
        let mut options = File::options();
        options.read(true).write(true).custom_flags(no_terminal);
        (near, options.open(&path).unwrap(), path)
    }

    /// A stimulus box with a board behind it, reduced to what answers: relays, and a node that
    /// closes the strike when its first contact closes.
    async fn respond(line: SerialStream, done: Arc<Mutex<Vec<String>>>) {
        let (from, mut to) = tokio::io::split(line);
        let mut lines = BufReader::new(from).lines();
        let mut outputs = BTreeMap::from([("0", "0")]);
        while let Ok(Some(line)) = lines.next_line().await {
            locked(&done).push(line.clone());
            let answer = match line.split(' ').collect::<Vec<_>>()[..] {
                ["C", "0", level] => {
                    let level = if level == "1" { "1" } else { "0" };
                    outputs.insert("0", level);
                    format!("! 0 {level}\n! 4 0\n! 4 1\nok\n")
                }
                ["C", ..] => "no such contact\n".to_owned(),
                ["O", number] => format!("ok {}\n", outputs.get(number).unwrap_or(&"0")),
                _ => "ok\n".to_owned(),
            };
            to.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn the_stimulus_box_is_obeyed_and_heard() {
        let (console, _console, console_path) = terminal();
        let (stimulus, _stimulus, stimulus_path) = terminal();
        let done = Arc::default();
        tokio::spawn(respond(stimulus, Arc::clone(&done)));
        let ports = Ports {
            console: console_path,
            stimulus: stimulus_path,
            reader: None,
            probe: None,
        };
        let mut bench = SerialBench::open(&ports).await;
        bench.contact(0, true).await;
        assert!(bench.output(Output::Strike).await);
        bench.contact(0, false).await;
        bench.output_wait(Output::Strike, false, BOUND).await;
        bench.line_voltage(Line::Supervised(1), 1_650).await;
        bench.line_voltage(Line::Supply, 11_900).await;
        bench.power_cut().await;
        let expected = "T 25000|L 1|P 1|C 0 1|O 0|C 0 0|O 0|V 1 1650|V 255 11900|P 0";
        assert_eq!(locked(&done).join("|"), expected);
        let trace: Vec<_> = bench.trace().iter().map(|one| (one.output, one.on)).collect();
        assert_eq!(trace, [(Output::Strike, true), (Output::Strike, false)]);
        assert_eq!(
            bench.reader().resets(),
            2,
            "the box reports the reader's reset pin"
        );
        drop(console);
    }

    #[tokio::test]
    async fn a_node_is_erased_and_given_its_block_over_the_console() {
        let (console, _console, console_path) = terminal();
        let (stimulus, _stimulus, stimulus_path) = terminal();
        tokio::spawn(respond(stimulus, Arc::default()));
        let (block, typed) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (copy, lines_typed) = (Arc::clone(&block), Arc::clone(&typed));
        tokio::spawn(async move {
            let (from, mut to) = tokio::io::split(console);
            let mut lines = BufReader::new(from).lines();
            to.write_all(b"node 3 firmware 0.2.0\r\n").await.unwrap();
            while let Ok(Some(line)) = lines.next_line().await {
                let line = line.trim();
                let words: Vec<&str> = line.split(' ').collect();
                locked(&lines_typed).push(words[0].to_owned());
                let answer = match words[..] {
                    ["?"] => "= node 3 firmware 0.2.0 state running key 1".to_owned(),
                    ["chunk", n, digits, _] => {
                        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
                        locked(&copy).extend((0..digits.len()).step_by(2).map(byte));
                        format!("= chunk {n}")
                    }
                    _ => format!("= {line}"),
                };
                let log = "broker: connected\r\n";
                to.write_all(format!("{log}{answer}\r\n").as_bytes())
                    .await
                    .unwrap();
            }
        });
        let ports = Ports {
            console: console_path,
            stimulus: stimulus_path,
            reader: None,
            probe: None,
        };
        let mut bench = SerialBench::open(&ports).await;
        let ours = Provision::new(7, 1, [9; 32], [127, 0, 0, 1], 1883);
        bench.provision(&ours).await;
        assert_eq!(*locked(&block), ours.encode());
        let typed = locked(&typed);
        assert_eq!(typed[..3], ["?", "erase", "begin"]);
        assert_eq!(typed.last().map(String::as_str), Some("commit"));
        assert_eq!(typed.len(), 3 + usize::from(console::CHUNKS) + 1);
        assert!(bench.console().contains("broker: connected"));
    }

    #[tokio::test]
    async fn the_simulated_reader_answers_on_a_serial_port() {
        let (console, _console, console_path) = terminal();
        let (stimulus, _stimulus, stimulus_path) = terminal();
        let (mut node, _node, reader_path) = terminal();
        tokio::spawn(respond(stimulus, Arc::default()));
        let ports = Ports {
            console: console_path,
            stimulus: stimulus_path,
            reader: Some(reader_path),
            probe: None,
        };
        let _bench = SerialBench::open(&ports).await;
        node.write_all(&[0x55, 0x55, 0, 0, 0]).await.unwrap();
        let version = [0, 0, 0xff, 0x02, 0xfe, 0xd4, 0x02, 0x2a, 0x00];
        node.write_all(&version).await.unwrap();
        let mut answer = [0; 19];
        timeout(BOUND, node.read_exact(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(answer[11..17], [0xd5, 3, 0x32, 1, 6, 7]);
        drop(console);
    }
}
