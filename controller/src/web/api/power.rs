//! What would be if a feed were lost: asked on a quiet day, answered by core from what it knows.

use super::super::App;
use super::super::guard::Asked;
use super::super::link::Question;
use super::{MAX_ID, Nothing, ask, json, malformed, plain};
use crate::link::OutageQuestion;
use crate::web::error::{ApiError, ErrorBody};
use axum::extract::State;
use axum::response::Response;
use room::outage::WhatIf;
use room::outage::what_if::MAX_LOST;
use room::snapshot::PowerCare;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(what_if))
        .routes(routes!(care))
}

/// What is lost. Read as pairs, since the key comes once for each.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only describes the parameters")]
struct Losing {
    /// A UPS, PDU or ATS, an outlet that feeds a host (`pdu-1/3`), or `mains`; 1 to 16 times.
    #[param(min_items = 1, max_items = 16)]
    lose: Vec<String>,
}

/// Tests, discharges and changes of every UPS's battery, what is due, and what happens by the calendar.
#[utoipa::path(
    get, path = "/api/v1/power/care", tag = "room",
    responses(
        (status = 200, description = "Batteries and schedules", body = PowerCare),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn care(
    State(app): State<App>,
    Asked((), Nothing {}): Asked<(), Nothing>,
) -> Result<Response, ApiError> {
    ask(&app, Question::Outage(OutageQuestion::Care)).await.map(json)
}

/// Who keeps running, who lives how long and who dies if these were lost now, and what the plan
/// would do.
#[utoipa::path(
    get, path = "/api/v1/power/what-if", tag = "room", params(Losing),
    responses(
        (status = 200, description = "What would be", body = WhatIf),
        (status = 422, description = "Malformed, or nothing that can be lost", body = ErrorBody),
        (status = 503, description = "Core does not answer", body = ErrorBody),
    )
)]
async fn what_if(
    State(app): State<App>,
    Asked((), pairs): Asked<(), Vec<(String, String)>>,
) -> Result<Response, ApiError> {
    let names = pairs.iter().map(|(key, name)| {
        let name = plain(name, MAX_ID)?;
        (key == "lose").then_some(name)
    });
    let lose: Option<Vec<String>> = names.collect();
    let lose = lose
        .filter(|lose| (1..=MAX_LOST).contains(&lose.len()))
        .ok_or_else(|| {
            malformed(
                &app,
                "失うものを lose=ups-a のように、1 個以上 16 個まで指定してください。",
                "Name what is lost, like lose=ups-a, 1 to 16 times.",
            )
        })?;
    ask(&app, Question::WhatIf { lose }).await.map(json)
}
