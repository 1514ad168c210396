//! The web API from outside: the real program, HTTPS, and a client that knows only what the description says.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use passline::integration::target::Verdict;
use reqwest::header::HeaderValue;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::support::certificate;
use crate::support::server::{House, Server, Settings};
use crate::support::{PATIENCE, block_on, wait_for};

pub(crate) const SECTION: &str = "\n[api]\nlisten = \"127.0.0.1:0\"\ncertificate = \"api.pem\"\nkey = \"api-key.pem\"\n\
                       client_ca = \"ca.pem\"\n";

/// A house with an API, and an API user `ivr`.
pub(crate) struct Outside {
    // Before its folder, which it writes to.
    pub(crate) server: Server,
    pub(crate) house: House,
    password: String,
}

impl Outside {
    pub(crate) fn new(settings: &Settings<'_>) -> Self {
        Self::with(settings, &[], |_| {})
    }

    /// The API user has these options; `prepare` may put more into the folder.
    pub(crate) fn with(settings: &Settings<'_>, options: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let configuration = format!("{SECTION}{}", settings.configuration);
        let house = House::new(&Settings {
            configuration: &configuration,
            ..settings.clone()
        });
        certificate::make(house.path());
        let password = add_user(&house, "ivr", options);
        prepare(house.path());
        let server = house.serve();
        Self {
            house,
            server,
            password,
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.server, self.house.path(), None)
    }

    /// One that comes by another port.
    pub(crate) fn client_at(&self, port: u16) -> Client {
        Client::at(port, self.house.path(), None)
    }

    /// Where it is reached.
    pub(crate) fn base(&self) -> String {
        let port = self.server.api.expect("an API").port();
        format!("https://localhost:{port}")
    }

    /// That of the API user `ivr`.
    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    pub(crate) fn log_in(&self) -> Client {
        let mut client = self.client();
        client.log_in("ivr", &self.password);
        client
    }
}

impl Outside {
    /// What a sign-in is answered that says it was passed on for somebody.
    fn log_in_through(&self, forwarded: Option<&str>) -> u16 {
        let client = self.client();
        let body = json!({"user": "ivr", "password": self.password}).to_string();
        let request = client.http.post(format!("{}/api/v1/Login", client.base));
        let mut request = request.header("content-type", "application/json").body(body);
        if let Some(forwarded) = forwarded {
            request = request.header("x-forwarded-for", forwarded);
        }
        block_on(async { request.send().await.expect("an answer").status().as_u16() })
    }
}

/// Adds an API user; its password as it was shown.
pub(crate) fn add_user(house: &House, name: &str, options: &[&str]) -> String {
    let added = house.run(&[&["api", "user", "add", name], options].concat());
    assert!(added.status.success(), "{added:?}");
    let text = String::from_utf8(added.stdout).expect("text");
    let shown = text
        .lines()
        .find_map(|line| line.strip_prefix("password, shown this once: "));
    shown.unwrap_or_default().to_owned()
}

/// Somebody who uses the API.
pub(crate) struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) base: String,
    /// Other servers, which are asked in turns with the first.
    others: Vec<String>,
    asked: std::cell::Cell<usize>,
    pub(crate) session: Option<String>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    media_type: String,
    headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The bytes of the body, as it was sent.
    pub(crate) fn length(&self) -> usize {
        let length = self.headers.get("content-length").expect("a length");
        length.to_str().expect("text").parse().expect("a number")
    }
}

impl Client {
    pub(crate) fn new(server: &Server, folder: &Path, certificate: Option<&str>) -> Self {
        Self::at(server.api.expect("an API").port(), folder, certificate)
    }

    /// One that asks the servers of all of these in turns.
    pub(crate) fn alternating(clients: Vec<Self>) -> Self {
        let mut clients = clients.into_iter();
        let first = clients.next().expect("a client");
        Self {
            others: clients.map(|client| client.base).collect(),
            ..first
        }
    }

