//! A load test, run by hand on an idle machine:
//! `cargo test --release --lib media::driver::load -- --ignored --nocapture`.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeValLike as _;
use tokio::sync::mpsc;

use super::{EngineConfig, EngineStats, LATENESS_BOUNDS, MediaEngine};
use crate::telephony::codec::{Clip, Codec};
use crate::telephony::media::{Playlist, Segment, SessionConfig};
use crate::telephony::sdp::{AgreedCodec, Direction, Negotiated, PayloadPair};

const CALLS: usize = 1_000;
const RUN: Duration = Duration::from_secs(10);
const IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn cpu_seconds() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("linux");
    (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("linux");
    statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok())
        .expect("pages")
        * 4_096
}

/// Sends and receives the same packets with nothing around them: what the system calls alone cost.
fn bare_pump(packets: usize) -> f64 {
    let (from, to) = (
        UdpSocket::bind((IP, 0)).expect("bound"),
        UdpSocket::bind((IP, 0)).expect("bound"),
    );
    let address = to.local_addr().expect("bound");
    let mut buffer = [0; 172];
    let before = cpu_seconds();
    for _ in 0..packets {
        from.send_to(&buffer, address).expect("sent");
        to.recv_from(&mut buffer).expect("received");
    }
    cpu_seconds() - before
}

/// The latest of the best `share` of ticks, as the bound of its bucket.
fn percentile(stats: &EngineStats, share: f64) -> Duration {
    let total: u64 = stats.lateness.iter().sum();
    let mut seen = 0;
    for (bound, count) in LATENESS_BOUNDS.iter().zip(stats.lateness) {
        seen += count;
        if seen as f64 >= total as f64 * share {
            return *bound;
        }
    }
    Duration::MAX
}

#[test]
#[ignore = "loads the machine for ten seconds"]
fn a_thousand_calls_keep_their_pacing() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("linux");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("allowed");
    let engine = MediaEngine::start(EngineConfig::default()).expect("started");
    let clip = Clip::from_pcm(&vec![5_000; 8_000 * 60]);
    let before = resident_bytes();
    let leases: Vec<_> = (0..CALLS).map(|_| engine.lease(IP).expect("leased")).collect();
    let addresses: Vec<_> = leases
        .iter()
        .map(|lease| (lease.rtp_address(), lease.rtcp_address()))
        .collect();
    let (events, _kept) = mpsc::channel(16);
    let mut handles = Vec::new();
    for (at, lease) in leases.into_iter().enumerate() {
        // Calls in pairs: each hears the other.
        let (rtp, rtcp) = addresses[at ^ 1];
        let payload = PayloadPair { send: 0, receive: 0 };
        let agreed = Negotiated {
            codecs: vec![AgreedCodec {
                codec: Codec::Pcmu,
                payload,
            }],
            telephone_event: None,
            redundancy: None,
            remote_rtp: Some(rtp),
            remote_rtcp: Some(rtcp),
            rtcp_mux: false,
            direction: Direction::SendRecv,
            packet_time: Duration::from_millis(20),
        };
        let handle = engine
            .open(lease, SessionConfig::default(), agreed, events.clone())
            .expect("opened");
        let segments = vec![Segment::Clip(clip.clone())];
        handle
            .play(Playlist {
                segments,
                ..Playlist::default()
            })
            .expect("accepted");
        handles.push(handle);
    }
    std::thread::sleep(Duration::from_secs(1));
    let (start, cpu) = (engine.stats(), cpu_seconds());
    std::thread::sleep(RUN);
    let (end, cpu) = (engine.stats(), cpu_seconds() - cpu);
    let per_call = resident_bytes().saturating_sub(before) / CALLS;
    let packets = end.packets_sent - start.packets_sent;
    let bare = bare_pump(packets as usize);
    let late = EngineStats {
        lateness: std::array::from_fn(|at| end.lateness[at] - start.lateness[at]),
        ..EngineStats::default()
    };
    println!(
        "packets {packets}, received {}",
        end.datagrams_received - start.datagrams_received
    );
    println!(
        "cpu {cpu:.2} s, bare pump {bare:.2} s, {:.4} s per call-minute",
        cpu * 60.0 / RUN.as_secs_f64() / CALLS as f64
    );
    println!(
        "lateness {:?} of {LATENESS_BOUNDS:?}, memory per call {per_call} bytes",
        late.lateness
    );
    assert!(percentile(&late, 0.99) <= Duration::from_millis(2));
    assert!(per_call < 64 * 1_024);
    drop(handles);
}
