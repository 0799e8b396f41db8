//! The emulated board with the real firmware, and every wire that goes to it.
//!
//! ```text
//! test --QMP----> temperature, voltages, cable, reset   qemu-system-arm -M lm3s6965evb
//!      --QTest--> contacts, I2C controller              runs firmware/.../release/lm3s6965
//!      <--trace-- outputs, the reader's reset pin       EEPROM = a file that outlives power cuts
//!      <--UART--> console; reader; probe                (sockets; the latter two are simulated)
//! ```
//! Each bench has its own folder, sockets and EEPROM; the guest reaches the host's loopback as
//! 10.0.2.2 ([`HOST`]). QEMU forgets the levels of its pins at every reset of the guest; the bench
//! sets them again, as wires would. Seen with QEMU 7.2; later versions may differ in details.
//!
//! ```no_run
//! # async fn example(broker_port: u16) {
//! use hil_tests::bench::{Bench, HOST, QemuBench};
//! let who = shared::provision::Provision::new(7, 1, [1; 32], HOST, broker_port);
//! let mut board = QemuBench::start(&who).await;
//! board.contact(QemuBench::DOOR, true).await;
//! board.temperature(31_500).await;
//! board.link(false).await;
//! board.power_cut().await;
//! board.power_on().await;
//! # }
//! ```

// Long because every wire of one machine comes and goes with its power.

use super::wires::{QTest, Qmp, debug_write};
use super::{ANSWER, Bench, Line, MAX_TRACE, Output, Picture, Switched, channel};
use crate::image::Image;
use crate::pn532::{self, Reader};
use crate::probe::{self, Probe};
use crate::{Child, wait_for};
use serde_json::json;
use shared::mount::{Mount, Part};
use shared::provision::Provision;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_serial::{SerialPort as _, SerialStream};
use tokio_util::sync::CancellationToken;

/// The host's loopback as the guest sees it.
pub const HOST: [u8; 4] = [10, 0, 2, 2];
/// Bytes of the board's EEPROM, a 24C256.
pub const EEPROM_LEN: usize = 32_768;
/// Between two writes that keep the I2C controller frozen.
const FREEZE_AGAIN: Duration = Duration::from_millis(20);

/// Pieces of the console that wait for a program to read its serial port.
const MAX_SHOWN: usize = 1024;

const QEMU: &str = "qemu-system-arm";
/// Thumb's branch to itself.
const BRANCH_TO_ITSELF: [u8; 2] = [0xfe, 0xe7];
/// Configuration register of the I2C master; 0 stops it, 0x10 lets it run.
const I2C_CONFIGURATION: &str = "0x40020020";
/// RAM of the board.
const RAM_AT: u64 = 0x2000_0000;
const RAM_LEN: u64 = 0x1_0000;
/// QEMU's number of port A; the others follow.
const FIRST_PORT: usize = 8;
const PORTS: usize = 7;
/// Port (A is 0) and pin of the board's places for contacts; a contact's `at` in the mount table
/// is the place in this list.
const CONTACTS: [(usize, u8); 14] = [
    (4, 0),
    (4, 1),
    (4, 2),
    (4, 3),
    (5, 1),
    (0, 6),
    (0, 7),
    (1, 4),
    (1, 5),
    (1, 6),
    (3, 4),
    (3, 5),
    (3, 6),
    (3, 7),
];
/// Port and pin of the strike's relay.
const STRIKE: (usize, u8) = (2, 4);
/// Port and pin of the reader's reset.
const READER_RESET: (usize, u8) = (2, 6);
/// Devices on the I2C bus beside sensor and EEPROM: clock, outputs, supervised lines, supply.
const PARTS: [&str; 4] = [
    "ds1338,address=0x68,id=rtc0",
    "pca9552,address=0x60,id=io0",
    "max34451,address=0x4e,id=adc0",
    "adm1272,address=0x10,id=pwr0",
];

