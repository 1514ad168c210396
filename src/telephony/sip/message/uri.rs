//! URIs: `sip`, `sips`, `tel`, and others as text (RFC 3261 section 19.1, RFC 3966).

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::lexer::Malformed;

/// The scheme of a URI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it all")]
pub enum Scheme {
    Sip,
    Sips,
    Tel,
    Other,
}

/// A host: an address, or a name that somebody else must resolve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Host<'a> {
    /// IPv4, or IPv6 written in brackets.
    Ip(IpAddr),
    /// A DNS name.
    Name(&'a str),
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl<'a> Host<'a> {
    /// Reads `host` or `host:port`; nothing may follow.
    pub(super) fn parse_with_port(text: &'a str) -> Result<(Self, Option<u16>), Malformed> {
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (literal, after) = rest.split_once(']').ok_or(Malformed("IPv6 reference"))?;
            let ip = ipv6(literal).ok_or(Malformed("IPv6 reference"))?;
            (Self::Ip(ip.into()), after)
        } else {
            let end = text.find(':').unwrap_or(text.len());
            (Self::parse_name(&text[..end])?, &text[end..])
        };
        match port.strip_prefix(':') {
            None if port.is_empty() => Ok((host, None)),
            Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                let port = digits.parse().map_err(|_| Malformed("port"))?;
                Ok((host, Some(port)))
            }
            _ => Err(Malformed("port")),
        }
    }

    fn parse_name(name: &'a str) -> Result<Self, Malformed> {
        // Underscores are no part of a host name, yet stand in the names of many a lab.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(Malformed("host"));
        }
        Ok(name
            .parse::<Ipv4Addr>()
            .map_or(Self::Name(name), |ip| Self::Ip(ip.into())))
    }
}

/// A URI, borrowed from the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uri<'a> {
    text: &'a str,
    scheme: Scheme,
    user: Option<&'a str>,
    password: Option<&'a str>,
    host: Host<'a>,
    port: Option<u16>,
    params: &'a str,
    headers: Option<&'a str>,
}

impl<'a> Uri<'a> {
    /// Parses `text`, which must be the URI and nothing else.
    ///
    /// # Errors
    /// [`Malformed`] names the element that breaks the grammar. Only the scheme is checked in URIs of other schemes.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        if !text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte))
        {
            return Err(Malformed("URI"));
        }
        let (scheme, rest) = text.split_once(':').ok_or(Malformed("URI scheme"))?;
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(valid) {
            return Err(Malformed("URI scheme"));
        }
        match scheme {
            _ if scheme.eq_ignore_ascii_case("sip") => Self::parse_sip(text, Scheme::Sip, rest),
            _ if scheme.eq_ignore_ascii_case("sips") => Self::parse_sip(text, Scheme::Sips, rest),
            _ if scheme.eq_ignore_ascii_case("tel") => Self::parse_tel(text, rest),
            _ => Ok(Self::opaque(text, Scheme::Other, None, "")),
        }
    }

    fn parse_sip(text: &'a str, scheme: Scheme, rest: &'a str) -> Result<Self, Malformed> {
        // An unescaped @ stands nowhere else, so what precedes the first one is the user part, semicolons included
        // (RFC 4475 section 3.1.1.9).
        let (userinfo, rest) = match rest.split_once('@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, rest),
        };
        let (user, password) = match userinfo.map(|info| info.split_once(':').unwrap_or((info, ""))) {
            Some((user, password)) => (Some(user), Some(password).filter(|password| !password.is_empty())),
            None => (None, None),
        };
        if user.is_some_and(|user| user.is_empty() || !is_escaped_text(user, b"-_.!~*'()&=+$,;?/#")) {
            return Err(Malformed("user part"));
        }
        if password.is_some_and(|password| !is_escaped_text(password, b"-_.!~*'()&=+$,")) {
            return Err(Malformed("password part"));
        }
        let (rest, headers) = match rest.split_once('?') {
            Some((rest, headers)) => (rest, Some(headers)),
            None => (rest, None),
        };
        if headers.is_some_and(|headers| !is_escaped_text(headers, b"-_.!~*'()[]/?:+$&=")) {
            return Err(Malformed("URI headers"));
        }
        let end = rest.find(';').unwrap_or(rest.len());
        let (host, port) = Host::parse_with_port(&rest[..end])?;
        let params = &rest[end..];
        check_params(params)?;
        Ok(Self {
            text,
            scheme,
            user,
            password,
            host,
            port,
            params,
            headers,
        })
    }

    fn parse_tel(text: &'a str, rest: &'a str) -> Result<Self, Malformed> {
        let end = rest.find(';').unwrap_or(rest.len());
        let (number, params) = rest.split_at(end);
        if number.is_empty() || !is_escaped_text(number, b"-_.!~*'()+#") {
            return Err(Malformed("telephone number"));
        }
        check_params(params)?;
        Ok(Self::opaque(text, Scheme::Tel, Some(number), params))
    }

    fn opaque(text: &'a str, scheme: Scheme, user: Option<&'a str>, params: &'a str) -> Self {
        let host = Host::Name("");
        Self {
            text,
            scheme,
            user,
            password: None,
            host,
            port: None,
            params,
            headers: None,
        }
    }

    /// The URI as it came.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The user part with its escapes (for `tel`, the number).
    #[must_use]
    pub fn user(&self) -> Option<&'a str> {
        self.user
    }

    /// The user part, escapes resolved; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn user_decoded(&self) -> Option<Cow<'a, str>> {
        self.user.map(unescape)
    }

    /// The password part, which nobody should send (RFC 3261 section 19.1.1).
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// The host; an empty name for schemes other than `sip` and `sips`.
    #[must_use]
    pub fn host(&self) -> Host<'a> {
        self.host
    }

    /// The port, if written.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The value of a URI parameter (`Some("")` for one without a value).
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params.split(';').skip(1).find_map(|param| {
            let (candidate, value) = param.split_once('=').unwrap_or((param, ""));
            candidate.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The headers behind the question mark, as they came.
    #[must_use]
    pub fn headers(&self) -> Option<&'a str> {
        self.headers
    }

    /// The URI as the target of a request: headers have no place in a Request-URI (section 19.1.1, table 1).
    #[must_use]
    pub fn as_target(&self) -> &'a str {
        let headers = self.headers.map_or(0, |headers| headers.len() + 1);
        &self.text[..self.text.len() - headers]
    }
}

