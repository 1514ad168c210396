//! Who may sign in, from where, how often, and for how long.

use super::*;

fn is_in(signed_in: &SignedIn) -> bool {
    matches!(signed_in, SignedIn::Session(_))
}

#[tokio::test]
async fn a_client_needs_its_password_its_network_and_not_to_be_revoked() {
    let house = House::build().await;
    let services = &house.services;
    add_client(services, "ivr").await;
    let networks = ["192.0.2.0/24", "2001:db8::/32"];
    services
        .add_api_client(
            &cli(),
            NewApiClient {
                networks: NetworkList::parse(networks).unwrap(),
                ..new_client("far")
            },
        )
        .await
        .unwrap();
    for (client, password, address, expected) in [
        ("ivr", PASSWORD, "127.0.0.1", true),
        ("ivr", PASSWORD, "::ffff:127.0.0.1", true),
        ("ivr", PASSWORD, "::1", true),
        // Nothing in the list: this machine only.
        ("ivr", PASSWORD, "192.0.2.1", false),
        ("ivr", "a password of twenty1", "127.0.0.1", false),
        ("ivr", "", "127.0.0.1", false),
        ("ivr2", PASSWORD, "127.0.0.1", false),
        ("far", PASSWORD, "192.0.2.7", true),
        ("far", PASSWORD, "2001:db8::7", true),
        ("far", PASSWORD, "127.0.0.1", false),
    ] {
        let signed_in = sign_in_from(services, client, password, &from(address)).await;
        assert_eq!(is_in(&signed_in), expected, "{client} {address}");
        assert!(expected || matches!(signed_in, SignedIn::Refused { .. }));
    }
    assert_eq!(services.revoke_api_client(&cli(), &name("far")).await.unwrap(), 2);
    assert!(!is_in(
        &sign_in_from(services, "far", PASSWORD, &from("192.0.2.7")).await
    ));
    assert!(matches!(
        services.add_api_client(&cli(), new_client("far")).await,
        Err(ApiClientError::Exists { .. })
    ));
    let names: Vec<_> = house
        .event_names()
        .await
        .into_iter()
        .filter(|name| name.starts_with("ET_API"))
        .collect();
    let count = |wanted| names.iter().filter(|name| **name == wanted).count();
    assert_eq!(count("ET_API_LOGIN_SUCCESS"), 5);
    assert_eq!(count("ET_API_LOGIN_FAILURE"), 6);
    assert_eq!(count("ET_API_CLIENT_CHANGED"), 3);
}

#[tokio::test]
async fn a_certificate_is_proof_enough_or_a_second_one() {
    let house = House::build().await;
    let services = &house.services;
    let fingerprint = "ab".repeat(32);
    let colons: String = std::iter::repeat_n("AB", 32).collect::<Vec<_>>().join(":");
    let with = |name: &str, password: bool| {
        let new = new_client(name);
        NewApiClient {
            password: new.password.clone().filter(|_| password),
            certificate: Some(colons.clone()),
            ..new
        }
    };
    let written = NewApiClient {
        certificate: Some(format!("sha256 Fingerprint={colons}\n")),
        ..with("both", true)
    };
    services.add_api_client(&cli(), written).await.unwrap();
    services.add_api_client(&cli(), with("bare", false)).await.unwrap();
    for (client, password, certificate, expected) in [
        ("both", PASSWORD, Some(fingerprint.clone()), true),
        ("both", PASSWORD, None, false),
        ("both", "another password of mine", Some(fingerprint.clone()), false),
        ("bare", "whatever", Some(fingerprint.clone()), true),
        ("bare", "whatever", Some("cd".repeat(32)), false),
        ("bare", "whatever", None, false),
    ] {
        let peer = ApiPeer { certificate, ..here() };
        let signed_in = sign_in_from(services, client, password, &peer).await;
        assert_eq!(is_in(&signed_in), expected, "{client}");
        if let SignedIn::Session(session) = signed_in {
            assert!(services.resume(&session.token, &peer, Lead::Client).await.is_ok());
            assert!(services.resume(&session.token, &here(), Lead::Client).await.is_err());
        }
    }
    for (certificate, password) in [(Some("zz".repeat(32)), true), (None, false)] {
        let new = NewApiClient {
            password: new_client("x").password.filter(|_| password),
            certificate,
            ..new_client("bad")
        };
        assert!(services.add_api_client(&cli(), new).await.is_err());
    }
}

