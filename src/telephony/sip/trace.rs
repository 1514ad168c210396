//! One line per SIP message at level `trace`, for whoever connects a trunk. It names and measures; it does not quote.
//!
//! Shown: start line, Call-ID, CSeq, topmost Via, From, To and Contact, with users masked and everywhere else what may be a
//! telephone number; sizes, and whether there are credentials. Never: bodies (keys in INFO, keys of SRTP in SDP), Authorization and its relatives, header fields that nobody here
//! reads, whole numbers. Who must see more sets a packet capture up, on purpose, where it belongs.

use tracing::Level;

use super::message::{CSeq, Host, MediaType, Message, Method, Name, NameAddr, Scheme, Uri, Via, reason_phrase};
use super::transport::Flow;
use crate::secret::{masked, with_numbers_masked};

/// A message that was read.
pub(super) fn received(flow: &Flow, message: &Message) {
    if tracing::enabled!(Level::TRACE) {
        line("SIP message received", flow, message);
    }
}

/// A message that goes out.
pub(super) fn sent(flow: &Flow, bytes: &[u8]) {
    if tracing::enabled!(Level::TRACE)
        && let Ok(message) = Message::parse(bytes)
    {
        line("SIP message sent", flow, &message);
    }
}

fn line(what: &'static str, flow: &Flow, message: &Message) {
    let field = |name| message.field(name).unwrap_or_default();
    let cseq = CSeq::parse(field(Name::CSeq)).map(|cseq| format!("{} {}", cseq.number, method(&cseq.method)));
    let body = match message.body().len() {
        0 => "none".to_owned(),
        length => format!("{length} bytes of {}", media_type(field(Name::ContentType))),
    };
    let credentials = message.has(Name::Authorization);
    // Texts of the peer are quoted (`?`), so that they cannot write lines of their own.
    tracing::trace!(
        sip.remote = %flow.remote,
        sip.transport = %flow.transport,
        sip.start = start(message),
        call.id = ?with_numbers_masked(field(Name::CallId)),
        sip.cseq = cseq.unwrap_or_else(|_| "unreadable".to_owned()),
        sip.via = ?via(field(Name::Via)),
        sip.from = ?address(field(Name::From)),
        sip.to = ?address(field(Name::To)),
        sip.contact = ?message.field(Name::Contact).map_or("none".to_owned(), address),
        sip.credentials = credentials,
        sip.body = body,
        sip.bytes = message.size(),
        defect = message.defect().map(tracing::field::display),
        "{what}"
    );
}

/// What a stranger invents as a method stays out of logs.
pub(super) fn method(method: &Method) -> &str {
    if let Method::Other(_) = method {
        "other"
    } else {
        method.as_str()
    }
}

fn start(message: &Message) -> String {
    match (message.request(), message.status()) {
        (Some((name, target)), _) => format!(
            "{} {:?}",
            method(name),
            Uri::parse(target).map_or(UNREADABLE.to_owned(), uri)
        ),
        (None, status) => {
            let status = status.unwrap_or_default();
            format!("{status} {}", reason_phrase(status))
        }
    }
}

const UNREADABLE: &str = "unreadable";

fn media_type(value: &str) -> &'static str {
    let known = ["application/sdp", "application/dtmf-relay", "application/dtmf"];
    let media = MediaType::parse(value);
    let is = |name: &&&str| {
        let (kind, subtype) = name.split_once('/').unwrap_or_default();
        media.as_ref().is_ok_and(|media| media.is(kind, subtype))
    };
    known.iter().find(is).copied().unwrap_or("another type")
}

fn via(value: &str) -> String {
    Via::first_of(value).map_or(UNREADABLE.to_owned(), |via| {
        format!(
            "{} {}{};branch={}",
            via.transport(),
            host(via.host()),
            port(via.port()),
            with_numbers_masked(via.branch().unwrap_or("none"))
        )
    })
}

/// Addresses are shown, and names but for their numbers.
fn host(host: Host<'_>) -> String {
    match host {
        // Written without a user, a number takes the place of the host.
        Host::Name(name) if !name.contains(|c: char| c.is_ascii_alphabetic()) => masked(name),
        Host::Name(name) => with_numbers_masked(name),
        Host::Ip(_) => host.to_string(),
    }
}

fn port(port: Option<u16>) -> String {
    port.map(|port| format!(":{port}")).unwrap_or_default()
}

fn address(value: &str) -> String {
    NameAddr::parse(value).map_or(UNREADABLE.to_owned(), |address| uri(address.uri()))
}

fn uri(uri: Uri<'_>) -> String {
    let user = masked(&uri.user_decoded().unwrap_or_default());
    let (host, port) = (host(uri.host()), port(uri.port()));
    match uri.scheme() {
        Scheme::Sip => format!("sip:{user}@{host}{port}"),
        Scheme::Sips => format!("sips:{user}@{host}{port}"),
        Scheme::Tel => format!("tel:{user}"),
        Scheme::Other => UNREADABLE.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_masked_wherever_they_stand() {
        for (value, shown) in [
            (
                "\"Ada 5550004711\" <sip:+15550004711@pbx.example.com:5070>;tag=1",
                "sip:**********11@pbx.example.com:5070",
            ),
            ("<sip:+1555%30004711@192.0.2.1>", "sip:**********11@192.0.2.1"),
            ("<sip:15550004711>", "sip:@*********11"),
            (
                "<sip:a@15550004711.example.com:50600>",
                "sip:*@*********11.example.com:50600",
            ),
            ("<tel:+15550004711>", "tel:**********11"),
            ("<sips:100@[2001:db8::1]>", "sips:***@[2001:db8::1]"),
            ("<soap.beep://15550004711>", UNREADABLE),
            ("15550004711", UNREADABLE),
        ] {
            assert_eq!(address(value), shown, "{value}");
        }
    }

    #[test]
    fn a_via_is_shown_without_numbers() {
        for (value, shown) in [
            (
                "SIP/2.0/UDP 192.0.2.9:50600;branch=z9hG4bK-7-a;rport",
                "UDP 192.0.2.9:50600;branch=z9hG4bK-7-a",
            ),
            (
                "SIP/2.0/TCP n5550004711.example.com;branch=z9hG4bK-15550004711-1",
                "TCP n********11.example.com;branch=z9hG4bK-***********-1",
            ),
            ("nonsense 15550004711", UNREADABLE),
        ] {
            assert_eq!(via(value), shown, "{value}");
        }
    }

    #[test]
    fn what_a_peer_invents_is_not_repeated() {
        let message = |text: &str| Message::parse(text.as_bytes()).expect("SIP");
        assert_eq!(
            start(&message("X15550004711 sip:a@b SIP/2.0\r\n\r\n")),
            "other \"sip:*@b\""
        );
        assert_eq!(start(&message("SIP/2.0 200 15550004711\r\n\r\n")), "200 OK");
        assert_eq!(media_type("text/15550004711"), "another type");
        assert_eq!(media_type("Application/DTMF-Relay;x=1"), "application/dtmf-relay");
    }
}
