//! SIPp, a telephone that nobody here wrote, plays the scenarios of `tests/sipp/` against the real program.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use passline::call::phone::{Dialling, PhoneError};
use passline::secret::Secret;
use passline::telephony::sip::Credentials;

use crate::support::caller::Caller;
use crate::support::server::{House, Server, Settings};
use crate::support::{sipp, wait_for};

fn served(settings: &Settings<'_>, test: impl FnOnce(&Server)) {
    let house = House::empty(settings);
    let server = house.serve();
    test(&server);
    server.wait_until_idle();
    server.stop();
}

/// The flow goes on the same way for everybody; only the audit log tells that the digits were somebody's.
fn assert_identified(house: &House, server: Server, times: &str) {
    server.wait_until_idle();
    server.stop();
    let mut database = house.database();
    let identified = "select count(*) from audit_links where name = 'ET_USER_IDENTIFY_SUCCESS'";
    assert_eq!(database.value(identified), times);
}

#[test]
fn answered_then_caller_hangs_up() {
    served(&Settings::default(), |server| {
        sipp::run("answered_then_caller_hangs_up", server.udp, "127.0.1.1", "u1");
        sipp::run(
            "answered_then_caller_hangs_up",
            server.tcp.expect("TCP"),
            "127.0.1.1",
            "t1",
        );
    });
}

#[test]
fn late_offer_is_answered_with_our_offer() {
    served(&Settings::default(), |server| {
        sipp::run("late_offer_is_answered_with_our_offer", server.udp, "127.0.1.2", "u1");
    });
}

#[test]
fn no_common_codec_is_488() {
    served(&Settings::default(), |server| {
        sipp::run("no_common_codec_is_488", server.udp, "127.0.1.3", "u1");
        sipp::run("no_common_codec_is_488", server.tcp.expect("TCP"), "127.0.1.3", "t1");
    });
}

#[test]
fn options_tells_what_is_supported() {
    served(&Settings::default(), |server| {
        sipp::run("options_tells_what_is_supported", server.udp, "127.0.1.4", "u1");
        sipp::run(
            "options_tells_what_is_supported",
            server.tcp.expect("TCP"),
            "127.0.1.4",
            "t1",
        );
    });
}

#[test]
fn stranger_gets_403() {
    let trunk = "networks = [\"127.0.0.9/32\"]\n[[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n";
    served(
        &Settings {
            trunk: Some(trunk),
            ..Settings::default()
        },
        |server| {
            sipp::run("stranger_gets_403", server.udp, "127.0.1.5", "u1");
            sipp::run("answered_then_caller_hangs_up", server.udp, "127.0.0.9", "u1");
        },
    );
}

#[test]
fn full_trunk_is_486() {
    let trunk = "networks = [\"127.0.0.0/8\"]\nmax_calls = 1\n[[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n";
    served(
        &Settings {
            trunk: Some(trunk),
            ..Settings::default()
        },
        |server| {
            let first = Caller::dial(server);
            sipp::run("full_trunk_is_486", server.udp, "127.0.1.6", "u1");
            first.hang_up();
            server.wait_until_idle();
            sipp::run("answered_then_caller_hangs_up", server.udp, "127.0.1.6", "u1");
        },
    );
}

#[test]
fn full_house_is_503_for_options_too() {
    let configuration = "[calls]\nmax = 1\n";
    served(
        &Settings {
            configuration,
            ..Settings::default()
        },
        |server| {
            let first = Caller::dial(server);
            sipp::run("full_house_is_503_for_options_too", server.udp, "127.0.4.6", "u1");
            first.hang_up();
            server.wait_until_idle();
            sipp::run("options_tells_what_is_supported", server.udp, "127.0.4.6", "u1");
        },
    );
}

/// What a dispatcher hears from a node that is being stopped, while its last call goes on.
#[test]
fn draining_house_is_503() {
    let house = House::empty(&Settings::default());
    let mut server = house.serve();
    let mut last = Caller::dial(&server);
    last.hear_something();
    server.signal(Signal::SIGTERM);
    wait_for("draining", Duration::from_secs(10), || {
        (server.page("/health/ready").0 == 503).then_some(())
    });
    for (address, transport) in [(server.udp, "u1"), (server.tcp.expect("TCP"), "t1")] {
        sipp::run("full_house_is_503_for_options_too", address, "127.0.4.8", transport);
    }
    last.hang_up();
    assert!(server.wait().success());
}

