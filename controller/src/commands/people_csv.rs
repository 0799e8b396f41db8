//! Persons as CSV: lists that other offices keep, and our own for them.
//!
//! Read as UTF-8 (with or without mark) or, when it is no UTF-8, as Shift_JIS (what spreadsheets in
//! Japan write). A file is read whole or not at all: every row with a mistake is named with its number,
//! and then nothing of the file is taken. On the way out a cell that a spreadsheet would calculate gets
//! an apostrophe before it, which is taken off again on the way in.

use room::people::{Kind, Personal, RightWish, Rows, Wish, clean, day_of, step_of};
use std::collections::BTreeMap;
use std::io::Read;

/// Longest file in bytes: 2,000 rows of 1,000 bytes twice over.
pub(super) const MAX_FILE: u64 = 4 << 20;
/// Rows of one file.
pub(super) const MAX_ROWS: usize = 2_000;
/// Mistakes that are printed; the rest is counted.
pub(super) const MAX_SHOWN: usize = 100;

/// The columns: Japanese head, English head.
const COLUMNS: [(&str, &str); 15] = [
    ("番号", "person"),
    ("氏名", "name"),
    ("フリガナ", "kana"),
    ("所属", "section"),
    ("電話", "phone"),
    ("会社", "company"),
    ("区分", "kind"),
    ("開始日", "from"),
    ("終了日", "until"),
    ("出入口", "portals"),
    ("時間", "hours"),
    ("曜日", "days"),
    ("カード", "card"),
    ("カードID", "card_id"),
    ("返却期限", "due"),
];

/// Weekdays and the holiday, as bits from 0.
const DAYS: [(&str, &str); 8] = [
    ("月", "mon"),
    ("火", "tue"),
    ("水", "wed"),
    ("木", "thu"),
    ("金", "fri"),
    ("土", "sat"),
    ("日", "sun"),
    ("祝", "holiday"),
];

/// A mistake, with the row as a spreadsheet counts it (the head is row 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) row: usize,
    pub(super) why: String,
}

/// What a file asks for.
#[derive(Debug, Default)]
pub(super) struct Import {
    pub(super) wishes: Vec<Wish>,
    pub(super) personal: Vec<(String, Personal)>,
    /// The row of each wish.
    pub(super) rows: Vec<usize>,
}

/// Reads no more than a file may be.
pub(super) fn read(source: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let limit = format!(
        "ファイルが大きすぎます（{} MiB まで）。分けてください。 The file is longer than {MAX_FILE} bytes; split it",
        MAX_FILE >> 20
    );
    match source.take(MAX_FILE + 1).read_to_end(&mut bytes) {
        Ok(count) if count as u64 > MAX_FILE => Err(limit),
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("読めません。 It cannot be read: {error}")),
    }
}

/// Its text, whatever of the two encodings it has.
fn decode(bytes: &[u8]) -> Result<String, String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(
            "UTF-16 です。「CSV UTF-8」で保存し直してください。 It is UTF-16; save it as CSV UTF-8"
                .to_owned(),
        );
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        // What is neither has the sign for it in its cells, and its rows are refused.
        Err(_) => Ok(encoding_rs::SHIFT_JIS
            .decode_without_bom_handling(bytes)
            .0
            .into_owned()),
    }
}

