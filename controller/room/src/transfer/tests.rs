//! Transfers against a node that keeps to the protocol, over a link that does not.

use super::*;

/// SplitMix64, so that a failing seed can be run again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }
}

/// The node's half, as it is promised: what follows is taken, the rest is not, and after every
/// frame, or every so many units, it says where it is.
#[derive(Default)]
struct Node {
    /// 0: it says so after every frame.
    tells_every: u32,
    under_way: Option<Vec<u32>>,
    committed: Option<Vec<u32>>,
}

/// What the node says.
enum Said {
    Has(u32, u32),
    Committed,
    Dropped,
}

impl Node {
    fn hears(&mut self, version: u32, total: u32, frame: Send) -> Vec<Said> {
        let mut said = Vec::new();
        let before = self.under_way.as_ref().map_or(0, Vec::len) as u32;
        match frame {
            Send::Begin => self.under_way = Some(Vec::new()),
            Send::Part { at, len } => {
                if let Some(units) = &mut self.under_way
                    && at as usize <= units.len()
                {
                    for unit in at..at + len {
                        if unit as usize == units.len() {
                            units.push(unit);
                        }
                    }
                }
            }
            Send::End => {
                if let Some(units) = self.under_way.take() {
                    if units.len() == total as usize {
                        self.committed = Some(units);
                        said.push(Said::Committed);
                    } else {
                        said.push(Said::Dropped);
                    }
                }
            }
        }
        let now = self.under_way.as_ref().map_or(0, Vec::len) as u32;
        let tells = match (frame, self.tells_every) {
            (_, 0) | (Send::Begin | Send::End, _) => true,
            (Send::Part { .. }, every) => before / every != now / every || now == total,
        };
        if tells {
            said.insert(0, self.progress(version));
        }
        said
    }

    fn progress(&self, version: u32) -> Said {
        match &self.under_way {
            Some(units) => Said::Has(version, units.len() as u32),
            None => Said::Has(0, 0),
        }
    }
}

/// How bad the link is: one frame in so many is lost, 0 for none.
#[derive(Debug, Clone, Copy)]
struct Link {
    down: u64,
    up: u64,
    reboot: u64,
    twice: u64,
}

/// Runs a transfer to its end; the frames that were sent, or `None` after a day.
fn run(seed: u64, total: u32, pace: Pace, link: Link) -> Option<u32> {
    let mut random = Random(seed);
    let mut node = Node {
        tells_every: if pace == OF_IMAGES { 2_048 } else { 0 },
        ..Node::default()
    };
    let mut now = Mono(1_000);
    let version = 7;
    let mut transfer = Transfer::new(now, version, total, pace);
    let mut frames = 0;
    let mut queue: Vec<Send> = transfer.tick(now);
    let end = now.after(Millis(86_400_000));
    while now < end {
        while !queue.is_empty() {
            let frame = queue.remove(0);
            frames += 1;
            if random.one_in(link.reboot) {
                // The event of its start is not lost.
                node.under_way = None;
                transfer.begin_again(now);
                queue = transfer.tick(now);
                continue;
            }
            if random.one_in(link.down) {
                continue;
            }
            let copies = 1 + u32::from(random.one_in(link.twice));
            for _ in 0..copies {
                for said in node.hears(version, total, frame) {
                    match said {
                        Said::Has(..) if random.one_in(link.up) => {}
                        Said::Has(version, have) => queue.extend(transfer.reported(now, version, have)),
                        Said::Committed => {
                            let units = node.committed.take().unwrap();
                            assert_eq!(units, (0..total).collect::<Vec<u32>>(), "seed {seed}");
                            return Some(frames);
                        }
                        Said::Dropped => transfer.dropped(now),
                    }
                }
            }
            assert!(
                queue.len() <= 3 * pace.window as usize + 3,
                "seed {seed}: {} frames at once",
                queue.len()
            );
        }
        let next = transfer.next_deadline();
        // Who answers only now and then says again where it is when nothing comes.
        let asks = now.after(Millis(5_000));
        if node.tells_every > 0 && node.under_way.is_some() && asks < next {
            now = asks;
            if !random.one_in(link.up)
                && let Said::Has(version, have) = node.progress(version)
            {
                queue.extend(transfer.reported(now, version, have));
            }
            continue;
        }
        now = next.max(now.after(Millis(1)));
        queue.extend(transfer.tick(now));
    }
    None
}

