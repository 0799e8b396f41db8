//! `yagura node ...`: gives a node its identity over its serial console, takes it away, and asks
//! the running controller for what goes over the network (new key, restart, firmware).
//!
//! Provisioning never overwrites: a node that has a block must be erased first, by naming it, and
//! a key file that is there is used as it is.

mod console;
mod keys;
mod label;

use super::{Failure, http, load, person};
use crate::clock;
use clap::{Args, Subcommand, ValueEnum};
use console::{Console, ConsoleError, Identity};
use label::Label;
use room::site::block::block;
use room::site::{Node, Real, Site};
use serialport::SerialPort;
use shared::console::BAUD;
use shared::provision::first_boot;
use shared::wire::DeviceKey;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// A read of the port comes back after so long without data.
const PORT_WAIT: Duration = Duration::from_millis(50);
/// Longest firmware image that is read.
const MAX_IMAGE: u64 = (shared::image::MAX_IMAGE + shared::image::FILE_HEAD_LEN) as u64;

/// What to do with a node.
#[derive(Debug, Subcommand)]
pub(super) enum NodeCommand {
    /// Give a node its id, keys, address and mount table over its console (初期設定する)
    #[command(
        after_long_help = "Makes the node's key and the site's card key when their files are not there, writes everything \
        the site file says about the node, verifies what the node made of it, and prints the label to stick on it.\n\
        Start the controller again afterwards: it reads keys when it starts."
    )]
    Provision(ProvisionArgs),
    /// Let a node forget its keys, cards and events (使用をやめる)
    #[command(
        after_long_help = "With --port at its console; waits until it has, and moves its key file aside (.old), so that the node gets a \
        new key when it is provisioned again. Without --port the running controller tells it over the network."
    )]
    Erase(EraseArgs),
    /// Print the nodes' accounts for a broker of the site, e.g. mosquitto (ブローカ用のアカウント)
    #[command(
        after_long_help = "Only for a broker of the site; the built-in endpoint reads the keys itself. For mosquitto, as root:\n  \
        umask 077; yagura node accounts --config site.toml --of tls > /etc/mosquitto/psk   (psk_file)\n  \
        umask 077; yagura node accounts --config site.toml --of mqtt > /etc/mosquitto/passwd; \
        mosquitto_passwd -U /etc/mosquitto/passwd   (password_file)\n\
        Both follow from a node's key at its provisioning and stay when the key is rotated."
    )]
    Accounts(AccountsArgs),
    /// Show what a node says about itself on its console (状態を見る)
    Status(StatusArgs),
    /// Let the running controller change a node's key (鍵を替える)
    RotateKey(NodeArgs),
    /// Let the running controller restart a node (再起動する)
    Restart(NodeArgs),
    /// Let the running controller give a node a signed firmware image (更新する)
    Update(UpdateArgs),
}

/// Which node of which site.
#[derive(Debug, Args)]
pub(super) struct NodeArgs {
    /// Site file (設置場所の設定ファイル)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Short name of the node, as in its `[[node]]` (端末の名前)
    #[arg(long, value_name = "NAME")]
    node: String,
}

#[derive(Debug, Args)]
pub(super) struct ProvisionArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// Serial port of the node's console (シリアルポート)
    #[arg(long, value_name = "PORT")]
    port: String,
    /// Write the label as SVG, 62 x 29 mm (ラベルの出力先)
    #[arg(long, value_name = "FILE")]
    label: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct EraseArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// Serial port of the node's console; without it over the network
    #[arg(long, value_name = "PORT")]
    port: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct AccountsArgs {
    /// Site file (設置場所の設定ファイル)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Which accounts
    #[arg(long, value_enum)]
    of: Accounts,
}

/// What a broker asks a node for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Accounts {
    /// User and password of MQTT
    Mqtt,
    /// Identity and key of TLS, for firmware that is built with it
    Tls,
}