/// Everything that the file asks for, or every row that is wrong. `new_id` draws the id of a new person.
pub(super) fn import(
    bytes: &[u8],
    known: &Rows,
    mut new_id: impl FnMut() -> String,
) -> Result<Import, Vec<Mistake>> {
    let head = |why: String| vec![Mistake { row: 1, why }];
    let text = decode(bytes).map_err(head)?;
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(text.as_bytes());
    let heads = reader
        .headers()
        .map_err(|error| head(format!("見出しを読めません。 {error}")))?
        .clone();
    let mut columns = Vec::new();
    for name in &heads {
        let name = name.trim();
        match COLUMNS
            .iter()
            .position(|(ja, en)| name == *ja || name.eq_ignore_ascii_case(en))
        {
            Some(at) if columns.contains(&Some(at)) => {
                return Err(head(format!(
                    "列「{name}」が二つあります。 The column {name} is there twice"
                )));
            }
            Some(at) => columns.push(Some(at)),
            None if name.is_empty() => columns.push(None),
            None => {
                let all: Vec<&str> = COLUMNS.iter().map(|(ja, _)| *ja).collect();
                return Err(head(format!(
                    "列「{}」は分かりません（{}）。 Unknown column; English heads: {}",
                    name.escape_debug(),
                    all.join("、"),
                    COLUMNS.map(|(_, en)| en).join(", ")
                )));
            }
        }
    }
    if !columns.contains(&Some(1)) {
        return Err(head(
            "列「氏名」がありません。 There is no column for the name (name)".to_owned(),
        ));
    }
    let (mut import, mut mistakes) = (Import::default(), Vec::new());
    let mut cards: BTreeMap<String, usize> = BTreeMap::new();
    let mut persons: BTreeMap<String, usize> = BTreeMap::new();
    for (at, record) in reader.records().enumerate() {
        let row = at + 2;
        if at == MAX_ROWS {
            let why =
                format!("{MAX_ROWS} 行までです。分けてください。 At most {MAX_ROWS} rows; split the file");
            mistakes.push(Mistake { row, why });
            break;
        }
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let why = format!("行を読めません。 {error}");
                mistakes.push(Mistake { row, why });
                break;
            }
        };
        if record.len() > columns.len() {
            let why = format!(
                "列が {} 個あります（見出しは {} 個）。区切りと引用符を確認してください。 More cells than heads",
                record.len(),
                columns.len()
            );
            mistakes.push(Mistake { row, why });
            continue;
        }
        let mut cells: [String; COLUMNS.len()] = Default::default();
        let mut wrong = Vec::new();
        for (cell, column) in record.iter().zip(&columns) {
            let Some(column) = column else { continue };
            match clean(unescaped(cell)) {
                Ok(kept) => cells[*column] = kept,
                Err(why) => wrong.push(format!("「{}」: {why}", COLUMNS[*column].0)),
            }
        }
        if wrong.is_empty() && cells.iter().all(String::is_empty) {
            continue;
        }
        for (what, seen) in [(&cells[13], &mut cards), (&cells[0], &mut persons)] {
            if !what.is_empty()
                && let Some(first) = seen.insert(what.to_ascii_lowercase(), row)
            {
                wrong.push(format!("「{what}」は {first} 行目にもあります（重複）。 {what} is in row {first}, too: a duplicate"));
            }
        }
        match wishes(&cells, known, &mut new_id) {
            Ok((wishes, personal)) if wrong.is_empty() => {
                import.rows.extend(std::iter::repeat_n(row, wishes.len()));
                import.wishes.extend(wishes);
                import.personal.push(personal);
            }
            Ok(_) => {}
            Err(more) => wrong.extend(more),
        }
        mistakes.extend(wrong.into_iter().map(|why| Mistake { row, why }));
    }
    if mistakes.is_empty() {
        Ok(import)
    } else {
        Err(mistakes)
    }
}

type Row = (Vec<Wish>, (String, Personal));

