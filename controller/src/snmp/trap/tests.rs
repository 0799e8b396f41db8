//! Who is heard, and what may come of it. Traps are built here byte by byte; Debian's `snmptrap`
//! sends them in the interoperation tests.

use super::*;
use crate::snmp::{AuthProtocol, PrivProtocol, Usm};
use proptest::prelude::*;
use room::site::Secret;
use room::time::Millis;

const START: Mono = Mono(1_000_000);
const UPS: &str = "192.0.2.10:40000";

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    ber::put(&mut bytes, tag, content);
    bytes
}

/// sysUpTime and snmpTrapOID (upsTrapOnBattery) in a PDU of this kind.
fn notification(kind: u8) -> Vec<u8> {
    let up_time = [tlv(6, &[0x2b, 6, 1, 2, 1, 1, 3, 0]), tlv(0x43, &[1])].concat();
    let trap = [
        tlv(6, &[0x2b, 6, 1, 6, 3, 1, 1, 4, 1, 0]),
        tlv(6, &[0x2b, 6, 1, 2, 1, 33, 2, 1]),
    ]
    .concat();
    let list = [tlv(0x30, &up_time), tlv(0x30, &trap)].concat();
    let content = [tlv(2, &[9]), tlv(2, &[0]), tlv(2, &[0]), tlv(0x30, &list)].concat();
    tlv(kind, &content)
}

fn v2c(community: &str, kind: u8) -> Vec<u8> {
    let content = [tlv(2, &[1]), tlv(4, community.as_bytes()), notification(kind)].concat();
    tlv(0x30, &content)
}

fn v1(community: &str) -> Vec<u8> {
    let content = [
        tlv(6, &[0x2b, 6, 1, 2, 1, 33, 2]),
        tlv(0x40, &[192, 0, 2, 10]),
        tlv(2, &[6]),
        tlv(2, &[1]),
        tlv(0x43, &[1]),
        tlv(0x30, &[]),
    ]
    .concat();
    let content = [tlv(2, &[0]), tlv(4, community.as_bytes()), tlv(0xa4, &content)].concat();
    tlv(0x30, &content)
}

fn usm() -> Usm {
    Usm {
        user: "reader".to_owned(),
        auth: Some((AuthProtocol::Sha1, Secret("correct horse".to_owned()))),
        privacy: Some((PrivProtocol::Aes128, Secret("battery staple".to_owned()))),
        context: String::new(),
    }
}

struct Room {
    gate: Gate,
    user: Arc<User>,
    _folder: tempfile::TempDir,
}

async fn room() -> Room {
    let speakers = Arc::new(Speakers::default());
    let user = Arc::new(User::new(usm()));
    for (name, addr, access) in [
        (
            "ups-a",
            "192.0.2.10:161",
            Access::V2c(Secret("secret".to_owned())),
        ),
        ("ups-b", "192.0.2.11:161", Access::V1(Secret("secret".to_owned()))),
        ("ups-c", "192.0.2.12:161", Access::V3(Arc::clone(&user))),
    ] {
        speakers.add(name, addr.parse().unwrap(), &access);
    }
    let folder = tempfile::tempdir().unwrap();
    let own = OwnEngine::open(folder.path(), START).unwrap();
    let gate = Gate::new(Client::bind().await.unwrap(), speakers, Some(Arc::new(own)));
    Room {
        gate,
        user,
        _folder: folder,
    }
}

impl Room {
    async fn hear(&mut self, from: &str, mut datagram: Vec<u8>) -> Heard {
        self.gate.hear(START, from.parse().unwrap(), &mut datagram).await
    }

    fn counted(&self, name: &str) -> u64 {
        let list = self.gate.counters().list();
        list.iter().find(|(counter, _)| *counter == name).unwrap().1
    }
}

