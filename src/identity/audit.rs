//! The audit log as a chain: each link carries the hash of the one before, so a change anywhere breaks what follows.
//!
//! ```text
//!  seed ──> link 1 ──> link 2 ──> ... ──> link n = head
//!  hash(n) = SHA-256( "passline audit 1" | hash(n-1) | sequence | time | name | fields )    every part with its length
//! ```
//!
//! A changed, removed, swapped or inserted link is found wherever it is. What a chain alone cannot show is a *missing
//! end*, or a chain rewritten as a whole by somebody who can write to the table: for both, the head goes elsewhere from
//! time to time (the log stream, a mail to the security officer) as an [`Anchor`], and [`Verifier::finish`] holds the
//! chain against it.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::time::Timestamp;

/// What is recorded; kept as it is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the chain, from 1, without gaps.
    pub sequence: u64,
    /// When it happened.
    pub at: Timestamp,
    /// The event's stable name, see [`super::event`].
    pub name: String,
    /// The event's fields: the JSON text as stored, byte for byte.
    pub fields: String,
}

/// An entry in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What is recorded.
    pub entry: Entry,
    /// Hash of the link before.
    pub previous: ChainHash,
    /// Hash of this link.
    pub hash: ChainHash,
}

/// A hash of the chain; 64 hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash([u8; 32]);

impl ChainHash {
    /// What the first link has before it.
    #[must_use]
    pub fn seed() -> Self {
        Self(Sha256::digest(b"passline audit seed 1").into())
    }

    /// From the database.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// For the database.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The end of a chain: where the next link goes, and what is written elsewhere as an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Sequence of the last link; 0 for an empty chain.
    pub sequence: u64,
    /// Its hash.
    pub hash: ChainHash,
}

/// A head that was noted outside the database.
pub type Anchor = Head;

impl Head {
    /// The head of an empty chain.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            sequence: 0,
            hash: ChainHash::seed(),
        }
    }

    /// Makes the next link and moves on to it. `fields` is the JSON text that will be stored.
    pub fn append(&mut self, at: Timestamp, name: String, fields: String) -> Link {
        let entry = Entry {
            sequence: self.sequence.saturating_add(1),
            at,
            name,
            fields,
        };
        let link = Link {
            hash: hash(&self.hash, &entry),
            previous: self.hash,
            entry,
        };
        *self = Self {
            sequence: link.entry.sequence,
            hash: link.hash,
        };
        link
    }
}

/// As printed for people to keep: `1042:9f86d0...`.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, self.hash)
    }
}

/// Text that is no head.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an anchor is written as in 1042:9f86d0... (sequence, colon, 64 hexadecimal digits)")]
pub struct ParseHeadError;

impl FromStr for Head {
    type Err = ParseHeadError;

    fn from_str(text: &str) -> Result<Self, ParseHeadError> {
        let (sequence, hex) = text.trim().split_once(':').ok_or(ParseHeadError)?;
        if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ParseHeadError);
        }
        let mut hash = [0; 32];
        for (index, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).map_err(|_| ParseHeadError)?;
        }
        Ok(Self {
            sequence: sequence.parse().map_err(|_| ParseHeadError)?,
            hash: ChainHash(hash),
        })
    }
}

/// Where a chain is broken first, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Links are missing, doubled or out of order.
    #[error("link {expected} should come here, but {found} does: links were removed, inserted or swapped")]
    Sequence {
        /// The one that should come.
        expected: u64,
        /// The one that does.
        found: u64,
    },
    /// Does not follow on the link before.
    #[error("link {sequence} does not follow on the one before: one of the two was changed or replaced")]
    Previous {
        /// Its place.
        sequence: u64,
    },
    /// Its content is not what was hashed.
    #[error("link {sequence} was changed after it was written")]
    Changed {
        /// Its place.
        sequence: u64,
    },
    /// Ends before the anchor.
    #[error("the log ends at link {found}, but link {anchored} was anchored: the end was cut off")]
    Truncated {
        /// Last link there is.
        found: u64,
        /// Last link there was.
        anchored: u64,
    },
    /// Passes the anchor with another hash.
    #[error("link {sequence} is not the one that was anchored: the log was rewritten")]
    Rewritten {
        /// Its place.
        sequence: u64,
    },
}

