//! `yagura firewall`: nftables rules from the site, so that what is open is what is configured.
//!
//! It prints; it never loads a rule. The administrator reads the table, loads it with
//! `nft -f` and keeps it with the site file.

use super::{Failure, load};
use clap::Args;
use room::outage::Verb;
use room::site::link::Link;
use room::site::notifier::Reach;
use room::site::{Confirm, Mqtt, Real, RealAction, Site, is_exposed, listening};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

/// New connections a second that one service accepts from all sources together: a room has
/// tens of nodes and a handful of people.
const NEW_PER_SECOND: u32 = 100;

/// Options of `yagura firewall`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "What the site file does not name is dropped in both directions, the administrator's SSH as well \
    unless --ssh-from says where it comes from. Try the rules first: nft -c -f FILE"
)]
pub(super) struct FirewallArgs {
    /// The site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Networks from which administrators log in by SSH, e.g. 192.168.10.0/24
    #[arg(long, value_name = "NETWORK")]
    ssh_from: Vec<Network>,
    /// Networks of the people who look at the pages; everybody when left out
    #[arg(long, value_name = "NETWORK")]
    web_from: Vec<Network>,
    /// Networks of the sensor nodes; everybody when left out
    #[arg(long, value_name = "NETWORK")]
    nodes_from: Vec<Network>,
    /// Further servers this machine may reach, e.g. udp/192.168.10.1:123 for the time
    #[arg(long, value_name = "PROTOCOL/ADDRESS:PORT")]
    out: Vec<Flow>,
}

/// An address with prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    addr: IpAddr,
    bits: u8,
}

impl std::str::FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (addr, bits) = text.split_once('/').unwrap_or((text, ""));
        let addr: IpAddr = addr.parse().map_err(|_| format!("{addr} is not an IP address"))?;
        let most = if addr.is_ipv4() { 32 } else { 128 };
        let bits = if bits.is_empty() { Ok(most) } else { bits.parse() };
        match bits {
            Ok(bits) if bits <= most => Ok(Self { addr, bits }),
            _ => Err(format!("the prefix is a number from 0 to {most}")),
        }
    }
}

/// A server and how it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Flow {
    transport: &'static str,
    addr: SocketAddr,
}

impl std::str::FromStr for Flow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (transport, addr) = text
            .split_once('/')
            .ok_or("write tcp/ADDRESS:PORT or udp/ADDRESS:PORT")?;
        let transport = match transport {
            "tcp" => "tcp",
            "udp" => "udp",
            _ => return Err("write tcp/ADDRESS:PORT or udp/ADDRESS:PORT".to_owned()),
        };
        let addr = addr
            .parse()
            .map_err(|_| format!("{addr} is not an IP address with port"))?;
        Ok(Self { transport, addr })
    }
}

/// Prints the rules.
pub(super) fn run(args: &FirewallArgs) -> Result<ExitCode, Failure> {
    let site = load::<Real>(&args.config)?;
    let rules = rules(&site, args).map_err(|why| Failure::new(Failure::WRONG, why))?;
    print!("{rules}");
    Ok(ExitCode::SUCCESS)
}

/// The servers that this site makes the controller reach, with what for.
fn outgoing(site: &Site<Real>) -> Result<Vec<(String, Flow)>, String> {
    let mut flows = Vec::new();
    let mut add = |what: String, transport, addr| flows.push((what, Flow { transport, addr }));
    for device in &site.devices {
        // A serial port needs no rule.
        if let Some((transport, addr)) = device.link.endpoint() {
            add(format!("poll {}", device.name), transport, addr);
        }
    }
    if let Mqtt::External { addr, .. } = &site.mqtt {
        let addr = addr.parse().map_err(|_| {
            format!("mqtt.broker = \"{addr}\" is a name; a firewall needs its IP address: write that in the site file")
        })?;
        add("broker".to_owned(), "tcp", addr);
    }
    for host in &site.hosts {
        for (verb, word) in [
            (Verb::Stop, "stop"),
            (Verb::Force, "force"),
            (Verb::Start, "start"),
        ] {
            if let Some((transport, addr)) = host.doing(verb).and_then(reach) {
                add(format!("{word} {}", host.name), transport, addr);
            }
        }
        if let Some(alive) = host.start.as_ref().and_then(|start| start.alive) {
            add(format!("alive {}", host.name), "tcp", alive);
        }
        if let Confirm::PortClosed { addr } = host.confirm {
            add(format!("confirm {}", host.name), "tcp", addr);
        }
    }
    Ok(flows)
}

