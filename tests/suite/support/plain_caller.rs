//! A caller made of two sockets and a few lines of text: for what our own telephone never does, such as falling silent,
//! changing its port in mid-call, or being gone.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::{PATIENCE, wait_for};

const PACKET_TIME: Duration = Duration::from_millis(20);

/// Samples of a packet.
const SAMPLES: u32 = 160;

/// A call of a plain caller.
pub(crate) struct PlainCaller {
    sip: UdpSocket,
    rtp: UdpSocket,
    server: SocketAddr,
    media: SocketAddr,
    /// To, as the server has it, with its tag.
    to: String,
    call_id: String,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
}

impl PlainCaller {
    /// Dials and waits for the answer; the status of a refusal, if it is one.
    pub(crate) fn dial(server: SocketAddr) -> Result<Self, u16> {
        Self::dial_from(server.ip(), server)
    }

    /// The same from another address than the server's.
    pub(crate) fn dial_from(local: IpAddr, server: SocketAddr) -> Result<Self, u16> {
        let bind = || UdpSocket::bind((local, 0)).expect("a port");
        let (sip, rtp) = (bind(), bind());
        sip.set_read_timeout(Some(Duration::from_millis(500))).expect("set");
        let ssrc = rand::random();
        let mut caller = Self {
            sip,
            rtp,
            server,
            media: server,
            to: format!("<sip:100@{server}>"),
            call_id: format!("{ssrc:x}@plain"),
            sequence: rand::random(),
            timestamp: rand::random(),
            ssrc,
        };
        let port = caller.rtp.local_addr().expect("bound").port();
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 {local}\r\ns=-\r\nc=IN IP4 {local}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
        );
        let invite = caller.request("INVITE", 1, &format!("Content-Type: application/sdp\r\n{}", body(&sdp)));
        let answer = wait_for("a final answer", PATIENCE, || {
            caller.sip.send_to(invite.as_bytes(), server).expect("sent");
            (0..20)
                .map_while(|_| caller.receive())
                .find(|message| status(message) >= 200)
        });
        if let Some(to) = header(&answer, "To") {
            caller.to = to.to_owned();
        }
        let refused = status(&answer) != 200;
        let branch = if refused { "z9hG4bKINVITE" } else { "z9hG4bKACK" };
        caller.send(&caller.request_with("ACK", 1, branch, &body("")));
        if refused {
            return Err(status(&answer));
        }
        let media = answer.lines().find_map(|line| line.strip_prefix("m=audio "));
        let port = media.and_then(|media| media.split(' ').next()?.parse().ok());
        caller.media = SocketAddr::new(server.ip(), port.expect("a port for media"));
        Ok(caller)
    }

    /// Talks for so long; it says nothing.
    pub(crate) fn talk(&mut self, time: Duration) {
        for _ in 0..time.as_millis() / PACKET_TIME.as_millis() {
            self.send_rtp(0, self.timestamp, &[0xff; SAMPLES as usize]);
            self.timestamp = self.timestamp.wrapping_add(SAMPLES);
        }
    }

    /// Presses keys as RFC 4733 events of 80 ms, with 100 ms of silence after each.
    pub(crate) fn press(&mut self, keys: &str) {
        for key in keys.chars() {
            let event = "0123456789*#".find(key).expect("a key") as u8;
            for packet in [1, 2, 3, 4, 4, 4_u16] {
                let [high, low] = (packet * SAMPLES as u16).to_be_bytes();
                let end = if packet == 4 { 0x8a } else { 0x0a };
                self.send_rtp(101, self.timestamp, &[event, end, high, low]);
            }
            self.timestamp = self.timestamp.wrapping_add(6 * SAMPLES);
            self.talk(Duration::from_millis(100));
        }
    }

    /// Goes on from another port, as behind a router that forgot it.
    pub(crate) fn change_port(&mut self) {
        let local = self.rtp.local_addr().expect("bound").ip();
        self.rtp = UdpSocket::bind((local, 0)).expect("a port");
    }

    /// Whether a packet of audio comes to the port that it has now.
    pub(crate) fn is_heard(&self) -> bool {
        self.rtp
            .set_read_timeout(Some(Duration::from_millis(200)))
            .expect("set");
        self.rtp.recv(&mut [0; 2_048]).is_ok()
    }

    /// Closes its port for audio: what comes is answered with ICMP port unreachable. It signals on.
    pub(crate) fn close_media(&mut self) {
        self.change_port();
    }

    /// Presses a key by SIP INFO; the status of the answer.
    pub(crate) fn inform(&self, key: char, number: u32) -> u16 {
        let content = format!("Signal={key}\r\nDuration=100\r\n");
        let content = format!("Content-Type: application/dtmf-relay\r\n{}", body(&content));
        self.ask(&self.request("INFO", number, &content))
    }

    /// Waits until the far end hangs up, and confirms it.
    pub(crate) fn wait_for_bye(&self, limit: Duration) {
        let bye = wait_for("BYE", limit, || {
            self.receive().filter(|message| message.starts_with("BYE "))
        });
        let copied = |name| format!("{name}: {}\r\n", header(&bye, name).expect("a header"));
        let answer = ["Via", "From", "To", "Call-ID", "CSeq"].map(copied).concat();
        self.send(&format!("SIP/2.0 200 OK\r\n{answer}Content-Length: 0\r\n\r\n"));
    }

    /// Hangs up.
    pub(crate) fn hang_up(self) {
        assert_eq!(self.ask(&self.request("BYE", 90, &body(""))), 200);
    }

    fn ask(&self, request: &str) -> u16 {
        wait_for("an answer", PATIENCE, || {
            self.send(request);
            (0..20)
                .map_while(|_| self.receive())
                .map(|message| status(&message))
                .find(|status| *status >= 200)
        })
    }

    fn request(&self, method: &str, number: u32, rest: &str) -> String {
        self.request_with(method, number, &format!("z9hG4bK{method}"), rest)
    }

    fn request_with(&self, method: &str, number: u32, branch: &str, rest: &str) -> String {
        let (server, local, id) = (self.server, self.sip.local_addr().expect("bound"), &self.call_id);
        format!(
            "{method} sip:100@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {local};rport;branch={branch}{number}{ssrc:x}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:plain@{local}>;tag=plain\r\nTo: {to}\r\nCall-ID: {id}\r\n\
             CSeq: {number} {method}\r\nContact: <sip:plain@{local}>\r\n{rest}",
            to = self.to,
            ssrc = self.ssrc,
        )
    }

    fn send(&self, message: &str) {
        self.sip.send_to(message.as_bytes(), self.server).expect("sent");
    }

    fn receive(&self) -> Option<String> {
        let mut buffer = [0; 4_096];
        let length = self.sip.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    /// Sends a packet and lets its time pass.
    fn send_rtp(&mut self, payload_type: u8, timestamp: u32, payload: &[u8]) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut packet = vec![0x80, payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(payload);
        // ICMP errors of earlier packets are no failure of this one.
        let _ = self.rtp.send_to(&packet, self.media);
        std::thread::sleep(PACKET_TIME);
    }
}

/// Content-Length, the empty line, and what follows.
fn body(content: &str) -> String {
    format!("Content-Length: {}\r\n\r\n{content}", content.len())
}

/// The status of an answer; 0 for a request.
fn status(message: &str) -> u16 {
    let status = message.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3));
    status.and_then(|status| status.parse().ok()).unwrap_or(0)
}

fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}
