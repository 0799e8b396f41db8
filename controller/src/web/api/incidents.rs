//! Incidents: the list, the document for the CSIRT and the committee, and what a person does with them.

use super::super::guard::{Asked, Json};
use super::super::link::Question;
use super::super::{App, print};
use super::{Done, MAX_NAME, NotCarriedOut, Nothing, ask, command, is_override, json, malformed, plain};
use crate::link::Command;
use crate::web::error::{ApiError, ErrorBody};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use room::incident::document::Document;
use room::incident::{MAX_TEXT, Nature, Order};
use room::snapshot::Incident;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Longest title, in characters.
const MAX_TITLE: usize = 200;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, open))
        .routes(routes!(document))
        .routes(routes!(page))
        .routes(routes!(note))
        .routes(routes!(classify))
        .routes(routes!(close))
        .routes(routes!(reopen))
        .routes(routes!(hand_over))
        .routes(routes!(style))
}

/// An incident that a person opens.
#[derive(Debug, Deserialize, ToSchema)]
struct Opening {
    /// Name of the person, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    by: String,
    /// What it is.
    nature: Nature,
    /// In a few words, 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    title: String,
}

/// Something to write down.
#[derive(Debug, Deserialize, ToSchema)]
struct Note {
    /// Name of the person, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    by: String,
    /// What, 1 to 2000 characters; may have lines.
    #[schema(min_length = 1, max_length = 2000)]
    text: String,
}

/// What an incident is.
#[derive(Debug, Deserialize, ToSchema)]
struct Classification {
    /// Name of the person, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    by: String,
    /// What it is.
    nature: Nature,
}

/// The end of an incident.
#[derive(Debug, Deserialize, ToSchema)]
struct Conclusion {
    /// Name of the person, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    by: String,
    /// What was found and done, 1 to 2000 characters; may have lines.
    #[schema(min_length = 1, max_length = 2000)]
    conclusion: String,
}

/// Why an incident is not over.
#[derive(Debug, Deserialize, ToSchema)]
struct Reopening {
    /// Name of the person, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    by: String,
    /// Why, 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
}

/// Who is given the document.
#[derive(Debug, Deserialize, ToSchema)]
struct Recipient {
    /// Name of the person who gives it, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    by: String,
    /// To whom: `CSIRT`, a committee, a name; 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    to: String,
}

/// Which state of it.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Moment {
    /// As it was after this record of the journal; left out for as it is. A hand-over names the
    /// record, and what was handed over comes out again byte by byte.
    upto: Option<u64>,
}

/// How it is printed.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Print {
    /// As it was after this record of the journal.
    upto: Option<u64>,
    /// `ja` (when left out) or `en`.
    // Inline: the document gathers the schemas of bodies only, and a reference would lead nowhere.
    #[param(inline)]
    #[serde(default)]
    lang: print::Language,
}

/// Every incident, newest first.
#[utoipa::path(
    get, path = "/api/v1/incidents", tag = "room",
    responses(
        (status = 200, description = "Incidents, newest first", body = [Incident]),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn list(State(app): State<App>) -> Result<Response, ApiError> {
    ask(&app, Question::Incidents).await.map(json)
}

/// Opens an incident by hand.
#[utoipa::path(
    post, path = "/api/v1/incidents", tag = "operator", request_body = Opening,
    responses((status = 200, description = "Done; it is the newest of the list", body = Done), NotCarriedOut)
)]
async fn open(State(app): State<App>, Json(body): Json<Opening>) -> Result<Response, ApiError> {
    let title = plain(&body.title, MAX_TITLE).ok_or_else(|| {
        malformed(
            &app,
            "事案の題名を200文字以内で入力してください。",
            "Give a title of 1 to 200 characters.",
        )
    })?;
    let nature = body.nature;
    order(&app, &body.by, Order::Open { nature, title }).await
}

/// The document of an incident: figures, alarms, timeline and the piece of the journal it rests on.
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}", tag = "room",
    params(("id" = u32, Path, description = "Number of the incident"), Moment),
    responses(
        (status = 200, description = "The document", body = Document),
        (status = 404, description = "No such incident", body = ErrorBody),
        (status = 422, description = "Malformed", body = ErrorBody),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn document(
    State(app): State<App>,
    Asked(incident, Moment { upto }): Asked<u32, Moment>,
) -> Result<Response, ApiError> {
    ask(&app, Question::Incident { incident, upto }).await.map(json)
}

/// The same as a page to print on A4.
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}/print", tag = "room",
    params(("id" = u32, Path, description = "Number of the incident"), Print),
    responses(
        (status = 200, description = "A page without scripts", content_type = "text/html", body = String),
        (status = 404, description = "No such incident", body = ErrorBody),
        (status = 422, description = "Malformed", body = ErrorBody),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn page(
    State(app): State<App>,
    Asked(incident, Print { upto, lang }): Asked<u32, Print>,
) -> Result<Response, ApiError> {
    let answer = ask(&app, Question::Incident { incident, upto }).await?;
    let document: Option<Document> = serde_json::from_slice(&answer).unwrap_or_default();
    let document = document.ok_or(ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "事案の記録を読み取れません。記録の検証結果を確認してください。",
        "The records of this incident cannot be read. See whether the journal is intact.",
    ))?;
    let html = print::incident(&document, lang);
    Ok(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response())
}

