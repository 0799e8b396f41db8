//! Orders about persons and cards: the names go into the vault, the rest to the engine.
//!
//! ```text
//! order with names -> tried by the engine -> names into the vault -> done by the engine, journaled
//!                     refused: nothing       refused: the names are taken back
//! ```
//! The journal gets ids, dates and portals; names stand in `people.db` under the id, encrypted, and
//! are erased there when a person is erased. A crash between vault and journal leaves a name under an
//! id that nobody has, which the next order about it overwrites; one between journal and vault leaves
//! the name of an erased person, which the next start erases.
//!
//! It blocks on the disk in threads of its own, never in the loop.

use super::vault::{Vault, VaultError};
use crate::link::{FromKeeper, ToOperator};
use room::outage::operator::{self, Person};
use room::people::{Ask, MAX_PERSONS, MAX_WISHES, Personal, Wish, clean};
use room::site::outage::Operators;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The file of names, beside the journal.
const FILE: &str = "people";
/// What stands before the id of a person.
const PREFIX: &str = "person/";

/// The names of the persons, and who may see them.
#[derive(Clone)]
pub(super) struct Keeper {
    dir: PathBuf,
    operators: Operators,
    /// Opened at the first use: a site without a register has none.
    vault: Arc<Mutex<Option<Vault>>>,
}

/// Why an order about names cannot be followed.
#[derive(Debug, thiserror::Error)]
enum NamesError {
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A value is none that we wrote.
    #[error("the name of {0} does not read")]
    Form(String),
    /// The thread.
    #[error("the thread that reads the names ended")]
    Thread,
}

impl Keeper {
    pub(super) fn new(dir: PathBuf, operators: Operators) -> Self {
        let vault = Arc::new(Mutex::new(None));
        Self {
            dir,
            operators,
            vault,
        }
    }

