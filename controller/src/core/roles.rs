//! The unix socket of core: who is connected, what they say, what they are sent.
//!
//! A role is what it says it is only if its peer credentials agree: it runs as the same user as
//! core, or as the system user `yagura-<role>`. So the web role, taken over, cannot pass itself
//! off as act and report a server as stopped. A role that does not read its queue is cut off.

use super::keeper::Keeper;
use crate::core::source::Message;
use crate::link::{
    self, Account, Ask, FromAct, FromBroker, FromNut, FromOperator, FromWeb, MAX_WAITING, Role, ToAct,
    ToBroker, ToNut, ToOperator, ToWeb, wire,
};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use room::nut::served::Served;
use room::outage::operator::{Person, Who};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};

/// Connections that may introduce themselves at a time.
const MAX_CONNECTIONS: usize = 16;
/// Pause after an accept that failed (out of file descriptors).
const ACCEPT_BACKOFF: Duration = Duration::from_millis(200);
/// A role that takes a message no faster than this is gone for us.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the users of the roles have their numbers.
const PASSWD: &str = "/etc/passwd";
/// Where the groups have their members.
const GROUP: &str = "/etc/group";
/// An operator's order is sent, and answered after the journal has it, within this time.
const OPERATOR_WITHIN: Duration = Duration::from_secs(30);

/// What the roles bring into the loop.
pub(super) enum RoleInput {
    /// A role is connected.
    Joined(Outbox),
    /// The connection of this id is gone.
    Left(Role, u64),
    /// Act reports.
    Act(FromAct),
    /// Counters of the endpoint.
    BrokerCounters(Vec<(String, u64)>),
    /// The server for NUT's clients; answers go to the sender.
    Nut(FromNut, mpsc::Sender<ToNut>),
    /// Web asks; answers go to the sender.
    Web(FromWeb, mpsc::Sender<ToWeb>),
    /// A person at this machine orders; the answer goes to the sender.
    Operator(Person, Ask, oneshot::Sender<ToOperator>),
    /// The same about persons and cards.
    Keep(Person, room::people::Ask, oneshot::Sender<ToOperator>),
}

/// The queue towards one connected role.
pub(super) struct Outbox {
    id: u64,
    to: To,
}

enum To {
    Web(mpsc::Sender<ToWeb>, watch::Sender<Vec<u8>>),
    Broker(mpsc::Sender<ToBroker>),
    Act(mpsc::Sender<ToAct>),
    Nut(watch::Sender<Served>),
}

/// Answers that wait for the role `nut`; it asks for one order at a time for each client.
const NUT_ANSWERS: usize = 64;

impl Outbox {
    /// As a connected web role has it.
    #[cfg(test)]
    pub(super) const fn of_web(id: u64, to: mpsc::Sender<ToWeb>, pictures: watch::Sender<Vec<u8>>) -> Self {
        let to = To::Web(to, pictures);
        Self { id, to }
    }

    /// The role behind it.
    pub(super) const fn role(&self) -> Role {
        match self.to {
            To::Web(..) => Role::Web,
            To::Broker(_) => Role::Broker,
            To::Act(_) => Role::Act,
            To::Nut(_) => Role::Nut,
        }
    }
}

/// A connection and its queue; `None` once it was cut off, until its end is reported.
struct Slot<T> {
    id: u64,
    to: Option<mpsc::Sender<T>>,
}

/// The connected roles; a newer connection of a role takes the place of an older one.
#[derive(Default)]
pub(super) struct Outboxes {
    web: Option<Slot<ToWeb>>,
    /// The picture for web: latest wins, so that a role that does not read costs one picture.
    snapshot: Option<watch::Sender<Vec<u8>>>,
    broker: Option<Slot<ToBroker>>,
    act: Option<Slot<ToAct>>,
    /// What NUT's clients read: latest wins.
    nut: Option<(u64, watch::Sender<Served>)>,
}