/// The emulated board. Ends QEMU when it is dropped.
#[derive(Debug)]
pub struct QemuBench {
    folder: tempfile::TempDir,
    machine: Option<Machine>,
    /// Places of the contacts by channel, where the block has a mount table.
    places: BTreeMap<u8, u8>,
    wires: Wires,
    link: bool,
    rtc: Option<u64>,
    hasty: bool,
    firmware: PathBuf,
    reader: Reader,
    probe: Probe,
    seen: Seen,
    typing: Typing,
    terminal: Option<Terminal>,
}

/// The way to the console of the board that has power now.
type Typing = Arc<tokio::sync::Mutex<Option<OwnedWriteHalf>>>;

/// The console as a serial port.
#[derive(Debug)]
struct Terminal {
    path: String,
    /// As long as somebody holds it, our end reads on while no program has the port open.
    _far: File,
    /// Ends with this.
    _tasks: JoinSet<()>,
}

/// Levels that stay when the power goes.
#[derive(Debug)]
struct Wires {
    contacts: Contacts,
    temperature_milli: i32,
    lines: BTreeMap<Line, u16>,
}

/// Levels of the contacts by place, shared with the task that sets them again after a reset.
type Contacts = Arc<Mutex<BTreeMap<u8, bool>>>;

/// What came from the board since the bench was made.
#[derive(Debug, Clone, Default)]
struct Seen {
    console: Arc<Mutex<String>>,
    /// The console's bytes for the serial port, if there is one.
    port: Arc<Mutex<Option<mpsc::Sender<Vec<u8>>>>>,
    trace: Arc<Mutex<Vec<Switched>>>,
}

/// A running QEMU.
#[derive(Debug)]
struct Machine {
    child: Child,
    qmp: Qmp,
    qtest: Arc<QTest>,
    freezer: Option<(CancellationToken, JoinHandle<()>)>,
    /// Readers of the sockets; they end with this.
    _tasks: JoinSet<()>,
    resets: Arc<Mutex<Vec<String>>>,
}

impl QemuBench {
    /// Channel of the door contact.
    pub const DOOR: u8 = channel::DOOR;
    /// Channel of the leak contact.
    pub const LEAK: u8 = channel::LEAK;
    /// Channel of the temperature.
    pub const TEMPERATURE: u8 = channel::TEMPERATURE;

