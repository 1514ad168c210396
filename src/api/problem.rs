//! What went wrong, as a body (RFC 9457): the one shape of every error that leaves over HTTP.
//!
//! Clients tell problems apart by `type`, which stays; `title` and `detail` are for people and may change. Nothing of
//! the inside is in any of them.
//!
//! ```text
//! HTTP/1.1 413 Content Too Large
//! content-type: application/problem+json
//!
//! {"type":"urn:passline:problem:body-too-large","title":"The body is too large","status":413,"detail":"..."}
//! ```

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The media type (RFC 9457, section 6.1).
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// One answer that tells a problem.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    status: StatusCode,
    slug: &'static str,
    title: &'static str,
    detail: Option<Cow<'static, str>>,
}

impl Problem {
    /// A problem of the type `urn:passline:problem:<slug>`. The same slug always has the same title.
    #[must_use]
    pub const fn new(status: StatusCode, slug: &'static str, title: &'static str) -> Self {
        Self {
            status,
            slug,
            title,
            detail: None,
        }
    }

    /// Says what about this request it is, and what would be right.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The status that it is answered with.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The last part of its type.
    #[must_use]
    pub const fn slug(&self) -> &'static str {
        self.slug
    }
}

/// Members of the object (RFC 9457, section 3.1).
#[derive(Serialize)]
struct Members<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl Problem {
    /// The object that it is as JSON.
    pub(super) fn members(&self) -> impl Serialize + '_ {
        Members {
            r#type: format!("urn:passline:problem:{}", self.slug),
            title: self.title,
            status: self.status.as_u16(),
            detail: self.detail.as_deref(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let members = self.members();
        // Texts and a number always become JSON; were it not so, the status alone would tell enough.
        let body = serde_json::to_vec(&members).map_or_else(|_| Body::empty(), Body::from);
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, MEDIA_TYPE);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(problem: Problem) -> String {
        let response = problem.into_response();
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let bytes = axum::body::to_bytes(response.into_body(), 4_096).await.expect("a body");
        String::from_utf8(bytes.to_vec()).expect("UTF-8")
    }

    #[tokio::test]
    async fn members_are_those_of_rfc_9457() {
        let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large");
        assert_eq!(problem.status(), 413);
        assert_eq!(
            body(problem.clone()).await,
            r#"{"type":"urn:passline:problem:body-too-large","title":"The body is too large","status":413}"#
        );
        assert_eq!(
            body(problem.detail("say \"less\"")).await,
            r#"{"type":"urn:passline:problem:body-too-large","title":"The body is too large","status":413,"detail":"say \"less\""}"#
        );
    }
}
