//! A network signal tower as its maker's manuals describe it, for tests: PNS commands over TCP and
//! the HTTP command, on a port of loopback.
//!
//! What it takes is written from the manuals and not from what the product sends (see the head of
//! `controller/src/core/notifier/patlite.rs` for them): a command of another category, size or
//! value is answered by NAK and changes nothing. It can be told to hang, to refuse and to vanish.

use room::notice::{Lamp, Light};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Longest request line and header that it reads.
const REQUEST_MAX: usize = 4096;

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Does what it is told.
    Obeys,
    /// Takes the connection and says nothing.
    Hangs,
    /// Is set to be controlled by something else.
    Refuses,
}

/// What it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// PNS with this product category.
    Pns([u8; 2]),
    /// `/api/control`
    Http,
}

/// What it shows, and what it was told.
#[derive(Debug)]
struct State {
    manner: Manner,
    /// Red, amber, green, blue, white, buzzer, as the values of the command.
    shown: [u8; 6],
    /// Everything that it has shown, in order.
    history: Vec<[u8; 6]>,
}

/// A tower. Gone when it is dropped or vanishes.
#[derive(Debug)]
pub struct Tower {
    /// Where it takes commands.
    pub addr: SocketAddr,
    speech: Speech,
    state: Arc<Mutex<State>>,
    task: Option<JoinHandle<()>>,
}

impl Tower {
    /// Starts one with every light off.
    ///
    /// # Panics
    /// Without a free port on loopback.
    pub async fn start(speech: Speech) -> Self {
        let state = Arc::new(Mutex::new(State {
            manner: Manner::Obeys,
            shown: [0; 6],
            history: Vec::new(),
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let task = tokio::spawn(serve(listener, speech, Arc::clone(&state)));
        Self {
            addr,
            speech,
            state,
            task: Some(task),
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on it behaves so.
    pub fn behave(&self, manner: Manner) {
        self.with(|state| state.manner = manner);
    }

    /// What it shows; the buzzer as its pattern.
    #[must_use]
    pub fn shows(&self) -> ([Light; 5], u8) {
        let [red, amber, green, blue, white, buzzer] = self.with(|state| state.shown);
        let light = |value| match value {
            0 => Light::Off,
            1 => Light::Steady,
            _ => Light::Flashing,
        };
        ([red, amber, green, blue, white].map(light), buzzer)
    }

    /// True when it shows this lamp with the buzzer's pattern 1.
    #[must_use]
    pub fn shows_lamp(&self, lamp: Lamp) -> bool {
        let units = [lamp.red, lamp.amber, lamp.green, lamp.blue, lamp.white];
        self.shows() == (units, u8::from(lamp.buzzer))
    }

    /// Everything that it was told since it started, as the values of the commands.
    #[must_use]
    pub fn history(&self) -> Vec<[u8; 6]> {
        self.with(|state| state.history.clone())
    }

    /// It loses its network, and its power: nobody listens any more.
    pub async fn vanish(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // The port is free once the task is gone.
            let _ = task.await;
        }
        self.with(|state| state.shown = [0; 6]);
    }

    /// It comes back at the same address, with every light off.
    ///
    /// # Panics
    /// When somebody else took its port.
    pub async fn return_dark(&mut self) {
        let listener = TcpListener::bind(self.addr)
            .await
            .expect("the port is still free");
        self.task = Some(tokio::spawn(serve(
            listener,
            self.speech,
            Arc::clone(&self.state),
        )));
    }
}

impl Drop for Tower {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn serve(listener: TcpListener, speech: Speech, state: Arc<Mutex<State>>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        // A connection that breaks is the client's matter. Those still open end with this.
        connections.spawn(async move {
            let _ = match speech {
                Speech::Pns(category) => pns(stream, category, &state).await,
                Speech::Http => http(stream, &state).await,
            };
        });
        while connections.try_join_next().is_some() {}
    }
}

fn manner(state: &Mutex<State>) -> Manner {
    state.lock().unwrap_or_else(PoisonError::into_inner).manner
}

/// Shows values, if a tower has them. Nine leaves a unit as it is.
fn operate(state: &Mutex<State>, values: [u8; 6]) -> bool {
    let (units, buzzer) = values.split_at(5);
    if !units.iter().all(|unit| matches!(unit, 0..=7 | 9)) || !matches!(buzzer, [0..=11]) {
        return false;
    }
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    for (shown, value) in state.shown.iter_mut().zip(values) {
        if value != 9 {
            *shown = value;
        }
    }
    let shown = state.shown;
    state.history.push(shown);
    true
}

async fn pns(mut stream: TcpStream, category: [u8; 2], state: &Mutex<State>) -> std::io::Result<()> {
    const ACK: &[u8] = &[0x06];
    const NAK: &[u8] = &[0x15];
    loop {
        let mut head = [0; 6];
        stream.read_exact(&mut head).await?;
        let [first, second, identifier, empty, high, low] = head;
        let size = u16::from_be_bytes([high, low]);
        let mut data = vec![0; usize::from(size.min(64))];
        stream.read_exact(&mut data).await?;
        match manner(state) {
            Manner::Hangs => std::future::pending().await,
            Manner::Refuses => {
                stream.write_all(NAK).await?;
                continue;
            }
            Manner::Obeys => {}
        }
        let is_good = [first, second] == category
            && empty == 0
            && identifier == b'S'
            && <[u8; 6]>::try_from(data).is_ok_and(|values| operate(state, values));
        stream.write_all(if is_good { ACK } else { NAK }).await?;
    }
}

async fn http(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if request.len() > REQUEST_MAX {
            return Ok(());
        }
        request.push(stream.read_u8().await?);
    }
    let manner = manner(state);
    if manner == Manner::Hangs {
        std::future::pending::<()>().await;
    }
    let request = String::from_utf8_lossy(&request);
    let digits = request
        .strip_prefix("GET /api/control?alert=")
        .and_then(|rest| rest.split_once(' '))
        .map(|(digits, _)| {
            digits
                .bytes()
                .map(|digit| digit.wrapping_sub(b'0'))
                .collect::<Vec<_>>()
        });
    let is_good = manner == Manner::Obeys
        && digits
            .and_then(|digits| <[u8; 6]>::try_from(digits).ok())
            .is_some_and(|values| operate(state, values));
    let body = if is_good { "Success." } else { "Error." };
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await
}
