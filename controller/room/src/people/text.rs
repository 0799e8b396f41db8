//! Texts that people type or import: names, sections, companies.
//!
//! What could make a screen or a sheet lie is refused, never repaired: control characters, and marks
//! that turn the direction of writing (a name that reads as another one). Half-width kana become full
//! width and composed forms one form, because both are the same name to a reader. Any script is
//! taken.

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// Longest text in characters.
pub const MAX_TEXT: usize = 80;

/// Why a text is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextProblem {
    /// Too long.
    #[error("長すぎます（{MAX_TEXT} 文字まで） it is longer than {MAX_TEXT} characters")]
    Long,
    /// A character that controls, turns or hides.
    #[error("見えない文字または書字方向の制御文字 U+{:04X} があります it holds the control character U+{:04X}", *.0 as u32, *.0 as u32)]
    Control(char),
    /// The form for bytes that were no text.
    #[error(
        "文字化けしています。文字コードを確認してください it holds characters that could not be decoded; check the encoding of the file"
    )]
    Undecoded,
    /// Only marks, nothing to see.
    #[error("見える文字がありません it holds nothing that can be seen")]
    Invisible,
}

/// The text as it is kept: outer blanks cut, one form of each letter, full-width kana.
///
/// # Errors
/// [`TextProblem`].
pub fn clean(text: &str) -> Result<String, TextProblem> {
    // Counted before the work: what is too long is not worked on.
    if text.chars().nth(4 * MAX_TEXT).is_some() {
        return Err(TextProblem::Long);
    }
    let mut widened = String::new();
    let mut chars = text.trim().chars().peekable();
    while let Some(c) = chars.next() {
        if is_forbidden(c) {
            return Err(TextProblem::Control(c));
        }
        if c == '\u{fffd}' {
            return Err(TextProblem::Undecoded);
        }
        if is_half_width_kana(c) {
            // With its sound mark, so that both become one letter.
            let mark = chars.next_if(|next| matches!(next, '\u{ff9e}' | '\u{ff9f}'));
            widened.extend([Some(c), mark].into_iter().flatten().nfkc());
        } else {
            widened.push(c);
        }
    }
    let kept: String = widened.nfc().collect();
    if kept.chars().count() > MAX_TEXT {
        return Err(TextProblem::Long);
    }
    let seen = |c: char| !c.is_whitespace() && !is_combining_mark(c);
    if !kept.is_empty() && !kept.chars().any(seen) {
        return Err(TextProblem::Invisible);
    }
    Ok(kept)
}

const fn is_half_width_kana(c: char) -> bool {
    matches!(c, '\u{ff61}'..='\u{ff9f}')
}

/// Controls, marks of direction, invisible joiners and tags, private use.
fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}'
            | '\u{e0000}'..='\u{e007f}' | '\u{f0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_any_script_are_taken_and_half_width_kana_become_full_width() {
        for (text, kept) in [
            (" 山田 太郎 ", "山田 太郎"),
            ("ﾔﾏﾀﾞ ﾀﾛｳ", "ヤマダ タロウ"),
            ("ﾊﾟｰｸ", "パーク"),
            ("か\u{3099}", "が"),
            ("Đặng Thị", "Đặng Thị"),
            ("Иванов", "Иванов"),
            ("محمد", "محمد"),
            ("①課", "①課"),
            ("", ""),
            ("=1+1", "=1+1"),
        ] {
            assert_eq!(clean(text).as_deref(), Ok(kept), "{text}");
        }
    }

    #[test]
    fn what_makes_a_screen_lie_is_refused_and_named() {
        for text in [
            "山田\u{202e}太郎",
            "a\u{200b}b",
            "a\nb",
            "a\u{1b}[2J",
            "\u{2066}x\u{2069}",
            "a\0",
            "山\u{feff}田",
        ] {
            assert!(matches!(clean(text), Err(TextProblem::Control(_))), "{text:?}");
        }
        assert_eq!(clean("�R�c"), Err(TextProblem::Undecoded));
        assert_eq!(clean(&"長".repeat(81)), Err(TextProblem::Long));
        assert_eq!(clean(&"x".repeat(1 << 20)), Err(TextProblem::Long));
        assert_eq!(clean("\u{301}"), Err(TextProblem::Invisible));
        let said = clean("a\u{202e}b").unwrap_err().to_string();
        assert!(said.contains("U+202E"), "{said}");
    }

    proptest! {
        #[test]
        fn what_is_kept_is_kept_again_as_it_is(text in any::<String>()) {
            if let Ok(kept) = clean(&text) {
                prop_assert_eq!(clean(&kept), Ok(kept.clone()));
                prop_assert!(kept.chars().count() <= MAX_TEXT);
            }
        }
    }
}