/// Where an action goes to that is not reached as a device anyway.
fn reach(action: &RealAction) -> Option<(&'static str, SocketAddr)> {
    match action {
        RealAction::Ssh(ssh) => Some(("tcp", ssh.addr)),
        RealAction::Redfish(redfish) => Some(("tcp", redfish.server.addr)),
        RealAction::Http(http) => Some(("tcp", http.server.addr)),
        RealAction::Ipmi(ipmi) => Some(("udp", ipmi.addr)),
        RealAction::Wol(wol) => Some(("udp", wol.addr)),
        RealAction::Vsphere(vsphere) => Some(("tcp", vsphere.server.addr)),
        RealAction::Winrm(winrm) => Some(("tcp", winrm.server.addr)),
        RealAction::Proxmox(proxmox) => Some(("tcp", proxmox.server.addr)),
        RealAction::Libvirt(libvirt) => libvirt.reach().map(|addr| ("tcp", addr)),
        RealAction::Exec(_) | RealAction::Device(_) | RealAction::Nut(_) => None,
    }
}

/// Where notices go: flows, and a remark about each notifier whose address only the administrator
/// knows.
fn told(site: &Site<Real>) -> (Vec<(String, Flow)>, Vec<String>) {
    let (mut flows, mut remarks) = (Vec::new(), Vec::new());
    for notifier in &site.notifiers {
        let name = &notifier.name;
        let mut add = |transport, addr| flows.push((format!("notify {name}"), Flow { transport, addr }));
        match notifier.to.reach() {
            Reach::Nothing => remarks.push(format!("notifier {name} is a program: open what it needs")),
            Reach::Unknown => remarks.push(format!("notifier {name}: its address is a secret of the site")),
            Reach::Udp(addr) => add("udp", addr),
            Reach::Tcp(host) => match host.ip() {
                Some(ip) => add("tcp", (ip, host.port).into()),
                None => remarks.push(format!("notifier {name} goes to {host}, and needs a name server")),
            },
        }
    }
    (flows, remarks)
}

