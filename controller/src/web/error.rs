//! Errors of the API: what the user can do about it, in both languages. Details stay in the log.

use super::link::AskError;
use crate::link::Refused;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use room::site::Label;
use std::borrow::Cow;
use utoipa::ToSchema;

/// Body of every error.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What the user can do, in Japanese.
    pub error: String,
    /// The same in English.
    pub error_en: String,
}

/// An answer that is not 2xx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// Status code.
    pub status: StatusCode,
    ja: Cow<'static, str>,
    en: Cow<'static, str>,
}

impl ApiError {
    /// An error with fixed texts.
    #[must_use]
    pub const fn new(status: StatusCode, ja: &'static str, en: &'static str) -> Self {
        Self {
            status,
            ja: Cow::Borrowed(ja),
            en: Cow::Borrowed(en),
        }
    }

    /// 422: the request says something that cannot be.
    #[must_use]
    pub const fn invalid(ja: &'static str, en: &'static str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, ja, en)
    }

    /// 404 for a path that does not exist.
    #[must_use]
    pub const fn no_such_path() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "このアドレスはありません。/api/openapi.json に一覧があります。",
            "There is no such address; /api/openapi.json lists them.",
        )
    }

    /// 503: core does not answer.
    #[must_use]
    pub const fn away() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "監視の中核(core)が応答していません。表示は更新されません。続くときは監視装置を確認してください。",
            "The core role does not answer, so nothing here is current. If it lasts, look at the controller.",
        )
    }

    fn refused(status: StatusCode, ja: &str, en: &str, detail: &Label) -> Self {
        if detail.en.trim().is_empty() {
            return Self {
                status,
                ja: ja.to_owned().into(),
                en: en.to_owned().into(),
            };
        }
        Self {
            status,
            ja: format!("{ja}({})", detail.ja.trim()).into(),
            en: format!("{en} ({})", detail.en.trim()).into(),
        }
    }
}

impl From<AskError> for ApiError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Away => Self::away(),
            AskError::TimedOut => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "監視の中核(core)から時間内に返事がありません。画面で結果を確かめてから、もう一度操作してください。",
                "The core role did not answer in time. See on the page whether it took effect, then try again.",
            ),
            AskError::Busy => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "操作が混み合っています。少し待ってからもう一度操作してください。",
                "Too many requests are waiting. Try again in a moment.",
            ),
            AskError::Refused(Refused::NotFound(why)) => Self::refused(
                StatusCode::NOT_FOUND,
                "対象が見つかりません。画面の表示を確かめてください。",
                "There is no such thing. Look at the page again.",
                &why,
            ),
            AskError::Refused(Refused::Conflict(why)) => Self::refused(
                StatusCode::CONFLICT,
                "今の状態ではこの操作はできません。",
                "Not possible in the present state.",
                &why,
            ),
            AskError::Refused(Refused::Invalid(why)) => Self::refused(
                StatusCode::UNPROCESSABLE_ENTITY,
                "入力を確かめてください。",
                "Check what was entered.",
                &why,
            ),
            AskError::Refused(Refused::Unavailable(why)) => Self::refused(
                StatusCode::SERVICE_UNAVAILABLE,
                "記録を書き込めないため、操作を受け付けられません。ディスクを確認してください。",
                "The journal cannot be written, so nothing was changed. Look at the disk.",
                &Label::new(why.clone(), why),
            ),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            error: self.ja.into_owned(),
            error_en: self.en.into_owned(),
        };
        (self.status, axum::Json(body)).into_response()
    }
}
