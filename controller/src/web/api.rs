//! The JSON API under `/api/v1`, its OpenAPI document, and the router that puts it all together.
//!
//! Every route is registered with its description in one step (`routes!`), so that the document
//! cannot miss one. Handlers check what they are given and pass it on; core decides.

mod access;
mod alarms;
mod coverage;
mod incidents;
mod limits;
mod log;
mod notices;
mod operate;
mod power;
mod rehearsals;

use super::error::{ApiError, ErrorBody};
use super::guard::{self, Asked, Json};
use super::link::{AskError, CoreState, Question};
use super::{App, asset, count, metric, stream};
use crate::link::Command;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use bytes::Bytes;
use room::snapshot::{DeviceFacts, Snapshot};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Longest name of a person, in characters.
pub const MAX_NAME: usize = 64;
/// Longest reason, in characters.
pub const MAX_REASON: usize = 200;
/// Longest name of a file, in characters.
pub const MAX_FILE: usize = crate::core::MAX_IMAGE_NAME;
/// Longest id of a point or alarm, in characters.
pub const MAX_ID: usize = 128;
/// Longest time an alarm is put away, in minutes: a working day.
pub const MAX_SHELVE_MINUTES: u32 = 480;
/// Most rows of a history: more than any screen has columns.
pub const MAX_BUCKETS: u32 = 4000;
/// Most records in one answer: at about 300 bytes each what one message of the link carries.
pub const MAX_RECORDS: u32 = 10_000;
const _: () = assert!(MAX_RECORDS as usize * 300 < crate::link::MAX_MESSAGE);
/// Last moment a history may ask for, milliseconds since 1970 UTC: the end of the year 9999.
pub const MAX_MS: i64 = 253_402_300_799_999;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Yagura",
        description = "The watchtower of a server room: its picture, its alarms, its power and its shutdown plan. \
                       Times are milliseconds since 1970 UTC (`*_ms`) or ages in milliseconds (`*_age_ms`), spans are seconds (`*_s`). \
                       A request that changes something needs `Content-Type: application/json` and, when it carries an `Origin`, the origin of this controller.",
        contact(),
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "room", description = "What is"),
        (name = "operator", description = "What a person does"),
        (name = "operation", description = "For monitoring systems"),
    ),
    components(schemas(Snapshot, ErrorBody, Record))
)]
struct Document;

/// Everything this role answers.
pub fn router(app: App) -> Router {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(snapshot))
        .routes(routes!(stream::stream))
        .routes(routes!(acknowledge))
        .routes(routes!(shelve))
        .routes(routes!(reset))
        .routes(routes!(device))
        .routes(routes!(history))
        .routes(routes!(records))
        .routes(routes!(rehearse))
        .routes(routes!(scenario))
        .routes(routes!(rotate_key))
        .routes(routes!(erase_node))
        .routes(routes!(restart_node))
        .routes(routes!(update_node))
        .merge(limits::routes())
        .routes(routes!(operate::tell_device))
        .routes(routes!(openapi))
        .routes(routes!(healthz))
        .routes(routes!(metric::metrics))
        .merge(coverage::routes())
        .merge(power::routes())
        .merge(access::routes())
        .merge(incidents::routes())
        .merge(rehearsals::routes())
        .merge(log::routes())
        .merge(alarms::routes())
        .merge(notices::routes())
        .split_for_parts();
    let document = document.to_json().unwrap_or_else(|error| {
        // Only a map with keys that are no strings fails, and the document has none.
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the API document does not print"
        );
        String::from("{}")
    });
    router
        .method_not_allowed_fallback(wrong_method)
        .fallback(asset::serve)
        .layer(Extension(Printed(Bytes::from(document))))
        .layer(CompressionLayer::new())
        .layer(CatchPanicLayer::custom(guard::panic_net(Arc::clone(
            &app.counters,
        ))))
        .layer(from_fn_with_state(app.clone(), guard::guard))
        .with_state(app)
}

async fn wrong_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "このアドレスではこの操作はできません。/api/openapi.json を見てください。",
        "This address does not take this method; see /api/openapi.json.",
    )
}