    /// Asks one of the servers alone, from now on.
    pub(crate) fn stay_with(&mut self, index: usize) {
        self.base = self.others.remove(index - 1);
        self.others.clear();
    }

    /// Where the next request goes.
    fn next_base(&self) -> &str {
        let asked = self.asked.get();
        self.asked.set(asked + 1);
        match asked % (self.others.len() + 1) {
            0 => &self.base,
            other => &self.others[other - 1],
        }
    }

    pub(crate) fn at(port: u16, folder: &Path, certificate: Option<&str>) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(folder.join("ca.pem")).expect("a certificate");
        roots.add(ca).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let tls = match certificate {
            Some(file) => {
                let chain = CertificateDer::from_pem_file(folder.join(file)).expect("a certificate");
                let key = PrivateKeyDer::from_pem_file(folder.join(file)).expect("a key");
                builder.with_client_auth_cert(vec![chain], key).expect("a pair")
            }
            None => builder.with_no_client_auth(),
        };
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .build();
        Self {
            http: http.expect("a client"),
            base: format!("https://localhost:{port}"),
            others: Vec::new(),
            asked: std::cell::Cell::new(0),
            session: None,
        }
    }

    fn send(&self, method: &str, path: &str, body: Option<String>, media_type: &str) -> Answer {
        let method = method.parse().expect("a method");
        let mut request = self.http.request(method, format!("{}{path}", self.next_base()));
        if let Some(session) = &self.session {
            request = request.header("authorization", format!("Bearer {session}"));
        }
        if let Some(body) = body {
            request = request.header("content-type", media_type).body(body);
        }
        block_on(async {
            let response = request.send().await.expect("an answer");
            let headers = response.headers().clone();
            let media_type = headers
                .get("content-type")
                .map(|value| value.to_str().expect("text").to_owned());
            let status = response.status().as_u16();
            let text = response.text().await.expect("a body");
            Answer {
                status,
                media_type: media_type.unwrap_or_default(),
                headers,
                body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
            }
        })
    }

    /// What a call ends with. A machine that is busy with other tests may need to be asked again.
    fn try_call(&self, name: &str, request: &Value) -> Answer {
        for _ in 0..20 {
            let answer = self.ask(name, request);
            let not_known = answer.status == 503
                && ["busy", "unfinished"]
                    .iter()
                    .any(|kind| answer.body["type"].as_str().is_some_and(|text| text.ends_with(kind)));
            if !not_known {
                return answer;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        panic!("{name} does not come to an end");
    }

    pub(crate) fn ask(&self, name: &str, request: &Value) -> Answer {
        self.send(
            "POST",
            &format!("/api/v1/{name}"),
            Some(request.to_string()),
            "application/json",
        )
    }

    /// A call that is carried out.
    pub(crate) fn call(&self, name: &str, request: &Value) -> Value {
        let answer = self.try_call(name, request);
        assert_eq!(answer.status, 200, "{name}: {}", answer.body);
        assert_eq!(answer.media_type, "application/json");
        answer.body
    }

    /// A change, when it has come to its end.
    pub(crate) fn ended(&self, mut job: Value) -> Value {
        while job["status"] == "running" {
            job = self.call("JobGet", &json!({"job": job["job"]}));
        }
        job
    }

    /// The problem that a call ends with.
    pub(crate) fn problem(&self, name: &str, request: &Value) -> (u16, String) {
        problem_of(&self.try_call(name, request))
    }

    pub(crate) fn log_in(&mut self, user: &str, password: &str) {
        let response = self.call("Login", &json!({"user": user, "password": password}));
        self.session = Some(text(&response["sessionId"]).to_owned());
    }

    /// The caller is who they say.
    pub(crate) fn verify(&self, digits: &str, answer: impl Fn(&Value) -> &'static str) -> String {
        let listed = self.call("UserIVRList", &json!({"digits": digits}));
        let user = &listed["users"][0]["user"];
        let asked = self.call("UserQuestionsGet", &json!({"user": user}));
        let answers: Vec<Value> = list(&asked["questions"])
            .iter()
            .map(|question| json!({"question": question["question"], "digits": answer(question)}))
            .collect();
        let judged = self.call(
            "UserAnswersValidate",
            &json!({"answers": answers, "idempotencyKey": "judged"}),
        );
        text(&judged["result"]).to_owned()
    }
}

fn problem_of(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.media_type, "application/problem+json", "{}", answer.body);
    assert_eq!(answer.body["status"], answer.status);
    let kind = text(&answer.body["type"])
        .strip_prefix("urn:passline:problem:")
        .expect("a problem");
    (answer.status, kind.to_owned())
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

pub(crate) fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

/// What Anna Berger answers.
pub(crate) fn anna(question: &Value) -> &'static str {
    match text(&question["text"]).contains("badge") {
        true => "835164",
        false => "2009",
    }
}

