//! An HTTPS server for simulated machines of a room, which can be told to misbehave.
//!
//! What it answers is the simulator's own; here are the certificate, the connections and the faults
//! that every such server can have.

use crate::certificate::Certificates;
use crate::hook::acceptor;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How the server treats requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    Good,
    /// Never an answer.
    Hang,
    /// This status, whatever is asked.
    Status(u16),
    /// Bytes that are no HTTP.
    Garbage,
    /// A good head, and a body that is none of what was asked.
    Nonsense,
    /// A good head, then a body without end.
    Endless,
}

/// A request that came in whole.
#[derive(Debug, Clone)]
pub struct Call {
    /// `GET`, ...
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Without the question mark; empty when there is none.
    pub query: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
}

impl Call {
    /// A header; empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// A value of the query or of a form, decoded where it has to be.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<String> {
        self.query
            .split('&')
            .chain(self.body.split('&'))
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
            .map(|value| value.replace("%2F", "/").replace("%20", " "))
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: String,
}

impl Reply {
    /// JSON with a status.
    #[must_use]
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_string(),
        }
    }

    /// No body.
    #[must_use]
    pub const fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: String::new(),
        }
    }
}

/// The server. It ends when this is dropped.
#[derive(Debug)]
pub struct Api {
    /// Where it listens.
    pub addr: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    off: watch::Sender<bool>,
    calls: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Api {
    /// Listens on a port of its choice. The function makes the answers; `off` ends the server, as a
    /// machine that was switched off.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn start(
        certificates: &Certificates,
        answer: impl Fn(&Call, &watch::Sender<bool>) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let tls = acceptor(certificates);
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port of loopback");
        let addr = listener.local_addr().expect("it is bound");
        let manner = Arc::new(Mutex::new(Manner::Good));
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (off, mut is_off) = watch::channel(false);
        let answer = Arc::new(answer);
        let mut tasks = JoinSet::new();
        let (shared, seen, switch) = (Arc::clone(&manner), Arc::clone(&calls), off.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => stream,
                        Err(_) => return,
                    },
                    _ = is_off.wait_for(|off| *off) => break,
                };
                let (tls, manner, seen) = (tls.clone(), Arc::clone(&shared), Arc::clone(&seen));
                let (answer, switch) = (Arc::clone(&answer), switch.clone());
                connections.spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else {
                        return;
                    };
                    let manner = *manner.lock().expect("no test panics while it holds this");
                    serve(stream, manner, move |call| {
                        let mut seen = seen.lock().expect("no test panics while it holds this");
                        seen.push(format!("{} {}", call.method, call.path));
                        drop(seen);
                        answer(call, &switch)
                    })
                    .await;
                });
            }
            // Whoever was being answered still is: a machine stops its services one by one.
            drop(listener);
            while connections.join_next().await.is_some() {}
        });
        Self {
            addr,
            manner,
            off,
            calls,
            _tasks: tasks,
        }
    }

    /// From now on connections are treated so.
    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().expect("no test panics while it holds this") = manner;
    }

    /// Every method and path that was asked.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.calls
            .lock()
            .expect("no test panics while it holds this")
            .clone()
    }

    /// Whether the machine is off.
    #[must_use]
    pub fn is_off(&self) -> bool {
        *self.off.borrow()
    }
}

/// What a server answers from: the state of a simulated machine.
pub trait Simulated: Send + 'static {
    /// What has happened until now, without anybody asking.
    fn pass(&mut self, now: Instant);
    /// The answer to a request; `off` switches the machine off.
    fn answer(&mut self, call: &Call, off: &watch::Sender<bool>) -> Reply;
}

/// The state that a server shares with its test, up to date whenever somebody looks.
#[derive(Debug)]
pub struct Kept<S>(Arc<Mutex<S>>);

impl<S: Simulated> Kept<S> {
    /// Looks at it, or changes it.
    ///
    /// # Panics
    /// When a test panicked while it looked.
    pub fn with<T>(&self, f: impl FnOnce(&mut S) -> T) -> T {
        let mut state = self.0.lock().expect("no test panics while it holds this");
        state.pass(Instant::now());
        f(&mut state)
    }
}

impl Api {
    /// A server that answers from a state, and the state.
    ///
    /// # Panics
    /// As [`Api::start`].
    pub async fn of<S: Simulated>(certificates: &Certificates, state: S) -> (Self, Kept<S>) {
        let kept = Kept(Arc::new(Mutex::new(state)));
        let shared = Kept(Arc::clone(&kept.0));
        let api = Self::start(certificates, move |call, off| {
            shared.with(|state| state.answer(call, off))
        })
        .await;
        (api, kept)
    }
}

async fn serve<S>(mut stream: S, manner: Manner, answer: impl Fn(&Call) -> Reply)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    match manner {
        Manner::Garbage => {
            let _ = stream.write_all(b"220 mail.city.example ESMTP\r\n").await;
            let _ = stream.shutdown().await;
            return;
        }
        Manner::Endless => {
            let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
            let _ = stream.write_all(head).await;
            while stream.write_all(&[b'x'; 16 * 1024]).await.is_ok() {}
            return;
        }
        _ => {}
    }
    let answer = &answer;
    let service = service_fn(move |request: Request<Incoming>| async move {
        let (head, body) = request.into_parts();
        let body = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let headers = head.headers.iter().map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        });
        let call = Call {
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: headers.collect(),
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        let reply = match manner {
            Manner::Hang => std::future::pending().await,
            Manner::Status(status) => Reply {
                body: "<html>upstream</html>".to_owned(),
                ..Reply::empty(status)
            },
            Manner::Nonsense => Reply {
                body: "{\"data\": 3, \"value\": {\"x\": []}}".to_owned(),
                ..Reply::empty(200)
            },
            Manner::Good | Manner::Garbage | Manner::Endless => answer(&call),
        };
        let mut response = Response::builder().status(reply.status);
        for (name, value) in reply.headers {
            response = response.header(name, value);
        }
        Ok::<_, Infallible>(
            response
                .body(Full::new(Bytes::from(reply.body)))
                .expect("a simulator's own headers"),
        )
    });
    // A client that goes away is not the server's to report.
    let _ = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