#[tokio::test]
async fn too_many_wrong_passwords_wait_alike_for_known_and_unknown_clients() {
    for client in ["ivr", "nobody"] {
        let house = House::build().await;
        add_client(&house.services, "ivr").await;
        let attempt = async |address: &str| sign_in_from(&house.services, client, "wrong", &from(address)).await;
        for _ in 0..10 {
            assert!(
                matches!(attempt("127.0.0.1").await, SignedIn::Refused { .. }),
                "{client}"
            );
        }
        for _ in 0..3 {
            let SignedIn::Wait(wait) = attempt("127.0.0.1").await else {
                panic!("{client} did not have to wait");
            };
            assert_eq!(wait, Duration::from_secs(60));
        }
        // From elsewhere, the same client is as before.
        assert!(
            matches!(attempt("127.0.0.2").await, SignedIn::Refused { .. }),
            "{client}"
        );
        house.clock.advance(Duration::from_secs(60));
        assert!(
            matches!(attempt("127.0.0.1").await, SignedIn::Refused { .. }),
            "{client}"
        );
        assert!(house.event_names().await.contains(&"ET_API_LOCKOUT"));
    }
}

#[tokio::test]
async fn an_address_that_tries_many_names_has_to_wait() {
    let house = House::build().await;
    add_client(&house.services, "ivr").await;
    for number in 0..30 {
        let tried = sign_in_from(&house.services, &format!("name{number}"), "wrong", &here()).await;
        assert!(matches!(tried, SignedIn::Refused { .. }), "{number}");
    }
    let tried = sign_in_from(&house.services, "ivr", PASSWORD, &here()).await;
    assert!(matches!(tried, SignedIn::Wait(_)), "{tried:?}");
    assert!(is_in(
        &sign_in_from(&house.services, "ivr", PASSWORD, &from("127.0.0.9")).await
    ));
}

/// A token of a call that a flow leads was once taken by the calls of the API: whoever had it could ask beside the flow.
#[tokio::test]
async fn a_session_is_for_calls_or_for_pages() {
    let house = House::build().await;
    let services = &house.services;
    add_client(services, "ivr").await;
    let password = Secret::new(PASSWORD.to_owned());
    for lead in [Lead::Client, Lead::Flow] {
        let who = SignIn {
            client: "ivr",
            password: Some(&password),
            peer: &here(),
            caller: None,
            language: None,
            lead,
        };
        let SignedIn::Session(session) = services.sign_in(who).await.unwrap() else {
            panic!("not signed in");
        };
        for door in [Lead::Client, Lead::Flow] {
            let resumed = services.resume(&session.token, &here(), door).await;
            assert_eq!(resumed.is_ok(), door == lead, "{lead:?} at {door:?}");
        }
    }
}

#[tokio::test]
async fn a_session_lasts_as_long_as_the_call_that_carries_it() {
    let house = House::build().await;
    let services = &house.services;
    add_client(services, "ivr").await;
    let SignedIn::Session(session) = sign_in_from(services, "ivr", PASSWORD, &here()).await else {
        panic!("not signed in");
    };
    // A page plays for longer than a session may be idle.
    for _ in 0..10 {
        house.clock.advance(Duration::from_secs(60));
        assert!(session.visit.is_carried_on().await.unwrap());
        assert_eq!(services.end_idle_sessions().await.unwrap(), 0);
    }
    assert!(services.resume(&session.token, &here(), Lead::Client).await.is_ok());
    services.revoke_api_client(&cli(), &name("ivr")).await.unwrap();
    assert!(!session.visit.is_carried_on().await.unwrap());
}

