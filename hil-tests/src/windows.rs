//! A simulated Windows machine with Hyper-V: the part of WS-Management (MS-WSMV) that runs commands.
//!
//! What it keeps true: Basic over TLS; an envelope without the headers that the service wants is refused
//! with a fault; shells and commands have ids of their own; a `Receive` that has nothing yet is a fault
//! with code 2150858793; output comes in pieces, in base64; a shell lives until it is deleted. It
//! understands the few programs and scripts that it is sent, by what they say, and refuses every other.

use crate::api::{Api, Call, Kept, Reply, Simulated};
use crate::certificate::Certificates;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use roxmltree::{Document, Node};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The account that the machine knows.
pub const USER: &str = "yagura-stop";
const PASSWORD: &str = "hunter 2";
const SHELL: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell";

#[derive(Debug)]
struct Vm {
    name: String,
    runs: bool,
    /// Whether it has integration services.
    services: bool,
    /// How long it takes to shut down; `None`: it never does.
    obeys: Option<Duration>,
    stops: Option<Instant>,
}

#[derive(Debug, Default)]
struct Process {
    /// What is still to be fetched, piece by piece; `None`: nothing yet.
    pieces: Vec<Option<(&'static str, Vec<u8>)>>,
    code: i32,
}

#[derive(Debug, Default)]
struct State {
    vms: BTreeMap<String, Vm>,
    shells: Vec<String>,
    commands: BTreeMap<String, Process>,
    count: u32,
    may_shut_down: bool,
    lines: Vec<String>,
}

/// The machine.
#[derive(Debug)]
pub struct Windows {
    /// Its server.
    pub api: Api,
    state: Kept<State>,
}

impl Windows {
    /// A machine with these guests, which run: name, how long they take to shut down (never: `None`).
    pub async fn start(certificates: &Certificates, guests: &[(&str, Option<u64>)]) -> Self {
        let mut state = State {
            may_shut_down: true,
            ..State::default()
        };
        for (at, (name, obeys)) in guests.iter().enumerate() {
            let vm = Vm {
                name: (*name).to_owned(),
                runs: true,
                services: true,
                obeys: obeys.map(Duration::from_millis),
                stops: None,
            };
            state.vms.insert(format!("6695eb01-f6a4-8304-79aa-{at:012x}"), vm);
        }
        let (api, state) = Api::of(certificates, state).await;
        Self { api, state }
    }

    /// Names of the guests that run.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        self.state.with(|state| {
            let running = state.vms.values().filter(|vm| vm.runs);
            running.map(|vm| vm.name.clone()).collect()
        })
    }

    /// Shells that nobody closed.
    #[must_use]
    pub fn shells(&self) -> usize {
        self.state.with(|state| state.shells.len())
    }

    /// Command lines that were run, scripts decoded.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.state.with(|state| state.lines.clone())
    }

    /// Takes the right to shut down from the account.
    pub fn forbid(&self) {
        self.state.with(|state| state.may_shut_down = false);
    }

    /// A guest loses its integration services.
    pub fn end_services(&self, name: &str) {
        self.state.with(|state| {
            for vm in state.vms.values_mut().filter(|vm| vm.name == name) {
                vm.services = false;
            }
        });
    }

    /// Writes the password into a file of its owner alone.
    #[must_use]
    pub fn password_file(folder: &Path) -> PathBuf {
        let file = folder.join("windows-password");
        crate::sshd::write_private(&file, &format!("{PASSWORD}\n"));
        file
    }
}

fn named<'a, 'i>(document: &'a Document<'i>, name: &str) -> Option<Node<'a, 'i>> {
    document.descendants().find(|node| node.tag_name().name() == name)
}

fn text(document: &Document<'_>, name: &str) -> Option<String> {
    named(document, name)?.text().map(|text| text.trim().to_owned())
}

impl Simulated for State {
    fn pass(&mut self, now: Instant) {
        for vm in self.vms.values_mut() {
            if vm.stops.is_some_and(|stops| stops <= now) {
                vm.stops = None;
                vm.runs = false;
            }
        }
    }

