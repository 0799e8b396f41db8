//! The kinds of leaves that the checks look into. All others only have to have the form of a leaf.

use crate::forms::{Hash, hash_from_hex};
use crate::json::Value;

/// What a leaf says, if it is of a kind that the checks know.
#[derive(Debug)]
pub enum Known {
    /// `log.started`
    Started {
        /// The log's name.
        origin: String,
        /// Its first key.
        key: String,
        /// There was a log before.
        previous: bool,
    },
    /// `log.resumed`
    Resumed {
        /// Milliseconds since 1970.
        from: i64,
        /// Milliseconds since 1970.
        to: i64,
    },
    /// `heartbeat`: the last number of each node.
    Heartbeat(Vec<(String, i64)>),
    /// `key.rotated`: the next key.
    Rotated(String),
    /// `node.missing`, both inclusive.
    Missing {
        /// Node.
        id: String,
        /// First number that never came.
        from: i64,
        /// Last number that never came.
        to: i64,
    },
    /// `node.restarted`
    Restarted {
        /// Node.
        id: String,
        /// The number of its next event.
        seq: i64,
    },
    /// `witness.saw`
    Saw {
        /// Who.
        witness: String,
        /// Leaves.
        size: u64,
        /// Root at that size.
        root: Hash,
        /// When, milliseconds since 1970.
        at: i64,
    },
    /// `review.signed`
    Reviewed(Box<Review>),
    /// `review.disposed`: of which leaf.
    Disposed(u64),
    /// `clock.stepped`, by milliseconds.
    Stepped(i64),
    /// Any other.
    Other,
}

/// `review.signed`
#[derive(Debug)]
pub struct Review {
    /// First leaf.
    pub from: u64,
    /// Last leaf.
    pub to: u64,
    /// Leaves of the log when it was signed.
    pub size: u64,
    /// Root of that log.
    pub root: Hash,
    /// Kind and number of leaves, for all kinds of the range.
    pub counts: Vec<(String, u64)>,
    /// Hash of the dispositions in force.
    pub dispositions: Hash,
}

/// Reads the data of a leaf; none when a known kind has not the form.
pub fn read(kind: &str, data: &Value<'_>) -> Option<Known> {
    let word = |name: &str| {
        data.get(name)?
            .text()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let int = |name: &str| data.get(name)?.int();
    let count = |name: &str| data.get(name)?.count();
    let number = |name: &str| int(name).filter(|number| *number >= 0);
    let hash = |name: &str| hash_from_hex(data.get(name)?.text()?);
    Some(match kind {
        "log.started" => Known::Started {
            origin: word("origin")?,
            key: word("key")?,
            previous: match data.get("previous") {
                None => false,
                Some(previous) => {
                    previous.get("origin")?.text()?;
                    previous.get("size")?.count()?;
                    hash_from_hex(previous.get("root")?.text()?)?;
                    true
                }
            },
        },
        "log.resumed" => Known::Resumed {
            from: int("down_from")?,
            to: int("down_to")?,
        },
        "heartbeat" => {
            let node = |node: &Value<'_>| {
                let id = node.get("id")?.text()?.to_owned();
                Some((id, node.get("seq")?.count()?.cast_signed()))
            };
            Known::Heartbeat(
                data.get("nodes")?
                    .list()?
                    .iter()
                    .map(node)
                    .collect::<Option<_>>()?,
            )
        }
        "key.rotated" => Known::Rotated(word("key")?),
        "node.missing" => Known::Missing {
            id: word("id")?,
            from: number("from")?,
            to: number("to")?,
        },
        "node.restarted" => Known::Restarted {
            id: word("id")?,
            seq: number("seq")?,
        },
        "witness.saw" => Known::Saw {
            witness: word("witness")?,
            size: count("size").filter(|size| *size > 0)?,
            root: hash("root")?,
            at: int("at")?,
        },
        "review.signed" => {
            let one = |(kind, count): &(std::borrow::Cow<'_, str>, Value<'_>)| {
                Some((kind.to_string(), count.count()?))
            };
            Known::Reviewed(Box::new(Review {
                from: count("from")?,
                to: count("to")?,
                size: count("size")?,
                root: hash("root")?,
                counts: data
                    .get("counts")?
                    .members()?
                    .iter()
                    .map(one)
                    .collect::<Option<_>>()?,
                dispositions: hash("dispositions")?,
            }))
        }
        "review.disposed" => {
            word("disposition")?;
            Known::Disposed(count("of")?)
        }
        "retention.erased" => {
            for name in ["from", "to", "count"] {
                count(name)?;
            }
            word("reason")?;
            data.get("fields")?
                .list()?
                .iter()
                .map(Value::text)
                .collect::<Option<Vec<_>>>()?;
            Known::Other
        }
        "clock.stepped" => Known::Stepped(int("by_ms")?),
        _ => Known::Other,
    })
}
