//! Rehearsals and drills, and recorded outages played against today's plan. Everything here is read:
//! a drill is not begun over the network.

use super::super::guard::Asked;
use super::super::link::Question;
use super::super::{App, print};
use super::{Nothing, ask, json};
use crate::link::OutageQuestion;
use crate::web::error::{ApiError, ErrorBody};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use room::outage::exercise::{Document, Exercise};
use room::outage::replay::{Place, Report};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(exercises))
        .routes(routes!(exercise))
        .routes(routes!(exercise_page))
        .routes(routes!(outages))
        .routes(routes!(replay))
}

/// How it is printed.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Print {
    /// `ja` (when left out) or `en`.
    // Inline: the document gathers the schemas of bodies only, and a reference would lead nowhere.
    #[param(inline)]
    #[serde(default)]
    lang: print::Language,
}

/// Which outage, and how it goes on.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Number of the outage; the newest when left out.
    outage: Option<u64>,
    /// True: as if mains had not come back.
    #[serde(default)]
    without_return: bool,
}

/// Results of rehearsals and drills, newest first.
#[utoipa::path(
    get, path = "/api/v1/outage/rehearsals", tag = "room",
    responses(
        (status = 200, description = "Results, newest first", body = [Exercise]),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn exercises(State(app): State<App>) -> Result<Response, ApiError> {
    ask(&app, Question::Outage(OutageQuestion::Exercises))
        .await
        .map(json)
}

/// The document of a rehearsal or drill: each step's time, and the piece of the journal it rests on.
#[utoipa::path(
    get, path = "/api/v1/outage/rehearsals/{run}", tag = "room",
    params(("run" = u64, Path, description = "Run number of the rehearsal")),
    responses(
        (status = 200, description = "The document", body = Document),
        (status = 404, description = "No such rehearsal", body = ErrorBody),
        (status = 422, description = "Malformed", body = ErrorBody),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn exercise(
    State(app): State<App>,
    Asked(run, Nothing {}): Asked<u64, Nothing>,
) -> Result<Response, ApiError> {
    ask(&app, Question::Outage(OutageQuestion::Exercise { run }))
        .await
        .map(json)
}

/// The same as a page to print on A4.
#[utoipa::path(
    get, path = "/api/v1/outage/rehearsals/{run}/print", tag = "room",
    params(("run" = u64, Path, description = "Run number of the rehearsal"), Print),
    responses(
        (status = 200, description = "A page without scripts", content_type = "text/html", body = String),
        (status = 404, description = "No such rehearsal", body = ErrorBody),
        (status = 422, description = "Malformed", body = ErrorBody),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn exercise_page(
    State(app): State<App>,
    Asked(run, Print { lang }): Asked<u64, Print>,
) -> Result<Response, ApiError> {
    let answer = ask(&app, Question::Outage(OutageQuestion::Exercise { run })).await?;
    let document: Option<Document> = serde_json::from_slice(&answer).unwrap_or_default();
    let document = document.ok_or(ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "予行の記録を読み取れません。記録の検証結果を確認してください。",
        "The records of this rehearsal cannot be read. See whether the journal is intact.",
    ))?;
    let html = print::rehearsal(&document, lang);
    Ok(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response())
}

/// The recorded outages, newest first.
#[utoipa::path(
    get, path = "/api/v1/outage/outages", tag = "room",
    responses(
        (status = 200, description = "Outages, newest first", body = [Place]),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn outages(State(app): State<App>) -> Result<Response, ApiError> {
    ask(&app, Question::Outage(OutageQuestion::Places))
        .await
        .map(json)
}

/// What today's plan would have done in a recorded outage.
#[utoipa::path(
    get, path = "/api/v1/outage/replay", tag = "room", params(Wanted),
    responses(
        (status = 200, description = "What would have been", body = Report),
        (status = 404, description = "No such outage", body = ErrorBody),
        (status = 422, description = "Malformed", body = ErrorBody),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn replay(
    State(app): State<App>,
    Asked(
        (),
        Wanted {
            outage,
            without_return,
        },
    ): Asked<(), Wanted>,
) -> Result<Response, ApiError> {
    let question = OutageQuestion::Replay {
        outage,
        without_return,
    };
    ask(&app, Question::Outage(question)).await.map(json)
}