    /// The firmware that `cargo xtask firmware` builds.
    #[must_use]
    pub fn firmware() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware/target/thumbv7m-none-eabi/release/lm3s6965")
    }

    /// The firmware that `cargo xtask firmware --tls` builds beside it.
    #[must_use]
    pub fn tls_firmware() -> PathBuf {
        Self::firmware().with_file_name("lm3s6965-tls")
    }

    /// From the next power-on it runs this program.
    pub fn flash(&mut self, firmware: PathBuf) {
        self.firmware = firmware;
    }

    /// What is missing for a bench on this machine, in words that say how to get it.
    #[must_use]
    pub fn missing() -> Option<String> {
        if !crate::installed(QEMU) {
            return Some(format!("{QEMU} (apt-get install qemu-system-arm)"));
        }
        (!Self::firmware().exists()).then(|| "the firmware (cargo xtask firmware)".to_owned())
    }

    /// A board of this node, powered on, with closed contacts and 25 °C.
    ///
    /// # Panics
    /// When QEMU does not start, saying why.
    pub async fn start(provision: &Provision) -> Self {
        let mut bench = Self::prepare(provision);
        bench.power_on().await;
        bench
    }

    /// As [`Self::start`], but without power.
    ///
    /// # Panics
    /// When the EEPROM's file cannot be written.
    #[must_use]
    pub fn prepare(provision: &Provision) -> Self {
        let is_contact = |mount: &Mount| mount.part == Part::Contact;
        let places: BTreeMap<u8, u8> = (0..)
            .zip(&provision.mounts)
            .filter_map(|(channel, mount)| Some((channel, mount.filter(is_contact)?.at)))
            .collect();
        let bench = Self::blank(places);
        bench.write_eeprom(0, &provision.encode());
        bench
    }

    /// A board out of the box, without power: its EEPROM is blank. `places` are the contacts by
    /// channel that it will be given; a channel that is not among them is its own place.
    ///
    /// # Panics
    /// When the EEPROM's file cannot be written.
    #[must_use]
    pub fn blank(places: BTreeMap<u8, u8>) -> Self {
        let bench = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            machine: None,
            places,
            wires: Wires {
                contacts: Arc::default(),
                temperature_milli: 25_000,
                lines: BTreeMap::new(),
            },
            link: true,
            rtc: None,
            hasty: false,
            firmware: Self::firmware(),
            reader: Reader::new(),
            probe: Probe::new(),
            seen: Seen::default(),
            typing: Typing::default(),
            terminal: None,
        };
        bench.write_eeprom(0, &[0xff; EEPROM_LEN]);
        bench
    }

    /// From the next power-on the node's time does not wait for ours: it runs as fast as this
    /// machine computes, and jumps to the next timer when there is nothing to do.
    pub const fn hurry(&mut self) {
        self.hasty = true;
    }

    /// Writes to the EEPROM behind the firmware's back.
    ///
    /// # Panics
    /// When the board has power: QEMU would not see it.
    pub fn write_eeprom(&self, at: usize, bytes: &[u8]) {
        use std::io::{Seek as _, SeekFrom};
        assert!(self.machine.is_none(), "the EEPROM is written without power only");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.eeprom_file());
        let mut file = file.expect("opening the EEPROM's file");
        file.seek(SeekFrom::Start(at as u64))
            .expect("seeking in the EEPROM's file");
        file.write_all(bytes).expect("writing the EEPROM's file");
    }

    fn eeprom_file(&self) -> PathBuf {
        self.folder.path().join("eeprom.bin")
    }

    /// Freezes the I2C bus, with sensor and EEPROM on it: writes vanish, reads repeat the last
    /// byte, and nothing reports an error. The firmware's own attempts to free the bus are undone
    /// until [`Self::thaw_i2c`], so that a bus that cannot be freed can be seen.
    ///
    /// # Panics
    /// When the power is off or QEMU does not answer.
    pub async fn freeze_i2c(&mut self) {
        let machine = self.powered();
        machine.qtest.write(I2C_CONFIGURATION, 0).await;
        if machine.freezer.is_some() {
            return;
        }
        let enough = CancellationToken::new();
        let (qtest, ended) = (Arc::clone(&machine.qtest), enough.clone());
        let freezing = tokio::spawn(async move {
            // Ends by itself when the power is cut.
            while qtest.try_write(I2C_CONFIGURATION, 0).await {
                let pause = tokio::time::sleep(FREEZE_AGAIN);
                if ended.run_until_cancelled(pause).await.is_none() {
                    return;
                }
            }
        });
        machine.freezer = Some((enough, freezing));
    }

    /// Freezes the I2C bus once; the firmware can free it.
    ///
    /// # Panics
    /// When the power is off or QEMU does not answer.
    pub async fn glitch_i2c(&mut self) {
        self.powered().qtest.write(I2C_CONFIGURATION, 0).await;
    }

    /// Ends [`Self::freeze_i2c`].
    ///
    /// # Panics
    /// When the power is off or QEMU does not answer.
    pub async fn thaw_i2c(&mut self) {
        let machine = self.powered();
        if let Some((enough, freezing)) = machine.freezer.take() {
            enough.cancel();
            let _ = freezing.await;
        }
        machine.qtest.write(I2C_CONFIGURATION, 0x10).await;
    }

    /// Stops the timer that wakes the firmware's tasks, once: none of them runs any more.
    ///
    /// # Panics
    /// When the power is off or QEMU does not answer.
    pub async fn stop_timer(&mut self) {
        self.powered().qtest.write("0x4003000c", 0).await;
    }

    /// Ends [`Bench::hang`], from the next reset on.
    ///
    /// # Panics
    /// When the power is off or QEMU does not answer.
    pub async fn mend(&mut self) {
        let (at, image) = hanging_place();
        let bytes = image.flash_at(at, BRANCH_TO_ITSELF.len());
        self.patch(&bytes).await;
    }

    async fn patch(&mut self, bytes: &[u8]) {
        let (at, _) = hanging_place();
        debug_write(connect(&self.folder.path().join("gdb")).await, at, bytes).await;
    }

    /// What the RAM holds now. QEMU starts it with zeros, so what was never used is zero.
    ///
    /// # Panics
    /// When the power is off or QEMU does not answer.
    pub async fn ram(&mut self) -> Vec<u8> {
        let file = self.folder.path().join("ram.bin");
        let save = json!({ "val": RAM_AT, "size": RAM_LEN, "filename": file });
        self.powered().qmp.ask("pmemsave", save).await;
        std::fs::read(&file).expect("reading what QEMU has saved")
    }

    /// Saves the display as a PNG file, for people.
    ///
    /// # Panics
    /// When the power is off or QEMU does not answer.
    pub async fn save_screenshot(&mut self, file: &Path) {
        let dump = json!({ "filename": file, "format": "png" });
        self.powered().qmp.ask("screendump", dump).await;
    }

    /// The board's console as a serial port, for programs that open one. The port stays over
    /// resets and power cuts, as that of an adapter does.
    ///
    /// # Panics
    /// When the system gives no pseudo terminal.
    pub fn port(&mut self) -> String {
        use std::os::unix::fs::OpenOptionsExt as _;
        if let Some(terminal) = &self.terminal {
            return terminal.path.clone();
        }
        let (near, far) = SerialStream::pair().expect("a pseudo terminal");
        let path = far.name().expect("a pseudo terminal has a name");
        // Without becoming this process's terminal, and without the lock of a port in use.
        let no_terminal = rustix::fs::OFlags::NOCTTY.bits().cast_signed();
        let mut options = File::options();
        options.read(true).write(true).custom_flags(no_terminal);
        let held = options.open(&path).expect("opening the pseudo terminal");
        drop(far);
        let (from_program, to_program) = tokio::io::split(near);
        let (sender, from_board) = mpsc::channel(MAX_SHOWN);
        *locked(&self.seen.port) = Some(sender);
        let mut tasks = JoinSet::new();
        tasks.spawn(show(from_board, to_program));
        tasks.spawn(obey(from_program, Arc::clone(&self.typing)));
        self.terminal = Some(Terminal {
            path: path.clone(),
            _far: held,
            _tasks: tasks,
        });
        path
    }

    /// Process id of QEMU.
    ///
    /// # Panics
    /// When the power is off.
    #[must_use]
    pub fn process(&mut self) -> u32 {
        self.powered().child.id()
    }

    fn powered(&mut self) -> &mut Machine {
        self.machine.as_mut().expect("the board has power")
    }

    fn cut(&mut self) {
        if let Some(mut machine) = self.machine.take() {
            machine.child.kill();
        }
    }
}

