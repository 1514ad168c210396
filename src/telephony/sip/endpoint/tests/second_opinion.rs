//! A second opinion on every message that we send, by a parser that nobody here wrote: `rsip` 0.4, stricter than ours.
//! The whole program's messages pass here too (`tests/suite/support`), which is why nothing of this crate is used.

use std::net::Ipv6Addr;

use rsip::headers::ToTypedHeader as _;
use rsip::prelude::HeadersExt as _;

/// What is wrong with a message that we have sent; `None` if it stands.
///
/// `rsip` cannot read IPv6 references, so it is shown IPv4 addresses in their place.
pub(crate) fn objection(bytes: &[u8]) -> Option<String> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Some("not UTF-8".to_owned());
    };
    own_rules(text)
        .or_else(|| rules_of_the_rfc(&without_ipv6(text)))
        .map(|objection| format!("{objection}: {text}"))
}

/// Like [`objection`], for answers to requests that break rules: they can only copy what came.
pub(crate) fn objection_to_refusal(bytes: &[u8]) -> Option<String> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Some("not UTF-8".to_owned());
    };
    own_rules(text).map(|objection| format!("{objection}: {text}"))
}

/// Panics over a message that does not stand.
pub(crate) fn check_emitted(bytes: &[u8]) {
    let status = std::str::from_utf8(bytes.get(8..11).unwrap_or_default()).unwrap_or_default();
    let is_refusal = bytes.starts_with(b"SIP/2.0 ") && ["400", "403", "416", "505"].contains(&status);
    let objection = if is_refusal {
        objection_to_refusal(bytes)
    } else {
        objection(bytes)
    };
    assert!(objection.is_none(), "{objection:?}");
}

/// What holds for each of our messages, whatever it answers: a start line, whole fields, one Content-Length that is true,
/// a Via.
fn own_rules(text: &str) -> Option<String> {
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Some("no end of the head".to_owned());
    };
    let mut lines = head.split("\r\n");
    let start = lines.next().unwrap_or_default();
    if !start.starts_with("SIP/2.0 ") && !start.ends_with(" SIP/2.0") {
        return Some("no start line".to_owned());
    }
    let (mut lengths, mut vias) = (Vec::new(), 0);
    for line in lines {
        let name = line.split_once(':').map(|(name, _)| name);
        match name {
            _ if line.starts_with([' ', '\t']) => {}
            Some(name) if !name.is_empty() && !name.contains([' ', '\t', '\r', '\n']) => {
                vias += usize::from(name == "Via");
                if name == "Content-Length" {
                    lengths.push(line["Content-Length:".len()..].trim());
                }
            }
            _ => return Some(format!("{line:?} is no field")),
        }
    }
    if lengths != [body.len().to_string()] {
        return Some(format!("Content-Length {lengths:?} for {} bytes", body.len()));
    }
    (vias == 0).then(|| "no Via".to_owned())
}

/// The fields that must be there (RFC 3261 sections 8.1.1 and 8.2.6.2), read by `rsip`.
fn rules_of_the_rfc(text: &str) -> Option<String> {
    let message = match rsip::SipMessage::try_from(text.as_bytes()) {
        Ok(message) => message,
        Err(error) => return Some(error.to_string()),
    };
    let has_tag = message
        .to_header()
        .is_ok_and(|to| to.tag().is_ok_and(|tag| tag.is_some()));
    let cseq = message.cseq_header().map(|cseq| cseq.to_string()).unwrap_or_default();
    let mut required = vec![
        ("Via", message.via_header().is_ok_and(|via| via.typed().is_ok())),
        ("From", message.from_header().is_ok_and(|from| from.typed().is_ok())),
        ("To", message.to_header().is_ok_and(|to| to.typed().is_ok())),
        ("Call-ID", message.call_id_header().is_ok()),
        // It does not know methods that it does not know.
        ("CSeq", is_cseq(cseq.split_once(':').map_or("", |(_, value)| value))),
    ];
    match &message {
        rsip::SipMessage::Request(request) => {
            let needs_contact = request.method == rsip::Method::Invite;
            required.push(("Max-Forwards", request.max_forwards_header().is_ok()));
            required.push(("Contact", !needs_contact || request.contact_header().is_ok()));
            required.push((
                "From tag",
                request
                    .from_header()
                    .is_ok_and(|from| from.tag().is_ok_and(|tag| tag.is_some())),
            ));
        }
        rsip::SipMessage::Response(response) => {
            let code = u16::from(response.status_code.clone());
            let makes_dialog = cseq.ends_with("INVITE") && (101..300).contains(&code);
            required.push(("To tag", has_tag || code == 100));
            required.push(("Contact", !makes_dialog || response.contact_header().is_ok()));
            required.push(("Allow", code != 405 || text.contains("\r\nAllow: ")));
            required.push(("Unsupported", code != 420 || text.contains("\r\nUnsupported: ")));
            required.push(("Accept", code != 415 || text.contains("\r\nAccept")));
            required.push((
                "WWW-Authenticate",
                code != 401 || text.contains("\r\nWWW-Authenticate: "),
            ));
        }
    }
    let missing: Vec<_> = required
        .iter()
        .filter(|(_, there)| !there)
        .map(|(name, _)| *name)
        .collect();
    (!missing.is_empty()).then(|| format!("{missing:?} missing or malformed"))
}

fn is_cseq(value: &str) -> bool {
    let mut words = value.split_whitespace();
    let number = words.next().is_some_and(|number| number.parse::<u32>().is_ok());
    number && words.next().is_some() && words.next().is_none()
}

fn without_ipv6(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, reference)) = rest.split_once('[') {
        shown.push_str(before);
        match reference.split_once(']') {
            Some((literal, after)) if literal.parse::<Ipv6Addr>().is_ok() => {
                shown.push_str("192.0.2.6");
                rest = after;
            }
            _ => {
                shown.push('[');
                rest = reference;
            }
        }
    }
    shown + rest
}

#[test]
fn what_must_not_be_sent_is_objected_to() {
    let good = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bK1\r\nFrom: <sip:a@[2001:db8::1]>;tag=1\r\n\
                To: <sip:b@c>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContact: <sip:c>\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(objection(good.as_bytes()), None);
    for (from, to) in [
        (";tag=2", ""),
        ("Contact: <sip:c>\r\n", ""),
        ("Call-ID: x\r\n", ""),
        ("CSeq: 1 INVITE", "CSeq: x"),
        ("Length: 2", "Length: 3"),
        ("Content-Length: 2", "Content-Length: 2\r\nContent-Length: 2"),
        ("Call-ID: x", "Call-ID: x\r\n\r\n"),
        ("Call-ID: x", "Call-ID: x\r\nno field"),
        ("200 OK", "405 Method Not Allowed"),
    ] {
        assert!(good.contains(from));
        let bad = good.replacen(from, to, 1);
        assert!(objection(bad.as_bytes()).is_some(), "{bad}");
    }
}
