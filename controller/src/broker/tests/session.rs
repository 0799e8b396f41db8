//! Sessions: who gets in, take-over, what waits for a client that is away, wills.

use super::*;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode, PubAckReason};

#[tokio::test]
async fn a_wrong_password_is_refused_slowly_and_counted() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let attempt = async |user: &'static str| {
        let mut connect = v4::Connect::new("x");
        connect.set_login(user, "wrong");
        let mut client = endpoint.raw().await;
        let asked = tokio::time::Instant::now();
        client.send4(&v4::Packet::Connect(connect)).await;
        let refused = v4::ConnAck::new(v4::ConnectReturnCode::BadUserNamePassword, false);
        client.expect4(&v4::Packet::ConnAck(refused)).await;
        assert!(asked.elapsed() >= limit::REFUSAL_DELAY);
        client.closed().await;

        let v5::Packet::Connect(connect, ..) = connect5(user, "x", true, 0) else {
            panic!()
        };
        let mut client = endpoint.raw().await;
        let login = v5::Login::new(user, "wrong");
        client
            .send5(&v5::Packet::Connect(connect, None, Some(login)))
            .await;
        assert_eq!(
            client.connack5().await.code,
            ConnectReturnCode::BadUserNamePassword
        );
        client.closed().await;
    };
    tokio::join!(attempt("1"), attempt("nobody"), attempt(""));
    core.counted("refused_wrong_password", 6).await;
    endpoint.stop().await;
}

#[tokio::test]
async fn before_core_has_spoken_clients_wait_and_then_get_in() {
    let endpoint = Endpoint::start().await;
    let mut early = endpoint.raw().await;
    early.send5(&connect5("1", "early", true, 0)).await;
    let core = endpoint.link().await;
    core.accounts().await;
    assert_eq!(early.connack5().await.code, ConnectReturnCode::Success);
    endpoint.stop().await;

    let endpoint = Endpoint::start().await;
    let mut five = endpoint.raw().await;
    five.send5(&connect5("1", "early", true, 0)).await;
    let mut four = endpoint.raw().await;
    four.send4(&connect4("1", "early", true)).await;
    assert_eq!(five.connack5().await.code, ConnectReturnCode::ServerUnavailable);
    let refused = v4::ConnAck::new(v4::ConnectReturnCode::ServiceUnavailable, false);
    four.expect4(&v4::Packet::ConnAck(refused)).await;
    endpoint.link().await.counted("refused_no_accounts_yet", 2).await;
    endpoint.stop().await;
}

#[tokio::test]
async fn a_client_takes_over_its_own_session_and_nobody_elses() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let mut first = endpoint.v5("1", "same").await;
    let mut stranger = endpoint.v5("2", "same").await;
    first.ping5().await;
    let mut second = endpoint.v5("1", "same").await;
    first.disconnected5(DisconnectReasonCode::SessionTakenOver).await;
    second.ping5().await;
    stranger.ping5().await;
    let mut third = endpoint.v4("1", "same").await;
    second.disconnected5(DisconnectReasonCode::SessionTakenOver).await;
    let _fourth = endpoint.v5("1", "same").await;
    third.closed().await;
    stranger.ping5().await;
    core.counted("closed_taken_over", 3).await;
    // The ids that end rumqttd's listener.
    for _ in 0..2 {
        endpoint.v5("1", "a+b").await;
    }
    endpoint.v5("1", "still here").await;
    endpoint.stop().await;
}

#[tokio::test]
async fn client_ids() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let mut anonymous = endpoint.raw().await;
    anonymous.send5(&connect5("1", "", true, 0)).await;
    let ack = anonymous.connack5().await;
    let assigned = ack.properties.unwrap().assigned_client_identifier.unwrap();
    assert!(assigned.starts_with("auto-"), "{assigned}");
    endpoint.v4("1", "").await;
    let mut keeper = endpoint.raw().await;
    keeper.send4(&connect4("1", "", false)).await;
    let refused = v4::ConnAck::new(v4::ConnectReturnCode::BadClientId, false);
    keeper.expect4(&v4::Packet::ConnAck(refused)).await;
    for id in ["a\0b".to_owned(), "x".repeat(limit::MAX_CLIENT_ID + 1)] {
        let mut odd = endpoint.raw().await;
        odd.send5(&connect5("1", &id, true, 0)).await;
        assert_eq!(
            odd.connack5().await.code,
            ConnectReturnCode::ClientIdentifierNotValid
        );
    }
    core.counted("refused_bad_client_id", 3).await;
    endpoint.stop().await;
}