/// Walks along a chain, in constant memory.
#[derive(Clone, Debug)]
pub struct Verifier {
    head: Head,
    anchors: Vec<Anchor>,
}

impl Verifier {
    /// At the beginning of the chain, with what was noted elsewhere.
    #[must_use]
    pub fn new(anchors: Vec<Anchor>) -> Self {
        Self {
            head: Head::empty(),
            anchors,
        }
    }

    /// Takes the next link, in the order of the sequence.
    ///
    /// # Errors
    /// The first break. Going on after one makes no sense.
    pub fn push(&mut self, link: &Link) -> Result<(), Broken> {
        let sequence = link.entry.sequence;
        let expected = self.head.sequence.saturating_add(1);
        if sequence != expected {
            return Err(Broken::Sequence {
                expected,
                found: sequence,
            });
        }
        if link.previous != self.head.hash {
            return Err(Broken::Previous { sequence });
        }
        if link.hash != hash(&link.previous, &link.entry) {
            return Err(Broken::Changed { sequence });
        }
        self.head = Head {
            sequence,
            hash: link.hash,
        };
        self.anchored()
    }

    /// The end of the chain.
    ///
    /// # Errors
    /// [`Broken::Truncated`] if an anchor lies beyond it.
    pub fn finish(self) -> Result<Head, Broken> {
        let anchored = self.anchors.iter().map(|anchor| anchor.sequence).max().unwrap_or(0);
        if anchored > self.head.sequence {
            return Err(Broken::Truncated {
                found: self.head.sequence,
                anchored,
            });
        }
        Ok(self.head)
    }

    fn anchored(&self) -> Result<(), Broken> {
        let sequence = self.head.sequence;
        let contradicts = |anchor: &Anchor| anchor.sequence == sequence && anchor.hash != self.head.hash;
        match self.anchors.iter().any(contradicts) {
            true => Err(Broken::Rewritten { sequence }),
            false => Ok(()),
        }
    }
}

/// Verifies a whole chain.
///
/// # Errors
/// The first break.
pub fn verify<'a>(links: impl IntoIterator<Item = &'a Link>, anchors: Vec<Anchor>) -> Result<Head, Broken> {
    let mut verifier = Verifier::new(anchors);
    links.into_iter().try_for_each(|link| verifier.push(link))?;
    verifier.finish()
}

