//! The files that `[[notifier]]` tables name: passwords, keys, tokens, certificates, programs.

use super::{Disk, PASSWORD, SECRET_MODE, password, usm_files};
use crate::snmp::PASSWORD_MIN;
use room::site::notifier::host::Tls;
use room::site::notifier::syslog::Transport;
use room::site::notifier::webhook::{self, UrlFrom};
use room::site::notifier::{Endpoint, Notifier};
use room::site::parse::Step;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::path::Path;

/// Fewest characters of a key that signs; half of what HMAC-SHA256 can make use of.
const SIGNING_KEY_MIN: usize = 16;

/// Looks at the files of every notifier.
pub(super) fn check(disk: &mut Disk<'_>, notifiers: &[Notifier]) {
    for (index, notifier) in notifiers.iter().enumerate() {
        let way = |key| [Step::Key("notifier"), Step::Index(index), Step::Key(key)];
        match &notifier.to {
            Endpoint::Command(command) => disk.program(&way("program"), &command.program),
            Endpoint::Smtp(smtp) => {
                if let Some((_, file)) = &smtp.login {
                    secret(disk, &way("password_file"), file, 1, PASSWORD);
                }
                if let Some(file) = &smtp.ca_file {
                    certificates(disk, &way("ca_file"), file);
                }
            }
            Endpoint::Webhook(hook) => {
                if let UrlFrom::File(file) = &hook.url {
                    url(disk, &way("url_file"), file);
                }
                if let Some(file) = &hook.key_file {
                    let hint = "make one of 32 random bytes: head -c 32 /dev/urandom | base64 > FILE";
                    secret(disk, &way("key_file"), file, SIGNING_KEY_MIN, hint);
                }
                if let Some(file) = &hook.token_file {
                    secret(disk, &way("token_file"), file, 1, "the token alone, on one line");
                }
                if let Some(file) = &hook.ca_file {
                    certificates(disk, &way("ca_file"), file);
                }
            }
            Endpoint::Syslog(syslog) => {
                if let Transport::Tls(Tls {
                    ca_file: Some(file), ..
                }) = &syslog.transport
                {
                    certificates(disk, &way("ca_file"), file);
                }
            }
            Endpoint::Snmp(snmp) => {
                for (key, file) in usm_files(&snmp.access) {
                    secret(disk, &way(key), file, PASSWORD_MIN, PASSWORD);
                }
            }
            Endpoint::Mqtt(mqtt) => {
                if let Some((_, file)) = &mqtt.login {
                    secret(disk, &way("password_file"), file, 1, PASSWORD);
                }
                if let Some(file) = mqtt.tls.as_ref().and_then(|tls| tls.ca_file.as_ref()) {
                    certificates(disk, &way("ca_file"), file);
                }
            }
            Endpoint::Patlite(_) => {}
        }
    }
}

pub(super) fn secret(disk: &mut Disk<'_>, way: &[Step<'_>], file: &Path, least: usize, hint: &str) {
    if let Some(secret) = disk.secret(way, file, SECRET_MODE)
        && let Err(why) = password(&secret, least)
    {
        disk.error(way, format!("{}: {why}", file.display()), hint);
    }
}

fn url(disk: &mut Disk<'_>, way: &[Step<'_>], file: &Path) {
    let Some(secret) = disk.secret(way, file, SECRET_MODE) else {
        return;
    };
    let text = String::from_utf8_lossy(&secret);
    let read = webhook::url(text.trim_end_matches(['\r', '\n']));
    if let Err(why) = read.and_then(|url| webhook::may_be_plain(&url, false)) {
        // The address itself is not shown: it is why there is a file.
        disk.error(
            way,
            format!("{}: {why}", file.display()),
            "the address alone, on one line",
        );
    }
}

pub(super) fn certificates(disk: &mut Disk<'_>, way: &[Step<'_>], file: &Path) {
    let hint = "the certificate of the authority that signed the server's, in PEM form";
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
            disk.absent(way, format!("{} does not exist", file.display()), hint);
            return;
        }
        Err(why) => {
            disk.error(way, format!("{} cannot be read: {why}", file.display()), hint);
            return;
        }
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    if found.is_ok_and(|found| !found.is_empty()) {
        disk.present += 1;
    } else {
        disk.error(
            way,
            format!("{} holds no certificate in PEM form", file.display()),
            hint,
        );
    }
}
