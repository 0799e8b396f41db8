//! `[[procedure]]`: where the site's own procedures stand, by kind of alarm.
//!
//! The link is shown with the alarm and sent with its notice; nothing here opens it. It may be an
//! address of the intranet or words like "binder 3, page 2".

use super::problem::{Kind as Problem, Sink};
use super::reader::{Found, Reader};
use crate::catalog::Kind;
use crate::site::World;
use crate::site::raw::Raw;
use std::collections::BTreeSet;

/// Most procedures: one for every kind, with room to spare.
pub const MAX_PROCEDURES: usize = 200;
/// Longest link or place, in characters.
pub const MAX_LINK: usize = 300;

/// `[[procedure]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Procedure {
    /// For which kind of alarm.
    pub kind: Kind,
    /// Where it stands.
    pub link: String,
}

pub(super) struct RawProcedure {
    kind: Found<Kind>,
    link: Found<String>,
}

pub(super) fn procedure(mut r: Reader<'_>) -> RawProcedure {
    let kind = r.word("kind", &Kind::ALL.map(|kind| (kind.word(), kind)));
    let link = r.text(
        "link",
        "where it stands, e.g. \"https://wiki.local/leak\" or \"手順書 3-2\"",
    );
    r.finish();
    RawProcedure { kind, link }
}

pub(super) fn build(raw: RawProcedure) -> Option<Procedure> {
    Some(Procedure {
        kind: raw.kind?.value,
        link: raw.link?.value,
    })
}

/// One link for a kind, of a length that a screen can show.
pub(super) fn check<W: World>(raw: &Raw<W>, sink: &Sink<'_>) {
    let mut kinds = BTreeSet::new();
    for procedure in &raw.procedures {
        if let Some(kind) = procedure.kind.as_ref().filter(|kind| !kinds.insert(kind.value)) {
            sink.error(
                Problem::Duplicate,
                &kind.span,
                format!("there are two procedures for {}", kind.value.word()),
            );
        }
        let long = |link: &&super::reader::At<String>| link.value.chars().count() > MAX_LINK;
        if let Some(link) = procedure.link.as_ref().filter(long) {
            sink.error(
                Problem::Value,
                &link.span,
                format!("`link` is longer than {MAX_LINK} characters"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::Kind;
    use crate::site::parse;
    use std::path::Path;

    const SITE: &str = r#"name = "室"
data_dir = "data"
[web]
listen = "127.0.0.1:8080"
[mqtt]
listen = "127.0.0.1:1883"
"#;

    #[test]
    fn a_procedure_stands_by_the_word_of_its_kind_and_once() {
        let text = format!("{SITE}[[procedure]]\nkind = \"leak\"\nlink = \"手順書 3-2\"\n");
        match parse::real(&text, Path::new("/")) {
            Ok(site) => assert_eq!(
                (site.procedures[0].kind, &*site.procedures[0].link),
                (Kind::Leak, "手順書 3-2")
            ),
            Err(problems) => panic!("{problems:?}"),
        }
        let twice = format!("{text}[[procedure]]\nkind = \"leak\"\nlink = \"x\"\n");
        let problems = parse::real(&twice, Path::new("/")).unwrap_err();
        assert!(
            problems
                .iter()
                .any(|problem| problem.message.contains("two procedures for leak")),
            "{problems:?}"
        );
        let wrong = text.replace("\"leak\"", "\"leek\"");
        let problems = parse::real(&wrong, Path::new("/")).unwrap_err();
        assert!(format!("{problems:?}").contains("did you mean"), "{problems:?}");
    }
}
