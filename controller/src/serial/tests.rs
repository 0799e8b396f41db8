//! A simulated UPS behind a pseudo-terminal, and everything that a serial line does.

use super::*;
use room::site::link::{LineParity, SerialLine};
use simroom::megatec::{Dialect, Fault, SerialUps};
use std::path::Path;
use tempfile::TempDir;

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// For a test that waits for a silence.
const SHORT: Duration = Duration::from_millis(150);

struct Bench {
    ups: SerialUps,
    ports: Ports,
    _folder: TempDir,
}

impl Bench {
    fn new(dialect: Dialect) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            ups: SerialUps::start(dialect, &folder.path().join("ups")).unwrap(),
            ports: Ports::default(),
            _folder: folder,
        }
    }

    fn session(&self, dialect: MegatecDialect, timeout: Duration, retries: u8) -> Session {
        self.ports
            .session(&link(self.ups.port(), dialect), timeout, retries)
    }

    fn count(&self, name: &str) -> u64 {
        let counters = self.ports.counters();
        counters.iter().find(|(known, _)| *known == name).unwrap().1
    }
}

fn link(port: &Path, dialect: MegatecDialect) -> MegatecLink {
    MegatecLink {
        line: SerialLine {
            path: port.to_owned(),
            // A pseudo-terminal has no speed; the time on the wire is reckoned by it all the same.
            baud: 115_200,
            parity: LineParity::None,
            stop_bits: 1,
        },
        dialect,
    }
}

#[tokio::test]
async fn the_three_dialects_are_read() {
    for (speaks, asked, profile) in [
        (Dialect::Megatec, MegatecDialect::Megatec, "megatec"),
        (Dialect::Omron, MegatecDialect::Omron, "megatec-omron"),
        (Dialect::Fuji, MegatecDialect::Fuji, "megatec-fuji"),
    ] {
        let bench = Bench::new(speaks);
        let mut session = bench.session(asked, PATIENCE, 0);
        let reading = session.read().await.unwrap();
        assert_eq!(reading.profile, profile);
        assert_eq!(reading.state("output.source"), Some("mains"));
        assert_eq!(reading.number("input.voltage"), Some(101.2));
        bench.ups.set_mains(false);
        let reading = session.read().await.unwrap();
        assert_eq!(reading.state("output.source"), Some("battery"));
        assert_eq!(reading.number("input.voltage"), Some(0.0));
        let charge = (asked == MegatecDialect::Omron).then_some(100.0);
        assert_eq!(reading.number("battery.charge"), charge);
    }
}

#[tokio::test]
async fn the_dialect_is_found_out_by_harmless_questions() {
    for (speaks, found) in [
        (Dialect::Megatec, MegatecDialect::Megatec),
        (Dialect::Omron, MegatecDialect::Omron),
        (Dialect::Fuji, MegatecDialect::Megatec),
    ] {
        let bench = Bench::new(speaks);
        let mut session = bench.session(MegatecDialect::Auto, SHORT, 4);
        for _ in 0..4 {
            session.read().await.unwrap();
        }
        assert_eq!(session.dialect(), Some(found), "{speaks:?}");
        let heard = bench.ups.heard();
        if speaks != Dialect::Omron {
            let harmless = |text: &String| matches!(text.as_str(), "Q1" | "F" | "I" | "Bl ?");
            assert!(heard.iter().all(harmless), "{heard:?}");
        }
    }
}

#[tokio::test]
async fn what_lasts_is_asked_once() {
    let bench = Bench::new(Dialect::Megatec);
    let mut session = bench.session(MegatecDialect::Megatec, PATIENCE, 0);
    for _ in 0..5 {
        let reading = session.read().await.unwrap();
        assert_eq!(reading.number("battery.voltage.nominal"), Some(24.0));
    }
    let heard = bench.ups.heard();
    let times = |text: &str| heard.iter().filter(|line| *line == text).count();
    // The first status is heard twice before it is believed.
    assert_eq!((times("Q1"), times("F"), times("I")), (6, 1, 1));
    session.forget();
    session.read().await.unwrap();
    assert_eq!(bench.ups.heard().iter().filter(|line| *line == "F").count(), 2);
}

#[tokio::test]
async fn noise_and_echo_cost_nothing_but_a_count() {
    let bench = Bench::new(Dialect::Megatec);
    let mut session = bench.session(MegatecDialect::Megatec, PATIENCE, 0);
    for fault in [
        Fault::Noise(b"\xff\x00#$%\r".to_vec()),
        Fault::Noise(b"\r\n\n".to_vec()),
        Fault::Noise(b"(226.0 195\r".to_vec()),
        Fault::Echo,
    ] {
        bench.ups.fault(fault.clone());
        let reading = session.read().await.unwrap();
        assert_eq!(reading.number("input.voltage"), Some(101.2), "{fault:?}");
    }
    assert!(bench.count("megatec.strange") >= 2);
}

