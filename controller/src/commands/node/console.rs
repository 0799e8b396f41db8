//! Talks with a node's console: lines out, answers in, log lines in between left alone.
//!
//! Works on anything that reads and writes, so that tests need no cable. Whatever comes in is
//! bounded: a line longer than a console's is thrown away, and every answer has its time.

use crate::clock;
use shared::console::{ANSWER, CHUNKS, MAX_LINE, REFUSAL, chunk, commit, refusal};
use shared::provision::BLOCK_LEN;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::time::Duration;

/// Longest wait for an answer: the node may be writing its memory, 5 ms a page.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How long what is on its way before we ask is left to come.
const SETTLE: Duration = Duration::from_millis(150);
/// How often a line is sent before we give up; a cable that was just plugged in spoils the first.
const TRIES: u32 = 3;

/// How long a node may take to forget everything: 128 pieces of its memory, 10 s in which it
/// tells the controller, its restart, and as much again for a memory that refuses at first.
pub(super) const ERASED_WITHIN: Duration = Duration::from_secs(60);
/// How often it is asked meanwhile.
const ERASED_EVERY: Duration = Duration::from_millis(250);

/// What went wrong at the console.
#[derive(Debug)]
pub(super) enum ConsoleError {
    /// The port itself.
    Port(io::Error),
    /// Nothing comes at all.
    Silent,
    /// Something comes, and it is no answer of a node.
    Strange(String),
    /// The node refuses: a word for programs, a text for people.
    Refused(String, String),
    /// It was told to erase itself, and did not say in time that it has.
    NotErased,
}

impl fmt::Display for ConsoleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(error) => write!(
                f,
                "the port failed while we talked ({error}); is the cable loose?"
            ),
            Self::Silent => f.write_str(
                "no node answers: is it powered, is this its port, are TX and RX the right way round? \
                 (応答なし: 電源・ポート・配線を確かめてください)",
            ),
            Self::Strange(line) => write!(
                f,
                "something answers, but not as a node of this release; is other firmware on it? It says: {line:?} \
                 (別のファームウェアの可能性があります)"
            ),
            Self::NotErased => f.write_str(
                "the node was told to erase itself and has not said that it did; its key is kept here. Look with \
                 yagura node status, and erase it again (消去の完了を確認できません。鍵は残してあります)",
            ),
            Self::Refused(_, text) => write!(f, "the node refuses: {text}"),
        }
    }
}

/// What a node says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// Its id, if it has one.
    pub(super) node: Option<u16>,
    /// The pairs of the answer, by their word.
    pub(super) fields: BTreeMap<String, String>,
}

impl Identity {
    pub(super) fn get(&self, word: &str) -> &str {
        self.fields.get(word).map_or("-", String::as_str)
    }
}

/// A console at the other end of a port.
pub(super) struct Console<P> {
    port: P,
    /// Of the line that is coming in.
    line: Vec<u8>,
    /// The last line that was neither an answer nor empty.
    heard: Option<String>,
}

impl<P: Read + Write> Console<P> {
    /// Reads of `port` must come back after a while without data ([`io::ErrorKind::TimedOut`]).
    pub(super) const fn new(port: P) -> Self {
        Self {
            port,
            line: Vec::new(),
            heard: None,
        }
    }

    /// Who is there.
    pub(super) fn identity(&mut self) -> Result<Identity, ConsoleError> {
        let answer = self.ask("?")?;
        let fields = pairs(&answer);
        if !fields.contains_key("state") {
            return Err(ConsoleError::Strange(answer));
        }
        let node = fields.get("node").and_then(|node| node.parse().ok());
        Ok(Identity { node, fields })
    }

    /// What it counts.
    pub(super) fn status(&mut self) -> Result<BTreeMap<String, String>, ConsoleError> {
        Ok(pairs(&self.ask("status")?))
    }

