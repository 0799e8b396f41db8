//! `yagura person`, `yagura right`, `yagura who-is-inside`: who may enter, and who did.
//!
//! Changes and names go over the operator's socket alone: who asks is what the machine says.

use super::keep::{self, Answer, follow, person_id, shown};
use super::{Failure, load, people_csv, table};
use clap::{Args, Subcommand, ValueEnum};
use rand::Rng as _;
use room::people::{Ask, Kind, PersonRow, Personal, RightWish, Wish, clean, day_of};
use room::register::{Direction, PassageRow};
use room::site::{Real, Site};
use std::path::PathBuf;
use std::process::ExitCode;

/// Passages that are shown when nothing is said.
const PASSAGES: usize = 20;

/// What to do with persons.
#[derive(Debug, Subcommand)]
pub(super) enum PersonCommand {
    /// Everybody in the register (一覧)
    List(ListArgs),
    /// A new person; may get doors and a card in the same act (登録)
    Add(AddArgs),
    /// Another name, section, kind or last day (変更)
    Change(ChangeArgs),
    /// Somebody leaves: rights, deputies and cards end in one act (退職・終了)
    Leave(LeaveArgs),
    /// Say that these still need to enter (年次の再確認)
    Confirm(ConfirmArgs),
    /// Let somebody open what another person may, for a while (代理)
    Deputy(DeputyArgs),
    /// Forget the name of somebody who left and gave the card back (消去)
    Erase(OneArgs),
    /// Take a list of persons from a CSV file: all of it, or nothing (取り込み)
    Import(ImportArgs),
    /// Write the persons as CSV (書き出し)
    Export(ExportArgs),
}

/// What to do with rights.
#[derive(Debug, Subcommand)]
pub(super) enum RightCommand {
    /// Let a person open doors (権限を与える)
    Grant(GrantArgs),
    /// Let a person open doors no more (権限を外す)
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only those of whom nobody has said since that day that they still need to enter
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    unconfirmed_since: Option<u16>,
    /// Who left, too
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindArg {
    /// 職員
    Staff,
    /// 会計年度任用職員: ends on 31 March
    FixedTerm,
    /// 委託事業者: needs --until
    Contractor,
    /// 来訪者: ends the same day
    Visitor,
}

impl From<KindArg> for Kind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Staff => Self::Staff,
            KindArg::FixedTerm => Self::FixedTerm,
            KindArg::Contractor => Self::Contractor,
            KindArg::Visitor => Self::Visitor,
        }
    }
}

#[derive(Debug, Args)]
struct NameArgs {
    /// Reading in kana (フリガナ)
    #[arg(long)]
    kana: Option<String>,
    /// Section (所属)
    #[arg(long)]
    section: Option<String>,
    /// Telephone (電話)
    #[arg(long)]
    phone: Option<String>,
    /// Company (会社)
    #[arg(long)]
    company: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Name (氏名)
    name: String,
    #[command(flatten)]
    names: NameArgs,
    /// What kind
    #[arg(long, value_enum, default_value = "staff")]
    kind: KindArg,
    /// First day; today when left out
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    from: Option<u16>,
    /// Last day, included
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    until: Option<u16>,
    /// Doors they may open
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    portals: Vec<String>,
    #[command(flatten)]
    when: WhenArgs,
    /// A card from the drawer to lend them
    #[arg(long)]
    card: Option<String>,
    /// The last day on which that card works
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    due: Option<u16>,
}

#[derive(Debug, Args)]
struct WhenArgs {
    /// Hours, e.g. 08:30-17:20; always when left out
    #[arg(long, default_value = "")]
    hours: String,
    /// Days, e.g. 月火水木金 or "mon tue"; every day when left out
    #[arg(long, default_value = "")]
    days: String,
}

impl WhenArgs {
    fn right(&self) -> Result<RightWish, Failure> {
        people_csv::right(&self.hours, &self.days).map_err(|why| Failure::new(Failure::WRONG, why))
    }
}

