//! A simulated temperature and humidity probe: Modbus RTU on an RS-485 line.
//!
//! ```text
//! node <--line--> faults <--pseudo terminal--> tokio-modbus server (registers)
//! ```
//! The protocol is tokio-modbus's own, so that the node's master is tested against other people's
//! reading of the standard. Faults are made on the line between: answers without, with wrong or
//! with late bytes. Registers are those of a common probe (XY-MD02): temperature and humidity in
//! tenths at 1 and 2, as input registers and as holding registers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::sleep;
use tokio_modbus::server::{Service, rtu::Server};
use tokio_modbus::{ExceptionCode, Request, Response, SlaveRequest};
use tokio_serial::SerialStream;

/// Address of the probe on the line.
pub const ADDRESS: u8 = 1;
/// Register of the temperature in tenths of a degree.
pub const TEMPERATURE: u16 = 1;
/// Register of the relative humidity in tenths of a percent.
pub const HUMIDITY: u16 = 2;

/// What is wrong with the probe or its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing answers.
    Mute,
    /// A bit of every answer is wrong, so that its CRC is.
    BadCrc,
    /// The end of every answer is missing.
    Short,
    /// Every answer comes this much later.
    Late(Duration),
    /// Every request is answered by this exception.
    Exception(ExceptionCode),
}

#[derive(Debug)]
struct State {
    registers: BTreeMap<u16, u16>,
    fault: Option<Fault>,
    /// Requests that the server took for good ones.
    asked: u32,
}

/// A test's hand on the simulated probe. Clones are the same probe.
#[derive(Debug, Clone)]
pub struct Probe(Arc<Mutex<State>>);