impl Bench for QemuBench {
    async fn power_on(&mut self) {
        self.cut();
        self.reader.power_cycle();
        let machine = Machine::start(self).await;
        machine.temperature(self.wires.temperature_milli).await;
        for (line, millivolts) in &self.wires.lines {
            machine.voltage(*line, *millivolts).await;
        }
        if !self.link {
            machine.link(false).await;
        }
        let set = set_pins(&machine.qtest, &self.wires.contacts).await;
        assert!(set, "QEMU does not set the contacts' pins");
        machine.qmp.ask("cont", json!({})).await;
        self.machine = Some(machine);
    }

    /// QEMU is killed; the EEPROM keeps what was written.
    async fn power_cut(&mut self) {
        self.cut();
    }

    async fn reset(&mut self) {
        self.powered().qmp.ask("system_reset", json!({})).await;
    }

    /// The reader's task never comes back from its next look for a card, in this life and in those
    /// after it, until [`QemuBench::mend`] or a power cut.
    async fn hang(&mut self) -> bool {
        self.patch(&BRANCH_TO_ITSELF).await;
        true
    }

    /// As QEMU calls them: `RESET`, `WATCHDOG`.
    fn resets(&self) -> Vec<String> {
        self.machine
            .as_ref()
            .map_or_else(Vec::new, |machine| locked(&machine.resets).clone())
    }

