//! Request methods: an open set, compared case-sensitively (RFC 3261 section 7.1).

use std::fmt;

/// A request method.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names are those of the RFCs")]
pub enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Options,
    Register,
    Info,
    Update,
    Prack,
    Refer,
    Notify,
    Subscribe,
    Message,
    Publish,
    /// Any other token, with its case kept.
    Other(Box<str>),
}

impl Method {
    const KNOWN: [Self; 14] = [
        Self::Invite,
        Self::Ack,
        Self::Bye,
        Self::Cancel,
        Self::Options,
        Self::Register,
        Self::Info,
        Self::Update,
        Self::Prack,
        Self::Refer,
        Self::Notify,
        Self::Subscribe,
        Self::Message,
        Self::Publish,
    ];

    /// The method named `token`.
    #[must_use]
    pub fn from_token(token: &str) -> Self {
        Self::KNOWN
            .into_iter()
            .find(|method| method.as_str() == token)
            .unwrap_or_else(|| Self::Other(token.into()))
    }

    /// The method as it stands on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::Register => "REGISTER",
            Self::Info => "INFO",
            Self::Update => "UPDATE",
            Self::Prack => "PRACK",
            Self::Refer => "REFER",
            Self::Notify => "NOTIFY",
            Self::Subscribe => "SUBSCRIBE",
            Self::Message => "MESSAGE",
            Self::Publish => "PUBLISH",
            Self::Other(token) => token,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_case_sensitive_and_open() {
        assert_eq!(Method::from_token("INVITE"), Method::Invite);
        assert_eq!(Method::from_token("Invite"), Method::Other("Invite".into()));
        assert_eq!(Method::from_token("RE%47IST%45R").as_str(), "RE%47IST%45R");
        for method in Method::KNOWN {
            assert_eq!(Method::from_token(method.as_str()), method);
        }
    }
}
