//! The emulated board with the real firmware, and every wire that goes to it.
//!
//! ```text
//! test --QMP--> temperature, cable, reset      qemu-system-arm -M lm3s6965evb
//!      --QTest-> contacts, I2C controller        runs firmware/.../release/lm3s6965
//!      <--UART-- console                         EEPROM = a file that outlives power cuts
//! ```
//! Each bench has its own folder, sockets and EEPROM; the guest reaches the host's loopback as
//! 10.0.2.2 ([`HOST`]). QEMU forgets the levels of its pins at every reset of the guest; the bench
//! sets them again, as wires would. Seen with QEMU 7.2; later versions may differ in details.
//!
//! ```no_run
//! # async fn example(broker_port: u16) {
//! use hil_tests::bench::{HOST, QemuBench};
//! let who = shared::provision::Provision::new(7, 1, [1; 32], HOST, broker_port);
//! let mut board = QemuBench::start(&who).await;
//! board.contact(QemuBench::DOOR, true).await;
//! board.temperature(31_500).await;
//! board.link(false).await;
//! board.power_cut();
//! board.power_on().await;
//! # }
//! ```

use crate::{Child, wait_for};
use serde_json::{Value, json};
use shared::provision::Provision;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The host's loopback as the guest sees it.
pub const HOST: [u8; 4] = [10, 0, 2, 2];
/// Longest wait for an answer of QEMU and for its sockets to appear.
pub const ANSWER: Duration = Duration::from_secs(10);
/// Bytes of the board's EEPROM, a 24C64.
pub const EEPROM_LEN: usize = 8192;
/// Between two writes that keep the I2C controller frozen.
const FREEZE_AGAIN: Duration = Duration::from_millis(20);

const QEMU: &str = "qemu-system-arm";
/// Configuration register of the I2C master; 0 stops it, 0x10 lets it run.
const I2C_CONFIGURATION: &str = "0x40020020";
/// RAM of the board.
const RAM_AT: u64 = 0x2000_0000;
const RAM_LEN: u64 = 0x1_0000;

/// The emulated board. Ends QEMU when it is dropped.
#[derive(Debug)]
pub struct QemuBench {
    folder: tempfile::TempDir,
    machine: Option<Machine>,
    contacts: Contacts,
    temperature_milli: i32,
    link: bool,
    console: Arc<Mutex<String>>,
}

/// Levels of the contacts by pin, shared with the task that sets them again after a reset.
type Contacts = Arc<Mutex<BTreeMap<u8, bool>>>;

/// A running QEMU.
#[derive(Debug)]
struct Machine {
    child: Child,
    qmp: Qmp,
    qtest: Arc<QTest>,
    /// QOM path of port E.
    port_e: String,
    freezer: Option<(CancellationToken, JoinHandle<()>)>,
    /// Readers of the sockets; they end with this.
    _tasks: JoinSet<()>,
    resets: Arc<Mutex<Vec<String>>>,
}

impl QemuBench {
    /// Channel of the door contact.
    pub const DOOR: u8 = 0;
    /// Channel of the leak contact.
    pub const LEAK: u8 = 1;
    /// Channel of the temperature.
    pub const TEMPERATURE: u8 = 2;

