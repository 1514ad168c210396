//! The task that owns the core.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use nix::sys::socket::{MsgFlags, SockaddrStorage, sendto};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::call::{Call, IncomingCall};
use super::connections::Connections;
use super::patience::Patience;
use super::{Arrival, EVENTS, Ingress, tcp};
use crate::table::give_room_back;
use crate::telephony::sip::endpoint::{
    CallEvent, CallInfo, CallKey, Command, Endpoint, Input, OutgoingInvite, Output, Stats,
};
use crate::telephony::sip::transport::{Flow, Transport};
use crate::time::monotonic;

/// What handles and calls ask of the core.
pub(super) enum Request {
    Invite(Box<OutgoingInvite>, oneshot::Sender<Option<Call>>),
    Command(CallKey, Command),
    Drain,
    HangUpAll,
    Stats(oneshot::Sender<Stats>),
}

pub(super) struct Core {
    endpoint: Endpoint,
    sockets: Vec<Arc<UdpSocket>>,
    connections: Arc<Connections>,
    ingress: Arc<Ingress>,
    /// For the calls that are handed out; weak, so that the core ends when they and the handle are gone.
    commands: mpsc::WeakSender<Request>,
    calls: mpsc::Sender<IncomingCall>,
    events: HashMap<CallKey, mpsc::Sender<CallEvent>>,
    /// Keys of calls that were dropped. Each call holds a permit for its own, so this never fills up.
    dropped: mpsc::Sender<CallKey>,
    dropped_calls: mpsc::Receiver<CallKey>,
    stop: CancellationToken,
}

/// Messages that are handled before timers and outputs of other kinds get their turn.
const BATCH: usize = 64;

