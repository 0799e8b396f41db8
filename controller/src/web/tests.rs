//! The role against a core that says what the test says: over the real link, through the real
//! router or the real server.
// Long because every route is tried against each way of asking wrongly.

use super::link::{self, MAX_BEHIND};
use super::server::HEAD_WITHIN;
use super::{App, Counters, MAX_STREAMS, api, guard, server};
use crate::link::wire::{self, Reader, Writer};
use crate::link::{Command, FromWeb, Refused, Role, ToWeb};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt as _;
use room::catalog::Kind;
use room::site::{Label, Priority};
use room::snapshot::{Alarm, AlarmState, Point, Snapshot};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tower::ServiceExt as _;

/// Longest wait for anything that should happen at once.
const SOON: Duration = Duration::from_secs(10);

struct House {
    dir: tempfile::TempDir,
    app: App,
    router: Router,
    stop: watch::Sender<bool>,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let counters = Arc::new(Counters::default());
        let (core, keeper) = link::connect(dir.path().join("core.sock"), Arc::clone(&counters));
        tokio::spawn(keeper);
        let (stop, stopping) = watch::channel(false);
        let app = App {
            core,
            counters,
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            stopping,
            simulated: true,
        };
        let router = api::router(app.clone());
        Self {
            dir,
            app,
            router,
            stop,
        }
    }

    fn listen(&self) -> UnixListener {
        let path = self.dir.path().join("core.sock");
        let _ = std::fs::remove_file(&path);
        UnixListener::bind(path).unwrap()
    }

    /// A house whose core has drawn a picture.
    async fn linked(picture: &Snapshot) -> (Self, Core) {
        let house = Self::new();
        let mut core = Core::accept(&house.listen()).await;
        core.draw(picture).await;
        let mut state = house.app.core.watch();
        let drawn = state.wait_for(|state| matches!(state, link::CoreState::Linked { picture: Some(_) }));
        tokio::time::timeout(SOON, drawn).await.unwrap().unwrap();
        (house, core)
    }

    async fn call(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        self.call(Request::get(path).body(Body::empty()).unwrap()).await
    }

    fn post(&self, path: &str, body: &Value) -> tokio::task::JoinHandle<Response> {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        tokio::spawn(self.router.clone().oneshot(request).map_ok_or_panic())
    }
}

trait MapOk<T> {
    fn map_ok_or_panic(self) -> impl Future<Output = T> + Send;
}

impl<T, F> MapOk<T> for F
where
    F: Future<Output = Result<T, std::convert::Infallible>> + Send,
{
    async fn map_ok_or_panic(self) -> T {
        self.await.unwrap_or_else(|never| match never {})
    }
}

/// Core's end of the link.
struct Core {
    reader: Reader,
    writer: Writer,
}

impl Core {
    async fn accept(listener: &UnixListener) -> Self {
        let (stream, _) = tokio::time::timeout(SOON, listener.accept())
            .await
            .unwrap()
            .unwrap();
        let (role, reader, writer) = wire::accept(stream).await.unwrap();
        assert_eq!(role, Role::Web);
        Self { reader, writer }
    }

    async fn draw(&mut self, picture: &Snapshot) {
        let json = serde_json::to_vec(picture).unwrap();
        self.writer.send(&ToWeb::Snapshot(json)).await.unwrap();
    }

    async fn commit(&mut self, records: &Value) {
        let json = records.to_string().into_bytes();
        self.writer.send(&ToWeb::Records(json)).await.unwrap();
    }

    /// The next question that is not the one about being alive.
    async fn asked(&mut self) -> FromWeb {
        loop {
            let message = tokio::time::timeout(SOON, self.reader.next())
                .await
                .unwrap()
                .unwrap();
            if !matches!(message, FromWeb::Records { token: 0, .. }) {
                return message;
            }
        }
    }

    async fn answer(&mut self, token: u64, result: Result<Vec<u8>, Refused>) {
        self.writer.send(&ToWeb::Answer { token, result }).await.unwrap();
    }
}

