//! Action `winrm`: a Windows machine, or guests of its Hyper-V, by WS-Management over HTTPS (5986).
//!
//! ```text
//! Identify                          is it WinRM at all?  (no credential is sent before TLS proved who it is)
//! Create shell -> ShellId           Command -> CommandId      Receive ... until Done      Delete shell
//! machine   shutdown.exe /s /t 0 /f; by force /p /f
//! guests    Get-VM; Msvm_ShutdownComponent.InitiateShutdown; Stop-VM -TurnOff; Start-VM
//! check     whoami /priv: SeShutdownPrivilege and SeRemoteShutdownPrivilege; Get-VM
//! ```
//! Every request is told who we are by Basic over TLS, which WinRM takes for local accounts only and
//! only when `WSMan:\localhost\Service\Auth\Basic` is true. NTLM and Kerberos are not spoken: an account
//! of a domain cannot be used. The account must be an administrator of the machine, or be in
//! `Remote Management Users` with the right to shut down; for guests in `Hyper-V Administrators`.
//!
//! A shell that is left behind ends by itself after its idle time. Source: MS-WSMV 3.1.4 (messages),
//! DSP0226 (WS-Management), the WMI class `Msvm_ShutdownComponent`.

use super::action::{Accepted, Problem, Sent, printable};
use super::confirm;
use super::device::Tools;
use super::guests::{self, Guest, Hypervisor};
use super::https::{Answer, Ask, Client, secret};
use super::permit::{Armed, Checked};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::Method;
use room::outage::Verb;
use room::site::act::guests::Whom;
use room::site::act::winrm::WinrmAction;
use std::fmt::Write as _;
use std::time::Duration;

/// Most bytes of what a command prints: [`MAX_GUESTS`] lines.
const MAX_OUTPUT: usize = 512 * 1024;
/// Most guests of one machine; Hyper-V has at most 1,024 that run.
const MAX_GUESTS: usize = 4096;
/// Most times that output is fetched for one command.
const MAX_RECEIVES: u32 = 4096;
/// Most elements of one answer.
const MAX_NODES: u32 = 100_000;
/// What a shell that was left behind lives.
const IDLE: Duration = Duration::from_secs(180);

const WSMAN: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd";
const SHELL: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell";
const CMD: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd";
const TRANSFER: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer";
const ADDRESSING: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing";
const SOAP: &str = "http://www.w3.org/2003/05/soap-envelope";
const IDENTITY: &str = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd";
/// A code of the fault that says: nothing was printed yet.
const STILL_RUNNING: &str = "2150858793";

struct Windows<'a> {
    action: &'a WinrmAction,
    client: Client,
}

/// What a command printed, and how it ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ended {
    printed: Vec<u8>,
    complained: Vec<u8>,
    status: Option<i64>,
}

/// Sees whether the machine is there, takes the account, and gives it the right. Changes nothing: a
/// shell is opened and closed.
///
/// # Errors
/// [`Problem`] naming what is missing.
pub(super) async fn check(action: &WinrmAction, _permit: Checked) -> Result<(), Problem> {
    let windows = Windows::open(action).await?;
    windows.identify().await?;
    match &action.what {
        Whom::Guests(guests) => guests::chosen(&windows, &guests.which).await.map(drop),
        Whom::Host => {
            let ended = windows.run("whoami.exe", &["/priv", "/fo", "csv", "/nh"]).await?;
            let text = String::from_utf8_lossy(&ended.printed);
            if ["SeShutdownPrivilege", "SeRemoteShutdownPrivilege"]
                .iter()
                .any(|right| text.contains(right))
            {
                return Ok(());
            }
            Err(Problem::passing(format!(
                "{}: the account {} lacks the right to shut the system down (SeShutdownPrivilege); give it \
                 in the local security policy",
                action.server.addr, action.user
            )))
        }
    }
}