#[tokio::test]
async fn a_session_belongs_to_its_network_and_ends_by_time() {
    let house = House::build().await;
    let services = &house.services;
    let new = NewApiClient {
        networks: NetworkList::parse(["192.0.2.0/24", "198.51.100.0/24"]).unwrap(),
        ..new_client("far")
    };
    services.add_api_client(&cli(), new).await.unwrap();
    let begin = async || match sign_in_from(services, "far", PASSWORD, &from("192.0.2.1")).await {
        SignedIn::Session(session) => session.token.clone(),
        other => panic!("{other:?}"),
    };
    let goes_on =
        async |token: &Secret, address: &str| services.resume(token, &from(address), Lead::Client).await.is_ok();
    let token = begin().await;
    assert!(goes_on(&token, "192.0.2.200").await);
    assert!(!goes_on(&token, "198.51.100.1").await && !goes_on(&token, "127.0.0.1").await);
    assert!(!goes_on(&Secret::new("A".repeat(43)), "192.0.2.1").await);

    // Idle: each use counts from anew, give or take the time of a note.
    for _ in 0..3 {
        house.clock.advance(Duration::from_secs(100));
        assert!(goes_on(&token, "192.0.2.1").await);
    }
    // The whole time, also after a use that was too soon to be noted.
    for seconds in [14, 119] {
        house.clock.advance(Duration::from_secs(seconds));
        assert!(goes_on(&token, "192.0.2.1").await, "{seconds}");
    }
    house.clock.advance(Duration::from_secs(135));
    assert!(!goes_on(&token, "192.0.2.1").await);
    assert_eq!(services.end_idle_sessions().await.unwrap(), 1);
    assert_eq!(services.end_idle_sessions().await.unwrap(), 0);

    // At the latest with the visit.
    let token = begin().await;
    for _ in 0..18 {
        house.clock.advance(Duration::from_secs(99));
        assert!(goes_on(&token, "192.0.2.1").await);
    }
    house.clock.advance(Duration::from_secs(99));
    assert!(!goes_on(&token, "192.0.2.1").await);

    // Another list of networks holds at once; so does another certificate.
    let token = begin().await;
    let change = ApiClientChange {
        networks: Some(NetworkList::parse(["198.51.100.0/24"]).unwrap()),
        ..ApiClientChange::default()
    };
    services.change_api_client(&cli(), &name("far"), change).await.unwrap();
    assert!(!goes_on(&token, "192.0.2.1").await);
}

#[tokio::test]
async fn a_changed_password_is_needed_from_then_on() {
    let house = House::build().await;
    let services = &house.services;
    add_client(services, "ivr").await;
    let password = services.new_client_password();
    assert_eq!(password.expose().len(), 32);
    let change = ApiClientChange {
        password: Some(password.clone()),
        ..ApiClientChange::default()
    };
    services.change_api_client(&cli(), &name("ivr"), change).await.unwrap();
    assert!(!is_in(&sign_in_from(services, "ivr", PASSWORD, &here()).await));
    assert!(is_in(&sign_in_from(services, "ivr", password.expose(), &here()).await));
    let short = ApiClientChange {
        password: Some(Secret::new("short".to_owned())),
        ..ApiClientChange::default()
    };
    // Failures with the old password say nothing of the new one, and a success wipes the slate.
    for _ in 0..3 {
        for _ in 0..9 {
            assert!(!is_in(
                &sign_in_from(services, "ivr", "wrong", &from("127.0.0.7")).await
            ));
        }
        assert!(is_in(
            &sign_in_from(services, "ivr", password.expose(), &from("127.0.0.7")).await
        ));
    }
    assert!(matches!(
        services.change_api_client(&cli(), &name("ivr"), short).await,
        Err(ApiClientError::Password)
    ));
    assert!(matches!(
        services.revoke_api_client(&cli(), &name("nobody")).await,
        Err(ApiClientError::Unknown { .. })
    ));
    let clients = services.api_clients().await.unwrap();
    assert_eq!(clients.len(), 1);
    assert!(clients[0].has_password && clients[0].networks.is_empty());
}

#[tokio::test]
async fn a_token_and_a_proposal_are_nowhere_in_clear() {
    let house = House::build().await;
    add_client(&house.services, "ivr").await;
    let session = session(&house.services).await;
    let evidence = verify(&session.visit, "1001").await;
    let proposal = kept(&session, &evidence).await;
    let mut files = Vec::new();
    for entry in std::fs::read_dir(house.folder.path()).unwrap() {
        files.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    // On PostgreSQL there is no file to look at, and whole-call tests look there.
    for secret in [session.token.expose(), proposal.password().expose(), PASSWORD] {
        assert!(!files.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
}
