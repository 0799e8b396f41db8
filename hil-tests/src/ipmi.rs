//! Debian's ipmi_sim: a management controller that speaks IPMI 2.0, of which a script is the server.

use crate::Child;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Account and password that are accepted.
pub const ACCOUNT: (&str, &str) = ("operator", "pass-word");
/// The only cipher suite of those we take that it knows.
pub const CIPHER_SUITE: u8 = 3;

/// It ends when this is dropped.
#[derive(Debug)]
pub struct Ipmi {
    /// Where it listens.
    pub addr: SocketAddr,
    dir: PathBuf,
    _child: Child,
}

impl Ipmi {
    /// What is missing on this machine.
    #[must_use]
    pub fn missing() -> Option<String> {
        crate::lacking(&["ipmi_sim", "ipmitool"])
    }

    /// Starts it in a folder of its own; the server is on, and takes half a second to shut down.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    pub fn start(dir: &Path) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port of loopback");
        let addr = socket.local_addr().expect("it is bound");
        drop(socket);
        let at = dir.display();
        let (user, password) = ACCOUNT;
        let auths: String = ["callback", "user", "operator", "admin"]
            .iter()
            .map(|level| format!("allowed_auths_{level} none md2 md5 straight\n"))
            .collect();
        fs::write(
            dir.join("lan.conf"),
            format!(
                "name \"yagura\"\nset_working_mc 0x20\nstartlan 1\naddr {} {}\npriv_limit admin\n{auths}\
                 guid a123456789abcdefa123456789abcdef\nendlan\nchassis_control \"{at}/chassis\"\n\
                 user 2 true \"{user}\" \"{password}\" operator 10 none md2 md5 straight\n",
                addr.ip(),
                addr.port()
            ),
        )
        .expect("writing an own file");
        fs::write(
            dir.join("commands"),
            "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nmc_enable 0x20\n",
        )
        .expect("writing an own file");
        fs::write(dir.join("power"), "1\n").expect("writing an own file");
        let script = format!(
            "#!/bin/sh\ncd {at}\ncase \"$1 $2\" in\n\"get power\") echo \"power:$(cat power)\";;\n\
             \"set power\") echo \"power $3\" >> told; echo \"$3\" > power;;\n\
             \"set shutdown\") echo shutdown >> told; (sleep 0.5; echo 0 > power) >/dev/null 2>&1 &\n;;\nesac\n"
        );
        fs::write(dir.join("chassis"), script).expect("writing an own file");
        fs::set_permissions(dir.join("chassis"), fs::Permissions::from_mode(0o755)).expect("an own file");
        fs::create_dir_all(dir.join("state")).expect("an own folder");
        let mut command = Command::new("/usr/bin/ipmi_sim");
        command
            .args(["-c", "lan.conf", "-f", "commands", "-s", "state", "-n"])
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self {
            addr,
            dir: dir.to_owned(),
            _child: Child::start(&mut command),
        }
    }

    /// Whether the server is on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        fs::read_to_string(self.dir.join("power")).is_ok_and(|power| power.trim() == "1")
    }

    /// What the server was told.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let told = fs::read_to_string(self.dir.join("told")).unwrap_or_default();
        told.lines().map(str::to_owned).collect()
    }
}
