//! `kind = "http"`: one request to a server that stops, cuts or starts something when it is asked.
//!
//! The request may come twice, and the server must take two as one. Its answer is the only proof
//! there is; where a port closes or opens, `confirm` and `alive` are better ones.

use super::https::{self, Https};
use crate::site::problem::Kind;
use crate::site::reader::{At, Found, Reader};
use crate::time::Millis;
use std::path::PathBuf;

/// Longest path with its query, in characters.
const MAX_PATH: usize = 500;
/// Most headers that can be written.
const MAX_HEADERS: usize = 16;
/// Headers that the request has anyhow, or that would carry a secret in the site file.
const OWN: [&str; 8] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "host",
    "proxy-authorization",
    "transfer-encoding",
    "user-agent",
];

/// `http`
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct HttpAction {
    /// Who is asked.
    pub server: Https,
    /// How.
    pub method: Method,
    /// For what: path and query, beginning with a slash.
    pub path: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body; empty: none.
    pub body: String,
    /// The status that means yes; `None`: any from 200 to 299.
    pub expect: Option<u16>,
    /// File with the token of the header `Authorization: Bearer`, readable by the `act` role alone.
    pub token_file: Option<PathBuf>,
    /// What is asked by GET when nothing may be changed; `None`: only whether the server answers.
    pub check_path: Option<String>,
}

/// `method`
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Method {
    /// `GET`: a few devices switch on reading, against RFC 9110 9.2.1.
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

impl Method {
    const WORDS: [(&'static str, Self); 5] = [
        ("GET", Self::Get),
        ("POST", Self::Post),
        ("PUT", Self::Put),
        ("PATCH", Self::Patch),
        ("DELETE", Self::Delete),
    ];

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// The keys of the table beside `kind`, the longest time of an order, and what it is aimed at.
pub(in crate::site) fn read(r: &mut Reader<'_>) -> Option<(HttpAction, Millis, String)> {
    let server = https::read(r, "\"192.168.10.40:443\"");
    let method = r
        .word_or("method", &Method::WORDS)
        .map_or(Method::Post, |method| method.value);
    let path = r.text("path", "what is asked for, e.g. \"/api/outlets/3/off\"");
    let headers = r.list("headers");
    let body = r.text_or("body");
    let expect = narrow(r.whole_or("expect", 200..=299));
    let token_file = r.path_or("token_file");
    let check_path = r.text_or("check_path");
    let path = path.and_then(|path| good_path(r, "path", path));
    let check_path = check_path.and_then(|path| good_path(r, "check_path", path));
    let headers = good_headers(r, headers)?;
    let (server, path) = (server?, path?);
    let longest = server.timeout;
    let body = body.map_or_else(String::new, |body| body.value);
    let aim = format!("http {} {} {path}\u{1f}{body}", method.name(), server.addr);
    let action = HttpAction {
        server,
        method,
        path,
        headers,
        body,
        expect,
        token_file: token_file.map(|file| file.value),
        check_path,
    };
    Some((action, longest, aim))
}

fn narrow(found: Found<i64>) -> Option<u16> {
    u16::try_from(found?.value).ok()
}

fn good_path(r: &Reader<'_>, key: &str, path: At<String>) -> Option<String> {
    let good = path.value.starts_with('/')
        && path.value.len() <= MAX_PATH
        && path
            .value
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !br##"#"<>\^`{|}"##.contains(&byte));
    if good {
        return Some(path.value);
    }
    r.sink().error_hint(
        Kind::Value,
        &path.span,
        format!("`{key}` = \"{}\" is not a path", path.value),
        "it begins with a slash; the server goes into `addr`, and odd characters are percent-encoded",
    );
    None
}

/// `name: value`, each once.
fn good_headers(r: &Reader<'_>, list: Vec<At<String>>) -> Option<Vec<(String, String)>> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in list {
        let bad = |why: &str, hint: &str| {
            let message = format!("`headers`: \"{}\" {why}", line.value);
            r.sink().error_hint(Kind::Value, &line.span, message, hint);
        };
        let Some((name, value)) = line.value.split_once(':') else {
            bad("is no header", "e.g. \"Content-Type: application/json\"");
            return None;
        };
        let (name, value) = (name.to_ascii_lowercase(), value.trim());
        // RFC 9110 5.1 and 5.5.
        let is_token = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        if !is_token || !value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            bad(
                "is no header",
                "ASCII letters, digits and - before the colon, one line after it",
            );
            return None;
        }
        if OWN.contains(&name.as_str()) {
            bad(
                "is not the site file's to say",
                "a token goes into `token_file`; the others are written by the request itself",
            );
            return None;
        }
        if headers.len() == MAX_HEADERS || headers.iter().any(|(other, _)| *other == name) {
            bad("is one too many", "each header once, and at most 16 of them");
            return None;
        }
        headers.push((name, value.to_owned()));
    }
    Some(headers)
}
