//! SIP and RTP typed by hand, for peers that do what no telephone does.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::wait_for;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A number that no other request of this process has.
pub(crate) fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A UDP socket on an address of this machine.
pub(crate) struct Wire {
    pub socket: UdpSocket,
}

impl Wire {
    pub(crate) fn on(ip: &str) -> Self {
        let socket = UdpSocket::bind((ip, 0)).expect("loopback has every address of 127.0.0.0/8");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        Self { socket }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    pub(crate) fn send(&self, server: SocketAddr, bytes: impl AsRef<[u8]>) {
        self.socket.send_to(bytes.as_ref(), server).expect("sent");
    }

    /// The next message that is no provisional answer.
    pub(crate) fn receive(&self) -> String {
        let mut buffer = [0; 65_536];
        loop {
            let (length, _) = self.socket.recv_from(&mut buffer).expect("an answer in time");
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if !text.starts_with("SIP/2.0 1") {
                return text;
            }
        }
    }

    /// Asks and gives the status of the answer.
    pub(crate) fn ask(&self, server: SocketAddr, text: &str) -> u16 {
        self.send(server, text);
        status(&self.receive())
    }

    /// How many datagrams have come that nobody has read.
    pub(crate) fn drain(&self) -> usize {
        self.socket.set_nonblocking(true).expect("set");
        let mut buffer = [0; 65_536];
        let count = std::iter::from_fn(|| self.socket.recv_from(&mut buffer).ok()).count();
        self.socket.set_nonblocking(false).expect("set");
        count
    }
}

pub(crate) fn status(text: &str) -> u16 {
    text.get(8..11)
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_else(|| panic!("no answer: {text}"))
}

/// The value of a field.
pub(crate) fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let of_line = |line: &'a str| line.split_once(": ").filter(|(found, _)| *found == name);
    text.lines()
        .find_map(of_line)
        .unwrap_or_else(|| panic!("no {name} in {text}"))
        .1
}

/// A request outside dialogs; each has a Call-ID and a branch of its own.
pub(crate) fn request(method: &str, from: SocketAddr, fields: &str, body: &str) -> String {
    in_dialog(
        method,
        from,
        &format!("c{}", unique()),
        "<sip:100@127.0.0.1>",
        1,
        fields,
        body,
    )
}

/// A request with a given Call-ID and To.
pub(crate) fn in_dialog(
    method: &str,
    from: SocketAddr,
    call_id: &str,
    to: &str,
    cseq: u32,
    fields: &str,
    body: &str,
) -> String {
    format!(
        "{method} sip:100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKw{};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:caller@{from}>;tag=wire\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
         Contact: <sip:caller@{from}>\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        unique(),
        body.len()
    )
}

/// SDP for mu-law and telephone events at an address.
pub(crate) fn sdp(media: SocketAddr) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 {}\r\nt=0 0\r\nm=audio {} RTP/AVP 0 101\r\n\
         a=rtpmap:101 telephone-event/8000\r\n",
        media.ip(),
        media.port()
    )
}

pub(crate) const SDP: &str = "Content-Type: application/sdp\r\n";

/// A call in progress.
pub(crate) struct WireCall {
    pub sip: Wire,
    pub rtp: Wire,
    pub server: SocketAddr,
    /// Where the server wants RTP.
    pub media: SocketAddr,
    pub call_id: String,
    /// To with the server's tag.
    pub to: String,
    cseq: u32,
    sequence: u16,
    timestamp: u32,
}

impl WireCall {
    /// Dials from `ip`, with further fields, and acknowledges the answer.
    pub(crate) fn dial(server: SocketAddr, ip: &str, fields: &str) -> Self {
        let (sip, rtp) = (Wire::on(ip), Wire::on(ip));
        let text = request("INVITE", sip.address(), &format!("{fields}{SDP}"), &sdp(rtp.address()));
        sip.send(server, &text);
        let answer = sip.receive();
        assert_eq!(status(&answer), 200, "{answer}");
        Self::answered(sip, rtp, server, &answer)
    }

    /// The call that `answer` makes.
    pub(crate) fn answered(sip: Wire, rtp: Wire, server: SocketAddr, answer: &str) -> Self {
        let port = answer
            .split("m=audio ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next())
            .expect("a port");
        let mut call = Self {
            sip,
            rtp,
            server,
            media: SocketAddr::new(server.ip(), port.parse().expect("a port")),
            call_id: field(answer, "Call-ID").to_owned(),
            to: field(answer, "To").to_owned(),
            cseq: field(answer, "CSeq")
                .split(' ')
                .next()
                .and_then(|number| number.parse().ok())
                .expect("a number"),
            sequence: 1_000,
            timestamp: 50_000,
        };
        call.cseq -= 1;
        let ack = call.request("ACK", "", "");
        call.sip.send(server, ack);
        call
    }

    /// The next request of the caller in the dialog.
    pub(crate) fn request(&mut self, method: &str, fields: &str, body: &str) -> String {
        self.cseq += 1;
        in_dialog(
            method,
            self.sip.address(),
            &self.call_id,
            &self.to,
            self.cseq,
            fields,
            body,
        )
    }

    /// Packets of one RTP stream: a second and a half of audio, then keys.
    pub(crate) fn packets(&mut self, ssrc: u32, keys: &[u8]) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        for _ in 0..10 {
            self.timestamp += 160;
            packets.push(self.packet(0, ssrc, &[0xff; 160]));
        }
        for &key in keys {
            self.timestamp += 1_600;
            for (end, duration) in [(0, 160_u16), (0, 320), (0x80, 480), (0x80, 480), (0x80, 480)] {
                let [high, low] = duration.to_be_bytes();
                packets.push(self.packet(101, ssrc, &[key, end | 10, high, low]));
            }
        }
        packets
    }

    fn packet(&mut self, payload_type: u8, ssrc: u32, payload: &[u8]) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut packet = vec![0x80, payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.extend(payload);
        packet
    }

    /// Hears some packets that come from now on.
    pub(crate) fn hear(&self) {
        self.rtp.drain();
        let mut buffer = [0; 2_048];
        for _ in 0..10 {
            self.rtp.socket.recv_from(&mut buffer).expect("the call goes on");
        }
    }

    /// Hangs up.
    pub(crate) fn bye(mut self) {
        let bye = self.request("BYE", "", "");
        // Repeated answers to earlier requests may be in between.
        self.sip.send(self.server, bye);
        wait_for("200 to BYE", PATIENCE, || {
            let answer = self.sip.receive();
            (status(&answer) == 200 && field(&answer, "CSeq").ends_with("BYE")).then_some(())
        });
    }
}

/// A TCP connection.
pub(crate) struct Stream(TcpStream);

impl Stream {
    pub(crate) fn to(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.set_nodelay(true).expect("set");
        Self(stream)
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // A peer that has closed already is found out by reading.
        let _ = self.0.write_all(bytes.as_ref());
    }

    /// The status of the next answer, which has no body; `None` when the connection is closed.
    pub(crate) fn status(&mut self) -> Option<u16> {
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match self.0.read(&mut byte) {
                Ok(1) => text.push(byte[0]),
                Ok(_) => return None,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("neither answered nor closed: {error}"),
            }
        }
        Some(status(&String::from_utf8_lossy(&text)))
    }

    /// A keepalive and its answer.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.send("\r\n\r\n");
        let mut pong = [0; 2];
        self.0.read_exact(&mut pong).is_ok() && &pong == b"\r\n"
    }
}
