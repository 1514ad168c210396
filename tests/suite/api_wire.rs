//! The web API from further away: two nodes, a real proxy, and what the time and size of answers tell.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::Duration;

use passline::integration::target::Verdict;
use passline::time::monotonic;
use serde_json::json;

use crate::api::{Client, Outside, add_user, anna};
use crate::support::certificate;
use crate::support::server::{House, Settings};
use crate::support::{PATIENCE, wait_for};

#[test]
fn a_session_goes_on_at_another_node_with_every_request() {
    let house = House::new(&Settings {
        configuration: crate::api::SECTION,
        on_server: true,
        ..Settings::default()
    });
    certificate::make(house.path());
    let password = add_user(&house, "ivr", &[]);
    let nodes = [house.serve_node("a"), house.serve_node("b")];
    let clients: Vec<Client> = nodes.iter().map(|node| Client::new(node, house.path(), None)).collect();
    let mut client = Client::alternating(clients);
    client.log_in("ivr", &password);
    assert_eq!(client.verify("4711", anna), "passed");
    let accounts = client.call("UserAccountList", &json!({}));
    assert_eq!(accounts["accounts"][1]["system"], "mail");
    let proposed = client.call("PasswordRandomGet", &json!({}));
    let order = json!({"password": proposed["password"], "idempotencyKey": "one"});
    let done = client.ended(client.call("UserPasswordSync", &order));
    assert_eq!(done["status"], "done", "{done}");
    // Whichever node is asked again, it is the same order.
    for _ in 0..2 {
        assert_eq!(client.call("UserPasswordSync", &order), done);
    }
    assert_eq!(house.verify_old("mail", "anna.berger"), Verdict::Rejected);
    client.call("Logout", &json!({}));
    for _ in 0..2 {
        let problem = client.problem("UserAccountList", &json!({}));
        assert_eq!(problem, (401, "no-session".to_owned()));
    }
    // A node that is gone takes no session with it.
    client.log_in("ivr", &password);
    let [first, second] = nodes;
    first.kill();
    client.stay_with(1);
    assert_eq!(client.verify("4711", anna), "passed");
    second.stop();
}

/// A system that answers when somebody lets it.
const SLOW: &str = "#!/bin/sh
read -r order
for _ in $(seq 600); do
  if [ -e go ]; then echo '{\"must_change\":true}'; exit 0; fi
  sleep 0.1
done
exit 80
";

#[test]
fn while_a_system_hangs_an_order_is_a_job_and_others_are_served() {
    let outside = Outside::new(&Settings {
        configuration: "[[target]]\nname = \"slow\"\nkind = \"command\"\nprogram = [\"/bin/sh\", \"slow.sh\"]\n\
                        can = [\"reset\"]\nlimit = \"60s\"\n",
        ..Settings::default()
    });
    fs::write(outside.house.path().join("slow.sh"), SLOW).expect("written");
    let people = "login,employee_number,account.mail,account.slow,answer.question.start_year\n\
                  anna.berger,4711,anna.berger,aberger,2009\n";
    let imported = outside.house.run_with_input(&["user", "import", "-"], people);
    assert!(imported.status.success(), "{imported:?}");

    let client = outside.log_in();
    assert_eq!(client.verify("4711", anna), "passed");
    let proposed = client.call("PasswordRandomGet", &json!({}));
    let order = json!({"password": proposed["password"], "idempotencyKey": "one"});
    let job = client.call("UserPasswordSync", &order);
    assert_eq!(job["status"], "running", "{job}");
    let log = outside.server.log();
    let line = log
        .lines()
        .find(|line| line.contains("call=\"UserPasswordSync\""))
        .expect("a line");
    let took = line
        .split("duration_ms=")
        .nth(1)
        .and_then(|rest| rest.trim().parse().ok());
    assert!(took.is_some_and(|took: u32| took < 2_000), "{line}");
    // What is done is told while the rest goes on.
    let mail_is_done = || {
        let job = client.call("JobGet", &json!({"job": job["job"]}));
        assert_eq!(job["status"], "running", "{job}");
        let accounts = job["accounts"].as_array().expect("accounts").clone();
        accounts
            .iter()
            .any(|account| account["system"] == "mail" && account["outcome"] == "done")
            .then_some(())
    };
    wait_for("the system that does not hang", PATIENCE, mail_is_done);

    let other = outside.log_in();
    assert_eq!(other.verify("4712", |_| "2016"), "passed");
    let proposed = other.call("PasswordRandomGet", &json!({}));
    let order = json!({"password": proposed["password"], "idempotencyKey": "other"});
    assert_eq!(other.ended(other.call("UserPasswordSync", &order))["status"], "done");

    fs::write(outside.house.path().join("go"), "").expect("written");
    let done = client.ended(job);
    assert_eq!(done["status"], "done", "{done}");
    outside.server.stop();
}

/// HAProxy, which is ended with the test.
struct HaProxy(Child);

