//! `yagura discover RANGE`: asks every address of the named ranges once, and writes a site file to
//! start from.
//!
//! Only what the user names is asked, at a bounded rate, with read-only questions. Finding is not
//! trusting: the file is for a person to read, correct and check; nothing is taken into a running
//! site.

use super::Failure;
use crate::core::source::poll::{Conversation, Means};
use clap::{Args, ValueEnum};
use room::device::{FactValue, Reading};
use room::profile::{Kind, Library};
use room::site::link::{Link, SnmpAccess, SnmpLink};
use room::site::{Device, DeviceKind, Label, Secret};
use room::time::Millis;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// Addresses of one search: a /16.
const ADDRESSES_MAX: usize = 1 << 16;
/// Addresses that are asked at the same time.
const AT_ONCE: usize = 256;
/// Communities that are tried on each address.
const COMMUNITIES_MAX: usize = 8;
/// Bytes of a device's short name.
const NAME_MAX: usize = 24;
/// Width of the bar in characters.
const BAR: usize = 30;
/// Without a terminal a line is printed for every so many parts of the whole.
const QUIET_STEPS: usize = 10;

/// Arguments of `yagura discover`.
#[derive(Debug, Args)]
pub(super) struct DiscoverArgs {
    /// 192.0.2.0/24, 192.0.2.10-192.0.2.40, 192.0.2.10-40 or one address (探す範囲)
    #[arg(required = true, value_name = "RANGE")]
    ranges: Vec<String>,
    /// A read-only community; may be given several times
    #[arg(long, short, default_value = "public")]
    community: Vec<String>,
    /// The version to ask in; without it v2c, then v1
    #[arg(long, value_enum)]
    snmp_version: Option<Version>,
    /// UDP port of the agents
    #[arg(long, default_value_t = 161)]
    port: u16,
    /// Addresses that are asked each second
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// Milliseconds to wait for an answer
    #[arg(long, default_value_t = 800, value_parser = clap::value_parser!(u32).range(50..=10_000))]
    timeout: u32,
    /// Write the site file here instead of printing it; it must not exist
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Version {
    V1,
    V2c,
}

impl Version {
    const fn word(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2c => "v2c",
        }
    }
}

/// A device that answered.
#[derive(Debug)]
struct Found {
    addr: SocketAddr,
    version: Version,
    community: String,
    kind: DeviceKind,
    reading: Reading,
}

