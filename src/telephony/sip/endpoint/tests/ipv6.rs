//! The cases of RFC 5118 (torture messages for IPv6) that concern a UAS.

use super::super::EndpointConfig;
use super::support::{Lab, Sent};
use crate::telephony::sip::message::Name;
use crate::telephony::sip::transport::Transport;

const TRUNK: &str = "networks = [\"2001:db8::/32\"]\n[[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n";

fn answer(uri: &str, via: &str) -> Vec<Sent> {
    let mut lab = Lab::with(&[("six", TRUNK)], Transport::Udp, EndpointConfig::default());
    lab.checks = false;
    lab.flow.remote = "[2001:db8::9:1]:5999".parse().expect("address");
    lab.flow.local = "[2001:db8::10]:5060".parse().expect("address");
    lab.deliver(&format!(
        "OPTIONS {uri} SIP/2.0\nTo: sip:user@example.com\nFrom: sip:user@example.com;tag=81x2\nVia: {via}\n\
         Call-ID: ipv6\nMax-Forwards: 70\nCSeq: 98176 OPTIONS\nContent-Length: 0\n\n"
    ))
}

const VIA: &str = "SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111";

#[test]
fn references_in_uris_need_their_brackets() {
    for (section, uri, status) in [
        ("4.1", "sip:[2001:db8::10]", 200),
        ("4.2", "sip:2001:db8::10", 400),
        ("4.3", "sip:[2001:db8::10:5070]", 200),
        ("4.4", "sip:[2001:db8::10]:5070", 200),
        ("4.10", "sip:[::ffff:192.0.2.10]:5060", 200),
    ] {
        let sent = answer(uri, VIA);
        assert_eq!(sent.len(), 1, "{section}");
        assert_eq!(sent[0].status(), Some(status), "{section}");
        assert_eq!(
            sent[0].flow.remote,
            "[2001:db8::9:1]:5060".parse().expect("address"),
            "{section}"
        );
    }
}

#[test]
fn received_is_read_with_and_without_brackets_and_written_without() {
    // Section 4.5: the delimiters in Via received are told wrong by the ABNF of many.
    for received in ["2001:db8::9:255", "[2001:db8::9:255]"] {
        let sent = answer(
            "sip:[2001:db8::10]",
            &format!("SIP/2.0/UDP [2001:db8::9:8];received={received};rport;branch=z9hG4bKas3"),
        );
        let via = sent[0].field(Name::Via);
        assert!(
            via.ends_with(";rport=5999;branch=z9hG4bKas3;received=2001:db8::9:1"),
            "{via}"
        );
        assert_eq!(sent[0].flow.remote, "[2001:db8::9:1]:5999".parse().expect("address"));
    }
}
