//! The receiving half of a session: whose packets are taken, and what is made of them.

use std::net::SocketAddr;
use std::time::Instant;

use super::{MAX_SSRC_CHANGES, Session, push_event};
use crate::telephony::codec::Codec;
use crate::telephony::dtmf::{EventPacket, OVERTAKEN, OrderedPress, PressSource};
use crate::telephony::media::config::{HeardAudio, MediaEvent};
use crate::telephony::media::keys::KeyNews;
use crate::telephony::media::latch::Admission;
use crate::telephony::media::payload::PayloadKind;
use crate::telephony::media::playlist::OnKey;
use crate::telephony::rtp::redundancy::{Block, RedundantBlocks, RedundantPayload};
use crate::telephony::rtp::{Header, Packet, rtcp};

impl Session {
    pub(super) fn handle_rtp(&mut self, from: SocketAddr, packet: &Packet<'_>, arrival: Instant) {
        if self.payloads.kind(packet.header.payload_type) != PayloadKind::Redundant {
            return self.handle_payload(from, packet, RedundantBlocks::default(), arrival);
        }
        let Ok(RedundantPayload { primary, redundant }) = RedundantPayload::parse(packet.payload) else {
            self.stats.invalid += 1;
            return self.latch.show_life(from, arrival);
        };
        let header = Header {
            payload_type: primary.payload_type,
            ..packet.header
        };
        let packet = Packet {
            header,
            payload: primary.payload,
        };
        self.handle_payload(from, &packet, redundant, arrival);
    }

    /// Takes a packet that is what it would be without redundancy, and what it repeats of packets before.
    fn handle_payload(
        &mut self,
        from: SocketAddr,
        packet: &Packet<'_>,
        redundant: RedundantBlocks<'_>,
        arrival: Instant,
    ) {
        let header = &packet.header;
        let kind = self.payloads.kind(header.payload_type);
        if matches!(kind, PayloadKind::Unknown | PayloadKind::Redundant) {
            self.handle_unknown(from, header, arrival);
            return;
        }
        match self.latch.admit(from, header, arrival) {
            Admission::Taken => {}
            Admission::TakenFromAnotherHost => {
                self.stats.host_changes = self.stats.host_changes.saturating_add(1);
                self.tell(MediaEvent::AnotherHost(from.ip()));
            }
            Admission::TurnedAway => {
                self.stats.strangers += 1;
                return;
            }
        }
        self.avoid_collision(header.ssrc);
        if !self.incoming.receive(header).is_accepted() {
            return;
        }
        self.show_life(arrival);
        self.comfort = kind == PayloadKind::ComfortNoise;
        redundant.for_each(|block| self.handle_redundant(header, block, arrival));
        match kind {
            PayloadKind::Audio(codec) => {
                self.incoming.measure(header.timestamp, arrival);
                if let Some(tap) = &mut self.tap {
                    tap.received(arrival, header, codec, packet.payload);
                }
                self.hand_over(codec, packet.payload, arrival);
                let began = self
                    .sound
                    .as_mut()
                    .and_then(|sound| sound.hear(codec, packet.payload, arrival));
                self.tell_all(began);
            }
            PayloadKind::TelephoneEvent => self.handle_event(packet, arrival),
            PayloadKind::ComfortNoise => self.stats.comfort_noise += 1,
            PayloadKind::Redundant | PayloadKind::Unknown => {}
        }
    }

    /// A listener that is too slow misses packets; the call does not wait for it.
    fn hand_over(&mut self, codec: Codec, payload: &[u8], at: Instant) {
        let Some(listener) = &self.listener else { return };
        if listener
            .try_send(HeardAudio {
                at,
                codec,
                payload: payload.into(),
            })
            .is_err()
        {
            self.count_undelivered();
        }
    }

    /// Never played, and proof of nothing about who sent it. From where media comes anyway it is a packet like others, such
    /// as those that keep a NAT open (RFC 6263 section 4.6).
    fn handle_unknown(&mut self, from: SocketAddr, header: &Header, arrival: Instant) {
        self.stats.unknown_payloads += 1;
        self.latch.show_life(from, arrival);
        if self.latch.is_current(from)
            && self.incoming.ssrc() == Some(header.ssrc)
            && self.incoming.receive(header).is_accepted()
        {
            self.show_life(arrival);
        }
    }

