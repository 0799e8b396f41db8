//! Messages: from clients to core and back, between clients, and what is refused.

use super::*;
use rumqttc::v5::mqttbytes::v5::{DisconnectReasonCode, PubAckReason, SubscribeReasonCode};

#[tokio::test]
async fn an_event_is_acknowledged_only_after_core_settled_it() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let mut node = endpoint.v5("1", "node").await;
    node.send5(&publish5("fac/v1/1/ev", 7, "door")).await;
    let arrived = core.arrival().await;
    assert_eq!(
        (arrived.user.as_str(), arrived.payload.as_slice()),
        ("1", &b"door"[..])
    );
    assert!(arrived.at_least_once && !arrived.retained);
    // The answer to a later packet shows that no PUBACK was on its way.
    node.ping5().await;
    core.settle(arrived.token).await;
    node.expect5(&ack5(7, PubAckReason::Success)).await;

    let mut old = endpoint.v4("2", "node").await;
    old.send4(&publish4("fac/v1/2/ev", 9, "leak")).await;
    let arrived = core.arrival().await;
    old.send4(&v4::Packet::PingReq).await;
    old.expect4(&v4::Packet::PingResp).await;
    core.settle(arrived.token).await;
    old.expect4(&v4::Packet::PubAck(v4::PubAck::new(9))).await;
    endpoint.stop().await;
}

#[tokio::test]
async fn acknowledgements_leave_in_the_order_of_the_publishes() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let mut panel = endpoint.v5("1", "node").await;
    for pkid in 1..=3 {
        panel
            .send5(&publish5(
                "fac/v1/1/ev",
                pkid,
                ["", "a", "b", "c"][usize::from(pkid)],
            ))
            .await;
    }
    let tokens = [
        core.arrival().await.token,
        core.arrival().await.token,
        core.arrival().await.token,
    ];
    core.settle(tokens[2]).await;
    core.settle(tokens[1]).await;
    panel.ping5().await;
    core.settle(tokens[0]).await;
    for pkid in 1..=3 {
        panel.expect5(&ack5(pkid, PubAckReason::Success)).await;
    }
    endpoint.stop().await;
}

#[tokio::test]
async fn core_s_restart_costs_no_event_and_no_connection() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let mut node = endpoint.v5("1", "node").await;
    node.send5(&publish5("fac/v1/1/ev", 1, "before")).await;
    let lost = core.arrival().await;
    drop(core);
    node.ping5().await;
    // Core is away: QoS 1 waits, QoS 0 is lost and counted.
    node.send5(&publish5("fac/v1/1/ev", 2, "meanwhile")).await;
    node.send5(&publish5("fac/v1/1/t", 0, "21.5")).await;
    node.ping5().await;
    let mut core = endpoint.link().await;
    core.accounts().await;
    for (pkid, payload) in [(1, "before"), (2, "meanwhile")] {
        let again = core.arrival().await;
        assert_eq!(again.payload, payload.as_bytes());
        assert_eq!(again.token == lost.token, pkid == 1);
        core.settle(again.token).await;
        node.expect5(&ack5(pkid, PubAckReason::Success)).await;
    }
    core.counted("dropped_for_core", 1).await;
    endpoint.stop().await;
}

#[tokio::test]
async fn an_event_sent_again_after_a_reconnect_is_one_event_and_is_acknowledged() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let mut node = endpoint.raw().await;
    node.send5(&connect5("1", "node", false, 600)).await;
    node.connack5().await;
    node.send5(&publish5("fac/v1/1/ev", 5, "door")).await;
    let first = core.arrival().await;
    drop(node);
    let mut node = endpoint.raw().await;
    node.send5(&connect5("1", "node", false, 600)).await;
    assert!(node.connack5().await.session_present);
    let mut again = v5::Publish::new("fac/v1/1/ev", QoS5::AtLeastOnce, "door", None);
    (again.pkid, again.dup) = (5, true);
    node.send5(&v5::Packet::Publish(again)).await;
    node.send5(&publish5("fac/v1/1/ev", 6, "next")).await;
    // No second copy of the first comes before the next.
    let next = core.arrival().await;
    assert_eq!(next.payload, b"next");
    core.settle(first.token).await;
    node.expect5(&ack5(5, PubAckReason::Success)).await;
    core.settle(next.token).await;
    node.expect5(&ack5(6, PubAckReason::Success)).await;
    endpoint.stop().await;
}

#[tokio::test]
async fn core_publishes_to_a_node() {
    let (endpoint, core) = Endpoint::with_core().await;
    let mut node = endpoint.v5("1", "node").await;
    let granted = node.subscribe5("fac/v1/1/cmd").await;
    assert_eq!(granted, [SubscribeReasonCode::Success(QoS5::AtLeastOnce)]);
    core.publish("fac/v1/1/cmd", "ack", false).await;
    let message = node.message5().await;
    assert_eq!(
        (message.payload.as_ref(), message.qos),
        (&b"ack"[..], QoS5::AtLeastOnce)
    );
    node.send5(&ack5(message.pkid, PubAckReason::Success)).await;
    node.ping5().await;
    endpoint.stop().await;
}

