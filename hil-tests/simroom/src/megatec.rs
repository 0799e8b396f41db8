//! A simulated UPS on a serial line: Megatec's Q1 protocol, or OMRON's or Fuji's dialect of it.
//!
//! The line is a pseudo-terminal behind a symbolic link, as udev names adapters by their serial
//! number: pulled, the device file is gone and whoever has it open notices; plugged in, the link
//! leads to another file. What it cannot know it answers as such devices do, by an echo.

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

/// Most bytes of an unfinished question that are kept.
const INPUT_MAX: usize = 64;
/// Most questions that are remembered for a test to look at.
const HEARD_MAX: usize = 4096;

/// What it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `Q1`, `F`, `I`.
    Megatec,
    /// `Q1` and OMRON's questions; answers `NAK` to what it does not know.
    Omron,
    /// `Q1` alone; silent about what it does not know.
    Fuji,
}

/// What it measures and says.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Volts at the input.
    pub input: f64,
    /// Volts at the output.
    pub output: f64,
    /// Percent.
    pub load: u32,
    /// Volts of the battery.
    pub battery: f64,
    /// Percent.
    pub charge: u32,
    /// Minutes.
    pub runtime: u32,
    /// b7 to b0.
    pub bits: [bool; 8],
}

/// What is wrong with its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It does not answer.
    Silent,
    /// It answers so late.
    Late(Duration),
    /// Only so many bytes of an answer come, without its end.
    Half(usize),
    /// These bytes come before every answer.
    Noise(Vec<u8>),
    /// Every byte it hears comes back first.
    Echo,
    /// One byte of the answer, counted from its front, is lost.
    Lost(usize),
    /// In every second answer to `Q1`, beginning with the next one, this status bit (0 is b7) is
    /// the wrong one; in so many of them.
    Flip {
        /// Which bit.
        bit: usize,
        /// How many answers more.
        times: usize,
    },
}

#[derive(Debug)]
struct Shared {
    dialect: Dialect,
    state: State,
    fault: Fault,
    /// Answers to `Q1` since the fault was set.
    told: usize,
    heard: Vec<String>,
}

/// A UPS at the end of a line. It ends with this.
#[derive(Debug)]
pub struct SerialUps {
    shared: Arc<Mutex<Shared>>,
    link: PathBuf,
    task: Option<JoinHandle<()>>,
}

impl SerialUps {
    /// Plugs one in; its port is `link`, which must not exist.
    ///
    /// # Errors
    /// No pseudo-terminal, or `link` cannot be made.
    pub fn start(dialect: Dialect, link: &Path) -> io::Result<Self> {
        let state = State {
            input: 101.2,
            output: 101.0,
            load: 14,
            battery: 27.4,
            charge: 100,
            runtime: 42,
            // OMRON sets "bypass" on plain mains.
            bits: [
                false,
                false,
                dialect == Dialect::Omron,
                false,
                true,
                false,
                false,
                false,
            ],
        };
        let mut ups = Self {
            shared: Arc::new(Mutex::new(Shared {
                dialect,
                state,
                fault: Fault::None,
                told: 0,
                heard: Vec::new(),
            })),
            link: link.to_owned(),
            task: None,
        };
        ups.plug()?;
        Ok(ups)
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> &Path {
        &self.link
    }

    /// Pulls the adapter: the device file is gone.
    pub async fn unplug(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // The file is gone once the task has let go of it.
            let _ = task.await;
        }
        let _ = std::fs::remove_file(&self.link);
    }

    /// Plugs the adapter in again, at another device file.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn plug(&mut self) -> io::Result<()> {
        let (ours, theirs, path) = terminal()?;
        std::os::unix::fs::symlink(path, &self.link)?;
        // Their end stays open: otherwise ours would fail whenever nobody else has it open.
        self.task = Some(tokio::spawn(serve(Arc::clone(&self.shared), ours, theirs)));
        Ok(())
    }

    /// Changes what it measures and says.
    pub fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut lock(&self.shared).state);
    }

    /// Takes the mains away, or gives it back.
    pub fn set_mains(&self, there: bool) {
        self.set(|state| {
            state.input = if there { 101.2 } else { 0.0 };
            state.bits[0] = !there;
        });
    }

    /// Changes what is wrong with the line.
    pub fn fault(&self, fault: Fault) {
        let mut shared = lock(&self.shared);
        shared.fault = fault;
        shared.told = 0;
    }

    /// Every question and command it heard, in order.
    #[must_use]
    pub fn heard(&self) -> Vec<String> {
        lock(&self.shared).heard.clone()
    }
}