#[test]
fn an_outside_ivr_resets_a_password_from_the_digits_on() {
    let outside = Outside::new(&Settings {
        two_questions: true,
        ..Settings::default()
    });
    let client = outside.log_in();
    assert_eq!(client.verify("4711", anna), "passed");
    let accounts = client.call("UserAccountList", &json!({}));
    let systems: Vec<&str> = list(&accounts["accounts"])
        .iter()
        .map(|account| text(&account["system"]))
        .collect();
    assert_eq!(systems, ["active-directory", "mail", "payroll"]);
    assert_eq!(accounts["accounts"][0]["label"], "Active Directory");
    assert_eq!(accounts["accounts"][0]["state"]["locked"], false);

    let password = client.call("PasswordRandomGet", &json!({"audio": "mulaw"}));
    assert_eq!(password.get("value"), None, "this client may not read it");
    let spoken: Vec<&str> = list(&password["speak"])
        .iter()
        .map(|token| text(&token["text"]))
        .collect();
    assert!(
        spoken.len() >= 10 && spoken.iter().all(|text| !text.is_empty()),
        "{spoken:?}"
    );
    assert!(text(&password["audio"]).starts_with("UklGR"), "RIFF in base64");

    let order = json!({
        "password": password["password"], "idempotencyKey": "0b4c9a1e", "ticket": "INC0042",
    });
    let done = client.ended(client.call("UserPasswordSync", &order));
    assert_eq!(done["status"], "done", "{done}");
    assert!(
        list(&done["accounts"])
            .iter()
            .all(|account| account["outcome"] == "done")
    );
    assert_eq!(client.call("UserPasswordSync", &order), done);
    assert_eq!(client.call("JobGet", &json!({"job": done["job"]})), done);
    assert_eq!(outside.house.verify_old("mail", "anna.berger"), Verdict::Rejected);

    client.call("Logout", &json!({}));
    assert_eq!(
        client.problem("UserAccountList", &json!({})),
        (401, "no-session".to_owned())
    );
    outside.server.stop();
}

#[test]
fn people_who_share_their_digits_come_in_pages() {
    let outside = Outside::new(&Settings::default());
    let client = outside.log_in();
    // smith01 and poguh01, on the keys.
    let digits = "7648401";
    let all = client.call("UserIVRList", &json!({"digits": digits}));
    assert_eq!(list(&all["users"]).len(), 2);
    assert_eq!(all.get("nextPageToken"), None);
    let first = client.call("UserIVRList", &json!({"digits": digits, "pageSize": 1}));
    let rest = json!({"digits": digits, "pageSize": 1, "pageToken": first["nextPageToken"]});
    let second = client.call("UserIVRList", &rest);
    assert_eq!(second.get("nextPageToken"), None);
    let pages = [&first["users"][0], &second["users"][0]];
    assert_eq!(pages, [&all["users"][0], &all["users"][1]]);
    // That of another list, in another session.
    let other = outside.log_in();
    other.call("UserIVRList", &json!({"digits": "4711"}));
    let strange = json!({"digits": "4711", "pageToken": first["nextPageToken"]});
    let problem = other.problem("UserIVRList", &strange);
    assert_eq!(problem, (404, "unknown-handle".to_owned()));
    outside.server.stop();
}