impl Outboxes {
    pub(super) fn join(&mut self, outbox: Outbox) {
        let id = outbox.id;
        match outbox.to {
            To::Web(to, snapshot) => {
                self.web = Some(Slot { id, to: Some(to) });
                self.snapshot = Some(snapshot);
            }
            To::Broker(to) => self.broker = Some(Slot { id, to: Some(to) }),
            To::Act(to) => self.act = Some(Slot { id, to: Some(to) }),
            To::Nut(to) => self.nut = Some((id, to)),
        }
    }

    /// True when that connection was the current one.
    pub(super) fn leave(&mut self, role: Role, id: u64) -> bool {
        match role {
            Role::Web => {
                let left = leave(&mut self.web, id);
                if left {
                    self.snapshot = None;
                }
                left
            }
            Role::Broker => leave(&mut self.broker, id),
            Role::Act => leave(&mut self.act, id),
            Role::Nut => self.nut.take_if(|(current, _)| *current == id).is_some(),
            // It has no queue: it asks once and is answered.
            Role::Operator => false,
        }
    }

    pub(super) const fn has_web(&self) -> bool {
        self.snapshot.is_some()
    }

    pub(super) fn show(&self, snapshot: Vec<u8>) {
        if let Some(to) = &self.snapshot {
            to.send_replace(snapshot);
        }
    }

    pub(super) const fn has_nut(&self) -> bool {
        self.nut.is_some()
    }

    /// Wakes the role in any case: an unchanged picture says that core lives.
    pub(super) fn serve(&self, served: Served) {
        if let Some((_, to)) = &self.nut {
            to.send_replace(served);
        }
    }

    pub(super) fn tell_web(&mut self, message: ToWeb) {
        send(&mut self.web, message);
    }

    pub(super) fn tell_broker(&mut self, message: ToBroker) {
        send(&mut self.broker, message);
    }

    /// False when act is not there.
    pub(super) fn tell_act(&mut self, message: ToAct) -> bool {
        send(&mut self.act, message)
    }
}

fn leave<T>(slot: &mut Option<Slot<T>>, id: u64) -> bool {
    let current = slot.as_ref().is_some_and(|slot| slot.id == id);
    if current {
        *slot = None;
    }
    current
}

/// A full queue means the role does not read: dropping the sender ends its connection, whose end
/// is then reported like any other.
fn send<T>(slot: &mut Option<Slot<T>>, message: T) -> bool {
    let Some(Slot { to, .. }) = slot else { return false };
    let sent = to.as_ref().is_some_and(|to| to.try_send(message).is_ok());
    if !sent && to.take().is_some() {
        tracing::warn!("a role does not read its link; it is cut off");
    }
    sent
}

/// Where the roles meet.
#[must_use]
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("run").join("core.sock")
}

/// Binds the socket; a socket file left by a killed core is replaced.
pub(super) fn bind(data_dir: &Path) -> std::io::Result<UnixListener> {
    let path = socket_path(data_dir);
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    // Users of the roles share the group that core runs in (yagura-link), and that opens them this
    // socket alone: what core writes is its user's. Peer credentials decide who is who.
    let mode = rustix::fs::Mode::from_raw_mode(0o660);
    rustix::fs::chmod(&path, mode)?;
    Ok(listener)
}

/// The two ways into the loop: a flood of the web role never delays what act reports.
#[derive(Clone)]
pub(super) struct Channels {
    /// Everything of act, in order.
    pub act: mpsc::Sender<RoleInput>,
    /// Everything of web and broker.
    pub others: mpsc::Sender<RoleInput>,
}

/// Accepts roles until the loop is gone.
pub(super) async fn serve(
    listener: UnixListener,
    accounts: Vec<Account>,
    keeper: Keeper,
    loop_: Channels,
    messages: mpsc::Sender<Message>,
) {
    let free = std::sync::Arc::new(tokio::sync::Semaphore::new(MAX_CONNECTIONS));
    let mut next_id = 0;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accepting a role");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        let Ok(permit) = std::sync::Arc::clone(&free).try_acquire_owned() else {
            tracing::warn!("too many connections on the link; one is refused");
            continue;
        };
        next_id += 1;
        let (id, accounts, loop_, messages) = (next_id, accounts.clone(), loop_.clone(), messages.clone());
        let keeper = keeper.clone();
        tokio::spawn(async move {
            if let Err(error) = session(id, stream, accounts, &keeper, &loop_, messages).await {
                tracing::info!(%error, "a role left the link");
            }
            drop(permit);
        });
    }
}

