//! What a bus does with devices that answer late, short, wrong, or not.

use super::super::bus::Bus;
use super::super::{Address, Error, Exception, Patience, Question, Space};
use super::fake::{Act, Asked, Close, Fake, Framing, Send, Wait, frame};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Longer than anything a test waits for on a loaded machine.
const BOUND: Duration = Duration::from_secs(30);
const BOTH: [Framing; 2] = [Framing::Tcp, Framing::Rtu];
const PATIENT: Patience = Patience {
    timeout: Duration::from_secs(5),
    pause: Duration::ZERO,
};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn within(timeout_ms: u64) -> Patience {
    Patience {
        timeout: ms(timeout_ms),
        pause: Duration::ZERO,
    }
}

fn holding(unit: u8, at: u16, count: u16) -> Question {
    question(unit, Space::Holding, at, count)
}

fn question(unit: u8, space: Space, at: u16, count: u16) -> Question {
    Question {
        unit,
        start: Address { space, at },
        count,
    }
}

/// A bus on the fake's line. Its task ends with the test's runtime.
fn bus(fake: &Fake) -> Bus {
    let (bus, task) = Bus::new(fake.line.clone());
    tokio::spawn(task);
    bus
}

async fn ask(bus: &Bus, question: Question, patience: Patience) -> Result<Vec<u16>, Error> {
    tokio::time::timeout(BOUND, bus.ask(question, patience))
        .await
        .expect("every question ends")
}