impl Default for Probe {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe {
    /// A probe at 22.5 °C and 45 %.
    #[must_use]
    pub fn new() -> Self {
        let state = State {
            registers: BTreeMap::from([(TEMPERATURE, 225), (HUMIDITY, 450)]),
            fault: None,
            asked: 0,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it measures: tenths of a degree and tenths of a percent.
    pub fn climate(&self, temperature: i16, humidity: u16) {
        self.register(TEMPERATURE, temperature.cast_unsigned());
        self.register(HUMIDITY, humidity);
    }

    /// Sets a register.
    pub fn register(&self, number: u16, value: u16) {
        self.locked().registers.insert(number, value);
    }

    /// From now on this is wrong, or nothing is.
    pub fn fault(&self, fault: Option<Fault>) {
        self.locked().fault = fault;
    }

    /// Good requests heard so far.
    #[must_use]
    pub fn asked(&self) -> u32 {
        self.locked().asked
    }

    fn read(&self, first: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        let state = self.locked();
        let read = |number| state.registers.get(&number).copied();
        (first..first.saturating_add(count))
            .map(|number| read(number).ok_or(ExceptionCode::IllegalDataAddress))
            .collect()
    }
}

impl Service for Probe {
    type Request = SlaveRequest<'static>;
    type Response = Option<Response>;
    type Exception = ExceptionCode;
    type Future = std::future::Ready<Result<Option<Response>, ExceptionCode>>;

    fn call(&self, asked: SlaveRequest<'static>) -> Self::Future {
        if asked.slave != ADDRESS {
            return std::future::ready(Ok(None));
        }
        self.locked().asked += 1;
        let fault = self.locked().fault;
        if let Some(Fault::Exception(code)) = fault {
            return std::future::ready(Err(code));
        }
        std::future::ready(match asked.request {
            Request::ReadInputRegisters(first, count) => self
                .read(first, count)
                .map(Response::ReadInputRegisters)
                .map(Some),
            Request::ReadHoldingRegisters(first, count) => self
                .read(first, count)
                .map(Response::ReadHoldingRegisters)
                .map(Some),
            _ => Err(ExceptionCode::IllegalFunction),
        })
    }
}

/// Answers on a line until it ends.
///
/// # Panics
/// When the system has no pseudo terminal left.
pub async fn serve(line: impl AsyncRead + AsyncWrite, probe: Probe) {
    let (near, far) = SerialStream::pair().expect("a pseudo terminal");
    let (mut from_node, mut to_node) = tokio::io::split(line);
    let (mut from_probe, mut to_probe) = tokio::io::split(near);
    let asking = async { tokio::io::copy(&mut from_node, &mut to_probe).await };
    let answering = async {
        let mut buffer = [0; 256];
        while let Ok(length @ 1..) = from_probe.read(&mut buffer).await {
            let fault = probe.locked().fault;
            let mut answer = &mut buffer[..length];
            match fault {
                Some(Fault::Mute) => continue,
                Some(Fault::BadCrc) => answer[length - 1] ^= 0x10,
                Some(Fault::Short) => answer = &mut answer[..length.saturating_sub(2)],
                Some(Fault::Late(by)) => sleep(by).await,
                Some(Fault::Exception(_)) | None => {}
            }
            if to_node.write_all(answer).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = asking => {}
        () = answering => {}
        _ = Server::new(far).serve_forever(probe.clone()) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::DuplexStream;
    use tokio::time::timeout;

    /// Read input registers 1 and 2 of slave 1, and its answer at 22.5 °C and 45.0 %; the CRCs
    /// were computed by hand after the standard's appendix.
    const ASK: [u8; 8] = [1, 4, 0, 1, 0, 2, 0x20, 0x0b];
    const ANSWER: [u8; 7] = [1, 4, 4, 0, 0xe1, 1, 0xc2];

    /// CRC-16 of Modbus over serial line V1.02, section 6.2.2.
    fn crc(bytes: &[u8]) -> [u8; 2] {
        let step = |crc: u16, _| if crc & 1 == 1 { crc >> 1 ^ 0xa001 } else { crc >> 1 };
        let whole = bytes
            .iter()
            .fold(0xffff, |crc, byte| (0..8).fold(crc ^ u16::from(*byte), step));
        whole.to_le_bytes()
    }

    async fn ask(line: &mut DuplexStream, question: &[u8]) -> Vec<u8> {
        line.write_all(question).await.unwrap();
        let mut answer = Vec::new();
        // A real master takes silence for the end as well.
        while let Ok(Ok(byte)) = timeout(Duration::from_millis(200), line.read_u8()).await {
            answer.push(byte);
        }
        answer
    }

    #[tokio::test]
    async fn it_answers_as_the_standard_says_and_lies_as_it_is_told() {
        let (mut ours, theirs) = tokio::io::duplex(256);
        let probe = Probe::new();
        let serving = tokio::spawn(serve(theirs, probe.clone()));
        assert_eq!(crc(&ASK[..6]), ASK[6..], "the question of this test");
        let good = [&ANSWER[..], &crc(&ANSWER)].concat();
        assert_eq!(ask(&mut ours, &ASK).await, good);

        probe.fault(Some(Fault::BadCrc));
        let bad = ask(&mut ours, &ASK).await;
        assert_eq!(bad[..8], good[..8]);
        assert_ne!(bad[8], good[8]);
        probe.fault(Some(Fault::Short));
        assert_eq!(ask(&mut ours, &ASK).await, good[..7]);
        probe.fault(Some(Fault::Mute));
        assert_eq!(ask(&mut ours, &ASK).await, [0_u8; 0]);
        probe.fault(Some(Fault::Exception(ExceptionCode::ServerDeviceFailure)));
        assert_eq!(ask(&mut ours, &ASK).await[..3], [1, 0x84, 4]);

        probe.fault(None);
        probe.climate(-55, 999);
        assert_eq!(ask(&mut ours, &ASK).await[3..7], [0xff, 0xc9, 3, 0xe7]);
        // Another slave's question is not ours; neither is one with a wrong CRC.
        let mut other = [2, 4, 0, 1, 0, 2, 0, 0];
        let sum = crc(&other[..6]);
        other[6..].copy_from_slice(&sum);
        assert_eq!(ask(&mut ours, &other).await, [0_u8; 0]);
        assert_eq!(ask(&mut ours, &[1, 4, 0, 1, 0, 2, 0, 0]).await, [0_u8; 0]);
        assert_eq!(ask(&mut ours, &ASK).await.len(), 9, "and it still answers");
        drop(ours);
        serving.await.unwrap();
    }
}
