//! Okta: users, their lifecycle and credentials.

use serde_json::json;

use super::{
    Answer, CREDENTIAL, Person, Request, State, breaks_rules, by_id, id, only, set, text, undescribed, who, words,
};

pub(super) fn answer(request: &Request, state: &mut State) -> Answer {
    let error = |code: &str, summary: &str, cause: &str| {
        json!({"errorCode": code, "errorSummary": summary, "errorLink": code, "errorId": "oae1",
               "errorCauses": if cause.is_empty() { json!([]) } else { json!([{"errorSummary": cause}]) }})
    };
    let status = |person: &Person| match person {
        Person { disabled: true, .. } => "SUSPENDED",
        Person { locked: true, .. } => "LOCKED_OUT",
        Person { must_change: true, .. } => "PASSWORD_EXPIRED",
        _ => "ACTIVE",
    };
    let entry = |name: &str, person: &Person| {
        let provider = if person.apart { "ACTIVE_DIRECTORY" } else { "OKTA" };
        json!({"id": id(name), "status": status(person), "passwordChanged": format!("2026-11-30T00:00:{:02}.000Z", person.changes),
               "profile": {"login": name, "email": name}, "credentials": {"password": {}, "provider": {"type": provider, "name": provider}}})
    };
    let path = words(&request.path);
    if let ("POST", ["api", "v1", "authn"]) = (request.method.as_str(), path.as_slice()) {
        if !request.header("authorization").is_empty() {
            return Err("a token in a public request".to_owned());
        }
        let body = request.json()?;
        only(&body, &["username", "password"])?;
        let name = text(&body, "/username")?;
        let right = state.is_right(&name, &text(&body, "/password")?);
        return Ok(match state.people.get(&name) {
            Some(person) if right && !person.locked && !person.disabled => {
                let status = if person.must_change {
                    "PASSWORD_EXPIRED"
                } else {
                    "SUCCESS"
                };
                (200, json!({"status": status}))
            }
            _ => (401, error("E0000004", "Authentication failed", "")),
        });
    }
    if request.header("authorization") != format!("SSWS {CREDENTIAL}") {
        return Ok((401, error("E0000011", "Invalid token provided", "")));
    }
    let ["api", "v1", "users", user, rest @ ..] = path.as_slice() else {
        return undescribed(request);
    };
    // A short name finds somebody too.
    let short = || {
        let mut found = state.people.keys().filter(|name| name.split('@').next() == Some(user));
        found.next().cloned()
    };
    let Some(name) = who(state, user).or_else(|| by_id(state, user)).or_else(short) else {
        return Ok((404, error("E0000007", "Not found: Resource not found (User)", "")));
    };
    if state.without_rights && request.method != "GET" {
        let text = "You do not have permission to perform the requested action";
        return Ok((403, error("E0000006", text, "")));
    }
    let person = state.people.get_mut(&name).expect("somebody");
    match (request.method.as_str(), rest) {
        ("GET", []) => Ok((200, entry(&name, person))),
        ("POST", []) => {
            let body = request.json()?;
            only(&body, &["credentials"])?;
            let password = text(&body, "/credentials/password/value")?;
            if breaks_rules(&password) {
                let cause =
                    "password: Password requirements were not met. Password requirements: at least 8 characters.";
                return Ok((400, error("E0000001", "Api validation failed: password", cause)));
            }
            person.locked = false;
            set(state, &name, &password, false);
            Ok((200, entry(&name, &state.people[&name])))
        }
        ("POST", ["lifecycle", "unlock"]) if !person.locked => {
            let text = "This operation is not allowed in the user's current status.";
            Ok((403, error("E0000038", text, "")))
        }
        ("POST", ["lifecycle", what]) => {
            match *what {
                "unlock" => person.locked = false,
                "expire_password" => person.must_change = true,
                "suspend" => person.disabled = true,
                "unsuspend" => person.disabled = false,
                _ => return undescribed(request),
            }
            Ok((200, json!({})))
        }
        _ => undescribed(request),
    }
}
