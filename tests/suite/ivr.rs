//! Whole calls of outside IVRs, each platform imitated at its end of the wire (`tests/clients/outside_ivr.py`), against the
//! real program.

use std::fs;
use std::process::Command;
use std::time::Duration;

use passline::integration::target::Verdict;
use passline::speech::phrase::Character;
use passline::time::monotonic;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::api::Outside;
use crate::support::block_on;
use crate::support::python;
use crate::support::server::{Settings, root};

const TOKEN: &str = "twilio-auth-token-of-the-test\n";

/// An IVR that anybody may operate from this machine.
fn outside(rights: &[&str]) -> Outside {
    let outside = Outside::with(
        &Settings {
            configuration: "twilio_token = \"twilio-token\"\nagi = \"127.0.0.1:0\"\n[calls]\ndrain = \"1s\"\n",
            ..Settings::default()
        },
        rights,
        |folder| std::fs::write(folder.join("twilio-token"), TOKEN).expect("a file"),
    );
    let folder = outside.house.path();
    std::fs::write(folder.join("password"), outside.password()).expect("a file");
    let printable = (b'!'..=b'~').map(char::from);
    let characters: serde_json::Map<String, Value> = printable
        .filter_map(|c| Some((c.to_string(), Character::of(c)?.prompt_id().into())))
        .collect();
    std::fs::write(folder.join("characters.json"), Value::from(characters).to_string()).expect("a file");
    outside
}