#[tokio::test]
async fn rights_hold_for_publish_and_subscribe() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let mut node = endpoint.v5("1", "node").await;
    node.send5(&publish5("fac/v1/2/ev", 3, "forged")).await;
    node.expect5(&ack5(3, PubAckReason::NotAuthorized)).await;
    node.send5(&publish5("fac/v1/2/ev", 0, "forged")).await;
    assert_eq!(
        node.subscribe5("fac/v1/+/cmd").await,
        [SubscribeReasonCode::NotAuthorized]
    );
    assert_eq!(node.subscribe5("#").await, [SubscribeReasonCode::NotAuthorized]);
    assert_eq!(
        node.subscribe5("a/#/b").await,
        [SubscribeReasonCode::TopicFilterInvalid]
    );
    let shared = node.subscribe5("$share/g/fac/v1/1/cmd").await;
    assert_eq!(shared, [SubscribeReasonCode::SharedSubscriptionsNotSupported]);
    core.counted("refused_publish", 2).await;
    core.counted("refused_subscribe", 3).await;

    let mut old = endpoint.v4("1", "old").await;
    let mut wishes = v4::Subscribe::new("fac/v1/1/cmd", QoS::ExactlyOnce);
    wishes.add("fac/v1/2/cmd".to_owned(), QoS::AtMostOnce);
    wishes.pkid = 4;
    old.send4(&v4::Packet::Subscribe(wishes)).await;
    let granted = v4::SubscribeReasonCode::Success(QoS::AtLeastOnce);
    let codes = vec![granted, v4::SubscribeReasonCode::Failure];
    old.expect4(&v4::Packet::SubAck(v4::SubAck::new(4, codes))).await;
    old.send4(&publish4("fac/v1/2/ev", 3, "forged")).await;
    old.closed().await;
    endpoint.stop().await;
}

#[tokio::test]
async fn what_a_publish_must_not_be() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let cases: [(&str, DisconnectReasonCode); 5] = [
        ("panel/+", DisconnectReasonCode::TopicNameInvalid),
        ("panel/#", DisconnectReasonCode::TopicNameInvalid),
        ("panel/\0", DisconnectReasonCode::TopicNameInvalid),
        ("", DisconnectReasonCode::TopicNameInvalid),
        (
            &"x".repeat(limit::MAX_TOPIC + 1),
            DisconnectReasonCode::TopicNameInvalid,
        ),
    ];
    for (topic, reason) in cases {
        let mut client = endpoint.v5("panel", "p").await;
        client.send5(&publish5(topic, 1, "x")).await;
        client.disconnected5(reason).await;
        let mut client = endpoint.v4("panel", "p").await;
        client.send4(&publish4(topic, 1, "x")).await;
        client.closed().await;
    }
    core.counted("refused_invalid_topic", 10).await;

    let mut client = endpoint.v5("panel", "p").await;
    client.bytes(&[0x30, 6, 0, 3, b'a', 0xFF, b'b', 0]).await;
    client.disconnected5(DisconnectReasonCode::ProtocolError).await;

    let mut client = endpoint.v5("panel", "p").await;
    client.bytes(&[0x30, 6, 0, 0, 3, 0x23, 0, 1]).await;
    client
        .disconnected5(DisconnectReasonCode::TopicAliasInvalid)
        .await;

    let mut client = endpoint.v5("panel", "p").await;
    client.bytes(&[0x34, 7, 0, 1, b'a', 0, 1, 0, b'x']).await;
    client.disconnected5(DisconnectReasonCode::QoSNotSupported).await;
    let mut client = endpoint.v4("panel", "p").await;
    client.bytes(&[0x34, 5, 0, 1, b'a', 0, 1]).await;
    client.closed().await;
    core.counted("refused_qos2", 2).await;
    endpoint.stop().await;
}