#[tokio::test]
async fn a_trap_of_a_device_of_the_site_has_that_device_polled_and_nothing_else() {
    let mut room = room().await;
    for (from, datagram, device) in [
        (UPS, v2c("secret", pdu::TRAP), "ups-a"),
        (UPS, v1("secret"), "ups-a"),
        ("192.0.2.11:162", v1("secret"), "ups-b"),
        ("[::ffff:192.0.2.11]:162", v1("secret"), "ups-b"),
    ] {
        let heard = room.hear(from, datagram).await;
        assert_eq!(heard.poll, [device]);
        assert_eq!(heard.reply, None);
    }
    assert_eq!(room.counted("trap.traps"), 4);
}

#[tokio::test]
async fn an_inform_is_answered_with_its_own_variables() {
    let mut room = room().await;
    let heard = room.hear(UPS, v2c("secret", pdu::INFORM)).await;
    assert_eq!(heard.poll, ["ups-a"]);
    assert_eq!(heard.reply.unwrap(), v2c("secret", pdu::RESPONSE));
}

#[tokio::test]
async fn everything_else_is_refused_without_a_word_and_counted() {
    let mut room = room().await;
    for (from, datagram, counter) in [
        ("192.0.2.99:162", v2c("secret", pdu::TRAP), "trap.refused_foreign"),
        (UPS, v2c("public", pdu::INFORM), "trap.refused_stranger"),
        (UPS, v2c("", pdu::INFORM), "trap.refused_stranger"),
        (
            "192.0.2.12:162",
            v2c("secret", pdu::TRAP),
            "trap.refused_stranger",
        ),
        (UPS, v2c("secret", pdu::SET), "trap.refused_malformed"),
        (UPS, v2c("secret", pdu::GET), "trap.refused_malformed"),
        (UPS, v2c("secret", pdu::RESPONSE), "trap.refused_malformed"),
        (UPS, b"\x30\x82\xff\xff".to_vec(), "trap.refused_malformed"),
        (UPS, Vec::new(), "trap.refused_malformed"),
        (UPS, vec![0x30; 65_507], "trap.refused_malformed"),
    ] {
        let before = room.counted(counter);
        assert_eq!(room.hear(from, datagram).await, Heard::default(), "{counter}");
        assert_eq!(room.counted(counter), before + 1, "{counter}");
    }
    assert_eq!(room.counted("trap.traps") + room.counted("trap.informs"), 0);
}

#[tokio::test]
async fn a_flood_is_cut_and_the_source_is_heard_again_later() {
    let mut room = room().await;
    let mut heard = 0;
    for _ in 0..1000 {
        heard += room.hear(UPS, v2c("secret", pdu::TRAP)).await.poll.len();
    }
    assert_eq!(heard as u64, BURST);
    assert_eq!(room.counted("trap.refused_flood"), 1000 - BURST);
    // Another device is not concerned.
    assert_eq!(room.hear("192.0.2.11:162", v1("secret")).await.poll.len(), 1);
    let later = START.after(Millis(EVERY_MS));
    let mut datagram = v2c("secret", pdu::TRAP);
    let heard = room.gate.hear(later, UPS.parse().unwrap(), &mut datagram).await;
    assert_eq!(heard.poll, ["ups-a"]);
}

/// A message of the user, to or from this engine.
async fn sealed(engine: &[u8], boots: u32, time: u32, usm: &Usm, reportable: bool, kind: u8) -> Vec<u8> {
    let keys = Keys::derive(&crate::snmp::usm::KeyCache::default(), usm, engine)
        .await
        .unwrap();
    let envelope = Outgoing {
        id: crate::snmp::packet::ID_MIN,
        reportable,
        engine,
        boots,
        time,
        user: &usm.user,
        context_engine: engine,
        context: "",
        salt: 1,
    };
    let mut bytes = Vec::new();
    seal(&mut bytes, &envelope, Some(&keys), &[&notification(kind)]);
    bytes
}

/// The same PDU with its length in three bytes, as some agents write every length.
fn long_form(pdu: &[u8]) -> Vec<u8> {
    assert!(pdu[1] < 0x80, "the example is short");
    [&[pdu[0], 0x82, 0, pdu[1]], &pdu[2..]].concat()
}

