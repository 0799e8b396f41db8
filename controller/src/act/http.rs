//! Action `http`: one request, and the status that means yes.
//!
//! A redirect is no yes. Another status than the expected one is a failure with the server's words.

use super::action::{Accepted, Problem, Sent};
use super::https::{Answer, Ask, Client, secret};
use super::permit::{Armed, Checked};
use hyper::Method;
use room::site::act::http::{HttpAction, Method as Word};

/// Asks for `check_path`, or only whether a server of that certificate answers.
///
/// # Errors
/// [`Problem`] with what to do about it.
pub(super) async fn check(action: &HttpAction, _permit: Checked) -> Result<(), Problem> {
    let client = client(action).await?;
    match &action.check_path {
        Some(path) => client
            .ask(Ask::get(path.as_str()))
            .await?
            .good(&format!("GET {path}"))
            .map(drop),
        None => client.reach().await,
    }
}

/// Makes the request.
///
/// # Errors
/// [`Problem`].
pub(super) async fn request(action: &HttpAction, _permit: Armed, sent: &Sent) -> Result<Accepted, Problem> {
    let client = client(action).await?;
    let mut ask = Ask::new(method(action.method), action.path.as_str());
    if !action.body.is_empty() {
        // Its kind stands in `headers`, where it matters.
        ask = ask.body("application/octet-stream", action.body.clone());
    }
    for (name, value) in &action.headers {
        ask = ask.header(name, value)?;
    }
    let what = format!("{} {}", action.method.name(), action.path);
    expected(client.tell(ask, sent).await?, action.expect, &what)?;
    Ok(Accepted::Succeeded)
}

async fn client(action: &HttpAction) -> Result<Client, Problem> {
    let mut client = Client::of(&action.server).await?;
    if let Some(file) = &action.token_file {
        let token = secret(file)?;
        let value = zeroize::Zeroizing::new(format!("Bearer {}", token.as_str()));
        client.always("authorization", &value)?;
    }
    Ok(client)
}

fn expected(answer: Answer, expect: Option<u16>, what: &str) -> Result<(), Problem> {
    let answer = answer.good(what)?;
    match expect {
        Some(expect) if answer.status.as_u16() != expect => Err(Problem::passing(format!(
            "{what}: HTTP {}, where {expect} means yes: {}",
            answer.status.as_u16(),
            answer.said()
        ))),
        _ => Ok(()),
    }
}

const fn method(word: Word) -> Method {
    match word {
        Word::Get => Method::GET,
        Word::Post => Method::POST,
        Word::Put => Method::PUT,
        Word::Patch => Method::PATCH,
        Word::Delete => Method::DELETE,
    }
}
