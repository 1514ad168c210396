//! What somebody gets who sends to a port of ours.

mod control;

use super::*;

const MS: Duration = Duration::from_millis(1);

const SIGNALLED: &str = "198.51.100.5:4000";
const NAT: &str = "203.0.113.5:61000";
const STRANGER: &str = "203.0.113.66:6666";

/// Both ways.
fn talking(address: &str) -> Signalled {
    Signalled {
        address: Some(address.parse().expect("address")),
        expects_media: true,
    }
}

fn held(address: &str) -> Signalled {
    Signalled {
        expects_media: false,
        ..talking(address)
    }
}

struct Scene {
    latch: Latch,
    start: Instant,
    now: Duration,
    host_changes: u32,
}

impl Scene {
    fn new() -> Self {
        Self::with(talking(SIGNALLED), &[], None)
    }

    fn with(signalled: Signalled, pinned: &[&str], signaller: Option<&str>) -> Self {
        let start = crate::time::monotonic();
        let pinned = pinned.iter().map(|network| network.parse().expect("network")).collect();
        let signaller = signaller.map(|ip| ip.parse().expect("an address"));
        Self {
            latch: Latch::new(signalled, pinned, signaller, start),
            start,
            now: Duration::ZERO,
            host_changes: 0,
        }
    }

    fn at(&self) -> Instant {
        self.start + self.now
    }

    fn send(&mut self, from: &str, ssrc: u32, sequence: u16) -> bool {
        let header = Header {
            ssrc,
            sequence,
            ..Header::default()
        };
        let now = self.at();
        let admission = self.latch.admit(from.parse().expect("address"), &header, now);
        self.host_changes += u32::from(admission == Admission::TakenFromAnotherHost);
        admission != Admission::TurnedAway
    }

    /// Packets 20 ms apart; how many were admitted.
    fn send_row(&mut self, from: &str, ssrc: u32, sequences: impl IntoIterator<Item = u16>) -> usize {
        sequences
            .into_iter()
            .filter(|&sequence| {
                self.now += 20 * MS;
                self.send(from, ssrc, sequence)
            })
            .count()
    }

    /// A call in progress: the caller has talked for ten seconds, from here.
    fn talked(from: &str) -> Self {
        let mut scene = Self::new();
        scene.send_row(from, 1, 0..500);
        assert_eq!(scene.current(), from);
        scene
    }

    fn reinvite(&mut self, signalled: Signalled) {
        self.latch.retarget(signalled, self.at());
    }

    fn current(&self) -> String {
        self.latch.current().expect("known").to_string()
    }
}

// ---- honest callers ----

#[test]
fn the_signalled_address_is_heard_at_once_and_locks() {
    let mut scene = Scene::new();
    assert!(scene.send(SIGNALLED, 1, 0));
    for n in 1..500 {
        scene.now += 20 * MS;
        assert!(scene.send(SIGNALLED, 1, n));
        assert!(!scene.send(STRANGER, 9, n), "packet {n}");
    }
    assert_eq!(scene.current(), SIGNALLED);
}

#[test]
fn a_private_address_in_the_sdp_is_behind_a_nat_which_is_learned_after_five_packets() {
    for private in [
        "10.0.0.5:4000",
        "172.31.0.5:4000",
        "192.168.1.5:4000",
        "100.127.0.5:4000",
        "169.254.1.5:4000",
    ] {
        let mut scene = Scene::with(talking(private), &[], None);
        assert_eq!(scene.send_row(NAT, 1, 0..4), 0);
        assert_eq!(scene.current(), private);
        assert_eq!(scene.send_row(NAT, 1, 4..10), 6);
        assert_eq!((scene.current().as_str(), scene.latch.changes()), (NAT, 1));
    }
    let v6 = "[2001:db8::7]:4000";
    let mut scene = Scene::with(talking("[fd00::5]:4000"), &[], None);
    assert!(scene.send_row(v6, 1, 0..5) > 0);
    assert_eq!(scene.current(), v6);
    assert_eq!(scene.host_changes, 0, "it is no change: nobody was heard before");
}

