//! Hosts that are reached by SSH, against a real OpenSSH server with the real tools.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use passline::integration::target::ssh::{SshConfig, SshHost, SshSignIn};
use passline::integration::target::{Expiry, Refusal, Target, TargetError, Verdict};
use passline::secret::Secret;

use crate::support::backend::{Fault, Wire, host_person, on_host, sshd};
use crate::support::block_on;
use crate::support::caller::Caller;
use crate::support::server::{House, Settings};
use crate::support::target::{NEW, OLD, problems, refusal, reset, secret, unreachable, verify};

fn config() -> SshConfig {
    SshConfig {
        name: "unix".to_owned(),
        host: sshd().value("HOST").to_owned(),
        port: port("PORT"),
        host_keys: vec![sshd().value("HOST_KEY").parse().expect("a key")],
        user: "svc-passline".to_owned(),
        sign_in: SshSignIn::Key,
        script: None,
        uids: SshConfig::UIDS,
        faillock: true,
        verify: true,
        connect: Duration::from_secs(20),
    }
}

fn port(key: &str) -> u16 {
    sshd().value(key).parse().expect("a port")
}

fn key() -> Secret {
    Secret::new(fs::read_to_string(sshd().value("SERVICE_KEY")).expect("a key"))
}

fn host(config: SshConfig) -> SshHost {
    SshHost::new(config, Some(key()))
}

/// What the host has as the hash of a password.
fn shadow(name: &str) -> String {
    on_host(&["getent", "shadow", name], "")
}

#[test]
fn a_reset_replaces_the_password_which_must_be_changed() {
    host_person("ada", OLD);
    let target = host(config());
    assert_eq!(verify(&target, "ada", OLD), Verdict::Accepted);
    assert_eq!(
        reset(&target, "ada", NEW, Expiry::AtNextSignIn),
        Ok(Expiry::AtNextSignIn)
    );
    assert_eq!(verify(&target, "ada", OLD), Verdict::Rejected);
    assert_eq!(verify(&target, "ada", NEW), Verdict::AcceptedMustChange);
    let state = block_on(target.state("ada")).expect("a state");
    assert_eq!(
        (state.must_change, state.disabled, state.locked),
        (Some(true), Some(false), Some(false))
    );
    assert_eq!(reset(&target, "ada", OLD, Expiry::Keep), Ok(Expiry::Keep));
    assert_eq!(verify(&target, "ada", OLD), Verdict::Accepted);
    block_on(target.expire("ada")).expect("expired");
    assert_eq!(verify(&target, "ada", OLD), Verdict::AcceptedMustChange);
    assert_eq!(verify(&target, "ada", ""), Verdict::Rejected);
    assert_eq!(verify(&target, "nobody.here", OLD), Verdict::Rejected);
}

#[test]
fn passwords_in_a_conversation_with_pam_are_tried_too() {
    host_person("agnes", OLD);
    let target = host(SshConfig {
        port: port("PORT_INTERACTIVE"),
        ..config()
    });
    assert_eq!(verify(&target, "agnes", OLD), Verdict::Accepted);
    assert_eq!(verify(&target, "agnes", NEW), Verdict::Rejected);
    assert_eq!(
        reset(&target, "agnes", NEW, Expiry::AtNextSignIn),
        Ok(Expiry::AtNextSignIn)
    );
    assert_eq!(verify(&target, "agnes", NEW), Verdict::AcceptedMustChange);
}

#[test]
fn a_host_that_takes_no_passwords_cannot_try_one() {
    host_person("alma", OLD);
    let target = host(SshConfig {
        port: port("PORT_KEYS"),
        ..config()
    });
    let tried = block_on(target.verify("alma", &secret(OLD)));
    assert!(matches!(tried, Err(TargetError::Unsupported { .. })), "{tried:?}");
    assert_eq!(reset(&target, "alma", NEW, Expiry::Keep), Ok(Expiry::Keep));
    assert_eq!(verify(&host(config()), "alma", NEW), Verdict::Accepted);
}

