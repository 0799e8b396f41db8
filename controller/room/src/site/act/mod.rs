//! Actions whose settings need more than a few keys: one file each, with its reader.

pub mod guests;
pub mod http;
pub mod https;
pub mod ipmi;
pub mod libvirt;
pub mod proxmox;
pub mod redfish;
pub mod vsphere;
pub mod winrm;
pub mod wol;

use crate::site::calendar;
use crate::site::problem::Kind;
use crate::site::reader::Reader;

/// When the credentials are checked, unless written: before the staff comes, after the night's jobs.
pub const CHECK_AT: u16 = 6 * 60 + 30;

/// `outage.check_credentials`: a time of day in minutes, or `None` for `"never"`.
pub(in crate::site) fn check_credentials(r: &mut Reader<'_>) -> Option<u16> {
    let Some(text) = r.text_or("check_credentials") else {
        return Some(CHECK_AT);
    };
    if text.value == "never" {
        return None;
    }
    let minute = calendar::minute(&text.value).filter(|minute| *minute < 24 * 60);
    if minute.is_none() {
        r.sink().error_hint(
            Kind::Value,
            &text.span,
            format!("`check_credentials` = \"{}\" is not a time of day", text.value),
            "local time, e.g. \"06:30\", or \"never\"",
        );
    }
    minute
}

#[cfg(test)]
mod tests;