#[tokio::test]
async fn an_inform_with_lengths_in_long_form_is_answered_whole() {
    let mut room = room().await;
    let own = room.gate.own.as_ref().unwrap();
    let (engine, boots) = (own.id.clone(), own.boots);
    let keys = Keys::derive(&crate::snmp::usm::KeyCache::default(), &usm(), &engine)
        .await
        .unwrap();
    let envelope = Outgoing {
        id: crate::snmp::packet::ID_MIN,
        reportable: true,
        engine: &engine,
        boots,
        time: 0,
        user: "reader",
        context_engine: &engine,
        context: "",
        salt: 1,
    };
    let mut inform = Vec::new();
    let pdu_bytes = long_form(&notification(pdu::INFORM));
    seal(&mut inform, &envelope, Some(&keys), &[&pdu_bytes]);
    let heard = room.hear("192.0.2.12:40000", inform).await;
    assert_eq!(heard.poll, ["ups-c"]);
    let mut reply = heard.reply.unwrap();
    let header = Header::read(&reply).unwrap();
    let response = open(&mut reply, &header, Some(&keys)).unwrap();
    assert_eq!(response, long_form(&notification(pdu::RESPONSE)));
}

#[tokio::test]
async fn a_v3_trap_of_a_card_that_is_two_devices_has_both_polled() {
    let mut room = room().await;
    let probe = Arc::new(User::new(usm()));
    let mut other = usm();
    other.user = "writer".to_owned();
    let other = Arc::new(User::new(other));
    for (name, user) in [("probe-c", &probe), ("other-c", &other)] {
        let access = Access::V3(Arc::clone(user));
        room.gate
            .speakers
            .add(name, "192.0.2.12:161".parse().unwrap(), &access);
    }
    for user in [&room.user, &probe, &other] {
        prove(user, b"its engine", 3, 500).await;
    }
    let trap = sealed(b"its engine", 3, 500, &usm(), false, pdu::TRAP).await;
    let heard = room.hear("192.0.2.12:40000", trap).await;
    assert_eq!(heard.poll, ["ups-c", "probe-c"]);
}

async fn prove(user: &User, engine: &[u8], boots: u32, time: u32) {
    let keys = Keys::derive(&crate::snmp::usm::KeyCache::default(), &user.usm, engine).await;
    let engine = Arc::new(crate::snmp::usm::peer::Engine {
        id: engine.to_vec(),
        keys: keys.unwrap(),
    });
    let clock = Clock::new(boots, time, START);
    user.peer.keep(crate::snmp::usm::peer::Known { engine, clock });
}

#[tokio::test]
async fn a_v3_trap_is_taken_from_the_engine_that_polls_have_proven() {
    let mut room = room().await;
    let from = "192.0.2.12:40000";
    let trap = sealed(b"its engine", 3, 500, &usm(), false, pdu::TRAP).await;
    assert_eq!(room.hear(from, trap.clone()).await, Heard::default());
    assert_eq!(
        room.counted("trap.refused_engine"),
        1,
        "no poll has proven it yet"
    );
    prove(&room.user, b"its engine", 3, 500).await;
    assert_eq!(room.hear(from, trap.clone()).await.poll, ["ups-c"]);
    // From another device's address it is nobody's.
    assert_eq!(room.hear(UPS, trap.clone()).await, Heard::default());

    let mut flipped = trap;
    *flipped.last_mut().unwrap() ^= 1;
    let mut weak = usm();
    weak.privacy = None;
    let mut wrong = usm();
    wrong.auth = Some((AuthProtocol::Sha1, Secret("another password".to_owned())));
    for datagram in [
        flipped,
        sealed(b"its engine", 3, 500, &weak, false, pdu::TRAP).await,
        sealed(b"its engine", 3, 500, &wrong, false, pdu::TRAP).await,
    ] {
        let before = room.counted("trap.refused_unproven");
        assert_eq!(room.hear(from, datagram).await, Heard::default());
        assert_eq!(room.counted("trap.refused_unproven"), before + 1);
    }
    // Recorded before the last restart, or long ago.
    for (boots, time) in [(2, 9000), (3, 300)] {
        let old = sealed(b"its engine", boots, time, &usm(), false, pdu::TRAP).await;
        assert_eq!(room.hear(from, old).await, Heard::default());
    }
    assert_eq!(room.counted("trap.refused_replay"), 2);
    // Just restarted: that is what some traps are about.
    let fresh = sealed(b"its engine", 4, 1, &usm(), false, pdu::TRAP).await;
    assert_eq!(room.hear(from, fresh).await.poll, ["ups-c"]);
}

