//! One row with its proof (C2SP tlog-proof): in the tree that the log signed, and which witnesses saw
//! that very tree. Whether rows are missing, one row cannot tell.

use crate::forms::{Hash, decimal, from_base64};
use crate::leaf;
use crate::note::{self, MAX_NOTE, Said};
use crate::report::{Report, Verdict};
use crate::tree::{MAX_PATH, root_of_path};
use crate::walk::Ask;
use crate::witnesses::{By, Claim, Witnesses};

/// Bytes of a proof at most.
pub const MAX_PROOF: usize = MAX_NOTE + 8_192;

/// Checks a row: its leaf, without a line feed, and its proof.
pub fn verify(row: &[u8], proof: &[u8], ask: &Ask) -> Report {
    let mut report = Report::default();
    let mut verdict = Verdict::default();
    match read(proof) {
        Ok(proof) => check(row, &proof, ask, &mut report, &mut verdict),
        Err(why) => verdict.bad("proof-form", None, || why.to_owned()),
    }
    report.integrity = verdict;
    report
}

struct Proof {
    index: u64,
    path: Vec<Hash>,
    note: note::Note,
}

fn read(proof: &[u8]) -> Result<Proof, &'static str> {
    if proof.len() > MAX_PROOF {
        return Err("longer than a proof can be");
    }
    let text = std::str::from_utf8(proof).map_err(|_| "not UTF-8")?;
    let (head, note) = text.split_once("\n\n").ok_or("no checkpoint follows")?;
    let mut lines = head.split('\n').peekable();
    if lines.next() != Some("c2sp.org/tlog-proof@v1") {
        return Err("not a tlog-proof of version 1");
    }
    if let Some(extra) = lines.next_if(|line| line.starts_with("extra ")) {
        from_base64(&extra[6..]).ok_or("extra that is not base64")?;
    }
    let index = lines
        .next()
        .and_then(|line| decimal(line.strip_prefix("index ")?))
        .ok_or("no index")?;
    let hash = |line| from_base64(line).and_then(|hash| Hash::try_from(hash).ok());
    let path: Vec<Hash> = lines
        .map(hash)
        .collect::<Option<_>>()
        .ok_or("a hash that is none")?;
    if path.len() > MAX_PATH {
        return Err("a path longer than any tree");
    }
    let note = note::parse(note.as_bytes())?;
    Ok(Proof { index, path, note })
}

fn check(row: &[u8], proof: &Proof, ask: &Ask, report: &mut Report, verdict: &mut Verdict) {
    let at = Some(proof.index);
    report.origin.clone_from(&proof.note.origin);
    report.root = proof.note.root;
    report.size = proof.note.size;
    match leaf::read(row) {
        Ok(leaf) if leaf.n != proof.index => verdict.bad("leaf-place", at, || leaf.n.to_string()),
        Ok(_) => {}
        Err(why) => verdict.bad("leaf-form", at, || why.to_owned()),
    }
    if root_of_path(row, proof.index, proof.note.size, &proof.path) != Some(proof.note.root) {
        verdict.bad("proof", at, || proof.note.size.to_string());
    }
    match &ask.policy.log {
        None => verdict.doubt("no-key", None, String::new),
        Some(key) if proof.note.origin.rsplit_once('/').map(|(site, _)| site) != Some(key.name.as_str()) => {
            verdict.bad("checkpoint-origin", None, || proof.note.origin.clone());
        }
        Some(key) => match key.of(&proof.note) {
            Said::Signed(_) => {}
            Said::Forged | Said::Nothing => verdict.bad("signature", None, || proof.note.size.to_string()),
        },
    }
    if ask.policy.witnesses.is_empty() {
        return;
    }
    let mut told = Verdict::default();
    let mut witnesses = Witnesses::default();
    witnesses.cosigned(&proof.note, &ask.policy, &mut told);
    let notes = ask.notes.iter().filter_map(|(holder, note)| {
        let of_this = note.origin == proof.note.origin;
        let seen = (holder.as_ref()?.clone(), note.size, note.root, None);
        of_this.then_some(seen)
    });
    let seen = ask.policy.seen.iter().chain(&ask.seen);
    let seen = seen.map(|seen| (seen.witness.clone(), seen.size, seen.root, seen.at));
    // Of trees of another size a single proof says nothing.
    for (name, size, root, at) in seen.chain(notes).filter(|(_, size, ..)| *size == proof.note.size) {
        let by = By::Witness {
            name,
            at,
            leaf: None,
            counts: true,
        };
        witnesses.compare(
            &Claim { size, root, by },
            &proof.note.root,
            &ask.policy,
            &mut told,
        );
    }
    witnesses.end(&ask.policy, &mut told);
    report.witnesses = Some(told);
}
