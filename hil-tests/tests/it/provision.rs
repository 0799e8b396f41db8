//! A person at the workbench: a board on a serial line, `yagura node provision`, and what the
//! board keeps afterwards. The line is a pseudo terminal, the board's end of it the firmware's own
//! console and memory layout.

mod board;

use hil_tests::yagura_bin;
use node::console::{Answer, BlockProblem, Command as Asked, Console, Problem, State, Who, Workbench};
use node::layout::BLOCK_AT;
use node::memory::{Memory, MemoryFault};
use node::update::Firmware;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use shared::board::Board;
use shared::mount::Part;
use shared::provision::{BLOCK_LEN, Provision, ProvisionError};
use shared::wire::Version;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

const SITE: &str = r#"name = "試験室"
data_dir = "data"
[web]
listen = "127.0.0.1:0"
[mqtt]
listen = "127.0.0.1:1883"
[access]
card_key_file = "secrets/card.key"
[[node]]
id = 1
name = "node-1"
key_file = "secrets/node-1.key"
board = "lm3s6965"
broker = "10.0.2.2:1883"
[[node.channel]]
channel = 0
point = "door.1"
quantity = "contact"
contact = "door"
part = "contact"
at = 2
[[node.channel]]
channel = 3
point = "inlet.temperature"
quantity = "temperature"
part = "tmp105"
at = "0x48"
[[node.portal]]
name = "entrance"
door = "door.1"
strike = "3s"
[[node]]
id = 2
name = "node-2"
key_file = "secrets/node-2.key"
board = "rp2040-w5500"
broker = "10.0.2.2:1883"
[[node.channel]]
channel = 0
point = "leak.1"
quantity = "contact"
contact = "leak"
part = "contact"
at = 0
"#;

/// The board's EEPROM.
struct Chip(Vec<u8>);

impl Chip {
    fn block(&mut self) -> Result<Provision, ProvisionError> {
        let mut block = [0; BLOCK_LEN];
        self.read(BLOCK_AT[0], &mut block).expect("a chip of this size");
        Provision::decode(&block)
    }
}

impl Memory for Chip {
    fn read(&mut self, at: u16, into: &mut [u8]) -> Result<(), MemoryFault> {
        let at = usize::from(at);
        into.copy_from_slice(self.0.get(at..at + into.len()).ok_or(MemoryFault)?);
        Ok(())
    }

    fn write(&mut self, at: u16, bytes: &[u8]) -> Result<(), MemoryFault> {
        let at = usize::from(at);
        let place = self.0.get_mut(at..at + bytes.len()).ok_or(MemoryFault)?;
        place.copy_from_slice(bytes);
        Ok(())
    }
}

/// What is at the other end of the line.
#[derive(Clone, Copy, PartialEq)]
enum There {
    /// A board with our firmware; its line spoils one chunk.
    Board(Board),
    /// A board with firmware of somebody else.
    Stranger,
    /// Nobody.
    Nobody,
}

/// A serial line with a board at its end, while this lives.
struct Bench {
    port: String,
    chip: Arc<Mutex<Chip>>,
    /// The board ends when nobody holds the line any more.
    line: Option<File>,
    board: Option<JoinHandle<()>>,
}

impl Bench {
    fn new(there: There) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let port = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let line = File::options().read(true).write(true).open(&port).unwrap();
        let mut settings = tcgetattr(&line).unwrap();
        settings.make_raw();
        tcsetattr(&line, OptionalActions::Now, &settings).unwrap();
        let chip = Arc::new(Mutex::new(Chip(vec![0xff; 32 * 1024])));
        let own = Arc::clone(&chip);
        let board = std::thread::spawn(move || serve(File::from(master), there, &own));
        Self {
            port,
            chip,
            line: Some(line),
            board: Some(board),
        }
    }

    fn block(&self) -> Result<Provision, ProvisionError> {
        self.chip.lock().unwrap().block()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.line.take();
        if let Some(board) = self.board.take() {
            let _ = board.join();
        }
    }
}

