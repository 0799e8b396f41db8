//! The form of a leaf: which members it has, and which of them the checks look at.

use crate::forms::hash_from_hex;
use crate::json::{Members, Value, parse};

/// Bytes of a leaf at most.
pub const MAX_LEAF: usize = 65_535;

/// A leaf that has the form.
#[derive(Debug)]
pub struct Leaf<'a> {
    /// Its place.
    pub n: u64,
    /// What happened.
    pub kind: String,
    /// By the controller's clock, milliseconds since 1970.
    pub logged_at: i64,
    /// By the controller's monotonic clock, milliseconds.
    pub up_ms: i64,
    /// Boot of the controller's machine.
    pub boot: String,
    /// The journal's record that it comes from.
    pub journal: u64,
    /// The node's event that it comes from: who and which number.
    pub node: Option<(String, i64)>,
    /// Open particulars.
    pub data: Value<'a>,
    /// Commitments.
    pub sealed: Members<'a>,
}

/// Reads a leaf.
///
/// # Errors
/// What is not of the form.
pub fn read(line: &[u8]) -> Result<Leaf<'_>, &'static str> {
    if line.len() > MAX_LEAF {
        return Err("longer than 65,535 bytes");
    }
    let Value::Object(members) = parse(line)? else {
        return Err("not an object");
    };
    let mut leaf = Leaf {
        n: 0,
        kind: String::new(),
        logged_at: 0,
        up_ms: 0,
        boot: String::new(),
        journal: 0,
        node: None,
        data: Value::List(Vec::new()),
        sealed: Vec::new(),
    };
    let mut needed = 0;
    for (name, value) in members {
        let time = || value.int().filter(|ms| *ms >= 0);
        let word = || value.text().filter(|text| !text.is_empty()).map(str::to_owned);
        needed += 1;
        match &*name {
            "v" if value.int() == Some(1) => {}
            "v" => return Err("v is not 1"),
            "n" => leaf.n = value.count().ok_or("n is no integer from 0")?,
            "kind" => leaf.kind = word().ok_or("kind is no word")?,
            "logged_at" => leaf.logged_at = time().ok_or("logged_at is no time")?,
            "up_ms" => leaf.up_ms = time().ok_or("up_ms is no time")?,
            "boot" => leaf.boot = word().ok_or("boot is no word")?,
            "journal" => leaf.journal = value.count().ok_or("journal is no integer from 0")?,
            "data" => match value {
                Value::Object(_) => leaf.data = value,
                _ => return Err("data is no object"),
            },
            optional => {
                needed -= 1;
                match (optional, value) {
                    ("observed_at", Value::Int(_)) => {}
                    ("clock", Value::Text(clock)) if matches!(&*clock, "set" | "unset" | "skewed") => {}
                    ("node", node) => {
                        leaf.node = Some(origin(&node).ok_or("node is not id, boot, seq, up_ms")?)
                    }
                    ("sealed", Value::Object(sealed)) => leaf.sealed = commitments(sealed)?,
                    ("observed_at" | "clock" | "sealed", _) => {
                        return Err("observed_at, clock or sealed of another form");
                    }
                    _ => return Err("an unknown member"),
                }
            }
        }
    }
    if needed != 8 {
        return Err("a member is missing");
    }
    Ok(leaf)
}

/// Which event of which node.
fn origin(node: &Value<'_>) -> Option<(String, i64)> {
    let whole = node.members()?.len() == 4
        && node.get("up_ms")?.count().is_some()
        && matches!(node.get("boot")?, Value::Text(_) | Value::Int(_));
    let id = node.get("id")?.text().filter(|id| !id.is_empty())?;
    let seq = node.get("seq")?.count()?;
    whole.then(|| (id.to_owned(), seq.cast_signed()))
}

fn commitments(sealed: Members<'_>) -> Result<Members<'_>, &'static str> {
    let good = |name: &str, value: &Value<'_>| {
        (1..=255).contains(&name.len()) && value.text().is_some_and(|text| hash_from_hex(text).is_some())
    };
    if sealed.iter().all(|(name, value)| good(name, value)) {
        Ok(sealed)
    } else {
        Err("a commitment that is not 64 hex digits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"boot":"b","clock":"set","data":{},"journal":3,"kind":"door.open","logged_at":1,"n":2,"node":{"boot":1,"id":"node-1","seq":4,"up_ms":5},"observed_at":1,"sealed":{"person":"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},"up_ms":9,"v":1}"#;

    #[test]
    fn a_leaf_has_its_members_and_no_others() {
        let leaf = read(GOOD.as_bytes()).unwrap();
        assert_eq!(
            (leaf.n, leaf.journal, leaf.node),
            (2, 3, Some(("node-1".to_owned(), 4)))
        );
        for (from, to) in [
            ("\"v\":1", "\"v\":2"),
            (",\"v\":1", ""),
            (",\"v\":1", ",\"v\":1,\"w\":1"),
            ("\"set\"", "\"good\""),
            ("\"seq\":4,", ""),
            ("\"seq\":4", "\"seq\":-4"),
            ("\"data\":{}", "\"data\":[]"),
            ("\"data\":{}", "\"data\":{\"a\":null}"),
            ("6e34", "6E34"),
            ("\"kind\":\"door.open\"", "\"kind\":7"),
            ("\"journal\":3", "\"journal\":-3"),
            ("\"boot\":\"b\"", "\"boot\":\"\""),
        ] {
            let bad = GOOD.replacen(from, to, 1);
            assert_ne!(bad, GOOD);
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