#[test]
fn rights_beyond_the_calls_are_given_one_by_one() {
    let outside = Outside::new(&Settings::default());
    let rights = [
        "--allow",
        "read-password",
        "--allow",
        "choose-password",
        "--allow",
        "keep-password",
    ];
    let trusted = add_user(&outside.house, "trusted", &rights);
    let client = outside.log_in();
    assert_eq!(client.verify("4711", anna), "passed");
    let chosen = json!({"value": "Tr4velling-lamp", "idempotencyKey": "1"});
    let kept = json!({"value": "Tr4velling-lamp", "expire": false, "idempotencyKey": "2"});
    for refused in [&chosen, &kept] {
        assert_eq!(
            client.problem("UserPasswordSync", refused),
            (403, "not-allowed".to_owned())
        );
    }
    let mut client = outside.client();
    client.log_in("trusted", &trusted);
    assert_eq!(client.verify("4711", anna), "passed");
    let password = client.call("PasswordRandomGet", &json!({}));
    assert_eq!(text(&password["value"]).len(), list(&password["speak"]).len());
    let bad = json!({"value": "short", "idempotencyKey": "1"});
    let answer = client.try_call("UserPasswordSync", &bad);
    assert_eq!(problem_of(&answer), (422, "password-refused".to_owned()));
    assert!(text(&answer.body["detail"]).contains("at least"), "{}", answer.body);
    assert_eq!(client.ended(client.call("UserPasswordSync", &kept))["status"], "done");
    let verdict = outside.house.verify("mail", "anna.berger", "Tr4velling-lamp");
    assert_eq!(verdict, Verdict::Accepted);
    // On the house key: whoever changes it afterwards is told.
    let listed = outside.house.run(&["api", "user", "list"]);
    let shown = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(
        shown.contains("read-password, choose-password, keep-password"),
        "{shown}"
    );
}