/// What happened in a call in which these keys were pressed.
fn call(outside: &Outside, platform: &str, keys: &str) -> Value {
    let folder = outside.house.path();
    let output = Command::new(python::environment().join("bin/python3"))
        .arg(root().join("tests/clients/outside_ivr.py"))
        .arg(platform)
        .arg(outside.base())
        .arg(folder.join("ca.pem"))
        .arg("ivr")
        .arg(folder.join("password"))
        .arg(folder.join("characters.json"))
        .arg(keys)
        .args(outside.server.agi.map(|agi| agi.port().to_string()))
        .output()
        .expect("Python runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = || format!("{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}", failed());
    serde_json::from_str(&told).unwrap_or_else(|_| panic!("{}", failed()))
}

/// Who one is, the answer, all systems, hear it again, take it, nothing else.
const RESET: &str = "4711,2009,1,1,4,2";

/// The caller has come to the end, and the password that was spelled is that of all systems.
fn assert_reset(outside: &Outside, told: &Value) {
    assert_eq!((&told["ended"], &told["left"]), (&json!(true), &json!([])), "{told}");
    let password = told["password"].as_str().expect("a password was spelled");
    for (target, account) in [("mail", "anna.berger"), ("payroll", "p4711")] {
        let verdict = outside.house.verify(target, account, password);
        assert_eq!(verdict.is_right(), Some(true), "{target}: {verdict:?}");
    }
    assert_eq!(outside.house.verify_old("mail", "anna.berger"), Verdict::Rejected);
}

#[test]
fn a_voice_browser_resets_a_password_by_voicexml() {
    let outside = outside(&[]);
    // Silence and a wrong key on the way.
    let told = call(&outside, "voicexml", "-,4711,2009,7,1,1,4,2");
    // The call is over with its last page, though the sounds of that stay for a while.
    let ended = monotonic();
    outside.server.wait_until_idle();
    assert!(ended.elapsed() < Duration::from_secs(5));
    assert_reset(&outside, &told);
    assert_eq!(told["unsigned"][0], 401);
    assert!(
        told["unsigned"][1]
            .as_str()
            .is_some_and(|text| text.starts_with("Basic "))
    );
    assert_eq!((&told["wrong"], &told["no_flow"]), (&json!(401), &json!(400)));
    assert_eq!((&told["again"], &told["stranger"]), (&json!(true), &json!(401)));
    assert_eq!(told["after"], 401);
    assert!(told["sounds"].as_u64().is_some_and(|sounds| sounds > 15), "{told}");
}

#[test]
fn twilio_resets_a_password_and_nobody_in_its_name() {
    let outside = outside(&[]);
    let told = call(&outside, "twilio", RESET);
    assert_reset(&outside, &told);
    assert_eq!(told["again"], true);
    outside.server.wait_until_idle();
    assert_eq!((&told["unsigned"], &told["forged"]), (&json!(403), &json!(403)));
    assert_eq!((&told["completed"], &told["after"]), (&json!(204), &json!(401)));
}

#[test]
fn freeswitch_resets_a_password_by_httapi() {
    let outside = outside(&[]);
    let told = call(&outside, "freeswitch", "-,4711,2009,1,1,4,2");
    assert_reset(&outside, &told);
}

#[test]
fn amazon_connect_resets_a_password_if_it_may_read_it() {
    let outside = outside(&["--allow", "read-password"]);
    let told = call(&outside, "connect", RESET);
    assert_eq!((&told["ended"], &told["left"]), (&json!(true), &json!([])), "{told}");
    assert_eq!(outside.house.verify_old("mail", "anna.berger"), Verdict::Rejected);
    let said: Vec<&str> = told["said"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(said[0].contains("Welcome"), "{said:?}");
    assert!(
        said.iter().any(|said| said.contains("apital ")),
        "a password in words: {said:?}"
    );
}

/// The function that is given as an example, with what AWS gives it.
#[test]
fn the_lambda_function_hands_on_what_connect_asks() {
    let outside = outside(&["--allow", "read-password"]);
    let script = format!(
        "import {{ handler }} from '{}/contrib/ivr/connect-lambda.mjs';\n\
         const ask = (Parameters) => handler({{ Details: {{ ContactData: {{ ContactId: '1' }}, Parameters }}, Name: 'ContactFlowEvent' }});\n\
         const first = await ask({{}});\n\
         const {{ session, page }} = first;\n\
         const second = await ask({{ session, page, event: 'keys', keys: '4711' }});\n\
         console.log(JSON.stringify([first, second]));\n",
        root().display()
    );
    let output = Command::new("node")
        .args(["--input-type=module", "--eval", &script])
        .env("PASSLINE_URL", format!("{}/ivr/connect/reset", outside.base()))
        .env("PASSLINE_USER", "ivr")
        .env("PASSLINE_PASSWORD", outside.password())
        .env("NODE_EXTRA_CA_CERTS", outside.house.path().join("ca.pem"))
        .output()
        .expect("node runs");
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(
        (&told[0]["then"], &told[1]["then"]),
        (&json!("collect"), &json!("collect"))
    );
    assert!(
        told[1]["say"].as_str().is_some_and(|said| said.contains("year")),
        "{told}"
    );
    outside.server.stop();
}

#[test]
fn amazon_connect_is_told_no_password_without_the_right_to_read_it() {
    let outside = outside(&[]);
    let told = call(&outside, "connect", RESET);
    assert_eq!(told["refused"], json!([403, "urn:passline:problem:not-allowed"]));
    outside.server.stop();
    // The end once waited for call records that nobody could write any more, until its time was over.
    let log = fs::read_to_string(outside.house.path().join("server.log")).expect("a log");
    assert!(
        log.contains("stopped") && !log.contains("before everything was written"),
        "{log}"
    );
}

#[test]
fn asterisk_resets_a_password_by_fastagi() {
    let outside = outside(&[]);
    let told = call(&outside, "agi", "-,~,4711,2009,1,1,4,2");
    assert_reset(&outside, &told);
    assert_eq!(told["wrong"], "SET VARIABLE PASSLINE_STATUS \"sign-in-refused\"");
    assert_eq!(told["status"], "PASSLINE_STATUS \"completed\"");
}

/// The session in a page of VoiceXML.
fn session_in(page: &str) -> &str {
    let rest = page
        .split_once("<var name=\"passline_session\" expr=\"'")
        .expect("a session")
        .1;
    rest.split_once('\'').expect("its end").0
}

/// The status and the body that a request of the API user is answered with.
fn ask(outside: &Outside, method: Method, path: &str) -> (u16, String) {
    let request = outside
        .client()
        .http
        .request(method, format!("{}{path}", outside.base()));
    answer(request.basic_auth("ivr", Some(outside.password())))
}

fn answer(request: RequestBuilder) -> (u16, String) {
    block_on(async {
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    })
}

/// Such calls once stayed in the list, and in the places for calls, for as long as their IVR might have come back.
#[test]
fn calls_of_an_api_user_end_when_it_is_revoked() {
    let outside = outside(&[]);
    for _ in 0..3 {
        assert_eq!(ask(&outside, Method::GET, "/ivr/voicexml/reset").0, 200);
    }
    assert_eq!(outside.server.calls().len(), 3);
    let revoked = outside.house.run(&["api", "user", "revoke", "ivr"]);
    assert!(revoked.status.success(), "{revoked:?}");
    let since = monotonic();
    outside.server.wait_until_idle();
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
    let past = outside.house.run(&["calls", "past", "--json"]);
    let past = String::from_utf8(past.stdout).expect("text");
    assert_eq!(past.matches("\"revoked\"").count(), 3, "{past}");
}

/// A browser asks again when the first answer was lost or late. It once had two calls then, of which it knew one.
#[test]
fn a_request_that_is_repeated_begins_no_second_call() {
    let outside = outside(&[]);
    let begin = |query: &str| {
        let (status, page) = ask(&outside, Method::GET, &format!("/ivr/voicexml/reset?{query}"));
        assert_eq!(status, 200, "{page}");
        page
    };
    let first = begin("call=4f1c");
    assert_eq!(begin("call=4f1c"), first);
    assert_eq!(outside.server.calls().len(), 1);
    for query in ["call=4f1d", "", ""] {
        assert_ne!(begin(query), first);
    }
    assert_eq!(outside.server.calls().len(), 4);
    // Whoever has gone on has got the page.
    let fields = format!("passline_session={}&page=1&event=silence&keys=", session_in(&first));
    let request = outside.client().http.post(format!("{}/ivr/voicexml", outside.base()));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(answer(request.body(fields)).0, 200);
    assert_ne!(session_in(&begin("call=4f1c")), session_in(&first));
    assert_eq!(outside.server.calls().len(), 5);
}

/// A hang-up without the number of a page was refused, and the call stayed.
#[test]
fn freeswitch_needs_no_page_to_hang_up_and_no_session_to_say_so() {
    let outside = outside(&[]);
    let post = |body: String| {
        let request = outside
            .client()
            .http
            .post(format!("{}/ivr/freeswitch/reset", outside.base()));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        answer(request.basic_auth("ivr", Some(outside.password())).body(body))
    };
    let (status, page) = post("session_id=4f1c".to_owned());
    assert_eq!((status, outside.server.calls().len()), (200, 1));
    let rest = page.split_once("<passline_session>").expect("a session").1;
    let session = rest.split_once('<').expect("its end").0;
    assert_eq!(post(format!("exiting=true&passline_session={session}")).0, 200);
    outside.server.wait_until_idle();
    for body in ["exiting=true", "exiting=true&passline_session=&session_id=4f1c"] {
        let (status, nothing) = post(body.to_owned());
        assert_eq!(status, 200);
        assert!(!nothing.contains("passline_session"), "{nothing}");
    }
    assert!(outside.server.calls().is_empty());
}

/// GET serves HEAD where nobody says otherwise: whoever looked whether the page was there had begun a call.
#[test]
fn looking_at_the_address_of_a_flow_begins_no_call() {
    let outside = outside(&[]);
    let path = format!("{}/ivr/voicexml/reset", outside.base());
    let request = outside
        .client()
        .http
        .head(path)
        .basic_auth("ivr", Some(outside.password()));
    let (status, allow) = block_on(async {
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.headers().get("allow").cloned())
    });
    assert_eq!((status, allow), (405, Some("GET,POST".parse().expect("a value"))));
    assert!(outside.server.calls().is_empty());
}

#[test]
fn the_session_of_a_call_is_for_its_pages_and_that_of_the_api_is_not() {
    let outside = outside(&[]);
    let (status, page) = ask(&outside, Method::GET, "/ivr/voicexml/reset");
    assert_eq!(status, 200, "{page}");
    let mut client = outside.client();
    client.session = Some(session_in(&page).to_owned());
    for call in ["UserIVRList", "Logout"] {
        let body = if call == "Logout" {
            json!({})
        } else {
            json!({"digits": "4711"})
        };
        assert_eq!(client.problem(call, &body).0, 401, "{call}");
    }
    let mut client = outside.client();
    client.log_in("ivr", outside.password());
    let fields = format!(
        "passline_session={}&page=1&event=keys&keys=4711",
        client.session.as_deref().expect("a session")
    );
    let turn = |fields: String| {
        let request = outside.client().http.post(format!("{}/ivr/voicexml", outside.base()));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        answer(request.body(fields)).0
    };
    assert_eq!(turn(fields), 401);
    // The call goes on all the same.
    let fields = format!("passline_session={}&page=1&event=keys&keys=4711", session_in(&page));
    assert_eq!(turn(fields), 200);
}
