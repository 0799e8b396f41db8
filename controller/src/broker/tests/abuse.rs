//! Clients that are slow, silent, many, hostile or broken: the others do not notice.

use super::*;
use proptest::prelude::*;
use rumqttc::v5::mqttbytes::v5::{DisconnectReasonCode, PubAckReason};

/// A round trip that must work whatever others do.
async fn works(endpoint: &Endpoint, core: &mut Core) {
    let mut node = endpoint.v5("1", "witness").await;
    node.send5(&publish5("fac/v1/1/ev", 1, "alive")).await;
    let arrived = core.arrival().await;
    core.settle(arrived.token).await;
    node.expect5(&ack5(1, PubAckReason::Success)).await;
}

#[tokio::test]
async fn a_thousand_clients_at_once() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let mut clients = Vec::new();
    for batch in 0..10 {
        let greeting = (0..100).map(|index| endpoint.v5("panel", format!("{batch}-{index}").leak()));
        clients.extend(futures_util::future::join_all(greeting).await);
    }
    assert_eq!(clients.len(), 1000);
    for client in &mut clients {
        client.subscribe5("panel/all").await;
    }
    clients[0].send5(&publish5("panel/all", 0, "one to all")).await;
    for client in &mut clients {
        assert_eq!(client.message5().await.payload.as_ref(), b"one to all");
    }
    works(&endpoint, &mut core).await;
    endpoint.stop().await;
}

#[tokio::test]
async fn idle_and_half_said_connections_hold_up_nobody_and_are_closed() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(endpoint.raw().await);
        let mut half = endpoint.raw().await;
        half.bytes(&[0x10, 40, 0, 4, b'M']).await;
        silent.push(half);
    }
    works(&endpoint, &mut core).await;
    for client in &mut silent {
        client.closed().await;
    }
    core.counted("refused_connect_timeout", 400).await;
    endpoint.stop().await;
}

#[tokio::test]
async fn more_connections_than_allowed_are_refused_and_room_is_given_back() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let mut waiting = Vec::new();
    for _ in 0..limit::MAX_CONNECTIONS + 1 {
        waiting.push(endpoint.raw().await);
    }
    core.counted("refused_too_many_connections", 1).await;
    drop(waiting);
    // The room is free as soon as their tasks have seen the end.
    timeout(BOUND, async {
        loop {
            let mut client = endpoint.raw().await;
            client.send5(&connect5("1", "next", true, 0)).await;
            if let Some(v5::Packet::ConnAck(_)) = client.next5().await {
                return;
            }
        }
    })
    .await
    .unwrap();
    endpoint.stop().await;
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_loses_only_its_own_messages() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let mut deaf = endpoint.v5("panel", "deaf").await;
    deaf.subscribe5("panel/flood").await;
    let mut other = endpoint.v5("panel", "other").await;
    let payload: &'static str = "x".repeat(4000).leak();
    // More than both socket buffers and its queue hold.
    let counted = async {
        let mut sent = 0;
        loop {
            other.send5(&publish5("panel/flood", 0, payload)).await;
            sent += 1;
            if sent % 500 == 0 {
                other.ping5().await;
                while let Ok(message) = core.from_broker.try_recv() {
                    if let FromBroker::Counters(counters) = message
                        && counters
                            .iter()
                            .any(|(name, count)| name == "dropped_qos0" && *count > 0)
                    {
                        return;
                    }
                }
            }
        }
    };
    timeout(BOUND, counted).await.unwrap();
    works(&endpoint, &mut core).await;
    // And it still gets the latest.
    other.ping5().await;
    assert_eq!(deaf.message5().await.payload.len(), 4000);
    endpoint.stop().await;
}

#[tokio::test]
async fn too_long_packets_are_refused_by_their_length_alone() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let mut five = endpoint.v5("panel", "p").await;
    five.bytes(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]).await;
    five.disconnected5(DisconnectReasonCode::PacketTooLarge).await;
    let mut four = endpoint.v4("panel", "p").await;
    four.bytes(&[0x30, 0x80, 0x20]).await;
    four.closed().await;
    let mut endless = endpoint.v5("panel", "p").await;
    endless.bytes(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]).await;
    endless.disconnected5(DisconnectReasonCode::MalformedPacket).await;
    // Before CONNECT there is nobody to answer.
    let mut stranger = endpoint.raw().await;
    stranger.bytes(&[0x10, 0xFF, 0xFF, 0xFF, 0x7F]).await;
    stranger.closed().await;
    core.counted("refused_malformed_packet", 4).await;
    endpoint.stop().await;
}

#[tokio::test]
async fn a_client_s_own_limits_are_kept() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let v5::Packet::Connect(mut connect, _, login) = connect5("panel", "small", true, 0) else {
        panic!()
    };
    connect.properties = Some(v5::ConnectProperties {
        max_packet_size: Some(100),
        receive_maximum: Some(1),
        ..v5::ConnectProperties::new()
    });
    let mut small = endpoint.raw().await;
    small.send5(&v5::Packet::Connect(connect, None, login)).await;
    small.connack5().await;
    small.subscribe5("panel/#").await;
    let mut other = endpoint.v5("panel", "other").await;
    for (pkid, payload) in [(1, "a"), (2, "x".repeat(200).leak()), (3, "b")] {
        other.send5(&publish5("panel/x", pkid, payload)).await;
        other.expect5(&ack5(pkid, PubAckReason::Success)).await;
    }
    let first = small.message5().await;
    assert_eq!(first.payload.as_ref(), b"a");
    // One at a time, as it wished; the long one is dropped and counted.
    small.ping5().await;
    small.send5(&ack5(first.pkid, PubAckReason::Success)).await;
    assert_eq!(small.message5().await.payload.as_ref(), b"b");
    core.counted("dropped_too_long_for_client", 1).await;
    endpoint.stop().await;
}