async fn session(
    id: u64,
    stream: UnixStream,
    accounts: Vec<Account>,
    keeper: &Keeper,
    loop_: &Channels,
    messages: mpsc::Sender<Message>,
) -> Result<(), wire::LinkError> {
    let (peer, group) = (stream.peer_cred()?.uid(), stream.peer_cred()?.gid());
    let (role, reader, writer) = wire::accept(stream).await?;
    let own = rustix::process::geteuid().as_raw();
    // A machine without that file has no users of the roles either.
    let passwd = std::fs::read_to_string(PASSWD).unwrap_or_default();
    if role == Role::Operator {
        let groups = std::fs::read_to_string(GROUP).unwrap_or_default();
        let person = person(peer, group, &passwd, &groups);
        return operator(person, reader, writer, keeper, loop_).await;
    }
    if !may_be(peer, own, role, &passwd) {
        tracing::error!(peer, ?role, "a process of another user claims a role; refused");
        return Err(wire::LinkError::Closed);
    }
    match role {
        Role::Web => web(id, reader, writer, &loop_.others).await,
        Role::Act => act(id, reader, writer, &loop_.act).await,
        Role::Broker => broker(id, reader, writer, accounts, &loop_.others, messages).await,
        Role::Nut => nut(id, reader, writer, &loop_.others).await,
        Role::Operator => Ok(()),
    }
}

/// Our own user may be everything; another one only what its name in `passwd` says.
fn may_be(peer: u32, own: u32, role: Role, passwd: &str) -> bool {
    if peer == own {
        return true;
    }
    let wanted = match role {
        Role::Web => "yagura-web",
        Role::Broker => "yagura-broker",
        Role::Act => "yagura-act",
        Role::Nut => "yagura-nut",
        // Everybody may ask; what is done of it is decided by the site's [operators].
        Role::Operator => return true,
    };
    // `name:x:uid:...`
    passwd.lines().any(|line| {
        let mut fields = line.split(':');
        fields.next() == Some(wanted) && fields.nth(1).and_then(|uid| uid.parse().ok()) == Some(peer)
    })
}

/// The user behind a connection, with the groups that this machine's own files put it into.
fn person(uid: u32, gid: u32, passwd: &str, groups: &str) -> Person {
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    let name = name.unwrap_or_else(|| format!("#{uid}"));
    // `name:x:gid:member,member`
    let groups = groups.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let group = fields.next()?;
        let own = fields.nth(1)?.parse() == Ok(gid);
        let member = fields
            .next()
            .unwrap_or_default()
            .split(',')
            .any(|member| member == name);
        (own || member).then(|| group.to_owned())
    });
    let groups = groups.collect();
    let who = Who { name, uid };
    Person { who, groups }
}

/// One order of a person, and its answer. It goes the way of what act reports, so that no flood of
/// the web role delays it.
async fn operator(
    person: Person,
    mut reader: wire::Reader,
    mut writer: wire::Writer,
    keeper: &Keeper,
    loop_: &Channels,
) -> Result<(), wire::LinkError> {
    let order = async {
        let answer = match reader.next().await? {
            FromOperator::Run { ask } => {
                let (answer, answered) = oneshot::channel();
                forward(&loop_.act, RoleInput::Operator(person, ask, answer)).await?;
                answered.await.map_err(|_| wire::LinkError::Closed)?
            }
            FromOperator::Keep(order) => {
                // The way of the other roles: no import delays what act reports.
                let engine = |ask| keep(&loop_.others, person.clone(), ask);
                keeper.follow(&person, order, engine).await
            }
        };
        write(&mut writer, &answer).await
    };
    tokio::time::timeout(OPERATOR_WITHIN, order)
        .await
        .map_err(|_| wire::LinkError::Silent)?
}

