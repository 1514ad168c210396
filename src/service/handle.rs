//! Names for users, questions, accounts and jobs, for a door that hands them out and gets them back.
//!
//! A handle is a keyed hash of the visit and of what it stands for. It means nothing in another visit, tells nothing of
//! what it stands for, and nothing has to be stored for it. That of somebody who does not exist looks like any other.

use std::fmt;

use uuid::Uuid;

use super::Visit;

/// Stands for something of one visit.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Handle(String);

/// What a handle stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandleOf {
    User,
    Question,
    Account,
    Job,
}

impl Handle {
    /// `None` for text that cannot be one: 32 digits of hexadecimal.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 32 && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// As a client sees it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({}..)", &self.0[..8])
    }
}

impl Visit {
    /// The handle of something, in this visit.
    pub(super) fn handle(&self, of: HandleOf, id: Uuid) -> Handle {
        self.handle_under(of, id, "")
    }

    /// The same, told apart by what led there: two ways to one thing give two handles.
    pub(super) fn handle_under(&self, of: HandleOf, id: Uuid, way: &str) -> Handle {
        let kind = match of {
            HandleOf::User => "user",
            HandleOf::Question => "question",
            HandleOf::Account => "account",
            HandleOf::Job => "job",
        };
        let session = self.id.as_uuid();
        let parts: [&[u8]; 4] = [session.as_bytes(), kind.as_bytes(), id.as_bytes(), way.as_bytes()];
        Handle(self.services.peppers().fingerprint("api handle", &parts))
    }
}