    /// Gives it its block; the fingerprint that it made of it.
    pub(super) fn provision(&mut self, block: &[u8; BLOCK_LEN]) -> Result<String, ConsoleError> {
        self.ask("begin")?;
        for n in 0..CHUNKS {
            let expected = format!("chunk {n}");
            let answer = self.ask(&chunk(block, n))?;
            if answer != expected {
                return Err(ConsoleError::Strange(answer));
            }
        }
        let answer = self.ask(&commit(block))?;
        let mut words = answer.split_whitespace();
        match (
            words.next(),
            words.find(|word| *word == "fingerprint"),
            words.next(),
        ) {
            (Some("provisioned"), Some(_), Some(fingerprint)) => Ok(fingerprint.to_owned()),
            _ => Err(ConsoleError::Strange(answer)),
        }
    }

    /// Lets it forget its keys and events, and waits until it says that it is nobody any more:
    /// its first answer says only that it has begun.
    pub(super) fn erase(&mut self, node: u16, within: Duration) -> Result<(), ConsoleError> {
        let end = clock::now().mono.0 + millis(within);
        let mut tell = true;
        loop {
            if tell {
                match self.ask(&format!("erase {node}")) {
                    // The answer may have been lost with the node that gave it.
                    Err(ConsoleError::Refused(word, _)) if word == refusal::OTHER_NODE => {}
                    Err(why @ (ConsoleError::Refused(..) | ConsoleError::Port(_))) => return Err(why),
                    _ => {}
                }
            }
            match self.identity() {
                Ok(there) if there.get("node") == "none" => return Ok(()),
                // It has not heard the order, or a reset has interrupted it.
                Ok(there) => tell = there.node == Some(node) && there.get("state") != "erased",
                Err(why @ ConsoleError::Port(_)) => return Err(why),
                // It restarts.
                Err(_) => tell = false,
            }
            let pause = clock::now().mono.0 + millis(ERASED_EVERY);
            if pause >= end {
                return Err(ConsoleError::NotErased);
            }
            while self.next_line(pause)?.is_some() {}
        }
    }

    /// Sends a line until it is answered. A damaged line is sent again; any other refusal is final.
    fn ask(&mut self, line: &str) -> Result<String, ConsoleError> {
        let mut last = ConsoleError::Silent;
        for _ in 0..TRIES {
            match self.ask_once(line) {
                Err(ConsoleError::Refused(word, text)) if is_passing(&word) => {
                    last = ConsoleError::Refused(word, text);
                }
                Err(ConsoleError::Silent) => {
                    if let Some(heard) = self.heard.take() {
                        last = ConsoleError::Strange(heard);
                    }
                }
                other => return other,
            }
            // What is left of a spoilt line, here or there, must not become part of the next.
            self.settle()?;
        }
        Err(last)
    }

    fn ask_once(&mut self, line: &str) -> Result<String, ConsoleError> {
        let text = format!("{line}\n");
        self.port
            .write_all(text.as_bytes())
            .and_then(|()| self.port.flush())
            .map_err(ConsoleError::Port)?;
        let end = clock::now().mono.0 + millis(ANSWER_WITHIN);
        while let Some(line) = self.next_line(end)? {
            if let Some(answer) = line.strip_prefix(ANSWER) {
                return Ok(answer.trim().to_owned());
            }
            if let Some(why) = line.strip_prefix(REFUSAL) {
                let (word, text) = why.trim().split_once(' ').unwrap_or((why, why));
                return Err(ConsoleError::Refused(word.to_owned(), text.to_owned()));
            }
            self.heard = Some(line);
        }
        Err(ConsoleError::Silent)
    }

    /// Ends a line that may be half written, and lets pass what is answered to it.
    pub(super) fn settle(&mut self) -> Result<(), ConsoleError> {
        self.port.write_all(b"\n").map_err(ConsoleError::Port)?;
        let end = clock::now().mono.0 + millis(SETTLE);
        while self.next_line(end)?.is_some() {}
        self.line.clear();
        Ok(())
    }

    /// The next line that is not empty; `None` when the time is over.
    fn next_line(&mut self, end: u64) -> Result<Option<String>, ConsoleError> {
        while clock::now().mono.0 < end {
            let mut byte = [0];
            match self.port.read(&mut byte) {
                // The other side of the port is gone.
                Ok(0) => return Err(ConsoleError::Port(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) if matches!(byte[0], b'\n' | b'\r') => {
                    let line = String::from_utf8_lossy(&self.line).trim().to_owned();
                    self.line.clear();
                    if !line.is_empty() {
                        return Ok(Some(line));
                    }
                }
                // What is longer than a line of a console is none.
                Ok(_) if self.line.len() < MAX_LINE => self.line.push(byte[0]),
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::Interrupted) => {}
                Err(error) => return Err(ConsoleError::Port(error)),
            }
        }
        // A log that never ends a line is heard all the same.
        if self.heard.is_none() && !self.line.is_empty() {
            self.heard = Some(String::from_utf8_lossy(&self.line).into_owned());
        }
        Ok(None)
    }
}