#[test]
fn a_lock_bars_even_the_right_password_and_goes_with_a_reset() {
    host_person("berta", OLD);
    let target = host(config());
    for _ in 0..3 {
        verify(&target, "berta", "wrong");
    }
    assert_eq!(verify(&target, "berta", OLD), Verdict::Barred);
    assert_eq!(block_on(target.state("berta")).expect("a state").locked, Some(true));
    block_on(target.unlock("berta")).expect("unlocked");
    assert_eq!(verify(&target, "berta", OLD), Verdict::Accepted);
    for _ in 0..3 {
        verify(&target, "berta", "wrong");
    }
    assert_eq!(reset(&target, "berta", NEW, Expiry::Keep), Ok(Expiry::Keep));
    assert_eq!(verify(&target, "berta", NEW), Verdict::Accepted);
}

#[test]
fn an_account_that_is_locked_for_good_is_told_and_left_alone() {
    host_person("clara", OLD);
    let target = host(config());
    block_on(target.disable("clara")).expect("disabled");
    let before = shadow("clara");
    assert_eq!(block_on(target.state("clara")).expect("a state").disabled, Some(true));
    assert_eq!(verify(&target, "clara", OLD), Verdict::Barred);
    assert_eq!(refusal(reset(&target, "clara", NEW, Expiry::Keep)), Refusal::Disabled);
    assert_eq!(shadow("clara"), before);
    block_on(target.enable("clara")).expect("enabled");
    assert_eq!(verify(&target, "clara", OLD), Verdict::Accepted);
}

#[test]
fn root_and_services_and_what_is_no_name_are_left_alone() {
    host_person("dora", OLD);
    let target = host(config());
    let before = (shadow("root"), shadow("svc-password"), shadow("dora"));
    for system in ["root", "svc-password", "daemon"] {
        assert_eq!(
            refusal(reset(&target, system, NEW, Expiry::Keep)),
            Refusal::Rights,
            "{system}"
        );
        assert_eq!(refusal(block_on(target.disable(system))), Refusal::Rights, "{system}");
    }
    let uid = on_host(&["id", "-u", "dora"], "");
    for nobody in ["nobody.here", "-S", "dora:x", "dora;id", "dora\nroot", "", uid.trim()] {
        let answer = reset(&target, nobody, NEW, Expiry::Keep);
        assert_eq!(refusal(answer), Refusal::NoSuchAccount, "{nobody:?}");
    }
    // A second line would be a second user.
    let lines = reset(&target, "dora", "x\nroot:y", Expiry::Keep);
    assert_eq!(refusal(lines), Refusal::Policy);
    assert_eq!((shadow("root"), shadow("svc-password"), shadow("dora")), before);
}

#[test]
fn another_host_key_is_not_believed() {
    let target = host(SshConfig {
        host_keys: vec![sshd().value("HOST_KEY_RSA").parse().expect("a key")],
        ..config()
    });
    // By its key of RSA it is the same host.
    assert_eq!(refusal(block_on(target.state("nobody.here"))), Refusal::NoSuchAccount);
    // Another one of the same kind.
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    let target = host(SshConfig {
        host_keys: vec![other.parse().expect("a key")],
        ..config()
    });
    let reason = unreachable(reset(&target, "nobody.here", NEW, Expiry::Keep));
    assert!(
        reason.contains("another host key") && reason.contains(sshd().value("HOST_KEY")),
        "{reason}"
    );
}

