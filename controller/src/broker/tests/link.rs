//! The real socket of core: absent, there, gone, back.

use super::*;
use crate::link::Role;
use crate::link::wire::{Reader, Writer, accept};
use rumqttc::v5::mqttbytes::v5::PubAckReason;
use tokio::net::UnixListener;

async fn called(listener: &UnixListener) -> (Reader, Writer) {
    let (stream, _) = timeout(BOUND, listener.accept()).await.unwrap().unwrap();
    let (role, reader, writer) = accept(stream).await.unwrap();
    assert_eq!(role, Role::Broker);
    (reader, writer)
}

async fn event(reader: &mut Reader) -> (u64, Vec<u8>) {
    let event = async {
        loop {
            if let FromBroker::Publish { token, payload, .. } = reader.next().await.unwrap() {
                return (token, payload);
            }
        }
    };
    timeout(BOUND, event).await.unwrap()
}

#[tokio::test]
async fn connections_outlive_core_and_events_wait_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("core.sock");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let running = {
        let (socket, stop) = (socket.clone(), stop.clone());
        tokio::spawn(async move { crate::broker::run(listener, &socket, stop).await })
    };
    // A node is there before core is.
    let mut node = Raw {
        stream: TcpStream::connect(addr).await.unwrap(),
        inbox: BytesMut::new(),
    };
    node.send5(&connect5("1", "node", true, 0)).await;
    let core = UnixListener::bind(&socket).unwrap();
    let (mut reader, mut writer) = called(&core).await;
    let accounts = ToBroker::Accounts(vec![account("1", &["fac/v1/1/+"], &[])]);
    writer.send(&accounts).await.unwrap();
    assert_eq!(node.connack5().await.code, v5::ConnectReturnCode::Success);
    node.send5(&publish5("fac/v1/1/ev", 1, "door")).await;
    let (token, payload) = event(&mut reader).await;
    assert_eq!(payload, b"door");

    // Core dies before it has committed, and comes back.
    drop((reader, writer, core));
    std::fs::remove_file(&socket).unwrap();
    node.ping5().await;
    let core = UnixListener::bind(&socket).unwrap();
    let (mut reader, mut writer) = called(&core).await;
    assert_eq!(event(&mut reader).await, (token, b"door".to_vec()));
    writer.send(&ToBroker::Settled { token }).await.unwrap();
    node.expect5(&ack5(1, PubAckReason::Success)).await;

    stop.cancel();
    timeout(BOUND, running).await.unwrap().unwrap();
}