    /// Erases what a crash left behind of persons who are erased.
    pub(super) fn tidy(&self, erased: &[String]) {
        if erased.is_empty() {
            return;
        }
        let keys: Vec<String> = erased.iter().map(|id| format!("{PREFIX}{id}")).collect();
        let gone = self.vault(|vault| vault.erase_all(keys.iter().map(String::as_str)));
        match gone {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "erased names that a crash had left behind"),
            Err(error) => tracing::error!(%error, "names of erased persons may still be there"),
        }
    }

    fn vault<T>(&self, work: impl FnOnce(&mut Vault) -> Result<T, VaultError>) -> Result<T, VaultError> {
        let mut kept = self.vault.lock().unwrap_or_else(PoisonError::into_inner);
        let vault = match &mut *kept {
            Some(vault) => vault,
            none => none.insert(Vault::open(&self.dir, FILE)?),
        };
        work(vault)
    }

    async fn off<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vault) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, NamesError> {
        let keeper = self.clone();
        let done = tokio::task::spawn_blocking(move || keeper.vault(work)).await;
        Ok(done.map_err(|_| NamesError::Thread)??)
    }

    /// Every name, by id.
    async fn names(&self) -> Result<Vec<(String, Personal)>, NamesError> {
        let kept = self.off(|vault| vault.get_all(PREFIX, 2 * MAX_PERSONS)).await?;
        kept.into_iter()
            .map(|(key, value)| {
                let id = key.strip_prefix(PREFIX).unwrap_or(&key).to_owned();
                match serde_json::from_slice(&value) {
                    Ok(personal) => Ok((id, personal)),
                    Err(_) => Err(NamesError::Form(id)),
                }
            })
            .collect()
    }

    /// Puts names, and takes those away that are `None`.
    async fn put(&self, names: Vec<(String, Option<Personal>)>) -> Result<(), NamesError> {
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        for (id, personal) in names {
            let key = format!("{PREFIX}{id}");
            match personal.map(|personal| serde_json::to_vec(&personal)) {
                Some(Ok(value)) => kept.push((key, value)),
                Some(Err(_)) => return Err(NamesError::Form(id)),
                None => gone.push(key),
            }
        }
        self.off(move |vault| {
            vault.put_all(kept.iter().map(|(key, value)| (key.as_str(), value.as_slice())))?;
            if gone.is_empty() {
                return Ok(());
            }
            vault.erase_all(gone.iter().map(String::as_str)).map(|_| ())
        })
        .await
    }

    /// One order, and its answer. `engine` is the way through the loop.
    pub(super) async fn follow<F>(
        &self,
        person: &Person,
        order: FromKeeper,
        engine: impl Fn(Ask) -> F,
    ) -> ToOperator
    where
        F: Future<Output = ToOperator>,
    {
        if !operator::may(&self.operators, person) {
            return refused(
                format!("{} には操作の権限がありません（[operators]）", person.who),
                format!("{} is not one of the site's [operators]", person.who),
            );
        }
        let FromKeeper { ask, personal } = order;
        match ask {
            Ask::Tell(_) => match (engine(ask).await, self.names().await) {
                (ToOperator::Rows { rows, .. }, Ok(personal)) => ToOperator::Rows { rows, personal },
                (ToOperator::Rows { .. }, Err(error)) => away(&error),
                (other, _) => other,
            },
            Ask::Try(_) if personal.is_empty() => engine(ask).await,
            Ask::Try(wishes) => match checked(&wishes, personal) {
                Ok(_) => engine(Ask::Try(wishes)).await,
                Err(answer) => answer,
            },
            Ask::Do(wishes) => match checked(&wishes, personal) {
                Ok(personal) => self.carry_out(wishes, personal, engine).await,
                Err(answer) => answer,
            },
        }
    }

    async fn carry_out<F>(
        &self,
        wishes: Vec<Wish>,
        personal: Vec<(String, Personal)>,
        engine: impl Fn(Ask) -> F,
    ) -> ToOperator
    where
        F: Future<Output = ToOperator>,
    {
        let erased: Vec<(String, Option<Personal>)> = wishes
            .iter()
            .filter_map(|wish| match wish {
                Wish::Erase { person } => Some((person.clone(), None)),
                _ => None,
            })
            .collect();
        let mut before = Vec::new();
        if !personal.is_empty() {
            let tried = engine(Ask::Try(wishes.clone())).await;
            if !matches!(tried, ToOperator::Done { .. }) {
                return tried;
            }
            let known = match self.names().await {
                Ok(known) => known,
                Err(error) => return away(&error),
            };
            for (id, _) in &personal {
                let was = known.iter().find(|(known, _)| known == id);
                before.push((id.clone(), was.map(|(_, personal)| personal.clone())));
            }
            let named = personal.into_iter().map(|(id, personal)| (id, Some(personal)));
            if let Err(error) = self.put(named.collect()).await {
                return away(&error);
            }
        }
        let answer = engine(Ask::Do(wishes)).await;
        let after = if matches!(answer, ToOperator::Done { .. }) {
            erased
        } else {
            before
        };
        if after.is_empty() {
            return answer;
        }
        match self.put(after).await {
            Ok(()) => answer,
            Err(error) => away(&error),
        }
    }
}

fn refused(ja: impl Into<String>, en: impl Into<String>) -> ToOperator {
    let (ja, en) = (ja.into(), en.into());
    ToOperator::Refused { ja, en }
}

fn away(error: &NamesError) -> ToOperator {
    tracing::error!(%error, "the names of the persons");
    refused(
        "氏名の保管庫を読み書きできません。記録を確認してください",
        format!("the vault with the names cannot be used: {error}"),
    )
}

