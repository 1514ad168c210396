//! Via: where an answer goes and which transaction it belongs to (RFC 3261 section 20.42, RFC 3581).

use std::net::IpAddr;

use super::lexer::{Cursor, Malformed, is_space};
use super::params::Params;
use super::uri::Host;

/// Branches that follow RFC 3261 begin with this (section 8.1.1.7).
pub const MAGIC_COOKIE: &str = "z9hG4bK";

/// One Via value, borrowed from the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Via<'a> {
    text: &'a str,
    version: &'a str,
    transport: &'a str,
    sent_by: &'a str,
    host: Host<'a>,
    port: Option<u16>,
    params: Params<'a>,
}

impl<'a> Via<'a> {
    /// The first value of a field, as far as it can be read: when its parameters are broken it has none, which is
    /// enough to send a 400 (RFC 4475 section 3.1.2.1).
    #[must_use]
    pub fn first_of(value: &'a str) -> Option<Self> {
        let mut cursor = Cursor::new(value);
        let head = Self::read_head(&mut cursor).ok()?;
        Some(Self::read(&mut Cursor::new(value)).unwrap_or(head))
    }

    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let head = Self::read_head(cursor)?;
        let params = Params::read(cursor)?;
        let length = head.text.len() + params.text().len();
        let end = cursor.position();
        Ok(Self {
            text: cursor.since(end - length),
            params,
            ..head
        })
    }

    fn read_head(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        cursor.skip_space();
        let start = cursor.position();
        let name = cursor.token("Via protocol")?;
        if !name.eq_ignore_ascii_case("SIP") || !cursor.eat_spaced(b'/') {
            return Err(Malformed("Via protocol"));
        }
        // Any version: a lower Via may come from elsewhere, and an answer to a wrong one copies it.
        let version = cursor.token("Via protocol")?;
        if !cursor.eat_spaced(b'/') {
            return Err(Malformed("Via protocol"));
        }
        let transport = cursor.token("Via transport")?;
        let gap = cursor.take_while(is_space);
        let (sent_by, host, port) = read_sent_by(cursor).map_err(|_| Malformed("Via sent-by"))?;
        if gap.is_empty() {
            return Err(Malformed("Via sent-by"));
        }
        Ok(Self {
            text: cursor.since(start),
            version,
            transport,
            sent_by,
            host,
            port,
            params: Params::default(),
        })
    }

    /// The value as it came.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// The version of SIP as written: `2.0`.
    #[must_use]
    pub fn version(&self) -> &'a str {
        self.version
    }

    /// The transport as written: `UDP`, `TCP`, `TLS`, ...
    #[must_use]
    pub fn transport(&self) -> &'a str {
        self.transport
    }

    /// Host and port as written.
    #[must_use]
    pub fn sent_by(&self) -> &'a str {
        self.sent_by
    }

    /// The host of sent-by.
    #[must_use]
    pub fn host(&self) -> Host<'a> {
        self.host
    }

    /// The port of sent-by, if written.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// All parameters.
    #[must_use]
    pub fn params(&self) -> Params<'a> {
        self.params
    }

    /// The branch when it follows RFC 3261: the magic cookie and something behind it. A bare cookie is none
    /// (RFC 4475 section 3.2.1).
    #[must_use]
    pub fn branch(&self) -> Option<&'a str> {
        let branch = self.params.get("branch")?;
        let cookie = branch.get(..MAGIC_COOKIE.len())?;
        (cookie.eq_ignore_ascii_case(MAGIC_COOKIE) && branch.len() > MAGIC_COOKIE.len()).then_some(branch)
    }

    /// Whether the sender wants the answer at the port it sent from (RFC 3581).
    #[must_use]
    pub fn wants_rport(&self) -> bool {
        self.params.contains("rport")
    }

    /// The `received` parameter, when it is an address.
    #[must_use]
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.params.get("received")?;
        text.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }
}

