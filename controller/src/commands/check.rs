//! `yagura check`: everything that is wrong with a site, at once, before anything opens.
//!
//! `room` reads the text; this adds what only the disk knows: key files that are missing, open
//! to others or not keys, programs that cannot run, a data folder that cannot be written. It
//! changes nothing.
// Long because everything on the disk that a site file names is looked at here, with its tests.

mod notifier;

use super::Failure;
use crate::clock;
use crate::core::cards::CardsError;
use crate::snmp::PASSWORD_MIN;
use clap::Args;
use room::forecast::calendar::day_and_hour;
use room::outage::Verb;
use room::plan::Plan;
use room::site::link::{Link, SnmpAccess, SnmpLink};
use room::site::parse::{Hands, Located, MAX_TEXT, Step, decode, locate, read};
use room::site::problem::{Kind, Problem, Severity};
use room::site::write::Write;
use room::site::{DeviceKind, Label, Mqtt, Real, RealAction, Site, World, is_exposed, listening};
use room::time::Wall;
use russh::keys::PrivateKey;
use rustix::fs::{Access, access};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Longest key or password file that is read, in bytes; an RSA key of 16384 bits has 13 kB.
const MAX_SECRET: u64 = 64 * 1024;

/// Options of `yagura check`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Every problem stands on its own line as FILE:LINE:COLUMN, with a hint below. Exit code 0: the site \
    can be run, perhaps with warnings. Exit code 1: it cannot."
)]
pub(super) struct CheckArgs {
    /// Site file (設置場所の設定ファイル)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// A site file as it was read.
pub(super) struct FileRead<W: World> {
    text: String,
    /// `None` when a problem is an error.
    pub(super) site: Option<Site<W>>,
    /// Everything found; warnings too.
    pub(super) problems: Vec<Problem>,
}

/// Reads a site file; that a plan can be made is part of the site's being good.
pub(super) fn read_file<W: Hands>(path: &Path) -> Result<FileRead<W>, Failure> {
    let unreadable = |source| Failure::read(path, source);
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let longest = u64::try_from(MAX_TEXT).unwrap_or(u64::MAX);
    file.take(longest.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    let text = decode(&bytes).map_err(|problem| Failure::site(path, &[problem]))?;
    let absolute = std::path::absolute(path).map_err(unreadable)?;
    let base = absolute.parent().unwrap_or(Path::new("/"));
    let outcome = read::<W>(text, base);
    let mut problems = outcome.problems;
    let mut site = outcome.site;
    if let Some(Err(why)) = site.as_ref().map(Plan::new) {
        let at = locate(text, &[Step::Key("host")]);
        problems.extend(
            why.iter()
                .map(|why| error_at(at, Kind::Conflict, why.to_string(), None)),
        );
        site = None;
    }
    Ok(FileRead {
        text: text.to_owned(),
        site,
        problems,
    })
}

/// Prints the report.
#[must_use]
pub(super) fn run(args: &CheckArgs) -> ExitCode {
    let FileRead {
        text,
        site,
        mut problems,
    } = match read_file::<Real>(&args.config) {
        Ok(read) => read,
        Err(why) => {
            println!("{why}");
            return ExitCode::from(Failure::WRONG);
        }
    };
    if let Some(site) = &site {
        problems.extend(on_disk(site, &text, &args.config));
        problems.extend(deputies(site, &text, clock::now().wall));
        problems.sort_by_key(|problem| (problem.line, problem.column));
    }
    print!("{}", report(&args.config, &problems));
    let errors = count(&problems, Severity::Error);
    let warnings = count(&problems, Severity::Warning);
    match site {
        Some(site) if errors == 0 => {
            println!(
                "{}: good, {warnings} warnings (良好、注意 {warnings} 件)",
                args.config.display()
            );
            print!("{}", summary(&site));
            match super::log::verifier_key(&site) {
                Ok(key) => println!("entry log key (入退室記録の検証鍵): {key}"),
                Err(why) => println!("entry log key (入退室記録の検証鍵): - {why}"),
            }
            ExitCode::SUCCESS
        }
        _ => {
            println!(
                "{}: {errors} errors, {warnings} warnings (誤り {errors} 件、注意 {warnings} 件)",
                args.config.display()
            );
            ExitCode::from(Failure::WRONG)
        }
    }
}

fn count(problems: &[Problem], severity: Severity) -> usize {
    problems
        .iter()
        .filter(|problem| problem.severity == severity)
        .count()
}

/// One problem after another, as `file:line:column: error: ...`.
fn report(path: &Path, problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("{}:{problem}\n", path.display()))
        .collect()
}

fn error_at((line, column): (usize, usize), kind: Kind, message: String, hint: Option<String>) -> Problem {
    Problem {
        line,
        column,
        message,
        hint,
        severity: Severity::Error,
        kind,
    }
}

/// What the site holds.
fn summary(site: &Site<Real>) -> String {
    let channels: usize = site.nodes.iter().map(|node| node.channels.len()).sum();
    let ups = site
        .devices
        .iter()
        .filter(|device| device.kind == DeviceKind::Ups)
        .count();
    let mut lines = vec![
        format!("  room      {}", both(&site.name)),
        format!("  nodes     {} with {channels} channels", site.nodes.len()),
        format!("  portals   {}", site.access.portals.len()),
        format!("  devices   {}, of them {ups} UPS", site.devices.len()),
        format!("  limits    {}", site.limits.len()),
        format!("  hosts     {}", site.hosts.len()),
    ];
    if let Ok(plan) = Plan::new(site)
        && !plan.steps().is_empty()
    {
        lines.push(format!(
            "  plan      {} steps, {} s at the longest, hash {}",
            plan.steps().len(),
            plan.length().0.div_ceil(1000),
            plan.hash().get(..12).unwrap_or(plan.hash())
        ));
        for (step, slot) in plan.steps().iter().zip(plan.schedule()) {
            lines.push(format!(
                "    {:>5} s  {} ({}){}",
                slot.start.0 / 1000,
                step.id,
                step.action,
                if step.after.is_empty() {
                    String::new()
                } else {
                    format!(" after {}", step.after.join(", "))
                }
            ));
        }
    }
    for (what, transport, addr) in listening(site) {
        let reach = if is_exposed(addr.ip()) {
            ""
        } else {
            " (this machine only)"
        };
        lines.push(format!("  listens   {what} on {addr}/{transport}{reach}"));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn both(label: &Label) -> String {
    if label.ja == label.en {
        label.ja.clone()
    } else {
        format!("{} / {}", label.ja, label.en)
    }
}

/// What only the disk knows.
fn on_disk(site: &Site<Real>, text: &str, config: &Path) -> Vec<Problem> {
    let mut disk = Disk {
        places: Located::new(text),
        problems: Vec::new(),
        present: 0,
        absent: Vec::new(),
    };
    let mut keys: BTreeMap<String, &str> = BTreeMap::new();
    for (index, node) in site.nodes.iter().enumerate() {
        let way = [Step::Key("node"), Step::Index(index), Step::Key("key_file")];
        let Some(secret) = disk.secret(&way, &node.key_file, SECRET_MODE) else {
            continue;
        };
        match node_key(&secret) {
            Err(why) => disk.error(&way, format!("{}: {why}", node.key_file.display()), NEW_KEY),
            Ok(key) => {
                if let Some(other) = keys.insert(key, &node.name) {
                    let message = format!("{} has the same key as {other}", node.name);
                    disk.error(&way, message, "each node has a key of its own");
                }
            }
        }
    }
    let (library, bad_profiles) = crate::profiles::library(site.profiles_dir.as_deref());
    for bad in bad_profiles {
        disk.error(
            &[Step::Key("profiles_dir")],
            bad.to_string(),
            "yagura profile test FILE RECORDING shows what a profile reads",
        );
    }
    for (index, device) in site.devices.iter().enumerate() {
        if let Some(name) = device.profile.as_ref().filter(|name| library.get(name).is_none()) {
            let way = [Step::Key("device"), Step::Index(index), Step::Key("profile")];
            let message = format!("`{name}` is neither a built-in profile nor one of profiles_dir");
            disk.error(&way, message, "yagura profile list shows the built-in ones");
        }
        let profile = device.profile.as_ref().and_then(|name| library.get(name));
        let spoken = match device.link {
            Link::Snmp(_) => Some(("SNMP", false)),
            Link::Modbus(_) => Some(("Modbus", true)),
            // What these tell needs no profile.
            Link::Nut(_) | Link::Megatec(_) => None,
        };
        if let (Some(profile), Some((protocol, is_modbus))) = (profile, spoken)
            && profile.modbus().is_some() != is_modbus
        {
            let way = [Step::Key("device"), Step::Index(index), Step::Key("profile")];
            let message = format!("profile `{}` is not for {protocol}", profile.name());
            disk.error(&way, message, "profiles of Modbus devices begin with `modbus-`");
        }
    }
    for (index, device) in site.devices.iter().enumerate() {
        for (key, file, least) in passwords(&device.link) {
            let way = [Step::Key("device"), Step::Index(index), Step::Key(key)];
            if let Some(secret) = disk.secret(&way, file, SECRET_MODE)
                && let Err(why) = password(&secret, least)
            {
                disk.error(&way, format!("{}: {why}", file.display()), PASSWORD);
            }
        }
    }
    for (index, device) in site.devices.iter().enumerate() {
        for (key, file, least) in write_secrets(device.write.as_ref()) {
            let way = [
                Step::Key("device"),
                Step::Index(index),
                Step::Key("write"),
                Step::Key(key),
            ];
            if let Some(secret) = disk.secret(&way, file, SECRET_MODE)
                && let Err(why) = password(&secret, least)
            {
                disk.error(&way, format!("{}: {why}", file.display()), PASSWORD);
            }
        }
    }
    for (index, host) in site.hosts.iter().enumerate() {
        for (verb, key) in [
            (Verb::Stop, "action"),
            (Verb::Force, "force"),
            (Verb::Start, "start"),
        ] {
            if let Some(action) = host.doing(verb) {
                let table = [Step::Key("host"), Step::Index(index), Step::Key(key)];
                action_files(&mut disk, &table, action);
            }
        }
    }
    notifier::check(&mut disk, &site.notifiers);
    if let Some(server) = &site.nut_server {
        nut_server(&mut disk, server);
    }
    if let Mqtt::External {
        password_file: Some(file),
        ..
    } = &site.mqtt
    {
        let _ = disk.secret(
            &[Step::Key("mqtt"), Step::Key("password_file")],
            file,
            SECRET_MODE,
        );
    }
    let cards = [Step::Key("access"), Step::Key("cards_file")];
    match crate::core::cards::read(site) {
        Ok(_) => {}
        Err(CardsError::Read(path, error)) if error.kind() == std::io::ErrorKind::NotFound => disk.absent(
            &cards,
            format!("{} does not exist", path.display()),
            "without any card make an empty file",
        ),
        Err(why) => disk.error(
            &cards,
            why.to_string(),
            "correct that file; the site itself is good",
        ),
    }
    // Only provisioning reads the card key, and the first one makes it.
    let way = [Step::Key("access"), Step::Key("card_key_file")];
    if let Some(file) = site.access.card_key_file.as_ref().filter(|file| file.exists())
        && let Some(secret) = disk.secret(&way, file, SECRET_MODE)
        && let Err(why) = node_key(&secret)
    {
        disk.error(&way, format!("{}: {why}", file.display()), NEW_KEY);
    }
    disk.data_dir(&site.data_dir);
    let community = site.devices.iter().any(|device| match &device.link {
        Link::Snmp(SnmpLink {
            access: SnmpAccess::V1(community) | SnmpAccess::V2c(community),
            ..
        }) => community.0 != "public",
        _ => false,
    });
    if community && fs::metadata(config).is_ok_and(|meta| meta.mode() & 0o004 != 0) {
        disk.warning(
            &[],
            "everybody on this machine can read the communities in this file".to_owned(),
            "chmod 640 it, with the group of the service",
        );
    }
    disk.settle();
    disk.problems
}

/// The files that an action needs.
fn action_files(disk: &mut Disk<'_>, table: &[Step<'static>], action: &RealAction) {
    match action {
        RealAction::Ssh(ssh) => {
            let way = [table, &[Step::Key("key_file")]].concat();
            if let Some(secret) = disk.secret(&way, &ssh.key_file, SECRET_MODE)
                && let Err(why) = ssh_key(&secret)
            {
                disk.error(&way, format!("{}: {why}", ssh.key_file.display()), SSH_KEY);
            }
        }
        // Its device is looked at with the others.
        RealAction::Device(_) => {}
        // It has no file of its own.
        RealAction::Nut(_) => {}
        RealAction::Exec(exec) => {
            let way = [table, &[Step::Key("program")]].concat();
            disk.program(&way, &exec.program);
        }
        RealAction::Redfish(redfish) => {
            let way = |key| [table, &[Step::Key(key)]].concat();
            notifier::secret(disk, &way("password_file"), &redfish.password_file, 1, PASSWORD);
            if let Some(file) = &redfish.server.ca_file {
                notifier::certificates(disk, &way("ca_file"), file);
            }
        }
        RealAction::Ipmi(ipmi) => {
            let way = |key| [table, &[Step::Key(key)]].concat();
            notifier::secret(disk, &way("password_file"), &ipmi.password_file, 1, PASSWORD);
            disk.program(&way("kind"), Path::new(crate::act::IPMITOOL));
        }
        RealAction::Wol(wol) => {
            if let Some(file) = &wol.password_file {
                let way = [table, &[Step::Key("password_file")]].concat();
                notifier::secret(
                    disk,
                    &way,
                    file,
                    17,
                    "six bytes as 00-11-22-33-44-55, on one line",
                );
            }
        }
        RealAction::Http(http) => {
            let way = |key| [table, &[Step::Key(key)]].concat();
            if let Some(file) = &http.token_file {
                notifier::secret(disk, &way("token_file"), file, 1, "the token alone, on one line");
            }
            if let Some(file) = &http.server.ca_file {
                notifier::certificates(disk, &way("ca_file"), file);
            }
        }
        RealAction::Vsphere(vsphere) => {
            https(disk, table, &vsphere.server);
            let way = [table, &[Step::Key("password_file")]].concat();
            notifier::secret(disk, &way, &vsphere.password_file, 1, PASSWORD);
        }
        RealAction::Winrm(winrm) => {
            https(disk, table, &winrm.server);
            let way = [table, &[Step::Key("password_file")]].concat();
            notifier::secret(disk, &way, &winrm.password_file, 1, PASSWORD);
        }
        RealAction::Proxmox(proxmox) => {
            https(disk, table, &proxmox.server);
            let way = [table, &[Step::Key("token_file")]].concat();
            let hint = "the token alone, as USER@REALM!TOKENID=UUID, on one line";
            notifier::secret(disk, &way, &proxmox.token_file, 1, hint);
        }
        RealAction::Libvirt(libvirt) => {
            let way = [table, &[Step::Key("program")]].concat();
            disk.program(&way, &libvirt.program);
        }
    }
}

/// The certificates by which a server is known.
fn https(disk: &mut Disk<'_>, table: &[Step<'_>], server: &room::site::act::https::Https) {
    if let Some(file) = &server.ca_file {
        notifier::certificates(disk, &[table, &[Step::Key("ca_file")]].concat(), file);
    }
}

/// Deputies whose last day is over: the file says that somebody is stood in for who is not.
fn deputies(site: &Site<Real>, text: &str, now: Wall) -> Vec<Problem> {
    let Some((today, _)) = day_and_hour(now, site.access.utc_offset_min) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (index, contact) in site.notices.contacts.iter().enumerate() {
        for (row, deputy) in contact.deputies.iter().enumerate() {
            if deputy.until >= today {
                continue;
            }
            let way = [
                Step::Key("contact"),
                Step::Index(index),
                Step::Key("deputies"),
                Step::Index(row),
            ];
            let message = format!(
                "the last day of {} as deputy of {} was {} days ago",
                deputy.contact,
                contact.name,
                today - deputy.until
            );
            let hint = format!(
                "{} is told again; take the entry out, or give it new days",
                contact.name
            );
            found.push(Problem {
                severity: Severity::Warning,
                ..error_at(locate(text, &way), Kind::Value, message, Some(hint))
            });
        }
    }
    found
}

/// The files of the server for NUT's clients.
fn nut_server(disk: &mut Disk<'_>, server: &room::site::nut_server::NutServer) {
    let table = Step::Key("nut_server");
    if let Some(tls) = &server.tls {
        notifier::certificates(disk, &[table, Step::Key("cert_file")], &tls.cert_file);
        let _ = disk.secret(&[table, Step::Key("key_file")], &tls.key_file, SECRET_MODE);
    }
    for (index, user) in server.users.iter().enumerate() {
        let way = [
            table,
            Step::Key("user"),
            Step::Index(index),
            Step::Key("password_file"),
        ];
        if let Some(secret) = disk.secret(&way, &user.password_file, SECRET_MODE)
            && let Err(why) = password(&secret, 1)
        {
            disk.error(&way, format!("{}: {why}", user.password_file.display()), PASSWORD);
        }
    }
}

/// The password files of an SNMPv3 user and their keys in the site file.
fn usm_files(access: &SnmpAccess) -> impl Iterator<Item = (&'static str, &Path)> {
    let user = match access {
        SnmpAccess::V3(user) => Some(user),
        SnmpAccess::V1(_) | SnmpAccess::V2c(_) => None,
    };
    let auth = user
        .and_then(|user| user.auth.as_ref())
        .map(|(_, file)| ("auth_password_file", file.as_path()));
    let privacy = user
        .and_then(|user| user.privacy.as_ref())
        .map(|(_, file)| ("privacy_password_file", file.as_path()));
    auth.into_iter().chain(privacy)
}

/// The password files of a device: their key in the site file, and the fewest characters.
fn passwords(link: &Link) -> Vec<(&'static str, &Path, usize)> {
    match link {
        Link::Snmp(snmp) => usm_files(&snmp.access)
            .map(|(key, file)| (key, file, PASSWORD_MIN))
            .collect(),
        Link::Nut(nut) => {
            let login = nut.login.iter();
            login
                .map(|(_, file)| ("password_file", file.as_path(), 1))
                .collect()
        }
        Link::Modbus(_) | Link::Megatec(_) => Vec::new(),
    }
}

/// The secrets that allow to write to a device: their key in the site file, and the fewest
/// characters.
fn write_secrets(write: Option<&Write>) -> Vec<(&'static str, &Path, usize)> {
    match write {
        None => Vec::new(),
        Some(Write::Community(file)) => vec![("community_file", file, 1)],
        Some(Write::Login(_, file)) => vec![("password_file", file, 1)],
        Some(Write::User(usm)) => {
            let auth = usm.auth.as_ref().map(|(_, file)| ("auth_password_file", file));
            let privacy = usm
                .privacy
                .as_ref()
                .map(|(_, file)| ("privacy_password_file", file));
            let both = auth.into_iter().chain(privacy);
            both.map(|(key, file)| (key, file.as_path(), PASSWORD_MIN))
                .collect()
        }
    }
}

/// Every secret has one reader: core the nodes' keys (broker is sent digests of the passwords that
/// come of them), the devices' passwords and the broker's, act the keys that stop servers and what allows to write to
/// devices.
const SECRET_MODE: u32 = 0o600;
const NEW_KEY: &str = "64 hex digits, as `yagura node provision` writes them";
const SSH_KEY: &str =
    "make one without passphrase for this purpose alone: ssh-keygen -t ed25519 -N '' -f FILE";

const PASSWORD: &str = "the password alone, on one line";

struct Disk<'t> {
    places: Located<'t>,
    problems: Vec<Problem>,
    /// Files of the site that are here.
    present: usize,
    /// Files of the site that are not, with the problem each is.
    absent: Vec<Problem>,
}