impl Accounts {
    /// The line of a node; secret.
    fn line(self, node: u16, key: [u8; 32]) -> String {
        let key = DeviceKey::new(key);
        match self {
            Self::Mqtt => format!("{node}:{}", key.broker_password()),
            Self::Tls => {
                let hex = key
                    .tls_key()
                    .iter()
                    .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
                format!("{node}:{hex}")
            }
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Serial port of the node's console (シリアルポート)
    #[arg(long, value_name = "PORT")]
    port: String,
}

#[derive(Debug, Args)]
pub(super) struct UpdateArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// Signed image, as `cargo xtask firmware sign` writes it (署名済みの更新ファイル)
    #[arg(long, value_name = "FILE")]
    image: PathBuf,
}

/// `yagura node`.
pub(super) async fn run(command: NodeCommand) -> Result<ExitCode, Failure> {
    match command {
        NodeCommand::Provision(args) => provision(&args),
        NodeCommand::Erase(args) => match &args.port {
            Some(port) => erase(&args.node, port),
            None => order(&args.node, "erase", serde_json::json!({})).await,
        },
        NodeCommand::Accounts(args) => accounts(&args),
        NodeCommand::Status(args) => status(&args.port),
        NodeCommand::RotateKey(args) => order(&args, "rotate-key", serde_json::json!({})).await,
        NodeCommand::Restart(args) => order(&args, "restart", serde_json::json!({})).await,
        NodeCommand::Update(args) => update(&args).await,
    }
}

fn wrong(message: impl Into<String>) -> Failure {
    Failure::new(Failure::WRONG, message)
}

fn find<'s>(site: &'s Site<Real>, name: &str) -> Result<&'s Node, Failure> {
    site.nodes.iter().find(|node| node.name == name).ok_or_else(|| {
        let names: Vec<&str> = site.nodes.iter().map(|node| node.name.as_str()).collect();
        wrong(format!(
            "the site has no node {name}; it has: {}",
            names.join(", ")
        ))
    })
}

// ---- at the console ------------------------------------------------------------------------

type Port = Console<Box<dyn SerialPort>>;

fn open(path: &str) -> Result<Port, Failure> {
    let port = serialport::new(path, BAUD).timeout(PORT_WAIT).open();
    let port = port.map_err(|error| {
        let hint = match error.kind() {
            serialport::ErrorKind::NoDevice => {
                "it is not there, or another program holds it; look with ls /dev/ttyUSB* /dev/ttyACM*, and close \
                 any terminal program (ポートがないか、他のプログラムが使用中です)"
            }
            serialport::ErrorKind::Io(std::io::ErrorKind::PermissionDenied) => {
                "you may not open it; run as root or join the group of the port, usually dialout \
                 (権限がありません)"
            }
            serialport::ErrorKind::Io(std::io::ErrorKind::NotFound) => {
                "it is not there; look with ls /dev/ttyUSB* /dev/ttyACM* (ポートがありません)"
            }
            _ => "it cannot be opened as a serial port (シリアルポートとして開けません)",
        };
        wrong(format!("{path}: {hint}: {error}"))
    })?;
    let mut console = Console::new(port);
    console.settle().map_err(|why| talked(path, &why))?;
    Ok(console)
}

fn talked(path: &str, why: &ConsoleError) -> Failure {
    wrong(format!("{path}: {why}"))
}