pub(super) async fn request(
    action: &WinrmAction,
    tools: &Tools,
    permit: Armed,
    sent: &Sent,
) -> Result<Accepted, Problem> {
    let windows = Windows::open(action).await?;
    match &action.what {
        Whom::Guests(guests) => {
            guests::request(&windows, action.verb, guests, tools.notes(), permit, sent).await
        }
        Whom::Host if action.verb == Verb::Start => {
            Err(Problem::lasting("a machine that is off cannot be asked to start"))
        }
        Whom::Host => {
            // Nobody is there to answer a program that asks whether to save: /f closes it. Services are
            // told as at any shutdown; /p does not wait and warns nobody.
            let args: &[&str] = match action.verb {
                Verb::Force => &["/p", "/f"],
                Verb::Stop | Verb::Start => &["/s", "/t", "0", "/f"],
            };
            let shell = windows.create().await?;
            sent.set();
            let command = windows.begin(&shell, "shutdown.exe", args).await?;
            let ended = windows.follow(&shell, &command, "shutdown.exe").await;
            match ended {
                // 1115: a shutdown is in progress already.
                Ok(ended) if !matches!(ended.status, Some(0 | 1115) | None) => {
                    windows.delete(&shell).await;
                    Err(windows.failed("shutdown.exe", &ended))
                }
                Ok(_) => {
                    windows.delete(&shell).await;
                    Ok(Accepted::ToBeSeen)
                }
                // It was started, and a machine that goes down does not say how it ended.
                Err(_) => Ok(Accepted::ToBeSeen),
            }
        }
    }
}

pub(super) async fn seen(action: &WinrmAction, tools: &Tools) -> Result<(), Problem> {
    match &action.what {
        Whom::Host => {
            confirm::until_closed(action.server.addr).await;
            Ok(())
        }
        Whom::Guests(guests) => {
            let windows = Windows::open(action).await?;
            guests::seen(&windows, action.verb, guests, tools.notes()).await
        }
    }
}

impl<'a> Windows<'a> {
    async fn open(action: &'a WinrmAction) -> Result<Self, Problem> {
        let password = secret(&action.password_file)?;
        let mut client = Client::of(&action.server).await?;
        client.basic(&action.user, &password)?;
        Ok(Self { action, client })
    }

    async fn identify(&self) -> Result<(), Problem> {
        let body = format!(
            r#"<s:Envelope xmlns:s="{SOAP}" xmlns:i="{IDENTITY}"><s:Header/><s:Body><i:Identify/></s:Body></s:Envelope>"#
        );
        let answer = self.post(body).await?;
        let text = self.good(&answer, "Identify")?;
        let product = first(&text, "ProductVendor")?;
        if product.is_some() {
            return Ok(());
        }
        Err(Problem::passing(format!(
            "{}: this is no WinRM: {}",
            self.action.server.addr,
            answer.said()
        )))
    }

    /// A command in a shell of its own.
    async fn run(&self, program: &str, args: &[&str]) -> Result<Ended, Problem> {
        let shell = self.create().await?;
        let ended = match self.begin(&shell, program, args).await {
            Ok(command) => self.follow(&shell, &command, program).await,
            Err(problem) => Err(problem),
        };
        self.delete(&shell).await;
        let ended = ended?;
        match ended.status {
            Some(0) => Ok(ended),
            _ => Err(self.failed(program, &ended)),
        }
    }

    /// A script, given whole as an argument: what Windows does with quotes does not matter.
    async fn script(&self, script: &str) -> Result<String, Problem> {
        let script = format!("$ErrorActionPreference='Stop';$ProgressPreference='SilentlyContinue';{script}");
        let wide: Vec<u8> = script.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let ended = self
            .run(
                "powershell.exe",
                &[
                    "-NoLogo",
                    "-NoProfile",
                    "-NonInteractive",
                    "-EncodedCommand",
                    &BASE64.encode(wide),
                ],
            )
            .await?;
        Ok(String::from_utf8_lossy(&ended.printed).into_owned())
    }