/// Asks the engine about persons and cards.
async fn keep(loop_: &mpsc::Sender<RoleInput>, person: Person, ask: room::people::Ask) -> ToOperator {
    let (answer, answered) = oneshot::channel();
    let sent = forward(loop_, RoleInput::Keep(person, ask, answer)).await;
    match (sent, answered.await) {
        (Ok(()), Ok(answer)) => answer,
        _ => ToOperator::Refused {
            ja: "controller が停止中です".to_owned(),
            en: "the controller is stopping".to_owned(),
        },
    }
}

async fn web(
    id: u64,
    mut reader: wire::Reader,
    mut writer: wire::Writer,
    loop_: &mpsc::Sender<RoleInput>,
) -> Result<(), wire::LinkError> {
    let (to, mut outbox) = mpsc::channel(MAX_WAITING);
    let answers = to.downgrade();
    let (shown, mut snapshots) = watch::channel(Vec::new());
    joined(loop_, id, To::Web(to, shown)).await?;
    let result = async {
        loop {
            // Every arm is a cancel-safe receive.
            tokio::select! {
                message = outbox.recv() => match message {
                    Some(message) => write(&mut writer, &message).await?,
                    None => return Err(wire::LinkError::Closed),
                },
                Ok(()) = snapshots.changed() => {
                    let snapshot = snapshots.borrow_and_update().clone();
                    write(&mut writer, &ToWeb::Snapshot(snapshot)).await?;
                }
                message = reader.next::<FromWeb>() => {
                    let message = message?;
                    let Some(answer) = answers.upgrade() else { return Err(wire::LinkError::Closed) };
                    forward(loop_, RoleInput::Web(message, answer)).await?;
                }
            }
        }
    }
    .await;
    left(loop_, Role::Web, id).await;
    result
}

async fn act(
    id: u64,
    mut reader: wire::Reader,
    mut writer: wire::Writer,
    loop_: &mpsc::Sender<RoleInput>,
) -> Result<(), wire::LinkError> {
    let (to, mut outbox) = mpsc::channel(MAX_WAITING);
    joined(loop_, id, To::Act(to)).await?;
    let result = async {
        loop {
            // Both arms are cancel-safe receives.
            tokio::select! {
                message = outbox.recv() => match message {
                    Some(message) => write::<ToAct>(&mut writer, &message).await?,
                    None => return Err(wire::LinkError::Closed),
                },
                message = reader.next::<FromAct>() => forward(loop_, RoleInput::Act(message?)).await?,
            }
        }
    }
    .await;
    left(loop_, Role::Act, id).await;
    result
}

async fn nut(
    id: u64,
    mut reader: wire::Reader,
    mut writer: wire::Writer,
    loop_: &mpsc::Sender<RoleInput>,
) -> Result<(), wire::LinkError> {
    let (to, mut served) = watch::channel(Served::default());
    let (answer, mut answers) = mpsc::channel(NUT_ANSWERS);
    joined(loop_, id, To::Nut(to)).await?;
    let mut last = None;
    let result = async {
        loop {
            // Every arm is a cancel-safe receive.
            tokio::select! {
                // This end holds a sender, so that the channel outlives every answer.
                Some(message) = answers.recv() => write(&mut writer, &message).await?,
                changed = served.changed() => {
                    changed.map_err(|_| wire::LinkError::Closed)?;
                    let now = served.borrow_and_update().clone();
                    let message = if last.as_ref() == Some(&now) {
                        ToNut::Unchanged
                    } else {
                        last = Some(now.clone());
                        ToNut::Served(now)
                    };
                    write(&mut writer, &message).await?;
                }
                message = reader.next::<FromNut>() => {
                    forward(loop_, RoleInput::Nut(message?, answer.clone())).await?;
                }
            }
        }
    }
    .await;
    left(loop_, Role::Nut, id).await;
    result
}

