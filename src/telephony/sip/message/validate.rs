//! The check of a whole message before the endpoint works with it: what each kind of broken message deserves.
//!
//! Requests: RFC 3261 sections 8.1.1, 8.2 and 16.3 with the outcomes of RFC 4475; responses that break a rule are dropped.
//! Callers that follow RFC 2543 (no magic cookie in the branch) may leave out tag and Contact. An ACK cannot be answered, and
//! without it a call ends: of its fields only those are checked that tell which call it belongs to.

use super::MAX_VIAS;
use super::address::{NameAddr, NameAddrs};
use super::fields::{CSeq, MediaType, content_length, is_token_text, max_forwards};
use super::header::Name;
use super::lexer::Malformed;
use super::method::Method;
use super::parse::{Defect, Message};
use super::uri::{Scheme, Uri};
use super::via::{Via, Vias};

/// What to do with a message that breaks the rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rejection {
    /// Answer with this status.
    Answer(u16),
    /// Say nothing: a response, an ACK, or no place to send an answer.
    Drop,
}

/// A message that follows the rules (only [`validate`] makes one), with the values that every part needs.
#[derive(Debug)]
pub struct Checked {
    /// The message.
    pub(in crate::telephony::sip) message: Message,
    /// CSeq, its method equal to that of the request line.
    pub(in crate::telephony::sip) cseq: CSeq,
}

impl Checked {
    /// The topmost Via.
    #[must_use]
    pub fn via(&self) -> Via<'_> {
        let value = self.message.field(Name::Via).unwrap_or_default();
        Vias::new(value)
            .next()
            .and_then(Result::ok)
            .expect("validation has parsed the topmost Via")
    }

    /// From.
    #[must_use]
    pub fn from(&self) -> NameAddr<'_> {
        self.address(Name::From).expect("validation has parsed From")
    }

    /// To.
    #[must_use]
    pub fn to(&self) -> NameAddr<'_> {
        self.address(Name::To).expect("validation has parsed To")
    }

    /// Contact, when there is exactly one.
    #[must_use]
    pub fn contact(&self) -> Option<NameAddr<'_>> {
        self.address(Name::Contact)
    }

    /// Call-ID.
    #[must_use]
    pub fn call_id(&self) -> &str {
        self.message.field(Name::CallId).expect("validation has found Call-ID")
    }

    /// The method of a request; that of CSeq for a response.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.cseq.method
    }

    fn address(&self, name: Name) -> Option<NameAddr<'_>> {
        NameAddr::parse(self.message.field(name)?).ok()
    }
}

/// Checks `message`.
///
/// # Errors
/// The message comes back with what it deserves.
#[expect(
    clippy::result_large_err,
    reason = "the message goes back to be answered; boxing would cost each good one"
)]
pub fn validate(mut message: Message) -> Result<Checked, (Message, Rejection)> {
    let is_response = message.status().is_some();
    let is_ack = message.request().is_some_and(|(method, _)| *method == Method::Ack);
    let is_answerable = message
        .field(Name::Via)
        .is_some_and(|value| Via::first_of(value).is_some());
    let verdict = if !is_answerable {
        Err(Rejection::Drop)
    } else {
        check(&mut message, Extent::Whole).map_err(|status| match status {
            _ if is_response || is_ack => Rejection::Drop,
            status => Rejection::Answer(status),
        })
    };
    match verdict {
        Ok(cseq) => Ok(Checked { message, cseq }),
        Err(rejection) => Err((message, rejection)),
    }
}

/// What of a request that [`validate`] has refused is right that its ACK will repeat: enough for a transaction, and for
/// nothing else (RFC 3261 section 17.1.1.3). An ACK is held to the same rules, so that it will not be passed over.
///
/// # Errors
/// The request comes back when it is one that no ACK could belong to.
#[expect(
    clippy::result_large_err,
    reason = "the message goes back to be answered; boxing would cost each good one"
)]
pub(in crate::telephony::sip) fn identified(mut message: Message) -> Result<Checked, Message> {
    let is_request = message.request().is_some();
    match check(&mut message, Extent::Identity) {
        Ok(cseq) if is_request => Ok(Checked { message, cseq }),
        _ => Err(message),
    }
}

/// How much of a message must be right.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Everything; of an ACK, its identity.
    Whole,
    /// What tells which transaction and which call it belongs to.
    Identity,
}

