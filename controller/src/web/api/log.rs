//! The entry log, read only: how it is, its rows, the proof of one. Personal particulars are in none of
//! it: they are sealed in the leaves, and their openings are not read here.

use super::super::App;
use super::super::guard::Asked;
use super::super::link::Question;
use super::{Nothing, ask, json};
use crate::core::log::read::{Proven, Row, Search};
use crate::link::LogQuestion;
use crate::web::error::{ApiError, ErrorBody};
use axum::extract::State;
use axum::response::Response;
use room::snapshot::LogStanding;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(entries))
        .routes(routes!(proof))
}

/// Which log, how long it is, what of it is signed, and by which key.
#[utoipa::path(
    get, path = "/api/v1/log/status", tag = "room", operation_id = "log_status",
    responses(
        (status = 200, description = "How the log is", body = LogStanding),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn status(State(app): State<App>) -> Result<Response, ApiError> {
    ask(&app, Question::Log(LogQuestion::Status)).await.map(json)
}

/// What is searched for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// From this moment on, milliseconds since 1970 UTC.
    from: Option<i64>,
    /// Before this moment.
    to: Option<i64>,
    /// Kind, or what kinds begin with: `door` finds `door.forced`.
    kind: Option<String>,
    /// Name of a portal.
    portal: Option<String>,
    /// `denied`, `forced`, `held`, `tamper`, `key`.
    flag: Option<String>,
    /// Id of a person.
    person: Option<String>,
    /// Rows, 1 to 1000; 100 when left out.
    limit: Option<u32>,
}

/// Rows of the log, newest first, without personal particulars.
#[utoipa::path(
    get, path = "/api/v1/log/entries", tag = "room", params(Wanted), operation_id = "log_entries",
    responses(
        (status = 200, description = "Rows, newest first", body = [Row]),
        (status = 422, description = "Malformed", body = ErrorBody),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn entries(State(app): State<App>, Asked((), wanted): Asked<(), Wanted>) -> Result<Response, ApiError> {
    let search = Search {
        from_ms: wanted.from,
        to_ms: wanted.to,
        kind: wanted.kind,
        portal: wanted.portal,
        flag: wanted.flag,
        person: wanted.person,
        limit: wanted.limit.unwrap_or(100),
    };
    ask(&app, Question::Log(LogQuestion::Entries(search)))
        .await
        .map(json)
}

/// The proof that a row is in the log, under the last checkpoint.
#[utoipa::path(
    get, path = "/api/v1/log/proof/{year}/{n}", tag = "room", operation_id = "log_proof",
    params(
        ("year" = i64, Path, description = "Fiscal year of the log"),
        ("n" = u64, Path, description = "The row"),
    ),
    responses(
        (status = 200, description = "The proof", body = Proven),
        (status = 404, description = "No such row, or none that is signed yet", body = ErrorBody),
        (status = 422, description = "Malformed", body = ErrorBody),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn proof(
    State(app): State<App>,
    Asked((year, n), Nothing {}): Asked<(i64, u64), Nothing>,
) -> Result<Response, ApiError> {
    ask(&app, Question::Log(LogQuestion::Proof { year, n }))
        .await
        .map(json)
}