    fn failed(&self, program: &str, ended: &Ended) -> Problem {
        let said = if ended.complained.is_empty() {
            &ended.printed
        } else {
            &ended.complained
        };
        let said = printable(said, 240);
        let status = ended
            .status
            .map_or_else(|| "no status".to_owned(), |status| format!("status {status}"));
        Problem::passing(format!(
            "{}: {program} ended with {status}{}{said}",
            self.action.server.addr,
            if said.is_empty() { "" } else { ": " }
        ))
    }

    async fn create(&self) -> Result<String, Problem> {
        let options = r#"<w:OptionSet><w:Option Name="WINRS_NOPROFILE">TRUE</w:Option><w:Option Name="WINRS_CODEPAGE">65001</w:Option></w:OptionSet>"#;
        let body = format!(
            "<rsp:Shell><rsp:IdleTimeOut>PT{}S</rsp:IdleTimeOut><rsp:InputStreams>stdin</rsp:InputStreams>\
             <rsp:OutputStreams>stdout stderr</rsp:OutputStreams></rsp:Shell>",
            IDLE.as_secs()
        );
        let text = self
            .soap(
                &format!("{TRANSFER}/Create"),
                None,
                options,
                &body,
                "opening a shell",
            )
            .await?;
        let shell = match first(&text, "ShellId")? {
            Some(shell) => Some(shell),
            None => selector(&text)?,
        };
        shell
            .filter(|id| is_id(id))
            .ok_or_else(|| Problem::passing(format!("{}: no shell was opened", self.action.server.addr)))
    }

    /// Starts a program in the shell; its id there.
    async fn begin(&self, shell: &str, program: &str, args: &[&str]) -> Result<String, Problem> {
        let options = r#"<w:OptionSet><w:Option Name="WINRS_CONSOLEMODE_STDIN">TRUE</w:Option><w:Option Name="WINRS_SKIP_CMD_SHELL">TRUE</w:Option></w:OptionSet>"#;
        let mut line = format!("<rsp:CommandLine><rsp:Command>{}</rsp:Command>", escaped(program));
        for arg in args {
            let _ = write!(line, "<rsp:Arguments>{}</rsp:Arguments>", escaped(arg));
        }
        line.push_str("</rsp:CommandLine>");
        let text = self
            .soap(&format!("{SHELL}/Command"), Some(shell), options, &line, program)
            .await?;
        first(&text, "CommandId")?.filter(|id| is_id(id)).ok_or_else(|| {
            Problem::passing(format!("{}: {program} was not started", self.action.server.addr))
        })
    }

    /// Fetches what it prints until it has ended.
    async fn follow(&self, shell: &str, command: &str, program: &str) -> Result<Ended, Problem> {
        let limit = Duration::from_millis(self.action.command_timeout.0);
        tokio::time::timeout(limit, self.receive(shell, command, program))
            .await
            .unwrap_or_else(|_| {
                Err(Problem::passing(format!(
                    "{}: {program} did not end within {} s",
                    self.action.server.addr,
                    limit.as_secs_f64()
                )))
            })
    }

    async fn receive(&self, shell: &str, command: &str, program: &str) -> Result<Ended, Problem> {
        let mut ended = Ended::default();
        let body = format!(
            r#"<rsp:Receive><rsp:DesiredStream CommandId="{command}">stdout stderr</rsp:DesiredStream></rsp:Receive>"#
        );
        for _ in 0..MAX_RECEIVES {
            let answer = self
                .post(self.envelope(&format!("{SHELL}/Receive"), Some(shell), "", &body))
                .await?;
            // It prints nothing for a while: the question is asked again.
            if answer.status == 500 && String::from_utf8_lossy(&answer.body).contains(STILL_RUNNING) {
                continue;
            }
            let text = self.good(&answer, program)?;
            if received(&text, &mut ended)? {
                return Ok(ended);
            }
        }
        Err(Problem::passing(format!(
            "{}: {program} prints without end",
            self.action.server.addr
        )))
    }

    /// A shell that cannot be closed ends by itself.
    async fn delete(&self, shell: &str) {
        let _ = self
            .soap(
                &format!("{TRANSFER}/Delete"),
                Some(shell),
                "",
                "",
                "closing the shell",
            )
            .await;
    }

