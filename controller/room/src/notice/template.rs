//! A notice as chat services want it: the bodies of webhooks.
//!
//! Nothing in a notice may act in the chat: no mention of everybody, no link with another face, no
//! markup. Where a service has a kind of text without markup, that is taken; else its signs are
//! written so that they are shown. Lengths are cut to what the services take (named below, from
//! their public documentation), since a body that is too long is refused as a whole.

use super::Notice;
use super::document::document;
use super::text::{Language, Text, text};
use super::{About, Moment};
use crate::site::Priority;
use crate::site::notifier::webhook::Template;
use serde_json::{Value, json};

/// Slack: text of a header block.
pub const SLACK_HEADER: usize = 150;
/// Slack: text of a section block.
pub const SLACK_SECTION: usize = 3000;
/// LINE WORKS: text of a message.
pub const LINE_WORKS_TEXT: usize = 2000;
/// Teams: a message has at most 28 KB; a character of ours at most 4 bytes, escaped 6.
pub const TEAMS_TEXT: usize = 4000;

/// The body of a webhook; `language` and `utc_offset_min` are for the texts in it.
#[must_use]
pub fn body(template: Template, notice: &Notice, language: Language, utc_offset_min: i16) -> Value {
    let read = || text(notice, language, utc_offset_min);
    match template {
        Template::Generic => json!(document(notice, language, utc_offset_min)),
        Template::Slack => slack(&read()),
        Template::Teams => teams(&read(), notice, language),
        Template::LineWorks => line_works(&read()),
    }
}

/// Blocks of plain text; the text beside them is what a phone shows first, and is markup.
fn slack(read: &Text) -> Value {
    let shown = read
        .subject
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    json!({
        "text": shown,
        "blocks": [
            { "type": "header", "text": plain(&cut(&read.subject, SLACK_HEADER)) },
            { "type": "section", "text": plain(&cut(&read.body, SLACK_SECTION)) },
        ],
    })
}

fn plain(text: &str) -> Value {
    json!({ "type": "plain_text", "text": text, "emoji": false })
}

/// An adaptive card. Text blocks know Markdown, text runs do not.
fn teams(read: &Text, notice: &Notice, language: Language) -> Value {
    let run = |text: &str, heading: bool| {
        let mut run = json!({ "type": "TextRun", "text": text });
        if heading {
            run["size"] = json!("Medium");
            run["weight"] = json!("Bolder");
            if let Some(colour) = colour(&notice.about) {
                run["color"] = json!(colour);
            }
        }
        json!({ "type": "RichTextBlock", "inlines": [run] })
    };
    let mut blocks = vec![run(&read.subject, true)];
    let whole = cut(&read.body, TEAMS_TEXT);
    // A run may lose its line breaks, so each line is a block.
    blocks.extend(
        whole
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| run(line, false)),
    );
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": blocks,
    });
    if let About::Alarm(told) = &notice.about
        && let Some(procedure) = told.procedure.as_deref()
        && procedure.starts_with("https://")
    {
        let title = match language {
            Language::Ja => "手順書を開く",
            Language::En => "Open the procedure",
        };
        card["actions"] =
            json!([{ "type": "Action.OpenUrl", "title": title, "url": super::text::line(procedure) }]);
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": card,
        }],
    })
}

fn colour(about: &About) -> Option<&'static str> {
    let About::Alarm(told) = about else {
        return None;
    };
    match (told.moment, told.priority) {
        (Moment::Returned, _) => Some("Good"),
        (_, Priority::Critical) => Some("Attention"),
        (_, Priority::Warning) => Some("Warning"),
        (_, Priority::Advisory) => Some("Accent"),
    }
}

/// A text message of a bot. `<m userId="...">` in it would call people.
fn line_works(read: &Text) -> Value {
    let whole = format!("{}\n\n{}", read.subject, read.body).replace('<', "＜");
    json!({ "content": { "type": "text", "text": cut(whole.trim_end(), LINE_WORKS_TEXT) } })
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most - 1).collect();
    short.push('…');
    short
}
