//! A management controller that speaks Redfish, after DMTF's published schemas: service root, one or
//! more systems whose PowerState really changes after a while, sessions, and bad manners on demand.

use crate::certificate::Certificates;
use crate::hook::acceptor;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value as Json, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Account and password that are accepted.
pub const ACCOUNT: (&str, &str) = ("yagura", "pass word");
/// `yagura:pass word` in base64.
const BASIC: &str = "Basic eWFndXJhOnBhc3Mgd29yZA==";

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    Good,
    /// Never answers.
    Hangs,
    /// Answers with something else than JSON.
    Garbage,
    /// Takes a reset and does nothing.
    Stubborn,
    /// Points to another host.
    Redirects,
}

/// What it is like.
#[derive(Debug, Clone)]
pub struct Bmc {
    /// How it behaves.
    pub manner: Manner,
    /// Ids of its systems.
    pub systems: Vec<&'static str>,
    /// The resets that it lists.
    pub allowed: Vec<&'static str>,
    /// It lists them in an ActionInfo instead.
    pub action_info: bool,
    /// How long the server takes to be on or off.
    pub takes: Duration,
}

impl Default for Bmc {
    fn default() -> Self {
        Self {
            manner: Manner::Good,
            systems: vec!["1"],
            allowed: vec!["On", "ForceOff", "GracefulShutdown"],
            action_info: false,
            takes: Duration::from_millis(300),
        }
    }
}

#[derive(Debug)]
struct State {
    bmc: Bmc,
    on: bool,
    /// What it will be, and when.
    turns: Option<(bool, Instant)>,
    sessions: Vec<u32>,
    opened: u32,
    resets: Vec<String>,
}

impl State {
    fn power(&mut self) -> &'static str {
        if let Some((on, at)) = self.turns
            && Instant::now() >= at
        {
            self.on = on;
            self.turns = None;
        }
        match (self.on, self.turns) {
            (_, Some((true, _))) => "PoweringOn",
            (_, Some((false, _))) => "PoweringOff",
            (true, None) => "On",
            (false, None) => "Off",
        }
    }
}