fn wishes(
    cells: &[String; 15],
    known: &Rows,
    new_id: &mut impl FnMut() -> String,
) -> Result<Row, Vec<String>> {
    let [
        id,
        name,
        kana,
        section,
        phone,
        company,
        kind,
        from,
        until,
        portals,
        hours,
        days,
        card,
        card_id,
        due,
    ] = cells;
    let mut wrong = Vec::new();
    if name.is_empty() {
        wrong.push("氏名がありません。 The name is missing".to_owned());
    }
    for text in [name, kana, section, phone, company] {
        // Not in free text: an individual number must never come in here.
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let only = text.chars().all(|c| c.is_ascii_digit() || matches!(c, ' ' | '-'));
        if only && digits.len() == 12 {
            wrong.push("12 桁の番号は登録できません（個人番号の疑い）。 Twelve digits are not taken: that may be an individual number".to_owned());
        }
    }
    let mut date = |text: &String, what: &str| {
        let day = day_of(&text.replace('/', "-"));
        if day.is_none() && !text.is_empty() {
            wrong.push(format!(
                "{what}「{text}」は日付ではありません（2027-03-31）。 {text} is no day, e.g. 2027-03-31"
            ));
        }
        day
    };
    let (from, until, due) = (date(from, "開始日"), date(until, "終了日"), date(due, "返却期限"));
    let kind = match kind.as_str() {
        "" => Some(Kind::Staff),
        word => Kind::of(word),
    };
    if kind.is_none() {
        let all = Kind::ALL.map(Kind::ja).join("、");
        wrong.push(format!(
            "区分「{}」は {all} のいずれかです。 The kind is one of {}",
            cells[6],
            Kind::ALL.map(Kind::word).join(", ")
        ));
    }
    let right = right(hours, days).unwrap_or_else(|why| {
        wrong.push(why);
        RightWish::default()
    });
    let row = known.persons.iter().find(|row| row.person == *id);
    if !id.is_empty() && row.is_none() {
        wrong.push(format!("番号「{id}」は登録されていません（新しい人は空欄）。 There is no person {id}; leave it empty for a new one"));
    }
    if card.is_empty() && !card_id.is_empty() {
        wrong.push(
            "カードID だけでカード名がありません。 There is the id of a card and no name for it".to_owned(),
        );
    }
    let Some(kind) = kind.filter(|_| wrong.is_empty()) else {
        return Err(wrong);
    };
    let person = if id.is_empty() { new_id() } else { id.clone() };
    let mut wishes = vec![match row {
        None => Wish::Add {
            person: person.clone(),
            kind,
            from,
            until,
        },
        Some(_) => Wish::Change {
            person: person.clone(),
            kind: Some(kind),
            until: (kind == Kind::Staff || until.is_some()).then_some(until),
        },
    }];
    let portals: Vec<String> = portals
        .split([';', ',', ' ', '、', '・', '　'])
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    if !portals.is_empty() {
        wishes.push(Wish::Grant {
            person: person.clone(),
            portals,
            right,
        });
    }
    if !card.is_empty() && !row.is_some_and(|row| row.cards.contains(card)) {
        if !card_id.is_empty() {
            wishes.push(Wish::Issue {
                card: card.clone(),
                id: card_id.clone(),
                pin_id: None,
            });
        }
        wishes.push(Wish::Lend {
            card: card.clone(),
            person: person.clone(),
            due,
        });
    }
    let personal = Personal {
        name: name.clone(),
        kana: kana.clone(),
        section: section.clone(),
        phone: phone.clone(),
        company: company.clone(),
    };
    Ok((wishes, (person, personal)))
}

/// `08:30-17:20` and `月火水木金` or `mon tue`; empty is always.
pub(super) fn right(hours: &str, days: &str) -> Result<RightWish, String> {
    let mut right = RightWish::default();
    if !hours.is_empty() {
        let read = hours
            .split_once(['-', '～', '〜'])
            .and_then(|(from, to)| Some((step_of(from.trim())?, step_of(to.trim())?)));
        let Some((from, to)) = read else {
            return Err(format!(
                "時間「{hours}」は 08:30-17:20 のように10分単位で書きます。 {hours} are no hours: 08:30-17:20, in steps of ten minutes"
            ));
        };
        (right.from, right.to) = (from, to);
    }
    if !days.is_empty() && days != "every" && days != "毎日" {
        right.days = 0;
        let words = days.split([' ', ',', ';', '、']).filter(|word| !word.is_empty());
        for word in words {
            if let Some(at) = DAYS.iter().position(|(_, en)| word.eq_ignore_ascii_case(en)) {
                right.days |= 1 << at;
                continue;
            }
            for letter in word.chars() {
                let Some(at) = DAYS.iter().position(|(ja, _)| ja.starts_with(letter)) else {
                    return Err(format!(
                        "曜日「{days}」は 月火水木金土日祝 で書きます。 {days} are no days: mon tue wed thu fri sat sun holiday"
                    ));
                };
                right.days |= 1 << at;
            }
        }
    }
    Ok(right)
}

