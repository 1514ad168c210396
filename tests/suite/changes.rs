//! Changes of a session that is under way, when signalling crosses: what counts, and what does not.

use std::time::Duration;

use crate::support::server::{House, Server, Settings};
use crate::support::wait_for;
use crate::support::wire::{SDP, Wire, WireCall, field, in_dialog, request, sdp, status};

const PATIENCE: Duration = Duration::from_secs(10);

const INFO: &str = "Content-Type: application/dtmf-relay\r\n";

/// The answer to the request with this CSeq, whatever comes in between.
fn answer_to(call: &WireCall, cseq: &str) -> String {
    wait_for("an answer", PATIENCE, || {
        let answer = call.sip.receive();
        (answer.starts_with("SIP/2.0 ") && field(&answer, "CSeq") == cseq).then_some(answer)
    })
}

fn acknowledge(call: &WireCall, invite: &str, fields: &str, body: &str) {
    let number = field(invite, "CSeq").trim_end_matches(" INVITE").parse();
    let ack = in_dialog(
        "ACK",
        call.sip.address(),
        &call.call_id,
        &call.to,
        number.expect("a number"),
        fields,
        body,
    );
    call.sip.send(call.server, ack);
}

/// Sends a re-INVITE and its CANCEL at once; the status of the re-INVITE. Either may win.
fn change_and_cancel(call: &mut WireCall, fields: &str, body: &str) -> u16 {
    let invite = call.request("INVITE", fields, body);
    let cancel: String = invite
        .lines()
        .filter(|line| {
            ["Via", "Max", "Fro", "To:", "Cal"]
                .iter()
                .any(|name| line.starts_with(name))
        })
        .fold("CANCEL sip:100@127.0.0.1 SIP/2.0\r\n".to_owned(), |text, line| {
            text + line + "\r\n"
        });
    let cseq = field(&invite, "CSeq").replace("INVITE", "CANCEL");
    call.sip.send(call.server, &invite);
    call.sip.send(
        call.server,
        format!("{cancel}CSeq: {cseq}\r\nContent-Length: 0\r\n\r\n"),
    );
    let answer = answer_to(call, field(&invite, "CSeq"));
    let ack = if status(&answer) == 200 {
        let media = call.rtp.address();
        acknowledge(call, &invite, SDP, &sdp(media));
        return 200;
    } else {
        let head = cancel.replace("CANCEL", "ACK");
        let cseq = field(&invite, "CSeq").replace("INVITE", "ACK");
        format!("{head}CSeq: {cseq}\r\nContent-Length: 0\r\n\r\n")
    };
    call.sip.send(call.server, ack);
    status(&answer)
}

/// The same until the CANCEL has won, with ordinary changes in between.
fn cancelled(call: &mut WireCall, fields: &str, body: &str) {
    for _ in 0..20 {
        if change_and_cancel(call, fields, body) == 487 {
            return;
        }
        assert_eq!(change(call), 200);
    }
    panic!("no CANCEL was in time");
}

/// An ordinary change to what is so already.
fn change(call: &mut WireCall) -> u16 {
    let media = call.rtp.address();
    let invite = call.request("INVITE", SDP, &sdp(media));
    call.sip.send(call.server, &invite);
    let answer = answer_to(call, field(&invite, "CSeq"));
    acknowledge(call, &invite, "", "");
    status(&answer)
}

fn talk(call: &mut WireCall) {
    for packet in call.packets(7, &[]) {
        call.rtp.send(call.media, packet);
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn served() -> (House, Server) {
    let house = House::new(&Settings::default());
    let server = house.serve();
    (house, server)
}

/// It was told 487, so it never was (RFC 3261 section 14.2).
#[test]
fn a_change_that_was_cancelled_changes_nothing() {
    let (_house, server) = served();
    let mut call = WireCall::dial(server.udp, "127.0.0.1", "");
    talk(&mut call);
    call.hear();

    let held = format!("{}a=inactive\r\n", sdp(call.rtp.address()));
    cancelled(&mut call, SDP, &held);
    call.hear();

    let elsewhere = Wire::on("127.0.0.1");
    cancelled(&mut call, SDP, &sdp(elsewhere.address()));
    talk(&mut call);
    call.hear();
    assert_eq!(elsewhere.drain(), 0, "no audio moved");

    // A change without an offer asks for ours; cancelled, no later ACK owes us an answer.
    cancelled(&mut call, "", "");
    assert_eq!(change(&mut call), 200);
    talk(&mut call);
    call.hear();
    call.bye();
    server.wait_until_idle();
}

/// A call manager's hold and resume: two lines, hold, then a change without an offer.
#[test]
fn an_offer_of_ours_in_a_call_has_the_lines_of_the_call() {
    let (_house, server) = served();
    let (sip, rtp) = (Wire::on("127.0.0.1"), Wire::on("127.0.0.1"));
    let video = "m=video 30004 RTP/AVP 97\r\n";
    let offer = sdp(rtp.address()) + video;
    sip.send(server.udp, request("INVITE", sip.address(), SDP, &offer));
    let answer = sip.receive();
    let mut call = WireCall::answered(sip, rtp, server.udp, &answer);
    talk(&mut call);

    let invite = call.request("INVITE", "", "");
    call.sip.send(call.server, &invite);
    let ours = answer_to(&call, field(&invite, "CSeq"));
    assert!(ours.ends_with("m=video 0 RTP/AVP 97\r\n"), "{ours}");
    let refused = "m=video 0 RTP/AVP 97\r\n";
    acknowledge(&call, &invite, SDP, &(sdp(call.rtp.address()) + refused));
    talk(&mut call);
    call.hear();
    call.bye();
    server.wait_until_idle();
}

/// They are confirmed with 200, so they count.
#[test]
fn keys_by_info_before_the_ack_count() {
    let (_house, server) = served();
    let (sip, rtp) = (Wire::on("127.0.0.1"), Wire::on("127.0.0.1"));
    sip.send(server.udp, request("INVITE", sip.address(), SDP, &sdp(rtp.address())));
    let answer = sip.receive();
    let from = sip.address();
    for (number, key) in [(2, '4'), (3, '7'), (4, '1')] {
        let body = format!("Signal={key}\r\nDuration=100\r\n");
        let (id, to) = (field(&answer, "Call-ID"), field(&answer, "To"));
        let info = in_dialog("INFO", from, id, to, number, INFO, &body);
        sip.send(server.udp, &info);
        wait_for("200 to INFO", PATIENCE, || {
            let answered = sip.receive();
            (field(&answered, "CSeq") == field(&info, "CSeq")).then(|| assert_eq!(status(&answered), 200))
        });
    }
    let call = WireCall::answered(sip, rtp, server.udp, &answer);
    wait_for("three keys", PATIENCE, || {
        (server.metric("passline_digits_total") == 3).then_some(())
    });
    let bye = in_dialog("BYE", from, &call.call_id, &call.to, 9, "", "");
    call.sip.send(call.server, &bye);
    assert_eq!(status(&answer_to(&call, field(&bye, "CSeq"))), 200);
    server.wait_until_idle();
}
