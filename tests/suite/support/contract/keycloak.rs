//! Keycloak: its admin REST API, and tokens by OpenID Connect.

use serde_json::{Value, json};

use super::{Answer, CREDENTIAL, Request, State, breaks_rules, by_id, id, only, set, text, undescribed, who, words};

pub(super) fn answer(request: &Request, state: &mut State) -> Answer {
    let denied = |error: &str, text: &str| json!({"error": error, "error_description": text});
    match (request.method.as_str(), words(&request.path).as_slice()) {
        ("POST", ["realms", "staff", "protocol", "openid-connect", "token"]) => {
            let form = request.form()?;
            let value = |name: &str| form.get(name).map_or("", String::as_str);
            match value("grant_type") {
                "client_credentials" if value("client_id") == "passline" && value("client_secret") == CREDENTIAL => {
                    Ok(state.token())
                }
                "client_credentials" => {
                    let text = "Invalid client or Invalid client credentials";
                    Ok((401, denied("unauthorized_client", text)))
                }
                "password" if value("client_id") == "verifier" => {
                    let name = value("username");
                    let person = state.people.get(name).cloned();
                    let wrong = denied("invalid_grant", "Invalid user credentials");
                    Ok(match person {
                        Some(person) if person.locked => (400, wrong),
                        Some(person) if person.disabled => (400, denied("invalid_grant", "Account disabled")),
                        _ if !state.is_right(name, value("password")) => (400, wrong),
                        Some(person) if person.must_change => {
                            (400, denied("invalid_grant", "Account is not fully set up"))
                        }
                        _ => state.token(),
                    })
                }
                _ => Err(format!("the form {form:?}")),
            }
        }
        _ if !state.is_signed_in(request) => Ok((401, json!({"error": "HTTP 401 Unauthorized"}))),
        ("GET", ["admin", "realms", "staff", "users"]) => {
            let name = request.query.get("username").cloned().unwrap_or_default();
            request.asks(&[("username", &name), ("exact", "true"), ("briefRepresentation", "false")])?;
            let found = who(state, &name).map(|name| {
                let person = &state.people[&name];
                let actions = if person.must_change {
                    vec!["UPDATE_PASSWORD"]
                } else {
                    vec![]
                };
                json!({"id": id(&name), "username": name, "enabled": !person.disabled, "requiredActions": actions})
            });
            Ok((200, Value::Array(found.into_iter().collect())))
        }
        (method, ["admin", "realms", "staff", rest @ ..]) => {
            let (user, what) = match rest {
                ["users", user] => (user, ""),
                ["users", user, what] => (user, *what),
                ["attack-detection", "brute-force", "users", user] => (user, "lock"),
                _ => return undescribed(request),
            };
            let Some(name) = by_id(state, user) else {
                return Ok((404, json!({"error": "User not found"})));
            };
            if state.without_rights && method != "GET" {
                return Ok((403, json!({"error": "HTTP 403 Forbidden"})));
            }
            match (method, what) {
                ("GET", "lock") => Ok((200, json!({"disabled": state.people[&name].locked, "numFailures": 0}))),
                ("DELETE", "lock") => {
                    state.people.get_mut(&name).expect("somebody").locked = false;
                    Ok((204, Value::Null))
                }
                ("PUT", "reset-password") => {
                    let body = request.json()?;
                    only(&body, &["type", "value", "temporary"])?;
                    let temporary = body["temporary"].as_bool().ok_or("`temporary` is no boolean")?;
                    let password = text(&body, "/value")?;
                    if breaks_rules(&password) {
                        let text = "Invalid password: minimum length 8.";
                        return Ok((400, denied("invalidPasswordMinLengthMessage", text)));
                    }
                    set(state, &name, &password, temporary);
                    Ok((204, Value::Null))
                }
                ("PUT", "") => {
                    let body = request.json()?;
                    let person = state.people.get_mut(&name).expect("somebody");
                    match (&body["requiredActions"], &body["enabled"]) {
                        (Value::Array(actions), Value::Null) => person.must_change = actions == &["UPDATE_PASSWORD"],
                        (Value::Null, Value::Bool(enabled)) => person.disabled = !enabled,
                        _ => return Err(format!("the body {body}")),
                    }
                    Ok((204, Value::Null))
                }
                _ => undescribed(request),
            }
        }
        _ => undescribed(request),
    }
}
