//! What the call layer holds: the handle of the stack, and calls.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::core::Request;
use super::udp::route_to;
use crate::secret::Secret;
use crate::telephony::sip::digest::Credentials;
use crate::telephony::sip::endpoint::{
    CallEvent, CallInfo, CallKey, Command, LocalAddress, OutgoingInvite, ReinviteId, Stats,
};
use crate::telephony::sip::message::{Host, Scheme, Uri};
use crate::telephony::sip::transport::{Channel, Flow, Transport};

/// How often a shutdown looks whether the last messages have been confirmed.
const SHUTDOWN_POLL: Duration = Duration::from_millis(20);

/// The running stack. Clones are cheap.
#[derive(Clone)]
pub struct SipHandle {
    requests: mpsc::Sender<Request>,
    local: Arc<[LocalAddress]>,
    stop: CancellationToken,
}

impl SipHandle {
    pub(super) fn new(requests: mpsc::Sender<Request>, local: Arc<[LocalAddress]>, stop: CancellationToken) -> Self {
        Self { requests, local, stop }
    }

    /// The addresses that are listened on, with their real ports.
    #[must_use]
    pub fn local_addrs(&self) -> &[LocalAddress] {
        &self.local
    }

    /// The address of ours that a peer at `remote` sees: where media for it is best offered.
    #[must_use]
    pub fn local_ip_for(&self, remote: SocketAddr) -> Option<IpAddr> {
        let fitting = self
            .local
            .iter()
            .find(|local| local.address.is_ipv4() == remote.is_ipv4())?;
        if fitting.address.ip().is_unspecified() {
            route_to(remote)
        } else {
            Some(fitting.address.ip())
        }
    }

    /// Places a call.
    ///
    /// # Errors
    /// [`InviteError`] when the target cannot be reached from here, or there are as many calls as there may be.
    pub async fn invite(&self, request: OutgoingCallRequest) -> Result<Call, InviteError> {
        let (transport, remote) = resolve(&request.target).await?;
        let flow = self
            .flow_to(transport, remote)
            .ok_or(InviteError::NoListener { transport, remote })?;
        if request
            .caller
            .as_deref()
            .is_some_and(|caller| Uri::parse(caller).is_err())
        {
            return Err(InviteError::Caller);
        }
        let caller = request
            .caller
            .unwrap_or_else(|| format!("sip:passline@{}", host_text(flow.local.ip())));
        let (reply, answer) = oneshot::channel();
        let OutgoingCallRequest {
            target,
            sdp,
            credentials,
            ..
        } = request;
        let invite = Box::new(OutgoingInvite {
            target,
            caller,
            flow,
            sdp,
            credentials,
        });
        self.requests
            .send(Request::Invite(invite, reply))
            .await
            .map_err(|_| InviteError::Stopped)?;
        answer.await.map_err(|_| InviteError::Stopped)?.ok_or(InviteError::Full)
    }

    fn flow_to(&self, transport: Transport, remote: SocketAddr) -> Option<Flow> {
        let fits = |local: &&LocalAddress| local.address.is_ipv4() == remote.is_ipv4();
        let listener = self
            .local
            .iter()
            .find(|local| fits(local) && local.transport == transport);
        // A connection of ours needs no listener; a datagram needs the socket that hears its answer.
        let (port, channel) = match (listener, transport) {
            (Some(local), _) => (local.address.port(), local.channel),
            (None, Transport::Tcp) => (0, Channel::ANY),
            (None, Transport::Udp) => return None,
        };
        let ip = match listener {
            Some(local) if !local.address.ip().is_unspecified() => local.address.ip(),
            _ => route_to(remote)?,
        };
        Some(Flow {
            transport,
            channel,
            local: SocketAddr::new(ip, port),
            remote,
        })
    }

    /// Takes no new calls from now on: 503 with Retry-After.
    pub async fn drain(&self) {
        let _ = self.requests.send(Request::Drain).await;
    }

    /// Hangs every call up, waits until the far ends have confirmed, at most `limit`, and ends all tasks.
    pub async fn shutdown(&self, limit: Duration) {
        let _ = self.requests.send(Request::Drain).await;
        let _ = self.requests.send(Request::HangUpAll).await;
        let quiet = async {
            while self
                .stats()
                .await
                .is_some_and(|stats| stats.calls + stats.unanswered > 0)
            {
                tokio::time::sleep(SHUTDOWN_POLL).await;
            }
        };
        let _ = tokio::time::timeout(limit, quiet).await;
        self.stop.cancel();
    }

    /// Counters and sizes; `None` after the end.
    pub async fn stats(&self) -> Option<Stats> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Stats(reply)).await.ok()?;
        answer.await.ok()
    }
}

