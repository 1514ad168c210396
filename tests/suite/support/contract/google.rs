//! Google Workspace: the Directory API, and tokens for a service account that speaks for an administrator.

use serde_json::json;

use super::super::jwt;
use super::{Answer, Person, Request, State, breaks_rules, by_id, id, only, set, text, undescribed, who, words};

pub(super) fn answer(request: &Request, state: &mut State) -> Answer {
    let error = |code: u16, reason: &str, message: &str| {
        json!({"error": {"code": code, "message": message,
                         "errors": [{"message": message, "domain": "global", "reason": reason}]}})
    };
    match (request.method.as_str(), words(&request.path).as_slice()) {
        ("POST", ["token"]) => {
            let form = request.form()?;
            let statement = form.get("assertion").ok_or("no assertion")?;
            if form.get("grant_type").map(String::as_str) != Some("urn:ietf:params:oauth:grant-type:jwt-bearer") {
                return Err(format!("the grant {:?}", form.get("grant_type")));
            }
            let aud = format!("http://{}/token", request.header("host"));
            jwt::check(statement, "passline", "admin@example.com", &aud)?;
            Ok(state.token())
        }
        _ if !state.is_signed_in(request) => Ok((401, error(401, "authError", "Invalid Credentials"))),
        (method, ["admin", "directory", "v1", "users", user]) => {
            let Some(name) = who(state, user).or_else(|| by_id(state, user)) else {
                return Ok((404, error(404, "notFound", "Resource Not Found: userKey")));
            };
            let person = state.people.get_mut(&name).expect("somebody");
            let entry = |name: &str, person: &Person| {
                json!({"id": id(name), "primaryEmail": name, "suspended": person.disabled, "isAdmin": person.apart,
                       "changePasswordAtNextLogin": person.must_change})
            };
            match method {
                "GET" => Ok((200, entry(&name, person))),
                "PUT" if state.without_rights => {
                    let text = "Not Authorized to access this resource/api";
                    Ok((403, error(403, "forbidden", text)))
                }
                "PUT" => {
                    let body = request.json()?;
                    if let Some(suspended) = body.get("suspended") {
                        only(&body, &["suspended"])?;
                        person.disabled = suspended == true;
                    } else if body.get("password").is_some() {
                        only(&body, &["password", "changePasswordAtNextLogin"])?;
                        let password = text(&body, "/password")?;
                        let change = body["changePasswordAtNextLogin"].as_bool().ok_or("no boolean")?;
                        if breaks_rules(&password) {
                            return Ok((400, error(400, "invalid", "Invalid Password")));
                        }
                        set(state, &name, &password, change);
                    } else {
                        only(&body, &["changePasswordAtNextLogin"])?;
                        person.must_change = body["changePasswordAtNextLogin"] == true;
                    }
                    Ok((200, entry(&name, &state.people[&name])))
                }
                _ => undescribed(request),
            }
        }
        _ => undescribed(request),
    }
}
