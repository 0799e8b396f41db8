//! SNMPv3 against an agent that can be told to lie. Its envelope is ours, so agreement with others
//! is not tested here but against Debian's snmpd; what is tested here is whom we believe.

use super::answer::Body;
use super::ber::{self, pdu};
use super::usm::message::{Header, Outgoing, open, seal};
use super::usm::{KeyCache, Keys};
use super::*;
use proptest::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;
use tokio::time::Instant;

const ENGINE: &[u8] = b"\x80\x00\x7e\xd9\x05engine-1";
const CHARGE: &str = "1.3.6.1.2.1.33.1.2.4.0";
static KEYS: LazyLock<KeyCache> = LazyLock::new(KeyCache::default);

fn usm() -> Usm {
    Usm {
        user: "reader".to_owned(),
        auth: Some((AuthProtocol::Sha256, Secret("correct horse".to_owned()))),
        privacy: Some((PrivProtocol::Aes128, Secret("battery staple".to_owned()))),
        context: String::new(),
    }
}

/// What an agent does, and what is true of it.
#[derive(Debug, Clone)]
struct Nature {
    engine: Vec<u8>,
    boots: u32,
    time: u32,
    since: Instant,
    /// Seen before the answer, from the agent's own address.
    before: Before,
    answer: Is,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// An unauthenticated Report with these boots.
    Forged(Report, u32),
    /// So many of them.
    Flood(u32),
    /// The answer before this one, as it was and with the new `msgID`.
    Replay,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Good,
    /// One bit of the code is another.
    BadCode,
    /// Without privacy, and without both.
    Clear,
    Naked,
    /// Encrypted with another key.
    OtherKey,
    /// To another user.
    OtherUser,
    /// With another request id inside.
    OtherRequest,
    Silent,
}

struct Agent {
    addr: SocketAddr,
    nature: Arc<Mutex<Nature>>,
    asked: Arc<AtomicU64>,
    task: AbortHandle,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Agent {
    async fn start() -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = socket.local_addr().unwrap();
        let nature = Arc::new(Mutex::new(Nature {
            engine: ENGINE.to_vec(),
            boots: 5,
            time: 1000,
            since: Instant::now(),
            before: Before::Nothing,
            answer: Is::Good,
        }));
        let asked = Arc::new(AtomicU64::new(0));
        let (seen, count) = (Arc::clone(&nature), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 65_535];
            let mut last = Vec::new();
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let nature = seen.lock().unwrap().clone();
                for reply in nature.replies(buffer[..length].to_vec(), &mut last).await {
                    socket.send_to(&reply, from).await.unwrap();
                }
            }
        });
        Self {
            addr,
            nature,
            asked,
            task: task.abort_handle(),
        }
    }

    fn set(&self, change: impl FnOnce(&mut Nature)) {
        change(&mut self.nature.lock().unwrap());
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    fn target(&self) -> Target {
        Target::new(self.addr, Access::v3(usm()), Duration::from_millis(120), 1)
    }
}

impl Nature {
    fn envelope<'a>(&'a self, id: i32, user: &'a str) -> Outgoing<'a> {
        Outgoing {
            id,
            reportable: false,
            engine: &self.engine,
            boots: self.boots,
            time: self.now(),
            user,
            context_engine: &self.engine,
            context: "",
            salt: rand::random(),
        }
    }

    fn now(&self) -> u32 {
        self.time + u32::try_from(self.since.elapsed().as_secs()).unwrap()
    }

    fn report(&self, id: i32, user: &str, report: Report, keys: Option<&Keys>) -> Vec<u8> {
        let mut bytes = Vec::new();
        seal(&mut bytes, &self.envelope(id, user), keys, &[&report.pdu()]);
        bytes
    }

    async fn replies(&self, mut datagram: Vec<u8>, last: &mut Vec<u8>) -> Vec<Vec<u8>> {
        let header = Header::read(&datagram).unwrap();
        if header.engine(&datagram) != self.engine {
            return vec![self.report(header.id, "", Report::UnknownEngine, None)];
        }
        let keys = Keys::derive(&KEYS, &usm(), &self.engine).await.unwrap();
        if header.boots != self.boots || header.time.abs_diff(self.now()) > 150 {
            let code = keys.without_cipher();
            return vec![self.report(header.id, "reader", Report::NotInTimeWindow, Some(&code))];
        }
        let body = Body::read(open(&mut datagram, &header, Some(&keys)).unwrap()).unwrap();
        let mut replies = Vec::new();
        match self.before {
            Before::Nothing => {}
            Before::Forged(report, boots) => {
                let mut forger = self.clone();
                (forger.boots, forger.time) = (boots, 7);
                replies.push(forger.report(header.id, "reader", report, None));
            }
            Before::Flood(number) => {
                let flood = self.report(header.id, "", Report::UnknownUser, None);
                replies.extend(std::iter::repeat_n(flood, number as usize));
            }
            Before::Replay => {
                let mut dressed = last.clone();
                replies.push(last.clone());
                if let Some(at) = dressed.windows(2).position(|window| window == [2, 4]) {
                    dressed[at + 2..at + 6].copy_from_slice(&header.id.to_be_bytes());
                    replies.push(dressed);
                }
            }
        }
        replies.extend(self.answer(&header, &body, &keys).await);
        if let Some(reply) = replies.last() {
            last.clone_from(reply);
        }
        replies
    }

