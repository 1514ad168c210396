//! What outside IVRs post: `application/x-www-form-urlencoded`. It holds keys, so it is wiped.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header;
use zeroize::Zeroizing;

use crate::api::calls::{Fault, FaultKind};

/// The longest form: Twilio and FreeSWITCH tell a lot about a call.
const MAX_BYTES: usize = 32 * 1024;

/// The fields of a form, in their order.
#[derive(Default)]
pub(super) struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    /// What is in the body of a request, and in the query of its address.
    ///
    /// # Errors
    /// When the body is too large, or is no form.
    pub(super) async fn read(request: Request) -> Result<(Self, Self), Fault> {
        let query = Self::parse(request.uri().query().unwrap_or_default().as_bytes());
        let value = request.headers().get(header::CONTENT_TYPE);
        let media_type = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_owned();
        let bytes = to_bytes(Body::new(request.into_body()), MAX_BYTES).await;
        let bytes =
            bytes.map_err(|_| Fault::with(FaultKind::BodyTooLarge, format!("a form has at most {MAX_BYTES} bytes")))?;
        if !bytes.is_empty() && !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Fault::with(
                FaultKind::UnsupportedMediaType,
                "give a form with `content-type: application/x-www-form-urlencoded`",
            ));
        }
        let body = Self::parse(&bytes);
        // As far as the buffer is ours alone.
        if let Ok(mut bytes) = bytes.try_into_mut() {
            zeroize::Zeroize::zeroize(&mut *bytes);
        }
        Ok((body, query))
    }

    pub(super) fn parse(bytes: &[u8]) -> Self {
        let fields = form_urlencoded::parse(bytes);
        Self(
            fields
                .map(|(name, value)| (name.into_owned(), Zeroizing::new(value.into_owned())))
                .collect(),
        )
    }

    /// The first field of this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// All fields.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}