    async fn contact(&mut self, channel: u8, open: bool) {
        let place = self.places.get(&channel).copied().unwrap_or(channel);
        locked(&self.wires.contacts).insert(place, open);
        if let Some(machine) = &self.machine {
            let set = set_pin(&machine.qtest, place, open).await;
            assert!(set, "QEMU does not set the pin of channel {channel}");
        }
    }

    async fn temperature(&mut self, milli: i32) {
        self.wires.temperature_milli = milli;
        if let Some(machine) = &self.machine {
            machine.temperature(milli).await;
        }
    }

    async fn line_voltage(&mut self, line: Line, millivolts: u16) {
        self.wires.lines.insert(line, millivolts);
        if let Some(machine) = &self.machine {
            machine.voltage(line, millivolts).await;
        }
    }

    async fn link(&mut self, up: bool) {
        self.link = up;
        if let Some(machine) = &self.machine {
            machine.link(up).await;
        }
    }

    async fn rtc(&mut self, unix_s: u64) -> bool {
        self.rtc = Some(unix_s);
        true
    }

    fn reader(&self) -> &Reader {
        &self.reader
    }

    fn probe(&self) -> &Probe {
        &self.probe
    }

    async fn output(&mut self, output: Output) -> bool {
        let pin = Output::ALL
            .iter()
            .position(|one| *one == output)
            .expect("one of all");
        let get = json!({ "path": "/machine/peripheral/io0", "property": format!("led{pin}") });
        self.powered().qmp.ask("qom-get", get).await == "on"
    }

    fn trace(&self) -> Vec<Switched> {
        locked(&self.seen.trace).clone()
    }

    async fn screenshot(&mut self) -> Option<Picture> {
        let file = self.folder.path().join("screen.ppm");
        self.powered()
            .qmp
            .ask("screendump", json!({ "filename": file }))
            .await;
        portable_pixmap(&std::fs::read(&file).expect("reading what QEMU has saved"))
    }

    fn console(&self) -> String {
        locked(&self.seen.console).clone()
    }

    async fn type_line(&mut self, line: &str) {
        let mut typing = self.typing.lock().await;
        let console = typing.as_mut().expect("the board has power");
        let typed = console.write_all(format!("{line}\r\n").as_bytes()).await;
        typed.expect("QEMU takes what is typed on the console");
    }

    fn eeprom(&self) -> Option<Vec<u8>> {
        Some(std::fs::read(self.eeprom_file()).expect("reading the EEPROM's file"))
    }
}

impl Drop for QemuBench {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("qemu.log")).unwrap_or_default();
            eprintln!(
                "--- the board's console ---\n{}--- QEMU says ---\n{log}--- outputs ---\n{:?}\n---",
                self.console(),
                self.trace()
            );
        }
        // No need to ask QEMU: it has nothing to save.
        self.cut();
    }
}

impl Machine {
    async fn start(bench: &QemuBench) -> Self {
        let folder = bench.folder.path();
        for name in ["qmp", "qtest", "gdb", "console", "reader", "probe"] {
            // Left over from before a power cut.
            let _ = std::fs::remove_file(folder.join(name));
        }
        let mut child = Child::start(&mut command(folder, &bench.firmware, bench.rtc, bench.hasty));
        let log = File::create(folder.join("qemu.log")).expect("writing to the bench's folder");
        let stderr = child.inner().stderr.take().expect("stderr is piped");
        let (trace, reader) = (Arc::clone(&bench.seen.trace), bench.reader.clone());
        // Ends with QEMU, which ends with the bench.
        std::thread::spawn(move || follow(stderr, log, &trace, &reader));
        let mut tasks = JoinSet::new();
        let (from_console, console) = connect(&folder.join("console")).await.into_split();
        *bench.typing.lock().await = Some(console);
        tasks.spawn(listen(from_console, bench.seen.clone()));
        tasks.spawn(pn532::serve(
            connect(&folder.join("reader")).await,
            bench.reader.clone(),
        ));
        tasks.spawn(probe::serve(
            connect(&folder.join("probe")).await,
            bench.probe.clone(),
        ));
        let qtest = Arc::new(QTest::new(connect(&folder.join("qtest")).await));
        let (qmp, events) = Qmp::start(connect(&folder.join("qmp")).await, &mut tasks).await;
        check_ports(&qmp).await;
        let resets = Arc::default();
        tasks.spawn(restore_after_resets(
            events,
            Arc::clone(&qtest),
            Arc::clone(&bench.wires.contacts),
            Arc::clone(&resets),
        ));
        Self {
            child,
            qmp,
            qtest,
            freezer: None,
            _tasks: tasks,
            resets,
        }
    }

