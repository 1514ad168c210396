//! A dialog: who talks to whom, and how requests inside it are addressed (RFC 3261 section 12).
//!
//! Our tag is 64 random bits and at the same time the key of the call; finding the dialog of a request is one look-up of
//! a number, and the rest of the identity is compared afterwards.
//!
//! Room for what comes later: session timers (RFC 4028) add a [`super::endpoint::CallTimer`] and fields in answers and
//! requests made here; reliable provisional answers (RFC 3262) belong to the INVITE in progress, not to the dialog;
//! REFER starts an own implicit subscription beside it.

use super::message::{Checked, Method, Name, NameAddr, NameAddrs, Uri, Writer};

/// One dialog, as one side of it sees it.
pub(super) struct Dialog {
    pub(super) call_id: String,
    /// Our address with our tag, as a header value.
    local: String,
    /// The far end's address with its tag, as a header value, byte for byte.
    remote: String,
    remote_tag: Option<String>,
    /// The URI of their Contact.
    target: String,
    /// Header values, first hop first.
    routes: Vec<String>,
    local_cseq: u32,
    remote_cseq: Option<u32>,
}

/// The tag of a call as text.
pub(super) fn tag(key: u64) -> String {
    format!("{key:016x}")
}

/// The key in a tag that we have made.
pub(super) fn key_of_tag(tag: &str) -> Option<u64> {
    let ours = tag.len() == 16 && tag.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    ours.then(|| u64::from_str_radix(tag, 16).ok()).flatten()
}

impl Dialog {
    /// From an INVITE that we received (section 12.1.1).
    pub(super) fn from_invite(invite: &Checked, key: u64) -> Self {
        let from = invite.from();
        Self {
            call_id: invite.call_id().to_owned(),
            local: format!("{};tag={}", invite.to().as_str(), tag(key)),
            remote: from.as_str().to_owned(),
            remote_tag: from.tag().map(str::to_owned),
            // RFC 2543 callers may leave Contact out.
            target: target_of(invite).unwrap_or_else(|| from.uri().as_target().to_owned()),
            routes: record_route(invite).collect(),
            local_cseq: 0,
            remote_cseq: Some(invite.cseq.number),
        }
    }

    /// For an INVITE that we are about to send.
    pub(super) fn to_invite(call_id: String, local: &str, target: &str, key: u64) -> Self {
        Self {
            call_id,
            local: format!("{local};tag={}", tag(key)),
            remote: format!("<{target}>"),
            remote_tag: None,
            target: target.to_owned(),
            routes: Vec::new(),
            local_cseq: 0,
            remote_cseq: None,
        }
    }

    /// Learns the far end from its answer to our INVITE (section 12.1.2).
    pub(super) fn establish(&mut self, response: &Checked) {
        let to = response.to();
        self.remote = to.as_str().to_owned();
        self.remote_tag = to.tag().map(str::to_owned);
        self.routes = record_route(response).collect();
        self.routes.reverse();
        self.refresh(target_of(response));
    }

    /// Like [`Dialog::establish`], for another branch of a forked INVITE: everything is taken from the answer.
    pub(super) fn establish_fork(&mut self, response: &Checked) {
        self.local = response.from().as_str().to_owned();
        self.establish(response);
    }

    /// Replaces the remote target; only INVITE, UPDATE and their 2xx may (section 12.2).
    pub(super) fn refresh(&mut self, target: Option<String>) {
        if let Some(target) = target {
            self.target = target;
        }
    }

    pub(super) fn remote_tag(&self) -> Option<&str> {
        self.remote_tag.as_deref()
    }

    /// Whether a request with our tag is of this dialog.
    pub(super) fn owns(&self, request: &Checked) -> bool {
        self.call_id == request.call_id() && self.remote_tag.as_deref() == request.from().tag()
    }

    /// Notes the number of a new request of theirs; false when it does not rise (section 12.2.2).
    pub(super) fn advance_remote(&mut self, number: u32) -> bool {
        let rises = self.remote_cseq.is_none_or(|last| number > last);
        if rises {
            self.remote_cseq = Some(number);
        }
        rises
    }

    /// The number for a new request of ours.
    pub(super) fn next_cseq(&mut self) -> u32 {
        self.local_cseq += 1;
        self.local_cseq
    }

    /// Where the next request goes: the first route, or the target.
    pub(super) fn next_hop(&self) -> Option<Uri<'_>> {
        match self.routes.first() {
            Some(route) => NameAddr::parse(route).ok().map(|route| route.uri()),
            None => Uri::parse(&self.target).ok(),
        }
    }

    /// Begins a request inside the dialog (section 12.2.1.1); `via` is the value of its Via field.
    pub(super) fn request(&self, method: &Method, number: u32, via: &str) -> Writer {
        let first = self.routes.first().and_then(|route| NameAddr::parse(route).ok());
        let strict = first.filter(|route| route.uri().param("lr").is_none());
        let uri = strict.map_or(self.target.as_str(), |route| route.uri().as_target());
        let mut writer = Writer::request(method, uri).field(Name::Via, via);
        for route in self.routes.iter().skip(usize::from(strict.is_some())) {
            writer = writer.field(Name::Route, route);
        }
        if strict.is_some() {
            writer = writer.field(Name::Route, format_args!("<{}>", self.target));
        }
        writer
            .field(Name::MaxForwards, 70)
            .field(Name::From, &self.local)
            .field(Name::To, &self.remote)
            .field(Name::CallId, &self.call_id)
            .field(Name::CSeq, format_args!("{number} {method}"))
    }
}

/// The URI of Contact, when there is exactly one.
pub(super) fn target_of(message: &Checked) -> Option<String> {
    message.contact().map(|contact| contact.uri().as_target().to_owned())
}

fn record_route(message: &Checked) -> impl Iterator<Item = String> + use<'_> {
    let values = message.message.fields(Name::RecordRoute).flat_map(NameAddrs::new);
    values.filter_map(Result::ok).map(|route| route.as_str().to_owned())
}
