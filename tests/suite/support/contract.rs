//! A server that keeps to the documented contracts of the APIs in `targets/`, strictly: a request that they do not describe is
//! a violation, which the test reads at its end. No vendor's code; what each answers is from their documents.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

/// What happens to the next request that changes something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trouble {
    /// The connection is cut before the effect.
    DiesBefore,
    /// The connection is cut after it.
    DiesAfter,
    /// Nothing happens, and this is the status.
    Answers(u16),
    /// It happens, and this is the status.
    HappensAndAnswers(u16),
}

/// Somebody with a password.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) password: String,
    pub(crate) must_change: bool,
    pub(crate) disabled: bool,
    pub(crate) locked: bool,
    /// Whom the API tells to leave alone: an administrator, somebody from another directory.
    pub(crate) apart: bool,
    /// Counts changes of the password.
    pub(crate) changes: u32,
}

#[derive(Default)]
struct State {
    people: BTreeMap<String, Person>,
    tokens: HashSet<String>,
    tokens_given: usize,
    requests: Vec<String>,
    violations: Vec<String>,
    trouble: Option<Trouble>,
    /// Answers 403 to changes.
    without_rights: bool,
    /// Does as if it had changed what it has not.
    drops_fields: bool,
}

/// What Passline keeps for it.
pub(crate) const CREDENTIAL: &str = "kept-for-tests-1";

/// The server of one API.
pub(crate) struct Contract {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct Request {
    method: String,
    path: Vec<String>,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// A status and a body; `None` cuts the connection.
type Reply = Option<(u16, Value)>;
type Answer = Result<(u16, Value), String>;

impl Contract {
    pub(crate) fn of(api: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(api, stream, &state));
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn person(&self, name: &str, password: &str) {
        let person = Person {
            password: password.to_owned(),
            must_change: false,
            disabled: false,
            locked: false,
            apart: false,
            changes: 0,
        };
        self.state().people.insert(name.to_owned(), person);
    }

    pub(crate) fn change(&self, name: &str, change: impl FnOnce(&mut Person)) {
        change(self.state().people.get_mut(name).expect("somebody"));
    }

    pub(crate) fn shows(&self, name: &str) -> Person {
        self.state().people[name].clone()
    }

    pub(crate) fn trouble(&self, trouble: Trouble) {
        self.state().trouble = Some(trouble);
    }

    pub(crate) fn take_rights(&self) {
        self.state().without_rights = true;
    }

    pub(crate) fn drop_fields(&self) {
        self.state().drops_fields = true;
    }

    /// Every token is good no more.
    pub(crate) fn withdraw_tokens(&self) {
        self.state().tokens.clear();
    }

    pub(crate) fn tokens_given(&self) -> usize {
        self.state().tokens_given
    }

    /// The requests that came, as `GET /users`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " "))
        .decode_utf8_lossy()
        .into_owned()
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

impl Request {
    fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split_whitespace();
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim().split_once(':') else {
                break;
            };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let length = headers
            .get("content-length")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        Some(Self {
            method,
            path: path
                .split('/')
                .skip(1)
                .map(|s| percent_decode_str(s).decode_utf8_lossy().into_owned())
                .collect(),
            query: pairs(query),
            headers,
            body,
        })
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn form(&self) -> Result<BTreeMap<String, String>, String> {
        self.is_of("application/x-www-form-urlencoded")?;
        Ok(pairs(&String::from_utf8_lossy(&self.body)))
    }

    fn is_of(&self, kind: &str) -> Result<(), String> {
        let found = self.header("content-type");
        (found == kind)
            .then_some(())
            .ok_or(format!("a body of {found:?}, not {kind}"))
    }

    fn json(&self) -> Result<Value, String> {
        self.is_of("application/json")?;
        serde_json::from_slice(&self.body).map_err(|error| error.to_string())
    }

