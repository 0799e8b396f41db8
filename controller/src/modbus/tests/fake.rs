//! Devices of our own that do what no test partner does: answer late, short, wrong, or not.
//!
//! A fake answers one question after the other, like every device. It is on loopback (TCP) or at
//! the far end of a pseudo-terminal (RTU), where it goes on when the near end is closed.

use super::super::Line;
use room::site::link::{LineParity, SerialLine};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_serial::{SerialPort as _, SerialStream};

/// A question as the fake read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    /// How many came before it.
    pub(super) nth: usize,
    /// TCP only; 0 on a serial line.
    pub(super) id: u16,
    pub(super) unit: u8,
    pub(super) function: u8,
    pub(super) at: u16,
    pub(super) count: u16,
}

/// What the fake does about it.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Sends these bytes as they are.
    Send(Vec<u8>),
    Wait(Duration),
    /// Closes the connection; TCP only.
    Close,
}

pub(super) use Act::{Close, Send, Wait};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Tcp,
    Rtu,
}

/// A frame around a function and what follows it.
pub(super) fn frame(framing: Framing, id: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    match framing {
        Framing::Tcp => {
            let mut bytes = id.to_be_bytes().to_vec();
            bytes.extend([0, 0]);
            bytes.extend(u16::try_from(pdu.len() + 1).unwrap().to_be_bytes());
            bytes.push(unit);
            bytes.extend(pdu);
            bytes
        }
        Framing::Rtu => {
            let mut bytes = vec![unit];
            bytes.extend(pdu);
            let sum = crc(&bytes);
            bytes.extend(sum.to_le_bytes());
            bytes
        }
    }
}

/// The checksum of RTU frames (Modbus over Serial Line V1.02, 6.2.2), bit by bit.
pub(super) fn crc(bytes: &[u8]) -> u16 {
    let mut sum = 0xffff_u16;
    for byte in bytes {
        sum ^= u16::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 {
                (sum >> 1) ^ 0xa001
            } else {
                sum >> 1
            };
        }
    }
    sum
}

impl Asked {
    /// The right answer of a device in which each register holds its own address, and each bit
    /// whether its address is odd.
    pub(super) fn pdu(&self) -> Vec<u8> {
        self.pdu_of(self.at, self.count)
    }

    pub(super) fn pdu_of(&self, at: u16, count: u16) -> Vec<u8> {
        let mut data = Vec::new();
        if self.function <= 2 {
            data.resize(usize::from(count.div_ceil(8)), 0);
            for n in 0..count {
                data[usize::from(n / 8)] |= u8::from((at + n) % 2 == 1) << (n % 8);
            }
        } else {
            for n in 0..count {
                data.extend((at + n).to_be_bytes());
            }
        }
        let mut pdu = vec![self.function, u8::try_from(data.len()).unwrap()];
        pdu.extend(data);
        pdu
    }

    pub(super) fn good(&self, framing: Framing) -> Vec<u8> {
        frame(framing, self.id, self.unit, &self.pdu())
    }

    pub(super) fn exception(&self, framing: Framing, code: u8) -> Vec<u8> {
        frame(framing, self.id, self.unit, &[self.function | 0x80, code])
    }
}

/// A fake and what it was asked.
#[derive(Debug)]
pub(super) struct Fake {
    pub(super) line: Line,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
    /// Keeps the near end of the pseudo-terminal there while nobody has it open.
    _near: Option<std::fs::File>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// TCP connections so far.
    pub(super) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    pub(super) async fn start(
        framing: Framing,
        answer: impl Fn(&Asked) -> Vec<Act> + std::marker::Send + Sync + 'static,
    ) -> Self {
        match framing {
            Framing::Tcp => Self::tcp(answer).await,
            Framing::Rtu => Self::rtu(answer),
        }
    }

    async fn tcp(answer: impl Fn(&Asked) -> Vec<Act> + std::marker::Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let line = Line::Tcp(listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(Mutex::new(0));
        let (log, count) = (Arc::clone(&asked), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                *count.lock().unwrap() += 1;
                serve(stream, Framing::Tcp, &log, &answer).await;
            }
        });
        Self {
            line,
            asked,
            connections,
            task,
            _near: None,
        }
    }

    fn rtu(answer: impl Fn(&Asked) -> Vec<Act> + std::marker::Send + Sync + 'static) -> Self {
        /// `O_NOCTTY`: the terminal must not become the test's own.
        const NO_TERMINAL: i32 = 0o400;
        let (far, near) = SerialStream::pair().unwrap();
        let path: PathBuf = near.name().unwrap().into();
        let held = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(NO_TERMINAL)
            .open(&path);
        // It has a lock on the port.
        drop(near);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let task = tokio::spawn(async move { serve(far, Framing::Rtu, &log, &answer).await });
        Self {
            line: Line::Rtu(SerialLine {
                path,
                baud: 115_200,
                parity: LineParity::None,
                stop_bits: 1,
            }),
            asked,
            connections: Arc::default(),
            task,
            _near: Some(held.unwrap()),
        }
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    framing: Framing,
    log: &Mutex<Vec<Asked>>,
    answer: &(impl Fn(&Asked) -> Vec<Act> + Sync),
) {
    loop {
        let nth = log.lock().unwrap().len();
        let Some(asked) = read(&mut stream, framing, nth).await else {
            return;
        };
        log.lock().unwrap().push(asked);
        for act in answer(&asked) {
            match act {
                Send(bytes) => {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Wait(time) => tokio::time::sleep(time).await,
                Close => return,
            }
        }
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin), framing: Framing, nth: usize) -> Option<Asked> {
    let mut id = 0;
    let mut bytes = [0; 6];
    match framing {
        Framing::Tcp => {
            let mut prefix = [0; 6];
            stream.read_exact(&mut prefix).await.ok()?;
            assert_eq!(
                prefix[2..],
                [0, 0, 0, 6],
                "a read question has six bytes behind its prefix"
            );
            id = u16::from_be_bytes([prefix[0], prefix[1]]);
            stream.read_exact(&mut bytes).await.ok()?;
        }
        Framing::Rtu => {
            let mut whole = [0; 8];
            stream.read_exact(&mut whole).await.ok()?;
            bytes.copy_from_slice(&whole[..6]);
            assert_eq!(
                whole[6..],
                crc(&bytes).to_le_bytes(),
                "a question with a wrong checksum"
            );
        }
    }
    Some(Asked {
        nth,
        id,
        unit: bytes[0],
        function: bytes[1],
        at: u16::from_be_bytes([bytes[2], bytes[3]]),
        count: u16::from_be_bytes([bytes[4], bytes[5]]),
    })
}