/// Writes something down.
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/notes", tag = "operator",
    params(("id" = u32, Path, description = "Number of the incident")), request_body = Note,
    responses(
        (status = 200, description = "Done", body = Done),
        (status = 404, description = "No such incident", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn note(
    State(app): State<App>,
    Asked(incident, Nothing {}): Asked<u32, Nothing>,
    Json(body): Json<Note>,
) -> Result<Response, ApiError> {
    let text = paragraphs(&app, &body.text)?;
    order(&app, &body.by, Order::Note { incident, text }).await
}

/// Says what it is.
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/classify", tag = "operator",
    params(("id" = u32, Path, description = "Number of the incident")), request_body = Classification,
    responses(
        (status = 200, description = "Done", body = Done),
        (status = 404, description = "No such incident", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn classify(
    State(app): State<App>,
    Asked(incident, Nothing {}): Asked<u32, Nothing>,
    Json(body): Json<Classification>,
) -> Result<Response, ApiError> {
    let nature = body.nature;
    order(&app, &body.by, Order::Classify { incident, nature }).await
}

/// Closes it; refused while one of its alarms is not back to normal.
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/close", tag = "operator",
    params(("id" = u32, Path, description = "Number of the incident")), request_body = Conclusion,
    responses(
        (status = 200, description = "Done", body = Done),
        (status = 404, description = "No such incident", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn close(
    State(app): State<App>,
    Asked(incident, Nothing {}): Asked<u32, Nothing>,
    Json(body): Json<Conclusion>,
) -> Result<Response, ApiError> {
    let conclusion = paragraphs(&app, &body.conclusion)?;
    order(&app, &body.by, Order::Close { incident, conclusion }).await
}

/// Opens a closed one again.
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/reopen", tag = "operator",
    params(("id" = u32, Path, description = "Number of the incident")), request_body = Reopening,
    responses(
        (status = 200, description = "Done", body = Done),
        (status = 404, description = "No such incident", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn reopen(
    State(app): State<App>,
    Asked(incident, Nothing {}): Asked<u32, Nothing>,
    Json(body): Json<Reopening>,
) -> Result<Response, ApiError> {
    let reason = plain(&body.reason, super::MAX_REASON).ok_or_else(|| {
        malformed(
            &app,
            "再開の理由を200文字以内で入力してください。",
            "Give a reason of 1 to 200 characters.",
        )
    })?;
    order(&app, &body.by, Order::Reopen { incident, reason }).await
}

/// Records that the document was given to somebody, with its hash and what it rests on; the list names
/// both, and the document of that record is what was given.
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/hand-over", tag = "operator",
    params(("id" = u32, Path, description = "Number of the incident")), request_body = Recipient,
    responses(
        (status = 200, description = "Done; the list of incidents names the record", body = Done),
        (status = 404, description = "No such incident", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn hand_over(
    State(app): State<App>,
    Asked(incident, Nothing {}): Asked<u32, Nothing>,
    Json(body): Json<Recipient>,
) -> Result<Response, ApiError> {
    let to = plain(&body.to, MAX_NAME).ok_or_else(|| {
        malformed(
            &app,
            "引き継ぎ先(to)を64文字以内で入力してください。",
            "Say to whom (to), in 1 to 64 characters.",
        )
    })?;
    let evidence = None;
    order(
        &app,
        &body.by,
        Order::HandOver {
            incident,
            to,
            evidence,
        },
    )
    .await
}

/// The style of printed pages.
#[utoipa::path(
    get, path = "/print/document.css", tag = "operation",
    responses((status = 200, description = "Style sheet", content_type = "text/css", body = String))
)]
async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], print::STYLE).into_response()
}

async fn order(app: &App, by: &str, order: Order) -> Result<Response, ApiError> {
    command(app, by, Command::Incident { order }).await
}

/// Text of a person that may have lines.
fn paragraphs(app: &App, text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    let fits = !text.is_empty() && text.chars().count() <= MAX_TEXT;
    if fits && !text.chars().any(is_override) {
        return Ok(text.to_owned());
    }
    Err(malformed(
        app,
        "1文字以上2000文字以内で入力してください。",
        "Give a text of 1 to 2000 characters.",
    ))
}
