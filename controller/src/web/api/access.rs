//! Persons, cards and passages, without personal values: ids, dates and doors. Names are shown to
//! operators at the machine alone until there are accounts.

use super::super::App;
use super::super::guard::Asked;
use super::super::link::Question;
use super::{ask, json, malformed};
use crate::link::AccessQuestion;
use crate::web::error::{ApiError, ErrorBody};
use axum::extract::State;
use axum::response::Response;
use room::people::{CardRow, PersonRow};
use room::register::{InsideRow, MAX_RECENT, PassageRow};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Passages when nothing is said.
const PASSAGES: u32 = 100;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(persons))
        .routes(routes!(cards))
        .routes(routes!(inside))
        .routes(routes!(passages))
}

/// How many.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Most {
    /// At most so many, 1 to 1000; 100 when left out.
    limit: Option<u32>,
}

/// Everybody in the register of persons.
#[utoipa::path(
    get, path = "/api/v1/access/persons", tag = "room",
    responses(
        (status = 200, description = "Persons by id, without names", body = [PersonRow]),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn persons(State(app): State<App>) -> Result<Response, ApiError> {
    ask(&app, Question::Access(AccessQuestion::Persons))
        .await
        .map(json)
}

/// Every card, and of a lost one which doors have confirmed that it is stopped.
#[utoipa::path(
    get, path = "/api/v1/access/cards", tag = "room",
    responses(
        (status = 200, description = "Cards by name", body = [CardRow]),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn cards(State(app): State<App>) -> Result<Response, ApiError> {
    ask(&app, Question::Access(AccessQuestion::Cards)).await.map(json)
}

/// Who is inside.
#[utoipa::path(
    get, path = "/api/v1/access/inside", tag = "room",
    responses(
        (status = 200, description = "Who is inside, without names", body = [InsideRow]),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn inside(State(app): State<App>) -> Result<Response, ApiError> {
    ask(&app, Question::Access(AccessQuestion::Inside))
        .await
        .map(json)
}

/// The newest passages; the journal has all.
#[utoipa::path(
    get, path = "/api/v1/access/passages", tag = "room",
    params(Most),
    responses(
        (status = 200, description = "Passages, newest first", body = [PassageRow]),
        (status = 422, description = "Malformed", body = ErrorBody),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn passages(State(app): State<App>, Asked((), most): Asked<(), Most>) -> Result<Response, ApiError> {
    let limit = most.limit.unwrap_or(PASSAGES);
    if !(1..=MAX_RECENT).contains(&usize::try_from(limit).unwrap_or(usize::MAX)) {
        return Err(malformed(
            &app,
            "limit は1から1000で指定してください。",
            "Give a limit of 1 to 1000.",
        ));
    }
    ask(&app, Question::Access(AccessQuestion::Passages { limit }))
        .await
        .map(json)
}
