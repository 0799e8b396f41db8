//! Lines: what a bus runs on, and how one is opened.

use super::wire::{Framing, Wire};
use room::site::link::{ModbusLine, SerialLine};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// A connection that takes longer will not come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Silence between two RTU frames above 19,200 baud (Modbus over Serial Line V1.02, 2.5.1.1).
const GAP_FAST: Duration = Duration::from_micros(1750);
/// The baud rate up to which the gap is 3.5 characters (same clause).
const GAP_FAST_ABOVE: u32 = 19_200;

/// What a bus runs on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Line {
    /// Modbus TCP.
    Tcp(SocketAddr),
    /// RTU frames in a TCP connection, as serial device servers carry them.
    RtuOverTcp(SocketAddr),
    /// RTU on a serial port.
    Rtu(SerialLine),
}

impl From<&ModbusLine> for Line {
    fn from(line: &ModbusLine) -> Self {
        match line {
            ModbusLine::Tcp(addr) => Self::Tcp(*addr),
            ModbusLine::Rtu(serial) => Self::Rtu(serial.clone()),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => write!(f, "{addr}"),
            Self::RtuOverTcp(addr) => write!(f, "{addr} (RTU)"),
            Self::Rtu(serial) => write!(f, "{}", serial.path.display()),
        }
    }
}

impl Line {
    pub(super) const fn framing(&self) -> Framing {
        match self {
            Self::Tcp(_) => Framing::Tcp,
            Self::RtuOverTcp(_) | Self::Rtu(_) => Framing::Rtu,
        }
    }

    /// Silence between two frames.
    pub(super) fn gap(&self) -> Duration {
        match self {
            Self::Tcp(_) => Duration::ZERO,
            Self::RtuOverTcp(_) => GAP_FAST,
            Self::Rtu(serial) if serial.baud > GAP_FAST_ABOVE => GAP_FAST,
            // 3.5 characters of 11 bits.
            Self::Rtu(serial) => Duration::from_secs(1).mul_f64(38.5 / f64::from(serial.baud.max(300))),
        }
    }

    pub(super) async fn open(&self) -> io::Result<Wire> {
        match self {
            Self::Tcp(addr) | Self::RtuOverTcp(addr) => {
                let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(addr))
                    .await
                    .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection in 5 s"))??;
                stream.set_nodelay(true)?;
                Ok(Wire::tcp(stream, self.framing()))
            }
            Self::Rtu(serial) => Ok(Wire::serial(crate::serial::open(serial).await?)),
        }
    }
}
