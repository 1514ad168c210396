//! Requests as JSON. What is wrong with one is told by its place, never by what was in it: it may be an answer or a
//! password.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header;
use serde::de::DeserializeOwned;
use zeroize::Zeroize as _;

use crate::api::calls::{Fault, FaultKind};
use crate::api::mistake;

/// The longest request: a hundred handles, nine answers of 64 keys, a password.
pub(super) const MAX_BYTES: usize = 16 * 1024;

/// Reads a request.
pub(super) async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Fault> {
    if !is_json(&request) {
        return Err(Fault::with(
            FaultKind::UnsupportedMediaType,
            "give an object with `content-type: application/json`",
        ));
    }
    let bytes = to_bytes(Body::new(request.into_body()), MAX_BYTES)
        .await
        .map_err(|error| {
            match std::error::Error::source(&error)
                .is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
            {
                true => Fault::with(
                    FaultKind::BodyTooLarge,
                    format!("a request has at most {MAX_BYTES} bytes"),
                ),
                false => Fault::with(FaultKind::InvalidRequest, "the body did not arrive whole"),
            }
        })?;
    let parsed = parse(&bytes);
    // As far as the buffer is ours alone.
    if let Ok(mut bytes) = bytes.try_into_mut() {
        bytes.zeroize();
    }
    parsed
}

fn is_json(request: &Request) -> bool {
    let value = request.headers().get(header::CONTENT_TYPE);
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = text.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    // A list of its members would be read as well.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Fault::with(
            FaultKind::InvalidRequest,
            "the request should be an object",
        ));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut deserializer);
    let parsed = parsed.map_err(|error| {
        // A null where a name should be is told like what is no JSON at all.
        let is_json = || serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
        match error.inner().classify() {
            serde_json::error::Category::Syntax if is_json() => mistake::told(
                &error.path().to_string(),
                "it is of another type; leave it out to say nothing",
                Some((error.inner().line(), error.inner().column())),
            ),
            _ => told(&error.path().to_string(), error.inner()),
        }
    })?;
    deserializer.end().map_err(|error| told(".", &error))?;
    Ok(parsed)
}

fn told(path: &str, error: &serde_json::Error) -> Fault {
    let place = Some((error.line(), error.column()));
    match error.classify() {
        serde_json::error::Category::Data => mistake::told(path, &error.to_string(), place),
        _ => mistake::told(path, mistake::NOT_JSON, place),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::api::calls::types::{AudioFormat, Handle, Keys};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read by serde alone")]
    struct Example {
        digits: Keys,
        list: Vec<Keys>,
        audio: Option<AudioFormat>,
        user: Option<Handle>,
    }

    fn detail(text: &str) -> String {
        let fault = parse::<Example>(text.as_bytes()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidRequest);
        fault.detail.unwrap().into_owned()
    }

    #[test]
    fn mistakes_are_told_by_their_place_and_without_their_text() {
        for (text, expected) in [
            ("{\"digits\":\"1234", "`digits` is not JSON"),
            ("[4711]", "the request should be an object"),
            ("{\"digits\":4711,\"list\":[]}", "`digits` should be a string"),
            (
                "{\"digits\":\"4711x\",\"list\":[]}",
                "`digits` is wrong: keys are 0 to 9",
            ),
            (
                "{\"digits\":\"1\",\"list\":[\"1\",\"4711-\"]}",
                "`list[1]` is wrong: keys are",
            ),
            ("{\"digits\":\"1\"}", "the request has a missing field `list`"),
            (
                "{\"digits\":\"1\",\"list\":[],\"4711\":1}",
                "name that is not known; expected one of",
            ),
            (
                "{\"digits\":\"1\",\"list\":[],\"audio\":\"4711\"}",
                "name that is not known; expected one of `none`",
            ),
            (
                "{\"digits\":\"1\",\"digits\":\"4711\",\"list\":[]}",
                "duplicate field `digits`",
            ),
            ("{\"digits\":\"1\",\"list\":[]} 4711", "the request is not JSON"),
            (
                "{\"digits\":\"1\",\"list\":[],\"user\":\"4711\"}",
                "a handle has 32 digits",
            ),
        ] {
            let detail = detail(text);
            assert!(detail.contains(expected), "{text}: {detail}");
            assert!(!detail.contains("4711"), "{text}: {detail}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_repeated(secret in "[a-z]{12}", which in 0..4) {
            let text = match which {
                0 => format!("{{\"digits\":\"{secret}\",\"list\":[]}}"),
                1 => format!("\"{secret}\""),
                2 => format!("{{\"digits\":\"1\",\"list\":\"{secret}\"}}"),
                _ => format!("{{\"digits\":{{\"{secret}\":1}},\"list\":[]}}"),
            };
            let detail = detail(&text);
            prop_assert!(!detail.contains(&secret), "{}", detail);
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse::<Example>(&bytes);
        }
    }
}
