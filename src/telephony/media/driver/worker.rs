//! One worker thread and its sessions.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use nix::errno::Errno;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, oneshot};

use super::lease::Lease;
use super::metrics::{Counters, Place, SharedCounters};
use super::sockets::{BATCH, Clocks, MediaSocket, Reader};
use super::wheel::Wheel;
use crate::table::give_room_back;
use crate::telephony::media::config::{Command, HeardAudio, MediaEvent, SessionConfig};
use crate::telephony::media::session::{MAX_PACKET_LEN, Port, Session, Transmit};
use crate::telephony::media::stats::SessionStats;
use crate::telephony::sdp::Negotiated;

/// Calls of the reader per tick and socket; more is a flood, and stays in the kernel until it drops it.
const MAX_READS: usize = 4;
/// RTCP comes every few seconds: its port is looked at every so many ticks.
const TICKS_PER_RTCP_READ: u8 = 16;

/// Messages taken between two slots; the rest waits a millisecond, so that packets keep their time.
const MAX_MESSAGES: usize = 256;

/// What a worker is told.
pub(super) enum Message {
    Open(Box<NewSession>),
    Command(u64, Command),
    Stats(u64, oneshot::Sender<SessionStats>),
    /// Look whether to stop.
    Wake,
    /// Do what a bug would do.
    #[cfg(test)]
    Panic,
}

/// Everything that a session is made of.
pub(super) struct NewSession {
    pub(super) id: u64,
    pub(super) lease: Lease,
    pub(super) config: SessionConfig,
    pub(super) agreed: Negotiated,
    pub(super) events: mpsc::Sender<MediaEvent>,
    pub(super) closed: Arc<AtomicBool>,
    pub(super) listener: Option<mpsc::Sender<HeardAudio>>,
    pub(super) place: Place,
}

struct Live {
    session: Session,
    lease: Lease,
    events: mpsc::Sender<MediaEvent>,
    closed: Arc<AtomicBool>,
    last_rtp_read: Instant,
    last_rtcp_read: Instant,
    ticks_to_rtcp_read: u8,
    _place: Place,
}

/// The thread's own state.
pub(super) struct Worker<'a> {
    messages: &'a Receiver<Message>,
    stop: Arc<AtomicBool>,
    shared: Arc<SharedCounters>,
    counters: Counters,
    sessions: HashMap<u64, Live>,
    wheel: Wheel,
    reader: Reader,
    buffer: [u8; MAX_PACKET_LEN],
}

impl<'a> Worker<'a> {
    pub(super) fn new(messages: &'a Receiver<Message>, stop: Arc<AtomicBool>, shared: Arc<SharedCounters>) -> Self {
        Self {
            messages,
            stop,
            shared,
            counters: Counters::default(),
            sessions: HashMap::new(),
            wheel: Wheel::new(crate::time::monotonic()),
            reader: Reader::new(),
            buffer: [0; MAX_PACKET_LEN],
        }
    }

    /// Until the engine stops.
    pub(super) fn run(mut self) {
        while !self.stop.load(Ordering::Acquire) {
            match self.wheel.next_due() {
                Some(due) => {
                    // Sleeping to an absolute moment: what the work took does not add up.
                    std::thread::sleep(due.saturating_duration_since(crate::time::monotonic()));
                    self.take_messages();
                    self.run_due();
                    self.counters.publish(&self.shared);
                }
                None => match self.messages.recv() {
                    Ok(message) => {
                        self.wheel.restart(crate::time::monotonic());
                        self.take(message);
                    }
                    Err(_) => break,
                },
            }
        }
        self.end_all();
        self.counters.publish(&self.shared);
    }

    fn take_messages(&mut self) {
        for _ in 0..MAX_MESSAGES {
            let Ok(message) = self.messages.try_recv() else { break };
            self.take(message);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Open(new) => self.open(*new),
            Message::Command(id, command) => {
                if let Some(live) = self.sessions.get_mut(&id) {
                    live.session.handle_command(command, crate::time::monotonic());
                }
            }
            Message::Stats(id, answer) => {
                if let Some(live) = self.sessions.get(&id) {
                    // Whoever asked may have given up.
                    let _ = answer.send(live.session.stats());
                }
            }
            Message::Wake => {}
            #[cfg(test)]
            Message::Panic => panic!("a test wants it"),
        }
    }