/// It runs until this is dropped.
#[derive(Debug)]
pub struct Redfish {
    /// Where it listens.
    pub addr: SocketAddr,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

impl Redfish {
    /// Listens with TLS on a port of its choice; the server is on.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn start(certificates: &Certificates, bmc: Bmc) -> Self {
        let tls = acceptor(certificates);
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port of loopback");
        let addr = listener.local_addr().expect("it is bound");
        let state = Arc::new(Mutex::new(State {
            bmc,
            on: true,
            turns: None,
            sessions: Vec::new(),
            opened: 0,
            resets: Vec::new(),
        }));
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&state);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, state) = (tls.clone(), Arc::clone(&shared));
                connections.spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else {
                        return;
                    };
                    let serve = service_fn(|request| answer(Arc::clone(&state), request));
                    // A client that goes away is not ours to report.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), serve)
                        .await;
                });
            }
        });
        Self {
            addr,
            state,
            _tasks: tasks,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds this")
    }

    /// From now on it is like that.
    pub fn behave(&self, bmc: Bmc) {
        self.state().bmc = bmc;
    }

    /// Every reset that was taken.
    #[must_use]
    pub fn resets(&self) -> Vec<String> {
        self.state().resets.clone()
    }

    /// `PowerState` now.
    #[must_use]
    pub fn power(&self) -> &'static str {
        self.state().power()
    }

    /// Sessions that were opened, and those that are open now.
    #[must_use]
    pub fn sessions(&self) -> (u32, usize) {
        let state = self.state();
        (state.opened, state.sessions.len())
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes);
    let body: Json = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
    let manner = state
        .lock()
        .expect("no test panics while it holds this")
        .bmc
        .manner;
    match manner {
        Manner::Hangs => std::future::pending().await,
        Manner::Garbage => {
            return Ok(Response::new(Full::new(Bytes::from_static(
                b"<html>login</html>",
            ))));
        }
        Manner::Redirects => {
            let response = Response::builder()
                .status(302)
                .header("location", "https://192.0.2.1/redfish/v1/");
            return Ok(response.body(Full::default()).expect("an own header"));
        }
        Manner::Good | Manner::Stubborn => {}
    }
    let mut state = state.lock().expect("no test panics while it holds this");
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let sessions = "/redfish/v1/SessionService/Sessions";
    let path = head.uri.path();
    if (&head.method, path) == (&Method::POST, sessions) {
        if (body["UserName"].as_str(), body["Password"].as_str()) != (Some(ACCOUNT.0), Some(ACCOUNT.1)) {
            return Ok(refusal(
                StatusCode::UNAUTHORIZED,
                "The account or its password is not valid.",
            ));
        }
        state.opened += 1;
        let id = state.opened;
        state.sessions.push(id);
        let response = Response::builder()
            .status(201)
            .header("x-auth-token", format!("token-{id}"))
            .header("location", format!("{sessions}/{id}"));
        return Ok(response.body(Full::new(Bytes::from("{}"))).expect("own headers"));
    }
    let token = header("x-auth-token").and_then(|token| token.strip_prefix("token-")?.parse().ok());
    let known =
        header("authorization") == Some(BASIC) || token.is_some_and(|id| state.sessions.contains(&id));
    if !known || header("odata-version") != Some("4.0") {
        return Ok(refusal(StatusCode::UNAUTHORIZED, "No valid session."));
    }
    let good = |json: Json| Response::new(Full::new(Bytes::from(json.to_string())));
    Ok(match (&head.method, path) {
        (&Method::DELETE, path) => {
            let id = path
                .rsplit('/')
                .next()
                .and_then(|id| id.parse().ok())
                .unwrap_or(0_u32);
            state.sessions.retain(|open| *open != id);
            good(json!({}))
        }
        (&Method::GET, "/redfish/v1/Systems") => {
            let members: Vec<Json> = state
                .bmc
                .systems
                .iter()
                .map(|id| json!({"@odata.id": format!("/redfish/v1/Systems/{id}")}))
                .collect();
            good(json!({"Members": members}))
        }
        (&Method::GET, "/redfish/v1/Systems/1/ResetActionInfo") => good(json!({
            "Parameters": [{"Name": "ResetType", "AllowableValues": state.bmc.allowed}]
        })),
        (&Method::GET, "/redfish/v1/Systems/1") => {
            let mut reset = json!({"target": "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset"});
            if state.bmc.action_info {
                reset["@Redfish.ActionInfo"] = json!("/redfish/v1/Systems/1/ResetActionInfo");
            } else {
                reset["ResetType@Redfish.AllowableValues"] = json!(state.bmc.allowed);
            }
            good(json!({
                "@odata.id": "/redfish/v1/Systems/1",
                "Id": "1",
                "PowerState": state.power(),
                "Actions": {"#ComputerSystem.Reset": reset},
            }))
        }
        (&Method::POST, "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset") => {
            let wanted = body["ResetType"].as_str().unwrap_or_default().to_owned();
            if !state.bmc.allowed.contains(&wanted.as_str()) {
                return Ok(refusal(
                    StatusCode::BAD_REQUEST,
                    "The value is not in the list of acceptable values.",
                ));
            }
            if manner == Manner::Good {
                state.turns = Some((wanted == "On", Instant::now() + state.bmc.takes));
            }
            state.resets.push(wanted);
            Response::builder()
                .status(204)
                .body(Full::default())
                .expect("an own status")
        }
        _ => refusal(StatusCode::NOT_FOUND, "The resource was not found."),
    })
}

fn refusal(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    let json = json!({"error": {
        "code": "Base.1.8.GeneralError",
        "message": "A general error has occurred.",
        "@Message.ExtendedInfo": [{"Message": message}],
    }});
    let response = Response::builder().status(status);
    response
        .body(Full::new(Bytes::from(json.to_string())))
        .expect("an own status")
}
