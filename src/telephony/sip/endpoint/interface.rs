//! What goes into the core and what comes out of it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::secret::{Secret, masked};
use crate::telephony::sip::digest::Credentials;
use crate::telephony::sip::transport::{Channel, Flow, Transport};
use crate::telephony::sip::trunk::TrunkMedia;

/// A call, for as long as the core knows it. It is also our tag in the dialog, so it cannot be guessed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey(pub(in crate::telephony::sip) u64);

impl fmt::Debug for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallKey")
    }
}

/// A telephone number or name that a caller claims. It is shown masked.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Caller(String);

impl Caller {
    pub(in crate::telephony::sip) fn new(text: String) -> Self {
        Self(text)
    }

    /// The claim itself; empty when there is none. Every call is a place to look at in a review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked(&self.0))
    }
}

/// A call that rings.
#[derive(Clone)]
pub struct CallInfo {
    /// Its key in commands and events.
    pub key: CallKey,
    /// Call-ID, for logs and lists of calls: what may be a telephone number in it is masked.
    pub call_id: String,
    /// The trunk it came over.
    pub trunk: String,
    /// The dialplan that its called number leads to.
    pub dialplan: String,
    /// Who claims to call: P-Asserted-Identity on trunks that are believed, else From. Never evidence.
    pub caller: Caller,
    /// The called number as it came, escapes resolved.
    pub called: String,
    /// Where the INVITE came from.
    pub source: SocketAddr,
    /// The address that it came to: media is best offered there.
    pub local: SocketAddr,
    /// SDP; `None` means that the answer carries our offer.
    pub offer: Option<String>,
    /// Names of the codecs that the trunk may use, the best first.
    pub codecs: Vec<String>,
    /// What media of the trunk is like.
    pub media: TrunkMedia,
}

/// SDP may hold keys of SRTP (RFC 4568): it is not shown.
impl fmt::Debug for CallInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallInfo")
            .field("call_id", &self.call_id)
            .field("trunk", &self.trunk)
            .field("dialplan", &self.dialplan)
            .field("caller", &self.caller)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// A call to be made.
#[derive(Clone)]
pub struct OutgoingInvite {
    /// Request-URI and To.
    pub target: String,
    /// From, a URI.
    pub caller: String,
    /// Where to send it.
    pub flow: Flow,
    /// Our offer.
    pub sdp: String,
    /// Used when the far end asks for them.
    pub credentials: Option<Credentials>,
}

/// What somebody wants of a call.
#[derive(Clone)]
pub enum Command {
    /// 180.
    Ring,
    /// 200 with this SDP.
    Answer(String),
    /// A refusal, 300 to 699.
    Reject {
        /// Status.
        status: u16,
        /// Seconds for Retry-After.
        retry_after: Option<u32>,
    },
    /// Ends the call from any state: BYE, CANCEL or a refusal.
    HangUp,
    /// INFO with a body.
    Info {
        /// Media type.
        content_type: String,
        /// The body; it may hold keys.
        body: Secret,
    },
    /// A new offer to the far end.
    Reinvite(String),
    /// Accepts the offer of [`CallEvent::Reinvite`] (or makes one when it had none).
    AnswerReinvite(ReinviteId, String),
    /// Refuses it, 300 to 699; the session stays as it was.
    RejectReinvite(ReinviteId, u16),
}

/// One change of the session that the far end wants: an answer that crosses its cancellation does not hit the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReinviteId(pub(in crate::telephony::sip) u32);

/// What happens to a call.
#[derive(Clone, PartialEq, Eq)]
pub enum CallEvent {
    /// The far end has received our answer. With a late offer, its SDP answers ours.
    Acknowledged {
        /// SDP in the ACK.
        sdp: Option<String>,
    },
    /// A change of the session is wanted; answer with [`Command::AnswerReinvite`] or [`Command::RejectReinvite`]
    /// within 20 s.
    Reinvite {
        /// Which one, for the answer.
        id: ReinviteId,
        /// SDP; `None` asks us for an offer.
        offer: Option<String>,
    },
    /// Our acceptance of the change was sent: it counts now. Until then it may still be cancelled.
    ReinviteAccepted,
    /// The change is not wanted any more; an answer to it is ignored, and the session stays as it was (RFC 3261 section
    /// 14.2).
    ReinviteCancelled,
    /// A key that came in a SIP INFO.
    Info {
        /// Which of the two formats.
        kind: InfoKind,
        /// The body.
        body: Secret,
    },
    /// Ours rings.
    Ringing,
    /// Ours plays something before it answers.
    EarlyMedia {
        /// Their SDP.
        sdp: String,
    },
    /// Ours was answered.
    Answered {
        /// Their SDP.
        sdp: Option<String>,
    },
    /// Ours was refused, or nobody answered (408, 503). Nothing follows.
    Rejected {
        /// Status.
        status: u16,
    },
    /// Our change of the session was accepted.
    ReinviteAnswered {
        /// Their SDP.
        sdp: Option<String>,
    },
    /// Our change of the session was refused; it stays as it was.
    ReinviteRejected {
        /// Status.
        status: u16,
    },
    /// The caller hung up before we answered. Nothing follows.
    Cancelled,
    /// The call is over. Nothing follows.
    Ended {
        /// Why.
        cause: EndCause,
    },
}