    /// Exactly this query.
    fn asks(&self, wanted: &[(&str, &str)]) -> Result<(), String> {
        let wanted: BTreeMap<String, String> = wanted.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        (self.query == wanted)
            .then_some(())
            .ok_or(format!("the query {:?}, not {wanted:?}", self.query))
    }
}

fn serve(api: &str, mut stream: TcpStream, state: &Mutex<State>) {
    let Some(request) = Request::read(&mut stream) else {
        return;
    };
    let reply = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state
            .requests
            .push(format!("{} /{}", request.method, request.path.join("/")));
        answer(api, &request, &mut state)
    };
    let Some((status, body)) = reply else { return };
    let text = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let location = if (300..400).contains(&status) {
        "Location: https://192.0.2.1/\r\n"
    } else {
        ""
    };
    let _ = write!(
        stream,
        "HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\n{location}Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
}

fn answer(api: &str, request: &Request, state: &mut State) -> Reply {
    let changes = request.method != "GET" && !is_sign_in(request);
    let trouble = if changes { state.trouble.take() } else { None };
    match trouble {
        Some(Trouble::DiesBefore) => return None,
        Some(Trouble::Answers(status)) => return Some((status, Value::Null)),
        Some(Trouble::DiesAfter | Trouble::HappensAndAnswers(_)) | None => {}
    }
    let answered = match api {
        "keycloak" => keycloak(request, state),
        "entra" => entra(request, state),
        "okta" => okta(request, state),
        "google" => google(request, state),
        "servicenow" => servicenow(request, state),
        "scim" => scim(request, state),
        other => Err(format!("{other} is no API")),
    };
    let answered = answered.unwrap_or_else(|violation| {
        let line = format!("{} /{}: {violation}", request.method, request.path.join("/"));
        state.violations.push(line);
        (400, json!({"violation": violation}))
    });
    match trouble {
        Some(Trouble::DiesAfter) => None,
        Some(Trouble::HappensAndAnswers(status)) => Some((status, Value::Null)),
        _ => Some(answered),
    }
}

fn is_sign_in(request: &Request) -> bool {
    let last = request.path.last().map_or("", String::as_str);
    matches!(last, "token" | "authn")
}

fn words(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

impl State {
    fn token(&mut self) -> (u16, Value) {
        self.tokens_given += 1;
        let token = format!("token-{}", self.tokens_given);
        self.tokens.insert(token.clone());
        (
            200,
            json!({"access_token": token, "expires_in": 300, "token_type": "Bearer"}),
        )
    }

    fn is_signed_in(&self, request: &Request) -> bool {
        let token = request.header("authorization").strip_prefix("Bearer ");
        token.is_some_and(|token| self.tokens.contains(token))
    }

    fn is_right(&self, name: &str, password: &str) -> bool {
        self.people.get(name).is_some_and(|person| person.password == password)
    }
}

/// The one name that is meant, whatever its case.
fn who(state: &State, name: &str) -> Option<String> {
    state
        .people
        .keys()
        .find(|known| known.to_lowercase() == name.to_lowercase())
        .cloned()
}

fn id(name: &str) -> String {
    format!("id-{}", name.replace(['@', '.'], "-"))
}

fn by_id(state: &State, wanted: &str) -> Option<String> {
    state.people.keys().find(|name| id(name) == wanted).cloned()
}

/// Too short for everybody's rules.
fn breaks_rules(password: &str) -> bool {
    password.len() < 8
}

fn set(state: &mut State, name: &str, password: &str, must_change: bool) {
    let person = state.people.get_mut(name).expect("somebody");
    person.password = password.to_owned();
    person.must_change = must_change;
    person.changes += 1;
}

fn text(value: &Value, pointer: &str) -> Result<String, String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found
        .map(str::to_owned)
        .ok_or(format!("{value} has no text at {pointer}"))
}

/// `value` has these members and no other.
fn only(value: &Value, members: &[&str]) -> Result<(), String> {
    let object = value.as_object().ok_or("a body that is no object")?;
    let found: HashSet<&str> = object.keys().map(String::as_str).collect();
    let wanted: HashSet<&str> = members.iter().copied().collect();
    (found == wanted)
        .then_some(())
        .ok_or(format!("members {found:?}, not {wanted:?}"))
}

fn undescribed(request: &Request) -> Answer {
    Err(format!("{} is not described", request.method))
}

fn keycloak(request: &Request, state: &mut State) -> Answer {
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

fn entra(request: &Request, state: &mut State) -> Answer {
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

fn okta(request: &Request, state: &mut State) -> Answer {
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

fn google(request: &Request, state: &mut State) -> Answer {
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
            super::jwt::check(statement, "passline", "admin@example.com", &aud)?;
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

fn servicenow(request: &Request, state: &mut State) -> Answer {
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

fn scim(request: &Request, state: &mut State) -> Answer {
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