#[tokio::test]
async fn clients_hear_each_other_within_their_rights() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let mut old = endpoint.v4("panel", "old").await;
    let mut wish = v4::Subscribe::new("panel/+", QoS::AtLeastOnce);
    wish.pkid = 1;
    old.send4(&v4::Packet::Subscribe(wish)).await;
    old.next4().await.unwrap();
    let mut new = endpoint.v5("panel", "new").await;
    let mut wish = v5::Filter::new("panel/#", QoS5::AtMostOnce);
    wish.nolocal = true;
    let mut wish = v5::Subscribe::new(wish, None);
    wish.pkid = 2;
    new.send5(&v5::Packet::Subscribe(wish)).await;
    new.next5().await.unwrap();

    // From MQTT 5 to 3.1.1, and not back to the sender, which did not want its own.
    let mut publish = v5::Publish::new("panel/a", QoS5::AtLeastOnce, "new", None);
    publish.pkid = 9;
    publish.properties = Some(v5::PublishProperties {
        content_type: Some("text/plain".to_owned()),
        ..v5::PublishProperties::default()
    });
    new.send5(&v5::Packet::Publish(publish)).await;
    new.expect5(&ack5(9, PubAckReason::Success)).await;
    let Some(v4::Packet::Publish(heard)) = old.next4().await else {
        panic!()
    };
    assert_eq!(
        (heard.topic.as_str(), heard.qos, heard.dup),
        ("panel/a", QoS::AtLeastOnce, false)
    );
    old.send4(&v4::Packet::PubAck(v4::PubAck::new(heard.pkid))).await;

    // From 3.1.1 to MQTT 5, at the QoS the subscriber asked for; the sender hears itself.
    old.send4(&publish4("panel/b", 3, "old")).await;
    let heard = new.message5().await;
    assert_eq!(
        (heard.payload.as_ref(), heard.qos),
        (&b"old"[..], QoS5::AtMostOnce)
    );
    // What nodes send is heard by those with the right to it, and still goes to core.
    let mut all = endpoint.v5("panel", "all").await;
    all.subscribe5("fac/v1/+/ev").await;
    let mut node = endpoint.v5("1", "node").await;
    node.send5(&publish5("fac/v1/1/ev", 1, "door")).await;
    assert_eq!(all.message5().await.payload.as_ref(), b"door");
    assert_eq!(core.arrival().await.payload, b"door");
    endpoint.stop().await;
}

#[tokio::test]
async fn retained_messages_are_kept_marked_and_cleared() {
    let (endpoint, core) = Endpoint::with_core().await;
    let mut panel = endpoint.v5("panel", "p").await;
    let retained = |topic: &str, payload: &'static str| {
        let mut publish = v5::Publish::new(topic, QoS5::AtLeastOnce, payload, None);
        (publish.pkid, publish.retain) = (1, true);
        v5::Packet::Publish(publish)
    };
    panel.send5(&retained("panel/a", "kept")).await;
    panel.expect5(&ack5(1, PubAckReason::Success)).await;
    panel.subscribe5("panel/a").await;
    let message = panel.message5().await;
    assert!(message.retain && message.payload.as_ref() == b"kept");
    panel.send5(&ack5(message.pkid, PubAckReason::Success)).await;
    // To those who are already there it comes without the mark.
    panel.send5(&retained("panel/a", "newer")).await;
    let heard = [panel.next5().await.unwrap(), panel.next5().await.unwrap()];
    let live = heard.iter().find_map(|packet| match packet {
        v5::Packet::Publish(publish) => Some(publish),
        _ => None,
    });
    assert!(!live.unwrap().retain);
    panel.send5(&retained("panel/a", "")).await;
    panel.expect5(&ack5(1, PubAckReason::Success)).await;
    let mut late = endpoint.v5("panel", "late").await;
    late.subscribe5("panel/#").await;
    late.ping5().await;

    // What core said before a node was there.
    core.publish("fac/v1/1/cmd", "hello", true).await;
    let mut node = endpoint.v5("1", "node").await;
    node.subscribe5("fac/v1/1/cmd").await;
    assert_eq!(node.message5().await.payload.as_ref(), b"hello");
    endpoint.stop().await;
}

#[tokio::test]
async fn a_new_core_is_told_what_nodes_have_retained() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let mut node = endpoint.v5("1", "node").await;
    let mut up = v5::Publish::new("fac/v1/1/up", QoS5::AtMostOnce, "1", None);
    up.retain = true;
    node.send5(&v5::Packet::Publish(up)).await;
    assert!(!core.arrival().await.retained, "live, though it is kept");
    // What core itself had retained is not news to it.
    core.publish("fac/v1/1/cmd", "hello", true).await;
    node.ping5().await;
    drop(core);
    let mut core = endpoint.link().await;
    let known = core.arrival().await;
    assert_eq!(known.user, "1", "core checks the account against the topic");
    assert_eq!(
        (known.topic.as_str(), known.retained, known.at_least_once),
        ("fac/v1/1/up", true, false)
    );
    endpoint.stop().await;
}