#[test]
fn what_is_wrong_with_our_own_account_is_told() {
    host_person("elsa", OLD);
    let nothing = SshHost::new(config(), None);
    let reason = unreachable(reset(&nothing, "elsa", NEW, Expiry::Keep));
    assert!(reason.contains("passline target credential"), "{reason}");
    let password = SshHost::new(config(), Some(secret("no key")));
    let reason = unreachable(reset(&password, "elsa", NEW, Expiry::Keep));
    assert!(
        reason.contains("no private key") && !reason.contains("no key"),
        "{reason}"
    );
    let stranger = host(SshConfig {
        user: "elsa".to_owned(),
        ..config()
    });
    let reason = unreachable(reset(&stranger, "elsa", NEW, Expiry::Keep));
    assert!(reason.contains("the key of elsa is not taken"), "{reason}");

    let by_password = |password: &str| {
        let config = SshConfig {
            user: "svc-password".to_owned(),
            sign_in: SshSignIn::Password,
            ..config()
        };
        SshHost::new(config, Some(secret(password)))
    };
    let reason = unreachable(reset(&by_password("wrong"), "elsa", NEW, Expiry::Keep));
    assert!(reason.contains("the password of svc-password is not taken"), "{reason}");
    assert_eq!(reset(&by_password(OLD), "elsa", NEW, Expiry::Keep), Ok(Expiry::Keep));
    assert_eq!(verify(&by_password(OLD), "elsa", NEW), Verdict::Accepted);
}

#[test]
fn a_missing_right_is_told() {
    host_person("frida", OLD);
    let poor = host(SshConfig {
        user: "svc-poor".to_owned(),
        ..config()
    });
    let before = shadow("frida");
    assert_eq!(refusal(reset(&poor, "frida", NEW, Expiry::Keep)), Refusal::Rights);
    let missing = problems(&poor, Some("frida"));
    assert_eq!(missing.len(), 6, "{missing:?}");
    assert!(
        missing[0]
            .problem
            .as_deref()
            .is_some_and(|text| text.contains("set passwords")),
        "{missing:?}"
    );
    assert_eq!(problems(&host(config()), Some("frida")), []);
    assert_eq!(problems(&host(config()), Some("nobody.here")).len(), 1);
    assert_eq!(shadow("frida"), before, "a test changes nothing");
}

/// The least right: that one script, which leaves administrators and system accounts alone whatever it is asked.
#[test]
fn a_script_of_the_host_is_enough_and_keeps_administrators_out() {
    host_person("greta", OLD);
    host_person("grete.admin", OLD);
    on_host(&["usermod", "-aG", "sudo", "grete.admin"], "");
    host_person("grete.sudo", OLD);
    on_host(
        &["tee", "/etc/sudoers.d/grete"],
        "grete.sudo ALL=(ALL) NOPASSWD: /usr/bin/id\n",
    );
    let target = host(SshConfig {
        user: "svc-script".to_owned(),
        script: Some("/usr/local/sbin/passline-account".to_owned()),
        uids: 1..=u32::MAX,
        ..config()
    });
    assert_eq!(problems(&target, Some("greta")), []);
    assert_eq!(
        reset(&target, "greta", NEW, Expiry::AtNextSignIn),
        Ok(Expiry::AtNextSignIn)
    );
    assert_eq!(verify(&target, "greta", NEW), Verdict::AcceptedMustChange);
    block_on(target.unlock("greta")).expect("unlocked");
    for other in ["grete.admin", "grete.sudo", "daemon", "svc-password"] {
        let before = shadow(other);
        assert_eq!(
            refusal(reset(&target, other, NEW, Expiry::Keep)),
            Refusal::Rights,
            "{other}"
        );
        assert_eq!(shadow(other), before);
    }
    // Without the script, by the same account: nothing.
    let direct = host(SshConfig {
        user: "svc-script".to_owned(),
        ..config()
    });
    assert_eq!(refusal(reset(&direct, "greta", OLD, Expiry::Keep)), Refusal::Rights);
}

