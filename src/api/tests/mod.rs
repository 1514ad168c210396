//! The calls of the API as they are on the wire, in JSON and SOAP, with real services behind them.

mod orders;

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;

use super::calls::{Calls, Settings};
use super::limiter::Limiter;
use super::log::Log;
use super::{json, soap};
use crate::call::Labels;
use crate::rate::Rate;
use crate::service::ApiPeer;
use crate::service::tests::House;
use crate::speech::Speech;
use crate::speech::cache::{self, Cache};
use crate::speech::synthesizer::Engines;
use crate::time::monotonic;
use crate::xml::{self, Element};

/// How a call is written.
#[derive(Clone, Copy, Debug)]
enum Form {
    Json,
    Soap11,
    Soap12,
}

/// The API of a house.
struct Api {
    router: TowerToHyperService<Router>,
}

/// What a call gives.
enum Given {
    Json(Value),
    Soap(Element),
}

impl Api {
    async fn of(house: &House) -> Self {
        let prompts = Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts");
        let cache = Cache::open(&cache::Config::default()).unwrap();
        let (speech, _) = Speech::load(&prompts, Engines::none(), cache).await.unwrap();
        let no_limit = Rate {
            per_second: 1_000_000,
            burst: 1_000_000,
        };
        let settings = Settings {
            limit: Duration::from_secs(60),
            turn: Duration::from_secs(60),
            ..Settings::new("en-US".parse().unwrap())
        };
        let limiter = Limiter::new(no_limit, no_limit, monotonic());
        let calls = Calls::new(house.services.clone(), speech, Labels::default(), limiter, settings);
        let router = json::router(calls.clone(), Log::default()).merge(soap::router(calls, Log::default(), None));
        Self {
            router: TowerToHyperService::new(router),
        }
    }

    /// What a call from this address gives, or the kind of the fault that it ends with. Members are written in this order.
    async fn call(
        &self,
        form: Form,
        (from, token): (&str, Option<&str>),
        name: &str,
        members: &[(&str, Value)],
    ) -> Result<Given, String> {
        let request = match form {
            Form::Json => json_request(token, name, members),
            Form::Soap11 => soap_request("http://schemas.xmlsoap.org/soap/envelope/", token, name, members),
            Form::Soap12 => soap_request("http://www.w3.org/2003/05/soap-envelope", token, name, members),
        };
        let mut request = request.unwrap();
        request.extensions_mut().insert(ApiPeer {
            address: from.parse().unwrap(),
            certificate: None,
        });
        let response = self.router.call(request).await.unwrap();
        let is_good = response.status().is_success();
        let body = to_bytes(response.into_body(), 1024 * 1024).await.unwrap();
        if matches!(form, Form::Json) {
            let body: Value = serde_json::from_slice(&body).unwrap();
            let kind = body["type"]
                .as_str()
                .and_then(|kind| kind.strip_prefix("urn:passline:problem:"));
            return match (is_good, kind) {
                (true, None) => Ok(Given::Json(body)),
                (false, Some(kind)) => Err(kind.to_owned()),
                _ => panic!("{name}: {body}"),
            };
        }
        let limits = xml::Limits {
            bytes: 1024 * 1024,
            depth: 32,
            elements: 10_000,
            attributes: 16,
        };
        let mut envelope = xml::read(&body, &limits).unwrap();
        let mut body = envelope.children.pop().unwrap();
        let answer = body.children.pop().unwrap();
        if is_good {
            assert_eq!(answer.name, format!("{name}Response"));
            return Ok(Given::Soap(answer));
        }
        let mut kinds = Vec::new();
        find(&answer, "type", &mut kinds);
        Err(kinds.pop().expect("a fault has a type"))
    }
}

impl Given {
    /// Every text at the end of this path; lists are passed through.
    fn texts(&self, path: &[&str]) -> Vec<String> {
        match self {
            Self::Json(value) => json_texts(value, path),
            Self::Soap(element) => soap_texts(element, path),
        }
    }

    /// The one text at the end of this path.
    fn text(&self, path: &[&str]) -> String {
        let mut texts = self.texts(path);
        assert_eq!(texts.len(), 1, "{path:?}");
        texts.remove(0)
    }
}

fn json_request(token: Option<&str>, name: &str, members: &[(&str, Value)]) -> axum::http::Result<Request<Body>> {
    let body: serde_json::Map<String, Value> = members
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    let request = Request::post(format!("/api/v1/{name}")).header(header::CONTENT_TYPE, "application/json");
    let request = match token {
        Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
        None => request,
    };
    request.body(Value::Object(body).to_string().into())
}

fn soap_request(
    envelope: &str,
    token: Option<&str>,
    name: &str,
    members: &[(&str, Value)],
) -> axum::http::Result<Request<Body>> {
    let token = token.map(|token| ("sessionId", Value::from(token)));
    let members: String = token
        .iter()
        .chain(members)
        .map(|(name, value)| written(name, value))
        .collect();
    let body = format!(
        "<e:Envelope xmlns:e=\"{envelope}\"><e:Body><{name} xmlns=\"{}\">{members}</{name}></e:Body></e:Envelope>",
        soap::NAMESPACE
    );
    Request::post(soap::PATH)
        .header(header::CONTENT_TYPE, "text/xml; charset=utf-8")
        .body(body.into())
}

/// A member as elements: a list as so many of one name.
fn written(name: &str, value: &Value) -> String {
    let content = match value {
        Value::Array(items) => return items.iter().map(|item| written(name, item)).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| written(name, value)).collect(),
        Value::String(text) => text.replace('&', "&amp;").replace('<', "&lt;"),
        other => other.to_string(),
    };
    format!("<{name}>{content}</{name}>")
}

fn json_texts(value: &Value, path: &[&str]) -> Vec<String> {
    match (value, path) {
        (Value::Array(items), _) => items.iter().flat_map(|item| json_texts(item, path)).collect(),
        (Value::Object(members), [first, rest @ ..]) => {
            let member = members.get(*first);
            member.map(|member| json_texts(member, rest)).unwrap_or_default()
        }
        (Value::String(text), []) => vec![text.clone()],
        _ => Vec::new(),
    }
}

fn soap_texts(element: &Element, path: &[&str]) -> Vec<String> {
    let [first, rest @ ..] = path else {
        return vec![element.text.trim().to_owned()];
    };
    let children = element.children.iter().filter(|child| child.name == *first);
    children.flat_map(|child| soap_texts(child, rest)).collect()
}

fn find(element: &Element, name: &str, found: &mut Vec<String>) {
    if element.name == name {
        found.push(element.text.trim().to_owned());
    }
    for child in &element.children {
        find(child, name, found);
    }
}