fn serve(mut line: File, there: There, chip: &Mutex<Chip>) {
    let mut console = Console::new();
    let mut workbench = None;
    let mut spoil_one = true;
    let mut typed = Vec::new();
    let mut byte = [0];
    while line.read_exact(&mut byte).is_ok() {
        let mut byte = byte[0];
        match there {
            There::Nobody => continue,
            There::Stranger => {
                if byte == b'\n' {
                    line.write_all(b"OpenSensor 3.1> unknown command\r\n").unwrap();
                }
                continue;
            }
            There::Board(_) => {}
        }
        typed.push(byte);
        if byte == b'\n' {
            typed.clear();
        }
        if spoil_one && typed.starts_with(b"chunk 5 ") && typed.len() == 20 {
            byte = b'?';
            spoil_one = false;
        }
        let Some(request) = console.feed(byte) else {
            continue;
        };
        let mut chip = chip.lock().unwrap();
        let answer = answer(&mut workbench, request, &mut chip, there);
        // The log shares the line.
        write!(line, "inputs: pin 4 bounces\r\n{answer}\r\n").unwrap();
    }
}

fn answer(
    bench: &mut Option<Workbench>,
    request: Result<Asked, Problem>,
    chip: &mut Chip,
    there: There,
) -> Answer {
    let There::Board(board) = there else {
        unreachable!("only boards answer")
    };
    let version = Version(0, 2, 0);
    let block = match chip.block() {
        Ok(block) => block,
        Err(why) => {
            let key = None;
            let about = Firmware { version, board, key };
            let bench = bench.get_or_insert_with(|| Workbench::new(about, why));
            return bench.answer(request, chip);
        }
    };
    // It has restarted as a node.
    *bench = None;
    match request {
        Ok(Asked::Identify) => Answer::Identity {
            who: Some(Who {
                node: block.node,
                key_id: block.key_id,
                fingerprint: block.device_key().fingerprint(),
            }),
            firmware: version,
            state: State::Running,
        },
        Ok(Asked::Erase { node }) if node == block.node => {
            chip.0.fill(0xff);
            Answer::Erasing(node)
        }
        Ok(Asked::Erase { .. }) => Problem::OtherNode.into(),
        Ok(_) => Problem::InService.into(),
        Err(problem) => problem.into(),
    }
}

fn yagura(dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(yagura_bin())
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    (status.code(), text)
}

fn node(dir: &Path, verb: &str, name: &str, port: &str, more: &[&str]) -> (Option<i32>, String) {
    let mut args = vec![
        "node",
        verb,
        "--config",
        "site.toml",
        "--node",
        name,
        "--port",
        port,
    ];
    args.extend(more);
    yagura(dir, &args)
}

fn site() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("site.toml"), SITE).unwrap();
    dir
}

