//! Ways of writing a notifier that tells machines wrongly, each with the line where it is reported.

use super::Endpoint;
use super::patlite::{Category, Form};
use super::syslog::Transport;
use crate::site::link::SnmpAccess;
use crate::site::parse::{real, simulated};
use crate::site::problem::Problem;
use crate::time::Millis;
use std::path::Path;

const HEAD: &str = "name = \"室\"\ndata_dir = \"data\"\n[web]\nlisten = \"127.0.0.1:8080\"\n[mqtt]\nlisten = \"127.0.0.1:1883\"\n";
const LOG: &str =
    "[[notifier]]\nname = \"log\"\nkind = \"syslog\"\naddr = \"192.168.1.6:514\"\ntransport = \"tcp\"\n";
const NMS: &str = "[[notifier]]\nname = \"nms\"\nkind = \"snmp\"\naddr = \"192.168.1.7:162\"\nversion = \"v2c\"\ncommunity = \"c\"\n";
const BUS: &str = "[[notifier]]\nname = \"bus\"\nkind = \"mqtt\"\nbroker = \"192.168.1.9:1883\"\ntopic = \"yagura/honcho\"\n";
const TOWER: &str = "[[notifier]]\nname = \"tower\"\nkind = \"patlite\"\naddr = \"192.168.1.8:10000\"\nprotocol = \"pns\"\ncategory = \"XX\"\n";

fn one(table: &str) -> Endpoint {
    let mut site = real(&format!("{HEAD}{table}"), Path::new("/etc/yagura")).unwrap();
    site.notifiers.remove(0).to
}

#[test]
fn what_is_not_written_has_a_safe_default() {
    let Endpoint::Syslog(log) = one(LOG) else {
        unreachable!()
    };
    assert_eq!((log.transport, log.facility), (Transport::Tcp, 16));
    let Endpoint::Snmp(nms) = one(NMS) else {
        unreachable!()
    };
    assert!(nms.inform, "what is not acknowledged is asked for by name");
    assert!(matches!(nms.access, SnmpAccess::V2c(_)));
    assert_eq!((nms.timeout, nms.retries), (Millis::from_secs(2), 2));
    let Endpoint::Mqtt(bus) = one(BUS) else {
        unreachable!()
    };
    assert_eq!((bus.login, bus.broker.port, bus.tls), (None, 1883, None));
    let Endpoint::Mqtt(bus) = one(&format!("{BUS}transport = \"tls\"\nca_file = \"bus.pem\"\n")) else {
        unreachable!()
    };
    assert_eq!(
        bus.tls.and_then(|tls| tls.ca_file).as_deref(),
        Some(Path::new("/etc/yagura/bus.pem"))
    );
    let Endpoint::Patlite(tower) = one(TOWER) else {
        unreachable!()
    };
    assert_eq!((tower.form, tower.buzzer), (Form::Pns(Category::Xx), 1));
}

#[test]
fn every_mistake_is_reported_at_its_line() {
    let cases = [
        (LOG, "transport = \"tcp\"", "", 1, "`transport` is missing"),
        (
            LOG,
            "addr = \"192.168.1.6:514\"",
            "addr = \"log.city.example:514\"",
            4,
            "names are not looked up",
        ),
        (
            LOG,
            "transport = \"tcp\"",
            "transport = \"tcp\"\nca_file = \"x\"",
            6,
            "means nothing",
        ),
        (
            LOG,
            "transport = \"tcp\"",
            "transport = \"udp\"\ntls_name = \"x\"",
            6,
            "means nothing",
        ),
        (
            LOG,
            "transport = \"tcp\"",
            "transport = \"tls\"\nfacility = \"kern\"",
            6,
            "not a known word",
        ),
        (
            NMS,
            "version = \"v2c\"",
            "version = \"v1\"",
            5,
            "not a known word",
        ),
        (NMS, "community = \"c\"", "", 1, "`community` is missing"),
        (
            NMS,
            "community = \"c\"",
            "community = \"c\"\ninform = \"yes\"",
            7,
            "must be true or false",
        ),
        (
            NMS,
            "community = \"c\"",
            "community = \"c\"\ninform = false\nretries = 1",
            7,
            "a trap is sent once",
        ),
        (
            NMS,
            "version = \"v2c\"\ncommunity = \"c\"",
            "version = \"v3\"\nuser = \"u\"\nauth = \"sha256\"",
            1,
            "`auth_password_file` is missing",
        ),
        (BUS, "topic = \"yagura/honcho\"", "", 1, "`topic` is missing"),
        (
            BUS,
            "topic = \"yagura/honcho\"",
            "topic = \"yagura/#\"",
            5,
            "no branch of topics",
        ),
        (
            BUS,
            "topic = \"yagura/honcho\"",
            "topic = \"yagura\"\nuser = \"u\"",
            1,
            "belong together",
        ),
        (
            BUS,
            "topic = \"yagura/honcho\"",
            "topic = \"yagura\"\nca_file = \"x\"",
            6,
            "means nothing without TLS",
        ),
        (
            BUS,
            "topic = \"yagura/honcho\"",
            "topic = \"yagura\"\ntransport = \"ssl\"",
            6,
            "not a known word",
        ),
        (
            BUS,
            "broker = \"192.168.1.9:1883\"",
            "broker = \"192.168.1.9\"",
            4,
            "the port is missing",
        ),
        (TOWER, "category = \"XX\"", "", 1, "`category` is missing"),
        (
            TOWER,
            "protocol = \"pns\"",
            "protocol = \"http\"",
            6,
            "means nothing over HTTP",
        ),
        (
            TOWER,
            "protocol = \"pns\"\ncategory = \"XX\"",
            "protocol = \"http\"\nbuzzer = 5",
            6,
            "cannot be said over HTTP",
        ),
        (
            TOWER,
            "category = \"XX\"",
            "category = \"XX\"\nbuzzer = 0",
            7,
            "out of range",
        ),
    ];
    let before = HEAD.lines().count();
    for (table, from, to, line, words) in cases {
        let text = format!("{HEAD}{}", table.replacen(from, to, 1));
        let problems = real(&text, Path::new("/")).unwrap_err();
        let said = |problem: &Problem| problem.line == before + line && problem.to_string().contains(words);
        assert!(problems.iter().any(said), "{to}: {words} at {line}: {problems:?}");
        assert_eq!(problems.len(), 1, "one mistake, one report: {problems:?}");
    }
}

#[test]
fn a_simulated_site_tells_no_machine_but_its_own() {
    for table in [LOG, NMS, BUS, TOWER] {
        for (host, good) in [("192.168.1", false), ("127.0.0", true)] {
            let text = format!("{HEAD}{}", table.replace("192.168.1", host));
            assert_eq!(simulated(&text, Path::new("/")).is_ok(), good, "{text}");
        }
    }
}