#[tokio::test]
async fn a_session_keeps_what_comes_while_its_client_is_away() {
    let (endpoint, core) = Endpoint::with_core().await;
    let mut node = endpoint.raw().await;
    node.send5(&connect5("1", "node", false, 600)).await;
    assert!(!node.connack5().await.session_present);
    node.subscribe5("fac/v1/1/cmd").await;
    core.publish("fac/v1/1/cmd", "a", false).await;
    let unanswered = node.message5().await;
    node.leave5().await;
    core.publish("fac/v1/1/cmd", "b", false).await;
    let mut node = endpoint.raw().await;
    node.send5(&connect5("1", "node", false, 600)).await;
    assert!(node.connack5().await.session_present);
    let again = node.message5().await;
    assert_eq!(
        (again.payload.as_ref(), again.pkid, again.dup),
        (&b"a"[..], unanswered.pkid, true)
    );
    let next = node.message5().await;
    assert_eq!((next.payload.as_ref(), next.dup), (&b"b"[..], false));
    for pkid in [again.pkid, next.pkid] {
        node.send5(&ack5(pkid, PubAckReason::Success)).await;
    }
    node.ping5().await;
    node.leave5().await;
    // Answered messages do not come again, and a clean start forgets the rest.
    core.publish("fac/v1/1/cmd", "c", false).await;
    let mut node = endpoint.raw().await;
    node.send5(&connect5("1", "node", true, 0)).await;
    assert!(!node.connack5().await.session_present);
    node.ping5().await;
    endpoint.stop().await;
}

#[tokio::test]
async fn a_session_of_mqtt_3_1_1_lives_by_clean_session() {
    let (endpoint, core) = Endpoint::with_core().await;
    let success = |present| v4::Packet::ConnAck(v4::ConnAck::new(v4::ConnectReturnCode::Success, present));
    let mut node = endpoint.raw().await;
    node.send4(&connect4("1", "node", false)).await;
    node.expect4(&success(false)).await;
    let mut wish = v4::Subscribe::new("fac/v1/1/cmd", QoS::AtLeastOnce);
    wish.pkid = 1;
    node.send4(&v4::Packet::Subscribe(wish)).await;
    node.next4().await.unwrap();
    node.send4(&v4::Packet::Disconnect).await;
    node.closed().await;
    core.publish("fac/v1/1/cmd", "kept", false).await;
    let mut node = endpoint.raw().await;
    node.send4(&connect4("1", "node", false)).await;
    node.expect4(&success(true)).await;
    let Some(v4::Packet::Publish(kept)) = node.next4().await else {
        panic!()
    };
    assert_eq!(kept.payload.as_ref(), b"kept");
    let mut node = endpoint.raw().await;
    node.send4(&connect4("1", "node", true)).await;
    node.expect4(&success(false)).await;
    endpoint.stop().await;
}

fn with_will(user: &str, will: v5::LastWill, expiry: u32) -> v5::Packet {
    let v5::Packet::Connect(connect, _, login) = connect5(user, "mortal", false, expiry) else {
        panic!();
    };
    v5::Packet::Connect(connect, Some(will), login)
}

fn will(delay: Option<u32>) -> v5::LastWill {
    let properties = v5::LastWillProperties {
        delay_interval: delay,
        payload_format_indicator: None,
        message_expiry_interval: None,
        content_type: None,
        response_topic: None,
        correlation_data: None,
        user_properties: Vec::new(),
    };
    v5::LastWill::new("fac/v1/1/up", "0", QoS5::AtLeastOnce, true, Some(properties))
}

#[tokio::test]
async fn a_will_is_published_unless_the_client_says_goodbye() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    // Goodbye: the two-byte DISCONNECT that the codec cannot read.
    let mut node = endpoint.raw().await;
    node.send5(&with_will("1", will(None), 0)).await;
    node.connack5().await;
    node.bytes(&[0xE0, 0]).await;
    node.closed().await;
    // "With will message", without properties.
    let mut node = endpoint.raw().await;
    node.send5(&with_will("1", will(None), 0)).await;
    node.connack5().await;
    node.bytes(&[0xE0, 1, 4]).await;
    node.closed().await;
    let died = core.arrival().await;
    assert_eq!(
        (died.topic.as_str(), died.payload.as_slice()),
        ("fac/v1/1/up", &b"0"[..])
    );
    assert!(died.at_least_once);
    core.settle(died.token).await;
    // Gone without a word; and the will is kept for those who come later.
    let mut node = endpoint.raw().await;
    node.send5(&with_will("1", will(None), 0)).await;
    node.connack5().await;
    drop(node);
    assert_eq!(core.arrival().await.payload, b"0");
    let mut panel = endpoint.v5("panel", "p").await;
    panel.subscribe5("fac/v1/1/up").await;
    assert!(panel.message5().await.retain);
    endpoint.stop().await;
}

