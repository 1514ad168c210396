//! SIP messages, their framing, passwords, and SDP.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput};
use passline::secret::Secret;
use passline::telephony::sdp::{Description, LocalMedia, Negotiator};
use passline::telephony::sip::Credentials;
use passline::telephony::sip::digest::{Challenger, Protection, Users, answer};
use passline::telephony::sip::framing::Framer;
use passline::telephony::sip::message::{AuthParams, Message, Method, Name, NameAddr, Uri, Writer, validate};
use passline::time::monotonic;

/// The offer of a usual telephone.
pub(crate) const OFFER: &str = "v=0\r\no=- 3868 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
m=audio 14226 RTP/AVP 9 8 0 101\r\na=rtpmap:9 G722/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=rtcp:14227\r\na=rtcp-mux\r\na=sendrecv\r\n";

/// An INVITE as a carrier's border controller sends it.
pub(crate) fn invite(call: &str) -> String {
    format!(
        "INVITE sip:100@198.51.100.1:5060;user=phone SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKi{call};rport\r\n\
         Via: SIP/2.0/UDP 10.20.30.40:5060;branch=z9hG4bK7f3a;received=203.0.113.7\r\n\
         Record-Route: <sip:192.0.2.9;lr;ftag=a1b2>\r\nMax-Forwards: 68\r\n\
         From: \"Alice Example\" <sip:+15550004711@carrier.example.com;user=phone>;tag=a1b2-{call}\r\n\
         To: <sip:+15550100@198.51.100.1;user=phone>\r\nCall-ID: {call}-8f3c2a@192.0.2.9\r\nCSeq: 101 INVITE\r\n\
         Contact: <sip:+15550004711@192.0.2.9:5060;transport=udp>\r\n\
         Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY\r\nSupported: timer, 100rel, replaces\r\n\
         Session-Expires: 1800;refresher=uac\r\nMin-SE: 90\r\n\
         P-Asserted-Identity: \"Alice Example\" <sip:+15550004711@carrier.example.com>\r\n\
         User-Agent: Border Controller 9.2\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{OFFER}",
        OFFER.len()
    )
}

pub(crate) fn all(criterion: &mut Criterion) {
    parsing(criterion);
    writing(criterion);
    digest(criterion);
    sdp(criterion);
}

fn parsing(criterion: &mut Criterion) {
    let bytes = invite("1").into_bytes();
    let mut group = criterion.benchmark_group("sip");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("parse", |bencher| bencher.iter(|| Message::parse(black_box(&bytes))));
    group.bench_function("parse and check", |bencher| {
        bencher.iter(|| Message::parse(black_box(&bytes)).map(validate));
    });
    // The peer: a parser that others use. It stops at names and values like ours; typed values come on demand in both.
    group.bench_function("parse with rsip", |bencher| {
        bencher.iter(|| rsip::SipMessage::try_from(black_box(bytes.as_slice())));
    });
    group.bench_function("parse and read From, Via, CSeq", |bencher| {
        bencher.iter(|| read(black_box(&bytes)))
    });
    group.bench_function("parse and read with rsip", |bencher| {
        bencher.iter(|| read_with_rsip(black_box(&bytes)))
    });
    let segment = bytes.repeat(8);
    group.throughput(Throughput::Bytes(segment.len() as u64));
    group.bench_function("framing of 8 in a segment", |bencher| {
        bencher.iter(|| {
            let mut framer = Framer::default();
            framer.push(black_box(&segment));
            std::iter::from_fn(|| framer.next_frame()).count()
        });
    });
    group.finish();
}

/// What every transaction needs.
fn read(bytes: &[u8]) -> Option<(usize, Option<u16>, u32)> {
    let checked = validate(Message::parse(bytes).ok()?).ok()?;
    let tag = checked.from().tag().map(str::len)?;
    let _: Uri<'_> = checked.from().uri();
    Some((tag, checked.via().port(), checked.call_id().len() as u32))
}

fn read_with_rsip(bytes: &[u8]) -> Option<(usize, Option<u16>, u32)> {
    use rsip::prelude::{HeadersExt as _, ToTypedHeader as _};
    let message = rsip::SipMessage::try_from(bytes).ok()?;
    let from = message.from_header().ok()?.typed().ok()?;
    let via = message.via_header().ok()?.typed().ok()?;
    let cseq = message.cseq_header().ok()?.typed().ok()?;
    let tag = from.tag().map(|tag| tag.value().len())?;
    Some((tag, via.uri.host_with_port.port.map(u16::from), cseq.seq))
}

fn writing(criterion: &mut Criterion) {
    let request = Message::parse(invite("1").as_bytes()).expect("SIP");
    criterion.bench_function("sip/write a 200 with SDP", |bencher| {
        bencher.iter(|| {
            let mut writer = Writer::response(200);
            for name in [
                Name::Via,
                Name::RecordRoute,
                Name::From,
                Name::To,
                Name::CallId,
                Name::CSeq,
            ] {
                for value in request.fields(name) {
                    writer = writer.field(name, value);
                }
            }
            writer
                .field(Name::Contact, "<sip:198.51.100.1:5060>")
                .body("application/sdp", black_box(OFFER))
        });
    });
    let from = request.field(Name::From).expect("From");
    criterion.bench_function("sip/read one address", |bencher| {
        bencher.iter(|| NameAddr::parse(black_box(from)))
    });
}

fn digest(criterion: &mut Criterion) {
    let start = monotonic();
    let users = Users::new(vec![("carrier".to_owned(), Secret::new("wonderland".to_owned()))]);
    let alice = Credentials {
        username: "carrier".to_owned(),
        password: Secret::new("wonderland".to_owned()),
    };
    let uri = "sip:100@198.51.100.1";
    let protection = Protection {
        trunk: "carrier",
        realm: "passline",
        users: &users,
    };
    for (name, choice) in [("SHA-256", 0), ("MD5", 1)] {
        let mut challenger = Challenger::new([7; 32], start);
        let mut now = start;
        criterion.bench_function(&format!("digest/check of {name}"), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut total = Duration::ZERO;
                for _ in 0..iterations {
                    // A nonce is good once; 100 proofs a second.
                    now += Duration::from_millis(10);
                    let challenge = challenger.challenge(now, &protection, false);
                    let offered = std::iter::once(challenge[choice].as_str());
                    let proof = answer(offered, &alice, &Method::Invite, uri, "0a4f113b").expect("understood");
                    let begin = monotonic();
                    let credentials = AuthParams::parse(&proof).expect("well formed");
                    let verdict = challenger.verify(now, &protection, &Method::Invite, uri, &credentials);
                    total += monotonic().duration_since(begin);
                    assert!(verdict.is_ok(), "right password");
                }
                total
            });
        });
    }
}

fn sdp(criterion: &mut Criterion) {
    let local = LocalMedia::new([198, 51, 100, 1].into(), 20_000);
    criterion.bench_function("sdp/read an offer and answer it", |bencher| {
        bencher.iter_batched(
            || Negotiator::new(1),
            |mut negotiator| {
                let offer = Description::parse(black_box(OFFER)).expect("SDP");
                negotiator.answer(&offer, &local)
            },
            BatchSize::SmallInput,
        );
    });
}