const GOOD: Link = Link {
    down: 0,
    up: 0,
    reboot: 0,
    twice: 0,
};

#[test]
fn on_a_good_link_every_frame_is_sent_once() {
    // 500 entries of 16: a head, 32 frames, an end.
    assert_eq!(run(0, 500, OF_LISTS, GOOD), Some(34));
    assert_eq!(run(0, 0, OF_LISTS, GOOD), Some(2), "an empty list is a list");
    assert_eq!(run(0, 1, OF_LISTS, GOOD), Some(3));
    assert_eq!(run(0, 16, OF_LISTS, GOOD), Some(3));
    assert_eq!(run(0, 17, OF_LISTS, GOOD), Some(4));
}

#[test]
fn whatever_the_link_loses_or_repeats_the_node_gets_all_of_it_in_order() {
    let mut most = 0;
    for seed in 0..5_000 {
        let mut random = Random(seed ^ 0xabcd);
        let link = Link {
            down: [0, 2, 3, 10, 50][random.below(5) as usize],
            up: [0, 2, 3, 10, 50][random.below(5) as usize],
            reboot: [0, 0, 40, 100][random.below(4) as usize],
            twice: [0, 3, 20][random.below(3) as usize],
        };
        let total = random.below(501) as u32;
        let frames = run(seed, total, OF_LISTS, link);
        assert!(
            frames.is_some(),
            "seed {seed}, {total} units, {link:?}: not within a day"
        );
        most = most.max(frames.unwrap_or(0));
    }
    assert!(most < 20_000, "{most} frames for one list");
}

#[test]
fn an_image_goes_over_though_the_node_answers_only_now_and_then() {
    // 100,000 bytes of 256: a head, 391 frames, an end.
    assert_eq!(run(0, 100_000, OF_IMAGES, GOOD), Some(393));
    for seed in 0..300 {
        let mut random = Random(seed ^ 0x1234);
        let link = Link {
            down: [0, 50, 200][random.below(3) as usize],
            up: [0, 2, 10][random.below(3) as usize],
            reboot: [0, 0, 1_000][random.below(3) as usize],
            twice: 0,
        };
        let total = random.below(131_072) as u32;
        assert!(
            run(seed, total, OF_IMAGES, link).is_some(),
            "seed {seed}, {total} bytes, {link:?}: not within a day"
        );
    }
}

#[test]
fn a_node_that_never_answers_is_asked_ever_more_seldom() {
    let mut transfer = Transfer::new(Mono(0), 1, 500, OF_LISTS);
    let mut sent = 0;
    let mut now = Mono(0);
    while now < Mono(86_400_000) {
        sent += transfer.tick(now).len();
        now = transfer.next_deadline().max(now.after(Millis(1)));
    }
    assert!((100..500).contains(&sent), "{sent} frames in a day");
    assert!(transfer.failures() > 40);
}

#[test]
fn a_node_that_says_nonsense_is_left_in_peace_for_a_while() {
    for (version, have) in [(7, 501), (7, u32::MAX), (8, 3)] {
        let mut transfer = Transfer::new(Mono(0), 7, 500, OF_LISTS);
        transfer.tick(Mono(0));
        transfer.reported(Mono(10), 7, 0);
        assert!(transfer.reported(Mono(20), version, have).is_empty());
        assert!(!transfer.is_busy());
        assert_eq!(transfer.next_deadline(), Mono(20).after(FIRST_REST));
    }
}

#[test]
fn a_node_that_goes_round_in_circles_does_not_keep_us_busy() {
    let mut transfer = Transfer::new(Mono(0), 7, 500, OF_LISTS);
    let mut sent = transfer.tick(Mono(0)).len();
    for round in 0..10_000_u64 {
        sent += transfer.reported(Mono(round), 7, (round % 2) as u32 * 16).len();
    }
    assert!(sent <= 34 * MAX_REPETITION as usize, "{sent} frames");
    assert!(!transfer.is_busy());
}
