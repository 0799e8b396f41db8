//! The sentence of every finding, in Japanese and English. A finding is a word in the code and in `--json`;
//! what it means to the person who reads it stands here alone.

/// A sentence.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// Japanese.
    pub ja: &'static str,
    /// English.
    pub en: &'static str,
}

/// Every finding with its sentence.
#[rustfmt::skip]
pub const ALL: [(&str, &str, &str); 47] = [
    // Integrity.
    ("no-key", "ログの検証鍵が方針にない（台帳から写して log の行を書く）", "the policy has no key of the log (copy it from the ledger into a log line)"),
    ("unreadable", "ファイルが読めない", "a file cannot be read"),
    ("line-too-long", "行が長すぎる。その先は読んでいない", "a line is too long; what follows was not read"),
    ("line-open", "最後の行が途中で切れている", "the last line is cut off"),
    ("leaf-form", "葉が決められた形でない", "a leaf is not of the form"),
    ("leaf-place", "葉の番号が位置と違う", "a leaf is not in its place"),
    ("leaf-data", "葉の中身がその種類の形でない", "the data of a leaf are not of its kind"),
    ("started", "log.started が先頭にない、途中にある、またはログの名と合わない", "log.started is not the first leaf, stands elsewhere, or names another log"),
    ("first-key", "先頭の葉の鍵が、渡された鍵と違う", "the first leaf names another key than the one given"),
    ("key", "鍵の交代の葉に、このログの鍵がない", "a rotation names no key of this log"),
    ("checkpoint-form", "チェックポイントが決められた形でない", "a checkpoint is not of the form"),
    ("checkpoint-origin", "チェックポイントが別のログのもの", "a checkpoint is of another log"),
    ("checkpoint-order", "チェックポイントの大きさが前より小さい", "a checkpoint is smaller than the one before"),
    ("size", "葉の数が署名されたチェックポイントと違う", "the number of leaves is not that of the signed checkpoint"),
    ("root", "葉から計算した根が、署名された根と違う", "the root of the leaves is not the signed one"),
    ("signature", "チェックポイントに、その時の鍵の正しい署名がない", "a checkpoint is not signed by the key in force"),
    ("rotation", "鍵の交代が新旧両方の鍵で署名されていない", "a rotation of the key is not signed by the old and the new key"),
    ("journal", "元の記録の番号が戻っている", "the numbers of the journal fall"),
    ("opening-form", "開示の行が決められた形でない、または順でない", "an opening is not of the form, or not in order"),
    ("opening", "開示された値が葉の約束と合わない", "an opening does not fit its commitment"),
    ("review", "点検の範囲か件数が葉と合わない", "a review does not fit the leaves of its range"),
    ("review-root", "点検が署名した根が葉と合わない", "the root that a review signed is not that of the leaves"),
    ("review-dispositions", "点検が署名した処置が葉と合わない", "the dispositions that a review signed are not those of the leaves"),
    ("disposed-after-review", "点検の後で処置が変わり、点検し直していない", "a disposition changed after its review, without a new review"),
    ("clock", "一つの起動の中で、時計と経過時間がずれた", "within one boot the wall clock and the monotonic clock ran apart"),
    ("clock-back", "起動し直した後の時計が、前より戻っている", "after a new boot the clock is behind the leaf before"),
    ("boot-again", "終わったはずの起動が、また現れた", "a boot that was over comes again"),
    ("too-many", "数が多すぎて、最後まで確かめられない", "too many to be checked to the end"),
    // One row.
    ("proof-form", "証明の文書が決められた形でない", "the proof is not of the form"),
    ("proof", "行が、署名された根に含まれない", "the row is not in the signed tree"),
    // Completeness.
    ("unread", "葉を最後まで読めていない", "the leaves were not read to the end"),
    ("sequence", "ノードの出来事の番号が続いていない", "the numbers of a node do not follow each other"),
    ("heartbeat", "心拍の葉にある番号が、葉と合わない", "a heartbeat does not agree with the leaves"),
    ("silent", "動いていたのに、65 分を超えて心拍の葉がない", "no heartbeat for more than 65 minutes of a running controller"),
    ("restart-unsaid", "起動し直したのに、log.resumed の葉がない", "another boot without log.resumed"),
    ("gap", "監視装置が止まっていた", "the controller did not run"),
    ("gap-clock", "止まっていた長さが、時計が戻ったので分からない", "how long it did not run cannot be known: the clock went back"),
    ("end", "求められた時まで続いていない", "the log does not reach to the moment asked for"),
    ("missing", "届かなかった出来事が葉に記されている", "events that never came are named"),
    ("restarted", "ノードの番号が付け直されている", "the numbers of a node begin again"),
    // Witnesses.
    ("no-quorum", "方針に証人か quorum がない", "the policy has no witnesses or no quorum"),
    ("larger", "証人は、これより大きいログを見た（巻き戻し・末尾の切取り）", "a witness saw a larger log than this one (rolled back, or its tail cut)"),
    ("differs", "証人が見た根と違う（書換え、または別の版）", "a witness saw another root at that size (rewritten, or another version)"),
    ("cosignature", "証人の署名が正しくない", "a cosignature of a witness does not fit"),
    ("note-origin", "別のログの控えなので数えない", "a note of another log does not count"),
    ("few", "一致した証人が足りない", "too few witnesses agree"),
    ("agrees", "一致した証人", "a witness agrees"),
];

/// The sentence of a finding.
pub fn of(code: &str) -> Words {
    let found = ALL.iter().find(|(known, _, _)| *known == code);
    let (ja, en) = found.map_or(("不明な所見", "a finding without words"), |(_, ja, en)| {
        (*ja, *en)
    });
    Words { ja, en }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_finding_in_the_sources_has_words_and_every_word_is_used() {
        let sources = [
            include_str!("walk.rs"),
            include_str!("integrity.rs"),
            include_str!("completeness.rs"),
            include_str!("witnesses.rs"),
            include_str!("proof.rs"),
        ];
        let mut used = BTreeSet::new();
        for call in [".bad(", ".doubt(", ".remark("] {
            for source in sources {
                for (_, rest) in source
                    .match_indices(call)
                    .map(|(at, _)| source.split_at(at + call.len()))
                {
                    let code = rest
                        .trim_start()
                        .strip_prefix('"')
                        .and_then(|rest| rest.split('"').next());
                    used.insert(code.expect("a finding begins with its code"));
                }
            }
        }
        let known: BTreeSet<&str> = ALL.iter().map(|(code, _, _)| *code).collect();
        assert_eq!(known, used);
        assert_eq!(known.len(), ALL.len());
    }
}