#[test]
fn the_host_that_signals_may_send_media_at_once_and_others_behind_a_private_address_wait() {
    for sdp in ["10.0.0.5:4000", SIGNALLED] {
        let mut scene = Scene::with(talking(sdp), &[], Some("203.0.113.5"));
        assert_eq!(scene.send_row(NAT, 1, 0..5), 1);
        let mut scene = Scene::with(talking(sdp), &[], Some("203.0.113.5"));
        assert_eq!(scene.send_row(STRANGER, 9, 0..15), 0, "300 ms");
        assert!(scene.send_row(STRANGER, 9, 15..25) > 0);
    }
}

/// A trunk whose media server is not the one of its SDP, for whatever reason.
#[test]
fn another_host_is_learned_when_the_signalled_one_sends_nothing_for_300_ms() {
    let mut scene = Scene::new();
    assert_eq!(scene.send_row(NAT, 1, 0..15), 0);
    assert_eq!(scene.send_row(NAT, 1, 15..20), 1);
    assert_eq!(scene.current(), NAT);
}

#[test]
fn another_port_of_the_signalled_host_is_learned_after_five_packets() {
    let mut scene = Scene::new();
    assert_eq!(scene.send_row("198.51.100.5:4444", 1, 0..10), 6);
}

/// Found by random networks: with jitter of more than a packet time, five packets in their right order hardly ever came
/// in a row, and a caller behind a NAT was not heard for seconds.
#[test]
fn a_caller_behind_a_nat_is_learned_although_packets_are_swapped_lost_and_doubled() {
    let mut scene = Scene::with(talking("10.0.0.5:4000"), &[], None);
    assert_eq!(scene.send_row(NAT, 1, [3, 1, 1, 2, 3, 8]), 0);
    assert_eq!(scene.send_row(NAT, 1, [6]), 1);
    assert_eq!(scene.current(), NAT);
}

#[test]
fn a_changed_port_in_mid_call_is_followed_after_silence() {
    let mut scene = Scene::talked(SIGNALLED);
    let rebound = "198.51.100.5:4999";
    assert_eq!(
        scene.send_row(rebound, 1, 500..600),
        0,
        "not before two seconds of silence"
    );
    assert!(scene.send_row(rebound, 1, 600..610) > 0);
    assert_eq!((scene.current().as_str(), scene.host_changes), (rebound, 0));
}

/// A port whose RTCP lives on is as dead as another one.
#[test]
fn rtcp_does_not_keep_a_host_from_changing_its_port() {
    let mut scene = Scene::talked(SIGNALLED);
    let rebound = "198.51.100.5:4999";
    for n in 0..110 {
        let (ip, now) = ("198.51.100.5".parse().expect("an address"), scene.at());
        scene.latch.show_life_of_host(ip, now);
        scene.send_row(rebound, 1, n..n + 1);
    }
    assert_eq!(scene.current(), rebound);
}

#[test]
fn a_fail_over_to_another_host_needs_two_seconds_of_silence_and_half_a_second_of_proof() {
    let mut scene = Scene::talked(SIGNALLED);
    assert_eq!(scene.send_row(STRANGER, 9, 0..124), 0);
    assert_eq!(scene.send_row(STRANGER, 9, 124..125), 1);
    assert_eq!((scene.current().as_str(), scene.host_changes), (STRANGER, 1));
}

#[test]
fn a_reinvite_to_another_address_is_followed_at_once() {
    let mut scene = Scene::talked(SIGNALLED);
    scene.reinvite(talking(NAT));
    assert_eq!(scene.current(), NAT);
    for n in 500..515 {
        assert_eq!(
            scene.send_row(SIGNALLED, 1, n..n + 1),
            0,
            "what the old one still sends"
        );
    }
    assert!(scene.send(NAT, 2, 0));
}

/// A telephone behind a NAT tells its private address, and moves to another port.
#[test]
fn behind_a_nat_a_reinvite_to_another_port_is_followed_after_five_packets() {
    let mut scene = Scene::new();
    scene.send_row(NAT, 1, 0..500);
    scene.reinvite(talking("198.51.100.5:4002"));
    assert_eq!(scene.send_row("203.0.113.5:61002", 1, 500..510), 6);
    assert_eq!(scene.host_changes, 0);
}

