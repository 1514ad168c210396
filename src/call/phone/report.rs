//! What a test call measured.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::listener::Reaction;
use crate::telephony::media::SessionStats;

/// The report of a test call. Counts keys, never says which.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CallReport {
    /// Codec in use.
    pub codec: &'static str,
    /// Packet time, milliseconds.
    pub packet_time_ms: f64,
    /// From INVITE to answer, milliseconds.
    pub answered_after_ms: f64,
    /// Length of the call, seconds.
    #[serde(serialize_with = "seconds", rename = "duration_s")]
    pub duration: Duration,
    /// Who ended it.
    pub ended_by: &'static str,
    /// RTP packets sent.
    pub sent: u64,
    /// RTP packets received.
    pub received: u64,
    /// RTP packets of the far end that did not arrive.
    pub lost: u64,
    /// Interarrival jitter at the end (RFC 3550 section 6.4.1), milliseconds.
    pub jitter_ms: f64,
    /// Packets of ours that the far end says it lost.
    pub remote_lost: i32,
    /// Jitter that the far end sees, milliseconds.
    pub remote_jitter_ms: f64,
    /// Round trip from RTCP, milliseconds, if the far end reported.
    pub round_trip_ms: Option<f64>,
    /// Keys pressed.
    pub keys: u32,
    /// For keys pressed during a prompt: from the key to silence, milliseconds.
    pub key_to_silence_ms: Vec<f64>,
    /// From the key to the next sound after silence, milliseconds.
    pub key_to_audio_ms: Vec<f64>,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1_000.0).round() / 1_000.0)
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100_000.0).round() / 100.0
}

impl CallReport {
    pub(super) fn new(codec: &'static str, packet_time: Duration, answered_after: Duration) -> Self {
        Self {
            codec,
            packet_time_ms: millis(packet_time),
            answered_after_ms: millis(answered_after),
            duration: Duration::ZERO,
            ended_by: "",
            sent: 0,
            received: 0,
            lost: 0,
            jitter_ms: 0.0,
            remote_lost: 0,
            remote_jitter_ms: 0.0,
            round_trip_ms: None,
            keys: 0,
            key_to_silence_ms: Vec::new(),
            key_to_audio_ms: Vec::new(),
        }
    }

    pub(super) fn measure(&mut self, stats: Option<&SessionStats>, reactions: Vec<Reaction>) {
        if let Some(stats) = stats {
            self.sent = stats.sent;
            self.received = stats.received.received;
            self.lost = stats.received.lost;
            self.jitter_ms = millis(stats.received.jitter);
            self.remote_lost = stats.remote_lost;
            self.remote_jitter_ms = millis(stats.remote_jitter);
            self.round_trip_ms = stats.round_trip.map(millis);
        }
        self.key_to_silence_ms = reactions
            .iter()
            .filter_map(|reaction| reaction.to_silence)
            .map(millis)
            .collect();
        self.key_to_audio_ms = reactions
            .iter()
            .filter_map(|reaction| reaction.to_audio)
            .map(millis)
            .collect();
    }
}

/// For people.
impl fmt::Display for CallReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "answered after    {:.0} ms", self.answered_after_ms)?;
        writeln!(
            f,
            "length            {:.1} s, ended by {}",
            self.duration.as_secs_f64(),
            self.ended_by
        )?;
        writeln!(
            f,
            "codec             {}, {:.0} ms a packet",
            self.codec, self.packet_time_ms
        )?;
        writeln!(
            f,
            "RTP received      {} packets, {} lost, jitter {:.2} ms",
            self.received, self.lost, self.jitter_ms
        )?;
        write!(f, "RTP sent          {} packets", self.sent)?;
        match self.round_trip_ms {
            Some(round_trip) => writeln!(
                f,
                "; the far end lost {}, jitter {:.2} ms, round trip {round_trip:.1} ms",
                self.remote_lost, self.remote_jitter_ms
            )?,
            None => writeln!(f, "; no report from the far end")?,
        }
        writeln!(f, "keys              {}", self.keys)?;
        if let Some((middle, worst)) = middle_and_worst(&self.key_to_silence_ms) {
            writeln!(f, "key to silence    {middle:.0} ms, at worst {worst:.0} ms")?;
        }
        if let Some((middle, worst)) = middle_and_worst(&self.key_to_audio_ms) {
            writeln!(f, "key to next audio {middle:.0} ms, at worst {worst:.0} ms")?;
        }
        Ok(())
    }
}

fn middle_and_worst(values: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some((*sorted.get(sorted.len() / 2)?, *sorted.last()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_the_middle_and_the_worst() {
        let mut report = CallReport::new("PCMU", Duration::from_millis(20), Duration::from_millis(12));
        report.key_to_audio_ms = vec![30.0, 10.0, 20.0];
        report.ended_by = "far end";
        let text = report.to_string();
        assert!(text.contains("key to next audio 20 ms, at worst 30 ms"), "{text}");
        assert!(!text.contains("key to silence"), "{text}");
        assert!(text.contains("no report from the far end"), "{text}");
    }
}