async fn broker(
    id: u64,
    mut reader: wire::Reader,
    mut writer: wire::Writer,
    accounts: Vec<Account>,
    loop_: &mpsc::Sender<RoleInput>,
    messages: mpsc::Sender<Message>,
) -> Result<(), wire::LinkError> {
    let (to, mut outbox) = mpsc::channel(MAX_WAITING);
    writer.send(&ToBroker::Accounts(accounts)).await?;
    joined(loop_, id, To::Broker(to)).await?;
    let mut pending = FuturesUnordered::new();
    let result = async {
        loop {
            // Every arm is a cancel-safe receive.
            tokio::select! {
                message = outbox.recv() => match message {
                    Some(message) => write(&mut writer, &message).await?,
                    None => return Err(wire::LinkError::Closed),
                },
                Some((token, settled)) = pending.next(), if !pending.is_empty() => {
                    if settled {
                        write(&mut writer, &ToBroker::Settled { token }).await?;
                    }
                }
                message = reader.next::<FromBroker>(), if pending.len() < MAX_WAITING => match message? {
                    FromBroker::Counters(counters) => {
                        forward(loop_, RoleInput::BrokerCounters(counters)).await?;
                    }
                    FromBroker::Publish { token, user, topic, payload, at_least_once, retained } => {
                        let settle = at_least_once.then(|| {
                            let (settle, settled) = oneshot::channel();
                            pending.push(async move { (token, settled.await.is_ok()) });
                            settle
                        });
                        let at = tokio::time::Instant::now();
                        let message = Message { user: Some(user), topic, payload, retained, at, settle };
                        messages.send(message).await.map_err(|_| wire::LinkError::Closed)?;
                    }
                },
            }
        }
    }
    .await;
    left(loop_, Role::Broker, id).await;
    result
}

async fn write<M: serde::Serialize>(writer: &mut wire::Writer, message: &M) -> Result<(), wire::LinkError> {
    tokio::time::timeout(WRITE_TIMEOUT, writer.send(message))
        .await
        .map_err(|_| wire::LinkError::Silent)?
}

async fn joined(loop_: &mpsc::Sender<RoleInput>, id: u64, to: To) -> Result<(), wire::LinkError> {
    forward(loop_, RoleInput::Joined(Outbox { id, to })).await
}

async fn left(loop_: &mpsc::Sender<RoleInput>, role: Role, id: u64) {
    // A loop that is gone needs no farewell.
    let _ = loop_.send(RoleInput::Left(role, id)).await;
}

async fn forward(loop_: &mpsc::Sender<RoleInput>, input: RoleInput) -> Result<(), wire::LinkError> {
    loop_.send(input).await.map_err(|_| wire::LinkError::Closed)
}

