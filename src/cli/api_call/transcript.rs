//! What went and what came, for people or for machines.
//!
//! ```text
//! # UserIVRList: Lists everybody whose ID the digits are
//! > POST /api/v1/UserIVRList
//! > host: ivr-reset.example.com:8443
//! > authorization: Bearer [secret]
//! {
//!   "digits": "[secret]"
//! }
//! < 200 in 0.021 s, over TLS 1.3 from 192.0.2.10:8443
//! < content-type: application/json
//! {
//!   "users": [...]
//! }
//! ```

use serde_json::json;

use super::super::output;
use crate::api::calls::Call;
use crate::api::client::shown::{self, Members, PROBLEM, Secrets, Shown, shape_of};
use crate::api::client::{Answer, Client, Value};
use crate::api::json;

/// For whom it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// People.
    Text,
    /// Machines: a JSON object a line.
    Json,
}

/// What was shown so far, and what must not be.
pub(super) struct Transcript {
    form: Form,
    secrets: Secrets,
}

impl Transcript {
    pub(super) fn new(form: Form) -> Self {
        Self {
            form,
            secrets: Secrets::default(),
        }
    }

    /// A request is about to be sent.
    pub(super) fn sends<C: Call>(&mut self, client: &Client, body: &Value) {
        let members = shape_of(C::NAME).request;
        self.secrets.learn(body, members);
        if self.form == Form::Json {
            return;
        }
        output::line(format_args!("# {}: {}", C::NAME, C::SUMMARY));
        output::line(format_args!("> POST {}", json::path_of::<C>()));
        for (name, value) in client.shown_headers() {
            output::line(format_args!("> {name}: {value}"));
        }
        output::line(pretty(&self.shown(body, members)));
    }

    /// It was answered.
    pub(super) fn hears<C: Call>(&mut self, client: &Client, body: &Value, answer: &Answer) {
        let members = match answer.is_success() {
            true => shape_of(C::NAME).answer,
            false => PROBLEM,
        };
        if let Some(body) = &answer.body {
            self.secrets.learn(body, members);
        }
        let headers = shown::headers(&answer.headers, &self.secrets);
        let shown = answer.body.as_ref().map(|body| self.shown(body, members));
        if self.form == Form::Json {
            let list = |fields: Vec<(&str, String)>| -> serde_json::Map<String, serde_json::Value> {
                fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value.into()))
                    .collect()
            };
            let request = self.shown(body, shape_of(C::NAME).request);
            output::line(json!({
                "call": C::NAME,
                "request": {
                    "method": "POST", "path": json::path_of::<C>(), "headers": list(client.shown_headers()), "body": request,
                },
                "answer": {
                    "status": answer.status, "headers": list(headers), "bytes": answer.size, "body": shown,
                },
                "seconds": answer.took.as_secs_f64(), "tls": answer.tls, "peer": answer.peer.to_string(),
            }));
            return;
        }
        let seconds = answer.took.as_secs_f64();
        let (status, tls, peer) = (answer.status, answer.tls, answer.peer);
        output::line(format_args!("< {status} in {seconds:.3} s, over {tls} from {peer}"));
        for (name, value) in headers {
            output::line(format_args!("< {name}: {value}"));
        }
        match shown {
            Some(shown) => output::line(pretty(&shown)),
            None => output::line(format_args!("({} bytes that are no JSON)", answer.size)),
        }
        output::line("");
    }

    /// A sentence of the server, as it may be shown.
    pub(super) fn sentence(&self, text: &str) -> String {
        self.secrets.sentence(text)
    }

    fn shown(&self, value: &Value, members: Members) -> Shown {
        shown::shown(value, members, &self.secrets)
    }
}

fn pretty(shown: &Shown) -> String {
    // What is shown are texts, numbers and lists: they always become JSON.
    serde_json::to_string_pretty(shown).unwrap_or_default()
}
