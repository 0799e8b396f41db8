//! The wires into QEMU: its machine protocol, its test protocol, and its door for debuggers.

use super::ANSWER;
use serde_json::{Value, json};
use std::fmt::Write as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// QEMU's machine protocol: JSON lines, one question at a time.
#[derive(Debug)]
pub(super) struct Qmp(tokio::sync::Mutex<(OwnedWriteHalf, mpsc::Receiver<Value>)>);

impl Qmp {
    pub(super) async fn start(stream: UnixStream, tasks: &mut JoinSet<()>) -> (Self, mpsc::Receiver<String>) {
        let (read, write) = stream.into_split();
        let (to_answers, answers) = mpsc::channel(16);
        let (to_events, events) = mpsc::channel(64);
        tasks.spawn(sort(BufReader::new(read), to_answers, to_events));
        let qmp = Self(tokio::sync::Mutex::new((write, answers)));
        qmp.ask("qmp_capabilities", json!({})).await;
        (qmp, events)
    }

    pub(super) async fn ask(&self, command: &str, arguments: Value) -> Value {
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
pub(super) struct QTest(tokio::sync::Mutex<BufReader<UnixStream>>);

impl QTest {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self(tokio::sync::Mutex::new(BufReader::new(stream)))
    }

    pub(super) async fn pin(&self, port: &str, pin: u8, level: bool) -> bool {
        let level = u8::from(level);
        self.ask(&format!("set_irq_in {port} unnamed-gpio-in {pin} {level}"))
            .await
    }

    pub(super) async fn try_write(&self, register: &str, value: u32) -> bool {
        self.ask(&format!("writel {register} {value:#x}")).await
    }

    pub(super) async fn write(&self, register: &str, value: u32) {
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

/// Writes to the guest's memory as a debugger does: also where the guest cannot write, its flash.
/// QEMU holds the guest while the debugger is there.
pub(super) async fn debug_write(mut stream: UnixStream, at: u32, bytes: &[u8]) {
    let digits = bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    });
    for command in [format!("M{at:x},{:x}:{digits}", bytes.len()), "D".to_owned()] {
        let sum = command.bytes().fold(0_u8, |sum, byte| sum.wrapping_add(byte));
        let exchange = async {
            let packet = format!("${command}#{sum:02x}");
            stream.write_all(packet.as_bytes()).await.ok()?;
            let mut answer = Vec::new();
            while !answer.ends_with(b"$OK#9a") {
                answer.push(stream.read_u8().await.ok()?);
            }
            stream.write_all(b"+").await.ok()
        };
        let done = timeout(ANSWER, exchange).await.ok().flatten();
        assert!(done.is_some(), "QEMU does not take `{command}` of a debugger");
    }
}