    fn answer(&mut self, call: &Call, off: &watch::Sender<bool>) -> Reply {
        if call.method != "POST" || call.path != "/wsman" {
            return Reply::empty(404);
        }
        let wanted = format!("Basic {}", BASE64.encode(format!("{USER}:{PASSWORD}")));
        if call.header("authorization") != wanted {
            return Reply {
                headers: vec![("www-authenticate", "Negotiate".to_owned())],
                ..Reply::empty(401)
            };
        }
        if !call.header("content-type").starts_with("application/soap+xml") {
            return Reply::empty(415);
        }
        let Ok(document) = Document::parse(&call.body) else {
            return fault("2150858807", "The SOAP packet is not well formed.");
        };
        if named(&document, "Identify").is_some() {
            return envelope(
                "<i:IdentifyResponse xmlns:i=\"http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd\">\
                 <i:ProtocolVersion>http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd</i:ProtocolVersion>\
                 <i:ProductVendor>Microsoft Corporation</i:ProductVendor>\
                 <i:ProductVersion>OS: 10.0.20348 SP: 0.0 Stack: 3.0</i:ProductVersion></i:IdentifyResponse>",
            );
        }
        for name in [
            "To",
            "ReplyTo",
            "MessageID",
            "ResourceURI",
            "MaxEnvelopeSize",
            "OperationTimeout",
        ] {
            if named(&document, name).is_none() {
                return fault("2150858769", &format!("The header {name} is missing."));
            }
        }
        if text(&document, "ResourceURI").as_deref()
            != Some("http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd")
        {
            return fault("2150858752", "The resource URI is not known.");
        }
        let action = text(&document, "Action").unwrap_or_default();
        if action == "http://schemas.xmlsoap.org/ws/2004/09/transfer/Create" {
            self.count += 1;
            let shell = format!("5D0F1C2A-0000-4000-8000-{:012X}", self.count);
            self.shells.push(shell.clone());
            return envelope(&format!(
                "<rsp:Shell xmlns:rsp=\"{SHELL}\"><rsp:ShellId>{shell}</rsp:ShellId></rsp:Shell>"
            ));
        }
        let shell = document
            .descendants()
            .find(|node| node.tag_name().name() == "Selector" && node.attribute("Name") == Some("ShellId"))
            .and_then(|node| node.text())
            .unwrap_or_default()
            .to_owned();
        if !self.shells.contains(&shell) {
            return fault("2150858843", "The shell was not found on the server.");
        }
        match action.rsplit('/').next() {
            Some("Delete") => {
                self.shells.retain(|other| *other != shell);
                envelope("")
            }
            Some("Command") => {
                let program = text(&document, "Command").unwrap_or_default();
                let args: Vec<String> = document
                    .descendants()
                    .filter(|node| node.tag_name().name() == "Arguments")
                    .map(|node| node.text().unwrap_or_default().to_owned())
                    .collect();
                let process = self.run(&program, &args, off);
                self.count += 1;
                let id = format!("7E0F1C2A-0000-4000-8000-{:012X}", self.count);
                self.commands.insert(id.clone(), process);
                envelope(&format!(
                    "<rsp:CommandResponse xmlns:rsp=\"{SHELL}\"><rsp:CommandId>{id}</rsp:CommandId></rsp:CommandResponse>"
                ))
            }
            Some("Receive") => {
                let id = named(&document, "DesiredStream")
                    .and_then(|node| node.attribute("CommandId"))
                    .unwrap_or_default();
                self.receive(id)
            }
            _ => fault("2150858816", "The action is not supported."),
        }
    }
}

impl State {
    fn receive(&mut self, id: &str) -> Reply {
        let Some(process) = self.commands.get_mut(id) else {
            return fault("2150858843", "The command was not found.");
        };
        let state = |state: &str, stream: &str, code: &str| {
            envelope(&format!(
                "<rsp:ReceiveResponse xmlns:rsp=\"{SHELL}\">{stream}<rsp:CommandState CommandId=\"{id}\" \
                 State=\"{SHELL}/CommandState/{state}\">{code}</rsp:CommandState></rsp:ReceiveResponse>"
            ))
        };
        if process.pieces.is_empty() {
            let code = format!("<rsp:ExitCode>{}</rsp:ExitCode>", process.code);
            return state("Done", "", &code);
        }
        match process.pieces.remove(0) {
            None => fault(
                "2150858793",
                "The WS-Management service cannot complete the operation within the time specified in OperationTimeout.",
            ),
            Some((name, bytes)) => {
                let coded = BASE64.encode(bytes);
                let stream = format!("<rsp:Stream Name=\"{name}\" CommandId=\"{id}\">{coded}</rsp:Stream>");
                state("Running", &stream, "")
            }
        }
    }