    async fn soap(
        &self,
        action: &str,
        shell: Option<&str>,
        options: &str,
        body: &str,
        what: &str,
    ) -> Result<String, Problem> {
        let answer = self.post(self.envelope(action, shell, options, body)).await?;
        self.good(&answer, what)
    }

    async fn post(&self, body: String) -> Result<Answer, Problem> {
        let ask = Ask::new(Method::POST, "/wsman").body("application/soap+xml;charset=UTF-8", body);
        self.client.ask(ask).await
    }

    fn envelope(&self, action: &str, shell: Option<&str>, options: &str, body: &str) -> String {
        let selectors = shell.map_or_else(String::new, |shell| {
            format!(r#"<w:SelectorSet><w:Selector Name="ShellId">{shell}</w:Selector></w:SelectorSet>"#)
        });
        // Half of what we wait, so that "nothing yet" is an answer and not a silence.
        let patience = self.action.server.timeout.0.div_ceil(2000).max(1);
        format!(
            r#"<s:Envelope xmlns:s="{SOAP}" xmlns:a="{ADDRESSING}" xmlns:w="{WSMAN}" xmlns:rsp="{SHELL}"><s:Header><a:To>https://{}/wsman</a:To><a:ReplyTo><a:Address s:mustUnderstand="true">{ADDRESSING}/role/anonymous</a:Address></a:ReplyTo><a:Action s:mustUnderstand="true">{action}</a:Action><a:MessageID>uuid:{}</a:MessageID><w:MaxEnvelopeSize s:mustUnderstand="true">512000</w:MaxEnvelopeSize><w:OperationTimeout>PT{patience}S</w:OperationTimeout><w:ResourceURI s:mustUnderstand="true">{CMD}</w:ResourceURI>{selectors}{options}</s:Header><s:Body>{body}</s:Body></s:Envelope>"#,
            self.action.server.authority(),
            message_id(),
        )
    }

    /// The text of an answer that is no fault.
    fn good(&self, answer: &Answer, what: &str) -> Result<String, Problem> {
        let addr = self.action.server.addr;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if answer.status.is_success() {
            return Ok(text);
        }
        if answer.status == 401 {
            return Err(Problem::passing(format!(
                "{addr}: it does not accept the account {} by Basic: it must be a local account, its password \
                 that of the file, and WSMan:\\localhost\\Service\\Auth\\Basic true; NTLM and Kerberos are not \
                 spoken here",
                self.action.user
            )));
        }
        let why = first(&text, "Message").ok().flatten();
        let why = why.or_else(|| first(&text, "Text").ok().flatten());
        let why = why.unwrap_or(text);
        let advice = if why.contains("Access is denied") || answer.status == 403 {
            "; the account needs Remote Management Users and the right to do it"
        } else {
            ""
        };
        Err(Problem::passing(format!(
            "{addr}: {what}: HTTP {}: {}{advice}",
            answer.status.as_u16(),
            printable(why.trim().as_bytes(), 200)
        )))
    }
}

impl Hypervisor for Windows<'_> {
    fn name(&self) -> String {
        format!("winrm {}", self.action.server.addr)
    }

    async fn list(&self) -> Result<Vec<Guest>, Problem> {
        let script = "Get-VM|ForEach-Object{\"$($_.Id)`t$([int]$_.State)`t$($_.Name)\"}";
        let guests = listed(&self.script(script).await?)?;
        // Get-VM shows nobody, and complains of nothing, to who is no administrator of Hyper-V.
        if guests.is_empty() {
            return Err(Problem::passing(format!(
                "{}: the account {} sees no guest at all: it must be in Hyper-V Administrators",
                self.action.server.addr, self.action.user
            )));
        }
        Ok(guests)
    }