/// The document, printed once.
#[derive(Clone)]
struct Printed(Bytes);

/// A record of the journal. Every kind has fields of its own besides these.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Record {
    /// Position in the journal.
    pub seq: u64,
    /// When it was written, milliseconds since 1970 UTC.
    pub wall_ms: i64,
    /// What it is, e.g. `alarm_raised`.
    pub kind: String,
    /// The fields of its kind.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// Nothing to say but "done".
#[derive(Debug, Serialize, ToSchema)]
struct Done {}

/// Who does it.
#[derive(Debug, Deserialize, ToSchema)]
struct By {
    /// Name of the person, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    by: String,
}

/// A new firmware for a node.
#[derive(Debug, Deserialize, ToSchema)]
struct Image {
    /// Name of the person, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    by: String,
    /// Name of the signed image in the controller's folder of images.
    #[schema(min_length = 1, max_length = 64)]
    file: String,
}

/// Putting an alarm away.
#[derive(Debug, Deserialize, ToSchema)]
struct Shelve {
    /// Name of the person, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    by: String,
    /// For how long, 1 to 480 minutes.
    #[schema(minimum = 1, maximum = 480)]
    minutes: u32,
    /// Why, 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
}

/// A span of history.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Span {
    /// Start, milliseconds since 1970 UTC.
    from_ms: i64,
    /// End, milliseconds since 1970 UTC.
    to_ms: i64,
    /// Most rows, 1 to 4000.
    #[param(minimum = 1, maximum = 4000)]
    #[serde(default = "default_buckets")]
    buckets: u32,
}

const fn default_buckets() -> u32 {
    300
}

/// A piece of the journal.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Piece {
    /// Records after this one; 0 for the first.
    #[serde(default)]
    after: u64,
    /// At most so many, 1 to 10000.
    #[param(minimum = 1, maximum = 10000)]
    #[serde(default = "default_limit")]
    limit: u32,
}

const fn default_limit() -> u32 {
    100
}

/// No parameters at all.
#[derive(Debug, Deserialize)]
struct Nothing {}

/// History of a point.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct History {
    /// `[t_ms, min, avg, max, count]` each; a span without data has no row.
    pub rows: Vec<(i64, f64, f64, f64, u64)>,
}

/// The picture of the room as it is now.
#[utoipa::path(
    get, path = "/api/v1/snapshot", tag = "room",
    responses(
        (status = 200, description = "The picture", body = Snapshot),
        (status = 503, description = "Core does not answer: there is no current picture", body = ErrorBody),
    )
)]
async fn snapshot(State(app): State<App>) -> Result<Response, ApiError> {
    let picture = app.core.picture().ok_or(ApiError::away())?;
    Ok(json(picture.json.clone()))
}

/// Why an order of a person is not carried out.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "read by the document alone")]
enum NotCarriedOut {
    /// Sent from another site
    #[response(status = 403)]
    Foreign(ErrorBody),
    /// Not possible in its state
    #[response(status = 409)]
    State(ErrorBody),
    /// Not JSON
    #[response(status = 415)]
    NotJson(ErrorBody),
    /// Malformed
    #[response(status = 422)]
    Malformed(ErrorBody),
    /// Core does not answer or cannot write its journal
    #[response(status = 503)]
    Core(ErrorBody),
}

