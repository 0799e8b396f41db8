//! Limits: what they are, what another value would have done, and changes with their history.

use super::{Done, MAX_REASON, NotCarriedOut, Nothing, ask, checked_id, command, json, malformed, plain};
use crate::link::{Command, LimitQuestion};
use crate::web::App;
use crate::web::error::{ApiError, ErrorBody};
use crate::web::guard::{Asked, Json};
use crate::web::link::Question;
use axum::extract::State;
use axum::response::Response;
use room::limits::{Change, MAX_PREVIEW_DAYS};
use room::site::Priority;
use room::snapshot::{Limit, LimitChange, LimitPreview};
use room::time::Millis;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Longest delay that is taken at all, in seconds; the engine's own limit is lower.
const MAX_DELAY_S: f64 = 86_400.0;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(limits))
        .routes(routes!(change))
        .routes(routes!(preview))
        .routes(routes!(limit_history))
}

/// Values that are to be otherwise; what is left out stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
struct Wanted {
    /// Raise beyond this value, in the point's unit.
    limit: Option<f64>,
    /// Return only when this far inside again.
    deadband: Option<f64>,
    /// Must hold so long before it is raised, in seconds, up to an hour.
    on_delay_s: Option<f64>,
    /// Must be back so long before it returns, in seconds, up to an hour.
    off_delay_s: Option<f64>,
    /// Priority.
    priority: Option<Priority>,
}

/// A change of a limit.
#[derive(Debug, Deserialize, ToSchema)]
struct Ordered {
    /// Name of the person, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    by: String,
    /// Why, 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
    /// What is to be otherwise.
    change: Wanted,
}

/// A question what a limit would have done.
#[derive(Debug, Deserialize, ToSchema)]
struct Tried {
    /// How many days back, 1 to 90.
    #[schema(minimum = 1, maximum = 90)]
    #[serde(default = "default_days")]
    days: u32,
    /// What would be otherwise.
    #[serde(default)]
    change: Wanted,
}

const fn default_days() -> u32 {
    30
}

impl Wanted {
    fn checked(&self, app: &App) -> Result<Change, ApiError> {
        let delay = |seconds: Option<f64>| match seconds {
            None => Ok(None),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked to lie between 0 and a day"
            )]
            Some(seconds) if (0.0..=MAX_DELAY_S).contains(&seconds) => {
                Ok(Some(Millis((seconds * 1000.0).round() as u64)))
            }
            Some(_) => Err(malformed(
                app,
                "遅延は 0 秒から 3600 秒までです。",
                "A delay is 0 to 3600 seconds.",
            )),
        };
        Ok(Change {
            limit: self.limit,
            deadband: self.deadband,
            on_delay: delay(self.on_delay_s)?,
            off_delay: delay(self.off_delay_s)?,
            priority: self.priority,
        })
    }
}

/// Every limit as it is now, with what the site's file says.
#[utoipa::path(
    get, path = "/api/v1/limits", tag = "room",
    responses(
        (status = 200, description = "In the order of the site's file", body = [Limit]),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn limits(State(app): State<App>) -> Result<Response, ApiError> {
    ask(&app, Question::Limits(LimitQuestion::All)).await.map(json)
}

/// Changes a limit. The change holds at once and over restarts, until the site's file says something
/// else there than it does now. It is journaled with who, why, before and after.
#[utoipa::path(
    post, path = "/api/v1/limits/{id}", tag = "operator",
    params(("id" = String, Path, description = "Alarm id of the limit")), request_body = Ordered,
    responses(
        (status = 200, description = "Done", body = Done),
        (status = 404, description = "No such limit", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn change(
    State(app): State<App>,
    Asked(id, Nothing {}): Asked<String, Nothing>,
    Json(body): Json<Ordered>,
) -> Result<Response, ApiError> {
    let limit = checked_id(&app, id)?;
    let reason = plain(&body.reason, MAX_REASON).ok_or_else(|| {
        malformed(
            &app,
            "変更の理由を200文字以内で入力してください。",
            "Give a reason of 1 to 200 characters.",
        )
    })?;
    let change = body.change.checked(&app)?;
    let order = Command::ChangeLimit {
        limit,
        change,
        reason,
    };
    command(&app, &body.by, order).await
}

/// What a limit would have done in the last days with other values, beside what it did with its own.
/// It reads the history and changes nothing.
#[utoipa::path(
    post, path = "/api/v1/limits/{id}/preview", tag = "room",
    params(("id" = String, Path, description = "Alarm id of the limit")), request_body = Tried,
    responses(
        (status = 200, description = "How often, how long, the last ones", body = LimitPreview),
        (status = 404, description = "No such limit", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn preview(
    State(app): State<App>,
    Asked(id, Nothing {}): Asked<String, Nothing>,
    Json(body): Json<Tried>,
) -> Result<Response, ApiError> {
    let limit = checked_id(&app, id)?;
    if !(1..=MAX_PREVIEW_DAYS).contains(&body.days) {
        return Err(malformed(
            &app,
            "期間は 1 日から 90 日までです。",
            "A preview looks 1 to 90 days back.",
        ));
    }
    let question = LimitQuestion::Preview {
        limit,
        change: body.change.checked(&app)?,
        days: body.days,
    };
    ask(&app, Question::Limits(question)).await.map(json)
}

/// The last changes of a limit, newest first; all of them are in the journal.
#[utoipa::path(
    get, path = "/api/v1/limits/{id}/history", tag = "room",
    params(("id" = String, Path, description = "Alarm id of the limit")),
    responses(
        (status = 200, description = "At most fifty changes", body = [LimitChange]),
        (status = 404, description = "No such limit", body = ErrorBody),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn limit_history(
    State(app): State<App>,
    Asked(id, Nothing {}): Asked<String, Nothing>,
) -> Result<Response, ApiError> {
    let limit = checked_id(&app, id)?;
    ask(&app, Question::Limits(LimitQuestion::History { limit }))
        .await
        .map(json)
}