fn picture() -> Snapshot {
    Snapshot {
        version: 7,
        wall_ms: 1_800_000_000_000,
        site: Label::new("第一電算室", "Room 1"),
        simulated: true,
        points: vec![
            Point {
                id: "inlet.r3.temperature".into(),
                label: Label::new("R3 吸気", "R3 inlet"),
                source: "node-1".into(),
                quantity: "temperature".into(),
                unit: "°C".into(),
                value: Some(24.5),
                state: None,
                no_data: None,
                age_ms: Some(1500),
                contact: None,
            },
            Point {
                id: "inlet.r4.temperature".into(),
                label: Label::new("R4 \"吸気\"", "R4 inlet"),
                source: "node\"1\\\n".into(),
                quantity: "temperature".into(),
                unit: "°C".into(),
                value: None,
                state: None,
                no_data: Some("bus_fault".into()),
                age_ms: None,
                contact: None,
            },
        ],
        alarms: vec![Alarm {
            id: "leak.1.open".into(),
            state: AlarmState::Unacknowledged,
            priority: Priority::Critical,
            what: Label::new("漏水", "Leak"),
            place: Label::new("床下", "Under the floor"),
            action: Label::new("止水する", "Shut the water off"),
            because: Label::new("接点が開いた", "The contact opened"),
            since_ms: 1_799_999_990_000,
            age_ms: 10_000,
            owner: None,
            count: 1,
            shelved_until_ms: None,
            cause: None,
            kind: Kind::Leak,
            class: Kind::Leak.class(),
            usual_cause: Kind::Leak.advice().cause.into(),
            consequence: Kind::Leak.advice().consequence.into(),
            respond_within_s: 600,
            responder: Kind::Leak.advice().owner,
            procedure: None,
            folded: 0,
            active: true,
            shelved_by: None,
            shelved_because: None,
        }],
        ..Snapshot::default()
    }
}

async fn bytes(response: Response) -> Vec<u8> {
    axum::body::to_bytes(response.into_body(), 8 << 20)
        .await
        .unwrap()
        .to_vec()
}

async fn text(response: Response) -> String {
    String::from_utf8(bytes(response).await).unwrap()
}

async fn value(response: Response) -> Value {
    serde_json::from_slice(&bytes(response).await).unwrap()
}

/// Both texts of an error, checked to be there.
async fn error(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let body = value(response).await;
    for field in ["error", "error_en"] {
        let text = body[field].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{status}: {field} is missing in {body}");
    }
    assert!(
        !body["error"].as_str().unwrap().is_ascii(),
        "error is Japanese: {body}"
    );
    (status, body)
}

#[tokio::test]
async fn the_picture_is_passed_on_as_core_drew_it() {
    let (house, _core) = House::linked(&picture()).await;
    let response = house.get("/api/v1/snapshot").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    let shown: Snapshot = serde_json::from_value(value(response).await).unwrap();
    assert_eq!(shown, picture());
    let health = house.get("/healthz").await;
    assert_eq!(health.status(), StatusCode::OK);
    assert_eq!(text(health).await, "ok\n");
}