#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Name or id
    person: String,
    /// Another name (氏名)
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    names: NameArgs,
    /// Another kind
    #[arg(long, value_enum)]
    kind: Option<KindArg>,
    /// Another last day, or `none`
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day_or_none)]
    until: Option<End>,
}

/// A last day, or none.
#[derive(Debug, Clone, Copy)]
struct End(Option<u16>);

#[derive(Debug, Args)]
pub(super) struct LeaveArgs {
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Name or id
    person: String,
    /// At once
    #[arg(long, required_unless_present = "last", conflicts_with = "last")]
    now: bool,
    /// The last day on which they may enter
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    last: Option<u16>,
}

#[derive(Debug, Args)]
pub(super) struct ConfirmArgs {
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Names or ids
    #[arg(required = true)]
    persons: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct DeputyArgs {
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Who stands in: name or id
    deputy: String,
    /// For whom: name or id
    #[arg(long)]
    of: String,
    /// First day
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day, required_unless_present = "end")]
    from: Option<u16>,
    /// Last day, included
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day, required_unless_present = "end")]
    until: Option<u16>,
    /// End it now
    #[arg(long)]
    end: bool,
}

#[derive(Debug, Args)]
pub(super) struct OneArgs {
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Name or id
    person: String,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// CSV with the heads 氏名 フリガナ 所属 区分 終了日 出入口 時間 曜日 カード カードID (or name, kana, ...)
    file: PathBuf,
    /// Only say what would be done, and every mistake
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// File to write; it must not be there. It holds names: keep it as such
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct GrantArgs {
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Name or id
    #[arg(long)]
    person: String,
    /// Doors
    #[arg(long, value_name = "A,B", value_delimiter = ',', required = true)]
    portals: Vec<String>,
    #[command(flatten)]
    when: WhenArgs,
    /// First day; today when left out
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    from: Option<u16>,
    /// Last day, included
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    until: Option<u16>,
}

#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Name or id
    #[arg(long)]
    person: String,
    /// Doors; all when left out
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    portals: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct InsideArgs {
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// So many of the last passages, too
    #[arg(long, default_value_t = PASSAGES)]
    passages: usize,
}

/// A day of the command line.
pub(super) fn day(text: &str) -> Result<u16, String> {
    day_of(text).ok_or_else(|| "no day, e.g. 2027-03-31".to_owned())
}

fn day_or_none(text: &str) -> Result<End, String> {
    if text == "none" {
        return Ok(End(None));
    }
    day(text).map(|day| End(Some(day)))
}

/// `p-` and eight letters or digits that are told apart when read aloud.
fn new_id() -> String {
    const LETTERS: &[u8] = b"23456789abcdefghjkmnpqrstvwxyz";
    let mut random = rand::rng();
    let letter = |_| char::from(LETTERS[random.random_range(0..LETTERS.len())]);
    format!("p-{}", (0..8).map(letter).collect::<String>())
}

fn text(what: &str, value: &str) -> Result<String, Failure> {
    clean(value).map_err(|why| Failure::new(Failure::WRONG, format!("{what}: {why}")))
}

/// `yagura person`.
pub(super) async fn run(command: PersonCommand) -> Result<ExitCode, Failure> {
    match command {
        PersonCommand::List(args) => list(args).await,
        PersonCommand::Add(args) => add(args).await,
        PersonCommand::Change(args) => change(args).await,
        PersonCommand::Leave(args) => leave(args).await,
        PersonCommand::Confirm(args) => {
            let site = load::<Real>(&args.config)?;
            let (rows, names) = keep::register(&site).await?;
            let persons = args.persons.iter().map(|text| person_id(&rows, &names, text));
            let persons = persons.collect::<Result<Vec<_>, _>>()?;
            done(follow(&site, vec![Wish::Confirm { persons }], Vec::new()).await)
        }
        PersonCommand::Deputy(args) => {
            let site = load::<Real>(&args.config)?;
            let (rows, names) = keep::register(&site).await?;
            let (from, until) = if args.end {
                (1, 0)
            } else {
                (args.from.unwrap_or(0), args.until.unwrap_or(0))
            };
            let wish = Wish::Deputy {
                deputy: person_id(&rows, &names, &args.deputy)?,
                of: person_id(&rows, &names, &args.of)?,
                from,
                until,
            };
            done(follow(&site, vec![wish], Vec::new()).await)
        }
        PersonCommand::Erase(args) => {
            let site = load::<Real>(&args.config)?;
            let (rows, names) = keep::register(&site).await?;
            let person = person_id(&rows, &names, &args.person)?;
            done(follow(&site, vec![Wish::Erase { person }], Vec::new()).await)
        }
        PersonCommand::Import(args) => import(args).await,
        PersonCommand::Export(args) => export(args).await,
    }
}

/// `yagura right`.
pub(super) async fn right(command: RightCommand) -> Result<ExitCode, Failure> {
    let (config, person) = match &command {
        RightCommand::Grant(args) => (&args.config, &args.person),
        RightCommand::Revoke(args) => (&args.config, &args.person),
    };
    let site = load::<Real>(config)?;
    let (rows, names) = keep::register(&site).await?;
    let person = person_id(&rows, &names, person)?;
    let wish = match command {
        RightCommand::Grant(args) => Wish::Grant {
            person,
            portals: args.portals,
            right: RightWish {
                valid_from: args.from,
                valid_until: args.until,
                ..args.when.right()?
            },
        },
        RightCommand::Revoke(args) => Wish::Revoke {
            person,
            portals: args.portals,
        },
    };
    done(follow(&site, vec![wish], Vec::new()).await)
}

fn done(result: Result<(), Failure>) -> Result<ExitCode, Failure> {
    result.map(|()| ExitCode::SUCCESS)
}

async fn list(args: ListArgs) -> Result<ExitCode, Failure> {
    let site = load::<Real>(&args.config)?;
    let (rows, names) = keep::register(&site).await?;
    let since = args.unconfirmed_since.map(room::people::date_text);
    let wanted = |row: &&PersonRow| {
        let gone = ["left", "over"].contains(&row.state.as_str());
        // The form of a date sorts like the date.
        (args.all || !gone) && since.as_ref().is_none_or(|since| !gone && row.confirmed < *since)
    };
    let cells = rows.persons.iter().filter(wanted).map(|row| {
        let personal = names.get(&row.person).cloned().unwrap_or_default();
        let doors: Vec<&str> = row.rights.iter().map(|right| right.portal.as_str()).collect();
        [
            row.person.clone(),
            personal.name,
            if personal.section.is_empty() {
                personal.company
            } else {
                personal.section
            },
            Kind::of(&row.kind)
                .map_or(row.kind.as_str(), |kind| kind.ja())
                .to_owned(),
            state(row).to_owned(),
            row.until.clone().unwrap_or_else(|| "-".to_owned()),
            row.confirmed.clone(),
            row.cards.join(" "),
            doors.join(" "),
        ]
    });
    let cells: Vec<_> = cells.collect();
    if cells.is_empty() {
        println!("該当する人はいません。 Nobody.");
        return Ok(ExitCode::SUCCESS);
    }
    let heads = [
        "番号 id",
        "氏名 name",
        "所属 section",
        "区分 kind",
        "状態 state",
        "終了日 until",
        "確認日 confirmed",
        "カード card",
        "出入口 doors",
    ];
    print!("{}", table::draw(heads, &cells));
    Ok(ExitCode::SUCCESS)
}

fn state(row: &PersonRow) -> &'static str {
    match row.state.as_str() {
        "to_come" => "開始前",
        "over" => "期限切れ",
        "left" => "退職・終了",
        "unconfirmed" => "停止(未確認)",
        _ if row.unconfirmed => "在籍(未確認)",
        _ => "在籍",
    }
}

