//! The numbers that Active Directory writes in front of its texts, which say more than the results of LDAP.
//!
//! A refused sign-in holds `data 775`, everything else begins with a hexadecimal number (`0000052D: SvcErr: DSID-...`). Both
//! are Win32 error codes (\[MS-ERREF\] 2.2). The result of LDAP differs between servers for the same thing: Microsoft's
//! answers *unwilling to perform* (53) where Samba answers *constraint violation* (19).

use super::super::{Refusal, Verdict};

/// What a refused sign-in (result 49) means, by the number behind `data`.
pub(super) fn verdict(text: &str) -> Verdict {
    let data = text.split("data ").nth(1).and_then(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        u32::from_str_radix(&rest[..end], 16).ok()
    });
    match data {
        // Password expired; must be changed: it was the right one.
        Some(0x532 | 0x773) => Verdict::AcceptedMustChange,
        // Not at this hour; not from this workstation; disabled; account expired; locked.
        Some(0x530 | 0x531 | 0x533 | 0x701 | 0x775) => Verdict::Barred,
        // No such user, wrong password, and whatever else: it does not open the door.
        _ => Verdict::Rejected,
    }
}

/// What a refused change means, by the number at its beginning; `None` when that says nothing.
pub(super) fn refusal(text: &str) -> Option<Refusal> {
    let end = text.find(|c: char| !c.is_ascii_hexdigit())?;
    if end != 8 {
        return None;
    }
    match u32::from_str_radix(&text[..end], 16).ok()? {
        // ERROR_PASSWORD_RESTRICTION; ERROR_ILL_FORMED_PASSWORD.
        0x52d | 0x52c => Some(Refusal::Policy),
        // ERROR_INVALID_PASSWORD: the old one, where a change takes it.
        0x56 => Some(Refusal::OldPassword),
        // ERROR_ACCOUNT_LOCKED_OUT, whatever the old password is.
        0x775 => Some(Refusal::Other),
        // ERROR_ACCESS_DENIED; ERROR_PRIVILEGE_NOT_HELD; ERROR_DS_INSUFF_ACCESS_RIGHTS.
        0x5 | 0x522 | 0x2098 => Some(Refusal::Rights),
        // ERROR_DS_OBJ_NOT_FOUND; ERROR_NO_SUCH_USER.
        0x208d | 0x525 => Some(Refusal::NoSuchAccount),
        // ERROR_ACCOUNT_DISABLED.
        0x533 => Some(Refusal::Disabled),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_behind_data_has_its_meaning() {
        let text = |data: &str| {
            format!("80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data {data}, v1db1")
        };
        for (data, verdict_) in [
            ("52e", Verdict::Rejected),
            ("525", Verdict::Rejected),
            ("530", Verdict::Barred),
            ("531", Verdict::Barred),
            ("532", Verdict::AcceptedMustChange),
            ("533", Verdict::Barred),
            ("701", Verdict::Barred),
            ("773", Verdict::AcceptedMustChange),
            ("775", Verdict::Barred),
        ] {
            assert_eq!(verdict(&text(data)), verdict_, "{data}");
        }
        for text in ["", "data ", "data", "Invalid credentials", "data 7750000000000000000"] {
            assert_eq!(verdict(text), Verdict::Rejected, "{text:?}");
        }
    }

    #[test]
    fn a_refusal_goes_by_the_number_in_front() {
        for (text, meaning) in [
            (
                "0000052D: SvcErr: DSID-031A124C, problem 5003 (WILL_NOT_PERFORM), data 0\n\0",
                Some(Refusal::Policy),
            ),
            (
                "0000052D: Constraint violation - check_password_restrictions: the password is too short.",
                Some(Refusal::Policy),
            ),
            (
                "00000056: AtrErr: DSID-03191083, #1:\n\t0: 00000056: DSID-03191083, problem 1005 (CONSTRAINT_ATT_TYPE)",
                Some(Refusal::OldPassword),
            ),
            (
                "00000775: Constraint violation - check_password: Account locked out!",
                Some(Refusal::Other),
            ),
            (
                "00002098: SecErr: DSID-03150F94, problem 4003 (INSUFF_ACCESS_RIGHTS), data 0",
                Some(Refusal::Rights),
            ),
            (
                "00000005: SecErr: DSID-031A11ED, problem 4003 (INSUFF_ACCESS_RIGHTS), data 0",
                Some(Refusal::Rights),
            ),
            (
                "0000208D: NameErr: DSID-03100241, problem 2001 (NO_OBJECT), data 0",
                Some(Refusal::NoSuchAccount),
            ),
            (
                "0000001F: SvcErr: DSID-031A12D2, problem 5003 (WILL_NOT_PERFORM), data 0",
                None,
            ),
            (
                "error in module acl: insufficient access rights during LDB_MODIFY (50)",
                None,
            ),
            ("", None),
            ("52D: short", None),
        ] {
            assert_eq!(refusal(text), meaning, "{text}");
        }
    }
}
