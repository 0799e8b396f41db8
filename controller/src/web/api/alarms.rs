//! What a person does with alarms beyond taking them, and maintenance windows.

use super::{By, Done, MAX_REASON, NotCarriedOut, Nothing, checked_id, command, malformed, plain};
use crate::link::Command;
use crate::web::App;
use crate::web::error::{ApiError, ErrorBody};
use crate::web::guard::{Asked, Json};
use axum::extract::State;
use axum::response::Response;
use room::alarm::MAX_OUT_OF_SERVICE_MINUTES;
use room::catalog;
use room::maintenance::{MAX_SCOPE, MAX_WINDOW_MINUTES};
use room::site::{Label, Priority};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Longest number of a work order, in characters.
const MAX_WORK_ORDER: usize = 64;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(kinds))
        .routes(routes!(take))
        .routes(routes!(unshelve))
        .routes(routes!(out_of_service))
        .routes(routes!(in_service))
        .routes(routes!(start))
        .routes(routes!(end))
}

/// A kind of alarm and what it says.
#[derive(Debug, Serialize, ToSchema)]
struct KindRow {
    /// Its word.
    kind: catalog::Kind,
    /// What it is about.
    class: catalog::Class,
    /// Its usual priority.
    priority: Priority,
    /// A person must reset it.
    latching: bool,
    /// What happened.
    what: Label,
    /// What usually leads to it.
    cause: Label,
    /// What comes if nobody acts.
    consequence: Label,
    /// What to do.
    action: Label,
    /// Time to act.
    respond_within_s: u64,
    /// Whose work it is.
    responder: catalog::Owner,
    /// One of the 36 that every room is promised.
    shipped: bool,
}

/// Taking an alarm out of service.
#[derive(Debug, Deserialize, ToSchema)]
struct OutOfService {
    /// Name of the person, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    by: String,
    /// For how long, 1 to 43200 minutes: 30 days.
    #[schema(minimum = 1, maximum = 43_200)]
    minutes: u32,
    /// Why, 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
}

/// A maintenance window.
#[derive(Debug, Deserialize, ToSchema)]
struct Window {
    /// Name of the person, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    by: String,
    /// For how long at most, 1 to 1440 minutes; it then ends by itself.
    #[schema(minimum = 1, maximum = 1440)]
    minutes: u32,
    /// Why, 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
    /// Number of the work order.
    #[serde(default)]
    work_order: Option<String>,
    /// What is worked on: `node:NAME`, `device:NAME`, `point:ID`; alarms of water and fire only by
    /// `alarm:ID`.
    #[schema(min_items = 1, max_items = 200)]
    scope: Vec<String>,
}

/// The end of a maintenance window.
#[derive(Debug, Deserialize, ToSchema)]
struct Ending {
    /// Name of the person, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    by: String,
    /// What came of the work, 1 to 200 characters; without it an alarm stands until it is given.
    #[serde(default)]
    result: Option<String>,
}

/// Every kind of alarm with its advice.
#[utoipa::path(
    get, path = "/api/v1/alarm-kinds", tag = "room",
    responses((status = 200, description = "In the order of the manual", body = [KindRow]))
)]
async fn kinds() -> axum::Json<Vec<KindRow>> {
    let row = |kind: catalog::Kind| {
        let advice = kind.advice();
        KindRow {
            kind,
            class: advice.class,
            priority: advice.priority,
            latching: advice.latching,
            what: advice.what.label(),
            cause: advice.cause.label(),
            consequence: advice.consequence.label(),
            action: advice.action.label(),
            respond_within_s: advice.respond_within.0 / 1000,
            responder: advice.owner,
            shipped: catalog::SHIPPED.contains(&kind),
        }
    };
    axum::Json(catalog::Kind::ALL.into_iter().map(row).collect())
}