#[tokio::test]
async fn packets_in_the_wrong_place() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let cases: [&[u8]; 8] = [
        &[0x20, 3, 0, 0, 0],                // CONNACK
        &[0x50, 2, 0, 1],                   // PUBREC
        &[0x62, 2, 0, 1],                   // PUBREL
        &[0xF0, 2, 0, 0],                   // AUTH
        &[0x00, 0],                         // reserved
        &[0x80, 6, 0, 1, 0, 0, 1, b'a'],    // SUBSCRIBE with wrong flags
        &[0x82, 7, 0, 0, 0, 0, 1, b'a', 0], // SUBSCRIBE with packet id 0
        &[0x38, 4, 0, 1, b'a', 0],          // DUP with QoS 0
    ];
    for bytes in cases {
        let mut client = endpoint.v5("panel", "p").await;
        client.bytes(bytes).await;
        client.disconnected5(DisconnectReasonCode::ProtocolError).await;
    }
    let mut twice = endpoint.v5("panel", "p").await;
    twice.send5(&connect5("panel", "p", true, 0)).await;
    twice.disconnected5(DisconnectReasonCode::ProtocolError).await;
    // A packet cut off inside: the codec would wait for the rest for ever.
    let mut cut = endpoint.v5("panel", "p").await;
    cut.bytes(&[0x30, 4, 0, 1, b'a', 0x80]).await;
    cut.disconnected5(DisconnectReasonCode::MalformedPacket).await;
    core.counted("refused_malformed_packet", 10).await;

    let mut ancient = endpoint.raw().await;
    ancient
        .bytes(&[0x10, 12, 0, 6, b'M', b'Q', b'I', b's', b'd', b'p', 3, 2, 0, 10])
        .await;
    ancient.bytes(&[0, 0]).await;
    let refused = v4::ConnAck::new(v4::ConnectReturnCode::RefusedProtocolVersion, false);
    ancient.expect4(&v4::Packet::ConnAck(refused)).await;
    let mut web = endpoint.raw().await;
    web.bytes(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    web.closed().await;
    core.counted("refused_unsupported_protocol", 1).await;
    endpoint.stop().await;
}

/// Bytes as a hostile client may send them: packets of both versions, whole, cut and bent.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let packet = prop_oneof![
        Just(bytes4(&connect4("1", "x", true))),
        Just(bytes5(&connect5("1", "x", false, 60))),
        Just(bytes5(&connect5("panel", "", true, 60))),
        Just(bytes5(&publish5("fac/v1/1/ev", 3, "door"))),
        Just(bytes4(&publish4("panel/x", 3, "x"))),
        Just(bytes5(&v5::Packet::Subscribe({
            let mut wish = v5::Subscribe::new(v5::Filter::new("fac/v1/1/cmd", QoS5::AtLeastOnce), None);
            wish.pkid = 9;
            wish
        }))),
        Just(vec![0xA2, 6, 0, 1, 0, 0, 1, b'a']),
        Just(vec![0xC0, 0]),
        Just(vec![0xE0, 0]),
        Just(vec![0x40, 2, 0, 1]),
        proptest::collection::vec(any::<u8>(), 0..64),
    ];
    let bent = (packet, any::<prop::sample::Index>(), any::<u8>(), 0..4_u8).prop_map(
        |(mut bytes, at, with, how)| {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] ^= with,
                    1 => bytes.truncate(at),
                    2 => bytes.insert(at, with),
                    _ => {}
                }
            }
            bytes
        },
    );
    proptest::collection::vec(bent, 1..8).prop_map(|packets| packets.concat())
}

fn bytes4(packet: &v4::Packet) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, usize::MAX).unwrap();
    bytes.to_vec()
}

fn bytes5(packet: &v5::Packet) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, None).unwrap();
    bytes.to_vec()
}

/// Whole sessions of bent packets over real sockets; the listener lives on, and no task of a
/// connection failed.
#[test]
fn hostile_sessions_end_nothing_but_themselves() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (endpoint, mut core) = runtime.block_on(Endpoint::with_core());
    let addr = endpoint.addr;
    let drain = runtime.spawn(async move {
        // Core settles everything, so that no session ends by standing still.
        let mut failed = 0;
        while let Some(message) = core.from_broker.recv().await {
            match message {
                FromBroker::Publish { token, .. } => core.settle(token).await,
                FromBroker::Counters(counters) => {
                    failed = counters
                        .iter()
                        .find(|(name, _)| name == "failed_connection_task")
                        .unwrap()
                        .1;
                }
            }
        }
        failed
    });
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(300));
    runner
        .run(&(hostile(), hostile()), |(greeting, rest)| {
            runtime.block_on(async {
                let mut stream = TcpStream::connect(addr).await.unwrap();
                let mut all = if rest.len() % 2 == 0 {
                    bytes5(&connect5("1", "x", false, 60))
                } else {
                    bytes4(&connect4("1", "x", false))
                };
                if rest.len() % 3 == 0 {
                    all = greeting;
                }
                all.extend(rest);
                // The endpoint may close before everything is written.
                stream.write_all(&all).await.ok();
                stream.shutdown().await.ok();
            });
            Ok(())
        })
        .unwrap();
    runtime.block_on(async {
        let mut node = endpoint.v5("1", "witness").await;
        node.send5(&publish5("fac/v1/1/ev", 1, "alive")).await;
        node.expect5(&ack5(1, PubAckReason::Success)).await;
        endpoint.stop().await;
        let failed = timeout(BOUND, drain).await.unwrap().unwrap();
        assert_eq!(failed, 0, "tasks of connections failed");
    });
}
