//! The web API when it cannot be served, and when its node stops: the telephone works, and everybody is told.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::api::{Client, Outside, add_user};
use crate::support::caller::Caller;
use crate::support::certificate;
use crate::support::server::{House, Server, Settings};
use crate::support::{PATIENCE, wait_for};

/// A house with an API on this port.
fn house_on(port: u16) -> House {
    let configuration = format!(
        "\n[api]\nlisten = \"127.0.0.1:{port}\"\ncertificate = \"api.pem\"\nkey = \"api-key.pem\"\n\
         client_ca = \"ca.pem\"\n"
    );
    House::new(&Settings {
        configuration: &configuration,
        ..Settings::default()
    })
}

fn wait_until_served(server: &Server) {
    wait_for("the web API", PATIENCE, || {
        (server.page("/health/api").0 == 200).then_some(())
    });
}

#[test]
fn the_telephone_works_while_the_port_is_taken_and_the_certificate_missing() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let house = house_on(port);
    let password = add_user(&house, "ivr", &[]);
    let server = house.serve();
    assert_eq!(server.api, None);
    let (status, text) = server.page("/health/api");
    assert_eq!(status, 503);
    assert!(text.contains("api.pem") && text.contains("api.certificate"), "{text}");
    let (status, text) = server.page("/health/ready");
    assert_eq!(status, 200, "the telephone works");
    assert!(text.contains("/health/api"), "{text}");
    assert_eq!(server.metric("passline_api_up "), 0);
    let mut caller = Caller::dial(&server);
    caller.hear_something();
    caller.hang_up();

    certificate::make(house.path());
    wait_for("the next trouble", PATIENCE, || {
        let text = server.page("/health/api").1;
        (text.contains(&port.to_string()) && text.contains("api.listen")).then_some(())
    });
    drop(taken);
    wait_until_served(&server);
    assert_eq!(server.page("/health/ready"), (200, "ready\n".to_owned()));
    assert_eq!(server.metric("passline_api_up "), 1);
    let mut client = Client::at(port, house.path(), None);
    client.log_in("ivr", &password);
    client.call("UserIVRList", &json!({"digits": "4711"}));
    // What stands in the way is told once, however often it was tried.
    let told = server.log().matches("the web API cannot be served").count();
    assert_eq!(told, 2, "{}", server.log());
    server.stop();
}

#[test]
fn a_node_that_stops_lets_sessions_go_on_and_nobody_begin_one() {
    let mut outside = Outside::new(&Settings::default());
    let client = outside.log_in();
    let mut caller = Caller::dial(&outside.server);
    caller.hear_something();
    outside.server.signal(Signal::SIGTERM);
    wait_for("draining", Duration::from_secs(10), || {
        (outside.server.page("/health/api").0 == 503).then_some(())
    });
    let mut refused = (0, String::new());
    wait_for("nobody signs in", PATIENCE, || {
        let login = json!({"user": "ivr", "password": outside.password()});
        let answer = outside.client().ask("Login", &login);
        refused = (answer.status, answer.body["detail"].to_string());
        (answer.status == 503).then_some(())
    });
    assert!(refused.1.contains("being stopped"), "{refused:?}");
    client.call("UserIVRList", &json!({"digits": "4711"}));
    caller.hang_up();
    assert!(outside.server.wait().success());
}

#[test]
fn a_configuration_without_an_api_says_so() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    let (status, text) = server.page("/health/api");
    assert_eq!(status, 404);
    assert!(text.contains("[api]"), "{text}");
    assert!(
        !fs::read_to_string(house.path().join("passline.toml"))
            .expect("it")
            .contains("[api]")
    );
    server.stop();
}
