//! A byte stream cut into messages: how it arrives in pieces must not change what is found in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use passline::telephony::sip::framing::{Frame, Framer};
use passline::telephony::sip::message::{MAX_MESSAGE_BYTES, Message, Name, content_length};

/// What comes out when the stream arrives in pieces of these sizes.
fn frames(stream: &[u8], mut piece: impl FnMut() -> usize) -> (Vec<Frame>, bool) {
    let mut framer = Framer::default();
    let mut frames = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(piece().clamp(1, rest.len()));
        framer.push(now);
        rest = later;
        while let Some(frame) = framer.next_frame() {
            frames.push(frame);
        }
    }
    (frames, framer.is_midway())
}

fuzz_target!(|stream: &[u8]| {
    let whole = frames(stream, || usize::MAX);
    assert_eq!(frames(stream, || 1), whole, "byte by byte");
    // Sizes that depend on nothing but the stream, so that a finding can be repeated.
    let mut state = stream.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    let any = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as usize % 64 + 1
    };
    assert_eq!(frames(stream, any), whole, "in pieces");

    let last = whole.0.len().saturating_sub(1);
    let mut bytes = 0;
    for (at, frame) in whole.0.iter().enumerate() {
        match frame {
            Frame::Message(message) => {
                assert!(message.len() <= MAX_MESSAGE_BYTES, "a message within the limit");
                bytes += message.len();
                let read = Message::parse(message).expect("what is no SIP ends the stream");
                let lengths = read.fields(Name::ContentLength).map(content_length);
                let length = lengths.last().map_or(0, |length| length.expect("a number"));
                assert_eq!(read.body().len() as u64, length, "framer and parser agree where a message ends");
            }
            Frame::Ping => bytes += 4,
            Frame::Unframable(head) => {
                assert!(head.len() <= MAX_MESSAGE_BYTES, "a head within the limit");
                assert_eq!(at, last, "nothing comes after a stream that lost its structure");
                bytes += head.len();
            }
        }
    }
    assert!(bytes <= stream.len(), "nothing is invented");
});