/// Cut after each number of packets: what is told is what the host has, or *unknown*; and repeating it mends it.
#[test]
fn a_connection_that_breaks_anywhere_tells_no_lie() {
    host_person("hilda", OLD);
    let target_address = format!("127.0.0.1:{}", port("PORT")).parse().expect("an address");
    let wire = Wire::to(target_address);
    let target = host(SshConfig {
        port: wire.address.port(),
        faillock: false,
        ..config()
    });
    let (mut nothing, mut unknown) = (0, 0);
    let mut done = 0;
    for cut in 0..60 {
        let before = shadow("hilda");
        wire.set(Fault::LoseAfter(cut));
        let told = reset(&target, "hilda", &format!("Cut-Pass-{cut}"), Expiry::AtNextSignIn);
        wire.set(Fault::None);
        match told {
            Ok(_) => done += 1,
            Err(TargetError::Unreachable { reason, .. }) => {
                assert_eq!(shadow("hilda"), before, "{cut}: {reason}");
                nothing += 1;
            }
            Err(TargetError::Unknown { .. }) => {
                unknown += 1;
                let again = reset(&target, "hilda", &format!("Cut-Pass-{cut}"), Expiry::AtNextSignIn);
                assert_eq!(again, Ok(Expiry::AtNextSignIn), "{cut}");
            }
            Err(error) => panic!("{cut}: {error}"),
        }
        if done == 3 {
            break;
        }
    }
    assert!(nothing > 5 && unknown > 0 && done == 3, "{nothing} {unknown} {done}");
}

/// Everybody on a host sees the arguments of all processes.
#[test]
fn no_process_has_a_password_among_its_arguments() {
    host_person("ida", OLD);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut looks = 0_usize;
            while !over.load(Ordering::Relaxed) {
                for entry in fs::read_dir("/proc").expect("processes").flatten() {
                    for file in ["cmdline", "environ"] {
                        let text = fs::read(entry.path().join(file)).unwrap_or_default();
                        let found = text.windows(10).any(|window| window == b"Canary-Pas");
                        assert!(!found, "{}", String::from_utf8_lossy(&text));
                    }
                }
                looks += 1;
            }
            looks
        });
        for script in [None, Some("/usr/local/sbin/passline-account".to_owned())] {
            let user = if script.is_some() { "svc-script" } else { "svc-passline" };
            let target = host(SshConfig {
                user: user.to_owned(),
                script,
                ..config()
            });
            for count in 0..4 {
                let canary = format!("{}-Pass-{count}", "Canary");
                assert!(reset(&target, "ida", &canary, Expiry::AtNextSignIn).is_ok());
            }
        }
        over.store(true, Ordering::Relaxed);
        assert!(watching.join().expect("it watched") > 10);
    });
}

#[test]
fn people_are_listed_page_by_page() {
    host_person("jana", OLD);
    host_person("jane", OLD);
    let target = host(config());
    let all = block_on(target.list_accounts(None, 10_000)).expect("a list");
    assert!(all.is_sorted() && all.contains(&"jana".to_owned()) && !all.contains(&"root".to_owned()));
    let one = block_on(target.list_accounts(Some("jana"), 1)).expect("a list");
    assert_eq!(one, ["jane"]);
}

#[test]
fn a_call_resets_the_password_of_a_host() {
    host_person("anna.unix", OLD);
    let house = House::new(&Settings {
        configuration: &format!(
            "[passwords]\nmin_length = 9\nentropy_bits = 28\n[[target]]\nname = \"unix\"\nkind = \"ssh\"\nhost = \"{}\"\n\
             port = {}\nhost_keys = [\"{}\"]\nuser = \"svc-passline\"\n",
            sshd().value("HOST"),
            sshd().value("PORT"),
            sshd().value("HOST_KEY"),
        ),
        ..Settings::default()
    });
    let kept = house.run_with_input(&["target", "credential", "unix", "--stdin"], key().expose());
    assert!(kept.status.success(), "{}", String::from_utf8_lossy(&kept.stderr));
    fs::write(
        house.path().join("more.csv"),
        "login,account.unix\nanna.berger,anna.unix\n",
    )
    .expect("written");
    assert!(house.run(&["user", "import", "more.csv"]).status.success());
    let server = house.serve();
    let mut caller = Caller::dial(&server);
    let password = caller.reset_everything();
    caller.hear("reset.everywhere");
    caller.hang_up();
    server.stop();
    let target = host(config());
    assert_eq!(verify(&target, "anna.unix", OLD), Verdict::Rejected);
    assert_eq!(verify(&target, "anna.unix", &password), Verdict::AcceptedMustChange);
}