impl CallEvent {
    /// Whether nothing follows.
    #[must_use]
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Rejected { .. } | Self::Cancelled | Self::Ended { .. })
    }
}

/// Names the event, without SDP and keys.
impl fmt::Debug for CallEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acknowledged { .. } => f.write_str("Acknowledged"),
            Self::Reinvite { .. } => f.write_str("Reinvite"),
            Self::ReinviteAccepted => f.write_str("ReinviteAccepted"),
            Self::ReinviteCancelled => f.write_str("ReinviteCancelled"),
            Self::Info { .. } => f.write_str("Info"),
            Self::Ringing => f.write_str("Ringing"),
            Self::EarlyMedia { .. } => f.write_str("EarlyMedia"),
            Self::Answered { .. } => f.write_str("Answered"),
            Self::Rejected { status } => write!(f, "Rejected({status})"),
            Self::ReinviteAnswered { .. } => f.write_str("ReinviteAnswered"),
            Self::ReinviteRejected { status } => write!(f, "ReinviteRejected({status})"),
            Self::Cancelled => f.write_str("Cancelled"),
            Self::Ended { cause } => write!(f, "Ended({cause:?})"),
        }
    }
}

/// The two ways to send a key by SIP INFO.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InfoKind {
    /// `application/dtmf-relay`: lines with `Signal=` and `Duration=`.
    DtmfRelay,
    /// `application/dtmf`: the key alone.
    Dtmf,
}

/// Why a call is over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EndCause {
    /// BYE from the far end.
    RemoteHangUp,
    /// We ended it.
    LocalHangUp,
    /// Our answer was never acknowledged.
    NoAcknowledgement,
    /// The ACK lacked the answer to our offer.
    NoSdpAnswer,
    /// Nobody here answered the call in time.
    NotAnswered,
    /// The far end does not know the call any more, or does not answer.
    Lost,
}

/// What the driver tells the core.
pub enum Input<'a> {
    /// A datagram, or one message out of a stream.
    Received {
        /// Where it came from.
        flow: Flow,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// A stream lost its structure; `head` may still be answered, the connection goes.
    Unframable {
        /// The connection.
        flow: Flow,
        /// The head of the last message, or nothing.
        head: &'a [u8],
    },
    /// A connection is gone.
    Closed(Flow),
    /// No connection can be made to this address.
    Unreachable(SocketAddr),
    /// A command for a call.
    Command(CallKey, Command),
    /// No new calls from now on.
    Drain,
    /// Ends every call.
    HangUpAll,
    /// Time has passed.
    Timeout,
}

/// What the driver is to do.
pub enum Output {
    /// Send these bytes.
    Send {
        /// Where to.
        flow: Flow,
        /// One message.
        bytes: Arc<[u8]>,
    },
    /// Close a connection after what was sent on it.
    Close(Flow),
    /// The peer has proved a password: until then its messages come before those of strangers.
    Proved {
        /// Where it proved it.
        flow: Flow,
        /// How long that counts.
        until: Instant,
    },
    /// Somebody calls.
    Incoming(Box<CallInfo>),
    /// Something happened to a call.
    Event(CallKey, CallEvent),
}

/// A local address that peers can reach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalAddress {
    /// How.
    pub transport: Transport,
    /// Address and port.
    pub address: SocketAddr,
    /// The socket, for UDP.
    pub channel: Channel,
}

/// Counters since the start, and sizes now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Messages looked at.
    pub received: u64,
    /// Messages not looked at: their source had used up its budget.
    pub throttled: u64,
    /// Bytes that are no SIP, and messages that break a rule.
    pub malformed: u64,
    /// Requests from sources that no trunk allows.
    pub strangers: u64,
    /// Answers that were not sent because they would have been much longer than a request whose source may be forged.
    pub withheld: u64,
    /// Calls offered to the call layer.
    pub calls_offered: u64,
    /// Calls refused for want of room, or while draining.
    pub calls_refused: u64,
    /// Calls in progress.
    pub calls: usize,
    /// Transactions in progress, both sides.
    pub transactions: usize,
    /// Bytes of answers that they keep.
    pub transaction_bytes: usize,
    /// Requests of ours without a final answer.
    pub unanswered: usize,
    /// Timers that are set.
    pub timers: usize,
}
