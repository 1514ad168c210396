//! SCIM 2.0 (RFC 7643, RFC 7644).

use serde_json::{Value, json};

use super::{Answer, CREDENTIAL, Request, State, breaks_rules, by_id, id, only, set, text, undescribed, who, words};

pub(super) fn answer(request: &Request, state: &mut State) -> Answer {
    let error = |status: u16, kind: &str, detail: &str| {
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": status.to_string(), "scimType": kind,
               "detail": detail})
    };
    if request.header("authorization") != format!("Bearer {CREDENTIAL}") {
        return Ok((401, Value::Null));
    }
    if request.header("accept") != "application/scim+json" {
        return Err(format!("accepts {:?}", request.header("accept")));
    }
    match (request.method.as_str(), words(&request.path).as_slice()) {
        ("GET", ["Users"]) => {
            let filter = request.query.get("filter").cloned().unwrap_or_default();
            let literal = filter
                .strip_prefix("userName eq ")
                .ok_or(format!("the filter {filter}"))?;
            let name: String = serde_json::from_str(literal).map_err(|error| format!("{literal}: {error}"))?;
            let found: Vec<Value> = who(state, &name)
                .map(|name| json!({"id": id(&name), "userName": name, "active": !state.people[&name].disabled}))
                .into_iter()
                .collect();
            let mut list =
                json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "totalResults": found.len()});
            if !found.is_empty() {
                list["Resources"] = Value::Array(found);
            }
            Ok((200, list))
        }
        ("PATCH", ["Users", user]) => {
            let Some(name) = by_id(state, user) else {
                return Ok((404, error(404, "", "Resource not found")));
            };
            if state.without_rights {
                return Ok((403, error(403, "", "Forbidden")));
            }
            request.is_of("application/scim+json")?;
            let body: Value = serde_json::from_slice(&request.body).map_err(|error| error.to_string())?;
            only(&body, &["schemas", "Operations"])?;
            if body["schemas"] != json!(["urn:ietf:params:scim:api:messages:2.0:PatchOp"]) {
                return Err(format!("the schemas {}", body["schemas"]));
            }
            let operation = &body["Operations"][0];
            only(operation, &["op", "path", "value"])?;
            match (text(operation, "/op")?.as_str(), text(operation, "/path")?.as_str()) {
                ("replace", "password") => {
                    let password = text(operation, "/value")?;
                    if breaks_rules(&password) {
                        return Ok((400, error(400, "invalidValue", "The password is too short")));
                    }
                    set(state, &name, &password, false);
                }
                ("replace", "active") => {
                    let active = operation["value"].as_bool().ok_or("no boolean")?;
                    state.people.get_mut(&name).expect("somebody").disabled = !active;
                }
                _ => return Err(format!("the operation {operation}")),
            }
            Ok((204, Value::Null))
        }
        _ => undescribed(request),
    }
}