/// The accounts of the site's nodes: each may write its own subtree and read its own commands.
pub(super) fn accounts(keys: &room::node::Keys) -> Vec<link::Account> {
    use sha2::{Digest as _, Sha256};
    keys.iter()
        .map(|(id, key)| Account {
            user: id.to_string(),
            password_sha256: Sha256::digest(key.broker_password().as_bytes()).into(),
            publish: ["ev", "t", "up"]
                .map(|leaf| format!("fac/v1/{id}/{leaf}"))
                .to_vec(),
            subscribe: vec![format!("fac/v1/{id}/cmd")],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::event::Command;

    /// Longest wait for anything that must happen.
    const LONG: Duration = Duration::from_secs(20);

    /// Core's socket with nobody at the other end of its queues but the test.
    struct Socket {
        dir: tempfile::TempDir,
        tasks: tokio::task::JoinSet<()>,
        act: mpsc::Receiver<RoleInput>,
        others: mpsc::Receiver<RoleInput>,
        _messages: mpsc::Receiver<Message>,
    }

    impl Socket {
        /// `queue` inputs may wait for the loop.
        fn open(queue: usize) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let listener = bind(dir.path()).unwrap();
            let (act_in, act) = mpsc::channel(queue);
            let (others_in, others) = mpsc::channel(queue);
            let (messages_in, _messages) = mpsc::channel(queue);
            let loop_ = Channels {
                act: act_in,
                others: others_in,
            };
            let mut tasks = tokio::task::JoinSet::new();
            let keeper = Keeper::new(dir.path().to_owned(), room::site::outage::Operators::default());
            tasks.spawn(serve(listener, Vec::new(), keeper, loop_, messages_in));
            Self {
                dir,
                tasks,
                act,
                others,
                _messages,
            }
        }

        async fn connect(&self, role: Role) -> (wire::Reader, wire::Writer) {
            wire::connect(&socket_path(self.dir.path()), role).await.unwrap()
        }
    }

    async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
        tokio::time::timeout(LONG, future).await.expect(what)
    }

    #[tokio::test]
    async fn act_is_heard_while_the_web_role_floods_core() {
        let mut socket = Socket::open(4);
        let (_reader, mut writer) = socket.connect(Role::Web).await;
        for token in 0..100 {
            let by = "flood".to_owned();
            let command = Command::Rehearse;
            writer
                .send(&FromWeb::Command { token, by, command })
                .await
                .unwrap();
        }
        // Core is busy with something else: nobody empties the queue, and it fills up.
        within("a full queue", async {
            while socket.others.len() < 4 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let (_reader, mut writer) = socket.connect(Role::Act).await;
        let plan_hash = "ab".to_owned();
        writer.send(&FromAct::Ready { plan_hash }).await.unwrap();
        let joined = within("act to join", socket.act.recv()).await;
        assert!(matches!(joined, Some(RoleInput::Joined(_))));
        let ready = within("act's word", socket.act.recv()).await;
        assert!(matches!(ready, Some(RoleInput::Act(FromAct::Ready { .. }))));
        socket.tasks.shutdown().await;
    }

    #[tokio::test]
    async fn a_role_that_does_not_read_is_cut_off_and_its_end_is_reported() {
        let mut socket = Socket::open(4);
        let (mut reader, _writer) = socket.connect(Role::Broker).await;
        let Some(RoleInput::Joined(outbox)) = within("the broker", socket.others.recv()).await else {
            panic!("the broker joins first");
        };
        let joined = outbox.id;
        let mut outboxes = Outboxes::default();
        outboxes.join(outbox);
        // No await here: the task of the connection cannot empty its queue in between.
        for token in 0..=MAX_WAITING as u64 {
            outboxes.tell_broker(ToBroker::Settled { token });
        }
        let Some(RoleInput::Left(role, id)) = within("the cut", async {
            // It takes what had been sent before the cut, and then finds the connection closed.
            while reader.next::<ToBroker>().await.is_ok() {}
            socket.others.recv().await
        })
        .await
        else {
            panic!("a cut connection is left");
        };
        assert_eq!((role, id), (Role::Broker, joined));
        assert!(
            outboxes.leave(role, id),
            "core must learn that its endpoint is gone"
        );
        assert!(!outboxes.leave(role, id), "once");
        socket.tasks.shutdown().await;
    }

    #[tokio::test]
    async fn the_end_of_an_older_connection_is_not_the_end_of_the_role() {
        let (to, _kept) = mpsc::channel(1);
        let mut outboxes = Outboxes::default();
        for id in [1, 2] {
            let to = To::Act(to.clone());
            outboxes.join(Outbox { id, to });
        }
        assert!(!outboxes.leave(Role::Act, 1));
        assert!(outboxes.leave(Role::Act, 2));
    }

    #[tokio::test]
    async fn pictures_never_cut_off_a_page_that_reads_slowly() {
        let (to, _kept) = mpsc::channel(1);
        let (shown, pictures) = watch::channel(Vec::new());
        let mut outboxes = Outboxes::default();
        outboxes.join(Outbox::of_web(1, to, shown));
        for number in 0..=MAX_WAITING * 2 {
            outboxes.show(number.to_string().into_bytes());
        }
        assert_eq!(*pictures.borrow(), (MAX_WAITING * 2).to_string().into_bytes());
        outboxes.tell_web(ToWeb::Records(Vec::new()));
        assert!(outboxes.has_web());
    }

    const CORE: u32 = 991;
    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
        nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n\
        yagura-core:x:991:991::/var/lib/yagura:/usr/sbin/nologin\n\
        yagura-act:x:992:992::/:/usr/sbin/nologin\n\
        yagura-web:x:993:993::/:/usr/sbin/nologin\n\
        yagura-broker:x:994:994::/:/usr/sbin/nologin\n";

    #[test]
    fn another_user_is_only_the_role_that_its_name_says() {
        let users = [(Role::Act, 992), (Role::Web, 993), (Role::Broker, 994)];
        for (role, own_number) in users {
            assert!(may_be(CORE, CORE, role, PASSWD), "core's own user as {role:?}");
            for peer in [0, 1000, 992, 993, 994, 65534] {
                assert_eq!(
                    may_be(peer, CORE, role, PASSWD),
                    peer == own_number,
                    "user {peer} as {role:?}"
                );
            }
        }
    }

    const GROUPS: &str = "root:x:0:\n\
        duty:x:50:sato,suzuki\n\
        yagura-link:x:990:yagura-act,yagura-web,sato\n\
        yagura-web:x:993:\n";
    const PEOPLE: &str = "sato:x:1000:1000::/:/bin/sh\n\
        tanaka:x:1001:50::/:/bin/sh\n\
        yagura-web:x:993:993::/:/usr/sbin/nologin\n";

    #[test]
    fn a_person_is_who_the_machine_says_and_in_the_groups_of_its_files() {
        let of = |uid, gid| {
            let person = person(uid, gid, PEOPLE, GROUPS);
            (person.who.name, person.groups.join(" "))
        };
        assert_eq!(of(1000, 1000), ("sato".into(), "duty yagura-link".into()));
        assert_eq!(of(1001, 50), ("tanaka".into(), "duty".into()));
        assert_eq!(
            of(993, 993),
            ("yagura-web".into(), "yagura-link yagura-web".into())
        );
        assert_eq!(of(77, 77), ("#77".into(), String::new()));
    }

    #[tokio::test]
    async fn an_order_comes_with_the_peer_s_own_number_past_a_flood_of_the_web_role() {
        let mut socket = Socket::open(1);
        let (_web, mut flood) = socket.connect(Role::Web).await;
        let command = Command::Rehearse;
        for token in 0..100 {
            let (by, command) = ("flood".to_owned(), command.clone());
            flood
                .send(&FromWeb::Command { token, by, command })
                .await
                .unwrap();
        }
        let (mut reader, mut writer) = socket.connect(Role::Operator).await;
        let ask = Ask::Confirm { id: 7 };
        let order = FromOperator::Run { ask: ask.clone() };
        writer.send(&order).await.unwrap();
        let Some(RoleInput::Operator(person, heard, answer)) = within("the order", socket.act.recv()).await
        else {
            panic!("an operator's order comes as one");
        };
        assert_eq!(
            (person.who.uid, heard),
            (rustix::process::geteuid().as_raw(), ask)
        );
        let (ja, en) = ("いいえ".to_owned(), "no".to_owned());
        answer.send(ToOperator::Refused { ja, en }).unwrap();
        let said = within("the answer", reader.next::<ToOperator>()).await.unwrap();
        assert!(matches!(said, ToOperator::Refused { en, .. } if en == "no"));
        socket.tasks.shutdown().await;
    }

    #[tokio::test]
    async fn the_web_role_cannot_say_what_an_operator_says() {
        let mut socket = Socket::open(4);
        let (mut reader, mut writer) = socket.connect(Role::Web).await;
        let ask = Ask::Confirm { id: 1 };
        writer.send(&FromOperator::Run { ask }).await.unwrap();
        // It is no message of web's protocol: the connection ends, and nothing reaches the loop.
        within("the end", async { while reader.next::<ToWeb>().await.is_ok() {} }).await;
        let mut heard = Vec::new();
        while let Ok(input) = socket.others.try_recv() {
            heard.push(input);
        }
        let silent = heard
            .iter()
            .all(|input| matches!(input, RoleInput::Joined(_) | RoleInput::Left(..)));
        assert!(silent && socket.act.try_recv().is_err());
        socket.tasks.shutdown().await;
    }

    #[test]
    fn without_users_of_the_roles_there_is_only_our_own() {
        for text in [
            "",
            "yagura-web",
            "yagura-web:x",
            "yagura-web:x:many:1",
            "xyagura-web:x:993:1",
        ] {
            assert!(!may_be(993, CORE, Role::Web, text), "{text:?}");
            assert!(may_be(CORE, CORE, Role::Web, text), "{text:?}");
        }
    }
}
