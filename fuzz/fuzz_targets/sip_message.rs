//! Parse, check, read every value, write, and read again what was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use passline::telephony::dtmf::info;
use passline::telephony::sip::message::{
    AuthParams, CSeq, MAX_FIELDS, MAX_MESSAGE_BYTES, MAX_VIAS, MediaType, Message, Name, NameAddr, NameAddrs,
    Rejection, Start, Uri, Vias, Writer, content_length, max_forwards, option_tags, validate,
};

/// Everything that the stack reads and copies, but the two that the writer adds by itself.
const KEPT: [Name; 23] = [
    Name::Via,
    Name::From,
    Name::To,
    Name::CallId,
    Name::CSeq,
    Name::Contact,
    Name::MaxForwards,
    Name::Allow,
    Name::Supported,
    Name::Route,
    Name::RecordRoute,
    Name::Accept,
    Name::Require,
    Name::PAssertedIdentity,
    Name::Authorization,
    Name::ProxyAuthorization,
    Name::WwwAuthenticate,
    Name::ProxyAuthenticate,
    Name::ContentDisposition,
    Name::ContentEncoding,
    Name::Unsupported,
    Name::RetryAfter,
    Name::AcceptEncoding,
];

fn read_uri(uri: Uri<'_>) {
    let again = Uri::parse(uri.as_str()).expect("a URI that was cut out is one");
    assert_eq!(
        (again.user(), again.host(), again.port()),
        (uri.user(), uri.host(), uri.port())
    );
    let _ = (
        uri.scheme(),
        uri.user_decoded(),
        uri.has_password(),
        uri.headers(),
        uri.param("transport"),
    );
    let _ = uri.host().to_string();
}

fn read_address(address: &NameAddr<'_>) {
    let again = NameAddr::parse(address.as_str()).expect("an address that was cut out is one");
    assert_eq!(again.tag(), address.tag());
    let _ = (
        address.display_name(),
        address.params().iter().count(),
        address.params().contains("lr"),
    );
    read_uri(address.uri());
}

/// Every typed view of every value, whatever the check said.
fn read_all(message: &Message) {
    for value in KEPT.iter().flat_map(|name| message.fields(*name)) {
        let folds = value.matches("\r\n").count();
        assert_eq!(
            value.matches("\r\n ").count() + value.matches("\r\n\t").count(),
            folds,
            "lines of a value are folds"
        );
        assert_eq!(
            value.matches('\r').count() + value.matches('\n').count(),
            folds * 2,
            "no bare CR or LF"
        );
    }
    assert!(message.field_count() <= MAX_FIELDS, "a bounded index");
    if let Some((_, uri)) = message.request()
        && let Ok(uri) = Uri::parse(uri)
    {
        read_uri(uri);
    }
    for value in message.fields(Name::Via) {
        for via in Vias::new(value).take(MAX_VIAS + 1).flatten() {
            let _ = (
                via.transport(),
                via.sent_by(),
                via.host(),
                via.port(),
                via.wants_rport(),
                via.received(),
            );
            let _ = (via.branch(), via.params().iter().count(), via.as_str());
        }
    }
    for name in [
        Name::From,
        Name::To,
        Name::Contact,
        Name::RecordRoute,
        Name::Route,
        Name::PAssertedIdentity,
    ] {
        for value in message.fields(name) {
            NameAddrs::new(value)
                .take(1_000)
                .flatten()
                .for_each(|address| read_address(&address));
        }
    }
    for name in [
        Name::Authorization,
        Name::ProxyAuthorization,
        Name::WwwAuthenticate,
        Name::ProxyAuthenticate,
    ] {
        for value in message.fields(name) {
            if let Ok(credentials) = AuthParams::parse(value) {
                let _ = (
                    credentials.is_digest(),
                    credentials.get("nonce"),
                    credentials.get("response"),
                );
            }
        }
    }
    for name in KEPT {
        message.fields(name).for_each(|value| {
            let _ = (
                option_tags(value).count(),
                max_forwards(value),
                content_length(value),
                CSeq::parse(value),
            );
        });
    }
    if let Some(value) = message.field(Name::ContentType) {
        let _ = MediaType::parse(value).map(|kind| (kind.is("application", "sdp"), kind.params.iter().count()));
        let _ = info::parse(value, message.body());
    }
}

/// The same message from our writer.
fn write(message: &Message) -> Option<Vec<u8>> {
    let mut writer = match message.start() {
        Start::Request { method, uri } => Writer::request(method, uri),
        Start::Response { status } => Writer::response(*status),
    };
    for name in KEPT {
        for value in message.fields(name) {
            writer = writer.field(name, value);
        }
    }
    let body = std::str::from_utf8(message.body()).ok()?;
    match message.field(Name::ContentType) {
        Some(kind) => Some(writer.body(kind, body)),
        None => body.is_empty().then(|| writer.finish()),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = Message::parse(bytes) else { return };
    assert!(bytes.len() <= MAX_MESSAGE_BYTES);
    assert!(message.body().len() <= bytes.len());
    read_all(&message);
    let original = message.clone();
    let checked = match validate(message) {
        Ok(checked) => checked,
        Err((message, rejection)) => {
            if let Rejection::Answer(status) = rejection {
                assert!(message.request().is_some(), "answers are not answered");
                assert!((400..700).contains(&status));
                assert!(message.field(Name::Via).is_some(), "an answer has somewhere to go");
            }
            return;
        }
    };
    let _ = (checked.via(), checked.call_id(), checked.method());
    read_address(&checked.from());
    read_address(&checked.to());
    checked.contact().iter().for_each(read_address);

    // The body as the check cut it, so read it from the text again.
    let length = original
        .field(Name::ContentLength)
        .map(|value| content_length(value).expect("checked"));
    let mut original = original;
    if let Some(length) = length
        && usize::try_from(length).expect("checked") < original.body().len()
    {
        let cut = original.body().len() - usize::try_from(length).expect("checked");
        original = Message::parse(&bytes[..bytes.len() - cut]).expect("the same without its end");
    }
    let Some(written) = write(&original) else { return };
    if written.len() > MAX_MESSAGE_BYTES {
        return;
    }
    let again = Message::parse(&written).expect("what we write is SIP");
    assert_eq!(again.defect(), None, "{}", String::from_utf8_lossy(&written));
    for name in KEPT {
        assert!(again.fields(name).eq(original.fields(name)), "{name:?} changed");
    }
    assert_eq!(again.start(), original.start());
    assert_eq!(again.body(), original.body());
    let again = validate(again).unwrap_or_else(|(_, rejection)| panic!("what passed must pass again: {rejection:?}"));
    assert_eq!(again.method(), checked.method());
});