fn status(path: &str) -> Result<ExitCode, Failure> {
    let mut console = open(path)?;
    let fault = |why| talked(path, &why);
    let identity = console.identity().map_err(fault)?;
    for (word, value) in &identity.fields {
        println!("{word:<12} {value}");
    }
    if identity.node.is_some() {
        for (word, value) in &console.status().map_err(fault)? {
            println!("{word:<12} {value}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn accounts(args: &AccountsArgs) -> Result<ExitCode, Failure> {
    let site = load::<Real>(&args.config)?;
    let mut exit = ExitCode::SUCCESS;
    for node in &site.nodes {
        match keys::read(&node.key_file) {
            Ok(key) => println!("{}", args.of.line(node.id, *key)),
            // The others can connect all the same.
            Err(error) => {
                let file = node.key_file.display();
                eprintln!(
                    "{}: no account, its key {file} cannot be read: {error} (鍵を読めません)",
                    node.name
                );
                exit = ExitCode::from(Failure::WRONG);
            }
        }
    }
    Ok(exit)
}

fn provision(args: &ProvisionArgs) -> Result<ExitCode, Failure> {
    let site = load::<Real>(&args.node.config)?;
    let node = find(&site, &args.node.node)?;
    // Everything that the site lacks is said before a key is made or the node is touched.
    block(&site, node, [1; 32], [1; 32]).map_err(|missing| {
        let lines: Vec<String> = missing.iter().map(|line| format!("\n  {line}")).collect();
        wrong(format!(
            "{} does not say everything yet:{}",
            args.node.config.display(),
            lines.concat()
        ))
    })?;
    let first_boot = u64::try_from(clock::now().wall.0)
        .ok()
        .and_then(first_boot)
        .ok_or_else(|| wrong("the clock of this computer is wrong: set it first (時計を合わせてください)"))?;
    let mut console = open(&args.port)?;
    let fault = |why| talked(&args.port, &why);
    let before = console.identity().map_err(fault)?;
    may_be_provisioned(&before, node).map_err(wrong)?;
    let key = keys::NewKey::make(&node.key_file).map_err(wrong)?;
    let card_key = match &site.access.card_key_file {
        Some(file) => *keys::read_or_make(file).map_err(wrong)?,
        // Without doors there are no cards.
        None => [0; 32],
    };
    let mut made = block(&site, node, *key.key, card_key).map_err(|missing| wrong(missing.join("\n")))?;
    made.first_boot = first_boot;
    let fingerprint = DeviceKey::new(*key.key).fingerprint();
    let answered = match console.provision(&made.encode()) {
        Ok(answered) => answered,
        // The answer to the last line may be lost, and the node restarts as what it was made.
        Err(why) => match console.identity() {
            Ok(there) if there.node == Some(node.id) => there.get("fingerprint").to_owned(),
            _ => return Err(fault(why)),
        },
    };
    if answered != fingerprint.as_str() {
        return Err(wrong(format!(
            "the node has made fingerprint {answered} of a key with {fingerprint}: erase it and try again; if it happens \
             twice its memory is broken"
        )));
    }
    let old = key.keep().map_err(|error| {
        wrong(format!(
            "the node has its key, and {} does not: {error}. Erase the node and provision it again \
             (鍵を保存できません。消去してやり直してください)",
            node.key_file.display()
        ))
    })?;
    let label = Label {
        room: site.name.ja.clone(),
        node: node.id,
        name: node.name.clone(),
        shown: node.label.ja.clone(),
        board: node
            .hardware
            .board
            .map_or("-", shared::board::Board::name)
            .to_owned(),
        fingerprint: answered,
        date: today(),
    };
    print!("{}", label.text());
    if let Some(path) = &args.label {
        std::fs::write(path, label.svg()).map_err(|error| {
            Failure::because(Failure::WRONG, format!("writing {}", path.display()), &error)
        })?;
        println!("ラベル label: {}", path.display());
    }
    println!(
        "新しい鍵です。controller を再起動してください。 A new key: {}",
        node.key_file.display()
    );
    if let Some(old) = old {
        println!("The key before is kept as {}.", old.display());
    }
    println!("Start the controller again so that it reads the key; until then it refuses this node.");
    println!(
        "{} は使えます。 {} is provisioned and starts to report.",
        node.name, node.name
    );
    Ok(ExitCode::SUCCESS)
}

/// Only a node without a block takes one; the reason why not, in words.
fn may_be_provisioned(there: &Identity, node: &Node) -> Result<(), String> {
    match there.node {
        None => Ok(()),
        Some(id) if id == node.id => Err(format!(
            "this node is provisioned as {id} already (fingerprint {}); to do it again, erase it first: \
             yagura node erase --config ... --node {} --port ... (すでに初期設定済みです)",
            there.get("fingerprint"),
            node.name
        )),
        Some(id) => Err(format!(
            "this is node {id} (fingerprint {}), not {} ({}); is it the right cable? (別の端末です)",
            there.get("fingerprint"),
            node.id,
            node.name
        )),
    }
}

fn erase(args: &NodeArgs, path: &str) -> Result<ExitCode, Failure> {
    let site = load::<Real>(&args.config)?;
    let node = find(&site, &args.node)?;
    let mut console = open(path)?;
    let fault = |why| talked(path, &why);
    let there = console.identity().map_err(fault)?;
    match there.node {
        None => {
            let key = node.key_file.display();
            let aside = match node.key_file.exists() {
                true => format!(
                    "; if it was {} before, move its key aside: mv {key} {key}.old",
                    node.name
                ),
                false => String::new(),
            };
            return Err(wrong(format!(
                "this node has nothing to erase (消去するものがありません){aside}"
            )));
        }
        Some(id) if id != node.id => {
            return Err(wrong(format!(
                "this is node {id} (fingerprint {}), not {} ({}); nothing was erased (別の端末です)",
                there.get("fingerprint"),
                node.id,
                node.name
            )));
        }
        Some(_) => {}
    }
    println!("消去しています… erasing; leave the cable and the power as they are.");
    console.erase(node.id, console::ERASED_WITHIN).map_err(fault)?;
    println!(
        "{} の鍵・カード・記録を消去しました。 {} has forgotten its keys, cards and events.",
        node.name, node.name
    );
    match keys::set_aside(&node.key_file) {
        Ok(Some(old)) => println!("鍵ファイルを退避しました。 Its key is now {}.", old.display()),
        Ok(None) => {}
        Err(error) => {
            return Err(Failure::because(
                Failure::WRONG,
                format!(
                    "the node is erased, but its key {} cannot be moved to the same name with .old",
                    node.key_file.display()
                ),
                &error,
            ));
        }
    }
    println!(
        "次に: 初期設定し直す (yagura node provision) か、site.toml から [[node]] を外し、監視装置を再起動してください。"
    );
    println!(
        "Next: provision it again, or take its [[node]] out of the site file; then start the controller again. \
         Until then its alarm stands."
    );
    Ok(ExitCode::SUCCESS)
}

fn today() -> String {
    let now = jiff::Timestamp::from_millisecond(clock::now().wall.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    now.in_tz("Asia/Tokyo")
        .map_or_else(|_| String::from("-"), |now| now.date().to_string())
}

// ---- through the controller ----------------------------------------------------------------

async fn order(args: &NodeArgs, what: &str, mut body: serde_json::Value) -> Result<ExitCode, Failure> {
    let site = load::<Real>(&args.config)?;
    let node = find(&site, &args.node)?;
    let addr = super::plan::address(&site)?;
    body["by"] = person().into();
    let path = format!("/api/v1/nodes/{}/{what}", node.name);
    let answer = http::post(addr, &path, &body)
        .await
        .map_err(|error| super::plan::away(addr, &error))?;
    if answer.status != 200 {
        return Err(wrong(answer.problem()));
    }
    println!(
        "指示しました。結果は画面の端末一覧に出ます。 {}: asked for; the page's list of nodes shows how it ends.",
        node.name
    );
    Ok(ExitCode::SUCCESS)
}

async fn update(args: &UpdateArgs) -> Result<ExitCode, Failure> {
    let site = load::<Real>(&args.node.config)?;
    let node = find(&site, &args.node.node)?;
    let bytes = read_image(&args.image)?;
    let (head, _) =
        shared::image::read_file(&bytes).map_err(|why| wrong(format!("{}: {why}", args.image.display())))?;
    if let Some(board) = node.hardware.board
        && board.number() != head.board
    {
        let named = shared::board::Board::of(head.board).map_or("another board", shared::board::Board::name);
        return Err(wrong(format!(
            "{} is for {named}, and {} is a {}",
            args.image.display(),
            node.name,
            board.name()
        )));
    }
    let shared::wire::Version(major, minor, patch) = head.version;
    let file = format!("{}-{major}.{minor}.{patch}.ygimg", head.board);
    let folder = crate::core::firmware_folder(&site.data_dir);
    let target = folder.join(&file);
    keys::put(&target, &bytes).map_err(|error| {
        Failure::because(Failure::WRONG, format!("copying to {}", target.display()), &error)
    })?;
    order(&args.node, "update", serde_json::json!({ "file": file })).await
}

fn read_image(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let read = || {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?
            .take(MAX_IMAGE + 1)
            .read_to_end(&mut bytes)?;
        std::io::Result::Ok(bytes)
    };
    read().map_err(|error| Failure::read(path, error))
}