const BAD_REQUEST: u16 = 400;

fn bad_request(_: Malformed) -> u16 {
    BAD_REQUEST
}

fn check(message: &mut Message, extent: Extent) -> Result<CSeq, u16> {
    let is_ack = message.request().is_some_and(|(method, _)| *method == Method::Ack);
    let is_lenient = is_ack || extent == Extent::Identity;
    match message.defect() {
        Some(Defect::Version) => return Err(505),
        Some(Defect::Field | Defect::Control | Defect::Encoding | Defect::Limit) if is_lenient => {}
        Some(_) => return Err(BAD_REQUEST),
        None => {}
    }
    match check_length(message) {
        Err(status) if !is_lenient => return Err(status),
        _ => {}
    }
    let cseq = check_once(message)?;
    check_vias(message)?;
    check_addresses(message, &[Name::From, Name::To])?;
    if !is_lenient {
        check_hops(message)?;
        check_addresses(message, &[Name::Contact, Name::RecordRoute, Name::Route])?;
        check_body(message)?;
    }
    if let Some((method, uri)) = message.request() {
        if *method != cseq.method {
            return Err(BAD_REQUEST);
        }
        check_request_uri(uri)?;
        check_caller(message, if is_lenient { &Method::Ack } else { method })?;
    }
    Ok(cseq)
}

/// Content-Length may be given once or often with one value; in a datagram it may be shorter than the rest
/// (section 18.3), never longer.
fn check_length(message: &mut Message) -> Result<(), u16> {
    let mut length = None;
    for value in message.fields(Name::ContentLength) {
        let value = content_length(value).map_err(bad_request)?;
        if length.is_some_and(|length| length != value) {
            return Err(BAD_REQUEST);
        }
        length = Some(value);
    }
    let Some(length) = length else { return Ok(()) };
    let available = message.body().len();
    match usize::try_from(length) {
        Ok(length) if length <= available => {
            message.truncate_body(length);
            Ok(())
        }
        _ => Err(BAD_REQUEST),
    }
}

/// Fields that must be there, and there once.
fn check_once(message: &Message) -> Result<CSeq, u16> {
    for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
        if message.fields(name).count() != 1 {
            return Err(BAD_REQUEST);
        }
    }
    let call_id = message.field(Name::CallId).unwrap_or_default();
    // `word` is ASCII without white space (section 25.1).
    if call_id.is_empty() || !call_id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(BAD_REQUEST);
    }
    let cseq = CSeq::parse(message.field(Name::CSeq).unwrap_or_default()).map_err(bad_request)?;
    Ok(cseq)
}

/// Max-Forwards, where it is given (RFC 2543 does not know it).
fn check_hops(message: &Message) -> Result<(), u16> {
    let mut hops = message.fields(Name::MaxForwards);
    if let Some(value) = hops.next() {
        max_forwards(value).map_err(bad_request)?;
    }
    if hops.next().is_some() {
        Err(BAD_REQUEST)
    } else {
        Ok(())
    }
}

fn check_vias(message: &Message) -> Result<(), u16> {
    let mut count = 0;
    for value in message.fields(Name::Via) {
        for via in Vias::new(value) {
            let via = via.map_err(bad_request)?;
            // Lower ones belong to others.
            if count == 0 && via.version() != "2.0" {
                return Err(BAD_REQUEST);
            }
            count += 1;
        }
    }
    if count > MAX_VIAS { Err(BAD_REQUEST) } else { Ok(()) }
}

/// Addresses of these fields: one in From and To, a list in the others.
fn check_addresses(message: &Message, names: &[Name]) -> Result<(), u16> {
    for &name in names {
        for value in message
            .fields(name)
            .filter(|value| *value != "*" || name != Name::Contact)
        {
            let mut addresses = NameAddrs::new(value);
            let is_well_formed = match name {
                Name::From | Name::To => NameAddr::parse(value).is_ok_and(|address| has_clear_tag(&address)),
                _ => addresses.all(|address| address.is_ok()),
            };
            if !is_well_formed {
                return Err(BAD_REQUEST);
            }
        }
    }
    Ok(())
}

/// At most one tag, and that a token (section 19.3): what is no tag to one reader and a tag to the next would make two
/// dialogs of one.
fn has_clear_tag(address: &NameAddr<'_>) -> bool {
    let params = address.params();
    let mut tags = params.iter().filter(|(name, _)| name.eq_ignore_ascii_case("tag"));
    let first = tags.next();
    first.is_none_or(|(_, tag)| is_token_text(tag)) && tags.next().is_none()
}