#[test]
fn a_reinvite_to_the_same_address_keeps_what_was_learned() {
    let mut scene = Scene::new();
    scene.send_row(NAT, 1, 0..500);
    scene.reinvite(talking(SIGNALLED));
    assert_eq!(scene.current(), NAT);
    scene.reinvite(Signalled {
        address: None,
        expects_media: false,
    });
    assert_eq!(scene.current(), NAT, "on hold in the old way");
    scene.reinvite(talking(SIGNALLED));
    assert!(scene.send(NAT, 1, 500));
}

#[test]
fn pinned_networks_shut_everybody_else_out() {
    let mut scene = Scene::with(talking(SIGNALLED), &["203.0.113.0/26"], None);
    assert_eq!(scene.send_row(STRANGER, 9, 0..100), 0);
    assert!(!scene.send(SIGNALLED, 1, 0));
    assert!(scene.send_row(NAT, 1, 0..100) > 0);
}

// ---- attackers ----

#[test]
fn a_burst_proves_nothing() {
    for (quiet, packets) in [(0, 16), (8_000, 64)] {
        let mut scene = Scene::with(talking("10.0.0.5:4000"), &[], None);
        scene.now += quiet * MS;
        for sequence in 0..packets {
            scene.now += Duration::from_micros(10);
            assert!(!scene.send(STRANGER, 9, sequence));
        }
        assert_eq!(scene.current(), "10.0.0.5:4000");
    }
}

#[test]
fn packets_out_of_sequence_or_of_changing_ssrc_prove_nothing() {
    let mut scene = Scene::with(talking("10.0.0.5:4000"), &[], None);
    for n in 0..200u16 {
        scene.now += 20 * MS;
        assert!(!scene.send(STRANGER, 1, n.wrapping_mul(777)));
        assert!(!scene.send("203.0.113.67:7777", u32::from(n), n));
        assert!(
            !scene.send("203.0.113.68:8888", 1, 5),
            "the same packet again and again"
        );
    }
    assert_eq!(scene.current(), "10.0.0.5:4000");
}

/// The thief is there first, with a steady stream; the caller's telephone takes a quarter of a second.
#[test]
fn at_the_start_nobody_outruns_the_signalled_address() {
    let mut scene = Scene::new();
    assert_eq!(scene.send_row(STRANGER, 9, 0..12), 0);
    for n in 0..100 {
        assert_eq!(scene.send_row(SIGNALLED, 1, n..n + 1), 1);
        assert!(!scene.send(STRANGER, 9, 12 + n));
    }
    assert_eq!(scene.latch.changes(), 0);
}

/// A caller who said a word and listens: nothing came for a second, then for two.
#[test]
fn in_the_first_seconds_a_pause_of_the_caller_opens_no_quick_way() {
    let mut scene = Scene::new();
    scene.send_row(SIGNALLED, 1, 0..10);
    assert_eq!(scene.send_row(STRANGER, 9, 0..120), 0, "2.4 s");
}

/// Whoever came first while the caller was silent or not there yet does not keep the audio.
#[test]
fn the_signalled_address_takes_its_place_back() {
    let mut scene = Scene::new();
    scene.now += 400 * MS;
    assert!(scene.send_row(STRANGER, 9, 0..10) > 0);
    assert_eq!(scene.current(), STRANGER);
    for sequence in 0..5 {
        scene.send_row(STRANGER, 9, 10 + sequence..11 + sequence);
        scene.send_row(SIGNALLED, 1, sequence..sequence + 1);
    }
    assert_eq!(scene.current(), SIGNALLED);
    for sequence in 5..100 {
        assert_eq!(scene.send_row(STRANGER, 9, 10 + sequence..11 + sequence), 0);
        assert_eq!(scene.send_row(SIGNALLED, 1, sequence..sequence + 1), 1);
    }
}

/// The signalled address of a caller behind a NAT never sends: without the way back, a thief who was once believed would have kept the
/// audio for as long as he sends.
#[test]
fn a_displaced_caller_behind_a_nat_takes_the_place_back_and_the_thief_cannot() {
    let mut scene = Scene::new();
    scene.send_row(NAT, 1, 0..500);
    assert!(scene.send_row(STRANGER, 9, 0..130) > 0);
    assert_eq!((scene.current().as_str(), scene.host_changes), (STRANGER, 1));
    for n in 0..5 {
        scene.send_row(STRANGER, 9, 130 + n..131 + n);
        scene.send_row(NAT, 1, 600 + n..601 + n);
    }
    assert_eq!((scene.current().as_str(), scene.host_changes), (NAT, 2));
    for n in 0..200 {
        assert_eq!(scene.send_row(STRANGER, 9, 135 + n..136 + n), 0);
        assert_eq!(scene.send_row(NAT, 1, 605 + n..606 + n), 1);
    }
}