async fn add(args: AddArgs) -> Result<ExitCode, Failure> {
    let site = load::<Real>(&args.config)?;
    let right = args.when.right()?;
    let person = new_id();
    let personal = Personal {
        name: text("name", &args.name)?,
        ..named(Personal::default(), &args.names)?
    };
    let mut wishes = vec![Wish::Add {
        person: person.clone(),
        kind: args.kind.into(),
        from: args.from,
        until: args.until,
    }];
    if !args.portals.is_empty() {
        wishes.push(Wish::Grant {
            person: person.clone(),
            portals: args.portals,
            right,
        });
    }
    if let Some(card) = args.card {
        wishes.push(Wish::Lend {
            card,
            person: person.clone(),
            due: args.due,
        });
    }
    follow(&site, wishes, vec![(person.clone(), personal)]).await?;
    println!("番号 id: {person}");
    Ok(ExitCode::SUCCESS)
}

fn named(mut personal: Personal, args: &NameArgs) -> Result<Personal, Failure> {
    for (what, value, into) in [
        ("kana", &args.kana, &mut personal.kana),
        ("section", &args.section, &mut personal.section),
        ("phone", &args.phone, &mut personal.phone),
        ("company", &args.company, &mut personal.company),
    ] {
        if let Some(value) = value {
            *into = text(what, value)?;
        }
    }
    Ok(personal)
}