/// Asks until it is answered: what the next polls of a device do.
async fn until_answered(bus: &Bus, question: Question, patience: Patience) -> Vec<u16> {
    for _ in 0..50 {
        match ask(bus, question, patience).await {
            Ok(words) => return words,
            Err(Error::Line { .. } | Error::Resting { .. }) => tokio::time::sleep(ms(50)).await,
            Err(_) => {}
        }
    }
    panic!("never answered");
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

/// The words that a right answer has: each register holds its own address.
fn own_addresses(at: u16, count: u16) -> Vec<u16> {
    (at..at + count).collect()
}

#[tokio::test]
async fn registers_and_bits_of_every_table_are_read() {
    for framing in BOTH {
        let fake = Fake::start(framing, move |asked| vec![Send(asked.good(framing))]).await;
        let bus = bus(&fake);
        for (space, count) in [(Space::Holding, 125), (Space::Input, 1), (Space::Holding, 7)] {
            let words = ask(&bus, question(1, space, 4000, count), PATIENT).await.unwrap();
            assert_eq!(words, own_addresses(4000, count), "{framing:?}");
        }
        for (space, count) in [(Space::Coil, 1), (Space::Discrete, 9), (Space::Coil, 2000)] {
            let bits = ask(&bus, question(1, space, 3, count), PATIENT).await.unwrap();
            let odd: Vec<u16> = (3..3 + count).map(|at| at % 2).collect();
            assert_eq!(bits, odd, "{framing:?} {count}");
        }
        assert_eq!(count(&bus.counters().closed), 0);
    }
}

#[tokio::test]
async fn impossible_questions_are_not_asked() {
    let fake = Fake::start(Framing::Rtu, |asked| vec![Send(asked.good(Framing::Rtu))]).await;
    let bus = bus(&fake);
    for bad in [
        holding(1, 0, 0),
        holding(1, 0, 126),
        holding(1, 65_535, 2),
        question(1, Space::Coil, 0, 2001),
        holding(0, 0, 1),
        holding(248, 0, 1),
    ] {
        let result = ask(&bus, bad, PATIENT).await;
        assert!(matches!(result, Err(Error::Question(_))), "{bad:?}: {result:?}");
    }
    assert_eq!(fake.asked(), []);
}

/// The failure this module is for: an RTU reply that comes after its question was given up must
/// not become the answer to the next one.
#[tokio::test]
async fn a_late_reply_is_never_the_value_of_another_register() {
    // Within the silence that is kept, just after it, and long after the line was used again.
    for late in [250, 450, 900] {
        for framing in BOTH {
            let fake = Fake::start(framing, move |asked| {
                let wait = if asked.nth == 0 { ms(late) } else { Duration::ZERO };
                vec![Wait(wait), Send(asked.good(framing))]
            })
            .await;
            let bus = bus(&fake);
            let first = ask(&bus, holding(1, 100, 1), within(150)).await;
            assert_eq!(first, Err(Error::Timeout { unit: 1 }), "{framing:?} {late}");
            // The same shape as the lost one: only its place differs.
            for at in [200, 300, 400, 500] {
                let words = until_answered(&bus, holding(1, at, 1), within(150)).await;
                assert_eq!(words, [at], "{framing:?}, {late} ms late");
            }
        }
    }
}

/// Only the number of its registers tells that reply from the one that is waited for.
#[tokio::test]
async fn a_reply_that_comes_in_the_time_of_the_next_question_is_seen_for_what_it_is() {
    let fake = Fake::start(Framing::Rtu, |asked| {
        let wait = if asked.nth == 0 { ms(1200) } else { Duration::ZERO };
        vec![Wait(wait), Send(asked.good(Framing::Rtu))]
    })
    .await;
    let bus = bus(&fake);
    let first = ask(&bus, holding(1, 100, 1), within(150)).await;
    assert_eq!(first, Err(Error::Timeout { unit: 1 }));
    // Waits longer than the lost reply takes.
    assert_eq!(until_answered(&bus, holding(1, 200, 1), PATIENT).await, [200]);
}

/// An exception does not say what it is an answer to. One that comes late must neither teach that
/// a register is missing nor let the answer of this question become that of the next.
#[tokio::test]
async fn a_late_exception_is_not_the_answer_to_another_question() {
    let fake = Fake::start(Framing::Rtu, |asked| match asked.nth {
        // Behind the time-out and the silence that is kept after it.
        0 => vec![Wait(ms(700)), Send(asked.exception(Framing::Rtu, 2))],
        1 => vec![Wait(ms(100)), Send(asked.good(Framing::Rtu))],
        _ => vec![Send(asked.good(Framing::Rtu))],
    })
    .await;
    let bus = bus(&fake);
    let lost = ask(&bus, holding(1, 100, 1), within(150)).await;
    assert_eq!(lost, Err(Error::Timeout { unit: 1 }));
    let second = ask(&bus, holding(1, 200, 2), within(2000)).await;
    assert!(
        matches!(second, Err(Error::Refused { unit: 1, .. })),
        "{second:?}"
    );
    for at in [300, 400] {
        let words = until_answered(&bus, holding(1, at, 2), within(2000)).await;
        assert_eq!(words, own_addresses(at, 2));
    }
}

/// A device that is slow by chance: whatever is answered is right.
#[tokio::test]
async fn a_device_of_changing_slowness_never_gives_a_wrong_value() {
    for framing in BOTH {
        let fake = Fake::start(framing, move |asked| {
            // 0 to 500 ms by a fixed rule, so that a failure can be repeated.
            let slowness = (asked.nth * 7919 % 11) as u64;
            let wait = if slowness >= 8 {
                ms(slowness * 50)
            } else {
                Duration::ZERO
            };
            vec![Wait(wait), Send(asked.good(framing))]
        })
        .await;
        let bus = bus(&fake);
        let mut answered = 0;
        for n in 0..500_u16 {
            let (at, count) = (1000 + n * 10, 1 + n % 3);
            match ask(&bus, holding(1, at, count), within(100)).await {
                Ok(words) => {
                    assert_eq!(words, own_addresses(at, count), "{framing:?} question {n}");
                    answered += 1;
                }
                // The line rests before it is opened again.
                Err(Error::Line { .. }) => tokio::time::sleep(ms(20)).await,
                Err(Error::Timeout { .. } | Error::Refused { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            if answered == 20 {
                break;
            }
        }
        assert_eq!(answered, 20, "{framing:?}");
    }
}

#[tokio::test]
async fn over_tcp_a_late_reply_costs_nobody_the_connection() {
    let fake = Fake::start(Framing::Tcp, |asked| {
        let wait = if asked.unit == 9 { ms(300) } else { Duration::ZERO };
        vec![Wait(wait), Send(asked.good(Framing::Tcp))]
    })
    .await;
    let bus = bus(&fake);
    let lost = ask(&bus, holding(9, 100, 1), within(100)).await;
    assert_eq!(lost, Err(Error::Timeout { unit: 9 }));
    assert_eq!(ask(&bus, holding(1, 200, 1), PATIENT).await, Ok(vec![200]));
    assert_eq!(count(&bus.counters().late), 1);
    assert_eq!(fake.connections(), 1);
}

/// What is wrong with an answer, and a word of what is said about it.
type Wrong = (&'static str, fn(&Asked, Framing) -> Vec<Act>);

#[tokio::test]
async fn whatever_is_no_answer_is_refused_and_the_line_recovers() {
    let wrongs: [Wrong; 9] = [
        ("of another unit", |asked, framing| {
            vec![Send(frame(framing, asked.id, asked.unit + 1, &asked.pdu()))]
        }),
        ("to another function", |asked, framing| {
            let mut pdu = asked.pdu();
            pdu[0] = 4;
            vec![Send(frame(framing, asked.id, asked.unit, &pdu))]
        }),
        ("another number of registers", |asked, framing| {
            vec![Send(frame(
                framing,
                asked.id,
                asked.unit,
                &asked.pdu_of(asked.at, 1),
            ))]
        }),
        ("another number of registers", |asked, framing| {
            vec![Send(frame(
                framing,
                asked.id,
                asked.unit,
                &asked.pdu_of(asked.at, 5),
            ))]
        }),
        ("", |asked, framing| {
            // Says four registers, brings one.
            let mut pdu = asked.pdu();
            pdu.truncate(4);
            vec![Send(frame(framing, asked.id, asked.unit, &pdu))]
        }),
        ("", |asked, framing| vec![Send(asked.good(framing)[..7].to_vec())]),
        ("", |_, _| vec![Send(vec![0xff; 300])]),
        ("", |_, _| vec![Send((0..=255).cycle().take(3000).collect())]),
        ("", |asked, framing| {
            let mut bytes = asked.good(framing);
            let last = bytes.len() - 1;
            if framing == Framing::Rtu {
                bytes[last] ^= 1;
            } else {
                bytes[2] = 1;
            }
            vec![Send(bytes)]
        }),
    ];
    for framing in BOTH {
        for (number, (said, wrong)) in wrongs.into_iter().enumerate() {
            let fake = Fake::start(framing, move |asked| {
                if asked.nth == 1 {
                    wrong(asked, framing)
                } else {
                    vec![Send(asked.good(framing))]
                }
            })
            .await;
            let bus = bus(&fake);
            assert!(ask(&bus, holding(1, 10, 4), within(600)).await.is_ok());
            match ask(&bus, holding(1, 20, 4), within(200)).await {
                Err(Error::Refused { unit: 1, problem }) => {
                    assert!(problem.contains(said), "{framing:?} {number}: {problem}");
                }
                Err(Error::Timeout { .. }) if said.is_empty() => {}
                other => panic!("{framing:?} {number}: {other:?}"),
            }
            let words = until_answered(&bus, holding(1, 30, 4), within(600)).await;
            assert_eq!(words, own_addresses(30, 4), "{framing:?} {number}");
        }
    }
}

#[tokio::test]
async fn exceptions_are_told_apart_and_leave_the_line_alone() {
    for framing in BOTH {
        let fake = Fake::start(framing, move |asked| {
            let code = u8::try_from(asked.at).unwrap();
            vec![Send(asked.exception(framing, code))]
        })
        .await;
        let bus = bus(&fake);
        for code in [1, 2, 3, 4, 5, 6, 8, 10, 11, 77] {
            let result = ask(&bus, holding(1, u16::from(code), 2), PATIENT).await;
            let exception = Exception::new(code);
            assert_eq!(
                result,
                Err(Error::Exception { unit: 1, exception }),
                "{framing:?}"
            );
            assert_eq!(exception.code(), code);
        }
        assert_eq!(count(&bus.counters().closed), 0);
        assert_eq!(count(&bus.counters().exceptions), 10);
    }
}

#[tokio::test]
async fn a_dead_unit_costs_the_others_little_and_never_their_line() {
    for framing in BOTH {
        let fake = Fake::start(framing, move |asked| match asked.unit {
            7 => vec![],
            _ => vec![Send(asked.good(framing))],
        })
        .await;
        let bus = bus(&fake);
        let mut rested = 0;
        for n in 0..60_u16 {
            let dead = ask(&bus, holding(7, n, 1), within(60)).await;
            rested += u32::from(matches!(dead, Err(Error::Resting { unit: 7 })));
            assert!(dead.is_err());
            assert_eq!(
                ask(&bus, holding(1, n, 2), PATIENT).await,
                Ok(own_addresses(n, 2))
            );
        }
        assert!(
            rested >= 50,
            "{framing:?}: asked a dead unit {} of 60 times",
            60 - rested
        );
        assert_eq!(count(&bus.counters().closed), 0, "{framing:?}");
    }
}

#[tokio::test]
async fn a_unit_that_answers_only_garbage_is_asked_less_often() {
    let fake = Fake::start(Framing::Rtu, |asked| match asked.unit {
        7 => vec![Send(vec![0xaa; 12])],
        _ => vec![Send(asked.good(Framing::Rtu))],
    })
    .await;
    let bus = bus(&fake);
    assert_eq!(ask(&bus, holding(1, 0, 1), within(60)).await, Ok(vec![0]));
    let mut rested = 0;
    for n in 0..20_u16 {
        let garbage = ask(&bus, holding(7, n, 1), within(60)).await;
        rested += u32::from(matches!(garbage, Err(Error::Resting { unit: 7 })));
        assert!(garbage.is_err());
        assert_eq!(
            until_answered(&bus, holding(1, n, 2), within(60)).await,
            own_addresses(n, 2)
        );
    }
    assert!(rested >= 10, "asked it {} of 20 times", 20 - rested);
    assert_eq!(
        count(&bus.counters().refused) + count(&bus.counters().timeouts),
        u64::from(20 - rested)
    );
}

#[tokio::test]
async fn a_unit_that_is_back_is_heard_after_its_rest() {
    let fake = Fake::start(Framing::Rtu, |asked| match (asked.unit, asked.nth) {
        (7, ..=8) => vec![],
        _ => vec![Send(asked.good(Framing::Rtu))],
    })
    .await;
    let bus = bus(&fake);
    for n in 0..5 {
        assert!(ask(&bus, holding(7, n, 1), within(20)).await.is_err());
        assert!(ask(&bus, holding(1, n, 1), PATIENT).await.is_ok());
    }
    let words = tokio::time::timeout(BOUND, async {
        loop {
            if let Ok(words) = ask(&bus, holding(7, 70, 3), PATIENT).await {
                return words;
            }
            tokio::time::sleep(ms(20)).await;
        }
    });
    assert_eq!(words.await.unwrap(), [70, 71, 72]);
}

#[tokio::test]
async fn noise_between_the_frames_is_thrown_away() {
    let fake = Fake::start(Framing::Rtu, |asked| {
        let noise = vec![0x01, 0x03, 0x02, 0xff, 0x00];
        vec![Send(asked.good(Framing::Rtu)), Wait(ms(30)), Send(noise)]
    })
    .await;
    let bus = bus(&fake);
    for n in 0..10 {
        let words = until_answered(&bus, holding(1, n, 3), within(300)).await;
        assert_eq!(words, own_addresses(n, 3));
        tokio::time::sleep(ms(60)).await;
    }
    assert!(count(&bus.counters().stray) > 0);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_no_failure() {
    let fake = Fake::start(Framing::Tcp, |asked| vec![Send(asked.good(Framing::Tcp)), Close]).await;
    let bus = bus(&fake);
    for n in 0..5 {
        assert_eq!(ask(&bus, holding(1, n, 1), PATIENT).await, Ok(vec![n]));
        // Until the end of the connection has arrived here.
        tokio::time::sleep(ms(30)).await;
    }
    assert_eq!(fake.connections(), 5);
    assert_eq!(count(&bus.counters().closed), 0);
}

#[tokio::test]
async fn a_line_that_is_not_there_is_an_answer_and_not_a_wait() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let (bus, task) = Bus::new(super::super::Line::Tcp(addr));
    tokio::spawn(task);
    let started = tokio::time::Instant::now();
    for _ in 0..30 {
        let result = ask(&bus, holding(1, 0, 1), within(100)).await;
        assert!(
            matches!(&result, Err(Error::Line { line, .. }) if *line == addr.to_string()),
            "{result:?}"
        );
    }
    assert!(started.elapsed() < ms(8000), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_connection_on_which_nothing_comes_is_opened_anew() {
    let fake = Fake::start(Framing::Tcp, |asked| match asked.nth {
        ..=2 => vec![],
        _ => vec![Send(asked.good(Framing::Tcp))],
    })
    .await;
    let bus = bus(&fake);
    let words = until_answered(&bus, holding(1, 5, 1), within(100)).await;
    assert_eq!(words, [5]);
    assert!(fake.connections() >= 2);
}

#[tokio::test]
async fn the_line_is_silent_between_questions_as_long_as_the_unit_needs() {
    let fake = Fake::start(Framing::Rtu, |asked| vec![Send(asked.good(Framing::Rtu))]).await;
    let bus = bus(&fake);
    let patience = Patience {
        timeout: ms(2000),
        pause: ms(35),
    };
    ask(&bus, holding(1, 0, 1), patience).await.unwrap();
    let started = tokio::time::Instant::now();
    for n in 0..10 {
        ask(&bus, holding(1, n, 1), patience).await.unwrap();
    }
    assert!(started.elapsed() >= ms(350), "{:?}", started.elapsed());
}

#[tokio::test]
async fn many_devices_share_one_bus_and_each_gets_its_own_answer() {
    for framing in BOTH {
        let fake = Fake::start(framing, move |asked| {
            let mut pdu = asked.pdu();
            // The first register says who answers.
            pdu[2] = asked.unit;
            vec![Send(frame(framing, asked.id, asked.unit, &pdu))]
        })
        .await;
        let bus = bus(&fake);
        let tasks: Vec<_> = (1..=20_u8)
            .map(|unit| {
                let bus = bus.clone();
                tokio::spawn(async move {
                    for n in 0..10 {
                        let words = ask(&bus, holding(unit, n, 2), within(10_000)).await.unwrap();
                        assert_eq!(words, [u16::from(unit) << 8 | n, n + 1]);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(count(&bus.counters().answered), 200);
    }
}