    fn run(&mut self, program: &str, args: &[String], off: &watch::Sender<bool>) -> Process {
        let done = |text: &str| {
            let half = text.len() / 2;
            let half = (half..=text.len())
                .find(|at| text.is_char_boundary(*at))
                .unwrap_or(0);
            let (a, b) = text.split_at(half);
            Process {
                pieces: vec![
                    None,
                    Some(("stdout", a.as_bytes().to_vec())),
                    Some(("stdout", b.as_bytes().to_vec())),
                ],
                code: 0,
            }
        };
        let failed = |text: &str, code: i32| Process {
            pieces: vec![Some(("stderr", text.as_bytes().to_vec()))],
            code,
        };
        if program == "powershell.exe" {
            let wide: Vec<u16> = args
                .last()
                .and_then(|coded| BASE64.decode(coded).ok())
                .unwrap_or_default()
                .chunks_exact(2)
                .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                .collect();
            let script = String::from_utf16_lossy(&wide);
            self.lines.push(script.clone());
            return match self.script(&script) {
                Ok(text) => done(&text),
                Err(text) => failed(&text, 1),
            };
        }
        self.lines.push(format!("{program} {}", args.join(" ")));
        match program {
            "whoami.exe" if self.may_shut_down => done(
                "\"SeShutdownPrivilege\",\"Shut down the system\",\"Enabled\"\r\n\"SeChangeNotifyPrivilege\",\"Bypass traverse checking\",\"Enabled\"\r\n",
            ),
            "whoami.exe" => done("\"SeChangeNotifyPrivilege\",\"Bypass traverse checking\",\"Enabled\"\r\n"),
            "shutdown.exe" if self.may_shut_down => {
                off.send_replace(true);
                done("")
            }
            "shutdown.exe" => failed("Access is denied.(5)\r\n", 5),
            _ => failed("The system cannot find the file specified.\r\n", 2),
        }
    }

    /// What Hyper-V's cmdlets do.
    fn script(&mut self, script: &str) -> Result<String, String> {
        if script.contains("Get-VM|ForEach-Object") {
            let mut text = String::new();
            for (id, vm) in &self.vms {
                let state = if vm.runs { 2 } else { 3 };
                text.push_str(&format!("{id}\t{state}\t{}\r\n", vm.name));
            }
            return Ok(text);
        }
        let id = script
            .split('\'')
            .map(str::to_ascii_lowercase)
            .find(|word| self.vms.contains_key(word))
            .ok_or("Hyper-V was unable to find a virtual machine with that id.")?;
        let vm = self.vms.get_mut(&id).ok_or("no such machine")?;
        if script.contains("InitiateShutdown") {
            if !vm.services || !vm.runs {
                return Err("the guest has no shutdown service (integration services)".to_owned());
            }
            vm.stops = vm.obeys.map(|obeys| Instant::now() + obeys);
        } else if script.contains("Stop-VM -TurnOff -Force") {
            (vm.runs, vm.stops) = (false, None);
        } else if script.contains("Start-VM") {
            vm.runs = true;
        } else {
            return Err("The term is not recognized as the name of a cmdlet.".to_owned());
        }
        Ok(String::new())
    }
}

fn envelope(body: &str) -> Reply {
    Reply {
        status: 200,
        headers: vec![("content-type", "application/soap+xml;charset=UTF-8".to_owned())],
        body: format!(
            "<s:Envelope xml:lang=\"en-US\" xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"><s:Header/><s:Body>{body}</s:Body></s:Envelope>"
        ),
    }
}

fn fault(code: &str, text: &str) -> Reply {
    let reply = envelope(&format!(
        "<s:Fault><s:Code><s:Value>s:Receiver</s:Value></s:Code><s:Reason><s:Text xml:lang=\"en-US\">{text}</s:Text></s:Reason>\
         <s:Detail><f:WSManFault xmlns:f=\"http://schemas.microsoft.com/wbem/wsman/1/wsmanfault\" Code=\"{code}\" Machine=\"127.0.0.1\">\
         <f:Message>{text}</f:Message></f:WSManFault></s:Detail></s:Fault>"
    ));
    Reply { status: 500, ..reply }
}
