//! libvirt's own daemon with its test driver: guests that have states and no machines.
//!
//! The daemon runs as nobody, in a folder of the test, and is reached by a socket there. The driver
//! keeps its guests as long as somebody is connected: an own `virsh` stays so.

use crate::{Child, wait_for};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

/// Longest wait for the daemon.
const UP: Duration = Duration::from_secs(10);
/// Debian's nobody, when the test runs as root: the daemon would want the whole machine then.
const NOBODY: u32 = 65534;

/// The daemon.
#[derive(Debug)]
pub struct Libvirt {
    /// The connection.
    pub uri: String,
    /// It would end with the first word that nobody can read.
    _said: BufReader<ChildStdout>,
    _keeper: Child,
    _daemon: Child,
}

impl Libvirt {
    /// What is not installed.
    #[must_use]
    pub fn missing() -> Option<String> {
        crate::lacking(&["libvirtd", "virsh"])
    }

    /// Starts it with the driver's own guest `test`, which runs, and these, which run too.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start(folder: &Path, guests: &[&str]) -> Self {
        let run = folder.join("libvirt");
        fs::create_dir(&run).expect("an own folder");
        // Whoever the daemon is, it must come through to its own folder.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("an own folder");
        let config = run.join("libvirtd.conf");
        let text = format!(
            "unix_sock_dir = \"{}\"\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n",
            run.display()
        );
        fs::write(&config, text).expect("an own file");
        let mut command = Command::new("/usr/sbin/libvirtd");
        command
            .arg("-f")
            .arg(&config)
            .arg("-p")
            .arg(run.join("pid"))
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(run.join("log")).expect("an own file"));
        for name in [
            "HOME",
            "XDG_RUNTIME_DIR",
            "XDG_CONFIG_HOME",
            "XDG_CACHE_HOME",
            "XDG_DATA_HOME",
        ] {
            command.env(name, &run);
        }
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&run, Some(NOBODY), Some(NOBODY)).expect("an own folder");
            command.uid(NOBODY).gid(NOBODY);
        }
        let daemon = Child::start(&mut command);
        let socket = run.join("libvirt-sock");
        wait_for("libvirtd's socket", UP, async || {
            UnixStream::connect(&socket).ok().map(drop)
        })
        .await;
        let uri = format!("test+unix:///default?socket={}", socket.display());
        let mut keeper = Child::start(
            Command::new("/usr/bin/virsh")
                .args(["--quiet", "--connect", &uri])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null()),
        );
        let mut words = String::new();
        for name in guests {
            let file = run.join(format!("{name}.xml"));
            let text = format!(
                "<domain type='test'><name>{name}</name><memory>1024</memory><os><type>hvm</type></os></domain>"
            );
            fs::write(&file, text).expect("an own file");
            words.push_str(&format!("define {}\nstart {name}\n", file.display()));
        }
        words.push_str("echo all-of-them\n");
        let child = keeper.inner();
        let stdin = child.stdin.as_mut().expect("it is piped");
        stdin.write_all(words.as_bytes()).expect("virsh reads");
        let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
        assert!(
            said.by_ref()
                .lines()
                .map_while(Result::ok)
                .any(|line| line.contains("all-of-them")),
            "virsh went away"
        );
        Self {
            uri,
            _said: said,
            _keeper: keeper,
            _daemon: daemon,
        }
    }

    /// What Debian's virsh says.
    ///
    /// # Panics
    /// When it fails.
    #[must_use = "or compare it"]
    pub fn ask(&self, args: &[&str]) -> String {
        let output = Command::new("/usr/bin/virsh")
            .args(["--quiet", "--connect", &self.uri])
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("virsh starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "virsh {args:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Tells Debian's virsh.
    ///
    /// # Panics
    /// When it fails.
    pub fn virsh(&self, args: &[&str]) {
        drop(self.ask(args));
    }

    /// Who runs, in order.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        let text = self.ask(&["list", "--name"]);
        let mut names: Vec<String> = text
            .lines()
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        names.sort_unstable();
        names
    }
}