async fn change(args: ChangeArgs) -> Result<ExitCode, Failure> {
    let site = load::<Real>(&args.config)?;
    let (rows, names) = keep::register(&site).await?;
    let person = person_id(&rows, &names, &args.person)?;
    let known = names.get(&person).cloned().unwrap_or_default();
    let mut personal = named(known.clone(), &args.names)?;
    if let Some(name) = &args.name {
        personal.name = text("name", name)?;
    }
    let wish = Wish::Change {
        person: person.clone(),
        kind: args.kind.map(Kind::from),
        until: args.until.map(|End(until)| until),
    };
    let personal = if personal == known {
        Vec::new()
    } else {
        vec![(person, personal)]
    };
    done(follow(&site, vec![wish], personal).await)
}

async fn leave(args: LeaveArgs) -> Result<ExitCode, Failure> {
    let site = load::<Real>(&args.config)?;
    let (rows, names) = keep::register(&site).await?;
    let person = person_id(&rows, &names, &args.person)?;
    let row = rows.persons.iter().find(|row| row.person == person);
    let cards = row.map(|row| row.cards.join(" ")).unwrap_or_default();
    let last = if args.now { None } else { args.last };
    follow(&site, vec![Wish::Leave { person, last }], Vec::new()).await?;
    if !cards.is_empty() {
        println!(
            "未返却のカード: {cards}（受け取ったら card return）。 Not given back yet: {cards}; then `card return`."
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn import(args: ImportArgs) -> Result<ExitCode, Failure> {
    let site = load::<Real>(&args.config)?;
    let file = std::fs::File::open(&args.file).map_err(|error| Failure::read(&args.file, error))?;
    let bytes = people_csv::read(file)
        .map_err(|why| Failure::new(Failure::WRONG, format!("{}: {why}", args.file.display())))?;
    let (rows, _) = keep::register(&site).await?;
    let mut drawn: std::collections::BTreeSet<String> =
        rows.persons.iter().map(|row| row.person.clone()).collect();
    let fresh = || loop {
        let id = new_id();
        if drawn.insert(id.clone()) {
            return id;
        }
    };
    let mistakes = match people_csv::import(&bytes, &rows, fresh) {
        Err(mistakes) => mistakes,
        Ok(import) => {
            let persons = import.personal.len();
            let ask = if args.dry_run {
                Ask::Try(import.wishes)
            } else {
                Ask::Do(import.wishes)
            };
            match keep::order(&site, ask, import.personal).await? {
                Answer::Done(said) => {
                    println!("{persons} 人。{said}");
                    return Ok(ExitCode::SUCCESS);
                }
                Answer::Mistakes(problems) => problems
                    .into_iter()
                    .map(|problem| people_csv::Mistake {
                        row: import.rows.get(problem.at).copied().unwrap_or(1),
                        why: format!("{}。 {}", problem.why.ja, problem.why.en),
                    })
                    .collect(),
            }
        }
    };
    let file = args.file.display();
    for mistake in mistakes.iter().take(people_csv::MAX_SHOWN) {
        println!(
            "{file}: {} 行目 row {}: {}",
            mistake.row, mistake.row, mistake.why
        );
    }
    Err(Failure::new(
        Failure::WRONG,
        format!(
            "{} 件の誤り。何も取り込んでいません。 {0} mistakes; nothing was taken.",
            mistakes.len()
        ),
    ))
}

async fn export(args: ExportArgs) -> Result<ExitCode, Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let site = load::<Real>(&args.config)?;
    let (rows, names) = keep::register(&site).await?;
    let csv = people_csv::export(&rows, &names)
        .map_err(|error| Failure::because(Failure::WRONG, "writing the CSV", &error))?;
    let options = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&args.out);
    options
        .and_then(|mut file| file.write_all(&csv))
        .map_err(|error| {
            Failure::because(Failure::START, format!("writing {}", args.out.display()), &error)
        })?;
    println!(
        "{} 人を {} に書き出しました。 {0} persons written.",
        rows.persons.len(),
        args.out.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// `yagura who-is-inside`.
pub(super) async fn who_is_inside(args: InsideArgs) -> Result<ExitCode, Failure> {
    let site = load::<Real>(&args.config)?;
    let ((inside, passages), names) = keep::passages(&site).await?;
    let who = |person: &Option<String>, card: Option<&String>| match (person, card) {
        (Some(person), _) => shown(&names, person),
        (None, Some(card)) => holder_of_file(&site, card),
        (None, None) => "-".to_owned(),
    };
    println!("在室 {} 名 / inside: {}", inside.len(), inside.len());
    if !inside.is_empty() {
        let cells = inside.iter().map(|row| {
            let sure = if row.leaves_are_read {
                ""
            } else {
                "退室未記録 exit not read"
            };
            [
                row.area.clone(),
                who(&row.person, Some(&row.card)),
                table::time(row.since_ms),
                row.portal.clone(),
                sure.to_owned(),
            ]
        });
        let heads = ["区画 area", "氏名 name", "入室 since", "出入口 door", "備考 note"];
        print!("{}", table::draw(heads, &cells.collect::<Vec<_>>()));
    }
    let last: Vec<&PassageRow> = passages.iter().take(args.passages).collect();
    if !last.is_empty() {
        let cells = last.iter().map(|row| {
            let way = match row.direction {
                Direction::Entry => "入 in",
                Direction::Exit => "出 out",
                Direction::Unknown => "不明",
            };
            let flags: Vec<&str> = row.flags.iter().map(|flag| flag.words().0).collect();
            let opened = match row.opened {
                Some(true) => "開扉",
                Some(false) => "-",
                None => "不明",
            };
            [
                table::time(row.at_ms),
                row.portal.clone(),
                way.to_owned(),
                who(&row.person, row.card.as_ref()),
                row.decision.clone(),
                opened.to_owned(),
                flags.join(" "),
            ]
        });
        println!("\n最近の通過 / last passages:");
        let heads = [
            "時刻 time",
            "出入口 door",
            "方向",
            "氏名 name",
            "判定 decision",
            "扉",
            "注意 flags",
        ];
        print!("{}", table::draw(heads, &cells.collect::<Vec<_>>()));
    }
    Ok(ExitCode::SUCCESS)
}

/// What the site's file of cards calls the holder of a card that the register does not know.
fn holder_of_file(site: &Site<Real>, card: &str) -> String {
    let cards = crate::core::cards::read(site)
        .map(|(cards, _)| cards)
        .unwrap_or_default();
    let mut id = [0; 8];
    let known = room::hex::read(card.as_bytes(), &mut id);
    let row = cards
        .iter()
        .find(|row| known && (row.id == id || row.pin_id == Some(id)));
    row.map_or_else(|| format!("カード {card}"), |row| row.holder.clone())
}