#[tokio::test]
async fn a_delayed_will_is_spared_those_who_return() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let mut node = endpoint.raw().await;
    node.send5(&with_will("1", will(Some(600)), 600)).await;
    node.connack5().await;
    drop(node);
    let mut node = endpoint.raw().await;
    node.send5(&with_will("1", will(Some(1)), 600)).await;
    assert!(node.connack5().await.session_present);
    node.send5(&publish5("fac/v1/1/ev", 1, "back")).await;
    assert_eq!(core.arrival().await.payload, b"back");
    // The second one's delay ends.
    drop(node);
    assert_eq!(core.arrival().await.payload, b"0");
    endpoint.stop().await;
}

#[tokio::test]
async fn a_will_needs_the_right_to_publish_it() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let cases = [
        ("fac/v1/2/up", QoS5::AtMostOnce, ConnectReturnCode::NotAuthorized),
        (
            "fac/v1/+/up",
            QoS5::AtMostOnce,
            ConnectReturnCode::TopicNameInvalid,
        ),
        (
            "fac/v1/1/up",
            QoS5::ExactlyOnce,
            ConnectReturnCode::QoSNotSupported,
        ),
    ];
    for (topic, qos, code) in cases {
        let mut node = endpoint.raw().await;
        node.send5(&with_will(
            "1",
            v5::LastWill::new(topic, "0", qos, false, None),
            0,
        ))
        .await;
        assert_eq!(node.connack5().await.code, code);
        node.closed().await;
    }
    core.counted("refused_will", 3).await;
    endpoint.stop().await;
}

#[tokio::test]
async fn silence_ends_a_connection_in_its_own_time() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let v5::Packet::Connect(mut connect, _, login) = connect5("1", "quiet", true, 0) else {
        panic!()
    };
    connect.keep_alive = 1;
    let mut quiet = endpoint.raw().await;
    let begun = tokio::time::Instant::now();
    quiet
        .send5(&v5::Packet::Connect(connect.clone(), None, login.clone()))
        .await;
    quiet.connack5().await;
    quiet.disconnected5(DisconnectReasonCode::KeepAliveTimeout).await;
    assert!(begun.elapsed() >= Duration::from_millis(1500));
    core.counted("closed_keep_alive", 1).await;
    // Without a keep-alive of its own a client gets ours.
    connect.keep_alive = 0;
    let mut eternal = endpoint.raw().await;
    eternal.send5(&v5::Packet::Connect(connect, None, login)).await;
    let told = eternal.connack5().await.properties.unwrap();
    assert_eq!(told.server_keep_alive, Some(limit::MAX_KEEP_ALIVE_SECS));
    assert_eq!(told.max_qos, Some(1));
    assert_eq!(told.receive_max, Some(limit::RECEIVE_MAX));
    endpoint.stop().await;
}

#[tokio::test]
async fn an_account_that_is_taken_away_ends_its_connections() {
    let (endpoint, mut core) = Endpoint::with_core().await;
    let mut one = endpoint.v5("1", "a").await;
    let mut two = endpoint.v5("2", "a").await;
    two.subscribe5("fac/v1/2/cmd").await;
    let without_rights = account("2", &[], &[]);
    core.say(ToBroker::Accounts(vec![without_rights])).await;
    one.disconnected5(DisconnectReasonCode::AdministrativeAction)
        .await;
    core.counted("closed_account_revoked", 1).await;
    core.publish("fac/v1/2/cmd", "no longer", false).await;
    two.ping5().await;
    two.send5(&publish5("fac/v1/2/ev", 1, "no longer")).await;
    two.expect5(&ack5(1, PubAckReason::NotAuthorized)).await;
    endpoint.stop().await;
}

#[tokio::test]
async fn a_stop_is_told_to_the_clients() {
    let (endpoint, _core) = Endpoint::with_core().await;
    let mut five = endpoint.v5("1", "five").await;
    let mut four = endpoint.v4("1", "four").await;
    let stopping = endpoint.stop();
    let told = async {
        five.disconnected5(DisconnectReasonCode::ServerShuttingDown).await;
        four.closed().await;
        drop((five, four));
    };
    tokio::join!(stopping, told);
}