    fn handle_event(&mut self, packet: &Packet<'_>, arrival: Instant) {
        let Some(event) = EventPacket::parse(packet.payload) else {
            self.stats.invalid += 1;
            return;
        };
        let news = self.keys.event(&packet.header, event, arrival);
        let told = news.into_iter().flatten();
        told.for_each(|news| self.take_key(news, arrival, Some(&packet.header)));
    }

    /// What packets before have carried: keys that were lost count, audio is gone.
    fn handle_redundant(&mut self, header: &Header, block: Block<'_>, arrival: Instant) {
        if self.payloads.kind(block.payload_type) != PayloadKind::TelephoneEvent || block.payload.is_empty() {
            return;
        }
        let Some(event) = EventPacket::parse(block.payload) else {
            self.stats.invalid += 1;
            return;
        };
        let header = Header {
            marker: false,
            payload_type: block.payload_type,
            sequence: header.sequence.wrapping_sub(block.back.into()),
            timestamp: header.timestamp.wrapping_sub(block.timestamp_offset.into()),
            ssrc: header.ssrc,
        };
        let news = self.keys.redundant_event(&header, event, arrival);
        let told = news.into_iter().flatten();
        told.for_each(|news| self.take_key(news, arrival, Some(&header)));
    }

    /// A key is told once, however many ways it came; `event` is the header of the packet that told of it. It silences a
    /// prompt at once, also while it waits for its turn.
    pub(super) fn take_key(&mut self, news: KeyNews, at: Instant, event: Option<&Header>) {
        if let Some(tap) = &mut self.tap {
            match news {
                KeyNews::Counts(..) => tap.key(at),
                KeyNews::Merged | KeyNews::Sounding => tap.key_held(at),
            }
        }
        let (digit, source) = match news {
            KeyNews::Counts(digit, source) => (digit, source),
            KeyNews::Merged => {
                self.stats.digits_merged = self.stats.digits_merged.saturating_add(1);
                return;
            }
            KeyNews::Sounding => return,
        };
        let count = match source {
            PressSource::Event => &mut self.stats.digits_by_event,
            PressSource::Info => &mut self.stats.digits_by_info,
        };
        *count = count.saturating_add(1);
        match event {
            Some(&Header { ssrc, sequence, .. }) => {
                self.order.press(OrderedPress {
                    digit,
                    at,
                    ssrc,
                    sequence,
                });
                self.tell_keys(at);
            }
            None => self.tell(MediaEvent::DigitPressed(digit, at)),
        }
        if self
            .outgoing
            .player()
            .is_some_and(|player| player.on_key() == OnKey::Stop)
        {
            let stopped = self.outgoing.stop();
            self.tell_all(stopped);
        }
    }

    /// Tells the keys whose turn has come.
    pub(super) fn tell_keys(&mut self, now: Instant) {
        let incoming = &self.incoming;
        let is_complete = |press: &OrderedPress| incoming.has_all_before(press.ssrc, press.sequence, OVERTAKEN);
        while let Some(press) = self.order.poll(now, is_complete) {
            push_event(
                &mut self.told,
                &mut self.stats.events_dropped,
                MediaEvent::DigitPressed(press.digit, press.at),
            );
        }
    }

    pub(super) fn handle_rtcp(&mut self, from: SocketAddr, datagram: &[u8], arrival: Instant) {
        let Ok(compound) = rtcp::Compound::parse(datagram) else {
            self.stats.invalid += 1;
            return;
        };
        let is_of_stream = self.incoming.ssrc().is_some() && compound.ssrc() == self.incoming.ssrc();
        if !self.control.admit(&self.latch, from, is_of_stream) {
            self.stats.strangers += 1;
            return;
        }
        self.latch.show_life_of_host(from.ip(), arrival);
        self.show_life(arrival);
        let ours = self.outgoing.stream.ssrc();
        let theirs = self.reporter.receive(compound, ours, arrival, &mut self.stats);
        theirs.into_iter().for_each(|ssrc| self.avoid_collision(ssrc));
    }

    /// RFC 3550 section 8.2: the far end chose our SSRC. We take another one, and say BYE for the old.
    fn avoid_collision(&mut self, theirs: u32) {
        if theirs == self.outgoing.stream.ssrc() && self.ssrc_changes < MAX_SSRC_CHANGES {
            self.ssrc_changes += 1;
            self.outgoing.stream.change_ssrc(&mut self.rng);
            self.left_ssrc = Some(theirs);
        }
    }

    pub(super) fn show_life(&mut self, at: Instant) {
        self.last_life = self.last_life.max(at);
        self.lost_told = false;
    }
}