#[tokio::test]
async fn a_v3_inform_finds_our_engine_by_discovery_and_is_answered() {
    let mut room = room().await;
    let from = "192.0.2.12:40000";
    let nobody = Usm {
        user: String::new(),
        auth: None,
        privacy: None,
        context: String::new(),
    };
    let hello = sealed(b"", 0, 0, &nobody, true, pdu::GET).await;
    let report = room.hear(from, hello).await.reply.unwrap();
    let header = Header::read(&report).unwrap();
    let engine = header.engine(&report).to_vec();
    assert_eq!((engine.len(), header.boots), (17, 1));

    // The clock is told under the user's code, and only then taken.
    let early = sealed(&engine, 0, 0, &usm(), true, pdu::INFORM).await;
    let heard = room.hear(from, early).await;
    assert!(heard.poll.is_empty());
    let report = Header::read(&heard.reply.unwrap()).unwrap();
    assert!(report.is_authenticated());
    let inform = sealed(&engine, report.boots, report.time, &usm(), true, pdu::INFORM).await;
    let heard = room.hear(from, inform).await;
    assert_eq!(heard.poll, ["ups-c"]);
    let mut reply = heard.reply.unwrap();
    let header = Header::read(&reply).unwrap();
    let keys = Keys::derive(&crate::snmp::usm::KeyCache::default(), &usm(), &engine)
        .await
        .unwrap();
    let response = open(&mut reply, &header, Some(&keys)).unwrap();
    assert_eq!(response, notification(pdu::RESPONSE));

    // Strangers and wrong passwords are told why, and have nothing polled.
    let mut stranger = usm();
    stranger.user = "writer".to_owned();
    let mut wrong = usm();
    wrong.auth = Some((AuthProtocol::Sha1, Secret("another password".to_owned())));
    for usm in [stranger, wrong] {
        let datagram = sealed(&engine, 1, 0, &usm, true, pdu::INFORM).await;
        let heard = room.hear(from, datagram).await;
        assert!(heard.poll.is_empty() && heard.reply.is_some());
    }
    // A Report is never answered by a Report.
    let silent = sealed(&engine, 9, 0, &usm(), false, pdu::REPORT).await;
    assert_eq!(room.hear(from, silent).await, Heard::default());
}

#[test]
fn the_engine_keeps_its_id_and_counts_its_starts() {
    let folder = tempfile::tempdir().unwrap();
    let first = OwnEngine::open(folder.path(), START).unwrap();
    let second = OwnEngine::open(folder.path(), START).unwrap();
    assert_eq!(first.id, second.id);
    assert_eq!((first.boots, second.boots), (1, 2));
    std::fs::write(folder.path().join(ENGINE_FILE), "spoilt").unwrap();
    let third = OwnEngine::open(folder.path(), START).unwrap();
    assert_ne!(third.id, first.id, "boots that are not known need another id");
    assert_eq!(third.boots, 1);
    let hex: String = third.id.iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(folder.path().join(ENGINE_FILE), format!("{hex} {}\n", u32::MAX)).unwrap();
    assert_eq!(
        OwnEngine::open(folder.path(), START).unwrap().boots,
        i32::MAX.unsigned_abs()
    );
    assert!(OwnEngine::open(&folder.path().join("nowhere"), START).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn damaged_traps_never_panic(
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<proptest::sample::Index>(),
        which in 0_usize..3,
    ) {
        let mut bytes = [v1("secret"), v2c("secret", pdu::TRAP), v2c("secret", pdu::INFORM)][which].clone();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Some((_, _, pdu_bytes)) = community(&bytes) {
            is_v1_trap(pdu_bytes);
            if let Some(body) = Body::read(pdu_bytes) {
                is_readable(body.bindings);
            }
        }
    }
}