/// Where a call to `target` would go: the address in the URI, or what its name resolves to.
///
/// # Errors
/// [`InviteError::Target`].
pub async fn resolve(target: &str) -> Result<(Transport, SocketAddr), InviteError> {
    let bad = || InviteError::Target {
        target: target.to_owned(),
    };
    let uri = Uri::parse(target)
        .ok()
        .filter(|uri| uri.scheme() == Scheme::Sip)
        .ok_or_else(bad)?;
    let is_tcp = uri
        .param("transport")
        .is_some_and(|transport| transport.eq_ignore_ascii_case("tcp"));
    let transport = if is_tcp { Transport::Tcp } else { Transport::Udp };
    let port = uri.port().unwrap_or(5060);
    let remote = match uri.host() {
        Host::Ip(ip) => SocketAddr::new(ip, port),
        Host::Name(name) => tokio::net::lookup_host((name, port))
            .await
            .map_err(|_| bad())?
            .next()
            .ok_or_else(bad)?,
    };
    Ok((transport, remote))
}

fn host_text(ip: IpAddr) -> String {
    Host::Ip(ip).to_string()
}

/// A call to be placed.
#[derive(Clone)]
pub struct OutgoingCallRequest {
    /// Whom to call: `sip:user@host:port`, `;transport=tcp` for TCP.
    pub target: String,
    /// Who calls, a URI; by default this machine.
    pub caller: Option<String>,
    /// Our offer.
    pub sdp: String,
    /// Name and password, used when the far end asks.
    pub credentials: Option<Credentials>,
}

/// Why a call was not placed.
#[derive(Debug, Error)]
pub enum InviteError {
    /// Not a SIP URI, or a name that does not resolve.
    #[error("cannot call {target}; use sip:number@host, and check the name of the host")]
    Target {
        /// As given.
        target: String,
    },
    /// The caller is no URI.
    #[error("the caller is not a URI; use sip:number@host")]
    Caller,
    /// No socket of ours fits.
    #[error("no {transport} socket reaches {remote}; listen on an address of the same family")]
    NoListener {
        /// How.
        transport: Transport,
        /// Where.
        remote: SocketAddr,
    },
    /// As many calls as there may be.
    #[error("too many calls")]
    Full,
    /// The stack has ended.
    #[error("the SIP stack has ended")]
    Stopped,
}

/// A call that rings.
pub struct IncomingCall {
    /// Who calls whom, and how.
    pub info: CallInfo,
    /// The call itself.
    pub call: Call,
}

/// One call. Dropping it ends it: BYE, CANCEL or 500, as its state demands.
///
/// A command that comes too late is ignored; the event that tells why is on its way then.
pub struct Call {
    key: CallKey,
    requests: mpsc::Sender<Request>,
    events: mpsc::Receiver<CallEvent>,
    farewell: Option<mpsc::OwnedPermit<CallKey>>,
}

/// The stack has ended, and with it the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the SIP stack has ended")]
pub struct CallError;

impl Call {
    pub(super) fn new(
        key: CallKey,
        requests: mpsc::Sender<Request>,
        events: mpsc::Receiver<CallEvent>,
        farewell: mpsc::OwnedPermit<CallKey>,
    ) -> Self {
        Self {
            key,
            requests,
            events,
            farewell: Some(farewell),
        }
    }

    /// What happens next; `None` when the call is over and its last event has been taken. Safe to cancel.
    pub async fn next_event(&mut self) -> Option<CallEvent> {
        self.events.recv().await
    }

    /// Sends 180.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn ringing(&self) -> Result<(), CallError> {
        self.command(Command::Ring).await
    }

    /// Answers with 200 and `sdp`: the answer to the offer, or our offer when there was none.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn answer(&self, sdp: String) -> Result<(), CallError> {
        self.command(Command::Answer(sdp)).await
    }

    /// Refuses with `status` (300 to 699).
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn reject(&self, status: u16, retry_after: Option<u32>) -> Result<(), CallError> {
        self.command(Command::Reject { status, retry_after }).await
    }

    /// Ends the call; [`CallEvent::Ended`] follows.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn bye(&self) -> Result<(), CallError> {
        self.command(Command::HangUp).await
    }

    /// Sends INFO.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn info(&self, content_type: &str, body: Secret) -> Result<(), CallError> {
        self.command(Command::Info {
            content_type: content_type.to_owned(),
            body,
        })
        .await
    }

    /// Offers a change of the session; [`CallEvent::ReinviteAnswered`] or [`CallEvent::ReinviteRejected`] follows.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn reinvite(&self, sdp: String) -> Result<(), CallError> {
        self.command(Command::Reinvite(sdp)).await
    }

    /// Accepts [`CallEvent::Reinvite`].
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn answer_reinvite(&self, id: ReinviteId, sdp: String) -> Result<(), CallError> {
        self.command(Command::AnswerReinvite(id, sdp)).await
    }

    /// Refuses [`CallEvent::Reinvite`]; the session stays as it was.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn reject_reinvite(&self, id: ReinviteId, status: u16) -> Result<(), CallError> {
        self.command(Command::RejectReinvite(id, status)).await
    }

    async fn command(&self, command: Command) -> Result<(), CallError> {
        self.requests
            .send(Request::Command(self.key, command))
            .await
            .map_err(|_| CallError)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(permit) = self.farewell.take() {
            permit.send(self.key);
        }
    }
}