#[test]
fn nobody_is_learned_while_silence_is_agreed() {
    for learned in [SIGNALLED, NAT] {
        let mut scene = Scene::talked(learned);
        scene.reinvite(held(SIGNALLED));
        // Half a minute of a steady stream, from another host and from another port of the right one.
        for n in 0..1_500 {
            assert_eq!(scene.send_row(STRANGER, 9, n..n + 1), 0);
            assert!(!scene.send("203.0.113.5:62000", 9, n) && !scene.send("198.51.100.5:4999", 9, n));
        }
        // The call goes on, and he is there before the caller.
        scene.reinvite(talking(SIGNALLED));
        assert_eq!(scene.send_row(STRANGER, 9, 1_500..1_590), 0);
        assert_eq!(scene.current(), learned);
        assert!(scene.send(learned, 1, 9_000));
    }
}

#[test]
fn a_call_that_begins_on_hold_learns_after_it() {
    let mut scene = Scene::with(held("10.0.0.5:4000"), &[], None);
    assert_eq!(scene.send_row(STRANGER, 9, 0..500), 0);
    scene.reinvite(talking("10.0.0.5:4000"));
    assert_eq!(scene.send_row(NAT, 1, 0..10), 6);
}

/// As a session timer does every few minutes, while the caller listens.
#[test]
fn a_reinvite_opens_no_quick_way_for_other_hosts() {
    let mut scene = Scene::talked(SIGNALLED);
    scene.now += 1_900 * MS;
    scene.reinvite(talking(SIGNALLED));
    assert_eq!(scene.send_row(STRANGER, 9, 0..120), 0);
}

#[test]
fn comfort_noise_unknown_payloads_and_rtcp_are_no_silence() {
    for is_rtcp in [false, true] {
        let mut scene = Scene::talked(SIGNALLED);
        for n in 0..1_000 {
            if n % 90 == 0 {
                let (address, now): (SocketAddr, _) = (SIGNALLED.parse().expect("address"), scene.at());
                if is_rtcp {
                    scene.latch.show_life_of_host(address.ip(), now);
                } else {
                    scene.latch.show_life(address, now);
                }
            }
            assert_eq!(scene.send_row(STRANGER, 9, n..n + 1), 0);
        }
        let (stranger, now): (SocketAddr, _) = (STRANGER.parse().expect("address"), scene.at());
        scene.latch.show_life(stranger, now);
        scene.latch.show_life_of_host(stranger.ip(), now);
        assert!(
            scene.send_row(STRANGER, 9, 1_000..1_130) > 0,
            "his own life is none of the caller's"
        );
    }
}

/// The sequence numbers go on where the last silence ended: what was sent in one does not count in the next.
#[test]
fn proof_is_not_saved_up_over_several_silences() {
    let mut scene = Scene::talked(SIGNALLED);
    let mut sent = 0;
    for silence in 0..10 {
        scene.now += 2_100 * MS;
        assert_eq!(scene.send_row(STRANGER, 9, sent..sent + 20), 0, "silence {silence}");
        sent += 20;
        assert!(scene.send(SIGNALLED, 1, 500 + silence));
    }
}

// ---- many strangers ----

#[test]
fn a_stranger_in_between_does_not_keep_the_caller_from_being_learned() {
    let mut scene = Scene::with(talking("10.0.0.5:4000"), &[], None);
    for n in 0..6 {
        scene.send(STRANGER, u32::from(n), n * 1_000);
        scene.send_row(NAT, 1, n..n + 1);
    }
    assert_eq!(scene.current(), NAT);
}