impl Core {
    #[expect(
        clippy::too_many_arguments,
        reason = "called once, by the start that made all of them"
    )]
    pub(super) fn new(
        endpoint: Endpoint,
        sockets: Vec<Arc<UdpSocket>>,
        connections: Arc<Connections>,
        ingress: Arc<Ingress>,
        commands: mpsc::WeakSender<Request>,
        calls: mpsc::Sender<IncomingCall>,
        max_calls: usize,
        stop: CancellationToken,
    ) -> Self {
        let (dropped, dropped_calls) = mpsc::channel(2 * max_calls + 1);
        Self {
            endpoint,
            sockets,
            connections,
            ingress,
            commands,
            calls,
            events: HashMap::new(),
            dropped,
            dropped_calls,
            stop,
        }
    }

    /// Runs until it is stopped or nobody is left who could use it; `guard` then ends the other tasks.
    pub(super) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut known: mpsc::Receiver<Arrival>,
        mut unknown: mpsc::Receiver<Arrival>,
        guard: DropGuard,
    ) {
        let sleep = tokio::time::sleep_until(monotonic().into());
        tokio::pin!(sleep);
        loop {
            let deadline = self.endpoint.next_deadline();
            if let Some(deadline) = deadline
                && sleep.deadline() != deadline.into()
            {
                sleep.as_mut().reset(deadline.into());
            }
            // Trunks come before strangers; timers run with every input, so nothing starves them.
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                // Before calls that were dropped: a call that is refused and then dropped is refused.
                request = requests.recv() => match request {
                    Some(request) => self.on_request(request),
                    None => break,
                },
                Some(key) = self.dropped_calls.recv() => self.on_dropped(key),
                Some(arrival) = known.recv() => {
                    if self.on_arrivals(arrival, &mut known) {
                        // Writers of connections, woken on this thread, may wait for this task to make room.
                        tokio::task::yield_now().await;
                    }
                }
                Some(arrival) = unknown.recv() => self.on_arrival(arrival),
                () = &mut sleep, if deadline.is_some() => self.handle(monotonic(), Input::Timeout),
            }
        }
        while let Ok(key) = self.dropped_calls.try_recv() {
            self.on_dropped(key);
        }
        drop(guard);
    }

    /// A call that its owner dropped: one that still rings was not meant to be, others are hung up.
    fn on_dropped(&mut self, key: CallKey) {
        let now = monotonic();
        self.handle(
            now,
            Input::Command(
                key,
                Command::Reject {
                    status: 500,
                    retry_after: None,
                },
            ),
        );
        self.handle(now, Input::Command(key, Command::HangUp));
    }

    /// Handles what is there, a batch at the most; true when there may be more.
    fn on_arrivals(&mut self, first: Arrival, queue: &mut mpsc::Receiver<Arrival>) -> bool {
        self.on_arrival(first);
        for _ in 0..BATCH {
            let Ok(arrival) = queue.try_recv() else { return false };
            self.on_arrival(arrival);
        }
        true
    }

    fn on_arrival(&mut self, arrival: Arrival) {
        let now = monotonic();
        match &arrival {
            Arrival::Message { flow, bytes } => self.handle(now, Input::Received { flow: *flow, bytes }),
            Arrival::Unframable { flow, head } => self.handle(now, Input::Unframable { flow: *flow, head }),
            Arrival::Closed(flow) => self.handle(now, Input::Closed(*flow)),
            Arrival::Unreachable(remote) => self.handle(now, Input::Unreachable(*remote)),
        }
    }

    fn on_request(&mut self, request: Request) {
        let now = monotonic();
        match request {
            Request::Invite(invite, reply) => {
                let call = self.place(now, *invite);
                // The caller may have given up waiting: the call that it does not take is dropped, which hangs it up.
                let _ = reply.send(call);
                self.carry_out(now);
            }
            Request::Command(key, command) => self.handle(now, Input::Command(key, command)),
            Request::Drain => self.handle(now, Input::Drain),
            Request::HangUpAll => self.handle(now, Input::HangUpAll),
            Request::Stats(reply) => {
                let mut stats = self.endpoint.stats();
                stats.throttled += self.ingress.dropped.load(Ordering::Relaxed);
                let _ = reply.send(stats);
            }
        }
    }

    fn place(&mut self, now: Instant, invite: OutgoingInvite) -> Option<Call> {
        let key = self.endpoint.invite(now, invite)?;
        let call = self.open_call(key);
        if call.is_none() {
            self.endpoint.handle(now, Input::Command(key, Command::HangUp));
        }
        call
    }

    fn open_call(&mut self, key: CallKey) -> Option<Call> {
        let permit = self.dropped.clone().try_reserve_owned().ok()?;
        let commands = self.commands.upgrade()?;
        let (events, receiver) = mpsc::channel(EVENTS);
        self.events.insert(key, events);
        Some(Call::new(key, commands, receiver, permit))
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.endpoint.handle(now, input);
        self.carry_out(now);
    }

    fn carry_out(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Send { flow, bytes } => self.send(now, flow, bytes),
                Output::Close(flow) => self.connections.close(flow.channel),
                Output::Proved { flow, until } => {
                    self.ingress.prove(flow.remote.ip(), until);
                    self.connections.trust(flow.channel);
                }
                Output::Incoming(info) => self.on_incoming(now, *info),
                Output::Event(key, event) => self.on_event(now, key, event),
            }
        }
    }

    fn on_incoming(&mut self, now: Instant, info: CallInfo) {
        let key = info.key;
        let Some(call) = self.open_call(key) else {
            return self.turn_away(now, key);
        };
        if self.calls.try_send(IncomingCall { info, call }).is_err() {
            self.turn_away(now, key);
        }
    }

    /// The call layer does not keep up, or is gone.
    fn turn_away(&mut self, now: Instant, key: CallKey) {
        tracing::warn!("a call is refused because the call layer does not take it");
        self.events.remove(&key);
        give_room_back(&mut self.events);
        self.endpoint.handle(
            now,
            Input::Command(
                key,
                Command::Reject {
                    status: 503,
                    retry_after: Some(2),
                },
            ),
        );
    }

    fn on_event(&mut self, now: Instant, key: CallKey, event: CallEvent) {
        let is_last = event.is_last();
        let Some(events) = self.events.get(&key) else { return };
        // Keys that come faster than anybody can press them leave room for what the call must not miss.
        if matches!(event, CallEvent::Info { .. }) && events.capacity() <= EVENTS / 2 {
            tracing::debug!("a key is dropped because too many of one call wait");
            return;
        }
        let is_full = matches!(events.try_send(event), Err(mpsc::error::TrySendError::Full(_)));
        if is_last || is_full {
            self.events.remove(&key);
            give_room_back(&mut self.events);
        }
        if is_full && !is_last {
            tracing::warn!("a call is hung up because nobody reads its events");
            self.endpoint.handle(now, Input::Command(key, Command::HangUp));
        }
    }

    fn send(&mut self, now: Instant, flow: Flow, bytes: Arc<[u8]>) {
        match flow.transport {
            Transport::Udp => self.send_datagram(flow, &bytes),
            Transport::Tcp => match self.connections.write(flow.channel, flow.remote, bytes) {
                // Only our requests are worth a new connection: an answer would make us knock at a stranger's port.
                Err(bytes) if !bytes.starts_with(b"SIP/2.0 ") => self.connect(now, flow.remote, bytes),
                _ => {}
            },
        }
    }

    /// A datagram that the system does not take now is lost like any other; what matters is sent again.
    fn send_datagram(&self, flow: Flow, bytes: &[u8]) {
        let index = usize::try_from(flow.channel.0).unwrap_or(0).wrapping_sub(1);
        let Some(socket) = self.sockets.get(index) else { return };
        // Not by `try_send_to`: tokio knows of no readiness of a new socket yet, and its first message would be lost.
        let to = SockaddrStorage::from(flow.remote);
        if let Err(error) = sendto(socket.as_raw_fd(), bytes, &to, MsgFlags::MSG_DONTWAIT) {
            tracing::debug!(%error, sip.remote = %flow.remote, "sending failed");
        }
    }

    fn connect(&mut self, now: Instant, remote: SocketAddr, bytes: Arc<[u8]>) {
        let Some((place, writes)) = self.connections.admit(remote, true) else {
            tracing::warn!(sip.remote = %remote, "too many connections to open another one");
            self.endpoint.handle(now, Input::Unreachable(remote));
            return;
        };
        // The queue is new and empty.
        let _ = place.writer.queue(bytes);
        tokio::spawn(tcp::connect(
            remote,
            place,
            writes,
            Patience::new(self.connections.limits, tokio::time::Instant::now()),
            Arc::clone(&self.ingress),
            self.stop.clone(),
        ));
    }
}
