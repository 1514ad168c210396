//! Cloud services and other systems with an API over HTTP, each against a server that keeps to its documented contract.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use passline::integration::target::rest::{Description, Rest, RestConfig, is_address};
use passline::integration::target::{Expiry, Refusal, Target, TargetError, Verdict};
use passline::secret::Secret;

use crate::support::backend::{openldap, samba};
use crate::support::block_on;
use crate::support::caller::Caller;
use crate::support::contract::{CREDENTIAL, Contract, Trouble};
use crate::support::jwt;
use crate::support::server::{House, Settings};
use crate::support::target::{NEW, OLD, problems, refusal, secret, unreachable, verify};

const ALL: [&str; 6] = ["keycloak", "entra", "okta", "google", "servicenow", "scim"];
const ANNA: &str = "anna@example.com";

fn parameters(api: &str, server: &Contract) -> BTreeMap<String, String> {
    let url = server.url();
    let pairs: &[(&str, &str)] = match api {
        "keycloak" => &[("realm", "staff"), ("verify_client", "verifier")],
        "entra" => &[("tenant", "contoso"), ("verify_client", "verifier"), ("login", &url)],
        "google" => &[("admin", "admin@example.com"), ("sign_in", &url)],
        _ => &[],
    };
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn config(api: &str, server: &Contract) -> RestConfig {
    RestConfig {
        name: "cloud".to_owned(),
        description: Description::parse(Description::shipped(api).expect("shipped")).expect("a description"),
        url: server.url(),
        user: "passline".to_owned(),
        parameters: parameters(api, server),
        ca: None,
        proxy: None,
        connect: Duration::from_secs(10),
    }
}

fn credential(api: &str) -> Secret {
    match api {
        "google" => Secret::new(jwt::private_key()),
        _ => secret(CREDENTIAL),
    }
}

fn target(api: &str, server: &Contract) -> Rest {
    Rest::new(config(api, server), Some(credential(api))).expect("a client")
}

/// With somebody.
fn server(api: &'static str) -> (Contract, Rest) {
    let server = Contract::of(api);
    server.person(ANNA, OLD);
    let target = target(api, &server);
    (server, target)
}

fn reset(target: &Rest, account: &str, password: &str) -> Result<Expiry, TargetError> {
    block_on(target.reset(account, &secret(password), Expiry::AtNextSignIn))
}

#[test]
fn a_reset_replaces_the_password_everywhere() {
    for api in ALL {
        let (server, target) = server(api);
        let expiry = if api == "scim" {
            Expiry::Keep
        } else {
            Expiry::AtNextSignIn
        };
        assert_eq!(reset(&target, ANNA, NEW), Ok(expiry), "{api}");
        let shows = server.shows(ANNA);
        assert_eq!((shows.password.as_str(), shows.changes), (NEW, 1), "{api}");
        assert_eq!(shows.must_change, expiry == Expiry::AtNextSignIn, "{api}");
        // In whatever case the account is written.
        let kept = block_on(target.reset("Anna@Example.com", &secret(OLD), Expiry::Keep));
        assert_eq!(kept, Ok(Expiry::Keep), "{api}");
        let shows = server.shows(ANNA);
        assert_eq!((shows.password.as_str(), shows.must_change), (OLD, false), "{api}");
        assert_eq!(server.violations(), Vec::<String>::new(), "{api}");
    }
}

#[test]
fn what_an_account_is_like_is_seen() {
    for api in ALL {
        let (server, target) = server(api);
        let can = target.capabilities();
        assert!(can.reset && can.enable, "{api}");
        let state = block_on(target.state(ANNA)).expect("a state");
        assert_eq!(state.disabled, Some(false), "{api}");
        assert_eq!(state.locked, can.lock_state.then_some(false), "{api}");
        block_on(target.disable(ANNA)).expect("disabled");
        assert!(server.shows(ANNA).disabled, "{api}");
        assert_eq!(
            block_on(target.state(ANNA)).expect("a state").disabled,
            Some(true),
            "{api}"
        );
        assert_eq!(refusal(reset(&target, ANNA, NEW)), Refusal::Disabled, "{api}");
        assert_eq!(server.shows(ANNA).password, OLD, "{api}: it is left alone");
        block_on(target.enable(ANNA)).expect("enabled");
        assert!(!server.shows(ANNA).disabled, "{api}");
        if can.expire {
            block_on(target.expire(ANNA)).expect("expired");
            assert!(server.shows(ANNA).must_change, "{api}");
        }
        if can.lock_state {
            server.change(ANNA, |person| person.locked = true);
            assert_eq!(
                block_on(target.state(ANNA)).expect("a state").locked,
                Some(true),
                "{api}"
            );
            block_on(target.unlock(ANNA)).expect("unlocked");
            assert!(!server.shows(ANNA).locked, "{api}");
            server.change(ANNA, |person| person.locked = true);
            reset(&target, ANNA, NEW).expect("reset");
            assert!(!server.shows(ANNA).locked, "{api}: a lock goes with a reset");
        }
        assert_eq!(server.violations(), Vec::<String>::new(), "{api}");
    }
}

#[test]
fn a_password_is_tried_where_there_is_a_way() {
    for api in ["keycloak", "entra", "okta"] {
        let (server, target) = server(api);
        let verify = |password: &str| block_on(target.verify(ANNA, &secret(password))).expect("a verdict");
        assert_eq!(verify(OLD), Verdict::Accepted, "{api}");
        assert_eq!(verify(NEW), Verdict::Rejected, "{api}");
        assert_eq!(verify(""), Verdict::Rejected, "{api}");
        reset(&target, ANNA, NEW).expect("reset");
        assert_eq!(verify(NEW), Verdict::AcceptedMustChange, "{api}");
        assert_eq!(verify(OLD), Verdict::Rejected, "{api}");
        server.change(ANNA, |person| (person.must_change, person.locked) = (false, true));
        assert_eq!(verify(NEW), Verdict::Barred, "{api}");
        server.change(ANNA, |person| (person.locked, person.disabled) = (false, true));
        assert_eq!(verify(NEW), Verdict::Barred, "{api}");
        let nobody = block_on(target.verify("nobody@example.com", &secret(OLD)));
        assert_eq!(nobody, Ok(Verdict::Rejected), "{api}");
        assert_eq!(server.violations(), Vec::<String>::new(), "{api}");
    }
    // Without a client for that there is no way.
    let (server, _) = server("keycloak");
    let mut config = config("keycloak", &server);
    config.parameters.remove("verify_client");
    let target = Rest::new(config, Some(credential("keycloak"))).expect("a client");
    assert!(!target.capabilities().verify);
    let tried = block_on(target.verify(ANNA, &secret(OLD)));
    assert!(matches!(tried, Err(TargetError::Unsupported { .. })), "{tried:?}");
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[test]
fn what_is_refused_changes_nothing_and_is_told() {
    for api in ALL {
        let (server, target) = server(api);
        if api != "servicenow" {
            assert_eq!(refusal(reset(&target, ANNA, "short")), Refusal::Policy, "{api}");
        }
        assert_eq!(
            refusal(reset(&target, "nobody@example.com", NEW)),
            Refusal::NoSuchAccount,
            "{api}"
        );
        if ["entra", "okta", "google", "servicenow"].contains(&api) {
            server.change(ANNA, |person| person.apart = true);
            assert_eq!(refusal(reset(&target, ANNA, NEW)), Refusal::Rights, "{api}");
            server.change(ANNA, |person| person.apart = false);
        }
        server.take_rights();
        assert_eq!(refusal(reset(&target, ANNA, NEW)), Refusal::Rights, "{api}");
        assert_eq!(server.shows(ANNA).password, OLD, "{api}");
        assert_eq!(server.violations(), Vec::<String>::new(), "{api}");
    }
}

#[test]
fn names_that_would_be_something_else_are_not_sent() {
    for api in ALL {
        let (server, target) = server(api);
        for name in [
            "",
            ".",
            "..",
            "a\" or userName pr",
            "anna^ORactive=true",
            "{password}",
            "a\nb",
            "o'neil'",
        ] {
            assert_eq!(
                refusal(reset(&target, name, NEW)),
                Refusal::NoSuchAccount,
                "{api}: {name:?}"
            );
        }
        assert_eq!(server.requests(), Vec::<String>::new(), "{api}");
        // These are names, and stay one part of the address.
        for name in ["anna/../admin", "anna?x=1&y", "anna#1", "anna%2e"] {
            assert_eq!(
                refusal(reset(&target, name, NEW)),
                Refusal::NoSuchAccount,
                "{api}: {name:?}"
            );
        }
        assert_eq!(server.violations(), Vec::<String>::new(), "{api}");
    }
    // A short name finds somebody at Okta, who is another account than the one that was meant.
    let (_server, target) = server("okta");
    assert_eq!(refusal(reset(&target, "anna", NEW)), Refusal::NoSuchAccount);
}

/// What is told is what the server has, or *unknown*.
#[test]
fn trouble_in_the_middle_is_told_as_it_is() {
    use Trouble::{Answers, DiesAfter, DiesBefore, HappensAndAnswers};
    for api in ALL {
        for (trouble, may_have_happened) in [
            (DiesBefore, true),
            (DiesAfter, true),
            (Answers(500), true),
            (HappensAndAnswers(500), true),
            (HappensAndAnswers(502), true),
            (HappensAndAnswers(504), true),
            (Answers(429), false),
            (Answers(503), true),
            (HappensAndAnswers(503), true),
            (Answers(302), true),
            (HappensAndAnswers(303), true),
            (Answers(307), false),
        ] {
            let (server, target) = server(api);
            server.trouble(trouble);
            let error = reset(&target, ANNA, NEW).expect_err("trouble");
            assert_eq!(
                error.may_have_happened(),
                may_have_happened,
                "{api}: {trouble:?}: {error}"
            );
            assert_eq!(error.is_transient(), !may_have_happened, "{api}: {trouble:?}: {error}");
            let happened = matches!(trouble, DiesAfter | HappensAndAnswers(_));
            assert_eq!(server.shows(ANNA).password == NEW, happened, "{api}: {trouble:?}");
            // A repetition mends it.
            reset(&target, ANNA, NEW).expect("reset");
            assert_eq!(server.shows(ANNA).password, NEW, "{api}: {trouble:?}");
        }
    }
}

#[test]
fn a_field_that_is_dropped_without_a_word_is_not_told_as_done() {
    let (server, target) = server("servicenow");
    server.drop_fields();
    let error = reset(&target, ANNA, NEW).expect_err("nothing was changed");
    assert!(error.may_have_happened(), "{error}");
    assert_eq!(server.shows(ANNA).password, OLD);
}

#[test]
fn a_token_is_kept_and_renewed_when_it_is_good_no_more() {
    for api in ["keycloak", "entra", "google"] {
        let (server, target) = server(api);
        reset(&target, ANNA, NEW).expect("reset");
        block_on(target.state(ANNA)).expect("a state");
        assert_eq!(server.tokens_given(), 1, "{api}");
        server.withdraw_tokens();
        reset(&target, ANNA, OLD).expect("reset");
        assert_eq!(server.tokens_given(), 2, "{api}");
        assert_eq!(server.violations(), Vec::<String>::new(), "{api}");
    }
}

#[test]
fn what_is_wrong_with_our_own_account_is_told() {
    for api in ALL {
        let (server, target) = server(api);
        assert_eq!(problems(&target, None), [], "{api}");
        assert_eq!(problems(&target, Some(ANNA)), [], "{api}");
        assert_eq!(problems(&target, Some("nobody@example.com")).len(), 1, "{api}");
        let wrong = Rest::new(config(api, &server), Some(secret("wrong"))).expect("a client");
        let told = unreachable(reset(&wrong, ANNA, NEW));
        assert!(!told.contains("wrong"), "{api}: {told}");
        assert_eq!(problems(&wrong, Some(ANNA)).len(), 1, "{api}");
        let none = Rest::new(config(api, &server), None).expect("a client");
        assert!(
            unreachable(reset(&none, ANNA, NEW)).contains("passline target credential"),
            "{api}"
        );
        assert_eq!(server.shows(ANNA).password, OLD, "{api}");
        assert_eq!(server.violations(), Vec::<String>::new(), "{api}");
    }
}

#[test]
fn secrets_go_over_tls_to_whom_is_believed_or_nowhere() {
    assert!(
        is_address("https://sso.example.com") && is_address("http://127.0.0.1:8080") && is_address("http://[::1]/x")
    );
    assert!(
        !is_address("http://sso.example.com") && !is_address("http://127.0.0.1.example.com") && !is_address("ftp://x")
    );
    let contract = Contract::of("scim");
    let clear = RestConfig {
        url: contract.url().replace("127.0.0.1", "127.0.0.1.example.com"),
        ..config("scim", &contract)
    };
    let target = Rest::new(clear, Some(credential("scim"))).expect("a client");
    let told = unreachable(reset(&target, ANNA, NEW));
    assert!(told.contains("in clear"), "{told}");

    // A server with a certificate of its own, whatever it speaks behind that.
    let url = openldap().value("LDAPS_URL").replace("ldaps://", "https://");
    let over_tls = |ca: &str, url: &str| {
        let config = RestConfig {
            url: url.to_owned(),
            ca: Some(ca.into()),
            ..config("scim", &contract)
        };
        unreachable(reset(
            &Rest::new(config, Some(credential("scim"))).expect("a client"),
            ANNA,
            NEW,
        ))
    };
    let believed = over_tls(openldap().value("CA"), &url);
    assert!(!believed.contains("certificate"), "{believed}");
    let other = over_tls(samba().value("CA"), &url);
    assert!(other.contains("certificate"), "{other}");
    let missing = RestConfig {
        ca: Some("/nowhere/ca.pem".into()),
        ..config("scim", &contract)
    };
    let error = Rest::new(missing, None).err().expect("no certificates").to_string();
    assert!(error.contains("/nowhere/ca.pem"), "{error}");
}

#[test]
fn a_server_that_is_gone_is_unreachable() {
    let contract = Contract::of("scim");
    let nowhere = RestConfig {
        url: "https://127.0.0.1:9".to_owned(),
        ..config("scim", &contract)
    };
    let target = Rest::new(nowhere, Some(credential("scim"))).expect("a client");
    unreachable(reset(&target, ANNA, NEW));
}

#[test]
fn a_call_resets_by_an_api_and_finds_out_what_became_of_a_lost_answer() {
    let (server, target) = server("keycloak");
    let house = House::new(&Settings {
        configuration: &format!(
            "[passwords]\nmin_length = 9\nentropy_bits = 28\n[[target]]\nname = \"sso\"\nkind = \"rest\"\napi = \"keycloak\"\n\
             url = \"{}\"\nuser = \"passline\"\n[target.parameters]\nrealm = \"staff\"\nverify_client = \"verifier\"\n",
            server.url()
        ),
        ..Settings::default()
    });
    let kept = house.run_with_input(&["target", "credential", "sso", "--stdin"], CREDENTIAL);
    assert!(kept.status.success(), "{}", String::from_utf8_lossy(&kept.stderr));
    fs::write(
        house.path().join("more.csv"),
        format!("login,account.sso\nanna.berger,{ANNA}\n"),
    )
    .expect("written");
    assert!(house.run(&["user", "import", "more.csv"]).status.success());
    server.trouble(Trouble::DiesAfter);
    let running = house.serve();
    let mut caller = Caller::dial(&running);
    let password = caller.reset_everything();
    caller.hear("reset.everywhere");
    caller.hang_up();
    running.stop();
    assert_eq!(verify(&target, ANNA, OLD), Verdict::Rejected);
    assert_eq!(verify(&target, ANNA, &password), Verdict::AcceptedMustChange);
    let mut database = house.database();
    let proof = "select proof from reset_outcomes join accounts on accounts.id = account_id where target = 'sso'";
    assert_eq!(database.value(proof), "check");
    assert_eq!(server.violations(), Vec::<String>::new());
}
