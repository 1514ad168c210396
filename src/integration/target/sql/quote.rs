//! Names and texts inside statements.
//!
//! Both quote by doubling, and nothing else: PostgreSQL inside of double quotes always (manual, 4.1.1), MariaDB and MySQL
//! inside of single quotes while the session has `NO_BACKSLASH_ESCAPES`.

/// A name for PostgreSQL.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text for a session that has `NO_BACKSLASH_ESCAPES`.
pub(super) fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a server reads from the start of `statement`, and what it takes for the rest of the statement.
    fn read(statement: &str, quote: char) -> Option<(String, &str)> {
        let mut name = String::new();
        let mut rest = statement.strip_prefix(quote)?;
        loop {
            let at = rest.find(quote)?;
            name.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            match rest.strip_prefix(quote) {
                Some(more) => {
                    name.push(quote);
                    rest = more;
                }
                None => return Some((name, rest)),
            }
        }
    }

    #[test]
    fn quotes_are_doubled_and_nothing_else_changes() {
        assert_eq!(identifier(r#"o"neil"#), r#""o""neil""#);
        assert_eq!(identifier(r"o'neil\"), r#""o'neil\""#);
        assert_eq!(text(r"o'neil\"), r"'o''neil\'");
    }

    proptest! {
        #[test]
        fn a_name_ends_where_it_should(name in any::<String>()) {
            let statement = format!("{} superuser", identifier(&name));
            prop_assert_eq!(read(&statement, '"'), Some((name, " superuser")));
        }

        #[test]
        fn a_text_ends_where_it_should(name in "[a'\"\\\\;\u{e9}-]{0,12}") {
            let statement = format!("{} account unlock", text(&name));
            prop_assert_eq!(read(&statement, '\''), Some((name, " account unlock")));
        }
    }
}
