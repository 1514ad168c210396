//! Names of header fields, long and compact (RFC 3261 section 7.3.3 and the IANA registry).

/// A header field name that this stack gives a meaning to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are those of the RFCs")]
pub enum Name {
    Accept,
    AcceptEncoding,
    Allow,
    Authorization,
    CallId,
    Contact,
    ContentDisposition,
    ContentEncoding,
    ContentLength,
    ContentType,
    CSeq,
    From,
    MaxForwards,
    PAssertedIdentity,
    ProxyAuthenticate,
    ProxyAuthorization,
    RecordRoute,
    Require,
    RetryAfter,
    Route,
    Supported,
    Timestamp,
    To,
    Unsupported,
    Via,
    WwwAuthenticate,
    /// Kept as text, without a meaning here.
    Other,
}

/// Long name, compact form if there is one, meaning. Sorted by how often a request carries them: the search is linear.
const NAMES: [(&str, &str, Name); 26] = [
    ("Via", "v", Name::Via),
    ("From", "f", Name::From),
    ("To", "t", Name::To),
    ("Call-ID", "i", Name::CallId),
    ("CSeq", "", Name::CSeq),
    ("Contact", "m", Name::Contact),
    ("Max-Forwards", "", Name::MaxForwards),
    ("Content-Length", "l", Name::ContentLength),
    ("Content-Type", "c", Name::ContentType),
    ("Allow", "", Name::Allow),
    ("Supported", "k", Name::Supported),
    ("Route", "", Name::Route),
    ("Record-Route", "", Name::RecordRoute),
    ("Accept", "", Name::Accept),
    ("Require", "", Name::Require),
    ("P-Asserted-Identity", "", Name::PAssertedIdentity),
    ("Authorization", "", Name::Authorization),
    ("Proxy-Authorization", "", Name::ProxyAuthorization),
    ("WWW-Authenticate", "", Name::WwwAuthenticate),
    ("Proxy-Authenticate", "", Name::ProxyAuthenticate),
    ("Content-Disposition", "", Name::ContentDisposition),
    ("Content-Encoding", "e", Name::ContentEncoding),
    ("Unsupported", "", Name::Unsupported),
    ("Retry-After", "", Name::RetryAfter),
    ("Accept-Encoding", "", Name::AcceptEncoding),
    ("Timestamp", "", Name::Timestamp),
];

impl Name {
    /// The meaning of a name as it stands on the wire; case does not matter.
    #[must_use]
    pub fn from_wire(name: &str) -> Self {
        if name.is_empty() {
            return Self::Other;
        }
        NAMES
            .iter()
            .find(|(long, compact, _)| name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(compact))
            .map_or(Self::Other, |&(_, _, meaning)| meaning)
    }

    /// The long form, as we write it; empty for [`Name::Other`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, _, meaning)| *meaning == self)
            .map_or("", |&(long, _, _)| long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_compact_forms_mean_the_same_in_any_case() {
        for (long, compact, meaning) in NAMES {
            assert_eq!(Name::from_wire(&long.to_uppercase()), meaning);
            if !compact.is_empty() {
                assert_eq!(Name::from_wire(&compact.to_uppercase()), meaning);
            }
            assert_eq!(Name::from_wire(meaning.as_str()), meaning);
        }
        assert_eq!(Name::from_wire("X-Anything"), Name::Other);
    }
}