/// Names as they are kept; each belongs to a person that this order adds or changes.
fn checked(
    wishes: &[Wish],
    personal: Vec<(String, Personal)>,
) -> Result<Vec<(String, Personal)>, ToOperator> {
    if personal.len() > MAX_PERSONS || wishes.len() > MAX_WISHES {
        return Err(refused(
            format!("一度に {MAX_PERSONS} 人までです"),
            format!("at most {MAX_PERSONS} persons at once"),
        ));
    }
    let about: BTreeSet<&String> = wishes
        .iter()
        .filter_map(|wish| match wish {
            Wish::Add { person, .. } | Wish::Change { person, .. } => Some(person),
            _ => None,
        })
        .collect();
    let clean = |(id, personal): (String, Personal)| {
        if !about.contains(&id) {
            return Err(refused(
                format!("{id} はこの操作の対象ではありません"),
                format!("{id} is not in this order"),
            ));
        }
        let part =
            |text: &str| clean(text).map_err(|why| refused(format!("{id}: {why}"), format!("{id}: {why}")));
        let kept = Personal {
            name: part(&personal.name)?,
            kana: part(&personal.kana)?,
            section: part(&personal.section)?,
            phone: part(&personal.phone)?,
            company: part(&personal.company)?,
        };
        Ok((id, kept))
    };
    personal.into_iter().map(clean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::outage::operator::Who;
    use room::people::{Kind, Question};
    use std::sync::atomic::{AtomicBool, Ordering};

    fn root() -> Person {
        let who = Who {
            name: "root".to_owned(),
            uid: 0,
        };
        Person {
            who,
            groups: Vec::new(),
        }
    }

    fn named(name: &str) -> Vec<(String, Personal)> {
        let personal = Personal {
            name: name.to_owned(),
            ..Personal::default()
        };
        vec![("p-aaaaaaaa".to_owned(), personal)]
    }

    fn add() -> Wish {
        Wish::Add {
            person: "p-aaaaaaaa".to_owned(),
            kind: Kind::Staff,
            from: None,
            until: None,
        }
    }

    fn done() -> ToOperator {
        let (ja, en) = (String::new(), String::new());
        ToOperator::Done { ja, en }
    }

    async fn all(keeper: &Keeper) -> Vec<String> {
        let rows = |_| async {
            let (rows, personal) = (b"{}".to_vec(), Vec::new());
            ToOperator::Rows { rows, personal }
        };
        let ask = Ask::Tell(Question::Register);
        let personal = Vec::new();
        match keeper.follow(&root(), FromKeeper { ask, personal }, rows).await {
            ToOperator::Rows { personal, .. } => personal.into_iter().map(|(_, row)| row.name).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_name_is_kept_only_when_the_engine_took_the_person() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = Keeper::new(dir.path().to_owned(), Operators::default());
        let order = |wish, name: &str| FromKeeper {
            ask: Ask::Do(vec![wish]),
            personal: named(name),
        };
        let no = || refused("", "");
        // Refused when tried.
        keeper
            .follow(&root(), order(add(), "ﾔﾏﾀﾞ"), |_| async { no() })
            .await;
        assert!(all(&keeper).await.is_empty());
        // Refused after it was tried: the name is taken back.
        let tried = AtomicBool::new(false);
        let engine = |_| {
            let first = !tried.swap(true, Ordering::Relaxed);
            async move { if first { done() } else { no() } }
        };
        keeper.follow(&root(), order(add(), "山田"), engine).await;
        assert!(all(&keeper).await.is_empty());
        keeper
            .follow(&root(), order(add(), "ﾔﾏﾀﾞ"), |_| async { done() })
            .await;
        assert_eq!(all(&keeper).await, ["ヤマダ"]);
        // Nothing of it is readable in the file.
        for file in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(6).any(|part| part == "ヤマ".as_bytes()));
        }
        let erase = Wish::Erase {
            person: "p-aaaaaaaa".to_owned(),
        };
        let order = FromKeeper {
            ask: Ask::Do(vec![erase]),
            personal: Vec::new(),
        };
        keeper.follow(&root(), order, |_| async { done() }).await;
        assert!(all(&keeper).await.is_empty());
    }

    #[tokio::test]
    async fn names_are_told_to_operators_alone_and_never_put_under_another_id() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = Keeper::new(dir.path().to_owned(), Operators::default());
        let mut stranger = root();
        stranger.who.uid = 1000;
        let ask = |ask| FromKeeper {
            ask,
            personal: named("x"),
        };
        let tell = Ask::Tell(Question::Register);
        let answer = keeper.follow(&stranger, ask(tell), |_| async { done() }).await;
        assert!(matches!(answer, ToOperator::Refused { .. }));
        let leave = Wish::Leave {
            person: "p-aaaaaaaa".to_owned(),
            last: None,
        };
        let answer = keeper
            .follow(&root(), ask(Ask::Do(vec![leave])), |_| async { done() })
            .await;
        assert!(matches!(answer, ToOperator::Refused { en, .. } if en.contains("not in this order")));
        let turned = FromKeeper {
            ask: Ask::Do(vec![add()]),
            personal: named("山田\u{202e}"),
        };
        let answer = keeper.follow(&root(), turned, |_| async { done() }).await;
        assert!(matches!(answer, ToOperator::Refused { en, .. } if en.contains("U+202E")));
        assert!(all(&keeper).await.is_empty());
    }
}