    fn open(&mut self, new: NewSession) {
        let first_tick = self
            .wheel
            .admit(new.id, new.agreed.packet_time, crate::time::monotonic());
        let rng = StdRng::from_rng(&mut rand::rng());
        let mut session = Session::new(new.config, new.agreed, first_tick, rng);
        if let Some(listener) = new.listener {
            session.handle_command(Command::Listen(listener), first_tick);
        }
        let live = Live {
            session,
            lease: new.lease,
            events: new.events,
            closed: new.closed,
            last_rtp_read: first_tick,
            last_rtcp_read: first_tick,
            ticks_to_rtcp_read: 0,
            _place: new.place,
        };
        self.sessions.insert(new.id, live);
        self.counters.sessions_opened += 1;
    }

    fn run_due(&mut self) {
        while let Some(due) = self.wheel.take_due(crate::time::monotonic()) {
            for &id in &due {
                self.run_session(id);
            }
            self.wheel.recycle(due);
        }
    }

    fn run_session(&mut self, id: u64) {
        let Some(live) = self.sessions.get_mut(&id) else { return };
        if live.closed.load(Ordering::Acquire) {
            self.end(id);
            return;
        }
        let clocks = Clocks::read();
        self.counters
            .count_tick(clocks.now.saturating_duration_since(live.session.deadline()));
        live.read(&mut self.reader, &clocks, &mut self.counters);
        live.tick(clocks.now, &mut self.buffer, &mut self.counters);
        live.deliver(&mut self.counters);
        self.wheel.insert(id, live.session.deadline());
    }

    fn end(&mut self, id: u64) {
        let Some(mut live) = self.sessions.remove(&id) else {
            return;
        };
        give_room_back(&mut self.sessions);
        let now = crate::time::monotonic();
        if let Some(transmit) = live.session.goodbye(now, &mut self.buffer) {
            live.transmit(transmit, &self.buffer, &mut self.counters);
        }
    }

    fn end_all(&mut self) {
        let ids: Vec<u64> = self.sessions.keys().copied().collect();
        ids.into_iter().for_each(|id| self.end(id));
    }
}

impl Live {
    fn read(&mut self, reader: &mut Reader, clocks: &Clocks, counters: &mut Counters) {
        let session = &mut self.session;
        read_all(
            reader,
            &self.lease.rtp,
            Port::Rtp,
            session,
            self.last_rtp_read,
            clocks,
            counters,
        );
        self.last_rtp_read = clocks.now;
        if let Some(ticks) = self.ticks_to_rtcp_read.checked_sub(1) {
            self.ticks_to_rtcp_read = ticks;
            return;
        }
        self.ticks_to_rtcp_read = TICKS_PER_RTCP_READ;
        read_all(
            reader,
            &self.lease.rtcp,
            Port::Rtcp,
            session,
            self.last_rtcp_read,
            clocks,
            counters,
        );
        self.last_rtcp_read = clocks.now;
    }

    fn tick(&mut self, now: Instant, buffer: &mut [u8; MAX_PACKET_LEN], counters: &mut Counters) {
        if let Some(transmit) = self.session.tick(now, buffer) {
            self.transmit(transmit, buffer, counters);
            counters.packets_sent += 1;
        }
        if let Some(transmit) = self.session.poll_rtcp(now, buffer) {
            self.transmit(transmit, buffer, counters);
        }
    }

    fn transmit(&mut self, transmit: Transmit, buffer: &[u8; MAX_PACKET_LEN], counters: &mut Counters) {
        let socket = match transmit.port {
            Port::Rtp => &self.lease.rtp,
            Port::Rtcp => &self.lease.rtcp,
        };
        match socket.send_to(&buffer[..transmit.len], transmit.to) {
            Ok(()) => {}
            // A full send buffer loses the packet as a network would.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // An unreachable port is news of an earlier packet; the far end may yet come back.
            Err(_) => {
                self.session.count_socket_error();
                counters.socket_errors += 1;
            }
        }
    }

    fn deliver(&mut self, counters: &mut Counters) {
        while let Some(event) = self.session.poll_event() {
            if self.events.try_send(event).is_err() {
                self.session.count_undelivered();
                counters.events_dropped += 1;
            }
        }
    }
}

fn read_all(
    reader: &mut Reader,
    socket: &MediaSocket,
    port: Port,
    session: &mut Session,
    last_read: Instant,
    clocks: &Clocks,
    counters: &mut Counters,
) {
    for _ in 0..MAX_READS {
        let read = reader.read(socket, last_read, clocks, |from, datagram, arrival| {
            session.handle_datagram(port, from, datagram, arrival);
        });
        match read {
            Ok(count) => {
                counters.datagrams_received += count as u64;
                if count < BATCH {
                    return;
                }
            }
            Err(Errno::EINTR) => {}
            // ICMP: told by the kernel once per error, so there may be datagrams behind it.
            Err(_) => {
                session.count_socket_error();
                counters.socket_errors += 1;
            }
        }
    }
}