/// An address between brackets. RFC 3261's grammar has three colons before an embedded IPv4 address, and RFC 5118
/// section 4.10 wants them tolerated, there and nowhere else.
fn ipv6(literal: &str) -> Option<Ipv6Addr> {
    literal.parse().ok().or_else(|| {
        let (before, embedded) = literal.split_once(":::")?;
        let _: Ipv4Addr = embedded.parse().ok()?;
        format!("{before}::{embedded}").parse().ok()
    })
}

fn check_params(params: &str) -> Result<(), Malformed> {
    let well_formed = params.split(';').skip(1).all(|param| {
        let (name, value) = param.split_once('=').unwrap_or((param, ""));
        let marks = b"-_.!~*'()[]/:&+$";
        !name.is_empty() && is_escaped_text(name, marks) && is_escaped_text(value, marks)
    });
    well_formed.then_some(()).ok_or(Malformed("URI parameter"))
}

/// Letters, digits, `marks`, and `%` with two hexadecimal digits.
fn is_escaped_text(text: &str, marks: &[u8]) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().all(|(index, &byte)| match byte {
        b'%' => bytes
            .get(index + 1..index + 3)
            .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
        _ => byte.is_ascii_alphanumeric() || marks.contains(&byte),
    })
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        let escaped = (byte == b'%')
            .then(|| {
                text.get(index + 1..index + 3)
                    .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            })
            .flatten();
        plain.push(escaped.unwrap_or(byte));
        index += if escaped.is_some() { 3 } else { 1 };
    }
    Cow::Owned(String::from_utf8_lossy(&plain).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sip_uri_falls_into_its_parts() {
        let uri = Uri::parse("sip:al%40ice;day=tue:pw@[2001:db8::1]:5080;transport=tcp;lr?Subject=x").expect("valid");
        assert_eq!(uri.user(), Some("al%40ice;day=tue"));
        assert_eq!(uri.user_decoded().as_deref(), Some("al@ice;day=tue"));
        assert!(uri.has_password());
        assert_eq!(uri.host().to_string(), "[2001:db8::1]");
        assert_eq!(uri.port(), Some(5080));
        assert_eq!(
            (uri.param("Transport"), uri.param("lr"), uri.param("x")),
            (Some("tcp"), Some(""), None)
        );
        assert_eq!(uri.headers(), Some("Subject=x"));
    }

    #[test]
    fn three_colons_are_tolerated_before_an_embedded_ipv4_address_only() {
        let host = |text: &str| Uri::parse(text).map(|uri| uri.host().to_string());
        assert_eq!(
            host("sip:user@[2001:db8:::192.0.2.1]").as_deref(),
            Ok("[2001:db8::c000:201]")
        );
        for text in [
            "sip:[2001:db8:::10]",
            "sip:[2001:db8::::192.0.2.1]",
            "sip:[1::2:::192.0.2.1]",
            "sip:[:::x]",
        ] {
            assert!(host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn telephone_and_foreign_uris_are_kept() {
        let tel = Uri::parse("tel:+1-555-0100;phone-context=example.com").expect("valid");
        assert_eq!((tel.scheme(), tel.user()), (Scheme::Tel, Some("+1-555-0100")));
        assert_eq!(
            Uri::parse("nobodyKnowsThisScheme:rest").expect("valid").scheme(),
            Scheme::Other
        );
    }

    #[test]
    fn broken_uris_are_refused() {
        for text in [
            "",
            "sip:",
            "sip:@host",
            "sip:a b@host",
            "<sip:a@host>",
            "sip:a@host:99999",
            "sip:a@host:",
            "sip:a%4@host",
            "sip:a@[::1",
            "sip:a@b@c",
            "sip:a@host;",
            "sip:a@host;=x",
            "a@host",
            "sip:a@ho st",
            "tel:",
            "1x:y",
        ] {
            assert!(Uri::parse(text).is_err(), "{text}");
        }
    }
}
