//! A server that keeps to the documented contracts of the APIs in `targets/`, strictly: a request that they do not describe is
//! a violation, which the test reads at its end. No vendor's code; what each answers is from their documents.

mod entra;
mod google;
mod keycloak;
mod okta;
mod scim;
mod servicenow;

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
        "keycloak" => keycloak::answer(request, state),
        "entra" => entra::answer(request, state),
        "okta" => okta::answer(request, state),
        "google" => google::answer(request, state),
        "servicenow" => servicenow::answer(request, state),
        "scim" => scim::answer(request, state),
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