    async fn shut_down(&self, guest: &Guest) -> Result<(), Problem> {
        // Stop-VM would wait until the guest is off; the component behind it only asks.
        let script = format!(
            "$c=Get-CimInstance -Namespace root/virtualization/v2 -ClassName Msvm_ShutdownComponent -Filter \
             \"SystemName='{}'\";if(-not $c){{throw 'the guest has no shutdown service (integration \
             services)'}};$r=Invoke-CimMethod -InputObject $c -MethodName InitiateShutdown -Arguments \
             @{{Force=$true;Reason='power'}};if($r.ReturnValue -notin 0,4096){{throw \"InitiateShutdown: \
             $($r.ReturnValue)\"}}",
            guest.id.to_ascii_uppercase()
        );
        self.script(&script).await.map(drop)
    }

    async fn switch_off(&self, guest: &Guest) -> Result<(), Problem> {
        let script = format!("Get-VM -Id '{}'|Stop-VM -TurnOff -Force", guest.id);
        self.script(&script).await.map(drop)
    }

    async fn start(&self, guest: &Guest) -> Result<(), Problem> {
        let script = format!("Get-VM -Id '{}'|Start-VM", guest.id);
        self.script(&script).await.map(drop)
    }
}

/// Lines of an id, a state as a number (3: off) and a name, with tabs between.
fn listed(text: &str) -> Result<Vec<Guest>, Problem> {
    let mut guests = Vec::new();
    for line in text
        .trim_start_matches('\u{feff}')
        .lines()
        .filter(|line| !line.trim().is_empty())
    {
        let mut parts = line.trim_end().splitn(3, '\t');
        let (Some(id), Some(state), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(strange(line));
        };
        let state: u32 = state.parse().map_err(|_| strange(line))?;
        if !is_id(id) || id.len() != 36 {
            return Err(strange(line));
        }
        if guests.len() == MAX_GUESTS {
            return Err(Problem::passing(format!(
                "it lists more than {MAX_GUESTS} guests"
            )));
        }
        guests.push(Guest {
            id: id.to_ascii_lowercase(),
            name: name.to_owned(),
            // 3: off, 6: saved, which both need no power.
            runs: !matches!(state, 3 | 6),
        });
    }
    Ok(guests)
}

fn strange(line: &str) -> Problem {
    Problem::passing(format!(
        "it lists a guest in a form that we do not know: {}",
        printable(line.as_bytes(), 80)
    ))
}

/// Takes the streams of an answer; true when the command has ended.
fn received(text: &str, ended: &mut Ended) -> Result<bool, Problem> {
    let document = parse(text)?;
    for node in document
        .descendants()
        .filter(|node| node.tag_name().name() == "Stream")
    {
        let Some(coded) = node.text() else { continue };
        let bytes = BASE64
            .decode(coded.trim())
            .map_err(|_| Problem::passing("the output of the command is no base64"))?;
        let to = match node.attribute("Name") {
            Some("stderr") => &mut ended.complained,
            _ => &mut ended.printed,
        };
        let room = MAX_OUTPUT.saturating_sub(to.len());
        if bytes.len() > room {
            return Err(Problem::passing(format!(
                "the command printed more than {MAX_OUTPUT} bytes"
            )));
        }
        to.extend_from_slice(&bytes);
    }
    let state = document
        .descendants()
        .find(|node| node.tag_name().name() == "CommandState");
    let Some(state) = state else { return Ok(false) };
    let code = state
        .descendants()
        .find(|node| node.tag_name().name() == "ExitCode")
        .and_then(|node| node.text());
    if let Some(code) = code {
        ended.status = code.trim().parse().ok();
    }
    Ok(state
        .attribute("State")
        .is_some_and(|state| state.ends_with("/Done")))
}

fn parse(text: &str) -> Result<roxmltree::Document<'_>, Problem> {
    let options = roxmltree::ParsingOptions {
        allow_dtd: false,
        nodes_limit: MAX_NODES,
        ..roxmltree::ParsingOptions::default()
    };
    roxmltree::Document::parse_with_options(text, options)
        .map_err(|error| Problem::passing(format!("the answer is no WS-Management: {error}")))
}

/// The text of the first element of this name, whatever its namespace.
fn first(text: &str, name: &str) -> Result<Option<String>, Problem> {
    let document = parse(text)?;
    let node = document.descendants().find(|node| node.tag_name().name() == name);
    // A message of a provider has elements of its own in it.
    Ok(node.map(|node| {
        node.descendants()
            .filter(roxmltree::Node::is_text)
            .filter_map(|node| node.text())
            .collect::<String>()
    }))
}

