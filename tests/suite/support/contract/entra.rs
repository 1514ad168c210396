//! Microsoft Graph, and tokens by the identity platform.

use serde_json::{Value, json};

use super::{Answer, CREDENTIAL, Request, State, breaks_rules, by_id, id, only, set, text, undescribed, who, words};

pub(super) fn answer(request: &Request, state: &mut State) -> Answer {
    let error = |code: &str, message: &str| json!({"error": {"code": code, "message": message, "innerError": {}}});
    match (request.method.as_str(), words(&request.path).as_slice()) {
        ("POST", ["contoso", "oauth2", "v2.0", "token"]) => {
            let form = request.form()?;
            let value = |name: &str| form.get(name).map_or("", String::as_str);
            let denied = |code: u32, text: &str| {
                json!({"error": "invalid_grant", "error_description": format!("AADSTS{code}: {text}\r\nTrace ID: 1"),
                       "error_codes": [code]})
            };
            // The API in this cloud: https://graph.microsoft.com, as a rule.
            let graph = format!("http://{}/.default", request.header("host"));
            match (value("grant_type"), value("scope")) {
                ("client_credentials", scope) if scope == graph && value("client_id") == "passline" => {
                    match value("client_secret") {
                        CREDENTIAL => Ok(state.token()),
                        _ => Ok((401, denied(7_000_215, "Invalid client secret provided."))),
                    }
                }
                ("password", "openid") if value("client_id") == "verifier" => {
                    let name = value("username");
                    let right = state.is_right(name, value("password"));
                    Ok(match state.people.get(name).cloned() {
                        None => (400, denied(50_034, "The user account does not exist.")),
                        Some(person) if person.locked => (400, denied(50_053, "The account is locked.")),
                        Some(_) if !right => (400, denied(50_126, "Invalid username or password.")),
                        Some(person) if person.disabled => (400, denied(50_057, "The user account is disabled.")),
                        Some(person) if person.must_change => (400, denied(50_055, "The password is expired.")),
                        Some(_) => (400, denied(50_076, "You must use multi-factor authentication.")),
                    })
                }
                _ => Err(format!("the form {:?}", form.keys())),
            }
        }
        _ if !state.is_signed_in(request) => Ok((
            401,
            error(
                "InvalidAuthenticationToken",
                "Access token has expired or is not yet valid.",
            ),
        )),
        (method, ["v1.0", "users", user]) => {
            let Some(name) = who(state, user).or_else(|| by_id(state, user)) else {
                return Ok((404, error("Request_ResourceNotFound", "Resource does not exist.")));
            };
            match method {
                "GET" => {
                    request.asks(&[(
                        "$select",
                        "id,userPrincipalName,accountEnabled,lastPasswordChangeDateTime,onPremisesSyncEnabled",
                    )])?;
                    let person = &state.people[&name];
                    let synced = if person.apart { Value::Bool(true) } else { Value::Null };
                    Ok((
                        200,
                        json!({"id": id(&name), "userPrincipalName": name, "accountEnabled": !person.disabled,
                               "lastPasswordChangeDateTime": format!("2026-11-30T00:00:{:02}Z", person.changes),
                               "onPremisesSyncEnabled": synced}),
                    ))
                }
                "PATCH" if state.without_rights => {
                    let text = "Insufficient privileges to complete the operation.";
                    Ok((403, error("Authorization_RequestDenied", text)))
                }
                "PATCH" => {
                    let body = request.json()?;
                    if let Some(enabled) = body.get("accountEnabled") {
                        only(&body, &["accountEnabled"])?;
                        state.people.get_mut(&name).expect("somebody").disabled = enabled == false;
                        return Ok((204, Value::Null));
                    }
                    only(&body, &["passwordProfile"])?;
                    let profile = &body["passwordProfile"];
                    let force = &profile["forceChangePasswordNextSignIn"];
                    let force = force.as_bool().ok_or("forceChangePasswordNextSignIn is no boolean")?;
                    if profile.get("password").is_none() {
                        state.people.get_mut(&name).expect("somebody").must_change = force;
                        return Ok((204, Value::Null));
                    }
                    only(profile, &["password", "forceChangePasswordNextSignIn"])?;
                    let password = text(profile, "/password")?;
                    if breaks_rules(&password) {
                        let text = "The specified password does not comply with password complexity requirements. \
                                    Please provide a different password.";
                        return Ok((400, error("Request_BadRequest", text)));
                    }
                    set(state, &name, &password, force);
                    Ok((204, Value::Null))
                }
                _ => undescribed(request),
            }
        }
        _ => undescribed(request),
    }
}