/// Asks and writes. 0: something was found; 1: nothing answers.
pub(super) async fn run(args: DiscoverArgs) -> Result<ExitCode, Failure> {
    let addresses = addresses(&args.ranges).map_err(|why| Failure::new(Failure::WRONG, why))?;
    if args.community.len() > COMMUNITIES_MAX {
        let why = format!("at most {COMMUNITIES_MAX} communities are tried");
        return Err(Failure::new(Failure::WRONG, why));
    }
    if let Some(out) = args.out.as_ref().filter(|out| out.exists()) {
        let why = format!("{} exists; name a new file, it is not overwritten", out.display());
        return Err(Failure::new(Failure::WRONG, why));
    }
    let library = Arc::new(Library::builtin());
    let means = Means::open(Arc::clone(&library))
        .await
        .map_err(|error| Failure::because(Failure::START, "opening the SNMP engine", &error))?;
    let found = search(&args, &means, &library, &addresses).await;
    if found.is_empty() {
        eprintln!(
            "nothing answers: is SNMP switched on there, is the community right (--community), and may this \
             machine ask? Agents do not answer a wrong community"
        );
        return Ok(ExitCode::from(Failure::WRONG));
    }
    let text = site_file(&found, &args);
    match &args.out {
        None => {
            let mut out = std::io::stdout().lock();
            // A reader that has gone away is no failure of ours.
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        }
        Some(path) => {
            // The communities in it are for few eyes.
            let file = std::fs::File::options()
                .create_new(true)
                .write(true)
                .mode(0o640)
                .open(path);
            file.and_then(|mut file| file.write_all(text.as_bytes()))
                .map_err(|error| {
                    Failure::because(Failure::START, format!("writing {}", path.display()), &error)
                })?;
            eprintln!(
                "{}: read it, correct it, then: yagura check --config {0}",
                path.display()
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn search(
    args: &DiscoverArgs,
    means: &Means,
    library: &Arc<Library>,
    addresses: &[IpAddr],
) -> Vec<Found> {
    let mut ways = Vec::new();
    for version in args
        .snmp_version
        .map_or(vec![Version::V2c, Version::V1], |one| vec![one])
    {
        for community in &args.community {
            ways.push((version, community.clone()));
        }
    }
    let mut beat = tokio::time::interval(Duration::from_secs(1) / args.rate);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut progress = Progress::new(addresses.len());
    let mut tasks: JoinSet<Option<Found>> = JoinSet::new();
    let mut found = Vec::new();
    let mut take = |result: Result<Option<Found>, tokio::task::JoinError>, progress: &mut Progress| {
        match result {
            Ok(Some(device)) => found.push(device),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "an address was left out"),
        }
        progress.step(found.len());
    };
    for address in addresses {
        beat.tick().await;
        if tasks.len() >= AT_ONCE
            && let Some(result) = tasks.join_next().await
        {
            take(result, &mut progress);
        }
        let addr = SocketAddr::new(*address, args.port);
        let (means, library, ways) = (means.clone(), Arc::clone(library), ways.clone());
        let timeout = Millis(u64::from(args.timeout));
        tasks.spawn(async move { ask(addr, &means, &library, &ways, timeout).await });
        while let Some(result) = tasks.try_join_next() {
            take(result, &mut progress);
        }
    }
    while let Some(result) = tasks.join_next().await {
        take(result, &mut progress);
    }
    progress.end();
    found.sort_by_key(|device| device.addr);
    found
}

/// The first way in which the address answers.
async fn ask(
    addr: SocketAddr,
    means: &Means,
    library: &Library,
    ways: &[(Version, String)],
    timeout: Millis,
) -> Option<Found> {
    for (version, community) in ways {
        let secret = Secret(community.clone());
        let device = Device {
            name: "found".to_owned(),
            label: Label::default(),
            kind: DeviceKind::Other,
            link: Link::Snmp(SnmpLink {
                addr,
                access: match version {
                    Version::V1 => SnmpAccess::V1(secret),
                    Version::V2c => SnmpAccess::V2c(secret),
                },
            }),
            profile: None,
            poll: Millis::from_secs(5),
            poll_on_battery: Millis::from_secs(5),
            timeout,
            retries: 0,
            behind: None,
            uplinks: Vec::new(),
            commands: Vec::new(),
            write: None,
        };
        let mut conversation: Conversation = means.converse(&device);
        if let Ok(reading) = conversation.read().await {
            let kind = library
                .get(&reading.profile)
                .map_or(DeviceKind::Other, |profile| kind(profile.kind()));
            return Some(Found {
                addr,
                version: *version,
                community: community.clone(),
                kind,
                reading,
            });
        }
    }
    None
}

const fn kind(kind: Kind) -> DeviceKind {
    match kind {
        Kind::Ups => DeviceKind::Ups,
        Kind::Pdu => DeviceKind::Pdu,
        Kind::Ats => DeviceKind::Ats,
        Kind::Environment => DeviceKind::Environment,
        Kind::Server => DeviceKind::Server,
        Kind::Switch => DeviceKind::Switch,
        Kind::Host | Kind::Part => DeviceKind::Other,
    }
}

fn addresses(ranges: &[String]) -> Result<Vec<IpAddr>, String> {
    let mut all = BTreeSet::new();
    for range in ranges {
        let (first, last) = bounds(range)?;
        match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                let (first, last) = (u32::from(first), u32::from(last));
                let count = u64::from(last) - u64::from(first) + 1;
                if count > ADDRESSES_MAX as u64 || all.len() as u64 + count > ADDRESSES_MAX as u64 {
                    return Err(format!(
                        "`{range}`: more than {ADDRESSES_MAX} addresses; name smaller ranges, one network at a time"
                    ));
                }
                all.extend((first..=last).map(|address| IpAddr::V4(Ipv4Addr::from(address))));
            }
            (one, _) => {
                all.insert(one);
            }
        }
    }
    Ok(all.into_iter().collect())
}

/// First and last address of a range. Network and broadcast addresses of a /30 or larger are
/// left out: nobody is there.
fn bounds(range: &str) -> Result<(IpAddr, IpAddr), String> {
    let bad = || {
        format!(
            "`{range}` is no range: write 192.0.2.0/24, 192.0.2.10-192.0.2.40, 192.0.2.10-40 or one address"
        )
    };
    if let Ok(one) = range.parse::<IpAddr>() {
        return Ok((one, one));
    }
    if let Some((network, length)) = range.split_once('/') {
        let network: Ipv4Addr = network.parse().map_err(|_| bad())?;
        let length: u32 = length.parse().map_err(|_| bad())?;
        if length > 32 {
            return Err(bad());
        }
        let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
        let first = u32::from(network) & mask;
        let last = first | !mask;
        if first != u32::from(network) {
            return Err(format!(
                "`{range}`: {network} is not the first address of a /{length}; did you mean {}/{length}?",
                Ipv4Addr::from(first)
            ));
        }
        let (first, last) = if length <= 30 {
            (first + 1, last - 1)
        } else {
            (first, last)
        };
        return Ok((IpAddr::V4(first.into()), IpAddr::V4(last.into())));
    }
    let (first, last) = range.split_once('-').ok_or_else(bad)?;
    let first: Ipv4Addr = first.trim().parse().map_err(|_| bad())?;
    let last: Ipv4Addr = match last.trim().parse::<u8>() {
        Ok(octet) => {
            let [a, b, c, _] = first.octets();
            Ipv4Addr::new(a, b, c, octet)
        }
        Err(_) => last.trim().parse().map_err(|_| bad())?,
    };
    if last < first {
        return Err(format!("`{range}` ends before it begins"));
    }
    Ok((first.into(), last.into()))
}

/// A bar on a terminal, a line now and then elsewhere.
struct Progress {
    total: usize,
    done: usize,
    found: usize,
    shown: Instant,
    is_terminal: bool,
}

impl Progress {
    fn new(total: usize) -> Self {
        Self {
            total,
            done: 0,
            found: 0,
            shown: Instant::now(),
            is_terminal: std::io::stderr().is_terminal(),
        }
    }

    fn step(&mut self, found: usize) {
        self.done += 1;
        self.found = found;
        let step = self.total.div_ceil(QUIET_STEPS).max(1);
        if self.is_terminal {
            if self.shown.elapsed() >= Duration::from_millis(100) {
                self.shown = Instant::now();
                eprint!("\r{}", self.line());
            }
        } else if self.done.is_multiple_of(step) && self.done < self.total {
            eprintln!("{}", self.line());
        }
    }

    fn line(&self) -> String {
        let filled = BAR * self.done / self.total.max(1);
        format!(
            "[{}{}] {} / {} addresses, {} found",
            "#".repeat(filled),
            ".".repeat(BAR - filled),
            self.done,
            self.total,
            self.found
        )
    }

    fn end(&self) {
        let begin = if self.is_terminal { "\r" } else { "" };
        eprintln!("{begin}{}", self.line());
    }
}

/// A site file that `yagura check` takes, with what was found and what a person must decide.
fn site_file(found: &[Found], args: &DiscoverArgs) -> String {
    let mut text = format!(
        "# Yagura: found in {}.\n\
         # 見つけた機器の下書きです。名前と方針を直し、`yagura check` で確かめてから使います。\n\
         # A draft: correct names and policy, then `yagura check`. Every key: deploy/example/site.toml.\n\n\
         name = {{ ja = \"サーバ室\", en = \"Server room\" }}\n\
         data_dir = \"/var/lib/yagura\"\n\n\
         [web]\nlisten = \"127.0.0.1:8080\"\n\n[mqtt]\nlisten = \"127.0.0.1:1883\"\n",
        args.ranges.join(", ")
    );
    let mut names = BTreeSet::new();
    let mut has_ups = false;
    for device in found {
        has_ups |= device.kind == DeviceKind::Ups;
        let word = DeviceKind::WORDS
            .iter()
            .find(|(_, kind)| *kind == device.kind)
            .map_or("other", |(word, _)| *word);
        let name = name(device, word, &mut names);
        let model = model(&device.reading);
        let label = match &model {
            Some(model) => format!("{model} ({})", device.addr.ip()),
            None => device.addr.ip().to_string(),
        };
        let _ = write!(
            text,
            "\n[[device]]\nname = {}\nlabel = {}\nkind = \"{word}\"\naddr = \"{}\"\nversion = \"{}\"\n\
             community = {}\n# profile = \"{}\" # 自動判別 detected\n",
            quoted(&name),
            quoted(&label),
            device.addr,
            device.version.word(),
            quoted(&device.community),
            device.reading.profile,
        );
    }
    if has_ups {
        text.push_str(
            "\n# 停電時の方針。この部屋の電池と停止時間に合わせて決める。\n\
             # What an outage does: decide it by this room's batteries and by how long its servers take to stop.\n\
             [outage]\non_battery_delay = \"60s\"\nreserve = \"2m\"\nstart_at_charge = 40\n\
             longest_on_battery = \"15m\"\ncontact_lost_after = \"15s\"\nmains_stable = \"60s\"\n",
        );
    }
    text
}

fn text_of<'r>(reading: &'r Reading, names: &[&str]) -> Option<&'r str> {
    names.iter().find_map(|name| match &reading.fact(name)?.value {
        Ok(FactValue::Text(text)) if !text.is_empty() => Some(text.as_str()),
        _ => None,
    })
}