    /// The firmware that `cargo xtask firmware` builds.
    #[must_use]
    pub fn firmware() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware/target/thumbv7m-none-eabi/release/lm3s6965")
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
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut eeprom = vec![0xff; EEPROM_LEN];
        let block = provision.encode();
        eeprom[..block.len()].copy_from_slice(&block);
        std::fs::write(folder.path().join("eeprom.bin"), eeprom).expect("writing the EEPROM's file");
        Self {
            folder,
            machine: None,
            contacts: Arc::new(Mutex::new(BTreeMap::from([
                (Self::DOOR, false),
                (Self::LEAK, false),
            ]))),
            temperature_milli: 25_000,
            link: true,
            console: Arc::default(),
        }
    }

    /// Opens (or wets) a contact, or closes it. Kept over resets and power cuts.
    ///
    /// # Panics
    /// When the channel is no contact, or QEMU does not answer.
    pub async fn contact(&mut self, channel: u8, open: bool) {
        let known = locked(&self.contacts).insert(channel, open);
        assert!(known.is_some(), "channel {channel} is no contact");
        if let Some(machine) = &self.machine {
            let set = machine.qtest.pin(&machine.port_e, channel, open).await;
            assert!(set, "QEMU does not set pin {channel}");
        }
    }

    /// Temperature at the sensor in thousandths of a degree. Kept over resets and power cuts.
    ///
    /// # Panics
    /// When QEMU does not answer.
    pub async fn temperature(&mut self, milli: i32) {
        self.temperature_milli = milli;
        if let Some(machine) = &self.machine {
            machine.temperature(milli).await;
        }
    }

    /// Plugs or pulls the network cable. Kept over power cuts.
    ///
    /// # Panics
    /// When QEMU does not answer.
    pub async fn link(&mut self, up: bool) {
        self.link = up;
        if let Some(machine) = &self.machine {
            machine.link(up).await;
        }
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

    /// Presses the reset button.
    ///
    /// # Panics
    /// When the power is off or QEMU does not answer.
    pub async fn reset(&mut self) {
        self.powered().qmp.ask("system_reset", json!({})).await;
    }

    /// Stops the timer that wakes the firmware's tasks, once: it hangs until its watchdog bites.
    ///
    /// # Panics
    /// When the power is off or QEMU does not answer.
    pub async fn hang(&mut self) {
        self.powered().qtest.write("0x4003000c", 0).await;
    }

    /// Cuts the power: QEMU is killed, the EEPROM keeps what was written.
    pub fn power_cut(&mut self) {
        if let Some(mut machine) = self.machine.take() {
            machine.child.kill();
        }
    }

    /// Powers the board on, with the same EEPROM and all wires as they were left.
    ///
    /// # Panics
    /// When QEMU does not start.
    pub async fn power_on(&mut self) {
        self.power_cut();
        let machine = Machine::start(self.folder.path(), &self.contacts, &self.console).await;
        machine.temperature(self.temperature_milli).await;
        if !self.link {
            machine.link(false).await;
        }
        let set = set_pins(&machine.qtest, &machine.port_e, &self.contacts).await;
        assert!(set, "QEMU does not set the contacts' pins");
        machine.qmp.ask("cont", json!({})).await;
        self.machine = Some(machine);
    }

    /// Everything the firmware has printed since the bench was made.
    #[must_use]
    pub fn console(&self) -> String {
        locked(&self.console).clone()
    }

    /// Waits until the console has `text`, at most for `bound`.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn console_wait(&self, text: &str, bound: Duration) {
        wait_for(&format!("`{text}` on the board's console"), bound, async || {
            self.console().contains(text).then_some(())
        })
        .await;
    }

    /// Names of the resets and watchdog bites since the last power-on, as QEMU calls them.
    #[must_use]
    pub fn resets(&self) -> Vec<String> {
        self.machine
            .as_ref()
            .map_or_else(Vec::new, |machine| locked(&machine.resets).clone())
    }

    /// What the EEPROM holds now.
    ///
    /// # Panics
    /// When its file cannot be read.
    #[must_use]
    pub fn eeprom(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("eeprom.bin")).expect("reading the EEPROM's file")
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

    fn powered(&mut self) -> &mut Machine {
        self.machine.as_mut().expect("the board has power")
    }
}

impl Drop for QemuBench {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("qemu.log")).unwrap_or_default();
            eprintln!(
                "--- the board's console ---\n{}--- QEMU says ---\n{log}---",
                self.console()
            );
        }
        // No need to ask QEMU: it has nothing to save.
        self.power_cut();
    }
}

impl Machine {
    async fn start(folder: &Path, contacts: &Contacts, console: &Arc<Mutex<String>>) -> Self {
        for name in ["qmp", "qtest", "console"] {
            // Left over from before a power cut.
            let _ = std::fs::remove_file(folder.join(name));
        }
        let at = folder.display();
        let log = File::create(folder.join("qemu.log")).expect("writing to the bench's folder");
        let child = Child::start(
            Command::new(QEMU)
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
                .args([
                    "-chardev",
                    &format!("socket,id=console,path={at}/console,server=on,wait=off"),
                ])
                .args(["-serial", "chardev:console"])
                .args(["-qmp", &format!("unix:{at}/qmp,server=on,wait=off")])
                .args([
                    "-qtest",
                    &format!("unix:{at}/qtest,server=on,wait=off"),
                    "-qtest-log",
                    "none",
                ])
                .args(["-nic", "user,id=n0,model=stellaris"])
                .args(["-device", "tmp105,address=0x48,id=t0"])
                .args([
                    "-drive",
                    &format!("if=none,id=ee0,format=raw,file={at}/eeprom.bin"),
                ])
                .args(["-device", "at24c-eeprom,address=0x50,rom-size=8192,drive=ee0"])
                .arg("-kernel")
                .arg(QemuBench::firmware())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log),
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(
            connect(&folder.join("console")).await,
            Arc::clone(console),
        ));
        let qtest = Arc::new(QTest::new(connect(&folder.join("qtest")).await));
        let (qmp, events) = Qmp::start(connect(&folder.join("qmp")).await, &mut tasks).await;
        let port_e = port_e(&qmp).await;
        let resets = Arc::default();
        tasks.spawn(restore_after_resets(
            events,
            Arc::clone(&qtest),
            port_e.clone(),
            Arc::clone(contacts),
            Arc::clone(&resets),
        ));
        Self {
            child,
            qmp,
            qtest,
            port_e,
            freezer: None,
            _tasks: tasks,
            resets,
        }
    }

    async fn temperature(&self, milli: i32) {
        let set = json!({ "path": "/machine/peripheral/t0", "property": "temperature", "value": milli });
        self.qmp.ask("qom-set", set).await;
    }

    async fn link(&self, up: bool) {
        self.qmp.ask("set_link", json!({ "name": "n0", "up": up })).await;
    }
}

