//! ServiceNow: the Table API on `sys_user`.

use serde_json::{Value, json};

use super::{Answer, CREDENTIAL, Request, State, by_id, id, only, set, text, undescribed, who, words};

pub(super) fn answer(request: &Request, state: &mut State) -> Answer {
    use base64::Engine as _;
    let error =
        |message: &str, detail: &str| json!({"error": {"message": message, "detail": detail}, "status": "failure"});
    let expected = base64::engine::general_purpose::STANDARD.encode(format!("passline:{CREDENTIAL}"));
    if request.header("authorization") != format!("Basic {expected}") {
        return Ok((
            401,
            error("User Not Authenticated", "Required to provide Auth information"),
        ));
    }
    let flag = |is: bool| if is { "true" } else { "false" };
    match (request.method.as_str(), words(&request.path).as_slice()) {
        ("GET", ["api", "now", "table", "sys_user"]) => {
            let query = request.query.get("sysparm_query").cloned().unwrap_or_default();
            let name = query.strip_prefix("user_name=").ok_or(format!("the query {query}"))?;
            if name.contains('^') {
                return Err("another condition in a name".to_owned());
            }
            let fields = "sys_id,user_name,active,locked_out,password_needs_reset,internal_integration_user";
            request.asks(&[
                ("sysparm_query", &query),
                ("sysparm_fields", fields),
                ("sysparm_limit", "2"),
            ])?;
            let found = who(state, name).map(|name| {
                let person = &state.people[&name];
                json!({"sys_id": id(&name), "user_name": name, "active": flag(!person.disabled), "locked_out": flag(person.locked),
                       "password_needs_reset": flag(person.must_change), "internal_integration_user": flag(person.apart)})
            });
            Ok((200, json!({"result": found.into_iter().collect::<Vec<_>>()})))
        }
        ("PATCH", ["api", "now", "table", "sys_user", user]) => {
            let Some(name) = by_id(state, user) else {
                return Ok((
                    404,
                    error(
                        "No Record found",
                        "Record doesn't exist or ACL restricts the record retrieval",
                    ),
                ));
            };
            if state.without_rights {
                let text = "ACL Exception Update Failed due to security constraints";
                return Ok((403, error("Operation Failed", text)));
            }
            let body = request.json()?;
            let drops = state.drops_fields;
            let is = |value: &Value| value == "true" || value == true;
            if body.get("user_password").is_some() {
                only(&body, &["user_password", "password_needs_reset", "locked_out"])?;
                request.asks(&[
                    ("sysparm_input_display_value", "true"),
                    ("sysparm_fields", "sys_id,password_needs_reset"),
                ])?;
                if !drops {
                    let password = text(&body, "/user_password")?;
                    set(state, &name, &password, is(&body["password_needs_reset"]));
                    state.people.get_mut(&name).expect("somebody").locked = is(&body["locked_out"]);
                }
            } else {
                let person = state.people.get_mut(&name).expect("somebody");
                let object = body.as_object().ok_or("no object")?;
                for (field, value) in object {
                    match field.as_str() {
                        "password_needs_reset" => person.must_change = is(value),
                        "locked_out" => person.locked = is(value),
                        "active" => person.disabled = !is(value),
                        _ => return Err(format!("the field {field}")),
                    }
                }
            }
            let must_change = flag(state.people[&name].must_change);
            Ok((
                200,
                json!({"result": {"sys_id": id(&name), "password_needs_reset": must_change}}),
            ))
        }
        _ => undescribed(request),
    }
}