    async fn temperature(&self, milli: i32) {
        self.set("t0", "temperature", milli).await;
    }

    async fn voltage(&self, line: Line, millivolts: u16) {
        match line {
            Line::Supervised(page) => {
                self.set("adc0", &format!("vout[{page}]"), millivolts.into())
                    .await;
            }
            Line::Supply => self.set("pwr0", "vin", millivolts.into()).await,
        }
    }

    async fn set(&self, device: &str, property: &str, value: i32) {
        let path = format!("/machine/peripheral/{device}");
        let set = json!({ "path": path, "property": property, "value": value });
        self.qmp.ask("qom-set", set).await;
    }

    async fn link(&self, up: bool) {
        self.qmp.ask("set_link", json!({ "name": "n0", "up": up })).await;
    }
}

fn command(folder: &Path, firmware: &Path, rtc: Option<u64>, hasty: bool) -> Command {
    let at = folder.display();
    let mut command = Command::new(QEMU);
    command
        .args([
            "-M",
            "lm3s6965evb",
            "-display",
            "none",
            "-nodefaults",
            "-accel",
            "tcg",
            "-S",
        ])
        .args(["-qmp", &format!("unix:{at}/qmp,server=on,wait=off")])
        .args(["-qtest", &format!("unix:{at}/qtest,server=on,wait=off")])
        .args(["-qtest-log", "none"])
        .args(["-gdb", &format!("unix:{at}/gdb,server=on,wait=off")])
        .args(["-nic", "user,id=n0,model=stellaris"])
        .args(["-device", "tmp105,address=0x48,id=t0"])
        .args([
            "-drive",
            &format!("if=none,id=ee0,format=raw,file={at}/eeprom.bin"),
        ])
        .args([
            "-device",
            &format!("at24c-eeprom,address=0x50,rom-size={EEPROM_LEN},drive=ee0"),
        ])
        .args(["-msg", "timestamp=on", "-trace", "pca955x_gpio_change"])
        .args(["-trace", "pl061_set_output", "-kernel"])
        .arg(firmware)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // In the order of the board's UARTs.
    for name in ["console", "reader", "probe"] {
        let socket = format!("socket,id={name},path={at}/{name},server=on,wait=off");
        command.args(["-chardev", &socket, "-serial", &format!("chardev:{name}")]);
    }
    for part in PARTS {
        command.args(["-device", part]);
    }
    if hasty {
        // 64 ns an instruction, like the chip's 12.5 MHz.
        command.args(["-icount", "shift=6,sleep=off"]);
    }
    if let Some(unix_s) = rtc {
        command.args(["-rtc", &format!("base={unix_s}")]);
    }
    command
}

/// The function of the reader's task that never comes back, once it is patched.
fn hanging_place() -> (u32, Image) {
    let image = Image::read(&QemuBench::firmware());
    let at = image.function(&["4node6reader", "6Reader9look_next"]);
    (
        at.expect("the firmware has the reader's next look as a function"),
        image,
    )
}