impl Drop for HaProxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_real_haproxy_says_whom_a_connection_is_from() {
    let outside = Outside::new(&Settings {
        configuration: "trusted_proxies = [\"127.0.0.9\"]\nproxy_protocol = true\n",
        ..Settings::default()
    });
    let api = outside.server.api.expect("an API").port();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port();
    // TLS is passed through; the backend sees the proxy's address and hears the client's.
    let configuration = format!(
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n\
         frontend in\n  bind 127.0.0.1:{port}\n  default_backend out\n\
         backend out\n  server api 127.0.0.1:{api} send-proxy-v2 source 127.0.0.9\n"
    );
    let file = outside.house.path().join("haproxy.cfg");
    fs::write(&file, configuration).expect("written");
    let proxy = Command::new("haproxy").args(["-db", "-f"]).arg(&file).spawn();
    let _proxy = HaProxy(proxy.expect("haproxy runs; scripts/setup test installs it"));
    wait_for("haproxy", PATIENCE, || TcpStream::connect(("127.0.0.1", port)).ok());

    let mut client = outside.client_at(port);
    client.log_in("ivr", outside.password());
    assert_eq!(client.verify("4711", anna), "passed");
    client.call("Logout", &json!({}));
    let log = outside.server.log();
    // The client's address, and not the proxy's.
    assert!(
        log.contains("call=\"Login\" form=\"json\" client=\"ivr\" address=\"127.0.0.1\""),
        "{log}"
    );
    assert!(!log.contains("address=\"127.0.0.9\""));
}

/// So many callers of each kind; with them the area below has a standard deviation of 0.04.
const CALLERS: usize = 110;

/// How far from a half the probability may be that an answer to somebody who exists takes longer than one to nobody: four
/// standard deviations. Whoever wants to use a smaller difference needs thousands of requests for each name, and is
/// limited to a few.
const TOLERANCE: f64 = 0.16;

#[test]
fn neither_time_nor_size_tells_whether_somebody_exists() {
    let outside = Outside::new(&Settings {
        configuration: "requests_per_address = 1000000\nrequests_per_user = 1000000\n[lockout.users]\ntries = 100\nhold_after = 100\n\
                        [lockout.trunks]\ntries = 1000\n",
        two_questions: true,
        ..Settings::default()
    });
    // A question that nobody has asked yet may be given without its sound, to whomever asks it first.
    wait_for("questions that have been spoken", PATIENCE, || {
        let client = outside.log_in();
        let listed = client.call("UserIVRList", &json!({"digits": "4790"}));
        let asked = client.call(
            "UserQuestionsGet",
            &json!({"user": listed["users"][0]["user"], "audio": "mulaw"}),
        );
        client.call("Logout", &json!({}));
        let questions = asked["questions"].as_array().expect("questions");
        questions.iter().all(|asked| asked["audio"].is_string()).then_some(())
    });
    let mut times = [[const { Vec::new() }; 3], [const { Vec::new() }; 3]];
    let mut sizes = [[const { Vec::new() }; 3], [const { Vec::new() }; 3]];
    for round in 0..2 * CALLERS {
        // In turns, so that what else the machine does is the same for both.
        let kind = round % 2;
        let digits = [["4711", "4712"], ["4798", "4799"]][kind][round / 2 % 2];
        let client = outside.log_in();
        let mut ask = |step: usize, name: &str, request: serde_json::Value| {
            let began = monotonic();
            let answer = client.ask(name, &request);
            if answer.status == 200 {
                times[kind][step].push(began.elapsed());
                sizes[kind][step].push(answer.length());
            }
            answer.body
        };
        let listed = ask(0, "UserIVRList", json!({"digits": digits}));
        let user = listed["users"][0]["user"].clone();
        let asked = ask(1, "UserQuestionsGet", json!({"user": user, "audio": "mulaw"}));
        let questions = asked["questions"].as_array().into_iter().flatten();
        let answers: Vec<_> = questions
            .map(|asked| json!({"question": asked["question"], "digits": "1111"}))
            .collect();
        let judged = ask(2, "UserAnswersValidate", json!({"answers": answers}));
        assert!(judged["result"] != "passed", "{judged}");
        client.ask("Logout", &json!({}));
    }
    for (step, name) in ["UserIVRList", "UserQuestionsGet", "UserAnswersValidate"]
        .into_iter()
        .enumerate()
    {
        let [known, unknown] = [&times[0][step], &times[1][step]];
        assert!(
            known.len() > CALLERS / 2 && unknown.len() > CALLERS / 2,
            "{name}: too few answers"
        );
        let area = probability_of_longer(known, unknown);
        println!(
            "{name}: known {:?}, unknown {:?} in the middle; known takes longer with probability {area:.3}",
            median(known),
            median(unknown)
        );
        assert!((area - 0.5).abs() < TOLERANCE, "{name}: {area}");
        let class = |sizes: &[usize]| {
            let mut sizes = sizes.to_vec();
            sizes.sort_unstable();
            sizes.dedup();
            sizes
        };
        assert_eq!(class(&sizes[0][step]), class(&sizes[1][step]), "{name}: sizes");
    }
    outside.server.stop();
}

/// The probability that one of `a` is longer than one of `b` (Mann and Whitney, 1947): a half if they are alike.
fn probability_of_longer(a: &[Duration], b: &[Duration]) -> f64 {
    let pairs = a.iter().flat_map(|a| b.iter().map(move |b| a.cmp(b)));
    let (mut longer, mut all) = (0.0, 0.0);
    for order in pairs {
        all += 1.0;
        longer += match order {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        };
    }
    longer / all
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}