/// Port E is the fifth of the GPIO ports in the order of their making.
async fn port_e(qmp: &Qmp) -> String {
    let devices = qmp
        .ask("qom-list", json!({ "path": "/machine/unattached" }))
        .await;
    let number = |name: &str| {
        name.strip_prefix("device[")?
            .strip_suffix(']')?
            .parse::<u32>()
            .ok()
    };
    let mut ports: Vec<u32> = devices
        .as_array()
        .into_iter()
        .flatten()
        .filter(|device| device["type"] == "child<pl061_luminary>")
        .filter_map(|device| number(device["name"].as_str()?))
        .collect();
    ports.sort_unstable();
    let port = ports.get(4).expect("the board has seven GPIO ports");
    format!("/machine/unattached/device[{port}]")
}

/// Sets every pin; false when QEMU is gone.
async fn set_pins(qtest: &QTest, port: &str, contacts: &Contacts) -> bool {
    let levels = locked(contacts).clone();
    for (pin, open) in levels {
        if !qtest.pin(port, pin, open).await {
            return false;
        }
    }
    true
}

async fn restore_after_resets(
    mut events: mpsc::Receiver<String>,
    qtest: Arc<QTest>,
    port: String,
    contacts: Contacts,
    resets: Arc<Mutex<Vec<String>>>,
) {
    while let Some(event) = events.recv().await {
        if event == "RESET" {
            set_pins(&qtest, &port, &contacts).await;
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

async fn listen(mut stream: UnixStream, console: Arc<Mutex<String>>) {
    let mut buffer = [0; 256];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        locked(&console).push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// QEMU's machine protocol: JSON lines, one question at a time.
#[derive(Debug)]
struct Qmp(tokio::sync::Mutex<(OwnedWriteHalf, mpsc::Receiver<Value>)>);

impl Qmp {
    async fn start(stream: UnixStream, tasks: &mut JoinSet<()>) -> (Self, mpsc::Receiver<String>) {
        let (read, write) = stream.into_split();
        let (to_answers, answers) = mpsc::channel(16);
        let (to_events, events) = mpsc::channel(64);
        tasks.spawn(sort(BufReader::new(read), to_answers, to_events));
        let qmp = Self(tokio::sync::Mutex::new((write, answers)));
        qmp.ask("qmp_capabilities", json!({})).await;
        (qmp, events)
    }

    async fn ask(&self, command: &str, arguments: Value) -> Value {
        let question = json!({ "execute": command, "arguments": arguments });
        let mut guard = self.0.lock().await;
        let (write, answers) = &mut *guard;
        let exchange = async {
            write.write_all(format!("{question}\n").as_bytes()).await.ok()?;
            answers.recv().await
        };
        let answer = timeout(ANSWER, exchange).await.ok().flatten();
        let mut answer = answer.unwrap_or_else(|| panic!("QEMU does not answer {question}"));
        assert!(answer["error"].is_null(), "{question}: {}", answer["error"]);
        answer["return"].take()
    }
}

/// Tells events from answers.
async fn sort(read: BufReader<OwnedReadHalf>, answers: mpsc::Sender<Value>, events: mpsc::Sender<String>) {
    let mut lines = read.lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let value: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(event) = value["event"].as_str() {
            // Full only when a test resets the board in a loop; the oldest events matter most.
            let _ = events.try_send(event.to_owned());
        } else if value["QMP"].is_null() && answers.send(value).await.is_err() {
            return;
        }
    }
}

/// QEMU's test protocol: text lines; reaches pins and registers while the guest runs.
#[derive(Debug)]
struct QTest(tokio::sync::Mutex<BufReader<UnixStream>>);

impl QTest {
    fn new(stream: UnixStream) -> Self {
        Self(tokio::sync::Mutex::new(BufReader::new(stream)))
    }

    async fn pin(&self, port: &str, pin: u8, level: bool) -> bool {
        let level = u8::from(level);
        self.ask(&format!("set_irq_in {port} unnamed-gpio-in {pin} {level}"))
            .await
    }

    async fn try_write(&self, register: &str, value: u32) -> bool {
        self.ask(&format!("writel {register} {value:#x}")).await
    }

    async fn write(&self, register: &str, value: u32) {
        assert!(
            self.try_write(register, value).await,
            "QEMU does not write to {register}"
        );
    }

    /// True when QEMU did it.
    async fn ask(&self, command: &str) -> bool {
        let mut stream = self.0.lock().await;
        let exchange = async {
            stream.write_all(format!("{command}\n").as_bytes()).await.ok()?;
            let mut line = String::new();
            stream.read_line(&mut line).await.ok()?;
            Some(line)
        };
        let answer = timeout(ANSWER, exchange).await.ok().flatten();
        answer.is_some_and(|line| line.starts_with("OK"))
    }
}
