//! An HTTP receiver of webhooks that can be told to misbehave, with or without TLS.

use crate::certificate::Certificates;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Manner {
    /// This status, header (name, value) and body.
    Answer(u16, Option<(&'static str, String)>, String),
    /// Never an answer.
    Hang,
    /// These bytes instead of an answer, and the end of the connection.
    Garbage(Vec<u8>),
    /// The head of a good answer, then a body without end.
    Endless,
}

impl Manner {
    /// 204 No Content.
    #[must_use]
    pub const fn good() -> Self {
        Self::Answer(204, None, String::new())
    }
}

/// A request that came in whole.
#[derive(Debug, Clone)]
pub struct Posted {
    /// When.
    pub at: Instant,
    /// Method, path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The bytes.
    pub body: Bytes,
}

impl Posted {
    /// Whether the signature is that of this key, as the manual tells receivers to compute it.
    #[must_use]
    pub fn is_signed_by(&self, key: &[u8]) -> bool {
        let header = |name: &str| self.headers.get(name).cloned().unwrap_or_default();
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
            return false;
        };
        mac.update(b"v1:");
        mac.update(header("yagura-timestamp").as_bytes());
        mac.update(b":");
        mac.update(&self.body);
        let wanted: String = mac
            .finalize()
            .into_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        header("yagura-signature") == format!("v1={wanted}")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// The receiver. It ends when this is dropped.
#[derive(Debug)]
pub struct Hook {
    /// Where it listens.
    pub addr: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    posted: mpsc::UnboundedReceiver<Posted>,
    _tasks: JoinSet<()>,
}

impl Hook {
    /// Listens on a port of its choice; with TLS when there are certificates.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn start(certificates: Option<&Certificates>) -> Self {
        let tls = certificates.map(acceptor);
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port of loopback");
        let addr = listener.local_addr().expect("it is bound");
        let manner = Arc::new(Mutex::new(Manner::good()));
        let (tell, posted) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&manner);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, manner, tell) = (tls.clone(), Arc::clone(&shared), tell.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, manner, tell).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, manner, tell).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            addr,
            manner,
            posted,
            _tasks: tasks,
        }
    }

    /// From now on requests are treated so.
    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().expect("no test panics while it holds this") = manner;
    }

    /// The next request.
    ///
    /// # Panics
    /// When none comes within `bound`.
    pub async fn next(&mut self, bound: Duration) -> Posted {
        tokio::time::timeout(bound, self.posted.recv())
            .await
            .expect("a request arrives")
            .expect("the receiver runs")
    }

    /// Requests that nobody looked at.
    pub fn rest(&mut self) -> Vec<Posted> {
        std::iter::from_fn(|| self.posted.try_recv().ok()).collect()
    }
}

pub(crate) fn acceptor(files: &Certificates) -> TlsAcceptor {
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.server)
        .and_then(Iterator::collect)
        .expect("an own certificate");
    let key = PrivateKeyDer::from_pem_file(&files.key).expect("an own key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("they belong together");
    TlsAcceptor::from(Arc::new(config))
}

async fn serve<S>(mut stream: S, manner: Arc<Mutex<Manner>>, tell: mpsc::UnboundedSender<Posted>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let now = manner.lock().expect("no test panics while it holds this").clone();
    if let Manner::Garbage(bytes) = now {
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        return;
    }
    if matches!(now, Manner::Endless) {
        let _ = stream
            .write_all(b"HTTP/1.1 500 Oh\r\nContent-Type: text/plain\r\n\r\n")
            .await;
        while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
        return;
    }
    let answer = service_fn(move |request: Request<Incoming>| {
        let (tell, now) = (tell.clone(), now.clone());
        async move {
            let target = format!("{} {}", request.method(), request.uri());
            let headers = request.headers().iter();
            let headers = headers
                .map(|(name, value)| {
                    (
                        name.to_string(),
                        String::from_utf8_lossy(value.as_bytes()).into_owned(),
                    )
                })
                .collect();
            let body = request
                .into_body()
                .collect()
                .await
                .map(http_body_util::Collected::to_bytes);
            if let Ok(body) = body {
                let at = Instant::now();
                // The test may be gone.
                let _ = tell.send(Posted {
                    at,
                    target,
                    headers,
                    body,
                });
            }
            let Manner::Answer(status, header, body) = now else {
                std::future::pending::<()>().await;
                unreachable!("it is pending for ever")
            };
            let mut response = Response::builder().status(status);
            if let Some((name, value)) = header {
                response = response.header(name, value);
            }
            Ok::<_, Infallible>(
                response
                    .body(Full::new(Bytes::from(body)))
                    .expect("a test's own header"),
            )
        }
    });
    // A client that goes away is not the receiver's to report.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answer)
        .await;
}