/// The table, or what of the site cannot be named in a firewall.
fn rules(site: &Site<Real>, args: &FirewallArgs) -> Result<String, String> {
    let mut text = String::from(
        "#!/usr/sbin/nft -f\n\
         # Generated by `yagura firewall` from the site file; change that, not this.\n\
         # What is not listed is dropped, in both directions.\n",
    );
    if args.ssh_from.is_empty() {
        text.push_str("# SSH to this machine is closed: --ssh-from NETWORK opens it.\n");
    }
    text.push_str("table inet yagura\ndelete table inet yagura\ntable inet yagura {\n");
    text.push_str("  chain input {\n    type filter hook input priority filter; policy drop;\n");
    text.push_str("    ct state established,related accept\n    ct state invalid drop\n    iif lo accept\n");
    text.push_str("    icmp type { echo-request, destination-unreachable, time-exceeded } limit rate 20/second accept\n");
    text.push_str("    icmpv6 type { echo-request, destination-unreachable, packet-too-big, time-exceeded, nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept\n");
    for (what, transport, addr) in listening(site) {
        if !is_exposed(addr.ip()) {
            let _ = writeln!(text, "    # {what} listens on {addr}: this machine only");
            continue;
        }
        if addr.port() == 0 {
            return Err(format!(
                "{what} listens on port 0, which is another port after each start"
            ));
        }
        // Traps are taken from the devices of the site only, whatever the networks are.
        let speakers: Vec<Network> = snmp_agents(site);
        let from = match what {
            "web" => &args.web_from,
            "traps" if speakers.is_empty() => continue,
            "traps" => &speakers,
            _ => &args.nodes_from,
        };
        let to = if addr.ip().is_unspecified() {
            String::new()
        } else {
            format!("{} daddr {} ", family(addr.ip()), addr.ip())
        };
        for from in sources(from) {
            let _ = writeln!(
                text,
                "    {from}{to}{transport} dport {} ct state new limit rate {NEW_PER_SECOND}/second accept comment \"{what}\"",
                addr.port()
            );
        }
    }
    if !args.ssh_from.is_empty() {
        for from in sources(&args.ssh_from) {
            let _ = writeln!(
                text,
                "    {from}tcp dport 22 ct state new limit rate 10/second accept comment \"ssh\""
            );
        }
    }
    text.push_str(
        "    limit rate 5/minute log prefix \"yagura in: \"\n    counter comment \"dropped in\"\n  }\n",
    );
    text.push_str("  chain output {\n    type filter hook output priority filter; policy drop;\n");
    text.push_str("    ct state established,related accept\n    oif lo accept\n");
    text.push_str("    icmp type { echo-request, echo-reply, destination-unreachable } accept\n");
    text.push_str("    icmpv6 type { echo-request, echo-reply, destination-unreachable, packet-too-big, nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept\n");
    let (told, remarks) = told(site);
    for remark in remarks {
        // Only an address can be a rule.
        let _ = writeln!(text, "    # {remark}; --out tcp/ADDRESS:PORT opens it");
    }
    let mut flows = outgoing(site)?;
    flows.extend(told);
    flows.extend(args.out.iter().map(|flow| ("asked for".to_owned(), *flow)));
    let mut seen = BTreeSet::new();
    for (what, flow) in flows {
        if flow.addr.ip().is_loopback() || !seen.insert(flow) {
            continue;
        }
        let _ = writeln!(
            text,
            "    {} daddr {} {} dport {} accept comment \"{what}\"",
            family(flow.addr.ip()),
            flow.addr.ip(),
            flow.transport,
            flow.addr.port()
        );
    }
    text.push_str(
        "    limit rate 5/minute log prefix \"yagura out: \"\n    counter comment \"dropped out\"\n  }\n",
    );
    text.push_str("  chain forward {\n    type filter hook forward priority filter; policy drop;\n  }\n}\n");
    Ok(text)
}

/// Addresses of the devices that may send traps, each once.
fn snmp_agents(site: &Site<Real>) -> Vec<Network> {
    let addrs: BTreeSet<IpAddr> = site
        .devices
        .iter()
        .filter_map(|device| match &device.link {
            Link::Snmp(link) => Some(link.addr.ip()),
            _ => None,
        })
        .collect();
    let network = |addr: IpAddr| Network {
        addr,
        bits: if addr.is_ipv4() { 32 } else { 128 },
    };
    addrs.into_iter().map(network).collect()
}

const fn family(addr: IpAddr) -> &'static str {
    match addr {
        IpAddr::V4(_) => "ip",
        IpAddr::V6(_) => "ip6",
    }
}

