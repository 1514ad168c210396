//! Which passwords a person had before.
//!
//! ```text
//!  salt = HMAC-SHA256(pepper, "password history salt" | user), its first 16 bytes
//!  tag  = HMAC-SHA256(pepper, "password history" | user | password)
//!  kept = $argon2id$v=19$m=19456,t=2,p=1,keyid=<pepper number>$<salt>$argon2id(tag, salt)
//! ```
//!
//! A person's hashes share their salt, so one evaluation compares a new password with all of them; another one is
//! needed only for each pepper and work factor that was in use when some of them were made. The salt hangs on the
//! pepper: without it nobody can prepare a table.

use std::fmt;

use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use super::answer_hash::AnswerHasher;
use super::ids::UserId;
use super::keyed_hash::{HashError, SALT_LEN, argon2id, phc};
use super::pepper::Pepper;
use crate::secret::Secret;

/// The hash of a password that was set, in PHC string format.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// From the database; looked at when it is used.
    #[must_use]
    pub fn from_stored(phc: String) -> Self {
        Self(phc)
    }

    /// The PHC string, for the database.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[password hash]")
    }
}

/// What a look into the history has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// The hash of the new password, to be kept if it is set.
    pub hash: PasswordHash,
    /// Whether it is one of the earlier ones.
    pub used_before: bool,
    /// How many of the kept ones could not be read. They stand in nobody's way.
    pub unreadable: usize,
}

impl AnswerHasher {
    /// Hashes a new password of `user` and compares it with earlier ones. The time depends on how many peppers and
    /// work factors these were made with, not on what they are.
    ///
    /// # Errors
    /// [`HashError::OutOfMemory`].
    pub fn look_back(&self, user: UserId, password: &Secret, earlier: &[PasswordHash]) -> Result<Looked, HashError> {
        let hasher = self.keyed();
        let pepper = hasher.peppers().current();
        let (params, salt) = (hasher.params(pepper.id())?, salt_of(pepper, user));
        let hash = argon2id(&params, &tag(pepper, user, password), &salt)?;

        let mut used_before = Choice::from(0);
        let mut unreadable = 0;
        // The number of the pepper is among the parameters.
        let mut evaluated = vec![(params.clone(), hash)];
        for stored in earlier {
            let kept = hasher.open(&stored.0).ok();
            // A planted row with a salt of its own must not order more work.
            let Some(kept) = kept.filter(|kept| kept.salt == salt_of(kept.pepper, user)) else {
                unreadable += 1;
                continue;
            };
            let known = evaluated.iter().find(|(params, _)| *params == kept.params);
            let candidate = match known {
                Some((_, hash)) => *hash,
                None => {
                    let hash = argon2id(&kept.params, &tag(kept.pepper, user, password), &kept.salt)?;
                    evaluated.push((kept.params.clone(), hash));
                    hash
                }
            };
            used_before |= candidate.ct_eq(&kept.hash);
        }
        Ok(Looked {
            hash: phc(&params, &salt, &hash).map(PasswordHash)?,
            used_before: used_before.into(),
            unreadable,
        })
    }
}

fn salt_of(pepper: &Pepper, user: UserId) -> [u8; SALT_LEN] {
    let mac = pepper.mac("password history salt", &[user.as_uuid().as_bytes()]);
    let mut salt = [0; SALT_LEN];
    salt.copy_from_slice(&mac[..SALT_LEN]);
    salt
}

fn tag(pepper: &Pepper, user: UserId, password: &Secret) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(pepper.mac(
        "password history",
        &[user.as_uuid().as_bytes(), password.expose().as_bytes()],
    ))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::keyed_hash::HashConfig;
    use super::super::pepper::{PepperId, Peppers};
    use super::*;

    const CHEAP: HashConfig = HashConfig {
        memory_kib: 8,
        passes: 1,
    };

    fn hasher(config: HashConfig, peppers: &[u32]) -> AnswerHasher {
        let pepper = |&number: &u32| Pepper::new(PepperId(number), [u8::try_from(number).unwrap(); 32]);
        let peppers = Peppers::new(peppers.iter().map(pepper).collect()).unwrap();
        AnswerHasher::new(config, peppers).unwrap()
    }

    fn user(number: u128) -> UserId {
        UserId::from_uuid(Uuid::from_u128(number))
    }

    fn look(hasher: &AnswerHasher, of: u128, password: &str, earlier: &[PasswordHash]) -> Looked {
        let password = Secret::new(password.to_owned());
        hasher.look_back(user(of), &password, earlier).unwrap()
    }

    fn kept(hasher: &AnswerHasher, passwords: &[&str]) -> Vec<PasswordHash> {
        let hash = |password: &&str| look(hasher, 1, password, &[]).hash;
        passwords.iter().map(hash).collect()
    }

    #[test]
    fn an_earlier_password_is_recognised_wherever_it_stands() {
        let hasher = hasher(CHEAP, &[1]);
        let earlier = kept(&hasher, &["first", "second", "third"]);
        for password in ["first", "second", "third"] {
            assert!(look(&hasher, 1, password, &earlier).used_before, "{password}");
        }
        for password in ["fourth", "First", "first ", ""] {
            assert!(!look(&hasher, 1, password, &earlier).used_before, "{password}");
        }
        assert!(!look(&hasher, 1, "first", &[]).used_before);
    }

    #[test]
    fn what_is_kept_names_its_pepper_and_is_of_one_person() {
        let hasher = hasher(CHEAP, &[1]);
        let earlier = kept(&hasher, &["first"]);
        let text = earlier[0].as_str();
        assert!(text.starts_with("$argon2id$v=19$m=8,t=1,p=1,keyid=AAAAAQ$"), "{text}");
        assert_eq!(format!("{:?}", earlier[0]), "[password hash]");
        let foreign = look(&hasher, 2, "first", &earlier);
        assert!(
            !foreign.used_before,
            "a row that was copied to somebody else says nothing"
        );
        assert_eq!(foreign.unreadable, 1);
        assert_ne!(foreign.hash, earlier[0]);
    }

    #[test]
    fn older_peppers_and_work_factors_are_compared_as_well() {
        let mut earlier = kept(&hasher(CHEAP, &[1]), &["first"]);
        earlier.extend(kept(&hasher(CHEAP, &[1, 2]), &["second"]));
        let harder = hasher(
            HashConfig {
                memory_kib: 16,
                ..CHEAP
            },
            &[1, 2, 3],
        );
        earlier.extend(kept(&harder, &["third"]));
        for password in ["first", "second", "third"] {
            let looked = look(&harder, 1, password, &earlier);
            assert!(looked.used_before && looked.unreadable == 0, "{password}");
        }
        assert!(!look(&harder, 1, "fourth", &earlier).used_before);
    }

    #[test]
    fn what_cannot_be_read_stands_in_nobodys_way() {
        let mut earlier = kept(&hasher(CHEAP, &[1]), &["first"]);
        earlier.push(PasswordHash::from_stored("damaged".to_owned()));
        earlier.extend(kept(&hasher(CHEAP, &[2]), &["second"]));
        let looked = look(&hasher(CHEAP, &[2, 3]), 1, "second", &earlier);
        assert!(looked.used_before);
        assert_eq!(looked.unreadable, 2, "a damaged one, and one whose pepper is gone");
    }
}
