//! The console against whoever types: a person, a program, noise.

use super::*;
use crate::memory::fake::{Chip, Random};
use shared::board::Board;
use shared::console::{chunk, commit};
use std::string::{String as Text, ToString as _};
use std::vec::Vec as List;

/// What a host hears: the console, a workbench and a chip.
struct Bench {
    console: Console,
    workbench: Workbench,
    chip: Chip,
}

fn on(chip: &Chip, why: ProvisionError) -> Bench {
    let about = Firmware {
        board: Board::Lm3s6965,
        version: Version(0, 2, 0),
        key: None,
    };
    Bench {
        console: Console::new(),
        workbench: Workbench::new(about, why),
        chip: chip.clone(),
    }
}

fn blank() -> Bench {
    on(&Chip::blank(), ProvisionError::Blank)
}

fn ours() -> Provision {
    Provision::new(7, 1, [5; 32], [10, 0, 2, 2], 1883)
}

impl Bench {
    /// Types a line; the answer as it is printed.
    fn say(&mut self, line: &str) -> Text {
        let answers: List<Text> = line
            .bytes()
            .chain(*b"\r\n")
            .filter_map(|byte| self.console.feed(byte))
            .map(|request| self.workbench.answer(request, &mut self.chip).to_string())
            .collect();
        assert_eq!(answers.len(), 1, "one line, one answer: {answers:?}");
        assert!(answers[0].len() <= MAX_LINE, "{}", answers[0]);
        answers[0].clone()
    }

    fn provision(&mut self, block: &[u8; BLOCK_LEN]) -> Text {
        assert_eq!(self.say("begin"), "= ready");
        for n in 0..CHUNKS {
            assert_eq!(self.say(&chunk(block, n)), format!("= chunk {n}"));
        }
        self.say(&commit(block))
    }

    fn block(&mut self) -> Result<Provision, ProvisionError> {
        identity::provision(&mut self.chip).unwrap()
    }
}

#[test]
fn a_board_without_a_block_says_so_and_becomes_a_node() {
    let mut bench = blank();
    assert_eq!(bench.say("?"), "= node none firmware 0.2.0 state unprovisioned");
    let done = bench.provision(&ours().encode());
    let fingerprint = ours().device_key().fingerprint();
    assert_eq!(done, format!("= provisioned node 7 fingerprint {fingerprint}"));
    assert!(bench.workbench.is_done());
    assert_eq!(bench.block().unwrap().encode(), ours().encode());
    // It is one now.
    assert!(bench.say("begin").starts_with("! in-service "));
}

#[test]
fn a_memory_that_lost_its_block_is_told_from_one_that_never_had_one() {
    let chip = Chip::blank();
    let mut damaged = ours().encode();
    damaged[500] ^= 1;
    chip.clone().write(BLOCK_AT[0], &damaged).unwrap();
    let mut bench = on(&chip, ProvisionError::Damaged);
    assert!(bench.say("?").ends_with("state damaged"));
    assert!(bench.provision(&ours().encode()).starts_with("= provisioned"));
}

#[test]
fn chunks_may_come_again_and_in_any_order() {
    let mut bench = blank();
    let block = ours().encode();
    bench.say("begin");
    for n in (0..CHUNKS).rev().chain([3, 0, 3]) {
        assert_eq!(bench.say(&chunk(&block, n)), format!("= chunk {n}"));
    }
    assert!(bench.say(&commit(&block)).starts_with("= provisioned node 7"));
}

#[test]
fn nothing_counts_before_commit_and_what_is_missing_is_said() {
    let mut bench = blank();
    let block = ours().encode();
    assert!(bench.say(&chunk(&block, 0)).starts_with("! incomplete"));
    assert!(bench.say(&commit(&block)).starts_with("! incomplete"));
    bench.say("begin");
    for n in 0..CHUNKS - 1 {
        bench.say(&chunk(&block, n));
    }
    assert!(bench.say(&commit(&block)).starts_with("! incomplete"));
    bench.say(&chunk(&block, CHUNKS - 1));
    assert!(
        bench.block().is_err(),
        "all chunks are in, and nobody has said that they are right"
    );
    assert!(bench.say("commit 00000000").starts_with("! damaged"));
    assert!(bench.block().is_err());
    // A beginning forgets what was there.
    bench.say("begin");
    assert!(bench.say(&commit(&block)).starts_with("! incomplete"));
}

