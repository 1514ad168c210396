//! The control with which a directory says why a sign-in or a password was refused
//! (draft-behera-ldap-password-policy-10, 6.1 and 6.2). Without the request, nobody learns.

use ldap3::LdapResult;
use ldap3::controls::RawControl;

/// The same number for request and response.
const OID: &str = "1.3.6.1.4.1.42.2.27.8.5.1";

/// The request; it has no value.
pub(super) fn request() -> RawControl {
    RawControl {
        ctype: OID.to_owned(),
        crit: false,
        val: None,
    }
}

/// What was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Error {
    PasswordExpired,
    AccountLocked,
    ChangeAfterReset,
    /// One of those that speak of the new password.
    NewPassword,
}

/// The error in the response, if there is one.
pub(super) fn error(result: &LdapResult) -> Option<Error> {
    let control = result.ctrls.iter().find(|control| control.1.ctype == OID)?;
    decode(control.1.val.as_deref()?)
}

/// `SEQUENCE { warning [0] CHOICE OPTIONAL, error [1] ENUMERATED OPTIONAL }`, in BER. Every part is shorter than 128 bytes,
/// so each length is one byte.
fn decode(value: &[u8]) -> Option<Error> {
    let mut rest = element(value, 0x30)?.0;
    while !rest.is_empty() {
        let (&tag, _) = rest.split_first()?;
        let (content, behind) = element(rest, tag)?;
        if tag == 0x81 {
            return match *content {
                [0] => Some(Error::PasswordExpired),
                [1] => Some(Error::AccountLocked),
                [2] => Some(Error::ChangeAfterReset),
                // Modification not allowed, old password missing, quality, too short, too young, in history.
                [3..=8] => Some(Error::NewPassword),
                _ => None,
            };
        }
        rest = behind;
    }
    None
}

/// The content of the element with this tag at the beginning, and what is behind it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    match *bytes {
        [found, length, ref rest @ ..] if found == tag && length < 0x80 => rest.split_at_checked(length.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read_from_bytes() {
        // What OpenLDAP 2.5 sends: nothing; locked; change after reset; a warning (seconds left) and an error.
        assert_eq!(decode(&[0x30, 0x00]), None);
        assert_eq!(decode(&[0x30, 0x03, 0x81, 0x01, 0x01]), Some(Error::AccountLocked));
        assert_eq!(decode(&[0x30, 0x03, 0x81, 0x01, 0x02]), Some(Error::ChangeAfterReset));
        assert_eq!(
            decode(&[0x30, 0x08, 0xa0, 0x03, 0x80, 0x01, 0x3c, 0x81, 0x01, 0x00]),
            Some(Error::PasswordExpired)
        );
        for code in 3..=8 {
            assert_eq!(decode(&[0x30, 0x03, 0x81, 0x01, code]), Some(Error::NewPassword));
        }
    }

    #[test]
    fn what_is_no_control_says_nothing() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 0x05, 0x81],
            &[0x31, 0x03, 0x81, 0x01, 0x01],
            &[0x30, 0x03, 0x81, 0x02, 0x01],
            &[0x30, 0x81, 0x03, 0x81, 0x01, 0x01],
            &[0x30, 0x03, 0x81, 0x01, 0x63],
        ] {
            assert_eq!(decode(bytes), None, "{bytes:02x?}");
        }
    }
}
