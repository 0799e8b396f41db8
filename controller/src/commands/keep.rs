//! How the commands about persons and cards speak to core: one order or question over its unix socket.
//!
//! Who asks is what the machine says. Names come with the answer to an operator and stand in no file
//! but the vault.

use super::Failure;
use crate::core::socket_path;
use crate::link::{FromKeeper, FromOperator, Role, ToOperator, wire};
use room::people::{Ask, Personal, Problem, Question, Rows, Wish};
use room::register::{InsideRow, PassageRow};
use room::site::{Real, Site};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

/// Core answers within this time: after its journal has the order.
const ANSWER_WITHIN: Duration = Duration::from_secs(35);

/// Names by id.
pub(super) type Names = BTreeMap<String, Personal>;

/// What came of an order.
pub(super) enum Answer {
    /// Done, in both languages.
    Done(String),
    /// Nothing of it; which wishes were wrong.
    Mistakes(Vec<Problem>),
}

async fn send(site: &Site<Real>, order: FromKeeper) -> Result<ToOperator, Failure> {
    let socket = socket_path(&site.data_dir);
    let away = |error: &dyn std::error::Error| {
        Failure::because(
            Failure::AWAY,
            format!(
                "the controller does not answer at {}; it must run, and you must be root or in the group of the socket",
                socket.display()
            ),
            error,
        )
    };
    let asked = async {
        let (mut reader, mut writer) = wire::connect(&socket, Role::Operator).await?;
        writer.send(&FromOperator::Keep(order)).await?;
        reader.next::<ToOperator>().await
    };
    match timeout(ANSWER_WITHIN, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(away(&error)),
        Err(late) => Err(away(&late)),
    }
}

/// One order; nothing of it is done when any part of it is wrong.
pub(super) async fn order(
    site: &Site<Real>,
    ask: Ask,
    personal: Vec<(String, Personal)>,
) -> Result<Answer, Failure> {
    match send(site, FromKeeper { ask, personal }).await? {
        ToOperator::Done { ja, en } => Ok(Answer::Done(format!("{ja}。 {en}."))),
        ToOperator::Mistakes(problems) => Ok(Answer::Mistakes(problems)),
        ToOperator::Refused { ja, en } => Err(Failure::new(Failure::WRONG, format!("{ja}。 {en}"))),
        ToOperator::Rows { .. } => Err(Failure::new(Failure::WRONG, "an answer to another question")),
    }
}

/// The same, printed.
pub(super) async fn follow(
    site: &Site<Real>,
    wishes: Vec<Wish>,
    personal: Vec<(String, Personal)>,
) -> Result<(), Failure> {
    match order(site, Ask::Do(wishes), personal).await? {
        Answer::Done(said) => {
            println!("{said}");
            Ok(())
        }
        Answer::Mistakes(problems) => {
            let lines: Vec<String> = problems
                .into_iter()
                .map(|row| format!("{}。 {}", row.why.ja, row.why.en))
                .collect();
            Err(Failure::new(Failure::WRONG, lines.join("\n")))
        }
    }
}

async fn told<T: DeserializeOwned>(site: &Site<Real>, question: Question) -> Result<(T, Names), Failure> {
    let order = FromKeeper {
        ask: Ask::Tell(question),
        personal: Vec::new(),
    };
    match send(site, order).await? {
        ToOperator::Rows { rows, personal } => {
            let rows = serde_json::from_slice(&rows)
                .map_err(|error| Failure::because(Failure::WRONG, "the register does not read", &error))?;
            Ok((rows, personal.into_iter().collect()))
        }
        ToOperator::Refused { ja, en } => Err(Failure::new(Failure::WRONG, format!("{ja}。 {en}"))),
        _ => Err(Failure::new(Failure::WRONG, "an answer to another question")),
    }
}

/// Everybody and every card.
pub(super) async fn register(site: &Site<Real>) -> Result<(Rows, Names), Failure> {
    told(site, Question::Register).await
}

/// Who is inside, and the newest passages.
pub(super) async fn passages(
    site: &Site<Real>,
) -> Result<((Vec<InsideRow>, Vec<PassageRow>), Names), Failure> {
    told(site, Question::Passages).await
}

/// A name for a screen; an id where there is none.
pub(super) fn shown(names: &Names, id: &str) -> String {
    match names.get(id).map(|personal| personal.name.as_str()) {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => id.to_owned(),
    }
}

/// The id that is meant by an id or a name that only one person has.
pub(super) fn person_id(rows: &Rows, names: &Names, text: &str) -> Result<String, Failure> {
    if rows.persons.iter().any(|row| row.person == text) {
        return Ok(text.to_owned());
    }
    let matches = |row: &&room::people::PersonRow| {
        let named = names.get(&row.person);
        named.is_some_and(|personal| personal.name == text || personal.name.replace([' ', '　'], "") == text)
    };
    let found: Vec<&str> = rows
        .persons
        .iter()
        .filter(matches)
        .map(|row| row.person.as_str())
        .collect();
    match found[..] {
        [only] => Ok(only.to_owned()),
        [] => Err(Failure::new(
            Failure::WRONG,
            format!(
                "「{text}」は登録されていません。 Nobody is registered as {text}; `yagura person list` shows all."
            ),
        )),
        _ => Err(Failure::new(
            Failure::WRONG,
            format!(
                "「{text}」は複数います。番号で指定してください: {0} — more than one person; name one by id: {0}",
                found.join(", ")
            ),
        )),
    }
}
