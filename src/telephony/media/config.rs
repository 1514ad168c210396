//! What a session is told, and what it tells.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::sync::mpsc;

use super::playlist::{PlaybackId, Playlist};
use super::record::Tap;
use crate::digit::Digit;
use crate::telephony::codec::Codec;
use crate::telephony::dtmf::KeyMoment;
use crate::telephony::sdp::Negotiated;

/// What to send while nothing is played.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Silence {
    /// Packets of silence, without a gap. Keeps NAT bindings open and phones from thinking that the call is dead, and a
    /// phone's jitter buffer settled when the next prompt begins.
    #[default]
    Send,
    /// Nothing; for trunks where bandwidth is dear.
    Suppress,
}

/// When to begin sending.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FirstSend {
    /// At once, to the address of the SDP.
    #[default]
    AtOnce,
    /// When the far end has been heard. For calls whose SDP names another host than the one that signals: a third
    /// party that never asked for it gets no packet.
    AfterHearing,
}

/// Whether to tell when sound begins and ends in what is received.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SoundDetection {
    /// No: received audio is not looked at.
    #[default]
    Off,
    /// Yes, for the test phone.
    On,
}

/// Settings of one session.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Networks that media must come from; empty for any.
    pub pinned: Arc<[IpNet]>,
    /// The host that the signalling comes from, if known. Media may come from it without the SDP saying so, as it does from
    /// behind a NAT.
    pub signaller: Option<IpAddr>,
    /// Nothing received for this long, RTP or RTCP, gives [`MediaEvent::MediaLost`]. 30 s by default: longer than any
    /// outage that a caller waits for, and no phone stays silent so long without comfort noise or RTCP.
    pub media_timeout: Duration,
    /// While nothing is played.
    pub silence: Silence,
    /// Before anything was heard.
    pub first_send: FirstSend,
    /// Which moment of a telephone event counts.
    pub key_moment: KeyMoment,
    /// For the test phone.
    pub sound_detection: SoundDetection,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            pinned: Arc::new([]),
            signaller: None,
            media_timeout: Duration::from_secs(30),
            silence: Silence::default(),
            first_send: FirstSend::default(),
            key_moment: KeyMoment::default(),
            sound_detection: SoundDetection::default(),
        }
    }
}

/// What a session can be asked to do. Takes effect at its next tick.
#[derive(Debug)]
pub enum Command {
    /// Plays; whatever was playing stops. Ends in exactly one [`MediaEvent::PlaybackFinished`] or
    /// [`MediaEvent::PlaybackStopped`].
    Play(PlaybackId, Playlist),
    /// Stops what is playing: the next packet is silent.
    Stop,
    /// Presses a key (test phone), after those that wait. Ignored and counted when telephone events were not agreed.
    Press {
        /// The key.
        digit: Digit,
        /// How long it sounds, 40 ms at least.
        on: Duration,
        /// The pause after it, 40 ms at least.
        off: Duration,
    },
    /// A key that came by SIP INFO.
    InfoDigit(Digit),
    /// What a re-INVITE agreed.
    Reconfigure(Box<Negotiated>),
    /// Begins to record, in the place of an earlier recording; `None` ends it.
    Record(Option<Box<Tap>>),
    /// Hands over everything that is heard (test phone).
    Listen(mpsc::Sender<HeardAudio>),
}

/// A packet of received audio, for a test phone that wants to know what was said.
#[derive(Clone, Debug)]
pub struct HeardAudio {
    /// When it arrived.
    pub at: Instant,
    /// How it is encoded.
    pub codec: Codec,
    /// The payload.
    pub payload: Box<[u8]>,
}

/// What a session tells. Never says more of a key than its redacted [`Digit`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MediaEvent {
    /// A key went down; the moment is that of the arrival of its first packet.
    DigitPressed(Digit, Instant),
    /// A playback came to its end.
    PlaybackFinished(PlaybackId),
    /// A playback was stopped by a command, by another playback or by a key.
    PlaybackStopped(PlaybackId),
    /// All keys that were to be pressed have been sent (test phone).
    KeysSent,
    /// Nothing was received for the media time-out. Told once; not while on hold.
    MediaLost,
    /// Media comes from another host than before, though no re-INVITE said so: a fail-over, or a theft.
    AnotherHost(IpAddr),
    /// Sound began in what is received (test phone).
    SoundBegan(Instant),
    /// Sound ended at this moment; told half a second later (test phone).
    SoundEnded(Instant),
}
