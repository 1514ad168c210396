//! baresip, a softphone that nobody here wrote, calls the real program.

use std::time::Duration;

use passline::telephony::codec::Codec;

use crate::support::baresip::Baresip;
use crate::support::caller::{ear, told};
use crate::support::server::{House, Settings};
use crate::support::wait_for;

fn said(baresip: &Baresip, codec: Codec) -> Vec<String> {
    let heard = ear(codec).hear(&codec.encode(&baresip.heard()));
    heard.iter().map(|heard| told(&heard.label)).collect()
}

#[test]
fn baresip_hears_the_prompts_keys_holds_resumes_and_hangs_up() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    let mut baresip = Baresip::start("pcmu");
    baresip.command("dial", &format!("sip:100@{}", server.udp));
    baresip.wait_for_event("CALL_ESTABLISHED");
    server.wait_for_step("ask_identity");
    baresip.key("4711#");
    server.wait_for_step("ask_question");

    // Time stands still on hold: the question and its time-out wait.
    baresip.command("hold", "");
    baresip.wait_for_event("CALL_REMOTE_SDP");
    let sent = server.rtp_packets_sent();
    std::thread::sleep(Duration::from_secs(1));
    assert!(
        server.rtp_packets_sent() - sent <= 2,
        "nothing is sent to a caller on hold"
    );
    baresip.command("resume", "");
    baresip.wait_for_event("CALL_REMOTE_SDP");
    // baresip 1.0.0 gets the audio after a hold and does not play it; the other test listens further.
    let sent = server.rtp_packets_sent();
    wait_for("audio again", Duration::from_secs(5), || {
        (server.rtp_packets_sent() > sent + 10).then_some(())
    });
    baresip.key("2009#");
    server.wait_for_step("main_menu");
    assert!(
        server.page("/metrics").1.contains("passline_digits_total 10"),
        "each press counts once"
    );
    baresip.command("hangup", "");
    server.wait_until_idle();
    assert_eq!(said(&baresip, Codec::Pcmu), ["greeting.welcome"]);
    server.stop();
}

#[test]
fn baresip_hears_the_goodbye_in_a_law() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    let mut baresip = Baresip::start("pcma");
    baresip.command("dial", &format!("sip:100@{}", server.udp));
    baresip.wait_for_event("CALL_ESTABLISHED");
    baresip.key("4711#2009#");
    server.wait_for_step("main_menu");
    baresip.key("9");
    baresip.wait_for_event("CALL_CLOSED");
    let said = said(&baresip, Codec::Pcma);
    assert_eq!(said.last().map(String::as_str), Some("goodbye.thanks"), "{said:?}");
    server.stop();
}
