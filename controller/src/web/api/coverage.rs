//! How much of a month was watched, and why the rest was not.

use super::super::App;
use super::super::guard::{Asked, Json};
use super::super::link::Question;
use super::{Done, MAX_ID, MAX_MS, MAX_REASON, NotCarriedOut, ask, command, json, malformed, plain};
use crate::link::Command;
use crate::web::error::{ApiError, ErrorBody};
use axum::extract::State;
use axum::response::Response;
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use room::coverage::Report;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(coverage))
        .routes(routes!(explain))
}

/// Which month.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Month {
    /// `2026-11`, a month of Japan's time.
    #[param(min_length = 7, max_length = 7)]
    month: String,
}

/// What a person knows about a gap.
#[derive(Debug, Deserialize, ToSchema)]
struct Knowledge {
    /// Name of the person, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    by: String,
    /// From when it holds, milliseconds since 1970 UTC.
    from_ms: i64,
    /// Until when.
    to_ms: i64,
    /// A point or device; left out for all.
    #[serde(default)]
    source: Option<String>,
    /// What happened, 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    text: String,
}

/// How much of a month was watched, with every gap and its reason.
#[utoipa::path(
    get, path = "/api/v1/coverage", tag = "room", params(Month),
    responses(
        (status = 200, description = "The month until now", body = Report),
        (status = 422, description = "Malformed", body = ErrorBody),
        (status = 503, description = "Core does not answer, or makes another report", body = ErrorBody),
    )
)]
async fn coverage(
    State(app): State<App>,
    Asked((), Month { month }): Asked<(), Month>,
) -> Result<Response, ApiError> {
    let (from_ms, to_ms) = bounds(&month).ok_or_else(|| {
        malformed(
            &app,
            "月は 2026-11 の形で指定してください。",
            "Give a month like 2026-11.",
        )
    })?;
    ask(&app, Question::Coverage { from_ms, to_ms }).await.map(json)
}

/// Writes down why something was not watched.
#[utoipa::path(
    post, path = "/api/v1/coverage/explanations", tag = "operator", request_body = Knowledge,
    responses(
        (status = 200, description = "Done", body = Done),
        (status = 404, description = "No such point or device", body = ErrorBody),
        NotCarriedOut,
    )
)]
async fn explain(State(app): State<App>, Json(body): Json<Knowledge>) -> Result<Response, ApiError> {
    let text = plain(&body.text, MAX_REASON);
    let source = body.source.as_deref().map(|source| plain(source, MAX_ID));
    let possible = (0..=MAX_MS).contains(&body.from_ms) && (body.from_ms + 1..=MAX_MS).contains(&body.to_ms);
    let (Some(text), true, false) = (text, possible, source == Some(None)) else {
        return Err(malformed(
            &app,
            "期間(from_ms < to_ms)と、200文字以内の説明を入力してください。",
            "Give a span (from_ms < to_ms) and a text of 1 to 200 characters.",
        ));
    };
    let order = Command::ExplainGap {
        from_ms: body.from_ms,
        to_ms: body.to_ms,
        source: source.flatten(),
        text,
    };
    command(&app, &body.by, order).await
}

/// Begin and end of a month of Japan's time.
fn bounds(month: &str) -> Option<(i64, i64)> {
    let first: Date = format!("{month}-01").parse().ok()?;
    let zone = TimeZone::get("Asia/Tokyo").ok()?;
    let begin = |date: Date| Some(date.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond());
    let (from, to) = (begin(first)?, begin(first.checked_add(1.month()).ok()?)?);
    (month.len() == 7 && from >= 0).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_at_midnight_in_japan() {
        assert_eq!(bounds("2026-11"), Some((1_793_458_800_000, 1_796_050_800_000)));
        for wrong in ["2026-13", "2026-1", "11-2026", "", "2026-11-01", "1969-01"] {
            assert_eq!(bounds(wrong), None, "{wrong}");
        }
    }
}
