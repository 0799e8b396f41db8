//! Who is told of alarms: the list, test calls, and the lamp test.

use super::super::App;
use super::super::guard::{Asked, Json};
use super::{By, Done, NotCarriedOut, Nothing, checked_id, command};
use crate::link::Command;
use crate::web::error::{ApiError, ErrorBody};
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use room::snapshot::NoticesView;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(notices_view))
        .routes(routes!(test_all))
        .routes(routes!(test))
        .routes(routes!(lamp_test))
}

/// Of the picture, the notices.
#[derive(Deserialize)]
struct Picture {
    notices: NoticesView,
}

/// Contacts, notifiers, who was told of the alarms that stand, and what could not be told.
#[utoipa::path(
    get, path = "/api/v1/notices", tag = "room",
    responses(
        (status = 200, description = "The notices", body = NoticesView),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn notices_view(State(app): State<App>) -> Result<Response, ApiError> {
    let picture = app.core.picture().ok_or(ApiError::away())?;
    let Picture { notices } = serde_json::from_slice(&picture.json).map_err(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the picture of core cannot be read"
        );
        ApiError::away()
    })?;
    Ok(axum::Json(notices).into_response())
}

/// Calls every contact, to see that notices arrive. The list says who was reached, by what and how
/// fast.
#[utoipa::path(
    post, path = "/api/v1/notices/test", tag = "operator", request_body = By,
    responses((status = 200, description = "Called; the list says who was reached", body = Done), NotCarriedOut)
)]
async fn test_all(State(app): State<App>, Json(body): Json<By>) -> Result<Response, ApiError> {
    command(&app, &body.by, Command::TestCall { contact: None }).await
}

/// Calls one contact.
#[utoipa::path(
    post, path = "/api/v1/notices/contacts/{contact}/test", tag = "operator",
    params(("contact" = String, Path, description = "Short name of the contact")), request_body = By,
    responses(
        (status = 200, description = "Called; the list says whether it was reached", body = Done),
        (status = 404, description = "No such contact", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn test(
    State(app): State<App>,
    Asked(contact, Nothing {}): Asked<String, Nothing>,
    Json(body): Json<By>,
) -> Result<Response, ApiError> {
    let contact = Some(checked_id(&app, contact)?);
    command(&app, &body.by, Command::TestCall { contact }).await
}

/// Lets every light of the signal towers and their buzzers go for a moment.
#[utoipa::path(
    post, path = "/api/v1/notices/lamp-test", tag = "operator", request_body = By,
    responses((status = 200, description = "They burn for ten seconds", body = Done), NotCarriedOut)
)]
async fn lamp_test(State(app): State<App>, Json(body): Json<By>) -> Result<Response, ApiError> {
    command(&app, &body.by, Command::LampTest).await
}
