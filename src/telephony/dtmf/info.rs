//! Keys in SIP INFO bodies: `application/dtmf-relay` and `application/dtmf`.
//!
//! Neither has an RFC. The first is Cisco's, with lines `Signal=5` and `Duration=160` in milliseconds; spaces, case and
//! line ends vary, and `*` and `#` also come as 10 and 11. The second is the key alone.

use std::time::Duration;

use thiserror::Error;

use crate::digit::Digit;

/// The media type of a body with `Signal` and `Duration`.
pub const DTMF_RELAY: &str = "application/dtmf-relay";
/// The media type of a body with the key alone.
pub const DTMF: &str = "application/dtmf";

/// No real body is longer.
const MAX_BODY: usize = 256;

/// A key press reported by INFO.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InfoPress {
    /// The key.
    pub digit: Digit,
    /// How long it was held, when told.
    pub duration: Option<Duration>,
}

/// Why a body is no key press. The text never holds the body: it may be a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum InfoError {
    /// Another media type: to be answered with 415.
    #[error("the body is neither {DTMF_RELAY} nor {DTMF}")]
    UnsupportedType,
    /// The right type without a key in it (a flash hook, for one): to be answered with 200 and ignored.
    #[error("the body names no key")]
    NoKey,
}

/// Reads the body of an INFO with the given Content-Type.
pub fn parse(content_type: &str, body: &[u8]) -> Result<InfoPress, InfoError> {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let relay = media_type.eq_ignore_ascii_case(DTMF_RELAY);
    if !relay && !media_type.eq_ignore_ascii_case(DTMF) {
        return Err(InfoError::UnsupportedType);
    }
    if body.len() > MAX_BODY {
        return Err(InfoError::NoKey);
    }
    let body = std::str::from_utf8(body).map_err(|_| InfoError::NoKey)?;
    let digit_field = field(body, "signal");
    // Some phones send the relay form under the other name, and the other way round.
    let digit = digit_field.or_else(|| body.lines().find(|line| !line.trim().is_empty() && !line.contains('=')));
    Ok(InfoPress {
        digit: digit.and_then(parse_key).ok_or(InfoError::NoKey)?,
        duration: field(body, "duration")
            .and_then(|text| text.parse().ok())
            .map(Duration::from_millis),
    })
}

/// An `application/dtmf-relay` body, for the test phone.
#[must_use]
pub fn relay_body(press: &InfoPress) -> String {
    let millis = press.duration.unwrap_or(Duration::from_millis(160)).as_millis();
    format!("Signal={}\r\nDuration={millis}\r\n", press.digit.as_char())
}

/// An `application/dtmf` body, for the test phone.
#[must_use]
pub fn bare_body(digit: Digit) -> String {
    digit.as_char().to_string()
}

/// The value of a `name=value` line, either with spaces around it.
fn field<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    body.split(['\r', '\n'])
        .filter_map(|line| line.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// A key as its character, or as its event code in decimal.
fn parse_key(text: &str) -> Option<Digit> {
    let text = text.trim().trim_matches('"');
    let mut characters = text.chars();
    match (characters.next()?, characters.next()) {
        (only, None) => Digit::from_char(only),
        _ => text.parse().ok().and_then(Digit::from_event),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_seen_in_the_field() {
        let relay = [
            ("Signal=5\r\nDuration=160\r\n", Digit::D5, Some(160)),
            ("Signal= 5\r\nDuration= 160\r\n", Digit::D5, Some(160)),
            ("signal = 5\nduration = 250", Digit::D5, Some(250)),
            ("SIGNAL=*\r\n", Digit::Star, None),
            ("Signal=10\r\nDuration=100\r\n", Digit::Star, Some(100)),
            ("Signal=11\r\n", Digit::Pound, None),
            ("Signal=#\r\nDuration=x\r\n", Digit::Pound, None),
            ("Signal=a\r\n", Digit::A, None),
            ("Signal=15\r\n", Digit::D, None),
            ("Duration=160\rSignal=0\r", Digit::D0, Some(160)),
            ("5", Digit::D5, None),
        ];
        for (body, digit, millis) in relay {
            let press = parse("Application/DTMF-Relay; charset=utf-8", body.as_bytes());
            let duration = millis.map(Duration::from_millis);
            assert_eq!(press, Ok(InfoPress { digit, duration }), "{body:?}");
        }
        for (body, digit) in [
            ("7", Digit::D7),
            (" 7 \r\n", Digit::D7),
            ("\r\n#\r\n", Digit::Pound),
            ("10", Digit::Star),
        ] {
            let press = parse("application/dtmf", body.as_bytes());
            assert_eq!(press, Ok(InfoPress { digit, duration: None }), "{body:?}");
        }
    }

    #[test]
    fn other_types_and_bodies_without_a_key_are_told_apart() {
        assert_eq!(
            parse("application/media_control+xml", b"5"),
            Err(InfoError::UnsupportedType)
        );
        for body in [
            "",
            "Signal=16",
            "Signal=hf",
            "Signal=",
            "Signal=55",
            "x",
            "Duration=160",
        ] {
            assert_eq!(parse(DTMF_RELAY, body.as_bytes()), Err(InfoError::NoKey), "{body:?}");
        }
        assert_eq!(parse(DTMF, &[0xff, 0xfe]), Err(InfoError::NoKey));
        assert_eq!(parse(DTMF, "5".repeat(10_000).as_bytes()), Err(InfoError::NoKey));
    }

    #[test]
    fn our_bodies_read_back() {
        for digit in Digit::ALL {
            let press = InfoPress {
                digit,
                duration: Some(Duration::from_millis(120)),
            };
            assert_eq!(parse(DTMF_RELAY, relay_body(&press).as_bytes()), Ok(press));
            assert_eq!(
                parse(DTMF, bare_body(digit).as_bytes()).map(|press| press.digit),
                Ok(digit)
            );
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(DTMF_RELAY, &body);
            let _ = parse(DTMF, &body);
        }
    }
}
