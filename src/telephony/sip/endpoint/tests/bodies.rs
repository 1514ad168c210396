//! Bodies of several parts.

use super::support::{Lab, request};
use crate::telephony::sip::message::Name;

fn multipart(parts: &str) -> String {
    request(
        "INVITE",
        "m",
        1,
        "",
        "Contact: <sip:alice@192.0.2.9>\nContent-Type: multipart/mixed; boundary=b\n",
        &format!("{parts}--b--\n"),
    )
}

const SDP_PART: &str = "--b\nContent-Type: application/sdp\n\nv=0 part\n";

#[test]
fn sdp_is_found_beside_other_parts() {
    for (parts, offer) in [
        (SDP_PART.to_owned(), Some("v=0 part")),
        (
            format!(
                "--b\nContent-Type: application/isup\nContent-Disposition: signal; handling=optional\n\nx\n{SDP_PART}"
            ),
            Some("v=0 part"),
        ),
        (
            format!("{SDP_PART}--b\nContent-Type: application/pidf+xml\n\n<presence/>\n"),
            Some("v=0 part"),
        ),
        (
            format!(
                "--b\nContent-Type: application/sdp\nContent-Disposition: early-session;handling=optional\n\nv=0 early\n{SDP_PART}"
            ),
            Some("v=0 part"),
        ),
        (
            "--b\nContent-Type: application/isup\nContent-Disposition: signal ; handling = OPTIONAL\n\nx\n".to_owned(),
            None,
        ),
    ] {
        let mut lab = Lab::new();
        assert!(lab.deliver(&multipart(&parts)).is_empty(), "{parts}");
        assert_eq!(lab.incoming[0].offer.as_deref(), offer, "{parts}");
    }
}

#[test]
fn parts_that_insist_or_cannot_be_read_are_refused() {
    for (parts, status, explanation) in [
        (
            format!(
                "{SDP_PART}--b\nContent-Type: application/isup\nContent-Disposition: signal;handling=required\n\nx\n"
            ),
            415,
            "application/sdp, multipart/mixed",
        ),
        (
            "--b\nContent-Type: text/plain\n\nx\n".to_owned(),
            415,
            "application/sdp, multipart/mixed",
        ),
        (
            "--b\nContent-Type: application/sdp\nContent-Transfer-Encoding: base64\n\ndj0w\n".to_owned(),
            415,
            "",
        ),
        ("--b\nnonsense\n\nx\n".to_owned(), 400, ""),
    ] {
        let mut lab = Lab::new();
        let answer = lab.answer_to(&multipart(&parts));
        assert_eq!(
            (answer.status(), answer.field(Name::Accept)),
            (Some(status), explanation),
            "{parts}"
        );
    }
}