#[test]
fn nothing_is_given_before_the_answers_are_right() {
    let outside = Outside::new(&Settings::default());
    let nobody = outside.client();
    for name in ["UserAccountList", "Logout"] {
        let answer = nobody.try_call(name, &json!({}));
        assert_eq!(problem_of(&answer), (401, "no-session".to_owned()));
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    let client = outside.log_in();
    let handle = "0".repeat(32);
    let reset = json!({"password": handle, "idempotencyKey": "1"});
    let unlock = json!({"idempotencyKey": "2"});
    for (name, request) in [
        ("UserAccountList", json!({})),
        ("PasswordRandomGet", json!({})),
        ("UserPasswordSync", reset),
        ("UserAccountsUnlock", unlock),
    ] {
        assert_eq!(
            client.problem(name, &request),
            (403, "not-verified".to_owned()),
            "{name}"
        );
    }
    assert_eq!(
        client.problem("UserQuestionsGet", &json!({"user": handle})),
        (409, "out-of-order".to_owned())
    );
    assert_eq!(
        client.problem("JobGet", &json!({"job": handle})),
        (404, "unknown-handle".to_owned())
    );
    for expected in ["retry", "failed"] {
        let result = match expected {
            "retry" => client.verify("4711", |_| "9999"),
            _ => {
                // The same questions once more.
                let user = client.problem("UserIVRList", &json!({"digits": "4711"}));
                assert_eq!(user, (409, "out-of-order".to_owned()));
                continue;
            }
        };
        assert_eq!(result, expected);
    }
    assert_eq!(
        client.problem("UserAccountList", &json!({})),
        (403, "not-verified".to_owned())
    );
}

#[test]
fn what_is_not_as_described_is_told_without_its_text() {
    let outside = Outside::new(&Settings::default());
    let client = outside.log_in();
    for (body, part) in [
        ("{\"digits\":\"4711secret\"}", "`digits` is wrong"),
        ("{\"digits\":4711}", "`digits` should be"),
        ("{\"secret\":1}", "expected one of"),
        ("{", "is not JSON"),
        ("[]", "should be an object"),
        ("{}", "missing field `digits`"),
        ("null", "should be an object"),
        ("{\"digits\":\"1\",\"pageSize\":-1}", "a whole number, not below zero"),
    ] {
        let answer = client.send("POST", "/api/v1/UserIVRList", Some(body.to_owned()), "application/json");
        assert_eq!(problem_of(&answer), (400, "invalid-request".to_owned()));
        let detail = text(&answer.body["detail"]);
        assert!(detail.contains(part) && !detail.contains("4711"), "{body}: {detail}");
    }
    let large = format!("{{\"digits\":\"{}\"}}", "1".repeat(20_000));
    let answer = client.send("POST", "/api/v1/UserIVRList", Some(large), "application/json");
    assert_eq!(problem_of(&answer), (413, "body-too-large".to_owned()));
    let answer = client.send("POST", "/api/v1/UserIVRList", Some("digits=1".to_owned()), "text/plain");
    assert_eq!(problem_of(&answer), (415, "unsupported-media-type".to_owned()));
    let answer = client.send("GET", "/api/v1/Login", None, "");
    assert_eq!(problem_of(&answer), (405, "method-not-allowed".to_owned()));
    assert_eq!(answer.headers["allow"], "POST");
    let answer = client.send("POST", "/api/v1/Nothing", Some("{}".to_owned()), "application/json");
    assert_eq!(problem_of(&answer), (404, "not-found".to_owned()));
    let packed = client.http.post(format!("{}/api/v1/UserIVRList", client.base));
    let packed = packed
        .header("content-type", "application/json")
        .header("content-encoding", "gzip");
    let packed = block_on(async { packed.body("{}").send().await.expect("an answer") });
    assert_eq!(
        (packed.status().as_u16(), &packed.headers()["accept-encoding"]),
        (415, &HeaderValue::from_static("identity"))
    );
    let flat = client.send(
        "POST",
        "/api/v1/UserIVRList?flat=true",
        Some("{\"digits\":\"4711\"}".to_owned()),
        "application/json",
    );
    assert_eq!(flat.body["users_count"], "1");
    assert_eq!(flat.body["users_0_label"], "1");
    let path = "/api/v1/UserAccountList?flat=true";
    let flat = client.send("POST", path, Some("{}".to_owned()), "application/json");
    assert_eq!((flat.status, flat.media_type.as_str()), (403, "application/json"));
    assert_eq!(flat.body["type"], "urn:passline:problem:not-verified");
    assert_eq!(flat.body["status"], "403", "all of it is text");
    let null = "{\"audio\":null}".to_owned();
    let answer = client.send("POST", "/api/v1/PasswordRandomGet", Some(null), "application/json");
    let detail = text(&answer.body["detail"]);
    assert!(
        detail.contains("`audio`") && !detail.contains("is not JSON"),
        "{detail}"
    );
    // Behind the last one there is no page.
    let listed = client.call("UserIVRList", &json!({"digits": "4711", "pageSize": 4.0}));
    let token = json!({"digits": "4711", "pageToken": listed["users"][0]["user"]});
    assert_eq!(
        client.problem("UserIVRList", &token),
        (404, "unknown-handle".to_owned())
    );
    // The lines of the log lead to the events of the session, and tell who was refused.
    let refused = json!({"user": "ivr", "password": "wrong"});
    assert_eq!(outside.client().try_call("Login", &refused).status, 401);
    outside.server.wait_for_log("outcome=\"sign-in-refused\"");
    let log = outside.server.log();
    let line = |outcome: &str| {
        log.lines()
            .find(|line| line.contains(&format!("outcome=\"{outcome}\"")))
            .expect("a line")
    };
    assert!(
        line("sign-in-refused").contains("client=\"ivr\""),
        "{}",
        line("sign-in-refused")
    );
    assert!(line("not-verified").contains("session="), "{}", line("not-verified"));
    // Whoever set up an IVR with a wrong path or method finds that too.
    assert!(
        line("not-found").contains("address=\"127.0.0.1\"") && line("method-not-allowed").contains("call=\"none\"")
    );
}

#[test]
fn the_description_is_served_as_it_is_committed() {
    let outside = Outside::new(&Settings::default());
    let client = outside.client();
    let served = client.send("GET", "/api/v1/openapi.json", None, "");
    let committed = fs::read_to_string("docs/api/openapi.json").expect("the description");
    assert_eq!(served.body, serde_json::from_str::<Value>(&committed).expect("JSON"));
    let page = client.send("GET", "/api/docs", None, "");
    assert!(page.media_type.starts_with("text/html") && text(&page.body).contains("UserPasswordSync"));
    assert!(
        page.headers["content-security-policy"]
            .to_str()
            .expect("text")
            .contains("default-src 'none'")
    );
}

#[test]
fn who_may_come_and_how_is_said_while_it_runs() {
    let outside = Outside::new(&Settings::default());
    let house = &outside.house;
    let attempt = |user: &str, password: &str| {
        let request = json!({"user": user, "password": password});
        let answer = outside.client().try_call("Login", &request);
        (
            answer.status,
            answer.body["type"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let refused = (401, "urn:passline:problem:sign-in-refused".to_owned());
    assert_eq!(attempt("ivr", &outside.password).0, 200);
    assert_eq!(attempt("ivr", "wrong"), refused);
    assert_eq!(attempt("nobody", &outside.password), refused);

    // By certificate alone.
    let fingerprint = fingerprint(&house.path().join("client.pem"));
    add_user(house, "bare", &["--no-password", "--certificate", &fingerprint]);
    let with = Client::new(&outside.server, house.path(), Some("client.pem"));
    assert_eq!(with.try_call("Login", &json!({"user": "bare"})).status, 200);
    assert_eq!(outside.client().try_call("Login", &json!({"user": "bare"})).status, 401);

    let rotated = house.run(&["api", "user", "rotate", "ivr"]);
    assert!(rotated.status.success(), "{rotated:?}");
    assert_eq!(attempt("ivr", &outside.password), refused);
    let client = {
        let text = String::from_utf8_lossy(&rotated.stdout).into_owned();
        let password = text
            .lines()
            .find_map(|line| line.strip_prefix("password, shown this once: "));
        let mut client = outside.client();
        client.log_in("ivr", password.expect("a password"));
        client
    };
    let narrowed = house.run(&["api", "user", "network", "ivr", "192.0.2.0/24"]);
    assert!(narrowed.status.success(), "{narrowed:?}");
    assert_eq!(client.problem("Logout", &json!({})), (401, "no-session".to_owned()));
    for user in ["ivr", "bare"] {
        let revoked = house.run(&["api", "user", "revoke", user]);
        assert!(revoked.status.success(), "{revoked:?}");
    }
    // Nobody may come from anywhere now: the door is shut before TLS.
    wait_for("the door to be shut", PATIENCE, || {
        let port = outside.server.api.expect("an API").port();
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream
            .set_read_timeout(Some(Duration::from_secs(1)))
            .expect("a time-out");
        matches!(std::io::Read::read(&mut stream, &mut [0; 1]), Ok(0)).then_some(())
    });
}

const SOAP_11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const SOAP_12: &str = "http://www.w3.org/2003/05/soap-envelope";

/// What a request to the SOAP door is answered: status and whole text.
fn soap(client: &Client, body: impl Into<String>) -> (u16, String) {
    let answer = client.send("POST", "/soap", Some(body.into()), "text/xml; charset=utf-8");
    (answer.status, text(&answer.body).to_owned())
}

fn envelope(namespace: &str, body: &str) -> String {
    format!("<e:Envelope xmlns:e=\"{namespace}\"><e:Body>{body}</e:Body></e:Envelope>")
}

#[test]
fn soap_takes_no_bombs_no_files_and_nothing_that_is_no_call() {
    let outside = Outside::new(&Settings::default());
    let client = outside.client();
    let bomb: String = (1..10)
        .map(|level| format!("<!ENTITY l{level} \"{}\">", format!("&l{};", level - 1).repeat(10)))
        .collect();
    let bomb = format!(
        "<!DOCTYPE x [<!ENTITY l0 \"lol\">{bomb}]>{}",
        envelope(SOAP_11, "<Login xmlns=\"urn:passline:api:1\"><user>&l9;</user></Login>")
    );
    let file = "<!DOCTYPE x [<!ENTITY f SYSTEM \"file:///etc/passwd\">]><x>&f;</x>";
    let deep = envelope(SOAP_11, &format!("{}{}", "<a>".repeat(5_000), "</a>".repeat(5_000)));
    let wide = envelope(SOAP_11, &"<a/>".repeat(5_000));
    let attributes: String = (0..500).map(|number| format!(" a{number}=\"\"")).collect();
    let attributes = envelope(SOAP_11, &format!("<a{attributes}/>"));
    let entity = envelope(
        SOAP_11,
        "<Login xmlns=\"urn:passline:api:1\"><user>&who;</user></Login>",
    );
    let two_bodies = envelope(SOAP_11, "<a/></e:Body><e:Body><a/>");
    let call = |member: &str| {
        envelope(
            SOAP_11,
            &format!("<Login xmlns=\"urn:passline:api:1\">{member}</Login>"),
        )
    };
    for (request, part) in [
        (bomb.as_str(), "a document type is not read"),
        (file, "a document type is not read"),
        (&deep, "deep in each other"),
        (&wide, "more than 512 elements"),
        (&attributes, "more than 16 attributes"),
        (&entity, "there are no entities but"),
        (
            "<?xml-stylesheet href=\"x\"?><a/>",
            "processing instructions are not read",
        ),
        ("not XML", "not exactly one root"),
        (&envelope(SOAP_11, ""), "must hold one call"),
        (&two_bodies, "more than one Body"),
        (&envelope(SOAP_11, "<Login/>"), "one call of the namespace"),
        (
            &envelope(SOAP_11, "<Nothing xmlns=\"urn:passline:api:1\"/>"),
            "one call of the namespace",
        ),
        (
            &call("<user xmlns=\"\">a</user>"),
            "all elements of a call are in the namespace",
        ),
        (&call("<secret4711>1</secret4711>"), "expected one of"),
        (
            &call("<user>no such thing as this 4711</user>"),
            "`user` is wrong: an API user has",
        ),
    ] {
        let (status, answer) = soap(&client, request);
        assert_eq!(status, 500, "{answer}");
        assert!(answer.contains("<faultcode>soap:Client</faultcode>"), "{answer}");
        assert!(
            answer.contains("<p:type>invalid-request</p:type>") && answer.contains(part),
            "{part}: {answer}"
        );
        assert!(!answer.contains("4711") && !answer.contains("root:"), "{answer}");
    }
    let large = client.send("POST", "/soap", Some("x".repeat(100_000)), "text/xml");
    assert_eq!(problem_of(&large), (413, "body-too-large".to_owned()));
    // What cannot be opened is answered in the version that its media type tells.
    let bombed = client.send("POST", "/soap", Some(file.to_owned()), "application/soap+xml");
    assert_eq!(
        (bombed.status, bombed.media_type.as_str()),
        (400, "application/soap+xml; charset=utf-8")
    );
    let (status, answer) = soap(&client, envelope("urn:soap:99", "<a/>"));
    assert_eq!(status, 500);
    assert!(
        answer.contains("<faultcode>soap:VersionMismatch</faultcode>"),
        "{answer}"
    );
    let wrong = "<UserAccountList xmlns=\"urn:passline:api:1\"><sessionId>x</sessionId></UserAccountList>";
    let (status, answer) = soap(&client, envelope(SOAP_12, wrong));
    assert_eq!(status, 400);
    assert!(answer.contains("<soap:Value>soap:Sender</soap:Value>"), "{answer}");
    assert!(answer.contains("<p:type>no-session</p:type>"), "{answer}");
    // It still works.
    let request = format!("<user>ivr</user><password>{}</password>", outside.password);
    let (status, answer) = soap(&client, call(&request));
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("<p:sessionId>"), "{answer}");
}

#[test]
fn the_description_for_soap_is_served_with_the_address_that_was_asked() {
    let outside = Outside::new(&Settings::default());
    let client = outside.client();
    let served = client.send("GET", "/soap?wsdl", None, "");
    let committed = fs::read_to_string("docs/api/passline.wsdl").expect("the description");
    assert_eq!(
        text(&served.body),
        committed.replace("https://localhost:8443", &client.base)
    );
    let old = client.send("GET", "/soap?WSDL=1.1", None, "");
    assert!(!text(&old.body).contains("soap12"));
    let types = client.send("GET", "/soap?xsd", None, "");
    assert!(text(&types.body).contains("<xs:schema"));
    assert_eq!(client.send("GET", "/soap", None, "").status, 400);
}

#[test]
fn a_proxy_says_whom_a_request_is_from_and_nobody_else_does() {
    let outside = Outside::new(&Settings::default());
    add_user(&outside.house, "far", &["--network", "192.0.2.0/24"]);
    // No proxy is trusted: whatever a client says of itself is not heard.
    assert_eq!(outside.log_in_through(None), 200);
    assert_eq!(outside.log_in_through(Some("192.0.2.7")), 200);

    let file = outside.house.path().join("passline.toml");
    let text = fs::read_to_string(&file).expect("a configuration");
    fs::write(
        &file,
        text.replace("[api]\n", "[api]\ntrusted_proxies = [\"127.0.0.1\"]\n"),
    )
    .expect("written");
    let Outside {
        house,
        server,
        password,
    } = outside;
    server.stop();
    let server = house.serve();
    let outside = Outside {
        house,
        server,
        password,
    };
    // The IVR may come from this machine, and everything that the proxy passes on would.
    assert_eq!(outside.log_in_through(None), 400);
    assert_eq!(outside.log_in_through(Some("198.51.100.1")), 403);
    // In the network of another one: heard, and not let in.
    assert_eq!(outside.log_in_through(Some("192.0.2.7")), 401);
}

/// As `openssl x509 -noout -fingerprint -sha256` shows it.
pub(crate) fn fingerprint(file: &Path) -> String {
    let der = CertificateDer::from_pem_file(file).expect("a certificate");
    let hash = ring::digest::digest(&ring::digest::SHA256, &der);
    let bytes: Vec<String> = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(":")
}

#[test]
fn what_is_logged_and_counted_has_no_secret_in_it() {
    let outside = Outside::new(&Settings {
        two_questions: true,
        log_level: Some("trace"),
        ..Settings::default()
    });
    let rights = ["--allow", "read-password"];
    let password = add_user(&outside.house, "reader", &rights);
    let mut client = outside.client();
    client.log_in("reader", &password);
    assert_eq!(client.verify("4711", anna), "passed");
    let proposed = client.call("PasswordRandomGet", &json!({"audio": "pcm"}));
    let order = json!({"password": proposed["password"], "idempotencyKey": "1"});
    assert_eq!(client.ended(client.call("UserPasswordSync", &order))["status"], "done");
    client.problem("UserAccountsUnlock", &json!({"idempotencyKey": "1"}));
    let (_, metrics) = outside.server.page("/metrics");
    let counted =
        "passline_api_calls_total{call=\"UserPasswordSync\",form=\"json\",client=\"reader\",outcome=\"ok\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    assert!(
        metrics.contains("passline_api_call_duration_seconds_count{call=\"Login\",client=\"reader\"}"),
        "{metrics}"
    );
    let log = outside.server.log();
    assert!(
        log.contains("call=\"UserPasswordSync\"") && log.contains("client=\"reader\""),
        "{log}"
    );
    let session = client.session.as_deref().expect("a session");
    let secrets = [session, &password, text(&proposed["value"]), "835164"];
    let everything = [log, metrics, outside.server.stop()].concat();
    for secret in secrets {
        assert!(!everything.contains(secret), "a secret is in the log or the metrics");
    }
}