impl Disk<'_> {
    fn error(&mut self, way: &[Step<'_>], message: String, hint: &str) {
        let at = self.places.locate(way);
        self.problems
            .push(error_at(at, Kind::Value, message, Some(hint.to_owned())));
    }

    fn warning(&mut self, way: &[Step<'_>], message: String, hint: &str) {
        let at = self.places.locate(way);
        self.problems.push(Problem {
            severity: Severity::Warning,
            ..error_at(at, Kind::Exposure, message, Some(hint.to_owned()))
        });
    }

    fn absent(&mut self, way: &[Step<'_>], message: String, hint: &str) {
        let at = self.places.locate(way);
        self.absent
            .push(error_at(at, Kind::Value, message, Some(hint.to_owned())));
    }

    /// A file that is missing is an error. When every file of the site is, the site is being
    /// written on another machine than the controller's; that is said once.
    fn settle(&mut self) {
        let absent = std::mem::take(&mut self.absent);
        if self.present > 0 || absent.len() < 2 {
            self.problems.extend(absent);
            return;
        }
        let files = absent.len();
        self.warning(
            &[],
            format!("none of the {files} key files and programs of this site is on this machine; they were not checked"),
            "check it once more on the controller, where they are",
        );
    }

    /// The content of a file that nobody else may read: its mode is `most` or less.
    fn secret(&mut self, way: &[Step<'_>], path: &Path, most: u32) -> Option<Vec<u8>> {
        let shown = path.display();
        let file = match File::open(path) {
            Ok(file) => file,
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
                self.absent(
                    way,
                    format!("{shown} does not exist"),
                    "relative paths start at the folder of the site file",
                );
                return None;
            }
            Err(why) => {
                self.error(
                    way,
                    format!("{shown} cannot be opened: {why}"),
                    "check it as the user of its role, or as root",
                );
                return None;
            }
        };
        self.present += 1;
        // Asked of the opened file, so that it cannot be exchanged in between.
        let Ok(meta) = file.metadata() else {
            self.error(
                way,
                format!("{shown} cannot be looked at"),
                "is its disk in order?",
            );
            return None;
        };
        if !meta.is_file() {
            self.error(way, format!("{shown} is not a file"), "name the file itself");
            return None;
        }
        if meta.mode() & 0o777 & !most != 0 {
            self.error(
                way,
                format!(
                    "{shown} can be read by others (mode {:04o})",
                    meta.mode() & 0o7777
                ),
                &format!(
                    "chmod {most:o} it, owned by the user of its role; replace it if others use this machine"
                ),
            );
        }
        let mut content = Vec::new();
        if let Err(why) = file.take(MAX_SECRET + 1).read_to_end(&mut content) {
            self.error(
                way,
                format!("{shown} cannot be read: {why}"),
                "is its disk in order?",
            );
            return None;
        }
        if content.is_empty() || u64::try_from(content.len()).unwrap_or(u64::MAX) > MAX_SECRET {
            self.error(
                way,
                format!("{shown} is empty or longer than {MAX_SECRET} bytes"),
                "is it the right file?",
            );
            return None;
        }
        Some(content)
    }

    fn program(&mut self, way: &[Step<'_>], path: &Path) {
        let shown = path.display();
        match fs::metadata(path) {
            Err(why) => self.absent(
                way,
                format!("{shown} cannot be run: {why}"),
                "install it, or correct the path",
            ),
            Ok(meta) if !meta.is_file() => {
                self.error(way, format!("{shown} is not a file"), "name the program itself");
            }
            Ok(meta) => {
                self.present += 1;
                if access(path, Access::EXEC_OK).is_err() {
                    self.error(way, format!("{shown} is not executable"), "chmod 755 it");
                }
                if meta.mode() & 0o022 != 0 {
                    let message = format!(
                        "{shown} can be changed by others (mode {:04o})",
                        meta.mode() & 0o7777
                    );
                    self.error(way, message, "chmod go-w it: whoever changes it acts in our name");
                }
            }
        }
    }

    /// The folder itself, or the one in which it will be made.
    fn data_dir(&mut self, path: &Path) {
        let way = [Step::Key("data_dir")];
        let shown = path.display();
        let (folder, what) = if path.exists() {
            (path, "it")
        } else {
            (path.parent().unwrap_or(Path::new("/")), "its parent folder")
        };
        if !folder.is_dir() {
            self.error(
                &way,
                format!("{shown}: {what} is not a folder"),
                "make the folder",
            );
        } else if access(folder, Access::WRITE_OK | Access::EXEC_OK).is_err() {
            self.error(
                &way,
                format!("{shown}: {what} cannot be written by this user"),
                "chown it to the user of the service, or check as that user",
            );
        }
    }
}

/// 32 bytes as 64 hex digits, in lower case.
fn node_key(secret: &[u8]) -> Result<String, &'static str> {
    let text = std::str::from_utf8(secret).map_err(|_| "it is not text")?.trim();
    if !text.chars().all(|ch| ch.is_ascii_hexdigit()) {
        return Err("there is something else than hex digits in it");
    }
    if text.len() != 64 {
        return Err("it has not 64 hex digits");
    }
    let first = text.as_bytes().first().copied().unwrap_or_default();
    if text.bytes().all(|digit| digit == first) {
        return Err("it is one digit repeated, not a key");
    }
    Ok(text.to_ascii_lowercase())
}

fn password(secret: &[u8], least: usize) -> Result<(), String> {
    let text = std::str::from_utf8(secret).map_err(|_| "it is not text".to_owned())?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.contains(['\r', '\n']) {
        return Err("there is more than one line in it".to_owned());
    }
    if text.len() < least {
        return Err(format!("its password has less than {least} characters"));
    }
    Ok(())
}

fn ssh_key(secret: &[u8]) -> Result<(), String> {
    let key = PrivateKey::from_openssh(secret)
        .map_err(|why| format!("it is no private key in OpenSSH format: {why}"))?;
    if key.is_encrypted() {
        return Err("it has a passphrase, and nobody is there to type it in an outage".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::*;
    use room::site::Simulated;
    use room::site::parse::real;
    use std::os::unix::fs::PermissionsExt;

    const EXAMPLE: &str = include_str!("../../../deploy/example/site.toml");

    const CARDS: &str = include_str!("../../../deploy/example/cards.toml");

    fn write(path: &Path, text: &str, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A certificate for nobody, made once for these tests; its key was thrown away.
    const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBpjCCAUugAwIBAgIUQir48BnFDapTvE/w25v2jPreZ/IwCgYIKoZIzj0EAwIw\n\
JzElMCMGA1UEAwwcbG9nIGF1dGhvcml0eSBvZiB0aGUgZXhhbXBsZTAgFw0yNjEx\n\
MjIxMzM5MTFaGA8yMTI2MTAyOTEzMzkxMVowJzElMCMGA1UEAwwcbG9nIGF1dGhv\n\
cml0eSBvZiB0aGUgZXhhbXBsZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABD+/\n\
CDv9npOW0kOI7yFGl7ZuJmKnJnOWoqQEIfCYD/YeG2eqQOnk3HtFcn5z6OxPatVV\n\
UTCeSi205HXLO8vmQ8ejUzBRMB0GA1UdDgQWBBT5LAluO+qJCJ2YWGdyGg7JXl7z\n\
VTAfBgNVHSMEGDAWgBT5LAluO+qJCJ2YWGdyGg7JXl7zVTAPBgNVHRMBAf8EBTAD\n\
AQH/MAoGCCqGSM49BAMCA0kAMEYCIQDzziKtiecMsU4Q31eNWFW6BPH/+Qa7Sbe6\n\
+/vs3WXdiwIhALLtGbKshaKS24dRtPmvo9x/+Dj7ZDDEGpEY/JVb0hpX\n\
-----END CERTIFICATE-----\n\
";

    /// What a line of the example names under keys that end like this.
    fn named(key: &str) -> impl Iterator<Item = &'static str> {
        let lines = EXAMPLE.lines().filter(|line| !line.starts_with('#'));
        lines.flat_map(move |line| line.split(key).skip(1).filter_map(|rest| rest.split('"').next()))
    }

    /// The example with every file it names, each with what belongs into a file of that name.
    fn good(folder: &Path) -> PathBuf {
        let key = russh::keys::ssh_key::private::Ed25519Keypair::from_seed(&rand::random());
        let key = PrivateKey::from(key)
            .to_openssh(russh::keys::ssh_key::LineEnding::LF)
            .unwrap();
        for path in named("_file = \"") {
            let name = path.rsplit('/').next().unwrap();
            let (text, mode) = match name {
                "cards.toml" => continue,
                "card.key" => ("00112233".repeat(8), 0o600),
                "chat.url" => ("https://hooks.example/services/T0/B0/x\n".to_owned(), 0o600),
                _ if name.starts_with("node-") => (format!("{:0>64x}", name.len() + path.len()), 0o600),
                _ if name.starts_with("stop-") => (key.to_string(), 0o600),
                _ if name.ends_with(".pem") => (CERTIFICATE.to_owned(), 0o644),
                _ if name.starts_with("wol-") => ("00-11-22-33-44-55\n".to_owned(), 0o600),
                _ => ("long enough to be a key\n".to_owned(), 0o600),
            };
            write(&folder.join("secrets").join(name), &text, mode);
        }
        write(
            &folder.join("secrets/node-1.key"),
            &"0123456789abcdef".repeat(4),
            0o600,
        );
        write(
            &folder.join("secrets/node-2.key"),
            &"fedcba9876543210".repeat(4),
            0o600,
        );
        write(&folder.join("cards.toml"), CARDS, 0o640);
        let mut text = EXAMPLE.to_owned();
        for program in named("program = \"") {
            let here = folder.join(program.rsplit('/').next().unwrap());
            write(&here, "#!/bin/sh\n", 0o755);
            text = text.replace(program, here.to_str().unwrap());
        }
        let secrets = folder.join("secrets");
        let text = text
            .replace("/var/lib/yagura", folder.join("data").to_str().unwrap())
            .replace("/etc/yagura/secret", secrets.to_str().unwrap())
            .replace("\"/etc/yagura", &format!("\"{}", secrets.to_str().unwrap()));
        let config = folder.join("site.toml");
        write(&config, &text, 0o640);
        config
    }

    fn problems(config: &Path) -> Vec<String> {
        let mut file = read_file::<Real>(config).unwrap();
        file.problems
            .extend(on_disk(&file.site.unwrap(), &file.text, config));
        file.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_example_with_its_files_is_good() {
        let folder = tempfile::tempdir().unwrap();
        let config = good(folder.path());
        assert_eq!(problems(&config), Vec::<String>::new());
        let summary = summary(&load::<Real>(&config).unwrap());
        assert!(
            summary.contains("2 with 9 channels")
                && summary.contains(&format!("{} steps", EXAMPLE.matches("\n[[host]]\n").count())),
            "{summary}"
        );
        assert!(
            load::<Simulated>(&config).is_err(),
            "its servers are not on loopback"
        );
    }

    #[test]
    fn what_is_wrong_on_the_disk_is_reported_at_its_line() {
        type Spoil = fn(&Path);
        let cases: [(&str, Spoil, &str); 24] = [
            (
                "mail.password",
                |f| write(&f.join("secrets/mail.password"), "secret", 0o644),
                "mode 0644",
            ),
            (
                "webhook.key",
                |f| write(&f.join("secrets/webhook.key"), "short", 0o600),
                "less than 16 characters",
            ),
            (
                "chat.url",
                |f| write(&f.join("secrets/chat.url"), "http://203.0.113.1/x", 0o600),
                "leaves the closed network",
            ),
            (
                "chat.url",
                |f| fs::remove_file(f.join("secrets/chat.url")).unwrap(),
                "does not exist",
            ),
            (
                "/usr/local/bin/call-duty",
                |f| write(&f.join("call-duty"), "#!/bin/sh\n", 0o644),
                "not executable",
            ),
            (
                "auth_password_file",
                |f| fs::remove_file(f.join("secrets/switch-1.auth")).unwrap(),
                "does not exist",
            ),
            (
                "privacy_password_file",
                |f| write(&f.join("secrets/switch-1.priv"), "short\n", 0o600),
                "less than 8 characters",
            ),
            (
                "desk-ups.password",
                |f| write(&f.join("secrets/desk-ups.password"), "long enough", 0o640),
                "mode 0640",
            ),
            (
                "desk-ups.password",
                |f| write(&f.join("secrets/desk-ups.password"), "", 0o600),
                "is empty",
            ),
            (
                "\"secrets/node-1.key\"",
                |f| fs::remove_file(f.join("secrets/node-1.key")).unwrap(),
                "does not exist",
            ),
            (
                "\"secrets/node-1.key\"",
                |f| {
                    write(
                        &f.join("secrets/node-1.key"),
                        &"0123456789abcdef".repeat(4),
                        0o644,
                    )
                },
                "mode 0644",
            ),
            (
                "\"secrets/node-1.key\"",
                |f| {
                    write(
                        &f.join("secrets/node-1.key"),
                        &"0123456789abcdef".repeat(4),
                        0o640,
                    )
                },
                "mode 0640",
            ),
            (
                "\"secrets/node-1.key\"",
                |f| write(&f.join("secrets/node-1.key"), "0123", 0o600),
                "64 hex digits",
            ),
            (
                "\"secrets/node-1.key\"",
                |f| write(&f.join("secrets/node-1.key"), &"z".repeat(64), 0o600),
                "hex digits",
            ),
            (
                "\"secrets/node-1.key\"",
                |f| write(&f.join("secrets/node-1.key"), &"0".repeat(64), 0o600),
                "repeated",
            ),
            (
                "\"secrets/node-2.key\"",
                |f| {
                    write(
                        &f.join("secrets/node-2.key"),
                        &"0123456789abcdef".repeat(4),
                        0o600,
                    )
                },
                "same key as node-1",
            ),
            (
                "\"secrets/stop-db1\"",
                |f| write(&f.join("secrets/stop-db1"), "not a key", 0o600),
                "no private key",
            ),
            (
                "\"secrets/stop-db1\"",
                |f| {
                    fs::remove_file(f.join("secrets/stop-db1")).unwrap();
                    fs::create_dir(f.join("secrets/stop-db1")).unwrap();
                },
                "not a file",
            ),
            (
                "/usr/local/lib/yagura/stop-vm",
                |f| write(&f.join("stop-vm"), "#!/bin/sh\n", 0o644),
                "not executable",
            ),
            (
                "data_dir = ",
                |f| write(&f.join("data"), "a file", 0o644),
                "not a folder",
            ),
            (
                "cards_file",
                |folder| {
                    let text = CARDS.replace("3f9c1b7e22d84a60", "1234");
                    write(&folder.join("cards.toml"), &text, 0o640);
                },
                "cards.toml:9:6: error: `id` is not a card's id",
            ),
            (
                "secrets/write-ups-b",
                |folder| write(&folder.join("secrets/write-ups-b"), "private\n", 0o644),
                "600",
            ),
            (
                "cards_file",
                |folder| fs::remove_file(folder.join("cards.toml")).unwrap(),
                "make an empty file",
            ),
            (
                "card_key_file",
                |folder| write(&folder.join("secrets/card.key"), "12", 0o600),
                "64 hex digits",
            ),
        ];
        for (place, spoil, word) in cases {
            let folder = tempfile::tempdir().unwrap();
            let config = good(folder.path());
            spoil(folder.path());
            let line = EXAMPLE.lines().position(|line| line.contains(place)).unwrap() + 1;
            let found = problems(&config);
            assert!(
                found
                    .iter()
                    .any(|p| p.starts_with(&format!("{line}:")) && p.contains(word)),
                "{word} in line {line}: {found:?}"
            );
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let config = good(folder.path());
        fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
        let found = problems(&config);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].contains("warning") && found[0].contains("communities"),
            "{found:?}"
        );
    }

    #[test]
    fn a_deputy_whose_days_are_over_is_a_warning_from_the_day_after_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let config = good(folder.path());
        let text = fs::read_to_string(&config).unwrap();
        let site = real(&text, folder.path()).unwrap();
        let line = text
            .lines()
            .position(|line| line.starts_with("deputies"))
            .unwrap()
            + 1;
        // 2026-12-28 and -29, noon of Japan's time.
        let day = 1_798_426_800_000;
        assert_eq!(deputies(&site, &text, Wall(day)), []);
        let found = deputies(&site, &text, Wall(day + 86_400_000));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].line, found[0].severity), (line, Severity::Warning));
        assert!(found[0].message.contains("was 1 days ago"), "{}", found[0]);
    }

    #[test]
    fn a_bad_profile_of_the_site_is_named_with_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let config = good(folder.path());
        let text = fs::read_to_string(&config).unwrap();
        let spoilt = text
            .replacen("\ndata_dir", "\nprofiles_dir = \"own\"\ndata_dir", 1)
            .replacen("profile = \"rfc1628\"", "profile = \"nowhere\"", 1);
        write(&config, &spoilt, 0o640);
        fs::create_dir(folder.path().join("own")).unwrap();
        fs::write(folder.path().join("own/mine.toml"), "title = \"t\"\ncolour = 1\n").unwrap();
        let found = problems(&config).join("\n");
        assert!(
            found.contains("own/mine.toml:2: unknown field `colour`"),
            "{found}"
        );
        assert!(
            found.contains("`nowhere` is neither a built-in profile"),
            "{found}"
        );
    }

    #[test]
    fn a_profile_of_another_protocol_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let config = good(folder.path());
        let text = fs::read_to_string(&config).unwrap();
        let spoilt = text.replacen("profile = \"rfc1628\"", "profile = \"modbus-xy-md02\"", 1);
        // Without the end of the plan, which asks the profile for a command and is refused first.
        let (before, finish) = spoilt.split_once("[outage.finish]\n").unwrap();
        let (_, after) = finish.split_once("\n[[outage.rule]]").unwrap();
        write(&config, &format!("{before}\n[[outage.rule]]{after}"), 0o640);
        let found = problems(&config).join("\n");
        assert!(
            found.contains("profile `modbus-xy-md02` is not for SNMP"),
            "{found}"
        );
    }

    #[test]
    fn a_site_written_on_another_machine_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("site.toml");
        write(
            &config,
            &EXAMPLE.replace("/var/lib/yagura", folder.path().to_str().unwrap()),
            0o640,
        );
        let found = problems(&config);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("warning: none of the "), "{found:?}");
        assert_eq!(run(&CheckArgs { config }), ExitCode::SUCCESS);
    }

    #[test]
    fn load_errors_print_the_whole_report() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("site.toml");
        assert!(
            load::<Real>(&config)
                .unwrap_err()
                .to_string()
                .contains("reading ")
        );
        fs::write(&config, "name = 1\nlisten = 2\n").unwrap();
        let why = load::<Real>(&config).unwrap_err().to_string();
        assert!(
            why.contains("site.toml:1:8: error: ") && why.contains("site.toml:2:1: error: "),
            "{why}"
        );
        assert!(why.contains("hint: "), "{why}");
        fs::write(&config, b"name = \"\x83\x54\"\n").unwrap();
        assert!(load::<Real>(&config).unwrap_err().to_string().contains("CP932"));
    }
}
