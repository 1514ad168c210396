//! UDP sockets that never wait, and reading several datagrams with one system call.

use std::io;
use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, recvmmsg, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

/// Datagrams read with one call. In a quiet call one has arrived.
pub(super) const BATCH: usize = 8;
/// Longer datagrams are cut, and then are nothing that we know.
const DATAGRAM_LEN: usize = 2_048;

/// About a second of packets in what the kernel makes of it (it doubles the number and counts its own structures).
/// Bounds what a flood on every port can take.
const RECEIVE_BUFFER: usize = 64 * 1_024;

/// A socket for RTP or RTCP.
#[derive(Debug)]
pub(super) struct MediaSocket {
    socket: UdpSocket,
    is_ipv4: bool,
}

impl MediaSocket {
    pub(super) fn bind(address: SocketAddr, dscp: u8) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        // Asked for only to bound memory: a machine that gives less works as well.
        let _ = setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER);
        let traffic_class = i32::from(dscp) << 2;
        // A network that knows no traffic classes is no reason to refuse a call.
        let _ = if address.is_ipv4() {
            setsockopt(&socket, sockopt::Ipv4Tos, &traffic_class)
        } else {
            setsockopt(&socket, sockopt::Ipv6TClass, &traffic_class)
        };
        Ok(Self {
            socket,
            is_ipv4: address.is_ipv4(),
        })
    }

    /// Sends, or fails at once.
    pub(super) fn send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        self.socket.send_to(datagram, to).map(|_| ())
    }
}

/// A moment on both clocks, to turn the kernel's wall-clock stamps into monotonic time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    pub(super) now: Instant,
    wall: Duration,
}

impl Clocks {
    pub(super) fn read() -> Self {
        let wall = clock_gettime(ClockId::CLOCK_REALTIME).map_or(Duration::ZERO, Duration::from);
        Self {
            now: crate::time::monotonic(),
            wall,
        }
    }

    /// When a datagram arrived. The wall clock may have been set in between, so the answer is kept between the read
    /// before and now: a step of the clock shows as a little jitter, once, and nowhere else.
    fn arrival(&self, stamp: Option<TimeSpec>, last_read: Instant) -> Instant {
        let age = stamp
            .and_then(|stamp| self.wall.checked_sub(Duration::from(stamp)))
            .unwrap_or_default();
        self.now
            .checked_sub(age)
            .unwrap_or(last_read)
            .clamp(last_read.min(self.now), self.now)
    }
}

/// Buffers for reading, shared by all sockets of a worker.
pub(super) struct Reader {
    buffers: Box<[[u8; DATAGRAM_LEN]; BATCH]>,
    // One set per family: the length of an address is a property of the set.
    v4: MultiHeaders<SockaddrIn>,
    v6: MultiHeaders<SockaddrIn6>,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            buffers: Box::new([[0; DATAGRAM_LEN]; BATCH]),
            v4: headers(),
            v6: headers(),
        }
    }

    /// Reads up to [`BATCH`] datagrams without waiting and hands them on with their arrival. Returns how many there
    /// were; an error is that of the socket, ICMP errors among them.
    pub(super) fn read(
        &mut self,
        socket: &MediaSocket,
        last_read: Instant,
        clocks: &Clocks,
        mut handle: impl FnMut(SocketAddr, &[u8], Instant),
    ) -> Result<usize, Errno> {
        let hand_on = |from, datagram: &[u8], stamp| handle(from, datagram, clocks.arrival(stamp, last_read));
        if socket.is_ipv4 {
            read(socket, &mut self.v4, &mut self.buffers, hand_on)
        } else {
            read(socket, &mut self.v6, &mut self.buffers, hand_on)
        }
    }
}

fn headers<S: SockaddrLike + Copy>() -> MultiHeaders<S> {
    MultiHeaders::preallocate(BATCH, Some(nix::cmsg_space!(TimeSpec)))
}

fn read<S: SockaddrLike + Copy + Into<SocketAddr>>(
    socket: &MediaSocket,
    headers: &mut MultiHeaders<S>,
    buffers: &mut [[u8; DATAGRAM_LEN]; BATCH],
    mut handle: impl FnMut(SocketAddr, &[u8], Option<TimeSpec>),
) -> Result<usize, Errno> {
    let mut slices = buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
    let fd = socket.socket.as_raw_fd();
    let messages = match recvmmsg(fd, headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None) {
        Ok(messages) => messages,
        Err(Errno::EAGAIN) => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut count = 0;
    let mut stamps_lost = false;
    for message in messages {
        count += 1;
        let stamp = match message.cmsgs() {
            Ok(mut controls) => controls.find_map(|control| match control {
                ControlMessageOwned::ScmTimestampns(stamp) => Some(stamp),
                _ => None,
            }),
            Err(_) => None,
        };
        stamps_lost |= stamp.is_none();
        let (Some(from), datagram) = (message.address, message.iovs().next().unwrap_or_default()) else {
            continue;
        };
        handle(from.into(), datagram, stamp);
    }
    if stamps_lost {
        // A message without a stamp leaves no room for the stamp of the next one in its header.
        *headers = self::headers();
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(ip: &str) -> (MediaSocket, SocketAddr, UdpSocket) {
        let socket = MediaSocket::bind(format!("{ip}:0").parse().expect("address"), 46).expect("bound");
        let address = socket.socket.local_addr().expect("bound");
        let peer = UdpSocket::bind(format!("{ip}:0")).expect("bound");
        (socket, address, peer)
    }

    #[test]
    fn datagrams_come_with_sender_and_time_of_arrival() {
        for ip in ["127.0.0.1", "[::1]", "127.0.0.1"] {
            let (socket, address, peer) = pair(ip);
            let mut reader = Reader::new();
            let before = crate::time::monotonic();
            // The kernel begins to stamp some time after the first socket asked for it.
            std::thread::sleep(Duration::from_millis(100));
            for round in 0..3u8 {
                peer.send_to(&[round], address).expect("sent");
                peer.send_to(&[], address).expect("sent");
                std::thread::sleep(Duration::from_millis(30));
                let mut seen = Vec::new();
                let clocks = Clocks::read();
                let count = reader.read(&socket, before, &clocks, |from, datagram, arrival| {
                    seen.push((from, datagram.to_vec(), clocks.now - arrival));
                });
                assert_eq!(count, Ok(2));
                assert_eq!(seen[0].0, peer.local_addr().expect("bound"));
                assert_eq!((&seen[0].1[..], &seen[1].1[..]), (&[round][..], &[][..]));
                assert!(
                    seen[0].2 >= Duration::from_millis(25),
                    "the kernel's stamp, not the time of reading"
                );
            }
            assert_eq!(reader.read(&socket, before, &Clocks::read(), |_, _, _| {}), Ok(0));
        }
    }

    #[test]
    fn a_clock_that_steps_moves_no_arrival_out_of_its_packet_time() {
        let now = crate::time::monotonic();
        let last_read = now - Duration::from_millis(20);
        let clocks = Clocks {
            now,
            wall: Duration::from_secs(1_000_000),
        };
        let stamp = |seconds: i64| Some(TimeSpec::new(seconds, 0));
        assert_eq!(clocks.arrival(stamp(1_003_600), last_read), now, "set back by an hour");
        assert_eq!(
            clocks.arrival(stamp(996_400), last_read),
            last_read,
            "set forward by an hour"
        );
        assert_eq!(clocks.arrival(None, last_read), now);
    }
}
