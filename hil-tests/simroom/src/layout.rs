//! What stands in the simulated room, and how a site file describes it.
//!
//! [`site_toml`] writes the same format that staff write by hand; the controller reads it as a
//! simulated site, which knows no other actions than SSH to loopback.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A name in both languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// Japanese.
    pub ja: &'static str,
    /// English.
    pub en: &'static str,
}

/// Where everything is.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Sensor nodes.
    pub nodes: Vec<Node>,
    /// UPSs.
    pub devices: Vec<Device>,
    /// Servers.
    pub hosts: Vec<Host>,
    /// Where notices go: syslog over TCP.
    pub log_server: SocketAddr,
}

/// A sensor node.
#[derive(Debug, Clone)]
pub struct Node {
    /// Id on the wire.
    pub id: u16,
    /// Shown name.
    pub label: Name,
    /// File with the device key.
    pub key_file: PathBuf,
    /// What is mounted, by channel.
    pub channels: &'static [Channel],
}

/// A measuring place.
#[derive(Debug, Clone, Copy)]
pub struct Channel {
    /// Point id.
    pub point: &'static str,
    /// Shown name.
    pub label: Name,
    /// Quantity as a word of the site file.
    pub quantity: &'static str,
    /// What a contact guards.
    pub contact: Option<&'static str>,
}

/// A UPS.
#[derive(Debug, Clone)]
pub struct Device {
    /// Short name.
    pub name: &'static str,
    /// Shown name.
    pub label: Name,
    /// Agent.
    pub addr: SocketAddr,
    /// SNMP version as a word of the site file.
    pub version: &'static str,
    /// Community.
    pub community: &'static str,
}

/// A server.
#[derive(Debug, Clone)]
pub struct Host {
    /// Short name.
    pub name: &'static str,
    /// Shown name.
    pub label: Name,
    /// UPSs that feed it.
    pub feeds: &'static [&'static str],
    /// Servers it uses.
    pub depends_on: &'static [&'static str],
    /// Where its SSH server listens.
    pub addr: SocketAddr,
    /// Account.
    pub user: String,
    /// File with the private key that may log in.
    pub key_file: PathBuf,
    /// Public host key.
    pub host_key: String,
    /// What happens when it does not stop: `go_on` or `hold`.
    pub on_failure: &'static str,
}

/// The room as the text of a `site.toml`, with pages at `listen` and our own MQTT endpoint at
/// `mqtt`.
#[must_use]
pub fn site_toml(layout: &Layout, data_dir: &Path, listen: SocketAddr, mqtt: SocketAddr) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut out, layout, data_dir, listen, mqtt);
    out
}

fn write(
    out: &mut String,
    layout: &Layout,
    data_dir: &Path,
    listen: SocketAddr,
    mqtt: SocketAddr,
) -> std::fmt::Result {
    writeln!(
        out,
        "# Written by the simulated room at its start; changes are lost."
    )?;
    writeln!(
        out,
        "name = {}",
        label(Name {
            ja: "模擬サーバ室",
            en: "Simulated server room"
        })
    )?;
    writeln!(out, "data_dir = {}", path(data_dir))?;
    writeln!(
        out,
        "\n[web]\nlisten = \"{listen}\"\nexposed = {}",
        !listen.ip().is_loopback()
    )?;
    writeln!(out, "\n[mqtt]\nlisten = \"{mqtt}\"")?;
    for node in &layout.nodes {
        writeln!(out, "\n[[node]]\nid = {}\nname = \"node-{}\"", node.id, node.id)?;
        writeln!(
            out,
            "label = {}\nkey_file = {}",
            label(node.label),
            path(&node.key_file)
        )?;
        writeln!(out, "silent_after = \"10s\"")?;
        for (index, channel) in node.channels.iter().enumerate() {
            writeln!(
                out,
                "\n[[node.channel]]\nchannel = {index}\npoint = \"{}\"",
                channel.point
            )?;
            writeln!(
                out,
                "label = {}\nquantity = \"{}\"",
                label(channel.label),
                channel.quantity
            )?;
            if let Some(contact) = channel.contact {
                writeln!(out, "contact = \"{contact}\"")?;
            }
        }
    }
    for device in &layout.devices {
        writeln!(
            out,
            "\n[[device]]\nname = \"{}\"\nlabel = {}",
            device.name,
            label(device.label)
        )?;
        writeln!(out, "kind = \"ups\"\naddr = \"{}\"", device.addr)?;
        writeln!(
            out,
            "version = \"{}\"\ncommunity = \"{}\"",
            device.version, device.community
        )?;
        writeln!(
            out,
            "poll = \"1s\"\npoll_on_battery = \"500ms\"\ntimeout = \"500ms\"\nretries = 2"
        )?;
    }
    for host in &layout.hosts {
        writeln!(
            out,
            "\n[[host]]\nname = \"{}\"\nlabel = {}",
            host.name,
            label(host.label)
        )?;
        writeln!(
            out,
            "feeds = {:?}\nneed = 1\ndepends_on = {:?}",
            host.feeds, host.depends_on
        )?;
        writeln!(out, "budget = \"20s\"\non_failure = \"{}\"", host.on_failure)?;
        writeln!(out, "\n[host.action]\nkind = \"ssh\"\naddr = \"{}\"", host.addr)?;
        writeln!(
            out,
            "user = \"{}\"\nkey_file = {}",
            host.user,
            path(&host.key_file)
        )?;
        writeln!(out, "host_key = \"{}\"\ncommand = \"stop\"", host.host_key)?;
        writeln!(out, "connect_timeout = \"3s\"\ncommand_timeout = \"5s\"")?;
        writeln!(
            out,
            "\n[host.confirm]\nkind = \"port_closed\"\naddr = \"{}\"",
            host.addr
        )?;
    }
    for node in &layout.nodes {
        for channel in node.channels {
            limits(out, channel)?;
        }
    }
    notices(out, layout.log_server)?;
    // Short times, so that a visitor sees the whole course; a real site has minutes here.
    writeln!(
        out,
        "\n[outage]\non_battery_delay = \"10s\"\nreserve = \"30s\"\nstart_at_charge = 50\n\
         longest_on_battery = \"30s\"\ncontact_lost_after = \"5s\"\nmains_stable = \"5s\""
    )
}