/// Four places, the oldest one given away: four ports of one stranger were enough to keep everybody else out.
#[test]
fn a_thousand_ports_of_one_stranger_take_one_place() {
    for ours in [NAT, SIGNALLED] {
        let mut scene = Scene::with(talking("10.0.0.5:4000"), &[], None);
        if ours == SIGNALLED {
            scene.reinvite(talking(SIGNALLED));
            scene.now += 400 * MS;
            scene.send_row("192.0.2.200:1", 8, 0..5);
            assert_eq!(scene.current(), "192.0.2.200:1", "the place is taken");
        }
        for n in 0..5u16 {
            for port in 1_000..2_000 {
                assert!(!scene.send(&format!("203.0.113.66:{port}"), 9, n * 100));
                assert!(!scene.send(&format!("[2001:db8::{port}]:5000"), 9, n * 100));
            }
            scene.send_row(ours, 1, n..n + 1);
        }
        assert_eq!(scene.current(), ours);
    }
}

/// The one place of a host went to and fro with each packet, and nobody was believed: somebody else behind the same NAT, or a
/// gateway that sends from two sockets, shut the caller out.
#[test]
fn another_port_of_the_same_host_does_not_shut_the_caller_out() {
    let same = "203.0.113.5";
    /// Port and sequence number of the nth packet.
    type Noise = fn(u16) -> (u16, u16);
    let noise: [(&str, Noise); 3] = [
        ("one port, nothing but first packets", |n| {
            (7_000, n.wrapping_mul(1_000))
        }),
        ("a fresh port each time", |n| (7_000 + n, n)),
        ("one port, the same packet again and again", |_| (7_000, 5)),
    ];
    for (what, noise) in noise {
        for noise_comes_first in [true, false] {
            // At the start, in mid-call, and from a host that nobody has named.
            let start = Scene::with(talking("203.0.113.5:4000"), &[], None);
            let mut moved = Scene::talked("203.0.113.5:4000");
            moved.now += 2_100 * MS;
            let mut far = Scene::with(talking(SIGNALLED), &[], None);
            far.now += 400 * MS;
            for mut scene in [start, moved, far] {
                let mut packets = 0;
                while scene.current() != NAT && packets < 100 {
                    let (port, sequence) = noise(packets);
                    let noise = format!("{same}:{port}");
                    if noise_comes_first {
                        assert!(!scene.send(&noise, 9, sequence), "{what}");
                    }
                    scene.now += 10 * MS;
                    scene.send(NAT, 1, packets);
                    scene.now += 10 * MS;
                    if !noise_comes_first {
                        scene.send(&noise, 9, sequence);
                    }
                    packets += 1;
                }
                assert!(packets <= 30, "{what}: {packets} packets");
            }
        }
    }
}

#[test]
fn whoever_is_in_the_middle_of_a_stream_keeps_the_place() {
    let mut scene = Scene::with(talking("10.0.0.5:4000"), &[], None);
    scene.send_row(NAT, 1, 0..2);
    // More hosts than there are places, each with one packet, before the caller's next one.
    for n in 2..5 {
        for host in 1..200 {
            assert!(!scene.send(&format!("192.0.2.{host}:4000"), 9, n * 100));
        }
        scene.send_row(NAT, 1, n..n + 1);
    }
    assert_eq!(scene.current(), NAT);
}

#[test]
fn the_signalled_address_has_a_place_whoever_fills_the_others() {
    let mut scene = Scene::new();
    scene.now += 400 * MS;
    scene.send_row(NAT, 8, 0..5);
    assert_eq!(scene.current(), NAT);
    // Nobody is silent for long enough to be looked at but those who need no silence.
    let mut scene = Scene::talked(NAT);
    scene.now += 2_100 * MS;
    for n in 0..5 {
        for host in 1..200 {
            scene.send(&format!("192.0.2.{host}:4000"), 9, n);
        }
        scene.send_row(SIGNALLED, 1, n..n + 1);
    }
    assert_eq!(scene.current(), SIGNALLED);
}

/// Eight hosts that each stream, all at once: the newcomer waits until one of them stops.
#[test]
fn places_are_given_away_when_their_stream_stops() {
    let mut scene = Scene::new();
    scene.send_row(SIGNALLED, 1, 0..10);
    scene.now += 2_100 * MS;
    for n in 0..3 {
        for host in 1..=8 {
            scene.send(&format!("192.0.2.{host}:4000"), 9, n);
        }
        scene.now += 20 * MS;
    }
    assert_eq!(scene.send_row(NAT, 1, 0..9), 0);
    assert_eq!(scene.send_row(NAT, 1, 9..40), 7, "after 200 ms, and 25 packets");
}