fn model(reading: &Reading) -> Option<String> {
    let model = text_of(reading, &["ups.model", "device.model", "system.description"])?;
    Some(model.chars().take(NAME_MAX * 2).collect())
}

/// A short name that nothing else has: the device's own name, or its kind with a number.
fn name(device: &Found, word: &str, taken: &mut BTreeSet<String>) -> String {
    let own: String = text_of(&device.reading, &["system.name", "device.name"])
        .unwrap_or_default()
        .split('.')
        .next()
        .unwrap_or_default()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .take(NAME_MAX)
        .collect();
    let own = own.trim_matches('-');
    let stem = if own.starts_with(|c: char| c.is_ascii_lowercase()) {
        own
    } else {
        word
    };
    let mut candidate = stem.to_owned();
    let mut number = usize::from(stem != own);
    loop {
        if number > 0 {
            candidate = format!("{stem}-{number}");
        }
        if taken.insert(candidate.clone()) {
            return candidate;
        }
        number += 1;
    }
}

/// A TOML text.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::site::parse;
    use simroom::ups::{Mib, Model, Ups};

    #[test]
    fn ranges_are_read_in_every_form_people_write() {
        let count = |range: &str| addresses(&[range.to_owned()]).map(|list| list.len());
        assert_eq!(count("192.0.2.0/24"), Ok(254));
        assert_eq!(count("192.0.2.4/31"), Ok(2));
        assert_eq!(count("192.0.2.4/32"), Ok(1));
        assert_eq!(count("192.0.2.10-40"), Ok(31));
        assert_eq!(count("192.0.2.250-192.0.3.5"), Ok(12));
        assert_eq!(count("2001:db8::1"), Ok(1));
        for bad in [
            "10.0.0.0/8",
            "0.0.0.0/0",
            "192.0.2.5/24",
            "192.0.2.9-3",
            "ups-a",
            "192.0.2.0/33",
            "",
        ] {
            assert!(count(bad).is_err(), "{bad}");
        }
        let twice = ["192.0.2.1".to_owned(), "192.0.2.0/30".to_owned()];
        assert_eq!(addresses(&twice).unwrap().len(), 2, "each address is asked once");
    }

    #[tokio::test]
    async fn what_answers_becomes_a_site_file_that_the_check_takes() {
        let standard = Ups::start(Model::rack_1500("S1"), Mib::Rfc1628, "secret \"one\"")
            .await
            .unwrap();
        let args = DiscoverArgs {
            ranges: vec!["127.0.0.1-2".to_owned()],
            community: vec!["public".to_owned(), "secret \"one\"".to_owned()],
            snmp_version: None,
            port: standard.addr.port(),
            rate: 1000,
            timeout: 300,
            out: None,
        };
        let library = Arc::new(Library::builtin());
        let means = Means::open(Arc::clone(&library)).await.unwrap();
        let found = search(&args, &means, &library, &addresses(&args.ranges).unwrap()).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].kind, DeviceKind::Ups);
        let text = site_file(&found, &args);
        let site = parse::real(&text, std::path::Path::new("/"));
        assert!(site.is_ok(), "{:?}\n{text}", site.err());
    }
}
