//! Secrets of few values as they are kept: HMAC-SHA256 under a pepper, then argon2id (RFC 9106), as a PHC string that
//! names the pepper. What is under the HMAC is said by who uses it ([`super::answer_hash`],
//! [`super::password_history`]).
//!
//! A hash takes tens of milliseconds and 19 MiB: compute it where it may block, and bound how many run at once.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, KeyId, Params, ParamsBuilder, Version};
use serde::Deserialize;

use super::pepper::{Pepper, PepperId, Peppers};

/// Work factors of argon2id.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HashConfig {
    /// Memory in KiB, 8 to 1,048,576. Default 19,456: first choice of the OWASP password storage cheat sheet for one
    /// lane and two passes; a hundred callers at once need under 2 GiB.
    pub memory_kib: u32,
    /// Passes, 1 to 64. Default 2, from the same line.
    pub passes: u32,
}

impl Default for HashConfig {
    fn default() -> Self {
        Self {
            memory_kib: 19 * 1024,
            passes: 2,
        }
    }
}

/// Why there is no hash, or a kept one cannot be compared with.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HashError {
    /// A work factor out of range.
    #[error("hashes: `memory_kib` is 8 to {MAX_MEMORY_KIB} and `passes` 1 to {MAX_PASSES}")]
    Config,
    /// Not enough memory for one hash now; may work later.
    #[error("not enough memory for a hash")]
    OutOfMemory,
    /// Not a hash of ours: the stored row was damaged.
    #[error("a stored hash cannot be read; if it is that of an answer, enroll it again")]
    Malformed,
    /// The pepper is not in the key file any more.
    #[error("a stored hash needs pepper {id}; put it back into the key file, or enroll the answer again", id = id.0)]
    PepperMissing {
        /// Its number.
        id: PepperId,
    },
}

const MAX_MEMORY_KIB: u32 = 1 << 20;
const MAX_PASSES: u32 = 64;
pub(super) const SALT_LEN: usize = 16;
pub(super) const HASH_LEN: usize = 32;

/// Makes hashes and takes them apart.
#[derive(Clone, Debug)]
pub(super) struct KeyedHasher {
    config: HashConfig,
    peppers: Peppers,
}

impl KeyedHasher {
    pub(super) fn new(config: HashConfig, peppers: Peppers) -> Result<Self, HashError> {
        let good = (Params::MIN_M_COST..=MAX_MEMORY_KIB).contains(&config.memory_kib)
            && (1..=MAX_PASSES).contains(&config.passes);
        good.then_some(Self { config, peppers }).ok_or(HashError::Config)
    }

    pub(super) fn peppers(&self) -> &Peppers {
        &self.peppers
    }

    /// The work that is done today, with this pepper.
    pub(super) fn params(&self, pepper: PepperId) -> Result<Params, HashError> {
        let keyid = KeyId::new(&pepper.0.to_be_bytes()).map_err(|_| HashError::Config)?;
        ParamsBuilder::new()
            .m_cost(self.config.memory_kib)
            .t_cost(self.config.passes)
            .p_cost(1)
            .keyid(keyid)
            .output_len(HASH_LEN)
            .build()
            .map_err(|_| HashError::Config)
    }

    /// Takes a stored hash apart.
    pub(super) fn open(&self, stored: &str) -> Result<Kept<'_>, HashError> {
        let phc = PasswordHash::new(stored).map_err(|_| HashError::Malformed)?;
        let params = Params::try_from(&phc).map_err(|_| HashError::Malformed)?;
        // A damaged or planted row must not order more work than a configuration may.
        let bounded = params.m_cost() <= MAX_MEMORY_KIB && params.t_cost() <= MAX_PASSES && params.p_cost() == 1;
        if phc.algorithm != ARGON2ID_IDENT || phc.version != Some(Version::V0x13.into()) || !bounded {
            return Err(HashError::Malformed);
        }
        let id = PepperId(u32::from_be_bytes(
            params.keyid().try_into().map_err(|_| HashError::Malformed)?,
        ));
        let pepper = self.peppers.find(id).ok_or(HashError::PepperMissing { id })?;
        let salt = phc.salt.ok_or(HashError::Malformed)?;
        let hash = phc.hash.ok_or(HashError::Malformed)?;
        Ok(Kept {
            pepper,
            salt: salt.as_ref().to_vec(),
            hash: hash.as_bytes().try_into().map_err(|_| HashError::Malformed)?,
            params,
        })
    }
}

/// A stored hash, taken apart.
pub(super) struct Kept<'a> {
    pub(super) pepper: &'a Pepper,
    pub(super) params: Params,
    pub(super) salt: Vec<u8>,
    pub(super) hash: [u8; HASH_LEN],
}

pub(super) fn argon2id(params: &Params, tag: &[u8; 32], salt: &[u8]) -> Result<[u8; HASH_LEN], HashError> {
    let mut hash = [0; HASH_LEN];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into(tag, salt, &mut hash)
        .map_err(|error| match error {
            argon2::Error::OutOfMemory => HashError::OutOfMemory,
            _ => HashError::Malformed,
        })?;
    Ok(hash)
}

pub(super) fn phc(params: &Params, salt: &[u8], hash: &[u8]) -> Result<String, HashError> {
    let phc = PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).map_err(|_| HashError::Config)?,
        salt: Some(Salt::new(salt).map_err(|_| HashError::Config)?),
        hash: Some(Output::new(hash).map_err(|_| HashError::Config)?),
    };
    Ok(phc.to_string())
}
