//! Framing of the link: length-delimited postcard over a unix stream.

use super::{Hello, MAX_MESSAGE, Role, VERSION};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use serde::{Serialize, de::DeserializeOwned};
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

/// What went wrong on the link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The socket.
    #[error("reading or writing the link")]
    Io(#[from] std::io::Error),
    /// A message that does not decode.
    #[error("decoding a message of the link")]
    Decode(#[source] postcard::Error),
    /// A message that does not encode.
    #[error("encoding a message of the link")]
    Encode(#[source] postcard::Error),
    /// The other side closed.
    #[error("the other side of the link closed it")]
    Closed,
    /// Versions differ: the roles are of different releases.
    #[error("the other side speaks another link version: {0}")]
    Version(u16),
    /// The other side did not say who it is in time.
    #[error("the other side of the link did not introduce itself in time")]
    Silent,
}

/// Longest time until the other side has introduced itself.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Reading half.
pub struct Reader(FramedRead<OwnedReadHalf, LengthDelimitedCodec>);
/// Writing half.
pub struct Writer(FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>);

/// Splits a stream into message halves.
#[must_use]
pub fn split(stream: UnixStream) -> (Reader, Writer) {
    let (read, write) = stream.into_split();
    let codec = || {
        LengthDelimitedCodec::builder()
            .max_frame_length(MAX_MESSAGE)
            .new_codec()
    };
    (
        Reader(FramedRead::new(read, codec())),
        Writer(FramedWrite::new(write, codec())),
    )
}

/// Connects a role to core's socket and introduces it; core answers with its own [`Hello`],
/// in which it repeats the role.
///
/// # Errors
/// [`LinkError`]; the caller tries again with a back-off.
pub async fn connect(socket: &Path, role: Role) -> Result<(Reader, Writer), LinkError> {
    let (mut reader, mut writer) = split(UnixStream::connect(socket).await?);
    writer
        .send(&Hello {
            version: VERSION,
            role,
        })
        .await?;
    greeting(&mut reader).await?;
    Ok((reader, writer))
}

/// Core's side of [`connect`]: reads who is there and introduces core.
///
/// # Errors
/// [`LinkError`]; the connection is to be dropped.
pub async fn accept(stream: UnixStream) -> Result<(Role, Reader, Writer), LinkError> {
    let (mut reader, mut writer) = split(stream);
    let role = greeting(&mut reader).await?;
    writer
        .send(&Hello {
            version: VERSION,
            role,
        })
        .await?;
    Ok((role, reader, writer))
}

async fn greeting(reader: &mut Reader) -> Result<Role, LinkError> {
    let hello: Hello = tokio::time::timeout(HELLO_TIMEOUT, reader.next())
        .await
        .map_err(|_| LinkError::Silent)??;
    if hello.version == VERSION {
        Ok(hello.role)
    } else {
        Err(LinkError::Version(hello.version))
    }
}

impl Reader {
    /// The next message. Cancel-safe: a partly read message stays in the buffer.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn next<M: DeserializeOwned>(&mut self) -> Result<M, LinkError> {
        let frame = self.0.next().await.ok_or(LinkError::Closed)??;
        postcard::from_bytes(&frame).map_err(LinkError::Decode)
    }
}

impl Writer {
    /// Sends a message.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn send<M: Serialize>(&mut self, message: &M) -> Result<(), LinkError> {
        let frame = postcard::to_stdvec(message).map_err(LinkError::Encode)?;
        self.0.send(Bytes::from(frame)).await?;
        Ok(())
    }
}