/// Host and port; white space around the colon is legal.
fn read_sent_by<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a str, Host<'a>, Option<u16>), Malformed> {
    let start = cursor.position();
    let is_reference = cursor.peek() == Some(b'[');
    cursor.take_while(|byte| !is_space(byte) && !b";,]".contains(&byte) && (is_reference || byte != b':'));
    if is_reference {
        cursor.eat(b']');
    }
    let (host, _) = Host::parse_with_port(cursor.since(start))?;
    let port = if cursor.eat_spaced(b':') {
        let digits = cursor.take_while(|byte| byte.is_ascii_digit());
        // Nothing can be sent to port 0.
        let port = digits.parse().ok().filter(|port| *port != 0);
        Some(port.ok_or(Malformed("port"))?)
    } else {
        None
    };
    Ok((cursor.since(start), host, port))
}

/// The Via values of one or more header fields, topmost first.
pub struct Vias<'a> {
    cursor: Cursor<'a>,
    failed: bool,
}

impl<'a> Vias<'a> {
    /// The values in one field.
    #[must_use]
    pub fn new(value: &'a str) -> Self {
        Self {
            cursor: Cursor::new(value),
            failed: false,
        }
    }

    /// What follows the values read so far, without the separating comma; empty when there is nothing.
    #[must_use]
    pub fn rest(&self) -> &'a str {
        self.cursor.rest()
    }
}

impl<'a> Iterator for Vias<'a> {
    type Item = Result<Via<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || (self.cursor.is_at_end() && self.cursor.position() > 0) {
            return None;
        }
        let via = Via::read(&mut self.cursor).and_then(|via| {
            let more = self.cursor.eat_spaced(b',');
            self.cursor.skip_space();
            if more != self.cursor.is_at_end() {
                Ok(via)
            } else {
                Err(Malformed("Via"))
            }
        });
        self.failed = via.is_err();
        Some(via)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_folds_and_lists_are_read() {
        let value = "SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239";
        let vias: Vec<_> = Vias::new(value).collect::<Result<_, _>>().expect("valid");
        assert_eq!(vias.len(), 2);
        assert_eq!(vias[0].branch(), Some("z9hG4bK9ikj8"));
        assert_eq!((vias[1].transport(), vias[1].sent_by()), ("UDP", "192.168.255.111"));
    }

    #[test]
    fn ipv6_received_and_rport_are_read() {
        let value = "SIP/2.0/UDP [2001:db8::9:1]:5070;received=2001:db8::9:255;rport;branch=z9hG4bKas3-111";
        let via = Vias::new(value).next().expect("one").expect("valid");
        assert_eq!(via.host(), Host::Ip("2001:db8::9:1".parse().expect("address")));
        assert_eq!((via.port(), via.wants_rport()), (Some(5070), true));
        assert_eq!(via.received(), "2001:db8::9:255".parse().ok());
    }

    #[test]
    fn spaces_around_the_port_are_legal() {
        let via = Via::first_of("SIP/2.0/UDP first.example.com : 4000;branch=z9hG4bK1").expect("valid");
        assert_eq!((via.host(), via.port()), (Host::Name("first.example.com"), Some(4000)));
        for text in [
            "SIP/2.0/UDP a:",
            "SIP/2.0/UDP a:99999",
            "SIP/2.0/UDP a:0",
            "SIP/2.0/UDP [::1",
            "SIP/2.0/UDP :5060",
            "SIP/2.0/UDP",
        ] {
            assert!(Via::first_of(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_bare_cookie_is_no_branch() {
        let via = |text| Vias::new(text).next().expect("one").map(|via| via.branch());
        assert_eq!(via("SIP/2.0/UDP a;branch=z9hG4bK"), Ok(None));
        assert_eq!(via("SIP/2.0/UDP a;branch=390skdjuw"), Ok(None));
        assert_eq!(via("SIP/2.0/UDP a"), Ok(None));
        assert_eq!(via("SIP/2.0/UDP 192.0.2.15;;,;,,"), Err(Malformed("parameter name")));
        assert_eq!(
            Via::first_of("SIP/2.0/UDP 192.0.2.15;;,;,,").map(|via| via.sent_by()),
            Some("192.0.2.15")
        );
        assert!(Vias::new("").next().expect("one").is_err());
        assert!(Vias::new("SIP/2.0/UDP a,").next().expect("one").is_err());
    }
}