/// Reads what QEMU says: switched outputs become the trace, the reader's reset pin goes to the
/// reader, everything else to the log.
fn follow(from: ChildStderr, mut log: File, trace: &Mutex<Vec<Switched>>, reader: &Reader) {
    let mut stamps = Stamps {
        begun: Instant::now(),
        least_behind_us: None,
    };
    for line in BufReader::new(from).lines().map_while(Result::ok) {
        let at = stamps.said_at(&line);
        let switch = |output, on| {
            let mut trace = locked(trace);
            if trace.len() < MAX_TRACE {
                trace.push(Switched { output, on, at });
            }
        };
        if let Some((output, on)) = expander(&line) {
            // The first lamp shows what the relay does; the relay is what counts.
            if output != Output::Strike {
                switch(output, on);
            }
        } else if let Some((port, pin, high)) = gpio(&line) {
            match (port, pin) {
                STRIKE => switch(Output::Strike, high),
                READER_RESET => reader.reset_pin(high),
                _ => {}
            }
        } else {
            // For people only, and only when something failed.
            let _ = writeln!(log, "{line}");
        }
    }
}

/// When QEMU said its lines, by the stamps before them (`<pid>@<seconds>.<microseconds>:`): on a busy
/// machine we read them later, and one more so than the next. The line that was read with the least
/// delay says how QEMU's clock stands to ours.
struct Stamps {
    begun: Instant,
    least_behind_us: Option<i64>,
}

impl Stamps {
    fn said_at(&mut self, line: &str) -> Instant {
        let now = Instant::now();
        let age = i64::try_from((now - self.begun).as_micros()).ok();
        let (Some(stamp), Some(age)) = (stamp_us(line), age) else {
            return now;
        };
        let behind = age - stamp;
        let least = self.least_behind_us.map_or(behind, |least| least.min(behind));
        self.least_behind_us = Some(least);
        let at = u64::try_from(stamp + least).unwrap_or_default();
        self.begun + Duration::from_micros(at)
    }
}

fn stamp_us(line: &str) -> Option<i64> {
    let (seconds, micros) = line.split_once('@')?.1.split_once(':')?.0.split_once('.')?;
    seconds
        .parse::<i64>()
        .ok()?
        .checked_mul(1_000_000)?
        .checked_add(micros.parse().ok()?)
}

/// `...:pca955x_gpio_change <name> GPIO id:2 status: 0 -> 1`: QEMU's 1 is a lamp that is lit.
fn expander(line: &str) -> Option<(Output, bool)> {
    let (_, rest) = line.split_once("pca955x_gpio_change ")?.1.split_once("id:")?;
    let (pin, rest) = rest.split_once(' ')?;
    let output = *Output::ALL.get(pin.parse::<usize>().ok()?)?;
    Some((output, rest.trim_end().ends_with('1')))
}

/// `...:pl061_set_output /machine/unattached/device[11] setting output 2 to 1`
fn gpio(line: &str) -> Option<(usize, u8, bool)> {
    let rest = line.split_once("pl061_set_output ")?.1;
    let (device, rest) = rest.split_once(" setting output ")?;
    let (pin, level) = rest.split_once(" to ")?;
    let port = device_number(device.rsplit_once('/')?.1)?.checked_sub(FIRST_PORT)?;
    Some((port, pin.parse().ok()?, level.trim_end() == "1"))
}

/// A picture as QEMU saves it: `P6`, width, height, 255, bytes.
fn portable_pixmap(file: &[u8]) -> Option<Picture> {
    let mut rest = file;
    let mut word = || {
        let end = rest.iter().position(u8::is_ascii_whitespace)?;
        let (word, after) = rest.split_at(end);
        rest = &after[1..];
        std::str::from_utf8(word).ok().map(str::to_owned)
    };
    let (magic, width, height, depth) = (word()?, word()?, word()?, word()?);
    let (width, height) = (width.parse().ok()?, height.parse().ok()?);
    let whole = magic == "P6" && depth == "255" && rest.len() == width * height * 3;
    whole.then(|| Picture {
        width,
        height,
        rgb: rest.to_vec(),
    })
}

fn device_number(name: &str) -> Option<usize> {
    name.strip_prefix("device[")?.strip_suffix(']')?.parse().ok()
}

