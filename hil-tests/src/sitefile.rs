//! Writes real `site.toml` files for rooms made of real and simulated parts.

use crate::product::write_secret;
use crate::sshd::Sshd;
use simroom::server::Server;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A host of a plan and how it is stopped.
#[derive(Debug, Clone)]
pub struct HostLine {
    /// Short name.
    pub name: String,
    /// UPS names.
    pub feeds: Vec<String>,
    /// Hosts it uses.
    pub depends_on: Vec<String>,
    /// SSH server.
    pub addr: SocketAddr,
    /// Account.
    pub user: String,
    /// Key file.
    pub key_file: PathBuf,
    /// Host key.
    pub host_key: String,
    /// Longest time for the command, e.g. `3s`.
    pub command_timeout: String,
    /// Budget, e.g. `10s`; longer than the time-outs together.
    pub budget: String,
    /// `go_on` or `hold`.
    pub on_failure: &'static str,
}

impl HostLine {
    /// A host behind Debian's sshd.
    #[must_use]
    pub fn sshd(name: &str, feeds: &[&str], depends_on: &[&str], sshd: &Sshd) -> Self {
        Self::new(
            name,
            feeds,
            depends_on,
            (sshd.addr, &sshd.user, &sshd.key_file, &sshd.host_key),
        )
    }

    /// A simulated host.
    #[must_use]
    pub fn simulated(name: &str, feeds: &[&str], depends_on: &[&str], server: &Server, key: &Path) -> Self {
        Self::new(
            name,
            feeds,
            depends_on,
            (server.addr(), server.user(), key, &server.host_key()),
        )
    }

    fn new(name: &str, feeds: &[&str], depends_on: &[&str], ssh: (SocketAddr, &str, &Path, &str)) -> Self {
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            name: name.to_owned(),
            feeds: list(feeds),
            depends_on: list(depends_on),
            addr: ssh.0,
            user: ssh.1.to_owned(),
            key_file: ssh.2.to_owned(),
            host_key: ssh.3.to_owned(),
            command_timeout: "3s".to_owned(),
            budget: "6s".to_owned(),
            on_failure: "go_on",
        }
    }
}

/// A site file under construction.
#[derive(Debug, Clone)]
pub struct SiteFile {
    dir: PathBuf,
    text: String,
}

impl SiteFile {
    /// Name, data folder and page; everything else is added.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        let text = format!(
            "name = {{ ja = \"試験室\", en = \"test room\" }}\ndata_dir = \"{}/data\"\n[web]\nlisten = \"127.0.0.1:0\"\n",
            dir.display()
        );
        Self {
            dir: dir.to_owned(),
            text,
        }
    }

    /// The endpoint of our own on a port of its choice.
    #[must_use]
    pub fn builtin_mqtt(self, listen: SocketAddr) -> Self {
        self.with(&format!("[mqtt]\nlisten = \"{listen}\"\n"))
    }

    /// A broker of the site.
    #[must_use]
    pub fn external_mqtt(self, broker: SocketAddr, user: &str, password: &str) -> Self {
        let file = write_secret(&self.dir.join("broker.password"), password);
        self.with(&format!(
            "[mqtt]\nbroker = \"{broker}\"\nuser = \"{user}\"\npassword_file = \"{}\"\n",
            file.display()
        ))
    }

    /// A node with a door on channel 0, a leak contact on 1 and a temperature on 2, as the
    /// emulated board has them.
    #[must_use]
    pub fn node(self, id: u16, key: [u8; 32], silent_after: &str) -> Self {
        let digits = key.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let file = write_secret(&self.dir.join(format!("node-{id}.key")), &digits);
        let mut text = format!(
            "[[node]]\nid = {id}\nname = \"node-{id}\"\nkey_file = \"{}\"\nsilent_after = \"{silent_after}\"\n",
            file.display()
        );
        for (channel, point, rest) in [
            (
                0,
                format!("door.{id}"),
                "quantity = \"contact\"\ncontact = \"door\"",
            ),
            (
                1,
                format!("leak.{id}"),
                "quantity = \"contact\"\ncontact = \"leak\"",
            ),
            (2, format!("inlet.{id}.temperature"), "quantity = \"temperature\""),
        ] {
            let _ = write!(
                text,
                "[[node.channel]]\nchannel = {channel}\npoint = \"{point}\"\n{rest}\n"
            );
        }
        self.with(&text)
    }

    /// A high limit.
    #[must_use]
    pub fn high_limit(self, point: &str, limit: f64, on_delay: &str) -> Self {
        self.with(&format!(
            "[[limit]]\npoint = \"{point}\"\nside = \"high\"\nlimit = {limit:.1}\ndeadband = 0.5\non_delay = \"{on_delay}\"\n\
             off_delay = \"1s\"\npriority = \"warning\"\naction = {{ ja = \"空調を確認\", en = \"check the air conditioner\" }}\n"
        ))
    }

    /// A UPS polled over SNMP v2c, ten times a second.
    #[must_use]
    pub fn ups(self, name: &str, addr: SocketAddr, community: &str) -> Self {
        self.with(&format!(
            "[[device]]\nname = \"{name}\"\nkind = \"ups\"\naddr = \"{addr}\"\nversion = \"v2c\"\ncommunity = \"{community}\"\n\
             poll = \"1s\"\npoll_on_battery = \"500ms\"\ntimeout = \"300ms\"\nretries = 1\n"
        ))
    }

    /// A server to stop.
    #[must_use]
    pub fn host(self, host: &HostLine) -> Self {
        let list = |names: &[String]| {
            names
                .iter()
                .map(|name| format!("{name:?}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        self.with(&format!(
            "[[host]]\nname = \"{}\"\nfeeds = [{}]\ndepends_on = [{}]\nbudget = \"{}\"\non_failure = \"{}\"\n\
             [host.action]\nkind = \"ssh\"\naddr = \"{addr}\"\nuser = \"{}\"\nkey_file = \"{}\"\nhost_key = \"{}\"\n\
             command = \"stop\"\nconnect_timeout = \"2s\"\ncommand_timeout = \"{}\"\n\
             [host.confirm]\nkind = \"port_closed\"\naddr = \"{addr}\"\n",
            host.name,
            list(&host.feeds),
            list(&host.depends_on),
            host.budget,
            host.on_failure,
            host.user,
            host.key_file.display(),
            host.host_key,
            host.command_timeout,
            addr = host.addr,
        ))
    }

    /// The outage policy.
    #[must_use]
    pub fn outage(self, lines: &str) -> Self {
        self.with(&format!("[outage]\n{lines}\n"))
    }

    /// Everybody on duty is told of every alarm by a webhook at this address.
    #[must_use]
    pub fn told_by_hook(self, addr: SocketAddr) -> Self {
        let key = write_secret(&self.dir.join("hook.key"), &"0".repeat(32));
        self.with(&format!(
            "[[notifier]]\nname = \"hook\"\nkind = \"webhook\"\ntemplate = \"generic\"\nurl = \"http://{addr}/in\"\n\
             key_file = \"{}\"\n[[contact]]\nname = \"staff\"\nvia = [{{ notifier = \"hook\" }}]\n\
             [[route]]\nname = \"all\"\nsteps = [{{ contacts = [\"staff\"] }}]\n",
            key.display()
        ))
    }

    /// Anything else.
    #[must_use]
    pub fn with(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    /// Writes it.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn write(&self) -> PathBuf {
        let path = self.dir.join("site.toml");
        std::fs::write(&path, &self.text).expect("writing the site file");
        path
    }
}
