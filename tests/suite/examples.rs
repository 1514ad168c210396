//! The clients of `contrib/api` that people begin with: each walks from the digits to the reset against the real server, and
//! is told off when its password is wrong. What is secret is in no argument meanwhile.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use passline::integration::target::Verdict;

use crate::api::Outside;
use crate::support::server::{Settings, root};

/// How an example ended.
struct Told {
    good: bool,
    out: String,
    err: String,
}

/// Runs an example, and keys what it asks for, as a caller would.
fn run(outside: &Outside, command: &[&str], password: &str) -> Told {
    let folder = outside.house.path();
    std::fs::write(folder.join("password"), format!("{password}\n")).expect("a file");
    let port = outside.server.api.expect("an API").port();
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .env("PASSLINE_URL", format!("https://localhost:{port}"))
        .env("PASSLINE_CA", folder.join("ca.pem"))
        .env("PASSLINE_USER", "ivr")
        .env("PASSLINE_PASSWORD_FILE", folder.join("password"))
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut keys = child.stdin.take().expect("piped");
    let mut out = String::new();
    for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
        let line = line.expect("text");
        let answer = match line.as_str() {
            line if line.contains("key your number") => "4711",
            line if line.contains("badge") => "835164",
            line if line.contains("In which year") => "2009",
            _ => "",
        };
        if !answer.is_empty() {
            writeln!(keys, "{answer}").expect("the example reads");
        }
        out += &line;
        out.push('\n');
    }
    let mut err = String::new();
    let errors = child.stderr.take().expect("piped").read_to_string(&mut err);
    errors.expect("text");
    Told {
        good: child.wait().expect("an end").success(),
        out,
        err,
    }
}

/// Arguments of all programs in a folder in which one of these was, until it is over.
fn arguments_with(secrets: &[&str], folder: &Path, is_over: &AtomicBool) -> Vec<String> {
    let mut found = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let processes = std::fs::read_dir("/proc").expect("processes").flatten();
        // Those of other tests are elsewhere.
        let is_here =
            |process: &std::path::PathBuf| std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == folder);
        for process in processes.map(|entry| entry.path()).filter(is_here) {
            // It may be gone already.
            let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            if secrets.iter().any(|secret| line.contains(secret)) {
                found.push(line);
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    found
}

fn walks(command: &[&str]) {
    let outside = Outside::new(&Settings {
        two_questions: true,
        ..Settings::default()
    });
    let is_over = AtomicBool::new(false);
    let (told, seen) = std::thread::scope(|scope| {
        let secrets = [outside.password(), "Bearer ", "835164"];
        let (folder, is_over) = (outside.house.path(), &is_over);
        let watch = scope.spawn(move || arguments_with(&secrets, folder, is_over));
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            run(&outside, command, outside.password())
        }));
        is_over.store(true, Ordering::Relaxed);
        (told, watch.join().expect("a list"))
    });
    let told = told.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let shown = format!("{}{}", told.out, told.err);
    assert!(told.good, "{shown}");
    for expected in [
        "active-directory aberger: done",
        "mail anna.berger: done",
        "payroll p4711: done",
    ] {
        assert!(told.out.contains(expected), "{expected:?} is not in {shown}");
    }
    assert!(seen.is_empty(), "{seen:?}");
    for secret in [outside.password(), "835164", "2009"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert_eq!(outside.house.verify_old("mail", "anna.berger"), Verdict::Rejected);
    let wrong = run(&outside, command, "Wr0ng-password");
    assert!(!wrong.good && wrong.err.contains("sign-in-refused"), "{}", wrong.err);
    assert!(!wrong.err.contains("Wr0ng"), "{}", wrong.err);
    // Every session that was begun has ended.
    let log = outside.server.log();
    let count = |call: &str| {
        log.lines()
            .filter(|line| line.contains(call) && line.contains("outcome=\"ok\""))
            .count()
    };
    assert_eq!(count("call=\"Login\""), count("call=\"Logout\""));
}

fn example(name: &str) -> String {
    let path = root().join("contrib/api").join(name);
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn the_example_with_curl_walks_to_the_reset() {
    walks(&["bash", &example("reset.sh")]);
}

#[test]
fn the_example_in_python_walks_to_the_reset() {
    walks(&["/usr/bin/python3", "-B", &example("reset.py")]);
}

#[test]
fn the_example_in_javascript_walks_to_the_reset() {
    walks(&["node", &example("reset.mjs")]);
}

#[test]
fn the_example_in_java_walks_to_the_reset() {
    walks(&["java", &example("Reset.java")]);
}

/// The only one that Debian has no compiler for.
#[test]
fn the_example_in_c_sharp_walks_to_the_reset() {
    let version = Command::new("dotnet").arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let major = version
        .unwrap_or_default()
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < 10) {
        eprintln!("skipped: contrib/api/reset.cs, for there is no .NET 10 here");
        return;
    }
    walks(&["dotnet", "run", &example("reset.cs")]);
}

#[test]
fn each_example_is_in_the_list() {
    let list = std::fs::read_to_string(root().join("contrib/api/README.md")).expect("a list");
    for entry in std::fs::read_dir(root().join("contrib/api"))
        .expect("a folder")
        .flatten()
    {
        let name = entry.file_name().into_string().expect("UTF-8");
        let is_listed = list.contains(&format!("]({name})"));
        assert!(is_listed || Path::new(&name) == Path::new("README.md"), "{name}");
    }
}
