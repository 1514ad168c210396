//! Keys of server transactions (RFC 3261 section 17.2.3): small, and nobody outside can make two collide.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::telephony::sip::message::{Checked, Method};

/// 128 bits of a keyed hash over what identifies something.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(in crate::telephony::sip) struct Fingerprint(u128);

/// The key of this process, ready to use.
pub(in crate::telephony::sip) struct Fingerprints {
    mac: Hmac<Sha256>,
}

impl Fingerprints {
    pub(in crate::telephony::sip) fn new(key: &[u8; 32]) -> Self {
        Self {
            mac: Hmac::new_from_slice(key).expect("HMAC takes keys of any length"),
        }
    }

    /// The transaction that `request` belongs to, as if its method were `method` (ACK and CANCEL look for INVITE).
    pub(in crate::telephony::sip) fn transaction(&self, request: &Checked, method: &Method) -> Fingerprint {
        let via = request.via();
        if let Some(branch) = via.branch() {
            return self.of("3261", &[branch, via.sent_by(), method.as_str()]);
        }
        // The To tag is left out: an ACK carries ours, the INVITE before it none. The topmost Via tells callers apart.
        let number = request.cseq.number.to_string();
        let uri = request.message.request().map_or("", |(_, uri)| uri);
        let tag = request.from().tag().unwrap_or_default();
        self.of(
            "2543",
            &[uri, tag, request.call_id(), &number, via.as_str(), method.as_str()],
        )
    }

    /// What all copies of a request have in common that reached us over different paths (section 8.2.2.2).
    pub(in crate::telephony::sip) fn copies(&self, request: &Checked) -> Fingerprint {
        let number = request.cseq.number.to_string();
        let tag = request.from().tag().unwrap_or_default();
        self.of("copies", &[tag, request.call_id(), &number, request.method().as_str()])
    }

    /// A To tag that stays the same for each repetition of a request that is answered without being remembered
    /// (section 8.2.7).
    pub(in crate::telephony::sip) fn stateless_tag(&self, call_id: &str, from: &str) -> u64 {
        // Truncation is meant: half of the bits make a tag.
        self.of("tag", &[call_id, from]).0 as u64
    }

    fn of(&self, domain: &str, parts: &[&str]) -> Fingerprint {
        let mut mac = self.mac.clone();
        mac.update(domain.as_bytes());
        for part in parts {
            mac.update(&part.len().to_be_bytes());
            mac.update(part.as_bytes());
        }
        let digest: [u8; 32] = mac.finalize().into_bytes().into();
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        Fingerprint(u128::from_be_bytes(half))
    }
}
