//! What the verifier is given from elsewhere: the log's first key, who counts as witness, what each of
//! them saw, how many must agree. Whoever checks types it off paper, so every mistake is said with its line.

use crate::forms::{Hash, decimal, from_base64, from_rfc3339, hash_from_hex};
use crate::note::{Algorithm, Key};

/// Witnesses at most.
pub const MAX_WITNESSES: usize = 64;
/// `seen` lines at most: an entry a day for years.
pub const MAX_SEEN: usize = 10_000;

/// The policy.
#[derive(Debug, Default, Clone)]
pub struct Policy {
    /// The key named by the first leaf.
    pub log: Option<Key>,
    /// Who counts.
    pub witnesses: Vec<Witness>,
    /// What they hold.
    pub seen: Vec<Seen>,
    /// How many different witnesses must agree.
    pub quorum: Option<u64>,
}

/// Who counts.
#[derive(Debug, Clone)]
pub struct Witness {
    /// As the policy names it.
    pub name: String,
    /// Of its cosignatures.
    pub key: Option<Key>,
}

/// A checkpoint that a witness holds.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Who.
    pub witness: String,
    /// Leaves.
    pub size: u64,
    /// Root at that size.
    pub root: Hash,
    /// When, in milliseconds since 1970.
    pub at: Option<i64>,
}

impl Policy {
    /// Reads the file: one statement a line; empty lines and lines that begin with `#` say nothing.
    ///
    /// # Errors
    /// What is wrong, with the number of the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut policy = Self::default();
        for (at, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.is_empty() || words[0].starts_with('#') {
                continue;
            }
            policy
                .statement(&words)
                .map_err(|why| format!("line {}: {why}", at + 1))?;
        }
        if let Some(seen) = policy.seen.iter().find(|seen| !policy.counts(&seen.witness)) {
            return Err(format!("seen {}: there is no such witness line", seen.witness));
        }
        if policy
            .quorum
            .is_some_and(|quorum| quorum > policy.witnesses.len() as u64)
        {
            return Err("quorum: there are fewer witness lines".to_owned());
        }
        Ok(policy)
    }

    /// True when this witness counts.
    pub fn counts(&self, name: &str) -> bool {
        self.witnesses.iter().any(|witness| witness.name == name)
    }

    fn statement(&mut self, words: &[&str]) -> Result<(), String> {
        match words {
            ["log", _] if self.log.is_some() => return Err("a second log line".to_owned()),
            ["log", key] => self.log = Some(Key::parse(key, Algorithm::Ed25519)?),
            ["witness", name, ..] if self.counts(name) => return Err(format!("a second witness {name}")),
            ["witness", _, ..] if self.witnesses.len() >= MAX_WITNESSES => {
                return Err(format!("more than {MAX_WITNESSES} witnesses"));
            }
            ["witness", name] => self.witness(name, None),
            ["witness", name, key] => self.witness(name, Some(Key::parse(key, Algorithm::Cosignature)?)),
            ["seen", ..] if self.seen.len() >= MAX_SEEN => {
                return Err(format!("more than {MAX_SEEN} seen lines"));
            }
            ["seen", name, size, root] => self.seen.push(seen(name, size, root, None)?),
            ["seen", name, size, root, at] => {
                let at = from_rfc3339(at).ok_or("a time such as 2027-04-01T00:00:00+09:00")?;
                self.seen.push(seen(name, size, root, Some(at))?);
            }
            ["quorum", _] if self.quorum.is_some() => return Err("a second quorum line".to_owned()),
            ["quorum", number] => {
                self.quorum = Some(
                    decimal(number)
                        .filter(|number| *number > 0)
                        .ok_or("quorum: a number from 1")?,
                );
            }
            _ => {
                return Err(
                    "neither `log KEY`, `witness NAME [KEY]`, `seen NAME SIZE ROOT [TIME]` nor `quorum N`"
                        .to_owned(),
                );
            }
        }
        Ok(())
    }

    fn witness(&mut self, name: &str, key: Option<Key>) {
        self.witnesses.push(Witness {
            name: name.to_owned(),
            key,
        });
    }
}

fn seen(name: &str, size: &str, root: &str, at: Option<i64>) -> Result<Seen, String> {
    let base64 = || from_base64(root).and_then(|root| Hash::try_from(root).ok());
    Ok(Seen {
        witness: name.to_owned(),
        size: decimal(size)
            .filter(|size| *size > 0)
            .ok_or("seen: the size is a number from 1")?,
        root: hash_from_hex(root)
            .or_else(base64)
            .ok_or("seen: the root is 64 hex digits or base64")?,
        at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";

    #[test]
    fn a_policy_is_read_and_its_mistakes_are_named() {
        let good = format!(
            "# from the ledger\n\nwitness standby\nwitness paper\nseen paper 7 {ROOT} 2027-01-05T09:00:00+09:00\n\
             seen standby 9 bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=\nquorum 2\n"
        );
        let policy = Policy::parse(&good).unwrap();
        assert_eq!((policy.witnesses.len(), policy.quorum), (2, Some(2)));
        assert_eq!(policy.seen[0].root, policy.seen[1].root);
        for (line, why) in [
            ("quorum 1\nquorum 1".to_owned(), "line 2: a second quorum"),
            ("quorum 0".to_owned(), "line 1: quorum: a number"),
            ("quorum 1".to_owned(), "fewer witness lines"),
            (format!("seen nobody 1 {ROOT}"), "no such witness"),
            (format!("witness a\nseen a 0 {ROOT}"), "line 2: seen: the size"),
            ("witness a\nseen a 1 abc".to_owned(), "line 2: seen: the root"),
            (format!("witness a\nseen a 1 {ROOT} yesterday"), "a time such as"),
            ("witness a\nwitness a".to_owned(), "a second witness a"),
            ("log x".to_owned(), "line 1: a verifier key is"),
            (
                "log a+00000000+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
                "mistyped",
            ),
            ("trust everybody".to_owned(), "line 1: neither"),
        ] {
            let found = Policy::parse(&line).unwrap_err();
            assert!(found.contains(why), "{line}: {found}");
        }
    }
}