fn check_body(message: &Message) -> Result<(), u16> {
    if message.fields(Name::ContentType).count() > 1 {
        return Err(BAD_REQUEST);
    }
    if let Some(value) = message.field(Name::ContentType) {
        MediaType::parse(value).map_err(bad_request)?;
    }
    Ok(())
}

/// No brackets, no spaces, no headers (section 19.1.1, table 1). Foreign schemes are answered 416 later.
fn check_request_uri(uri: &str) -> Result<(), u16> {
    let uri = Uri::parse(uri).map_err(bad_request)?;
    let is_sip = matches!(uri.scheme(), Scheme::Sip | Scheme::Sips);
    if is_sip && uri.headers().is_some() {
        Err(BAD_REQUEST)
    } else {
        Ok(())
    }
}

/// A tag in From, one Contact with a SIP URI in requests that set up or refresh a dialog.
fn check_caller(message: &Message, method: &Method) -> Result<(), u16> {
    let follows_3261 = top_via(message).is_some_and(|via| via.branch().is_some());
    let from = NameAddr::parse(message.field(Name::From).unwrap_or_default()).map_err(bad_request)?;
    if from.tag().is_none() && follows_3261 {
        return Err(BAD_REQUEST);
    }
    if !matches!(method, Method::Invite | Method::Update) {
        return Ok(());
    }
    let mut contacts = message
        .fields(Name::Contact)
        .flat_map(NameAddrs::new)
        .filter_map(Result::ok);
    match (contacts.next(), contacts.next()) {
        (None, _) if !follows_3261 => Ok(()),
        (Some(contact), None) if matches!(contact.uri().scheme(), Scheme::Sip | Scheme::Sips) => Ok(()),
        _ => Err(BAD_REQUEST),
    }
}