/// QOM path of a GPIO port, counted from A.
fn port(port: usize) -> String {
    format!("/machine/unattached/device[{}]", FIRST_PORT + port)
}

/// Fails when this version of QEMU numbers its devices otherwise.
async fn check_ports(qmp: &Qmp) {
    let devices = qmp
        .ask("qom-list", json!({ "path": "/machine/unattached" }))
        .await;
    let mut ports: Vec<usize> = devices
        .as_array()
        .into_iter()
        .flatten()
        .filter(|device| device["type"] == "child<pl061_luminary>")
        .filter_map(|device| device_number(device["name"].as_str()?))
        .collect();
    ports.sort_unstable();
    let expected: Vec<usize> = (FIRST_PORT..FIRST_PORT + PORTS).collect();
    assert_eq!(ports, expected, "GPIO ports among QEMU's devices");
}

/// Sets the pin of a place for contacts; false when QEMU is gone.
async fn set_pin(qtest: &QTest, place: u8, open: bool) -> bool {
    let (number, pin) = CONTACTS[usize::from(place)];
    qtest.pin(&port(number), pin, open).await
}

/// Sets every pin; false when QEMU is gone.
async fn set_pins(qtest: &QTest, contacts: &Contacts) -> bool {
    let levels = locked(contacts).clone();
    for (place, open) in levels {
        if !set_pin(qtest, place, open).await {
            return false;
        }
    }
    true
}

async fn restore_after_resets(
    mut events: mpsc::Receiver<String>,
    qtest: Arc<QTest>,
    contacts: Contacts,
    resets: Arc<Mutex<Vec<String>>>,
) {
    while let Some(event) = events.recv().await {
        if event == "RESET" {
            set_pins(&qtest, &contacts).await;
        }
        if event == "RESET" || event == "WATCHDOG" {
            locked(&resets).push(event);
        }
    }
}

async fn connect(path: &Path) -> UnixStream {
    let what = format!("QEMU to open {}", path.display());
    wait_for(&what, ANSWER, async || UnixStream::connect(path).await.ok()).await
}

async fn listen(mut stream: OwnedReadHalf, seen: Seen) {
    let mut buffer = [0; 256];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        let bytes = &buffer[..length];
        locked(&seen.console).push_str(&String::from_utf8_lossy(bytes));
        if let Some(port) = &*locked(&seen.port) {
            // A port that nobody reads loses what is too much.
            let _ = port.try_send(bytes.to_vec());
        }
    }
}

/// What the board says, on the serial port.
async fn show(mut from_board: mpsc::Receiver<Vec<u8>>, mut to_program: WriteHalf<SerialStream>) {
    while let Some(bytes) = from_board.recv().await {
        if to_program.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// What a program types on the serial port, to the board; lost while it has no power.
async fn obey(mut from_program: ReadHalf<SerialStream>, typing: Typing) {
    let mut buffer = [0; 256];
    while let Ok(length @ 1..) = from_program.read(&mut buffer).await {
        if let Some(console) = &mut *typing.lock().await {
            let _ = console.write_all(&buffer[..length]).await;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qemus_lines_about_pins_are_read() {
        let lit = "4711@1795324.123456:pca955x_gpio_change pca9552 GPIO id:2 status: 0 -> 1";
        assert_eq!(expander(lit), Some((Output::GrantedLed, true)));
        assert_eq!(expander(&lit.replace("id:2", "id:7")), None);
        let pin = "4711@1.2:pl061_set_output /machine/unattached/device[11] setting output 2 to 1";
        assert_eq!(gpio(pin), Some((3, 2, true)));
        assert_eq!(gpio("qemu-system-arm: warning"), None);
    }

    #[test]
    fn a_picture_is_read_and_a_cut_one_is_not() {
        let picture = portable_pixmap(b"P6\n2 1\n255\n\x00\x00\x00\xff\xff\xff").map(|p| (p.width, p.lit()));
        assert_eq!(picture, Some((2, 0.5)));
        assert_eq!(portable_pixmap(b"P6\n2 1\n255\n\x00"), None);
    }
}