#[test]
fn a_block_that_no_node_takes_is_refused_with_what_to_do() {
    let mut bench = blank();
    let other = Provision { board: 2, ..ours() };
    assert!(bench.provision(&other.encode()).contains("another board"));
    let no_broker = Provision { port: 0, ..ours() };
    assert!(bench.provision(&no_broker.encode()).contains("no broker"));
    assert!(bench.provision(&[0; BLOCK_LEN]).starts_with("! block "));
    assert!(bench.block().is_err());
    let right = Provision { board: 1, ..ours() };
    assert!(bench.provision(&right.encode()).starts_with("= provisioned"));
}

#[test]
fn every_changed_letter_of_a_chunk_is_found() {
    let mut bench = blank();
    bench.say("begin");
    let line = chunk(&ours().encode(), 5);
    for at in 0..line.len() {
        let mut changed = line.as_bytes().to_vec();
        changed[at] = if changed[at] == b'7' { b'8' } else { b'7' };
        let changed = Text::from_utf8(changed).unwrap();
        assert!(bench.say(&changed).starts_with("! "), "{changed}");
    }
    assert_eq!(bench.say(&line), "= chunk 5");
}

#[test]
fn requests_that_are_none_are_refused() {
    let mut bench = blank();
    for (line, word) in [
        ("help", "unknown"),
        ("? please", "damaged"),
        ("chunk", "damaged"),
        ("chunk 16 00 00000000", "damaged"),
        ("chunk -1", "damaged"),
        ("commit", "damaged"),
        ("commit 123", "damaged"),
        ("erase", "damaged"),
        ("erase 65536", "damaged"),
        ("erase 7", "other-node"),
        ("status", "other-node"),
        ("\u{1b}[A", "line"),
        ("ノード", "line"),
        (&"x".repeat(MAX_LINE + 1), "line"),
        (&"x".repeat(MAX_LINE), "unknown"),
        (&"x".repeat(100_000), "line"),
    ] {
        let answer = bench.say(line);
        assert!(answer.starts_with(&format!("! {word} ")), "{line}: {answer}");
    }
    // And the next good line is understood.
    assert!(bench.say("  ?  ").starts_with("= node none"));
}

#[test]
fn empty_lines_and_a_persons_backspace_are_no_requests() {
    let mut console = Console::new();
    let typed = b"\r\n\n  \r\nstatuz\x08s\x7f\x7fus\n";
    let requests: List<Request> = typed.iter().filter_map(|byte| console.feed(*byte)).collect();
    assert_eq!(requests, [Ok(Command::Status)]);
    assert_eq!(console.refused(), 0);
}

#[test]
fn power_may_fail_at_every_byte_of_a_provisioning() {
    let block = ours().encode();
    let bytes = CHUNK_LEN + BLOCK_LEN;
    for cut in 0..=bytes {
        let mut bench = blank();
        bench.chip.cut_after(Some(cut));
        for line in core::iter::once("begin".into())
            .chain((0..CHUNKS).map(|n| chunk(&block, n).to_string()))
            .chain([commit(&block).to_string()])
        {
            bench.say(&line);
        }
        bench.chip.cut_after(None);
        assert_eq!(bench.block().is_ok(), cut == bytes, "cut {cut}");
        // And the next attempt succeeds.
        if cut < bytes {
            let mut again = on(&bench.chip, ProvisionError::Damaged);
            assert!(again.provision(&block).starts_with("= provisioned"), "cut {cut}");
        }
    }
}

#[test]
fn a_memory_that_keeps_nothing_is_said() {
    let mut bench = blank();
    bench.chip.freeze(true);
    assert!(bench.say("begin").starts_with("! memory "));
}

#[test]
fn no_key_is_printed_or_left_behind() {
    let line = chunk(&ours().encode(), 0);
    let mut console = Console::new();
    let request = line
        .bytes()
        .chain(*b"\n")
        .find_map(|byte| console.feed(byte))
        .unwrap();
    assert_eq!(format!("{request:?}"), "Ok(Chunk(0, ***))");
    let mut bench = blank();
    bench.say("begin");
    bench.say(&line);
    assert!(format!("{:?}", bench.workbench).contains("first: ***"));
}

#[test]
fn no_bytes_panic() {
    for seed in 1..=500 {
        let mut random = Random(seed);
        let mut bench = blank();
        let mut answers = 0;
        for _ in 0..2_000 {
            let byte = match random.below(4) {
                0 => random.byte(),
                1 => b"?\n chunk begin commit erase 0123456789abcdef"[random.below(42) as usize],
                2 => b'\n',
                _ => b' ' + random.below(95) as u8,
            };
            if let Some(request) = bench.console.feed(byte) {
                answers += 1;
                let answer = bench.workbench.answer(request, &mut bench.chip).to_string();
                assert!(answer.starts_with(ANSWER) || answer.starts_with(REFUSAL));
            }
        }
        assert!(answers > 0 && bench.block().is_err(), "seed {seed}");
    }
}
