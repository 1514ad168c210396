//! Two machines with a bad line between them, on one machine.
//!
//! ```text
//!   near: callers                  middle: the line                    far: passline serve
//!   10.77.0.1 ── line ══ veth ══ near ──▶ Carrier ──▶ far ══ veth ══ line ── 10.77.0.2
//! ```
//!
//! Each is a network namespace that a thread of the test made; they are gone with the test, however it ends, and nothing
//! of them is seen outside. `tc netem` would stand in the middle, but not every kernel has it. The carrier does the
//! same: each packet is lost, sent twice and delayed by chance, with a seed, so the same packets of the same run order
//! meet the same fate. What is delayed more is overtaken, so jitter is reordering.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{self, AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, sockopt};
use nix::sys::time::TimeSpec;
use passline::time::{Clock as _, SystemClock, monotonic};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// The address of the near end.
pub(crate) const NEAR: &str = "10.77.0.1";
/// The address of the far end.
pub(crate) const FAR: &str = "10.77.0.2";

/// Enough for half a second of a busy line.
const RECEIVE_BUFFER: usize = 16 << 20;

/// A frame of Ethernet; the line has the usual MTU.
const MAX_FRAME: usize = 2_048;

/// Frames taken from one side before the other one has its turn.
const AT_ONCE: usize = 256;

/// What the line does to a packet; each way by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Impairment {
    /// This part of the packets is lost.
    pub loss: f64,
    /// This part comes twice.
    pub duplicated: f64,
    /// Each takes up to this long, at random.
    pub jitter: Duration,
    /// What chance begins with.
    pub seed: u64,
}

/// What became of the packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fates {
    /// Taken from one end.
    pub taken: u64,
    /// Not given to the other.
    pub lost: u64,
    /// Given after one that was sent later.
    pub overtaken: u64,
}

#[derive(Default)]
struct Shared {
    cut: AtomicBool,
    stop: AtomicBool,
    taken: AtomicU64,
    lost: AtomicU64,
    overtaken: AtomicU64,
}

/// A network namespace: a machine as far as addresses and ports go.
pub(crate) struct Namespace {
    file: File,
    _holder: Sender<()>,
}

impl Namespace {
    #[expect(clippy::print_stderr, reason = "whoever runs the tests must see what is needed")]
    fn new() -> Self {
        let (holder, held) = channel();
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let made = unshare(CloneFlags::CLONE_NEWNET).map_err(|error| error.to_string());
            let file = made.map(|()| File::open("/proc/thread-self/ns/net").expect("a namespace"));
            sender.send(file).expect("somebody waits");
            // Until the namespace is dropped.
            let _ = held.recv();
        });
        let file = receiver.recv().expect("an answer").unwrap_or_else(|error| {
            eprintln!("\nThis test makes network namespaces, which takes root (CAP_SYS_ADMIN). Run it as root.\n");
            panic!("no network namespace: {error}")
        });
        let namespace = Self { file, _holder: holder };
        namespace.ip("link set lo up");
        namespace
    }

    /// Does something on this machine: sockets, threads and processes made in it belong there.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let there = scope.spawn(|| {
                setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET).expect("a namespace");
                work()
            });
            there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs `ip` on this machine.
    fn ip(&self, arguments: &str) {
        let done = self.run(|| Command::new("ip").args(arguments.split(' ')).output());
        let done = done.expect("ip is installed: scripts/setup test");
        assert!(done.status.success(), "ip {arguments}: {done:?}");
    }

    /// How `ip` finds it.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }
}

/// Two machines and the line between them.
pub(crate) struct Line {
    pub near: Namespace,
    pub far: Namespace,
    shared: Arc<Shared>,
    carrier: Option<JoinHandle<()>>,
}

impl Line {
    /// Makes them.
    pub(crate) fn new(impairment: Impairment) -> Self {
        let (near, far, middle) = (Namespace::new(), Namespace::new(), Namespace::new());
        for (end, name, address) in [(&near, "near", NEAR), (&far, "far", FAR)] {
            middle.ip(&format!(
                "link add {name} type veth peer name line netns {}",
                end.path()
            ));
            middle.ip(&format!("link set {name} up addrgenmode none"));
            end.ip("link set line addrgenmode none");
            end.ip(&format!("addr add {address}/24 dev line"));
            end.ip("link set line up");
        }
        let shared = Arc::new(Shared::default());
        let ports = middle.run(|| [open("near"), open("far")]);
        let carrier = Carrier {
            ports,
            impairment,
            chance: StdRng::seed_from_u64(impairment.seed),
            under_way: BinaryHeap::new(),
            number: 0,
            newest: [0; 2],
            shared: Arc::clone(&shared),
        };
        Self {
            near,
            far,
            shared,
            carrier: Some(std::thread::spawn(move || carrier.run())),
        }
    }

    /// Cuts the line, or mends it.
    pub(crate) fn cut(&self, cut: bool) {
        self.shared.cut.store(cut, Ordering::Relaxed);
    }