/// The program answers within milliseconds: it is held until the CANCEL is there too. Should it win all the same, it is
/// tried again.
#[test]
fn cancelled_call_is_487() {
    let house = House::empty(&Settings::default());
    let mut server = house.serve();
    for (address, transport) in [(server.udp, "u1"), (server.tcp.expect("TCP"), "t1")] {
        let attempt = || {
            server.signal(Signal::SIGSTOP);
            thread::scope(|scope| {
                let playing = scope.spawn(|| sipp::try_run("cancelled_call_is_487", address, "127.0.4.9", transport));
                thread::sleep(Duration::from_millis(400));
                server.signal(Signal::SIGCONT);
                playing.join().expect("it runs")
            })
        };
        let played = std::iter::repeat_with(attempt).take(10).find_map(Result::ok);
        let played = played.expect("a CANCEL in time");
        assert_eq!(played.count("SIP/2.0 487"), 1, "{transport}: acknowledged at once");
    }
    server.wait_for_log("reason=\"cancelled\"");
    // A call that won is not acknowledged: nobody waits for its end.
    server.signal(Signal::SIGKILL);
    server.wait();
}

#[test]
fn digits_by_info_in_both_bodies() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    sipp::run("digits_by_info_in_both_bodies", server.udp, "127.0.1.7", "u1");
    let tcp = server.tcp.expect("TCP");
    sipp::run("digits_by_info_in_both_bodies", tcp, "127.0.1.7", "t1");
    assert_identified(&house, server, "2");
}

/// SIPp plays captured packets through a raw socket, so this test needs to be root, as it is in CI.
#[test]
fn digits_by_telephone_event() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    sipp::run("digits_by_telephone_event", server.udp, "127.0.1.8", "u1");
    let metrics = server.page("/metrics").1;
    assert!(
        metrics.contains("passline_digits_total 5"),
        "each press counts once: {metrics}"
    );
    assert_identified(&house, server, "1");
}

#[test]
fn unknown_body_of_info_is_415() {
    served(&Settings::default(), |server| {
        sipp::run("unknown_body_of_info_is_415", server.udp, "127.0.1.9", "u1");
    });
}

#[test]
fn hold_then_resume_with_another_codec() {
    served(&Settings::default(), |server| {
        sipp::run("hold_then_resume_with_another_codec", server.udp, "127.0.1.10", "u1");
    });
}

#[test]
fn old_style_hold_sends_no_media() {
    served(&Settings::default(), |server| {
        sipp::run("old_style_hold_sends_no_media", server.udp, "127.0.1.11", "u1");
        server.wait_until_idle();
        // Three of four seconds are on hold.
        let sent = server.rtp_packets_sent();
        assert!((20..120).contains(&sent), "{sent}");
    });
}

#[test]
fn refused_reinvite_keeps_the_call() {
    served(&Settings::default(), |server| {
        sipp::run("refused_reinvite_keeps_the_call", server.udp, "127.0.1.12", "u1");
    });
}

/// Over both transports, one scenario after the other.
fn served_each(scenarios: &[&str], from: &str) {
    served(&Settings::default(), |server| {
        for scenario in scenarios {
            sipp::run(scenario, server.udp, from, "u1");
            sipp::run(scenario, server.tcp.expect("TCP"), from, "t1");
        }
    });
}

#[test]
fn what_cannot_be_served_is_refused_with_the_reason() {
    served_each(
        &[
            "cancel_of_nothing_is_481",
            "missing_contact_or_tag_is_400",
            "unknown_dialog_is_481",
            "unknown_option_is_420",
            "unusable_bodies_are_415_and_406",
            "unwanted_method_is_405_and_unknown_is_501",
        ],
        "127.0.4.1",
    );
}

#[test]
fn calls_go_on_through_what_networks_and_callers_do() {
    served_each(
        &[
            "caller_of_rfc_2543_is_served",
            "cancel_after_the_answer_changes_nothing",
            "late_offer_without_answer_is_hung_up_over_the_route",
            "lower_cseq_is_500",
            "merged_request_is_482",
            "offer_while_ours_is_open_is_491",
            "reinvite_stands_for_a_lost_ack",
            "repeated_invite_is_absorbed",
        ],
        "127.0.4.2",
    );
}

