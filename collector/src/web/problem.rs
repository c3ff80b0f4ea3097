//! What is said when nothing is done: RFC 9457, in two languages, with what to do next.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use tracing::warn;

use crate::derive::DeriveError;
use crate::log_store::StoreError;

/// The kinds there are; their words never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Kind {
    NotSignedIn,
    WrongCredentials,
    TooManyAttempts,
    CrossSite,
    NotAllowed,
    NotFound,
    NotPossible,
    Malformed,
    ReasonNeeded,
    TooLarge,
    TooSlow,
    Busy,
    Deriving,
    Broken,
}

pub(in crate::web) struct Words {
    word: &'static str,
    pub(in crate::web) status: StatusCode,
    pub(in crate::web) title: &'static str,
    pub(in crate::web) title_zh: &'static str,
    pub(in crate::web) next: &'static str,
    pub(in crate::web) next_zh: &'static str,
}

impl Kind {
    pub(in crate::web) const ALL: [Self; 14] = [
        Self::NotSignedIn,
        Self::WrongCredentials,
        Self::TooManyAttempts,
        Self::CrossSite,
        Self::NotAllowed,
        Self::NotFound,
        Self::NotPossible,
        Self::Malformed,
        Self::ReasonNeeded,
        Self::TooLarge,
        Self::TooSlow,
        Self::Busy,
        Self::Deriving,
        Self::Broken,
    ];

    pub(in crate::web) fn word(self) -> &'static str {
        self.words().word
    }

    pub(in crate::web) fn words(self) -> Words {
        let (word, status, title, title_zh, next, next_zh) = match self {
            Self::NotSignedIn => (
                "not-signed-in",
                StatusCode::UNAUTHORIZED,
                "Nobody is signed in",
                "尚未登录",
                "Sign in with POST /api/v1/session, or send an API token in the Authorization header.",
                "请先登录，或在 Authorization 头中携带 API 令牌。",
            ),
            Self::WrongCredentials => (
                "wrong-credentials",
                StatusCode::UNAUTHORIZED,
                "Name, password or one-time code is wrong",
                "用户名、密码或动态码有误",
                "Try again with a new one-time code; if it is lost, another administrator resets it (operator reset).",
                "请用新的动态码重试；遗失时请其他管理员重置（operator reset）。",
            ),
            Self::TooManyAttempts => (
                "too-many-attempts",
                StatusCode::TOO_MANY_REQUESTS,
                "Too many attempts",
                "尝试次数过多",
                "Wait as long as Retry-After says. A browser you signed in with before does not wait for strangers.",
                "请等待 Retry-After 所示的时间后再试。曾登录过的浏览器不受他人尝试影响。",
            ),
            Self::CrossSite => (
                "cross-site",
                StatusCode::FORBIDDEN,
                "The request came from another site",
                "请求来自其他站点",
                "Send it from the console itself, with the header X-Watchpost: 1; scripts use an API token.",
                "请从控制台本身发出请求并带上 X-Watchpost: 1 头；脚本请使用 API 令牌。",
            ),
            Self::NotAllowed => (
                "not-allowed",
                StatusCode::FORBIDDEN,
                "Your role does not include this",
                "您的角色无权进行此操作",
                "Ask an administrator for it, or use a token with this scope.",
                "请联系管理员授权，或使用具有该权限的令牌。",
            ),
            Self::NotFound => (
                "not-found",
                StatusCode::NOT_FOUND,
                "There is nothing like that for you",
                "未找到，或不在您的范围内",
                "Check the id; what is outside your departments and sites is not shown.",
                "请核对编号；不在您部门与站点范围内的内容不会显示。",
            ),
            Self::NotPossible => (
                "not-possible",
                StatusCode::CONFLICT,
                "This cannot be done as things stand",
                "当前状态下无法执行",
                "Read the detail; look again at how things stand, then decide anew.",
                "请查看详细说明，刷新后再决定。",
            ),
            Self::Malformed => (
                "malformed",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The request cannot be understood",
                "请求格式有误",
                "Compare it with /api/v1/openapi.json.",
                "请对照 /api/v1/openapi.json 检查。",
            ),
            Self::ReasonNeeded => (
                "reason-needed",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Say why you need to see this",
                "请说明查看理由",
                "Ask again with ?reason=…; it goes into the audit trail. For alerts assigned to you none is needed.",
                "请带上 ?reason=… 重试，理由会写入审计记录；分派给您的告警无需理由。",
            ),
            Self::TooLarge => (
                "too-large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "The request is too large",
                "请求过大",
                "Send at most 64 KiB at a time.",
                "每次请求不超过 64 KiB。",
            ),
            Self::TooSlow => (
                "too-slow",
                StatusCode::REQUEST_TIMEOUT,
                "The request took too long to arrive",
                "请求传输超时",
                "Check the line, then try again.",
                "请检查网络后重试。",
            ),
            Self::Busy => (
                "busy",
                StatusCode::SERVICE_UNAVAILABLE,
                "The collector is busy",
                "采集端繁忙",
                "Nothing was done, or it shows shortly; look again in a few seconds.",
                "请几秒后刷新查看。",
            ),
            Self::Deriving => (
                "deriving",
                StatusCode::SERVICE_UNAVAILABLE,
                "Everything is being derived anew",
                "正在重新生成视图",
                "Wait and ask again; the log is complete.",
                "请稍候再试；日志完整无缺。",
            ),
            Self::Broken => (
                "broken",
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something is wrong with the collector",
                "采集端出现故障",
                "Look into the collector's log lines, and run log verify.",
                "请查看采集端日志，并运行 log verify。",
            ),
        };
        Words { word, status, title, title_zh, next, next_zh }
    }
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) struct Problem {
    pub(in crate::web) kind: Kind,
    detail: String,
    retry_s: Option<i64>,
}

