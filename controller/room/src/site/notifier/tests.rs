//! Every way of writing a notifier wrongly, each with the line where it is reported.

use super::smtp::SmtpTls;
use super::webhook::{Template, UrlFrom};
use super::{Endpoint, Notifier};
use crate::notice::text::Language;
use crate::site::parse::{real, simulated};
use crate::site::problem::Problem;
use crate::time::Millis;
use std::path::Path;

const HEAD: &str = "name = \"室\"\ndata_dir = \"data\"\n[web]\nlisten = \"127.0.0.1:8080\"\n[mqtt]\nlisten = \"127.0.0.1:1883\"\n";
const MAIL: &str = "[[notifier]]\nname = \"mail\"\nkind = \"smtp\"\nserver = \"192.168.1.3:25\"\nfrom = \"yagura@city.example\"\n";
const HOOK: &str = "[[notifier]]\nname = \"hook\"\nkind = \"webhook\"\ntemplate = \"teams\"\nurl = \"https://chat.example/x\"\n";
const CALL: &str = "[[notifier]]\nname = \"call\"\nkind = \"command\"\nprogram = \"/usr/bin/true\"\n";

fn one(table: &str) -> Notifier {
    let mut site = real(&format!("{HEAD}{table}"), Path::new("/etc/yagura")).unwrap();
    site.notifiers.remove(0)
}

#[test]
fn what_is_not_written_has_a_safe_default() {
    let Endpoint::Smtp(mail) = one(MAIL).to else {
        unreachable!()
    };
    assert_eq!((mail.tls, mail.language), (SmtpTls::Starttls, Language::Ja));
    assert_eq!((mail.login, mail.timeout), (None, Millis::from_secs(20)));
    let Endpoint::Webhook(hook) = one(HOOK).to else {
        unreachable!()
    };
    assert!(matches!(&hook.url, UrlFrom::Site(url) if url.secure && url.host.port == 443));
    assert_eq!((hook.template, hook.key_file), (Template::Teams, None));
    let Endpoint::Command(call) = one(CALL).to else {
        unreachable!()
    };
    assert_eq!((call.args.len(), call.timeout), (0, Millis::from_secs(10)));
}

#[test]
fn files_are_taken_from_the_folder_of_the_site() {
    let table = format!("{MAIL}user = \"u\"\npassword_file = \"secret/mail\"\nca_file = \"ca.pem\"\n");
    let Endpoint::Smtp(mail) = one(&table).to else {
        unreachable!()
    };
    assert_eq!(mail.login.unwrap().1, Path::new("/etc/yagura/secret/mail"));
    assert_eq!(mail.ca_file.unwrap(), Path::new("/etc/yagura/ca.pem"));
}

#[test]
fn every_mistake_is_reported_at_its_line() {
    let cases = [
        (
            MAIL,
            "server = \"192.168.1.3:25\"",
            "server = \"192.168.1.3\"",
            4,
            "the port is missing",
        ),
        (MAIL, "server = \"192.168.1.3:25\"", "", 1, "`server` is missing"),
        (
            MAIL,
            "from = \"yagura@city.example\"",
            "from = \"yagura\"",
            5,
            "not a mail address",
        ),
        (
            MAIL,
            "from = \"yagura@city.example\"",
            "from = \"ａ@city.example\"",
            5,
            "full-width",
        ),
        (
            MAIL,
            "from = \"yagura@city.example\"",
            "from = \"a@b\"\nreply_to = \"a@b, c@d\"",
            6,
            "not a mail address",
        ),
        (
            MAIL,
            "kind = \"smtp\"",
            "kind = \"smtp\"\ntls = \"off\"",
            4,
            "not a known word",
        ),
        (
            MAIL,
            "kind = \"smtp\"",
            "kind = \"smtp\"\nuser = \"u\"",
            1,
            "belong together",
        ),
        (
            MAIL,
            "kind = \"smtp\"",
            "kind = \"smtp\"\ntls = \"none\"\nuser = \"u\"\npassword_file = \"p\"",
            5,
            "in the clear",
        ),
        (
            MAIL,
            "kind = \"smtp\"",
            "kind = \"smtp\"\ntls = \"none\"\nca_file = \"p\"",
            5,
            "means nothing",
        ),
        (
            MAIL,
            "kind = \"smtp\"",
            "kind = \"smtp\"\ntimeout = \"2m\"",
            4,
            "out of range",
        ),
        (
            MAIL,
            "kind = \"smtp\"",
            "kind = \"smtp\"\npassword = \"x\"",
            4,
            "unknown key",
        ),
        (
            MAIL,
            "kind = \"smtp\"",
            "kind = \"smtp\"\nlanguage = \"fr\"",
            4,
            "not a known word",
        ),
        (
            HOOK,
            "url = \"https://chat.example/x\"",
            "",
            1,
            "`url` is missing",
        ),
        (
            HOOK,
            "url = \"https://chat.example/x\"",
            "url = \"http://192.168.1.4/x\"",
            5,
            "read by others",
        ),
        (
            HOOK,
            "url = \"https://chat.example/x\"",
            "url = \"http://203.0.113.4/x\"\nplain = true",
            5,
            "leaves the closed network",
        ),
        (
            HOOK,
            "url = \"https://chat.example/x\"",
            "url = \"https://u:p@chat.example/x\"",
            5,
            "token_file",
        ),
        (
            HOOK,
            "kind = \"webhook\"",
            "kind = \"webhook\"\nurl_file = \"f\"",
            6,
            "exclude each other",
        ),
        (
            HOOK,
            "template = \"teams\"",
            "template = \"team\"",
            4,
            "not a known word",
        ),
        (HOOK, "template = \"teams\"", "", 1, "`template` is missing"),
        (
            HOOK,
            "kind = \"webhook\"",
            "kind = \"webhook\"\nproxy = \"http://p:8080\"",
            4,
            "`proxy`",
        ),
        (
            CALL,
            "program = \"/usr/bin/true\"",
            "program = \"true\"",
            4,
            "not an absolute path",
        ),
        (CALL, "program = \"/usr/bin/true\"", "", 1, "`program` is missing"),
        (
            CALL,
            "kind = \"command\"",
            "kind = \"pager\"",
            3,
            "not a known word",
        ),
    ];
    let before = HEAD.lines().count();
    for (table, from, to, line, words) in cases {
        let text = format!("{HEAD}{}", table.replacen(from, to, 1));
        let problems = real(&text, Path::new("/")).unwrap_err();
        let said = |problem: &Problem| problem.line == before + line && problem.to_string().contains(words);
        assert!(problems.iter().any(said), "{to}: {words} at {line}: {problems:?}");
    }
}

#[test]
fn a_simulated_site_tells_nobody_outside_of_this_machine() {
    for (table, good) in [
        (MAIL.to_owned(), false),
        (MAIL.replace("192.168.1.3", "127.0.0.1"), true),
        (MAIL.replace("192.168.1.3", "localhost"), false),
        (HOOK.to_owned(), false),
        (HOOK.replace("chat.example", "127.0.0.1"), true),
        (
            HOOK.replace("chat.example/x\"", "127.0.0.1/\"\nproxy = \"192.168.1.1:80\""),
            false,
        ),
        (
            HOOK.replace("url = \"https://chat.example/x\"", "url_file = \"f\""),
            false,
        ),
        (CALL.to_owned(), false),
    ] {
        let read = simulated(&format!("{HEAD}{table}"), Path::new("/"));
        assert_eq!(read.is_ok(), good, "{table}: {read:?}");
    }
}