/// Refusals of a line that came through spoilt.
fn is_passing(word: &str) -> bool {
    [refusal::LINE, refusal::DAMAGED, refusal::UNKNOWN].contains(&word)
}

/// `a 1 b 2` as pairs.
fn pairs(answer: &str) -> BTreeMap<String, String> {
    let mut words = answer.split_whitespace().map(str::to_owned);
    let mut pairs = BTreeMap::new();
    while let (Some(word), Some(value)) = (words.next(), words.next()) {
        pairs.insert(word, value);
    }
    pairs
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A node at the other end: what it answers to each line, in order; the last one for ever.
    struct Fake {
        erase: VecDeque<&'static str>,
        who: VecDeque<&'static str>,
        typed: Vec<u8>,
        out: VecDeque<u8>,
        orders: usize,
    }

    impl Fake {
        fn new(erase: &[&'static str], who: &[&'static str]) -> Self {
            Self {
                erase: erase.iter().copied().collect(),
                who: who.iter().copied().collect(),
                typed: Vec::new(),
                out: VecDeque::new(),
                orders: 0,
            }
        }
    }

    impl Read for Fake {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let byte = self.out.pop_front();
            into[0] = byte.ok_or(io::ErrorKind::TimedOut)?;
            Ok(1)
        }
    }

    impl Write for Fake {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.typed.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            let line = String::from_utf8(std::mem::take(&mut self.typed)).unwrap();
            let answers = match line.trim() {
                "?" => &mut self.who,
                "erase 7" => {
                    self.orders += 1;
                    &mut self.erase
                }
                _ => return Ok(()),
            };
            let answer = if answers.len() > 1 {
                answers.pop_front()
            } else {
                answers.front().copied()
            };
            self.out.extend(answer.into_iter().flat_map(str::bytes));
            Ok(())
        }
    }

    const ERASING: &str = "= erasing node 7\r\n";
    const RUNNING: &str = "= node 7 firmware 1.0.0 state running key 1 fingerprint 00\r\n";
    const WIPING: &str = "= node 7 firmware 1.0.0 state erased key 1 fingerprint 00\r\n";
    const NOBODY: &str = "= node none firmware 1.0.0 state unprovisioned\r\n";

    #[test]
    fn a_node_is_erased_when_it_says_that_it_is_nobody_and_not_before() {
        let mut console = Console::new(Fake::new(&[ERASING], &[WIPING, WIPING, NOBODY]));
        console.erase(7, Duration::from_secs(20)).unwrap();
        assert_eq!((console.port.orders, console.port.who.len()), (1, 1));

        // Never done: an error in time, whatever it said at first.
        let mut console = Console::new(Fake::new(&[ERASING], &[WIPING]));
        let why = console.erase(7, Duration::from_millis(600)).unwrap_err();
        assert!(matches!(why, ConsoleError::NotErased), "{why}");
    }

    #[test]
    fn a_node_that_goes_on_running_is_told_again_and_a_lost_answer_is_no_failure() {
        let mut console = Console::new(Fake::new(&[ERASING], &[RUNNING, WIPING, NOBODY]));
        console.erase(7, Duration::from_secs(20)).unwrap();
        assert_eq!(console.port.orders, 2);

        let mut console = Console::new(Fake::new(
            &["! other-node erase names another node\r\n"],
            &[NOBODY],
        ));
        console.erase(7, Duration::from_secs(20)).unwrap();

        let mut console = Console::new(Fake::new(&["! memory it does not keep\r\n"], &[RUNNING]));
        let why = console.erase(7, Duration::from_secs(20)).unwrap_err();
        assert!(matches!(why, ConsoleError::Refused(..)), "{why}");
    }
}
