//! What tests of target systems ask, and how they read the answers.

use passline::integration::target::{Check, Expiry, Refusal, Target, TargetError, Verdict};
use passline::secret::Secret;

use super::block_on;

/// The password that people have at the start of a test.
pub(crate) const OLD: &str = "Start-Pass-1";
/// The one that they get.
pub(crate) const NEW: &str = "Brand-New-Pass-2";

pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

/// Why it was refused.
pub(crate) fn refusal<T>(answer: Result<T, TargetError>) -> Refusal {
    match answer {
        Err(TargetError::Refused { refusal, .. }) => refusal,
        Err(error) => panic!("no refusal: {error}"),
        Ok(_) => panic!("no refusal"),
    }
}

/// Why it could not be reached.
pub(crate) fn unreachable<T>(answer: Result<T, TargetError>) -> String {
    match answer {
        Err(TargetError::Unreachable { reason, .. }) => reason,
        Err(error) => panic!("not unreachable: {error}"),
        Ok(_) => panic!("reached"),
    }
}

pub(crate) fn verify(target: &dyn Target, account: &str, password: &str) -> Verdict {
    block_on(target.verify(account, &secret(password))).expect("an answer")
}

pub(crate) fn reset(target: &dyn Target, account: &str, password: &str, expiry: Expiry) -> Result<Expiry, TargetError> {
    block_on(target.reset(account, &secret(password), expiry))
}

pub(crate) fn change(target: &dyn Target, account: &str, old: &str, new: &str) -> Result<(), TargetError> {
    block_on(target.change_password(account, &secret(old), &secret(new)))
}

/// What is in the way, by a test of the target.
pub(crate) fn problems(target: &dyn Target, account: Option<&str>) -> Vec<Check> {
    let checks = block_on(target.test(account)).expect("checks");
    checks.into_iter().filter(|check| check.problem.is_some()).collect()
}
