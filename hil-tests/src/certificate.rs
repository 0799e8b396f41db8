//! Certificates for receivers in tests, by openssl: an authority, and a server that it signed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An authority and a server's certificate for `localhost` and 127.0.0.1.
#[derive(Debug)]
pub struct Certificates {
    /// The authority, PEM.
    pub authority: PathBuf,
    /// The server's certificate, PEM.
    pub server: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes them in a folder. Needs `openssl`.
    ///
    /// # Panics
    /// When openssl fails.
    #[must_use]
    pub fn make(folder: &Path) -> Self {
        let at = |name: &str| folder.join(name);
        fs::write(at("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").expect("writing an own file");
        let curve = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ];
        let openssl = |before: &[&str], after: &[&str]| {
            let mut command = Command::new("openssl");
            command.args(before).args(after).current_dir(folder);
            let output = command.stdin(Stdio::null()).output().expect("openssl starts");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "openssl {before:?} {after:?}: {said}");
        };
        let authority = [
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-days",
            "2",
            "-subj",
            "/CN=test authority",
        ];
        openssl(&[["req", "-x509"].as_slice(), &curve].concat(), &authority);
        let server = [
            "-keyout",
            "server.key",
            "-out",
            "server.csr",
            "-subj",
            "/CN=receiver",
        ];
        openssl(&[["req"].as_slice(), &curve].concat(), &server);
        openssl(
            &[
                "x509",
                "-req",
                "-in",
                "server.csr",
                "-CA",
                "ca.pem",
                "-CAkey",
                "ca.key",
            ],
            &[
                "-CAcreateserial",
                "-days",
                "2",
                "-extfile",
                "names",
                "-out",
                "server.pem",
            ],
        );
        Self {
            authority: at("ca.pem"),
            server: at("server.pem"),
            key: at("server.key"),
        }
    }
}