#[test]
fn sessions_change_in_every_way() {
    served_each(
        &[
            "hold_and_resume_without_offers",
            "sdp_beside_isup_is_answered",
            "update_holds_and_resumes",
        ],
        "127.0.4.3",
    );
}

/// Our own telephone proves the password, over both transports; SIPp cannot answer SHA-256.
#[test]
fn password_is_asked_for_and_taken() {
    let trunk = "networks = [\"127.0.0.0/8\"]\n[digest]\nrealm = \"passline.example.com\"\n[[digest.users]]\nname = \"line1\"\n\
                 password = \"secret\"\n[[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n";
    served(
        &Settings {
            trunk: Some(trunk),
            ..Settings::default()
        },
        |server| {
            sipp::run("password_is_asked_for", server.udp, "127.0.4.7", "u1");
            let dial = |uri: &str, password: &str| {
                let dialling = Dialling {
                    credentials: Some(Credentials {
                        username: "line1".to_owned(),
                        password: Secret::new(password.to_owned()),
                    }),
                    ..Dialling::default()
                };
                Caller::try_dial(uri, server.udp, dialling)
            };
            let tcp = server.tcp.expect("TCP");
            for uri in [
                format!("sip:100@{}", server.udp),
                format!("sip:100@{tcp};transport=tcp"),
            ] {
                let mut caller = dial(&uri, "secret").unwrap_or_else(|error| panic!("{uri}: {error}"));
                caller.hear("greeting.welcome");
                caller.hang_up();
                let refused = dial(&uri, "wrong").err();
                assert!(
                    matches!(refused, Some(PhoneError::Rejected { status: 401 })),
                    "{refused:?}"
                );
            }
        },
    );
}

#[test]
fn calls_come_over_ipv6() {
    served(
        &Settings {
            listen: Some("\"udp:[::1]:0\", \"tcp:[::1]:0\""),
            ..Settings::default()
        },
        |server| {
            sipp::run("answered_then_caller_hangs_up", server.udp, "::1", "u1");
            sipp::run("update_holds_and_resumes", server.tcp.expect("TCP"), "::1", "t1");
        },
    );
}

/// The one scenario that takes its time: timer values are part of the outcome.
#[test]
fn unacknowledged_200_is_repeated_then_bye() {
    served(&Settings::default(), |server| {
        let played = sipp::run("unacknowledged_200_is_repeated_then_bye", server.udp, "127.0.4.4", "u1");
        // At 0, 0.5, 1.5, 3.5, 7.5 and then every 4 s up to 31.5 s.
        assert_eq!((played.count("SIP/2.0 200"), played.count("BYE ")), (11, 1));
        server.wait_for_log("reason=\"no_acknowledgement\"");
    });
}

#[test]
fn refusal_is_repeated_until_acknowledged() {
    served(&Settings::default(), |server| {
        let run = |server, transport| {
            sipp::run("refusal_is_repeated_until_acknowledged", server, "127.0.4.5", transport).count("SIP/2.0 488")
        };
        assert_eq!(run(server.udp, "u1"), 2, "at once and after 500 ms");
        assert_eq!(run(server.tcp.expect("TCP"), "t1"), 1, "TCP repeats by itself");
    });
}

#[test]
fn dead_call_is_hung_up() {
    let configuration = "[media]\ntimeout = \"2s\"\n";
    served(
        &Settings {
            configuration,
            ..Settings::default()
        },
        |server| {
            sipp::run("dead_call_is_hung_up", server.udp, "127.0.1.13", "u1");
            server.wait_for_log("reason=\"media_lost\"");
        },
    );
}

#[test]
fn two_hundred_calls_at_fifty_a_second_are_all_taken() {
    served(
        &Settings {
            log_level: Some("info"),
            ..Settings::default()
        },
        |server| {
            sipp::load(server.udp, "127.0.1.14", "200", "50");
            server.wait_until_idle();
            let taken = "passline_calls_total{dialplan=\"reset\",result=\"caller_hung_up\"} 200";
            let metrics = server.page("/metrics").1;
            assert!(metrics.contains(taken), "{metrics}");
            // Nobody has to wait for a second call: it is answered while these are being cleaned up.
            let mut caller = Caller::dial(server);
            caller.hear("greeting.welcome");
            assert!(caller.hang_up().duration < Duration::from_secs(20));
        },
    );
}