/// The id of the shell where only its address is told.
fn selector(text: &str) -> Result<Option<String>, Problem> {
    let document = parse(text)?;
    let node = document
        .descendants()
        .find(|node| node.tag_name().name() == "Selector" && node.attribute("Name") == Some("ShellId"));
    Ok(node.and_then(|node| node.text()).map(str::to_owned))
}

/// Ids go into XML and into scripts as they are.
fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A random id of a message, in the form of a UUID of version 4.
fn message_id() -> String {
    let bytes: [u8; 16] = rand::random();
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        let byte = match at {
            6 => byte & 0x0f | 0x40,
            8 => byte & 0x3f | 0x80,
            _ => *byte,
        };
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02X}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(state: &str, code: &str, streams: &str) -> String {
        format!(
            r#"<s:Envelope xmlns:s="{SOAP}" xmlns:rsp="{SHELL}"><s:Body><rsp:ReceiveResponse>{streams}<rsp:CommandState CommandId="1" State="{SHELL}/CommandState/{state}">{code}</rsp:CommandState></rsp:ReceiveResponse></s:Body></s:Envelope>"#
        )
    }

    #[test]
    fn output_is_put_together_until_the_command_has_ended() {
        let mut ended = Ended::default();
        let streams = r#"<rsp:Stream Name="stdout" CommandId="1">aGVs</rsp:Stream><rsp:Stream Name="stderr" CommandId="1">eA==</rsp:Stream>"#;
        assert_eq!(received(&answer("Running", "", streams), &mut ended), Ok(false));
        let last = r#"<rsp:Stream Name="stdout" CommandId="1">bG8=</rsp:Stream><rsp:Stream Name="stdout" CommandId="1" End="true"/>"#;
        let code = "<rsp:ExitCode>5</rsp:ExitCode>";
        assert_eq!(received(&answer("Done", code, last), &mut ended), Ok(true));
        assert_eq!(
            (
                ended.printed.as_slice(),
                ended.complained.as_slice(),
                ended.status
            ),
            (b"hello".as_slice(), b"x".as_slice(), Some(5))
        );
    }

    #[test]
    fn documents_that_would_grow_in_memory_are_refused() {
        let bomb = r#"<!DOCTYPE a [<!ENTITY x "ha">]><a>&x;</a>"#;
        assert!(first(bomb, "a").is_err());
    }

    #[test]
    fn guests_are_read_with_their_states() {
        let text = "\u{feff}6695EB01-f6a4-8304-79aa-97f2502e193f\t2\tweb server\r\n6695eb01-f6a4-8304-79aa-97f2502e1940\t3\tdb\r\n\r\n";
        let guests = listed(text).unwrap();
        assert_eq!(guests[0].name, "web server");
        assert_eq!(guests[0].id, "6695eb01-f6a4-8304-79aa-97f2502e193f");
        assert_eq!((guests[0].runs, guests[1].runs), (true, false));
        for bad in [
            "x",
            "a\tb\tc",
            "6695eb01-f6a4-8304-79aa-97f2502e193f\tOff\tdb",
            "';x\t3\tdb",
        ] {
            assert!(listed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn message_ids_are_uuids() {
        let id = message_id();
        assert!(is_id(&id) && id.len() == 36 && &id[14..15] == "4", "{id}");
        assert_ne!(id, message_id());
    }

    proptest! {
        #[test]
        fn nothing_that_is_answered_panics(text in "\\PC{0,200}", state in "\\PC{0,20}", code in "\\PC{0,8}") {
            let mut ended = Ended::default();
            let _ = received(&text, &mut ended);
            let _ = received(&answer(&escaped(&state), &escaped(&code), &escaped(&text)), &mut ended);
            let _ = first(&text, "ShellId");
            for guest in listed(&text).unwrap_or_default() {
                prop_assert!(is_id(&guest.id));
            }
        }
    }
}