    /// What became of the packets so far.
    pub(crate) fn fates(&self) -> Fates {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Fates {
            taken: count(&self.shared.taken),
            lost: count(&self.shared.lost),
            overtaken: count(&self.shared.overtaken),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(carrier) = self.carrier.take() {
            // A panic of it has failed the test already: nothing arrives any more.
            let _ = carrier.join();
        }
    }
}

/// A socket that takes and gives whole frames of an interface.
fn open(interface: &str) -> OwnedFd {
    let port = socket::socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::EthAll,
    )
    .expect("a packet socket");
    let mut links = nix::ifaddrs::getifaddrs().expect("interfaces");
    let link = links
        .find_map(|link| (link.interface_name == interface).then(|| link.address?.as_link_addr().copied())?)
        .expect("the interface");
    socket::bind(port.as_raw_fd(), &link).expect("bound");
    socket::setsockopt(&port, sockopt::RcvBufForce, &RECEIVE_BUFFER).expect("a large buffer");
    socket::setsockopt(&port, sockopt::ReceiveTimestampns, &true).expect("times of arrival");
    port
}

struct Carrier {
    ports: [OwnedFd; 2],
    impairment: Impairment,
    chance: StdRng,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    /// Of the packet that was taken last.
    number: u64,
    /// Of the newest packet given to each end.
    newest: [u64; 2],
    shared: Arc<Shared>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct UnderWay {
    due: Instant,
    number: u64,
    to: usize,
    frame: Vec<u8>,
}

impl Carrier {
    fn run(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.wait();
            for from in 0..2 {
                self.take(from);
            }
            self.give();
        }
    }

    /// Until a frame comes or is due, at most 20 ms.
    fn wait(&self) {
        let due = self.under_way.peek().map(|Reverse(next)| next.due);
        let pause = due.map_or(Duration::from_millis(20), |due| {
            due.saturating_duration_since(monotonic())
                .min(Duration::from_millis(20))
        });
        let timeout = PollTimeout::try_from(pause).expect("short");
        let mut ports = [0, 1].map(|port| PollFd::new(self.ports[port].as_fd(), PollFlags::POLLIN));
        // An interruption is as good as the end of the pause.
        let _ = poll(&mut ports, timeout);
    }

    fn take(&mut self, from: usize) {
        let mut buffer = [0; MAX_FRAME];
        for _ in 0..AT_ONCE {
            let Some((length, sent)) = receive(&self.ports[from], &mut buffer) else {
                return;
            };
            let frame = &mut buffer[..length];
            let to = 1 - from;
            if !is_udp(frame) {
                self.send_at(sent, to, frame);
                continue;
            }
            // Left to hardware that a pair of interfaces does not have. Zero means none (RFC 768).
            let checksum = 14 + usize::from(frame[14] & 15) * 4 + 6;
            frame[checksum..checksum + 2].fill(0);
            self.shared.taken.fetch_add(1, Ordering::Relaxed);
            if self.shared.cut.load(Ordering::Relaxed) || self.chance.random_bool(self.impairment.loss) {
                self.shared.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let copies = 1 + u32::from(self.chance.random_bool(self.impairment.duplicated));
            for _ in 0..copies {
                let delay = self.impairment.jitter.mul_f64(self.chance.random::<f64>());
                self.send_at(sent + delay, to, frame);
            }
        }
    }

    fn send_at(&mut self, due: Instant, to: usize, frame: &[u8]) {
        self.number += 1;
        self.under_way.push(Reverse(UnderWay {
            due,
            number: self.number,
            to,
            frame: frame.to_vec(),
        }));
    }

    fn give(&mut self) {
        let now = monotonic();
        while self.under_way.peek().is_some_and(|Reverse(next)| next.due <= now) {
            let Some(Reverse(next)) = self.under_way.pop() else {
                return;
            };
            if next.number < self.newest[next.to] {
                self.shared.overtaken.fetch_add(1, Ordering::Relaxed);
            }
            self.newest[next.to] = self.newest[next.to].max(next.number);
            // A full queue loses the frame, as any network would.
            let _ = socket::send(self.ports[next.to].as_raw_fd(), &next.frame, MsgFlags::MSG_DONTWAIT);
        }
    }
}

/// A frame, and when it came to the line. On a busy machine that is not when it is read: delays that began only then
/// would make more of the jitter than was asked for.
fn receive(port: &OwnedFd, buffer: &mut [u8]) -> Option<(usize, Instant)> {
    let mut parts = [IoSliceMut::new(buffer)];
    let mut control = nix::cmsg_space!(TimeSpec);
    let received =
        socket::recvmsg::<()>(port.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::MSG_DONTWAIT).ok()?;
    let arrived_ms = received.cmsgs().ok()?.find_map(|message| match message {
        ControlMessageOwned::ScmTimestampns(time) => Some(time.tv_sec() * 1_000 + time.tv_nsec() / 1_000_000),
        _ => None,
    });
    let (now, now_ms) = (monotonic(), SystemClock.now().as_millis());
    let age = now_ms.saturating_sub(arrived_ms.unwrap_or(now_ms));
    let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
    Some((received.bytes, now.checked_sub(age).unwrap_or(now)))
}

/// IPv4 and UDP, the beginning of a datagram.
fn is_udp(frame: &[u8]) -> bool {
    let Some(header) = frame.get(14..42) else { return false };
    let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x1fff;
    frame[12..14] == [8, 0] && header[0] >> 4 == 4 && header[9] == 17 && fragment == 0
}