fn top_via(message: &Message) -> Option<Via<'_>> {
    Vias::new(message.field(Name::Via)?).next()?.ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "INVITE sip:1@b SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:2@a>;tag=x\r\nTo: <sip:1@b>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:2@a>\r\nContent-Length: 4\r\n\r\nbody";

    fn verdict(text: &str) -> Result<(), Rejection> {
        let message = Message::parse(text.as_bytes()).expect("SIP");
        validate(message).map(drop).map_err(|(_, rejection)| rejection)
    }

    #[test]
    fn each_broken_rule_has_its_answer() {
        let cases = [
            ("CSeq: 1 INVITE", "CSeq: 1 BYE", Rejection::Answer(400)),
            ("CSeq: 1 INVITE\r\n", "", Rejection::Answer(400)),
            // Found by fuzzing: our BYE said what nobody could read.
            ("To: <sip:1@b>", "To: <sip:1@b>;tag;q=1", Rejection::Answer(400)),
            ("To: <sip:1@b>", "To: <sip:1@b>;tag=x;Tag=y", Rejection::Answer(400)),
            ("tag=x", "tag=\"x\"", Rejection::Answer(400)),
            ("Call-ID: c", "Call-ID: c\r\ni: c", Rejection::Answer(400)),
            ("Call-ID: c", "Call-ID: ", Rejection::Answer(400)),
            ("Call-ID: c", "Call-ID: c\u{9b}2J", Rejection::Answer(400)),
            ("Call-ID: c", "Call-ID: c\u{a0}trunk=x", Rejection::Answer(400)),
            (";tag=x", "", Rejection::Answer(400)),
            ("Contact: <sip:2@a>\r\n", "", Rejection::Answer(400)),
            (
                "Contact: <sip:2@a>",
                "Contact: <sip:2@a>, <sip:3@a>",
                Rejection::Answer(400),
            ),
            ("Contact: <sip:2@a>", "Contact: *", Rejection::Answer(400)),
            ("Length: 4", "Length: 5", Rejection::Answer(400)),
            ("Length: 4", "Length: 4\r\nl: 3", Rejection::Answer(400)),
            ("SIP/2.0\r\nVia", "SIP/7.0\r\nVia", Rejection::Answer(505)),
            ("Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\n", "", Rejection::Drop),
            ("Via: SIP/2.0/UDP a", "Via: nonsense", Rejection::Drop),
            ("sip:1@b SIP", "<sip:1@b> SIP", Rejection::Answer(400)),
            ("SIP/2.0/UDP a", "SIP/3.0/UDP a", Rejection::Answer(400)),
            ("SIP/2.0/UDP a", "SIP/2.0/UDP a:0", Rejection::Drop),
            ("INVITE", "ACK", Rejection::Drop),
        ];
        assert_eq!(verdict(GOOD), Ok(()));
        for (from, to, expected) in cases {
            let text = if from == "INVITE" {
                GOOD.replacen(from, to, 1)
            } else {
                GOOD.replace(from, to)
            };
            assert_eq!(verdict(&text), Err(expected), "{from} -> {to}");
        }
    }

    #[test]
    fn an_ack_counts_whatever_is_wrong_beside_its_call() {
        let ack = GOOD.replace("INVITE", "ACK");
        for field in [
            "Contact: nonsense",
            "Contact: <sip:2@a>, <sip:3@a>",
            "Record-Route: <sip:",
            "Route: *",
            "Max-Forwards: 300",
            "Content-Type: x",
            "no colon",
            "Subject: a\0b",
            "l: 9",
        ] {
            assert_eq!(verdict(&ack.replace("Contact: <sip:2@a>", field)), Ok(()), "{field}");
            assert_eq!(
                verdict(&GOOD.replace("Contact: <sip:2@a>", field)),
                Err(Rejection::Answer(400)),
                "{field}"
            );
        }
        assert_eq!(verdict(&ack.replace("Call-ID: c", "Call-ID: ")), Err(Rejection::Drop));
    }

    #[test]
    fn a_refused_invite_is_identified_by_what_its_ack_repeats() {
        let identify = |text: &str| {
            let message = Message::parse(text.as_bytes()).expect("SIP");
            let (message, _) = validate(message).expect_err("a broken message");
            identified(message).is_ok()
        };
        for (from, to, expected) in [
            ("Contact: <sip:2@a>\r\n", "", true),
            ("Contact: <sip:2@a>", "Max-Forwards: 300", true),
            ("Contact: <sip:2@a>", "no colon", true),
            ("Length: 4", "Length: 5", true),
            ("CSeq: 1 INVITE", "CSeq: 1 BYE", false),
            ("CSeq: 1 INVITE\r\n", "", false),
            ("Call-ID: c", "Call-ID: ", false),
            (";tag=x", "", false),
            ("SIP/2.0\r\nVia", "SIP/7.0\r\nVia", false),
            ("Via: SIP/2.0/UDP a", "Via: nonsense", false),
            ("sip:1@b SIP", "<sip:1@b> SIP", false),
        ] {
            assert_eq!(identify(&GOOD.replace(from, to)), expected, "{from} -> {to}");
        }
    }

    #[test]
    fn bytes_behind_the_body_of_a_datagram_are_cut() {
        let message = Message::parse(GOOD.replace("Length: 4", "l: 2\r\nContent-Length: 02").as_bytes()).expect("SIP");
        assert_eq!(validate(message).expect("valid").message.body(), b"bo");
    }

    #[test]
    fn too_many_vias_are_refused() {
        let text = GOOD.replace(
            "From:",
            &format!("{}From:", "Via: SIP/2.0/UDP a, SIP/2.0/UDP b\r\n".repeat(100)),
        );
        assert_eq!(verdict(&text), Err(Rejection::Answer(400)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn mutated_messages_never_panic(
            file in 0usize..4,
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 0..12),
        ) {
            let mut bytes = match file {
                0 => include_bytes!("../../../../tests/data/rfc4475/wsinv.dat").to_vec(),
                1 => include_bytes!("../../../../tests/data/rfc4475/intmeth.dat").to_vec(),
                2 => include_bytes!("../../../../tests/data/rfc4475/esc01.dat").to_vec(),
                _ => GOOD.as_bytes().to_vec(),
            };
            for (index, byte, kind) in edits {
                if bytes.is_empty() { break; }
                let at = index.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    2 => { bytes.remove(at); }
                    _ => { let tail = bytes.split_off(at); bytes.extend_from_slice(b"\r\n"); bytes.extend(tail); }
                }
            }
            if let Ok(message) = Message::parse(&bytes)
                && let Ok(checked) = validate(message)
            {
                let _ = (checked.via(), checked.from(), checked.to(), checked.contact(), checked.call_id());
                let _ = checked.from().uri().user_decoded();
            }
        }
    }
}