#[tokio::test]
async fn half_and_wrong_answers_are_refused_whole() {
    let bench = Bench::new(Dialect::Megatec);
    let mut session = bench.session(MegatecDialect::Megatec, SHORT, 0);
    session.read().await.unwrap();
    for at in [0, 1, 7, 20, 45] {
        bench.ups.fault(Fault::Lost(at));
        let failed = session.read().await;
        assert!(matches!(failed, Err(PollFailure::Refused(_))), "{at}: {failed:?}");
    }
    bench.ups.fault(Fault::Half(20));
    assert_eq!(session.read().await, Err(PollFailure::Timeout));
    bench.ups.fault(Fault::Noise(vec![b'x'; 3000]));
    assert!(session.read().await.is_err());
    bench.ups.fault(Fault::None);
    session.read().await.unwrap();
}

#[tokio::test]
async fn a_late_answer_is_never_taken_for_the_next_one() {
    // Fuji's has no other question that would tell a late answer apart.
    for (speaks, dialect, timeout, late) in [
        (Dialect::Megatec, MegatecDialect::Megatec, SHORT, SHORT * 2),
        (Dialect::Fuji, MegatecDialect::Fuji, SHORT * 4, SHORT * 6),
    ] {
        let bench = Bench::new(speaks);
        let mut session = bench.session(dialect, timeout, 0);
        session.read().await.unwrap();
        bench.ups.fault(Fault::Late(late));
        assert_eq!(session.read().await, Err(PollFailure::Timeout));
        // The late answer says mains; by the time of the next question the mains are gone.
        bench.ups.fault(Fault::None);
        bench.ups.set_mains(false);
        let reading = loop {
            match session.read().await {
                Ok(reading) => break reading,
                Err(PollFailure::Timeout | PollFailure::Refused(_)) => {}
                Err(other) => panic!("{other:?}"),
            }
        };
        assert_eq!(reading.state("output.source"), Some("battery"), "{speaks:?}");
    }
}

#[tokio::test]
async fn a_flipped_status_bit_is_no_outage_and_no_test() {
    let bench = Bench::new(Dialect::Megatec);
    let mut session = bench.session(MegatecDialect::Megatec, PATIENCE, 0);
    session.read().await.unwrap();
    for bit in [0, 1, 5] {
        bench.ups.fault(Fault::Flip { bit, times: 1 });
        let reading = session.read().await.unwrap();
        assert_eq!(reading.state("output.source"), Some("mains"), "bit {bit}");
        assert_eq!(reading.state("battery.status"), Some("normal"), "bit {bit}");
        assert_eq!(reading.state("ups.test.result"), Some("none"), "bit {bit}");
    }
    // A real outage is believed with the same reading.
    bench.ups.fault(Fault::None);
    bench.ups.set_mains(false);
    let reading = session.read().await.unwrap();
    assert_eq!(reading.state("output.source"), Some("battery"));
}

#[tokio::test]
async fn a_status_that_never_says_the_same_twice_is_refused() {
    let bench = Bench::new(Dialect::Megatec);
    let mut session = bench.session(MegatecDialect::Megatec, PATIENCE, 0);
    bench.ups.fault(Fault::Flip { bit: 0, times: 100 });
    let failed = session.read().await;
    assert!(
        matches!(&failed, Err(PollFailure::Refused(why)) if why.contains("contradict")),
        "{failed:?}"
    );
    assert!(bench.count("megatec.strange") >= 1);
}

#[tokio::test]
async fn a_silent_device_is_a_time_out_and_is_asked_again() {
    let bench = Bench::new(Dialect::Megatec);
    let mut session = bench.session(MegatecDialect::Megatec, SHORT, 2);
    bench.ups.fault(Fault::Silent);
    assert_eq!(session.read().await, Err(PollFailure::Timeout));
    assert_eq!(bench.ups.heard(), ["Q1", "Q1", "Q1"]);
}

#[tokio::test]
async fn an_adapter_is_pulled_and_plugged_in_again() {
    let mut bench = Bench::new(Dialect::Omron);
    let mut session = bench.session(MegatecDialect::Auto, PATIENCE, 0);
    session.read().await.unwrap();
    bench.ups.unplug().await;
    for _ in 0..3 {
        let failed = session.read().await;
        assert!(matches!(failed, Err(PollFailure::Unreachable(_))), "{failed:?}");
    }
    bench.ups.set(|state| state.charge = 61);
    bench.ups.plug().unwrap();
    let back = async {
        loop {
            match session.read().await {
                Ok(reading) => break reading,
                // Its back-off; it is told apart from silence.
                Err(PollFailure::Unreachable(_)) => tokio::task::yield_now().await,
                Err(other) => panic!("{other:?}"),
            }
        }
    };
    let reading = tokio::time::timeout(PATIENCE, back).await.unwrap();
    assert_eq!(reading.number("battery.charge"), Some(61.0));
    assert_eq!(bench.count("megatec.opened"), 2);
    assert!(bench.count("megatec.gone") >= 1);
}

#[tokio::test]
async fn a_port_that_is_not_there_says_so() {
    let ports = Ports::default();
    let missing = link(Path::new("/nonexistent/tty"), MegatecDialect::Auto);
    let mut session = ports.session(&missing, SHORT, 0);
    let Err(PollFailure::Unreachable(why)) = session.read().await else {
        panic!("read a port that is not there");
    };
    assert!(why.contains("/nonexistent/tty"), "{why}");
    assert!(why.contains("/dev/serial/by-id"), "it says where to look: {why}");
}