    async fn answer(&self, header: &Header, body: &Body<'_>, keys: &Keys) -> Option<Vec<u8>> {
        let request = match self.answer {
            Is::Silent => return None,
            Is::OtherRequest => body.id ^ 1,
            _ => body.id,
        };
        let mut list = Vec::new();
        let mut names = snmp2::AsnReader::from_bytes(body.bindings);
        while let Some((name, _)) = answer::binding(&mut names) {
            let mut binding = Vec::new();
            ber::put(&mut binding, ber::OBJECT_IDENTIFIER, name);
            ber::put_integer(&mut binding, ber::INTEGER, 97);
            ber::put(&mut list, ber::SEQUENCE, &binding);
        }
        let mut content = Vec::new();
        for n in [request, 0, 0] {
            ber::put_integer(&mut content, ber::INTEGER, i64::from(n));
        }
        ber::put(&mut content, ber::SEQUENCE, &list);
        let mut response = Vec::new();
        ber::put(&mut response, pdu::RESPONSE, &content);
        let mut other = usm();
        other.privacy = Some((PrivProtocol::Aes128, Secret("another password".to_owned())));
        let other = Keys::derive(&KEYS, &other, &self.engine).await.unwrap();
        let code = keys.without_cipher();
        let (keys, user) = match self.answer {
            Is::Clear => (Some(&code), "reader"),
            Is::Naked => (None, "reader"),
            Is::OtherKey => (Some(&other), "reader"),
            Is::OtherUser => (Some(keys), "writer"),
            _ => (Some(keys), "reader"),
        };
        let mut bytes = Vec::new();
        seal(&mut bytes, &self.envelope(header.id, user), keys, &[&response]);
        if self.answer == Is::BadCode {
            let at = bytes.windows(6).position(|window| window == b"reader").unwrap() + 10;
            bytes[at] ^= 1;
        }
        Some(bytes)
    }
}

async fn ask(client: &Client, target: &Target) -> Result<Value, Error> {
    let answer = client.get(target, &[CHARGE.parse().unwrap()]).await?;
    Ok(answer[0].1.clone())
}