/// Takes an alarm over from whoever has it.
#[utoipa::path(
    post, path = "/api/v1/alarms/{id}/take", tag = "operator",
    params(("id" = String, Path, description = "Alarm id")), request_body = By,
    responses(
        (status = 200, description = "Done", body = Done),
        (status = 404, description = "No such alarm", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn take(
    State(app): State<App>,
    Asked(id, Nothing {}): Asked<String, Nothing>,
    Json(body): Json<By>,
) -> Result<Response, ApiError> {
    let alarm = checked_id(&app, id)?;
    command(&app, &body.by, Command::Take { alarm }).await
}

/// Ends a shelf before its time.
#[utoipa::path(
    post, path = "/api/v1/alarms/{id}/unshelve", tag = "operator",
    params(("id" = String, Path, description = "Alarm id")), request_body = By,
    responses(
        (status = 200, description = "Done", body = Done),
        (status = 404, description = "No such alarm", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn unshelve(
    State(app): State<App>,
    Asked(id, Nothing {}): Asked<String, Nothing>,
    Json(body): Json<By>,
) -> Result<Response, ApiError> {
    let alarm = checked_id(&app, id)?;
    command(&app, &body.by, Command::Unshelve { alarm }).await
}

/// Takes an alarm out of service for a stated time and reason.
#[utoipa::path(
    post, path = "/api/v1/alarms/{id}/out-of-service", tag = "operator",
    params(("id" = String, Path, description = "Alarm id")), request_body = OutOfService,
    responses(
        (status = 200, description = "Done", body = Done),
        (status = 404, description = "No such alarm", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn out_of_service(
    State(app): State<App>,
    Asked(id, Nothing {}): Asked<String, Nothing>,
    Json(body): Json<OutOfService>,
) -> Result<Response, ApiError> {
    let alarm = checked_id(&app, id)?;
    if !(1..=MAX_OUT_OF_SERVICE_MINUTES).contains(&body.minutes) {
        return Err(malformed(
            &app,
            "使用停止は1分から43200分(30日)までです。",
            "An alarm is out of service for 1 to 43200 minutes (30 days).",
        ));
    }
    let reason = said(&app, &body.reason)?;
    let minutes = body.minutes;
    let order = Command::OutOfService {
        alarm,
        minutes,
        reason,
    };
    command(&app, &body.by, order).await
}

/// Puts an alarm back into service.
#[utoipa::path(
    post, path = "/api/v1/alarms/{id}/in-service", tag = "operator",
    params(("id" = String, Path, description = "Alarm id")), request_body = By,
    responses(
        (status = 200, description = "Done", body = Done),
        (status = 404, description = "No such alarm", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn in_service(
    State(app): State<App>,
    Asked(id, Nothing {}): Asked<String, Nothing>,
    Json(body): Json<By>,
) -> Result<Response, ApiError> {
    let alarm = checked_id(&app, id)?;
    command(&app, &body.by, Command::InService { alarm }).await
}

/// Opens a maintenance window: the alarms of its scope are suppressed until it ends. The picture
/// lists the windows with their numbers.
#[utoipa::path(
    post, path = "/api/v1/maintenance", tag = "operator", request_body = Window,
    responses(
        (status = 200, description = "Done", body = Done),
        (status = 404, description = "A thing of its scope is not there", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn start(State(app): State<App>, Json(body): Json<Window>) -> Result<Response, ApiError> {
    if !(1..=MAX_WINDOW_MINUTES).contains(&body.minutes) {
        return Err(malformed(
            &app,
            "作業時間は1分から1440分(24時間)までです。",
            "A maintenance window lasts 1 to 1440 minutes (24 hours).",
        ));
    }
    if body.scope.is_empty() || body.scope.len() > MAX_SCOPE {
        return Err(malformed(
            &app,
            "作業の対象(scope)を1件から200件までで指定してください。",
            "Name 1 to 200 things that are worked on (scope).",
        ));
    }
    let scope = body.scope.into_iter().map(|name| checked_id(&app, name));
    let scope = scope.collect::<Result<Vec<String>, ApiError>>()?;
    let reason = said(&app, &body.reason)?;
    let work_order = match body
        .work_order
        .as_deref()
        .filter(|order| !order.trim().is_empty())
    {
        Some(order) => Some(plain(order, MAX_WORK_ORDER).ok_or_else(|| {
            malformed(
                &app,
                "作業票の番号は64文字以内で入力してください。",
                "The number of a work order has at most 64 characters.",
            )
        })?),
        None => None,
    };
    let order = Command::StartMaintenance {
        minutes: body.minutes,
        reason,
        work_order,
        scope,
    };
    command(&app, &body.by, order).await
}

/// Ends a maintenance window, records what came of the work, or both.
#[utoipa::path(
    post, path = "/api/v1/maintenance/{window}/end", tag = "operator",
    params(("window" = u32, Path, description = "Number of the window")), request_body = Ending,
    responses(
        (status = 200, description = "Done", body = Done),
        (status = 404, description = "No such window", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn end(
    State(app): State<App>,
    Asked(window, Nothing {}): Asked<u32, Nothing>,
    Json(body): Json<Ending>,
) -> Result<Response, ApiError> {
    let result = body.result.as_deref().map(|text| said(&app, text)).transpose()?;
    command(&app, &body.by, Command::EndMaintenance { window, result }).await
}

/// A reason or a result.
fn said(app: &App, text: &str) -> Result<String, ApiError> {
    plain(text, MAX_REASON).ok_or_else(|| {
        malformed(
            app,
            "理由または結果を200文字以内で入力してください。",
            "Give a reason or result of 1 to 200 characters.",
        )
    })
}