/// `月火水木金` of the bits of a right; empty for every day.
fn days_text(days: u8) -> String {
    if days == u8::MAX {
        return String::new();
    }
    let set = DAYS.iter().enumerate().filter(|(at, _)| days & (1 << at) != 0);
    set.map(|(_, (ja, _))| *ja).collect()
}

/// Every person as CSV that a spreadsheet opens: UTF-8 with mark, no formula.
pub(super) fn export(rows: &Rows, names: &BTreeMap<String, Personal>) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(b"\xef\xbb\xbf".to_vec());
    writer.write_record(COLUMNS.map(|(ja, _)| ja))?;
    for row in &rows.persons {
        let unknown = Personal::default();
        let personal = names.get(&row.person).unwrap_or(&unknown);
        let portals: Vec<&str> = row.rights.iter().map(|right| right.portal.as_str()).collect();
        let first = row.rights.first();
        let kind = Kind::of(&row.kind).map_or(row.kind.as_str(), |kind| kind.ja());
        let hours = first.map_or(String::new(), |right| right.hours.clone());
        let card = row.cards.first().map_or("", String::as_str);
        let due = rows
            .cards
            .iter()
            .find(|known| known.card == card)
            .and_then(|known| known.due.clone());
        writer.write_record([
            row.person.as_str(),
            &escaped(&personal.name),
            &escaped(&personal.kana),
            &escaped(&personal.section),
            &escaped(&personal.phone),
            &escaped(&personal.company),
            kind,
            &row.from,
            row.until.as_deref().unwrap_or_default(),
            &portals.join(";"),
            &hours,
            &first.map_or(String::new(), |right| days_text(right.days)),
            &escaped(card),
            // The id of a card is not given out again.
            "",
            due.as_deref().unwrap_or_default(),
        ])?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

const fn is_formula(first: char) -> bool {
    matches!(
        first,
        '=' | '+' | '-' | '@' | '\t' | '\r' | '＝' | '＋' | '－' | '＠'
    )
}

fn escaped(text: &str) -> String {
    match text.chars().next() {
        Some(first) if is_formula(first) || first == '\'' => format!("'{text}"),
        _ => text.to_owned(),
    }
}

fn unescaped(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest)
            if rest
                .chars()
                .next()
                .is_some_and(|first| is_formula(first) || first == '\'') =>
        {
            rest
        }
        _ => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::people::PersonRow;

    fn read_file(bytes: &[u8]) -> Result<Import, Vec<Mistake>> {
        let mut number = 0;
        import(bytes, &Rows::default(), || {
            number += 1;
            format!("p-{number:08}")
        })
    }

    fn mistakes(text: &str) -> Vec<(usize, String)> {
        let found = read_file(text.as_bytes()).unwrap_err();
        found
            .into_iter()
            .map(|mistake| (mistake.row, mistake.why))
            .collect()
    }

    #[test]
    fn a_list_of_persons_is_read_in_utf_8_and_shift_jis_alike() {
        let text = "氏名,フリガナ,所属,区分,出入口,時間,曜日,カード,カードID\r\n\
            山田 太郎,ﾔﾏﾀﾞ ﾀﾛｳ,総務課,職員,entrance;vault,08:30-17:20,月火水木金,C1,0102030405060708\r\n\
            ,,,,,,,,\r\n\
            佐藤 花子,サトウ ハナコ,情報課,会計年度任用職員,entrance,,,,\r\n";
        let (sjis, _, lossy) = encoding_rs::SHIFT_JIS.encode(text);
        assert!(!lossy);
        let with_mark = [b"\xef\xbb\xbf".as_slice(), text.as_bytes()].concat();
        for bytes in [text.as_bytes(), &sjis, &with_mark] {
            let import = read_file(bytes).unwrap();
            assert_eq!(import.rows, [2, 2, 2, 2, 4, 4]);
            assert_eq!(import.personal[0].1.kana, "ヤマダ タロウ");
            let granted = matches!(&import.wishes[1], Wish::Grant { portals, right, .. }
                if portals.len() == 2 && (right.from, right.to, right.days) == (51, 104, 0b1_1111));
            assert!(granted, "{:?}", import.wishes[1]);
        }
    }

    #[test]
    fn every_row_with_a_mistake_is_named_and_nothing_is_taken() {
        let text = "name,kind,until,card,card_id,hours,phone\n\
            Yamada,staff,,C1,aa,,\n\
            ,staff,,,,,\n\
            Sato\u{202e}x,staff,,,,,\n\
            Suzuki,boss,2027/13/01,,,,\n\
            Ito,staff,,,,8-17,\n\
            Kato,staff,,C2,AA,,\n\
            Mori,staff,,,,,1234 5678 9012\n\
            Ono,staff,,,,,,,extra\n";
        let found = mistakes(text);
        let rows: Vec<usize> = found.iter().map(|(row, _)| *row).collect();
        assert_eq!(rows, [3, 4, 4, 5, 5, 6, 7, 8, 9]);
        assert!(
            found[1].1.contains("U+202E") || found[2].1.contains("U+202E"),
            "{found:?}"
        );
        assert!(found[6].1.contains("row 2"), "{found:?}");
        assert!(found.iter().any(|(_, why)| why.contains("individual number")));
    }

    #[test]
    fn unknown_and_doubled_heads_and_other_encodings_are_said_at_once() {
        for (text, word) in [
            ("naem\nx\n", "Unknown column"),
            ("name,name\nx,y\n", "twice"),
            ("kana\nx\n", "氏名"),
            ("", "氏名"),
        ] {
            let found = mistakes(text);
            assert!(found[0].0 == 1 && found[0].1.contains(word), "{found:?}");
        }
        let found = read_file(b"\xff\xfen\0a\0").unwrap_err();
        assert!(found[0].why.contains("UTF-16"));
        // Neither UTF-8 nor Shift_JIS.
        let found = read_file(b"name\n\xfd\xfe\xff\n").unwrap_err();
        assert_eq!(found[0].row, 2);
    }

    #[test]
    fn a_file_of_a_hundred_megabytes_is_refused_after_the_first_four() {
        struct Endless(u64);
        impl Read for Endless {
            fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
                into.fill(b'a');
                self.0 += into.len() as u64;
                Ok(into.len())
            }
        }
        let mut endless = Endless(0);
        let refused = super::read(&mut endless).unwrap_err();
        assert!(refused.contains("4 MiB"), "{refused}");
        assert!(endless.0 <= 2 * MAX_FILE, "{}", endless.0);
        let rows = "name\n".to_owned() + &"x\n".repeat(MAX_ROWS + 1);
        assert_eq!(mistakes(&rows)[0].0, MAX_ROWS + 2);
    }

    #[test]
    fn no_cell_of_an_export_is_a_formula_and_it_comes_in_again_as_it_was() {
        let mut names = BTreeMap::new();
        let texts = [
            "=HYPERLINK(\"x\")",
            "+81",
            "-1",
            "@sum",
            "山田, \"太郎\"",
            "'quoted",
            "＝１",
        ];
        let mut rows = Rows::default();
        for (number, text) in texts.iter().enumerate() {
            let person = format!("p-{number:08}");
            let personal = Personal {
                name: (*text).to_owned(),
                ..Personal::default()
            };
            names.insert(person.clone(), personal);
            rows.persons.push(PersonRow {
                person,
                kind: "staff".to_owned(),
                state: "present".to_owned(),
                from: "2026-11-24".to_owned(),
                until: None,
                confirmed: "2026-11-24".to_owned(),
                unconfirmed: false,
                cards: vec![],
                rights: vec![],
                stands_in_for: vec![],
            });
        }
        let bytes = export(&rows, &names).unwrap();
        assert!(bytes.starts_with(b"\xef\xbb\xbf"));
        let mut reader = csv::Reader::from_reader(&bytes[3..]);
        for record in reader.records() {
            for cell in &record.unwrap() {
                assert!(!cell.starts_with(is_formula), "{cell}");
            }
        }
        let again = import(&bytes, &rows, || panic!("everybody is known")).unwrap();
        let read: Vec<&str> = again.personal.iter().map(|(_, row)| row.name.as_str()).collect();
        assert_eq!(read, texts);
    }
}