/// Match expressions for the networks, or one that matches everybody.
fn sources(networks: &[Network]) -> Vec<String> {
    if networks.is_empty() {
        return vec![String::new()];
    }
    let source = |network: &Network| {
        format!(
            "{} saddr {}/{} ",
            family(network.addr),
            network.addr,
            network.bits
        )
    };
    networks.iter().map(source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use std::io::Write as _;
    use std::path::Path;
    use std::process::{Command, Stdio};

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: FirewallArgs,
    }

    const EXAMPLE: &str = include_str!("../../../deploy/example/site.toml");

    fn of_example(options: &[&str]) -> String {
        let site = room::site::parse::real(EXAMPLE, Path::new("/etc/yagura")).unwrap();
        let args = [&["firewall", "--config", "site.toml"], options].concat();
        rules(&site, &Line::try_parse_from(args).unwrap().args).unwrap()
    }

    #[test]
    fn every_listener_and_every_server_has_its_rule() {
        let text = of_example(&["--nodes-from", "192.168.11.0/24", "--nodes-from", "fd00::/64"]);
        for rule in [
            "ip daddr 192.168.10.2 tcp dport 8080 ct state new",
            "ip saddr 192.168.11.0/24 ip daddr 192.168.10.2 tcp dport 1883",
            "ip6 saddr fd00::/64 ip daddr 192.168.10.2 tcp dport 1883",
            "ip daddr 192.168.10.11 udp dport 161 accept comment \"poll ups-a\"",
            "ip saddr 192.168.10.11/32 udp dport 162 ct state new",
            "ip daddr 192.168.10.22 tcp dport 22 accept comment \"stop db1\"",
            "ip daddr 192.168.10.6 tcp dport 6514 accept comment \"notify log\"",
            "ip daddr 192.168.10.7 udp dport 162 accept comment \"notify nms\"",
            "ip daddr 192.168.10.8 tcp dport 10000 accept comment \"notify tower\"",
            "# notifier mail goes to mail.city.example:587, and needs a name server; --out",
            "# notifier chat: its address is a secret of the site; --out",
        ] {
            assert!(text.contains(rule), "{rule} in\n{text}");
        }
        assert!(
            !text.contains("tcp dport 22 ct state new"),
            "SSH is closed unless asked for"
        );
        assert_eq!(text.matches("policy drop").count(), 3);
    }

    #[test]
    fn loopback_is_no_rule_and_port_0_no_firewall() {
        let text = EXAMPLE.replace("192.168.10.2:8080", "127.0.0.1:8080");
        let site = room::site::parse::real(&text, Path::new("/")).unwrap();
        let args = Line::try_parse_from(["firewall", "--config", "x"]).unwrap().args;
        assert!(!rules(&site, &args).unwrap().contains("dport 8080"));
        let text = EXAMPLE.replace("192.168.10.2:8080", "192.168.10.2:0");
        let site = room::site::parse::real(&text, Path::new("/")).unwrap();
        assert!(rules(&site, &args).unwrap_err().contains("port 0"));
    }

    #[test]
    fn nft_understands_the_rules() {
        let text = of_example(&["--ssh-from", "192.168.10.9", "--out", "udp/192.168.10.1:123"]);
        let Some(nft) = ["/usr/sbin/nft", "/sbin/nft"]
            .into_iter()
            .find(|path| Path::new(path).exists())
        else {
            assert!(std::env::var_os("CI").is_none(), "CI has nft");
            return skipped("nft is not installed");
        };
        // A network namespace of our own, so that even a check asks nothing of this machine's rules.
        let mut child = Command::new("unshare")
            .args(["--net", "--map-root-user", nft, "-c", "-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let why = String::from_utf8_lossy(&output.stderr);
        if why.contains("Operation not permitted")
            || why.contains("unshare failed")
            || why.contains("not supported")
        {
            return skipped(&format!("nft cannot run here: {}", why.trim()));
        }
        assert!(output.status.success(), "{why}\n{text}");
    }

    /// Says that a test could not run, where `cargo xtask test` finds it.
    fn skipped(why: &str) {
        eprintln!("SKIPPED: {why}");
        if let Some(file) = std::env::var_os("YAGURA_SKIPPED") {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(file);
            writeln!(file.unwrap(), "nft_understands_the_rules: {why}").unwrap();
        }
    }
}
