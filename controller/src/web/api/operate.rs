//! Telling a device what the site allows.

use super::{Done, NotCarriedOut, checked_id, command, malformed, plain};
use crate::link::Command;
use crate::web::App;
use crate::web::error::{ApiError, ErrorBody};
use crate::web::guard::{Asked, Json};
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

/// What a device is told.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Order {
    /// Name of the person, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    by: String,
    /// Name of the command, as in `commands` of the device's section, e.g. `test.battery.start`.
    #[schema(min_length = 1, max_length = 64)]
    command: String,
    /// Its parameter, where it has one.
    #[serde(default)]
    value: Option<i64>,
}

/// Tells a device what its section of the site file allows. What switches power is refused: that is
/// a step of a plan. The answer says that it is under way; the picture's `operations` show what
/// became of it.
#[utoipa::path(
    post, path = "/api/v1/devices/{name}/commands", tag = "operator",
    params(("name" = String, Path, description = "Short name of the device")), request_body = Order,
    responses(
        (status = 200, description = "It is under way; the picture shows what becomes of it", body = Done),
        (status = 404, description = "No such device", body = ErrorBody),
        NotCarriedOut,
    )
)]
pub(super) async fn tell_device(
    State(app): State<App>,
    Asked(device, super::Nothing {}): Asked<String, super::Nothing>,
    Json(body): Json<Order>,
) -> Result<Response, ApiError> {
    let device = checked_id(&app, device)?;
    let name = plain(&body.command, super::MAX_NAME).ok_or_else(|| {
        malformed(
            &app,
            "命令の名前(command)を64文字以内で入力してください。",
            "Give the name of the command, 1 to 64 characters.",
        )
    })?;
    let value = body.value;
    let order = Command::Device {
        device,
        command: name,
        value,
    };
    command(&app, &body.by, order).await
}