/// Takes an alarm: "I have it".
#[utoipa::path(
    post, path = "/api/v1/alarms/{id}/acknowledge", tag = "operator",
    params(("id" = String, Path, description = "Alarm id")), request_body = By,
    responses(
        (status = 200, description = "Done", body = Done),
        (status = 404, description = "No such alarm", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn acknowledge(
    State(app): State<App>,
    Asked(id, Nothing {}): Asked<String, Nothing>,
    Json(body): Json<By>,
) -> Result<Response, ApiError> {
    let alarm = checked_id(&app, id)?;
    command(&app, &body.by, Command::Acknowledge { alarm }).await
}

/// Puts an alarm away for a stated time and reason.
#[utoipa::path(
    post, path = "/api/v1/alarms/{id}/shelve", tag = "operator",
    params(("id" = String, Path, description = "Alarm id")), request_body = Shelve,
    responses(
        (status = 200, description = "Done", body = Done),
        (status = 404, description = "No such alarm", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn shelve(
    State(app): State<App>,
    Asked(id, Nothing {}): Asked<String, Nothing>,
    Json(body): Json<Shelve>,
) -> Result<Response, ApiError> {
    let alarm = checked_id(&app, id)?;
    if !(1..=MAX_SHELVE_MINUTES).contains(&body.minutes) {
        return Err(malformed(
            &app,
            "保留は1分から480分(8時間)までです。",
            "An alarm is shelved for 1 to 480 minutes.",
        ));
    }
    let reason = plain(&body.reason, MAX_REASON).ok_or_else(|| {
        malformed(
            &app,
            "保留の理由を200文字以内で入力してください。",
            "Give a reason of 1 to 200 characters.",
        )
    })?;
    let minutes = body.minutes;
    command(
        &app,
        &body.by,
        Command::Shelve {
            alarm,
            minutes,
            reason,
        },
    )
    .await
}

/// Resets a latched alarm after its cause is gone.
#[utoipa::path(
    post, path = "/api/v1/alarms/{id}/reset", tag = "operator",
    params(("id" = String, Path, description = "Alarm id")), request_body = By,
    responses(
        (status = 200, description = "Done", body = Done),
        (status = 404, description = "No such alarm", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn reset(
    State(app): State<App>,
    Asked(id, Nothing {}): Asked<String, Nothing>,
    Json(body): Json<By>,
) -> Result<Response, ApiError> {
    let alarm = checked_id(&app, id)?;
    command(&app, &body.by, Command::Reset { alarm }).await
}

/// Everything that a device tells; the picture carries only what is looked at every day.
#[utoipa::path(
    get, path = "/api/v1/devices/{name}", tag = "room",
    params(("name" = String, Path, description = "Short name of the device")),
    responses(
        (status = 200, description = "All of its facts by name", body = DeviceFacts),
        (status = 404, description = "No such device", body = ErrorBody),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn device(
    State(app): State<App>,
    Asked(name, Nothing {}): Asked<String, Nothing>,
) -> Result<Response, ApiError> {
    let name = checked_id(&app, name)?;
    ask(&app, Question::Device { name }).await.map(json)
}

/// History of a point.
#[utoipa::path(
    get, path = "/api/v1/points/{id}/history", tag = "room",
    params(("id" = String, Path, description = "Point id"), Span),
    responses(
        (status = 200, description = "Rows in order of time", body = History),
        (status = 404, description = "No such point", body = ErrorBody),
        (status = 422, description = "Malformed", body = ErrorBody),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn history(State(app): State<App>, Asked(id, span): Asked<String, Span>) -> Result<Response, ApiError> {
    let point = checked_id(&app, id)?;
    let possible = (0..=MAX_MS).contains(&span.from_ms)
        && (span.from_ms + 1..=MAX_MS).contains(&span.to_ms)
        && (1..=MAX_BUCKETS).contains(&span.buckets);
    if !possible {
        return Err(malformed(
            &app,
            "期間は from_ms < to_ms、buckets は1から4000で指定してください。",
            "Give from_ms < to_ms (both since 1970) and buckets of 1 to 4000.",
        ));
    }
    let question = Question::History {
        point,
        from_ms: span.from_ms,
        to_ms: span.to_ms,
        buckets: span.buckets,
    };
    ask(&app, question).await.map(json)
}

/// Gives a node a new key, derived from the one it has.
#[utoipa::path(
    post, path = "/api/v1/nodes/{node}/rotate-key", tag = "operator",
    params(("node" = String, Path, description = "Short name of the node")), request_body = By,
    responses(
        (status = 200, description = "The node is told; the picture shows what becomes of it", body = Done),
        (status = 404, description = "No such node", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn rotate_key(
    State(app): State<App>,
    Asked(node, Nothing {}): Asked<String, Nothing>,
    Json(body): Json<By>,
) -> Result<Response, ApiError> {
    let node = checked_id(&app, node)?;
    command(&app, &body.by, Command::RotateKey { node, salt: [0; 16] }).await
}

/// Lets a node forget its keys, cards and events, before it leaves the site.
#[utoipa::path(
    post, path = "/api/v1/nodes/{node}/erase", tag = "operator",
    params(("node" = String, Path, description = "Short name of the node")), request_body = By,
    responses(
        (status = 200, description = "The node is told; the picture shows what becomes of it", body = Done),
        (status = 404, description = "No such node", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn erase_node(
    State(app): State<App>,
    Asked(node, Nothing {}): Asked<String, Nothing>,
    Json(body): Json<By>,
) -> Result<Response, ApiError> {
    let node = checked_id(&app, node)?;
    command(&app, &body.by, Command::EraseNode { node }).await
}

/// Restarts a node; this also ends its safe mode.
#[utoipa::path(
    post, path = "/api/v1/nodes/{node}/restart", tag = "operator",
    params(("node" = String, Path, description = "Short name of the node")), request_body = By,
    responses(
        (status = 200, description = "The node is told; the picture shows what becomes of it", body = Done),
        (status = 404, description = "No such node", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn restart_node(
    State(app): State<App>,
    Asked(node, Nothing {}): Asked<String, Nothing>,
    Json(body): Json<By>,
) -> Result<Response, ApiError> {
    let node = checked_id(&app, node)?;
    command(&app, &body.by, Command::RestartNode { node }).await
}

/// Gives a node a signed firmware image that lies in the controller's folder of images.
#[utoipa::path(
    post, path = "/api/v1/nodes/{node}/update", tag = "operator",
    params(("node" = String, Path, description = "Short name of the node")), request_body = Image,
    responses(
        (status = 200, description = "The node is told; the picture shows what becomes of it", body = Done),
        (status = 404, description = "No such node or image", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn update_node(
    State(app): State<App>,
    Asked(node, Nothing {}): Asked<String, Nothing>,
    Json(body): Json<Image>,
) -> Result<Response, ApiError> {
    let node = checked_id(&app, node)?;
    let file = plain(&body.file, MAX_FILE).ok_or_else(|| {
        malformed(
            &app,
            "ファイル名は1文字以上64文字以内で入力してください。",
            "Give the name of the image, at most 64 characters.",
        )
    })?;
    let image = Vec::new();
    command(&app, &body.by, Command::UpdateNode { node, file, image }).await
}

/// Records of the journal in their order.
#[utoipa::path(
    get, path = "/api/v1/records", tag = "room", params(Piece),
    responses(
        (status = 200, description = "Records", body = [Record]),
        (status = 422, description = "Malformed", body = ErrorBody),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn records(State(app): State<App>, Asked((), piece): Asked<(), Piece>) -> Result<Response, ApiError> {
    if !(1..=MAX_RECORDS).contains(&piece.limit) || i64::try_from(piece.after).is_err() {
        return Err(malformed(
            &app,
            "limit は1から10000で指定してください。",
            "Give a limit of 1 to 10000 and the number of a record.",
        ));
    }
    let question = Question::Records {
        after: piece.after,
        limit: piece.limit,
    };
    ask(&app, question).await.map(json)
}

/// Checks every step of the shutdown plan without stopping anything.
#[utoipa::path(
    post, path = "/api/v1/plan/rehearse", tag = "operator", request_body = By,
    responses(
        (status = 200, description = "The rehearsal has begun", body = Done),
        (status = 403, description = "Sent from another site", body = ErrorBody),
        (status = 404, description = "This site has no plan", body = ErrorBody),
        (status = 409, description = "A plan runs", body = ErrorBody),
        (status = 415, description = "Not JSON", body = ErrorBody),
        (status = 422, description = "Malformed", body = ErrorBody),
        (status = 503, description = "Core does not answer or cannot write its journal", body = ErrorBody),
    )
)]
async fn rehearse(State(app): State<App>, Json(body): Json<By>) -> Result<Response, ApiError> {
    command(&app, &body.by, Command::Rehearse).await
}

/// Starts a scenario of the simulated room.
#[utoipa::path(
    post, path = "/api/v1/scenarios/{name}", tag = "operator",
    params(("name" = String, Path, description = "`outage`, `mains-back`, `cooling`, `leak`, `door`, `link` or `reset`")),
    request_body = By,
    responses(
        (status = 200, description = "The scenario has begun", body = Done),
        (status = 403, description = "Sent from another site", body = ErrorBody),
        (status = 404, description = "No such scenario, or this room is real", body = ErrorBody),
        (status = 415, description = "Not JSON", body = ErrorBody),
        (status = 422, description = "Malformed", body = ErrorBody),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn scenario(
    State(app): State<App>,
    Asked(name, Nothing {}): Asked<String, Nothing>,
    Json(body): Json<By>,
) -> Result<Response, ApiError> {
    if !app.simulated {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "これは実在の部屋です。シナリオは模擬の部屋(yagura demo)だけで使えます。",
            "This room is real. Scenarios exist only in the simulated room (yagura demo).",
        ));
    }
    let name = checked_id(&app, name)?;
    command(&app, &body.by, Command::Scenario { name }).await
}

/// This document.
#[utoipa::path(
    get, path = "/api/openapi.json", tag = "operation",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = Object))
)]
async fn openapi(Extension(Printed(document)): Extension<Printed>) -> Response {
    json(document)
}

/// 200 `ok` while core answers and has drawn a picture, 503 otherwise.
#[utoipa::path(
    get, path = "/healthz", tag = "operation",
    responses(
        (status = 200, description = "`ok`", content_type = "text/plain", body = String),
        (status = 503, description = "Why not", content_type = "text/plain", body = String),
    )
)]
async fn healthz(State(app): State<App>) -> Response {
    match app.core.state() {
        CoreState::Linked { picture: Some(_) } => "ok\n".into_response(),
        CoreState::Linked { picture: None } => (
            StatusCode::SERVICE_UNAVAILABLE,
            "core has not drawn a picture yet\n",
        )
            .into_response(),
        CoreState::Away { since } => {
            let secs = crate::clock::now().mono.since(since).as_secs_f64();
            let text = format!("core does not answer since {secs:.1} s\n");
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

async fn command(app: &App, by: &str, command: Command) -> Result<Response, ApiError> {
    let by = plain(by, MAX_NAME).ok_or_else(|| {
        malformed(
            app,
            "操作する人の名前(by)を64文字以内で入力してください。",
            "Give the name of the person (by), 1 to 64 characters.",
        )
    })?;
    let answer = ask(app, Question::Command { by, command }).await?;
    Ok(if answer.is_empty() {
        axum::Json(Done {}).into_response()
    } else {
        json(answer)
    })
}

async fn ask(app: &App, question: Question) -> Result<Bytes, ApiError> {
    match app.core.ask(question).await {
        Ok(answer) => Ok(Bytes::from(answer)),
        Err(error) => {
            if matches!(error, AskError::TimedOut) {
                count(&app.counters.unanswered);
            }
            Err(error.into())
        }
    }
}

fn json(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn malformed(app: &App, ja: &'static str, en: &'static str) -> ApiError {
    count(&app.counters.malformed);
    ApiError::invalid(ja, en)
}

/// An id of ours; whatever else it is, core knows nothing under it.
fn checked_id(app: &App, id: String) -> Result<String, ApiError> {
    if !id.is_empty() && id.chars().count() <= MAX_ID && !id.chars().any(char::is_control) {
        return Ok(id);
    }
    Err(malformed(app, "識別名が正しくありません。", "This is no id."))
}

/// Text of a person: trimmed, not empty, within the limit, and without control characters,
/// which would forge lines in logs and prints.
fn plain(text: &str, longest: usize) -> Option<String> {
    let text = text.trim();
    let fits = !text.is_empty() && text.chars().count() <= longest;
    (fits && !text.chars().any(|c| c.is_control() || is_override(c))).then(|| text.to_owned())
}

/// Characters that turn the direction of what follows, so that a line reads as another one.
const fn is_override(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