#[tokio::test]
async fn a_message_past_its_expiry_is_not_delivered() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let mut sleeper = endpoint.raw().await;
    sleeper.send5(&connect5("panel", "sleeper", true, 600)).await;
    sleeper.connack5().await;
    sleeper.subscribe5("panel/#").await;
    drop(sleeper);
    let mut panel = endpoint.v5("panel", "p").await;
    let with_expiry = |pkid, secs, payload: &'static str| {
        let mut publish = v5::Publish::new("panel/x", QoS5::AtLeastOnce, payload, None);
        publish.pkid = pkid;
        publish.properties = Some(v5::PublishProperties {
            message_expiry_interval: Some(secs),
            ..v5::PublishProperties::default()
        });
        v5::Packet::Publish(publish)
    };
    panel.send5(&with_expiry(1, 0, "stale at once")).await;
    panel.send5(&with_expiry(2, 600, "good")).await;
    for pkid in [1, 2] {
        panel.expect5(&ack5(pkid, PubAckReason::Success)).await;
    }
    let mut sleeper = endpoint.raw().await;
    sleeper.send5(&connect5("panel", "sleeper", false, 600)).await;
    assert!(sleeper.connack5().await.session_present);
    let message = sleeper.message5().await;
    assert_eq!(message.payload.as_ref(), b"good");
    let left = message.properties.unwrap().message_expiry_interval.unwrap();
    assert!((570..=600).contains(&left), "{left}");
    core.counted("dropped_expired", 1).await;
    endpoint.stop().await;
}

#[tokio::test]
async fn too_many_unsettled_events_stop_the_reading_and_nothing_is_lost() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    // A client of MQTT 3.1.1 was not told how many it may send: 300 is more than we hold.
    let count = u16::try_from(limit::MAX_UNSETTLED_PER_USER).unwrap() + 172;
    let mut node = endpoint.v4("1", "node").await;
    let mut bytes = BytesMut::new();
    for pkid in 1..=count {
        publish4("fac/v1/1/ev", pkid, &pkid.to_string())
            .write(&mut bytes, usize::MAX)
            .unwrap();
    }
    node.bytes(&bytes).await;
    for pkid in 1..=count {
        let arrived = core.arrival().await;
        assert_eq!(arrived.payload, pkid.to_string().into_bytes());
        core.settle(arrived.token).await;
        node.expect4(&v4::Packet::PubAck(v4::PubAck::new(pkid))).await;
    }
    // MQTT 5 was told, so it is a mistake there.
    let mut hasty = endpoint.v5("2", "hasty").await;
    for pkid in 1..=limit::RECEIVE_MAX + 1 {
        hasty
            .send5(&publish5("fac/v1/2/ev", pkid, pkid.to_string().leak()))
            .await;
    }
    hasty
        .disconnected5(DisconnectReasonCode::ReceiveMaximumExceeded)
        .await;
    endpoint.stop().await;
}

#[tokio::test]
async fn rumqttc_s_own_clients_work_with_both_versions() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let mut options = rumqttc::MqttOptions::new("four", endpoint.addr.ip().to_string(), endpoint.addr.port());
    options.set_credentials("1", password("1"));
    let (client, mut events) = rumqttc::AsyncClient::new(options, 8);
    client
        .publish("fac/v1/1/ev", QoS::AtLeastOnce, false, "by 3.1.1")
        .await
        .unwrap();
    let acknowledged = async {
        loop {
            if let rumqttc::Event::Incoming(rumqttc::Packet::PubAck(_)) = events.poll().await.unwrap() {
                return;
            }
        }
    };
    let commit = async {
        let arrived = core.arrival().await;
        core.settle(arrived.token).await;
        arrived.payload
    };
    let ((), payload) = timeout(BOUND, async { tokio::join!(acknowledged, commit) })
        .await
        .unwrap();
    assert_eq!(payload, b"by 3.1.1");

    let mut options =
        rumqttc::v5::MqttOptions::new("five", endpoint.addr.ip().to_string(), endpoint.addr.port());
    options.set_credentials("1", password("1"));
    let (client, mut events) = rumqttc::v5::AsyncClient::new(options, 8);
    client.subscribe("fac/v1/1/cmd", QoS5::AtLeastOnce).await.unwrap();
    client
        .publish("fac/v1/1/ev", QoS5::AtLeastOnce, false, "by 5")
        .await
        .unwrap();
    let heard = async {
        let mut acknowledged = false;
        loop {
            match events.poll().await.unwrap() {
                rumqttc::v5::Event::Incoming(v5::Packet::PubAck(ack)) => {
                    acknowledged = ack.reason == PubAckReason::Success;
                }
                rumqttc::v5::Event::Incoming(v5::Packet::Publish(publish)) => {
                    return (acknowledged, publish.payload);
                }
                _ => {}
            }
        }
    };
    let commit = async {
        let arrived = core.arrival().await;
        core.settle(arrived.token).await;
        core.publish("fac/v1/1/cmd", "upto 1", false).await;
    };
    let (heard, ()) = timeout(BOUND, async { tokio::join!(heard, commit) })
        .await
        .unwrap();
    assert_eq!(heard, (true, "upto 1".into()));
    endpoint.stop().await;
}
