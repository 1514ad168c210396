//! Somebody who knows the port of a call and streams to it, as "RTP bleed" scanners do: at the start, in a pause, on hold.
//!
//! What is sent in each: valid packets 20 ms apart, audio and then keys. What is seen: no sound goes there, no key counts, and
//! what cannot be told from a fail-over is over as soon as the caller is heard again.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use passline::time::monotonic;

use crate::support::server::{House, Settings};
use crate::support::wait_for;
use crate::support::wire::{SDP, Wire, WireCall, field, in_dialog, request, sdp, status};

const TRUNK: &str = "networks = [\"127.0.0.1/32\"]\n[[called]]\nnumber = \"100\"\ndialplan = \"reset\"\n";

const PACKET_TIME: Duration = Duration::from_millis(20);
const SECOND: usize = 50;
const CALLER: u32 = 7;
const THIEF: u32 = 9;
/// Nobody agreed on it.
const KEEPALIVE: u8 = 126;

fn house() -> House {
    House::new(&Settings {
        trunk: Some(TRUNK),
        ..Settings::default()
    })
}

fn packet(payload_type: u8, sequence: u16, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

/// A stream of audio that goes on from call to call.
struct Talker<'a> {
    wire: &'a Wire,
    to: SocketAddr,
    ssrc: u32,
    sequence: u16,
}

impl<'a> Talker<'a> {
    fn new(wire: &'a Wire, to: SocketAddr, ssrc: u32) -> Self {
        let sequence = 1_000;
        Self {
            wire,
            to,
            ssrc,
            sequence,
        }
    }

    fn send(&mut self, payload_type: u8, payload: &[u8]) {
        self.sequence += 1;
        self.wire
            .send(self.to, packet(payload_type, self.sequence, self.ssrc, payload));
    }

    /// As many packets, each at its time.
    fn talk(&mut self, packets: usize) {
        let mut due = monotonic();
        for _ in 0..packets {
            self.send(0, &[0xff; 160]);
            due += PACKET_TIME;
            std::thread::sleep(due.saturating_duration_since(monotonic()));
        }
    }
}

/// While `work` is done, a thief streams to the port from 127.66.0.1 and presses keys: the number of a person, and what ends it.
/// How many packets he heard.
fn while_a_thief_streams(media: SocketAddr, work: impl FnOnce()) -> usize {
    let thief = Wire::on("127.66.0.1");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut talker = Talker::new(&thief, media, THIEF);
            while !over.load(Ordering::Relaxed) {
                talker.talk(10);
                for key in [4, 7, 1, 1, 11] {
                    talker.send(101, &[key, 0x8a, 1, 0x40]);
                }
            }
        });
        work();
        over.store(true, Ordering::Relaxed);
    });
    thief.drain()
}

/// The thief is there first, as far as he can be: the port is known with the answer, and the caller's telephone takes a moment.
#[test]
fn at_the_start_of_a_call() {
    let house = house();
    let server = house.serve();
    let (sip, rtp) = (Wire::on("127.0.0.1"), Wire::on("127.0.0.1"));
    sip.send(server.udp, request("INVITE", sip.address(), SDP, &sdp(rtp.address())));
    let answer = sip.receive();
    assert_eq!(status(&answer), 200, "{answer}");
    let call = WireCall::answered(sip, rtp, server.udp, &answer);
    let heard = while_a_thief_streams(call.media, || {
        std::thread::sleep(5 * PACKET_TIME);
        Talker::new(&call.rtp, call.media, CALLER).talk(2 * SECOND);
        call.hear();
    });
    assert_eq!(heard, 0);
    assert_eq!(server.metric("passline_digits_total"), 0, "no key of his counts");
    call.bye();
    server.wait_until_idle();
}

/// A caller who listens: nothing but a packet a second that keeps a NAT open. Then not even that.
#[test]
fn in_a_pause_of_the_caller() {
    let house = house();
    let server = house.serve();
    let call = WireCall::dial(server.udp, "127.0.0.1", "");
    let mut caller = Talker::new(&call.rtp, call.media, CALLER);
    caller.talk(SECOND);
    let heard = while_a_thief_streams(call.media, || {
        for _ in 0..4 {
            std::thread::sleep(Duration::from_secs(1));
            caller.send(KEEPALIVE, &[]);
        }
    });
    assert_eq!(heard, 0);
    assert_eq!(server.metric("passline_digits_total"), 0, "no key of his counts");

    // Two seconds of nothing at all and a steady stream look like a fail-over of the trunk.
    let moved = || server.metric("passline_rtp_hosts_changed_total");
    let heard = while_a_thief_streams(call.media, || {
        wait_for("a change of host", Duration::from_secs(10), || {
            (moved() == 1).then_some(())
        });
        server.wait_for_log("media comes from another host now");
        // The caller is back, and has it again within a moment.
        caller.talk(SECOND);
        call.hear();
    });
    assert!(heard > 0 && moved() == 2, "{heard}, {}", moved());
    let heard = while_a_thief_streams(call.media, || caller.talk(2 * SECOND));
    assert_eq!(heard, 0);
    call.bye();
    server.wait_until_idle();
}

/// A re-INVITE, with its ACK.
fn change(call: &mut WireCall, direction: &str) {
    let body = format!("{}a={direction}\r\n", sdp(call.rtp.address()));
    let invite = call.request("INVITE", SDP, &body);
    call.sip.send(call.server, &invite);
    let answer = wait_for("an answer", Duration::from_secs(10), || {
        let answer = call.sip.receive();
        (field(&answer, "CSeq") == field(&invite, "CSeq")).then_some(answer)
    });
    assert_eq!(status(&answer), 200, "{answer}");
    let number = field(&invite, "CSeq").trim_end_matches(" INVITE").parse();
    let number = number.expect("a number");
    let ack = in_dialog("ACK", call.sip.address(), &call.call_id, &call.to, number, "", "");
    call.sip.send(call.server, ack);
}

/// Nothing is to come while the caller is on hold, so whatever comes is not the caller's.
#[test]
fn on_hold() {
    let house = house();
    let server = house.serve();
    for how in ["inactive", "sendonly"] {
        let mut call = WireCall::dial(server.udp, "127.0.0.1", "");
        Talker::new(&call.rtp, call.media, CALLER).talk(SECOND);
        change(&mut call, how);
        let media = call.media;
        let heard = while_a_thief_streams(media, || {
            std::thread::sleep(Duration::from_secs(3));
            change(&mut call, "sendrecv");
            // The thief was there before the caller is.
            std::thread::sleep(Duration::from_millis(500));
            Talker::new(&call.rtp, media, CALLER).talk(SECOND);
            call.hear();
        });
        assert_eq!(heard, 0, "{how}");
        assert_eq!(server.metric("passline_digits_total"), 0, "no key of his counts");
        call.bye();
        server.wait_until_idle();
    }
}