#[test]
fn a_blank_board_becomes_a_node_and_can_be_taken_out_of_service_again() {
    let dir = site();
    let bench = Bench::new(There::Board(Board::Lm3s6965));
    assert_eq!(bench.block().unwrap_err(), ProvisionError::Blank);
    let (code, said) = node(
        dir.path(),
        "provision",
        "node-1",
        &bench.port,
        &["--label", "label.svg"],
    );
    assert_eq!(code, Some(0), "{said}");
    let block = bench.block().unwrap();
    assert_eq!((block.node, block.board), (1, Board::Lm3s6965.number()));
    assert_eq!((block.broker, block.port), ([10, 0, 2, 2], 1883));
    assert_eq!(block.portal.unwrap().strike_ms, 3_000);
    assert_eq!(block.mounts.len(), 4);
    assert_eq!(block.mounts[3].unwrap().part, Part::Tmp105);
    // The keys of the files are those of the board, and only their owner can read them.
    let key = fs::read_to_string(dir.path().join("secrets/node-1.key")).unwrap();
    let card_key = fs::read_to_string(dir.path().join("secrets/card.key")).unwrap();
    assert_eq!(
        (key.trim(), card_key.trim()),
        (hex(&block.key).as_str(), hex(&block.card_key).as_str())
    );
    for file in ["secrets/node-1.key", "secrets/card.key"] {
        assert_eq!(
            fs::metadata(dir.path().join(file)).unwrap().mode() & 0o777,
            0o600,
            "{file}"
        );
    }
    // A broker of the site would be given what the board has; the node without a key is named.
    for (of, secret) in [
        ("tls", hex(&block.tls_key.unwrap())),
        ("mqtt", block.broker_password().as_str().to_owned()),
    ] {
        let (code, said) = yagura(
            dir.path(),
            &["node", "accounts", "--config", "site.toml", "--of", of],
        );
        assert_eq!(code, Some(1), "{said}");
        assert_eq!(said.lines().next(), Some(format!("1:{secret}").as_str()));
        assert!(said.contains("node-2: no account"), "{said}");
    }
    // The label says who it is, and never the key.
    let fingerprint = block.device_key().fingerprint();
    let label = fs::read_to_string(dir.path().join("label.svg")).unwrap();
    for text in [&said, &label] {
        assert!(text.replace(' ', "").contains(fingerprint.as_str()), "{text}");
        assert!(!text.contains(key.trim()) && !text.contains(card_key.trim()));
    }

    // In service, nothing overwrites it: neither itself nor another one at the wrong cable.
    for (name, words) in [
        ("node-1", "provisioned as 1 already"),
        ("node-2", "this is node 1"),
    ] {
        let (code, said) = node(dir.path(), "provision", name, &bench.port, &[]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(words), "{said}");
    }
    let (code, said) = node(dir.path(), "erase", "node-2", &bench.port, &[]);
    assert!(code == Some(1) && said.contains("nothing was erased"), "{said}");
    assert_eq!(bench.block().unwrap().key, block.key);
    assert!(
        !dir.path().join("secrets/node-2.key").exists(),
        "no key is made for nothing"
    );

    let (code, said) = node(dir.path(), "erase", "node-1", &bench.port, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(bench.block().unwrap_err(), ProvisionError::Blank);
    assert!(
        !dir.path().join("secrets/node-1.key").exists(),
        "the key is gone on both sides"
    );

    // Again: a new key of its own, the same card key for the whole site.
    let (code, said) = node(dir.path(), "provision", "node-1", &bench.port, &[]);
    assert_eq!(code, Some(0), "{said}");
    let again = bench.block().unwrap();
    assert_ne!(again.key, block.key);
    assert_eq!(again.card_key, block.card_key);
}

#[test]
fn a_block_for_another_board_is_refused_by_the_board() {
    let dir = site();
    let bench = Bench::new(There::Board(Board::Lm3s6965));
    let (code, said) = node(dir.path(), "provision", "node-2", &bench.port, &[]);
    assert_eq!(code, Some(1), "{said}");
    let text = Answer::from(Problem::Block(BlockProblem::OtherBoard)).to_string();
    assert!(said.contains(text.trim_start_matches("! block ")), "{said}");
    assert_eq!(bench.block().unwrap_err(), ProvisionError::Blank);
}

#[test]
fn who_does_not_answer_as_a_node_is_named_in_plain_words() {
    let dir = site();
    let stranger = Bench::new(There::Stranger);
    let nobody = Bench::new(There::Nobody);
    for (port, words) in [
        (stranger.port.as_str(), "other firmware"),
        (nobody.port.as_str(), "no node answers"),
        ("/dev/yagura-no-such-port", "it is not there"),
    ] {
        let (code, said) = node(dir.path(), "provision", "node-1", port, &[]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(words), "{said}");
    }
    assert!(!dir.path().join("secrets").exists(), "no key is made for nobody");
}

#[test]
fn a_site_that_does_not_say_everything_touches_no_board() {
    let dir = site();
    let text = SITE.replace("broker = \"10.0.2.2:1883\"\n", "");
    fs::write(dir.path().join("site.toml"), text).unwrap();
    let (code, said) = node(dir.path(), "provision", "node-1", "/dev/yagura-no-such-port", &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("where node-1 finds its broker"), "{said}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