#[tokio::test]
async fn an_old_picture_is_never_shown_as_new() {
    let (house, core) = House::linked(&picture()).await;
    drop(core);
    std::fs::remove_file(house.dir.path().join("core.sock")).unwrap();
    let mut state = house.app.core.watch();
    tokio::time::timeout(
        SOON,
        state.wait_for(|state| matches!(state, link::CoreState::Away { .. })),
    )
    .await
    .unwrap()
    .unwrap();
    assert_eq!(
        error(house.get("/api/v1/snapshot").await).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(
        house.get("/healthz").await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    let metrics = text(house.get("/metrics").await).await;
    assert!(metrics.contains("yagura_core_linked 0\n"), "{metrics}");
    assert!(
        !metrics.contains("yagura_point_value"),
        "values of a core that is away: {metrics}"
    );
    let refused = house
        .post("/api/v1/alarms/leak.1.open/acknowledge", &json!({"by": "当番"}))
        .await
        .unwrap();
    assert_eq!(error(refused).await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_core_that_keeps_its_socket_open_and_says_nothing_is_away() {
    let (house, core) = House::linked(&picture()).await;
    // Not dropped: the socket stays open, as with a stopped process.
    let mut state = house.app.core.watch();
    tokio::time::timeout(
        link::SILENT_AFTER * 2,
        state.wait_for(|state| matches!(state, link::CoreState::Away { .. })),
    )
    .await
    .expect("a silent core is noticed")
    .unwrap();
    drop(core);
}

#[tokio::test]
async fn the_stream_tells_pictures_records_and_the_loss_of_core() {
    let (house, mut core) = House::linked(&picture()).await;
    let response = house.get("/api/v1/stream").await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut events = Events::of(response);
    assert_eq!(
        events.next().await.unwrap(),
        ("core".into(), json!({"linked": true}))
    );
    let (event, shown) = events.next().await.unwrap();
    assert_eq!(
        (event.as_str(), &shown["version"]),
        ("snapshot", &json!(7)),
        "the picture comes on connect"
    );

    let batch = json!([{"seq": 12, "wall_ms": 1, "kind": "alarm_raised", "why": "line\nend"}]);
    core.commit(&batch).await;
    assert_eq!(events.next().await.unwrap(), ("records".into(), batch));

    core.draw(&Snapshot {
        version: 8,
        ..picture()
    })
    .await;
    assert_eq!(events.next().await.unwrap().1["version"], 8);

    let listener = house.listen();
    drop(core);
    assert_eq!(
        events.next().await.unwrap(),
        ("core".into(), json!({"linked": false}))
    );
    let mut core = Core::accept(&listener).await;
    core.draw(&Snapshot {
        version: 1,
        ..picture()
    })
    .await;
    assert_eq!(
        events.next().await.unwrap(),
        ("core".into(), json!({"linked": true}))
    );
    assert_eq!(events.next().await.unwrap().1["version"], 1);

    house.stop.send(true).unwrap();
    assert_eq!(events.next().await, None, "streams end when the role stops");
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_cut_and_counted() {
    let (house, mut core) = House::linked(&picture()).await;
    let mut slow = Events::of(house.get("/api/v1/stream").await);
    let mut quick = Events::of(house.get("/api/v1/stream").await);
    assert_eq!(slow.next().await.unwrap().0, "core");
    while quick.next().await.unwrap().0 != "snapshot" {}
    for seq in 0..=MAX_BEHIND {
        core.commit(&json!([{"seq": seq, "wall_ms": 0, "kind": "note"}]))
            .await;
        let (_, records) = quick.next().await.unwrap();
        assert_eq!(records[0]["seq"], seq, "the quick reader gets every record");
    }
    let mut left = 0;
    while slow.next().await.is_some() {
        left += 1;
    }
    assert!(left <= MAX_BEHIND, "the slow reader was cut, after {left} more");
    assert_eq!(house.app.counters.lagged_streams.load(Ordering::Relaxed), 1);
    drop(quick);
    assert_eq!(house.app.streams.available_permits(), MAX_STREAMS);
}

#[tokio::test]
async fn streams_are_bounded() {
    let (house, _core) = House::linked(&picture()).await;
    let mut open = Vec::new();
    for _ in 0..MAX_STREAMS {
        let response = house.get("/api/v1/stream").await;
        assert_eq!(response.status(), StatusCode::OK);
        open.push(response);
    }
    assert_eq!(
        error(house.get("/api/v1/stream").await).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(house.get("/healthz").await.status(), StatusCode::OK);
    open.pop();
    assert_eq!(house.get("/api/v1/stream").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn commands_reach_core_with_name_and_content() {
    let (house, mut core) = House::linked(&picture()).await;
    let cases = [
        (
            "/api/v1/alarms/leak.1.open/acknowledge",
            json!({"by": " 当番 "}),
            Command::Acknowledge {
                alarm: "leak.1.open".into(),
            },
        ),
        (
            "/api/v1/alarms/leak.1.open/shelve",
            json!({"by": "当番", "minutes": 30, "reason": "点検"}),
            Command::Shelve {
                alarm: "leak.1.open".into(),
                minutes: 30,
                reason: "点検".into(),
            },
        ),
        (
            "/api/v1/alarms/leak.1.open/reset",
            json!({"by": "当番"}),
            Command::Reset {
                alarm: "leak.1.open".into(),
            },
        ),
        ("/api/v1/plan/rehearse", json!({"by": "当番"}), Command::Rehearse),
        (
            "/api/v1/nodes/node-1/rotate-key",
            json!({"by": "当番"}),
            Command::RotateKey {
                node: "node-1".into(),
                salt: [0; 16],
            },
        ),
        (
            "/api/v1/nodes/node-1/erase",
            json!({"by": "当番"}),
            Command::EraseNode {
                node: "node-1".into(),
            },
        ),
        (
            "/api/v1/nodes/node-1/restart",
            json!({"by": "当番"}),
            Command::RestartNode {
                node: "node-1".into(),
            },
        ),
        (
            "/api/v1/devices/ups-a/commands",
            json!({"by": "当番", "command": "test.battery.start"}),
            Command::Device {
                device: "ups-a".into(),
                command: "test.battery.start".into(),
                value: None,
            },
        ),
        (
            "/api/v1/nodes/node-1/update",
            json!({"by": "当番", "file": "2-0.3.0.ygimg"}),
            Command::UpdateNode {
                node: "node-1".into(),
                file: "2-0.3.0.ygimg".into(),
                image: Vec::new(),
            },
        ),
        (
            "/api/v1/scenarios/mains-back",
            json!({"by": "当番"}),
            Command::Scenario {
                name: "mains-back".into(),
            },
        ),
    ];
    for (path, body, expected) in cases {
        let call = house.post(path, &body);
        let FromWeb::Command { token, by, command } = core.asked().await else {
            panic!("{path} asked for something else");
        };
        assert_eq!((by.as_str(), &command), ("当番", &expected));
        core.answer(token, Ok(Vec::new())).await;
        let response = call.await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(value(response).await, json!({}));
    }
}

#[tokio::test]
async fn what_core_refuses_is_told_in_both_languages() {
    let (house, mut core) = House::linked(&picture()).await;
    for (refused, status) in [
        (Refused::not_found("leak.9", "leak.9"), StatusCode::NOT_FOUND),
        (Refused::conflict("", ""), StatusCode::CONFLICT),
        (Refused::invalid("x", "x"), StatusCode::UNPROCESSABLE_ENTITY),
        (
            Refused::Unavailable("disk".into()),
            StatusCode::SERVICE_UNAVAILABLE,
        ),
    ] {
        let call = house.post("/api/v1/alarms/leak.9/acknowledge", &json!({"by": "当番"}));
        let FromWeb::Command { token, .. } = core.asked().await else {
            panic!("not a command");
        };
        core.answer(token, Err(refused)).await;
        assert_eq!(error(call.await.unwrap()).await.0, status);
    }
    let call = house.post("/api/v1/alarms/leak.9/acknowledge", &json!({"by": "当番"}));
    let FromWeb::Command { token, .. } = core.asked().await else {
        panic!("not a command");
    };
    let refused = Refused::conflict("確認待ちではありません", "it does not wait");
    core.answer(token, Err(refused)).await;
    let response = call.await.unwrap();
    assert_eq!(response.status(), StatusCode::CONFLICT);
    assert_eq!(
        value(response).await,
        json!({
            "error": "今の状態ではこの操作はできません。(確認待ちではありません)",
            "error_en": "Not possible in the present state. (it does not wait)",
        })
    );
}

#[tokio::test(start_paused = true)]
async fn a_question_core_does_not_answer_ends_in_time() {
    let (house, mut core) = House::linked(&picture()).await;
    let call = house.post("/api/v1/alarms/leak.1.open/acknowledge", &json!({"by": "当番"}));
    assert!(matches!(core.asked().await, FromWeb::Command { .. }));
    assert_eq!(
        error(call.await.unwrap()).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(house.app.counters.unanswered.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn queries_reach_core_within_their_limits() {
    let (house, mut core) = House::linked(&picture()).await;
    let router = house.router.clone();
    let call = tokio::spawn(async move {
        let path = "/api/v1/points/inlet.r3.temperature/history?from_ms=1000&to_ms=2000&buckets=10";
        router
            .oneshot(Request::get(path).body(Body::empty()).unwrap())
            .await
            .unwrap()
    });
    let FromWeb::History {
        token,
        point,
        from_ms,
        to_ms,
        buckets,
    } = core.asked().await
    else {
        panic!("not a history");
    };
    assert_eq!(
        (point.as_str(), from_ms, to_ms, buckets),
        ("inlet.r3.temperature", 1000, 2000, 10)
    );
    core.answer(token, Ok(br#"{"rows":[[1000,1.0,2.0,3.0,4]]}"#.to_vec()))
        .await;
    let rows: api::History = serde_json::from_value(value(call.await.unwrap()).await).unwrap();
    assert_eq!(rows.rows, [(1000, 1.0, 2.0, 3.0, 4)]);

    for path in [
        "/api/v1/points/p/history",
        "/api/v1/points/p/history?from_ms=2000&to_ms=1000",
        "/api/v1/points/p/history?from_ms=-1&to_ms=1000",
        "/api/v1/points/p/history?from_ms=0&to_ms=1000&buckets=0",
        "/api/v1/points/p/history?from_ms=0&to_ms=1000&buckets=4001",
        "/api/v1/points/p/history?from_ms=0&to_ms=99999999999999999999",
        "/api/v1/points/p/history?from_ms=a&to_ms=b",
        "/api/v1/points/p%00q/history?from_ms=0&to_ms=1000",
        "/api/v1/points/%ff/history?from_ms=0&to_ms=1000",
        "/api/v1/records?limit=0",
        "/api/v1/records?limit=10001",
        "/api/v1/records?after=18446744073709551615",
        "/api/v1/points/p/history?from_ms=0&to_ms=9223372036854775807",
        "/api/v1/points/p/history?from_ms=9223372036854775807&to_ms=0",
        "/api/v1/records?after=-1",
    ] {
        let (status, _) = error(house.get(path).await).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
    }
}

#[tokio::test]
async fn forged_requests_are_refused_and_counted() {
    let (house, mut core) = House::linked(&picture()).await;
    let request = |kind: Option<&str>, origin: Option<&str>| {
        let mut request = Request::post("/api/v1/plan/rehearse").header(header::HOST, "10.0.0.5:8080");
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        request.body(Body::from(r#"{"by":"当番"}"#)).unwrap()
    };
    let own = Some("http://10.0.0.5:8080");
    let refused = [
        (None, None, 415),
        (Some("text/plain"), own, 415),
        (Some("application/x-www-form-urlencoded"), own, 415),
        (Some("application/jsonp"), own, 415),
        (Some("application/json"), Some("http://evil.example"), 403),
        (Some("application/json"), Some("null"), 403),
        (Some("application/json"), Some("http://10.0.0.5"), 403),
        (Some("text/plain"), Some("http://evil.example"), 403),
    ];
    let n = refused.len() as u64;
    for (kind, origin, expected) in refused {
        let (status, _) = error(house.call(request(kind, origin)).await).await;
        assert_eq!(status.as_u16(), expected, "{kind:?} {origin:?}");
    }
    assert_eq!(house.app.counters.forged.load(Ordering::Relaxed), n);
    for (kind, origin) in [
        ("application/json; charset=utf-8", own),
        ("Application/JSON", None),
    ] {
        let call = tokio::spawn(house.router.clone().oneshot(request(Some(kind), origin)));
        let FromWeb::Command { token, .. } = core.asked().await else {
            panic!("not a command");
        };
        core.answer(token, Ok(b"{}".to_vec())).await;
        assert_eq!(call.await.unwrap().unwrap().status(), StatusCode::OK);
    }
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let mut other = request(Some("application/json"), own);
        *other.method_mut() = method.clone();
        let (status, _) = error(house.call(other).await).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
}

#[tokio::test]
async fn bodies_that_say_what_cannot_be_are_refused() {
    let (house, _core) = House::linked(&picture()).await;
    let shelve = "/api/v1/alarms/leak.1.open/shelve";
    let long = "あ".repeat(201);
    let deep = "[".repeat(50_000);
    let bodies: Vec<(Vec<u8>, u16)> = vec![
        (b"".to_vec(), 422),
        (b"{".to_vec(), 422),
        (b"null".to_vec(), 422),
        (deep.into_bytes(), 422),
        (b"{\"by\":\"\xff\xfe\"}".to_vec(), 422),
        (br#"{"by":"a"}"#.to_vec(), 422),
        (br#"{"by":"a","minutes":0,"reason":"r"}"#.to_vec(), 422),
        (br#"{"by":"a","minutes":481,"reason":"r"}"#.to_vec(), 422),
        (br#"{"by":"a","minutes":-1,"reason":"r"}"#.to_vec(), 422),
        (br#"{"by":"a","minutes":1e999,"reason":"r"}"#.to_vec(), 422),
        (br#"{"by":"a","minutes":30,"reason":"  "}"#.to_vec(), 422),
        (br#"{"by":"a\u0000","minutes":30,"reason":"r"}"#.to_vec(), 422),
        (
            br#"{"by":"a\nforged line","minutes":30,"reason":"r"}"#.to_vec(),
            422,
        ),
        (br#"{"by":"\u202eevil","minutes":30,"reason":"r"}"#.to_vec(), 422),
        (
            json!({"by": "a", "minutes": 30, "reason": long})
                .to_string()
                .into_bytes(),
            422,
        ),
        (vec![b' '; guard::MAX_BODY + 1], 413),
    ];
    let n = bodies.len() as u64;
    for (body, expected) in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let request = Request::post(shelve)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .unwrap();
        let (status, _) = error(house.call(request).await).await;
        assert_eq!(status.as_u16(), expected, "{shown}");
    }
    assert_eq!(house.app.counters.malformed.load(Ordering::Relaxed), n);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_end_is_given_up() {
    let (house, _core) = House::linked(&picture()).await;
    let drip = futures_util::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Some((Ok::<_, std::io::Error>("x"), ()))
    });
    let request = Request::post("/api/v1/plan/rehearse")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from_stream(drip))
        .unwrap();
    let (status, _) = error(house.call(request).await).await;
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(house.app.counters.slow_bodies.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_real_room_has_no_scenarios() {
    let (mut house, _core) = House::linked(&picture()).await;
    house.app.simulated = false;
    house.router = api::router(house.app.clone());
    let refused = house
        .post("/api/v1/scenarios/outage", &json!({"by": "当番"}))
        .await
        .unwrap();
    assert_eq!(error(refused).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_answer_carries_the_headers_for_the_browser() {
    let (house, _core) = House::linked(&picture()).await;
    for path in [
        "/",
        "/api/v1/snapshot",
        "/api/v1/nothing",
        "/nothing",
        "/healthz",
        "/metrics",
    ] {
        let response = house.get(path).await;
        let headers = response.headers();
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(
            policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{path}"
        );
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer", "{path}");
        assert!(headers.contains_key(header::CACHE_CONTROL), "{path}");
    }
}

#[tokio::test]
async fn unknown_paths_are_404_and_stay_inside() {
    let (house, _core) = House::linked(&picture()).await;
    for path in [
        "/api/v1/nothing",
        "/api/",
        "/../Cargo.toml",
        "/%2e%2e/Cargo.toml",
        "/..%2fbuild.rs",
        "//etc/passwd",
        "/assets/../../src/main.rs",
        "/index.html%00.js",
    ] {
        assert_eq!(
            error(house.get(path).await).await.0,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    let page = house.get("/").await;
    assert_eq!(page.status(), StatusCode::OK);
    assert!(text(page).await.contains("<html"));
}

#[tokio::test]
async fn long_answers_are_compressed_and_streams_are_not() {
    let mut large = picture();
    large.points = std::iter::repeat_n(large.points[0].clone(), 200).collect();
    let (house, _core) = House::linked(&large).await;
    let asking = |path: &str| {
        Request::get(path)
            .header(header::ACCEPT_ENCODING, "gzip")
            .body(Body::empty())
            .unwrap()
    };
    let snapshot = house.call(asking("/api/v1/snapshot")).await;
    assert_eq!(snapshot.headers()[header::CONTENT_ENCODING], "gzip");
    let stream = house.call(asking("/api/v1/stream")).await;
    assert!(!stream.headers().contains_key(header::CONTENT_ENCODING));
}

#[tokio::test]
async fn metrics_show_values_reasons_and_alarms() {
    let (house, _core) = House::linked(&picture()).await;
    let metrics = text(house.get("/metrics").await).await;
    for line in [
        "yagura_core_linked 1\n",
        "yagura_point_value{point=\"inlet.r3.temperature\",source=\"node-1\",quantity=\"temperature\",unit=\"°C\"} 24.5\n",
        "yagura_point_no_data{point=\"inlet.r4.temperature\",reason=\"bus_fault\"} 1\n",
        "yagura_alarms{state=\"unacknowledged\",priority=\"critical\"} 1\n",
        "yagura_alarms{state=\"latched\",priority=\"warning\"} 0\n",
        "yagura_alarm{alarm=\"leak.1.open\",state=\"unacknowledged\",priority=\"critical\"} 1\n",
        "yagura_power_mode{mode=\"unknown\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    assert!(
        !metrics.contains("yagura_point_value{point=\"inlet.r4"),
        "no value without data"
    );
    let mut kinds = BTreeSet::new();
    for line in metrics.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(kinds.insert(rest.split(' ').next().unwrap()), "{line} twice");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(kinds.contains(name), "{line} has no TYPE");
            let figure = line.rsplit(' ').next().unwrap();
            assert!(figure.parse::<f64>().is_ok(), "{line} has no figure");
        }
    }
}

#[tokio::test]
async fn the_document_describes_every_route() {
    let (house, _core) = House::linked(&picture()).await;
    let document = value(house.get("/api/openapi.json").await).await;
    assert_eq!(document["openapi"].as_str().unwrap().split('.').next(), Some("3"));
    assert_eq!(document["info"]["title"], "Yagura");
    assert_eq!(document["info"]["license"]["name"], "Apache-2.0");
    assert_eq!(document["info"]["contact"]["name"], Value::Null, "own info only");

    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            described.insert(format!("{method} {path}"));
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key("200"), "{method} {path}");
            if method == "post" {
                for status in ["403", "415", "422", "503"] {
                    let error = &responses[status]["content"]["application/json"]["schema"]["$ref"];
                    assert_eq!(
                        error, "#/components/schemas/ErrorBody",
                        "{method} {path} {status}"
                    );
                }
            }
        }
    }
    // The contract with the page and with other programs: append only.
    let contract: BTreeSet<String> = [
        "get /api/openapi.json",
        "get /api/v1/access/cards",
        "get /api/v1/access/inside",
        "get /api/v1/access/passages",
        "get /api/v1/access/persons",
        "get /api/v1/devices/{name}",
        "get /api/v1/points/{id}/history",
        "get /api/v1/power/care",
        "get /api/v1/power/what-if",
        "get /api/v1/records",
        "get /api/v1/snapshot",
        "get /api/v1/stream",
        "get /healthz",
        "get /metrics",
        "get /api/v1/alarm-kinds",
        "get /api/v1/coverage",
        "get /api/v1/log/entries",
        "get /api/v1/log/proof/{year}/{n}",
        "get /api/v1/log/status",
        "get /api/v1/notices",
        "post /api/v1/coverage/explanations",
        "post /api/v1/notices/contacts/{contact}/test",
        "post /api/v1/notices/lamp-test",
        "post /api/v1/notices/test",
        "get /api/v1/incidents",
        "get /api/v1/incidents/{id}",
        "get /api/v1/incidents/{id}/print",
        "get /api/v1/outage/outages",
        "get /api/v1/outage/rehearsals",
        "get /api/v1/outage/rehearsals/{run}",
        "get /api/v1/outage/rehearsals/{run}/print",
        "get /api/v1/outage/replay",
        "get /api/v1/limits",
        "get /api/v1/limits/{id}/history",
        "get /api/v1/coverage",
        "get /api/v1/notices",
        "post /api/v1/coverage/explanations",
        "post /api/v1/notices/contacts/{contact}/test",
        "post /api/v1/notices/lamp-test",
        "post /api/v1/notices/test",
        "get /print/document.css",
        "post /api/v1/alarms/{id}/acknowledge",
        "post /api/v1/alarms/{id}/in-service",
        "post /api/v1/alarms/{id}/out-of-service",
        "post /api/v1/alarms/{id}/reset",
        "post /api/v1/alarms/{id}/shelve",
        "post /api/v1/devices/{name}/commands",
        "post /api/v1/alarms/{id}/take",
        "post /api/v1/alarms/{id}/unshelve",
        "post /api/v1/incidents",
        "post /api/v1/incidents/{id}/classify",
        "post /api/v1/incidents/{id}/close",
        "post /api/v1/incidents/{id}/hand-over",
        "post /api/v1/incidents/{id}/notes",
        "post /api/v1/incidents/{id}/reopen",
        "post /api/v1/limits/{id}",
        "post /api/v1/limits/{id}/preview",
        "post /api/v1/maintenance",
        "post /api/v1/maintenance/{window}/end",
        "post /api/v1/nodes/{node}/erase",
        "post /api/v1/nodes/{node}/restart",
        "post /api/v1/nodes/{node}/rotate-key",
        "post /api/v1/nodes/{node}/update",
        "post /api/v1/plan/rehearse",
        "post /api/v1/scenarios/{name}",
    ]
    .map(String::from)
    .into();
    assert_eq!(described, contract);

    // Every reference leads somewhere.
    let all = document.to_string();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for reference in all.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name} is not described");
    }
    for name in [
        "Snapshot",
        "Alarm",
        "Point",
        "Power",
        "ErrorBody",
        "Record",
        "History",
    ] {
        assert!(schemas.contains_key(name), "{name} is not described");
    }
}

/// The page's types are made from the committed document, without a running controller.
#[tokio::test]
async fn the_committed_document_is_the_one_that_is_served() {
    let (house, _core) = House::linked(&picture()).await;
    let served = value(house.get("/api/openapi.json").await).await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/ui/openapi.json");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let text = serde_json::to_string_pretty(&served).unwrap();
        std::fs::write(path, text + "\n").unwrap();
    }
    let committed: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(
        committed == served,
        "the API changed: UPDATE_EXPECT=1 cargo test -p controller the_committed_document, then npm run check"
    );
}

/// Two types of one name would be one schema, and the page would be made for the wrong one.
#[tokio::test]
async fn the_document_describes_kinds_of_alarms_as_they_are_served() {
    let (house, _core) = House::linked(&picture()).await;
    let document = value(house.get("/api/openapi.json").await).await;
    let listed = &document["paths"]["/api/v1/alarm-kinds"]["get"]["responses"]["200"]["content"];
    let name = listed["application/json"]["schema"]["items"]["$ref"]
        .as_str()
        .and_then(|reference| reference.strip_prefix("#/components/schemas/"))
        .unwrap();
    let described = document["components"]["schemas"][name]["properties"].as_object();
    let rows = value(house.get("/api/v1/alarm-kinds").await).await;
    let served = rows[0].as_object().unwrap();
    assert!(
        described.is_some_and(|fields| fields.keys().eq(served.keys())),
        "{name}: {described:?} is not {served:?}"
    );
}

#[tokio::test]
async fn a_handler_that_panics_fails_alone() {
    let counters = Arc::new(Counters::default());
    async fn broken() {
        panic!("broken on purpose");
    }
    let router = Router::new().route("/", axum::routing::get(broken)).layer(
        tower_http::catch_panic::CatchPanicLayer::custom(guard::panic_net(Arc::clone(&counters))),
    );
    let response = router
        .oneshot(Request::get("/").body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(error(response).await.0, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(counters.panics.load(Ordering::Relaxed), 1);
}

/// A house behind the real server.
async fn served() -> (House, Core, SocketAddr) {
    let (house, core) = House::linked(&picture()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(server::serve(
        listener,
        house.router.clone(),
        Arc::clone(&house.app.counters),
        house.app.stopping.clone(),
    ));
    (house, core, addr)
}

async fn exchange(addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is an end as well.
    let _ = tokio::time::timeout(SOON * 2, stream.read_to_end(&mut answer))
        .await
        .expect("the server ends the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn half_sent_requests_are_closed_and_delay_nobody() {
    let (_house, _core, addr) = served().await;
    let mut half_sent = Vec::new();
    for _ in 0..400 {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            .await
            .unwrap();
        half_sent.push(stream);
    }
    let begun = Instant::now();
    let answer = exchange(addr, b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert!(answer.contains("200 OK"), "{answer}");
    assert!(
        begun.elapsed() < HEAD_WITHIN / 2,
        "the others wait: {:?}",
        begun.elapsed()
    );
    for mut stream in half_sent {
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(HEAD_WITHIN * 2, stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "a half-sent request stays open");
    }
    assert!(
        begun.elapsed() < HEAD_WITHIN * 3,
        "closed late: {:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn an_idle_kept_connection_is_closed() {
    let (_house, _core, addr) = served().await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(HEAD_WITHIN * 2, stream.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "an idle connection stays open");
    assert!(String::from_utf8_lossy(&answer).contains("200 OK"));
}

#[tokio::test]
async fn oversized_heads_are_refused() {
    let (_house, _core, addr) = served().await;
    let mut long = b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ".to_vec();
    long.resize(server::MAX_HEAD * 2, b'a');
    let answer = exchange(addr, &long).await;
    assert!(answer.contains("431"), "{answer}");

    let mut many = b"GET / HTTP/1.1\r\n".to_vec();
    for _ in 0..=server::MAX_HEADERS {
        many.extend_from_slice(b"A: b\r\n");
    }
    many.extend_from_slice(b"\r\n");
    let answer = exchange(addr, &many).await;
    assert!(answer.contains("431"), "{answer}");

    let answer = exchange(addr, b"\x16\x03\x01 not http at all\r\n\r\n").await;
    assert!(answer.contains("400"), "{answer}");
}

#[tokio::test]
async fn an_oversized_body_is_refused_before_it_is_read() {
    let (_house, _core, addr) = served().await;
    let head = "POST /api/v1/plan/rehearse HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n";
    let mut request = format!("{head}Content-Length: 10000000\r\n\r\n").into_bytes();
    request.resize(request.len() + guard::MAX_BODY + 1, b' ');
    let answer = exchange(addr, &request).await;
    assert!(answer.contains("413"), "{answer}");
    assert!(answer.contains("error_en"), "{answer}");
}

#[tokio::test]
async fn a_reader_that_takes_nothing_holds_no_connection() {
    let (house, mut core, addr) = served().await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream
        .write_all(b"GET /api/v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let counters = Arc::clone(&house.app.counters);
    let gone = async {
        let mut large = picture();
        large.points = std::iter::repeat_n(large.points[0].clone(), 4000).collect();
        // Until buffers of both ends are full; nobody reads.
        loop {
            large.version += 1;
            core.draw(&large).await;
            if counters.broken_connections.load(Ordering::Relaxed) > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(server::WRITTEN_WITHIN * 2, gone)
        .await
        .expect("the connection is cut");
    assert_eq!(house.app.streams.available_permits(), MAX_STREAMS);
}

/// Reads a stream event by event.
struct Events {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Events {
    fn of(response: Response) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    /// Name and data of the next event; `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if event.starts_with(':') {
                    continue;
                }
                let (name, data) = event.split_once('\n').unwrap();
                return Some((
                    name.strip_prefix("event: ").unwrap().to_owned(),
                    serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap(),
                ));
            }
            let piece = tokio::time::timeout(SOON, self.body.next())
                .await
                .expect("the stream goes on")?;
            self.text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
    }
}