fn number(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[tokio::test]
async fn an_agent_is_discovered_once_and_asked_with_one_packet_from_then_on() {
    let (agent, client) = (Agent::start().await, Client::bind().await.unwrap());
    let target = agent.target();
    for asked in [2, 3, 4] {
        assert_eq!(ask(&client, &target).await.unwrap(), Value::Integer(97));
        assert_eq!(agent.asked(), asked);
    }
    assert_eq!(number(&client.counters().discovered), 1);
}

/// Measured elsewhere: one forged datagram made a session fail for ever.
#[tokio::test]
async fn forged_boots_are_not_believed() {
    let (agent, client) = (Agent::start().await, Client::bind().await.unwrap());
    let target = agent.target();
    ask(&client, &target).await.unwrap();
    for report in [
        Report::NotInTimeWindow,
        Report::UnknownEngine,
        Report::WrongDigest,
    ] {
        for boots in [0, 6, 0x7fff_fffe, 0x7fff_ffff] {
            agent.set(|nature| nature.before = Before::Forged(report, boots));
            let answer = ask(&client, &target).await;
            assert_eq!(answer.unwrap(), Value::Integer(97), "{report:?} {boots}");
        }
    }
    agent.set(|nature| nature.before = Before::Nothing);
    let before = agent.asked();
    ask(&client, &target).await.unwrap();
    assert_eq!(agent.asked() - before, 1, "the clock is still the true one");
    assert_eq!(number(&client.counters().clock_forward), 0);
}

#[tokio::test]
async fn a_flood_of_reports_costs_little_and_leaves_nothing_behind() {
    let (agent, client) = (Agent::start().await, Client::bind().await.unwrap());
    let target = agent.target();
    ask(&client, &target).await.unwrap();
    agent.set(|nature| nature.before = Before::Flood(2000));
    let before = agent.asked();
    let _ = ask(&client, &target).await;
    assert!(agent.asked() - before <= 4, "a flood does not make us send more");
    agent.set(|nature| nature.before = Before::Nothing);
    assert_eq!(ask(&client, &target).await.unwrap(), Value::Integer(97));
}

#[tokio::test]
async fn answers_that_are_not_proven_are_refused() {
    let (agent, client) = (Agent::start().await, Client::bind().await.unwrap());
    let target = agent.target();
    ask(&client, &target).await.unwrap();
    for (is, expected) in [
        (Is::BadCode, Refusal::Code),
        (Is::Clear, Refusal::Level),
        (Is::Naked, Refusal::Level),
        (Is::OtherKey, Refusal::Cipher),
        (Is::OtherUser, Refusal::OtherEngine),
        (Is::OtherRequest, Refusal::OtherRequest),
    ] {
        agent.set(|nature| nature.answer = is);
        match ask(&client, &target).await {
            Err(Error::Refused { refusal, .. }) => assert_eq!(refusal, expected, "{is:?}"),
            other => panic!("{is:?}: {other:?}"),
        }
    }
    agent.set(|nature| nature.answer = Is::Good);
    assert_eq!(ask(&client, &target).await.unwrap(), Value::Integer(97));
}

#[tokio::test]
async fn a_recorded_answer_is_no_answer() {
    let (agent, client) = (Agent::start().await, Client::bind().await.unwrap());
    let target = agent.target();
    ask(&client, &target).await.unwrap();
    agent.set(|nature| (nature.before, nature.answer) = (Before::Replay, Is::Silent));
    let replayed = ask(&client, &target).await;
    assert!(
        matches!(
            replayed,
            Err(Error::Refused {
                refusal: Refusal::Code,
                ..
            })
        ),
        "{replayed:?}"
    );
}

#[tokio::test]
async fn restarted_forgetful_and_swapped_agents_are_read_on() {
    let (agent, client) = (Agent::start().await, Client::bind().await.unwrap());
    let target = agent.target();
    ask(&client, &target).await.unwrap();
    // Restarted; then its boots forgotten; then without a change of boots at all.
    for (boots, time) in [(6, 3), (1, 3), (1, 90_000), (1, 2)] {
        agent.set(|nature| (nature.boots, nature.time) = (boots, time));
        assert_eq!(
            ask(&client, &target).await.unwrap(),
            Value::Integer(97),
            "{boots} {time}"
        );
    }
    assert_eq!(number(&client.counters().clock_forward), 2);
    assert_eq!(number(&client.counters().clock_back), 2);
    agent.set(|nature| nature.engine = b"another card".to_vec());
    assert_eq!(ask(&client, &target).await.unwrap(), Value::Integer(97));
    assert_eq!(number(&client.counters().discovered), 2);
}

#[tokio::test]
async fn boots_at_their_end_are_asked_for_again() {
    let (agent, client) = (Agent::start().await, Client::bind().await.unwrap());
    agent.set(|nature| nature.boots = 0x7fff_fffe);
    let target = agent.target();
    assert_eq!(ask(&client, &target).await.unwrap(), Value::Integer(97));
}

#[tokio::test]
async fn two_agents_with_one_engine_id_are_noticed_and_both_read() {
    let (one, two) = (Agent::start().await, Agent::start().await);
    two.set(|nature| (nature.boots, nature.time) = (77, 5));
    let client = Client::bind().await.unwrap();
    let (first, second) = (one.target(), two.target());
    for _ in 0..3 {
        ask(&client, &first).await.unwrap();
        ask(&client, &second).await.unwrap();
    }
    assert_eq!(number(&client.counters().shared_engines), 1);
    assert_eq!(number(&client.counters().clock_forward), 0);
}

#[tokio::test]
async fn an_agent_that_ignores_a_user_is_told_from_a_dead_one() {
    let (agent, client) = (Agent::start().await, Client::bind().await.unwrap());
    agent.set(|nature| nature.answer = Is::Silent);
    let silent = ask(&client, &agent.target()).await;
    assert!(
        matches!(
            silent,
            Err(Error::Refused {
                refusal: Refusal::SilentToUser,
                ..
            })
        ),
        "{silent:?}"
    );
    let addr = agent.addr;
    drop(agent);
    let target = Target::new(addr, Access::v3(usm()), Duration::from_millis(50), 1);
    let dead = ask(&client, &target).await;
    assert!(
        matches!(dead, Err(Error::Timeout { .. } | Error::Send { .. })),
        "{dead:?}"
    );
}

fn sealed(keys: Option<&Keys>) -> Vec<u8> {
    let envelope = Outgoing {
        id: packet::ID_MIN,
        reportable: true,
        engine: ENGINE,
        boots: 5,
        time: 7,
        user: "reader",
        context_engine: ENGINE,
        context: "",
        salt: 9,
    };
    let mut bytes = Vec::new();
    seal(&mut bytes, &envelope, keys, &[&Report::WrongDigest.pdu()]);
    bytes
}

fn keys() -> &'static Keys {
    static DERIVED: LazyLock<Keys> = LazyLock::new(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(Keys::derive(&KEYS, &usm(), ENGINE)).unwrap()
    });
    &DERIVED
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// A damaged message is never opened as proven, and never a panic.
    #[test]
    fn damaged_envelopes_stay_closed(
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<proptest::sample::Index>(),
        is_cut: bool,
        is_sealed: bool,
    ) {
        let good = sealed(is_sealed.then(keys));
        let mut bytes = good.clone();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let is_damaged = bytes != good;
        answer::message_id(&bytes);
        if let Some(header) = Header::read(&bytes) {
            let opened = open(&mut bytes, &header, Some(keys())).is_ok();
            prop_assert!(!(opened && is_damaged && header.is_authenticated()));
        }
    }

    #[test]
    fn any_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        answer::message_id(&bytes);
        answer::community(&bytes);
        Body::read(&bytes);
        if let Some(header) = Header::read(&bytes) {
            let _ = open(&mut bytes, &header, Some(keys()));
        }
    }
}