/// Who is told: a simulated site reaches nothing but this machine, so each way ends in the room's own
/// log server.
fn notices(out: &mut String, log_server: SocketAddr) -> std::fmt::Result {
    for (name, shown) in NOTIFIERS {
        writeln!(
            out,
            "\n[[notifier]]\nname = \"{name}\"\nlabel = {}\nkind = \"syslog\"\naddr = \"{log_server}\"\n\
             transport = \"tcp\"",
            label(shown)
        )?;
    }
    for (name, shown, notifiers) in CONTACTS {
        let via: Vec<String> = notifiers
            .iter()
            .map(|notifier| format!("{{ notifier = \"{notifier}\" }}"))
            .collect();
        writeln!(
            out,
            "\n[[contact]]\nname = \"{name}\"\nlabel = {}\nvia = [{}]",
            label(*shown),
            via.join(", ")
        )?;
    }
    out.push_str(ROUTES);
    Ok(())
}

/// Ways of the simulated room.
const NOTIFIERS: [(&str, Name); 2] = [
    (
        "mail",
        Name {
            ja: "メール（模擬）",
            en: "Mail (simulated)",
        },
    ),
    (
        "duty-phone",
        Name {
            ja: "当番携帯（模擬）",
            en: "Duty phone (simulated)",
        },
    ),
];

/// Contacts of the simulated room: name, shown name, ways.
const CONTACTS: &[(&str, Name, &[&str])] = &[
    (
        "facilities",
        Name {
            ja: "施設管理担当",
            en: "Facilities",
        },
        &["mail", "duty-phone"],
    ),
    (
        "system",
        Name {
            ja: "情報システム管理者",
            en: "System administrator",
        },
        &["mail"],
    ),
    (
        "security",
        Name {
            ja: "情報セキュリティ管理者",
            en: "Security manager",
        },
        &["duty-phone", "mail"],
    ),
];

/// Routes of the simulated room, with short times as everywhere in it.
const ROUTES: &str = r#"
[[route]]
name = "general"
at_least = "warning"
steps = [
  { after = "0s", contacts = ["facilities"] },
  { after = "1m", contacts = ["system"] },
]
repeat = "5m"

[[route]]
name = "unauthorised-access"
classes = ["door"]
kinds = ["door_forced", "door_held", "denied_repeatedly", "tamper"]
only = true
steps = [
  { after = "0s", contacts = ["security"] },
  { after = "1m", contacts = ["system"] },
]
repeat = "5m"
"#;

/// Limits of ASHRAE class A1, with delays that fit a room in fast motion.
fn limits(out: &mut String, channel: &Channel) -> std::fmt::Result {
    let rows: &[(&str, &str, f64, &str)] = match (channel.quantity, channel.point.starts_with("inlet.")) {
        ("temperature", true) => &[
            ("warm", "high", 27.0, "advisory"),
            ("hot", "high", 30.0, "warning"),
            ("very-hot", "high", 32.0, "critical"),
        ],
        ("humidity", true) => &[
            ("dry", "low", 20.0, "advisory"),
            ("damp", "high", 70.0, "warning"),
        ],
        _ => &[],
    };
    let (deadband, action) = if channel.quantity == "temperature" {
        (
            0.5,
            Name {
                ja: "空調の運転状態と吸込み口の塞がりを確認する",
                en: "Check that the cooling runs and that no inlet is blocked",
            },
        )
    } else {
        (
            2.0,
            Name {
                ja: "空調と加湿の状態を確認する",
                en: "Check the cooling and the humidification",
            },
        )
    };
    for (name, side, limit, priority) in rows {
        writeln!(
            out,
            "\n[[limit]]\nid = \"{point}.{name}\"\npoint = \"{point}\"",
            point = channel.point
        )?;
        writeln!(
            out,
            "side = \"{side}\"\nlimit = {limit:.1}\ndeadband = {deadband:.1}"
        )?;
        writeln!(
            out,
            "on_delay = \"5s\"\noff_delay = \"5s\"\npriority = \"{priority}\""
        )?;
        writeln!(out, "action = {}", label(action))?;
    }
    Ok(())
}

fn label(name: Name) -> String {
    format!("{{ ja = {}, en = {} }}", quoted(name.ja), quoted(name.en))
}

fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// A basic string of TOML 1.0.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