/// As it is sent.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(in crate::web) struct Sent {
    /// `urn:watchpost:problem:` and a word that never changes.
    r#type: String,
    /// In English.
    title: &'static str,
    /// In Chinese.
    title_zh: &'static str,
    /// The status of the answer.
    status: u16,
    /// What is particular about this one; may be missing.
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    /// What to do next.
    next: &'static str,
    /// The same in Chinese.
    next_zh: &'static str,
}

impl Problem {
    pub(in crate::web) fn new(kind: Kind) -> Self {
        Self { kind, detail: String::new(), retry_s: None }
    }

    /// What is particular about this one; may be empty.
    pub(in crate::web) fn detail(&self) -> &str {
        &self.detail
    }

    pub(in crate::web) fn because(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    pub(in crate::web) fn after_ms(self, wait_ms: i64) -> Self {
        Self { retry_s: Some(wait_ms.saturating_add(999) / 1000), ..self }
    }

    pub(in crate::web) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Kind::Malformed).because(detail)
    }

    /// What nobody outside has to know is told in the log lines alone.
    pub(in crate::web) fn broken(error: &dyn std::fmt::Display) -> Self {
        warn!(error = %error, "request not answered");
        Self::new(Kind::Broken)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::new(Kind::Busy),
            other => Self::broken(&other),
        }
    }
}

impl From<DeriveError> for Problem {
    fn from(error: DeriveError) -> Self {
        match error {
            DeriveError::Anew { .. } | DeriveError::Missing(_) => Self::new(Kind::Deriving),
            other => Self::broken(&other),
        }
    }
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        DeriveError::from(error).into()
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        Self::broken(&format!("{error:#}"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Words { word, status, title, title_zh, next, next_zh } = self.kind.words();
        let sent = Sent {
            r#type: format!("urn:watchpost:problem:{word}"),
            title,
            title_zh,
            status: status.as_u16(),
            detail: self.detail,
            next,
            next_zh,
        };
        let body = serde_json::to_vec(&sent).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if let Some(wait) = self.retry_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
        }
        if self.kind == Kind::NotSignedIn {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_word_of_its_own_and_says_what_to_do() {
        let words: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.word()).collect();
        assert_eq!(words.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            let words = kind.words();
            assert!(!words.next.is_empty() && !words.next_zh.is_empty() && !words.title_zh.is_ascii(), "{kind:?}");
            assert!(words.status.is_client_error() || words.status.is_server_error());
        }
    }
}