fn hash(previous: &ChainHash, entry: &Entry) -> ChainHash {
    let mut sha = Sha256::new();
    let parts: [&[u8]; 6] = [
        b"passline audit 1",
        &previous.0,
        &entry.sequence.to_be_bytes(),
        &entry.at.as_millis().to_be_bytes(),
        entry.name.as_bytes(),
        entry.fields.as_bytes(),
    ];
    for part in parts {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part);
    }
    ChainHash(sha.finalize().into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chain(length: u64) -> (Vec<Link>, Head) {
        let mut head = Head::empty();
        let links = (1..=length).map(|number| {
            let at = Timestamp::from_millis(i64::try_from(number).unwrap() * 1000);
            head.append(at, format!("ET_{}", number % 3), format!("{{\"number\":{number}}}"))
        });
        (links.collect(), head)
    }

    fn check(links: &[Link], anchors: &[Anchor]) -> Result<Head, Broken> {
        verify(links, anchors.to_vec())
    }

    #[test]
    fn an_untouched_chain_leads_to_its_head() {
        for length in [0, 1, 5] {
            let (links, head) = chain(length);
            assert_eq!(check(&links, &[head]), Ok(head));
        }
    }

    /// The hash was computed by another implementation (Python's hashlib), so that chains can be verified without us.
    #[test]
    fn the_encoding_is_fixed() {
        let (links, _) = chain(1);
        assert_eq!(
            links[0].hash.to_string(),
            "ca85c0a301dfd478783c6e3548fbc549607efd7524c0abd600a1d6e56f1833ff"
        );
    }

    #[test]
    fn each_kind_of_damage_is_named_where_it_is_first_seen() {
        let (links, _) = chain(5);
        let broken = |damage: fn(&mut Vec<Link>)| {
            let mut links = links.clone();
            damage(&mut links);
            check(&links, &[]).unwrap_err()
        };
        assert_eq!(
            broken(|links| links[2].entry.fields = "{\"number\":4}".into()),
            Broken::Changed { sequence: 3 }
        );
        assert_eq!(
            broken(|links| links[2].entry.at = Timestamp::from_millis(2999)),
            Broken::Changed { sequence: 3 }
        );
        assert_eq!(
            broken(|links| links[2].hash = ChainHash::seed()),
            Broken::Changed { sequence: 3 }
        );
        assert_eq!(
            broken(|links| {
                links[2].entry.name.clear();
                links[2].hash = hash(&links[2].previous, &links[2].entry);
            }),
            Broken::Previous { sequence: 4 }
        );
        let sequence = |expected, found| Broken::Sequence { expected, found };
        assert_eq!(broken(|links| drop(links.remove(2))), sequence(3, 4));
        assert_eq!(broken(|links| drop(links.remove(0))), sequence(1, 2));
        assert_eq!(broken(|links| links.swap(1, 2)), sequence(2, 3));
        assert_eq!(broken(|links| links.insert(2, links[1].clone())), sequence(3, 2));
    }

    #[test]
    fn a_missing_end_shows_against_an_anchor_only() {
        let (links, head) = chain(5);
        assert!(check(&links[..3], &[]).is_ok());
        let truncated = Broken::Truncated { found: 3, anchored: 5 };
        assert_eq!(check(&links[..3], &[head]), Err(truncated));
        assert_eq!(check(&[], &[head]), Err(Broken::Truncated { found: 0, anchored: 5 }));
    }

    #[test]
    fn a_chain_written_anew_shows_against_an_anchor_only() {
        let (_, anchored) = chain(3);
        let mut head = Head::empty();
        let forged: Vec<_> = (0..5)
            .map(|_| head.append(Timestamp::default(), "ET_NOTHING".into(), "{}".into()))
            .collect();
        assert_eq!(check(&forged, &[]), Ok(head));
        assert_eq!(check(&forged, &[anchored]), Err(Broken::Rewritten { sequence: 3 }));
    }

    #[test]
    fn anchors_round_trip_as_text() {
        let (_, head) = chain(5);
        assert_eq!(head.to_string().parse(), Ok(head));
        let multibyte = format!("1:{}", "é".repeat(32));
        for bad in ["", "1", "1:", "x:00", "1:zz", &multibyte] {
            assert_eq!(bad.parse::<Head>(), Err(ParseHeadError), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_damage_but_a_missing_end_is_found_without_an_anchor(
            kind in 0..6_u8, at in 0..6_usize, other in 0..6_usize, byte: u8,
        ) {
            let (mut links, head) = chain(7);
            let original = links.clone();
            match kind {
                0 => links[at].entry.fields.push(char::from(byte)),
                1 => links[at].entry.name.insert(0, char::from(byte)),
                2 => links[at].entry.sequence ^= u64::from(byte),
                3 => drop(links.remove(at)),
                4 => links.swap(at, other),
                _ => links.insert(at, original[other].clone()),
            }
            prop_assume!(links != original);
            prop_assert!(check(&links, &[]).is_err());
            prop_assert!(check(&links, &[head]).is_err());
        }
    }
}