impl Drop for SerialUps {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        let _ = std::fs::remove_file(&self.link);
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Both ends of a new line, and where theirs is. No child of this process inherits one: it would
/// keep a pulled line alive.
fn terminal() -> io::Result<(AsyncFd<OwnedFd>, File, PathBuf)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let path = PathBuf::from(OsStr::from_bytes(ptsname(&ours, Vec::new())?.as_bytes()));
    // It must not become the terminal that we are controlled by.
    let flags = rustix::fs::OFlags::NOCTTY.bits().cast_signed();
    let theirs = File::options()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(&path)?;
    let mut settings = tcgetattr(&theirs)?;
    settings.make_raw();
    tcsetattr(&theirs, OptionalActions::Now, &settings)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    #[expect(
        deprecated,
        reason = "its successor needs `unsafe`; an owned descriptor is sound in both"
    )]
    let ours = AsyncFd::new(ours)?;
    Ok((ours, theirs, path))
}

async fn next_byte(line: &AsyncFd<OwnedFd>) -> io::Result<u8> {
    loop {
        let mut byte = [0];
        let read = line
            .readable()
            .await?
            .try_io(|line| rustix::io::read(line, &mut byte).map_err(io::Error::from));
        match read {
            Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Ok(_)) => return Ok(byte[0]),
            Ok(Err(error)) => return Err(error),
            Err(_not_yet) => {}
        }
    }
}

async fn write(line: &AsyncFd<OwnedFd>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = line
            .writable()
            .await?
            .try_io(|line| rustix::io::write(line, bytes).map_err(io::Error::from));
        if let Ok(written) = written {
            bytes = &bytes[written?..];
        }
    }
    Ok(())
}

async fn serve(shared: Arc<Mutex<Shared>>, ours: AsyncFd<OwnedFd>, _theirs: File) {
    let mut question = Vec::new();
    while let Ok(byte) = next_byte(&ours).await {
        if byte != b'\r' {
            if question.len() < INPUT_MAX {
                question.push(byte);
            }
            continue;
        }
        let text = String::from_utf8_lossy(&std::mem::take(&mut question)).into_owned();
        let (answer, fault) = {
            let mut shared = lock(&shared);
            if shared.heard.len() < HEARD_MAX {
                shared.heard.push(text.clone());
            }
            let answer = answer(&shared, &text);
            shared.told += usize::from(text == "Q1");
            (answer, shared.fault.clone())
        };
        let mut bytes = answer.into_bytes();
        if !bytes.is_empty() {
            bytes.push(b'\r');
        }
        match fault {
            Fault::None | Fault::Flip { .. } => {}
            Fault::Silent => continue,
            Fault::Late(by) => tokio::time::sleep(by).await,
            Fault::Half(count) => bytes.truncate(count),
            Fault::Noise(noise) => bytes.splice(..0, noise).for_each(drop),
            Fault::Echo => bytes.splice(..0, format!("{text}\r").into_bytes()).for_each(drop),
            Fault::Lost(at) => {
                if at < bytes.len() {
                    bytes.remove(at);
                }
            }
        }
        if write(&ours, &bytes).await.is_err() {
            return;
        }
    }
}

fn answer(shared: &Shared, question: &str) -> String {
    let state = &shared.state;
    let omron = shared.dialect == Dialect::Omron;
    match question {
        "Q1" => {
            let flipped = match shared.fault {
                Fault::Flip { bit, times } if shared.told.is_multiple_of(2) && shared.told / 2 < times => {
                    Some(bit)
                }
                _ => None,
            };
            let bits: String = (state.bits.iter().enumerate())
                .map(|(at, bit)| if *bit != (flipped == Some(at)) { '1' } else { '0' })
                .collect();
            format!(
                "({:05.1} {:05.1} {:05.1} {:03} 50.0 {:04.1} 25.0 {bits}",
                state.input, state.input, state.output, state.load, state.battery
            )
        }
        "F" if shared.dialect == Dialect::Megatec => "#100.0 015 24.00 50.0".to_owned(),
        "I" if shared.dialect == Dialect::Megatec => {
            format!("#{:<15} {:<10} {:<10}", "Simulated", "RT-1500", "1.00")
        }
        "Bl ?" if omron => format!("{:03}", state.charge),
        "RTS" if omron => format!("{:04}", state.runtime),
        "TPb" if omron => "+25.5".to_owned(),
        "Lf ?" if omron => "50.0".to_owned(),
        "PSNR" if omron => "SIM0000000000001".to_owned(),
        "FWV" if omron => "M:1.00(S:1.00)".to_owned(),
        "BRR" if omron => "20250401".to_owned(),
        // Orders are carried out without a word.
        "T" | "TL" | "CT" | "Q" | "C" if shared.dialect == Dialect::Megatec => String::new(),
        "UN" if omron => "1000W/1200VA/024V/100W/020W".to_owned(),
        unknown => match shared.dialect {
            Dialect::Megatec => unknown.to_owned(),
            Dialect::Omron => "NAK".to_owned(),
            Dialect::Fuji => String::new(),
        },
    }
}
