//! The real binary on a real site file.

use crate::http::{self, Answer, Stream};
use crate::{Child, yagura_bin};
use room::snapshot::{AlarmState, Snapshot};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// Longest time from start to serving; the figure itself is the benchmark's business.
pub const START: Duration = Duration::from_secs(30);

/// Records asked for at a time.
const PAGE: usize = 1000;

/// A running controller.
#[derive(Debug)]
pub struct Yagura {
    /// The supervisor.
    pub child: Child,
    /// Where its page is.
    pub addr: SocketAddr,
    /// Time from its start until it said that it serves.
    pub served_after: Duration,
}

impl Yagura {
    /// `yagura run --config <site>`.
    ///
    /// # Panics
    /// When it does not serve within [`START`].
    #[must_use]
    pub fn run(site: &Path) -> Self {
        Self::run_with(site, &[])
    }

    /// The same with more in its environment.
    ///
    /// # Panics
    /// When it does not serve within [`START`].
    #[must_use]
    pub fn run_with(site: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(yagura_bin());
        command.args(["run", "--config"]).arg(site);
        command.envs(environment.iter().copied());
        Self::start(command)
    }

    /// `yagura demo --listen 127.0.0.1:0 --data <dir>`.
    ///
    /// # Panics
    /// When it does not serve within [`START`].
    #[must_use]
    pub fn demo(dir: &Path) -> Self {
        let mut command = Command::new(yagura_bin());
        command
            .args(["demo", "--listen", "127.0.0.1:0", "--data"])
            .arg(dir);
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let begun = Instant::now();
        let mut child = Child::start(command.stdout(Stdio::piped()));
        let out = child.inner().stdout.take().expect("stdout is piped");
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some(addr) = serving(&line) {
                    // The test may be gone; reading on keeps the pipe open for the product.
                    let _ = sender.send((addr, Instant::now()));
                }
            }
        });
        match receiver.recv_timeout(START) {
            Ok((addr, at)) => Self {
                child,
                addr,
                served_after: at - begun,
            },
            Err(_) => panic!(
                "yagura did not say that it serves within {START:?}: {:?}",
                child.ended()
            ),
        }
    }

    /// Sends a request.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        http::request(self.addr, "GET", path, None).expect("an answer")
    }

    /// Posts JSON.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        http::request(self.addr, "POST", path, Some(body)).expect("an answer")
    }

    /// The picture of the room.
    #[must_use]
    pub fn snapshot(&self) -> Option<Snapshot> {
        let answer = http::request(self.addr, "GET", "/api/v1/snapshot", None).ok()?;
        if answer.status == 200 {
            serde_json::from_str(&answer.body).ok()
        } else {
            None
        }
    }

    /// Waits until the picture has what is asked for.
    ///
    /// # Panics
    /// When it does not within `bound`; prints the last picture.
    #[expect(clippy::disallowed_methods, reason = "a bounded wait of plain tests")]
    pub fn wait<T>(&self, what: &str, bound: Duration, mut pick: impl FnMut(&Snapshot) -> Option<T>) -> T {
        let end = Instant::now() + bound;
        let mut last = None;
        while Instant::now() < end {
            if let Some(snapshot) = self.snapshot() {
                if let Some(found) = pick(&snapshot) {
                    return found;
                }
                last = Some(snapshot);
            }
            std::thread::sleep(crate::LOOK_EVERY * 2);
        }
        panic!("waited {bound:?} in vain for {what}; last picture: {last:#?}");
    }

    /// Waits for an alarm in a state.
    ///
    /// # Panics
    /// When it does not come within `bound`.
    pub fn wait_alarm(&self, id: &str, state: AlarmState, bound: Duration) {
        self.wait(&format!("alarm {id} {state:?}"), bound, |snapshot| {
            snapshot
                .alarms
                .iter()
                .any(|alarm| alarm.id == id && alarm.state == state)
                .then_some(())
        });
    }

    /// Every record so far.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn records(&self) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let after = all.last().map_or(0, |row| row["seq"].as_u64().expect("a number"));
            let answer = self.get(&format!("/api/v1/records?after={after}&limit={PAGE}"));
            assert_eq!(answer.status, 200, "{}", answer.body);
            let rows = answer.json().as_array().cloned().expect("an array of records");
            let last = rows.len() < PAGE;
            all.extend(rows);
            if last {
                return all;
            }
        }
    }

    /// Kills a role as a crash would and waits until the supervisor has started another one.
    ///
    /// # Panics
    /// When there is no such role, or no other within [`START`].
    #[expect(clippy::disallowed_methods, reason = "called from plain tests too")]
    pub fn kill_role(&self, role: &str) {
        let before = self.role(role).expect("the role runs");
        let pid = Pid::from_raw(before).expect("a process id");
        // A child of our child, which is alive and has not collected it: the id is its own.
        kill_process(pid, Signal::KILL).expect("the role is there");
        let end = Instant::now() + START;
        while self.role(role).is_none_or(|now| now == before) {
            assert!(Instant::now() < end, "role {role} was not started again");
            std::thread::sleep(crate::LOOK_EVERY);
        }
    }

    /// Process id of a role that this supervisor runs.
    #[must_use]
    pub fn role(&self, role: &str) -> Option<i32> {
        let supervisor = self.child.id();
        // The supervisor starts its children from more than one thread.
        let threads = std::fs::read_dir(format!("/proc/{supervisor}/task")).ok()?;
        let of_threads = threads
            .filter_map(Result::ok)
            .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
        let all: Vec<String> = of_threads.collect();
        all.iter()
            .flat_map(|list| list.split_whitespace())
            .find(|pid| {
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let words: Vec<_> = line.split(|byte| *byte == 0).collect();
                words.get(1..3) == Some(&[b"role", role.as_bytes()])
            })
            .and_then(|pid| pid.parse().ok())
    }

    /// The live stream.
    ///
    /// # Panics
    /// When it cannot be opened.
    #[must_use]
    pub fn stream(&self) -> Stream {
        Stream::open(self.addr, "/api/v1/stream").expect("the stream")
    }

    /// Takes an alarm.
    ///
    /// # Panics
    /// When it is refused.
    pub fn acknowledge(&self, id: &str, by: &str) {
        let answer = self.post(&format!("/api/v1/alarms/{id}/acknowledge"), &json!({ "by": by }));
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

/// Megabytes that a process holds in memory; `None` when it is gone.
#[must_use]
pub fn resident_mb(id: i32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kb: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kb / 1024.0)
}

fn serving(line: &str) -> Option<SocketAddr> {
    line.split_once("http://")?.1.trim_end_matches('/').parse().ok()
}

/// A folder with secrets that only its owner can read, as the product demands.
///
/// # Panics
/// When the file cannot be written.
pub fn write_secret(path: &Path, text: &str) -> PathBuf {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .expect("writing a secret");
    file.write_all(text.as_bytes()).expect("writing a secret");
    path.to_owned()
}
