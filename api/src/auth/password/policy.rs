//! What a password, a name and an address may be.

use std::collections::HashSet;
use std::sync::LazyLock;

/// The passwords that attackers try first, in lower case. Not `zxcvbn`: it is slower, and its answer is harder to
/// explain.
static COMMON: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("common_passwords.txt").lines().filter(|line| !line.starts_with('#')).collect());

/// Why a password cannot be chosen (NIST SP 800-63B, section 3.1.1.2): at least 8 characters of any kind, long ones
/// allowed, but none of the passwords that attackers try first.
pub(crate) fn refusal_of_password(password: &str, username: &str, email: &str) -> Option<&'static str> {
    let folded = store::normalised(password.trim());
    match password.chars().count() {
        0 => Some("is required"),
        1..8 | 129.. => Some("must have 8 to 128 characters"),
        _ if is_common(password) => Some("is one of the most common passwords; choose another"),
        _ if folded == username || folded == email => Some("must not be the username or email address"),
        _ => None,
    }
}

fn is_common(password: &str) -> bool {
    COMMON.contains(password.to_lowercase().as_str())
}

/// Whether a text looks like what it is.
pub(crate) fn is_printable(text: &str) -> bool {
    program::shown(text).all(|(_, is_shown)| is_shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_what_everybody_tries_and_nothing_that_is_too_short_anyway() {
        for password in ["password", "12345678", "Football", "QWERTYUIOP", "trustno1"] {
            assert!(is_common(password), "{password}");
        }
        for password in ["correct horse battery staple", "", "#", "# MIT"] {
            assert!(!is_common(password), "{password}");
        }
        assert_eq!(COMMON.len(), 3000);
        assert!(COMMON.iter().all(|password| password.len() >= 8 && *password == password.to_lowercase()));
    }

    #[test]
    fn a_password_has_8_to_128_characters_of_any_kind() {
        let refusal = |password: &str| refusal_of_password(password, "ada", "ada@example.com");
        for password in [
            "        ",
            "ääääääää",
            "aaaa bbb",
            "\u{1f469}\u{1f469}\u{1f469}\u{1f469}\u{1f469}\u{1f469}\u{1f469}\u{1f469}",
        ] {
            assert_eq!(refusal(password), None, "{password}");
        }
        assert_eq!(refusal(&"x".repeat(128)), None);
        for password in ["", "1234567", "äääääää", &"x".repeat(129)] {
            assert!(refusal(password).is_some(), "{password}");
        }
    }

    #[test]
    fn what_everybody_tries_first_is_refused() {
        for (password, username) in [
            ("Password", "ada"),
            ("trustno1", "ada"),
            ("ada.lovelace", "ada.lovelace"),
            ("ADA.Lovelace", "ada.lovelace"),
            ("ada@example.com", "ada"),
        ] {
            assert!(refusal_of_password(password, username, "ada@example.com").is_some(), "{password}");
        }
    }

    #[test]
    fn text_that_hides_what_it_is_is_not_printable() {
        for text in [
            "a\0",
            "a\u{1b}[31m",
            "a\nb",
            "a\u{202e}b",
            "\u{2066}a",
            "a\u{200f}",
            "\u{feff}a",
            "a\u{2028}b",
            "a\u{200b}b",
            "a\u{2060}b",
            "\u{7f}",
            "\u{85}",
        ] {
            assert!(!is_printable(text), "{text:?}");
        }
        for text in
            ["Ada O'Neil", "\u{1f469}\u{200d}\u{1f4bb}", "\u{5d0}\u{5d3}\u{5d4}", "\u{639}\u{62f}\u{629}", "Ada \u{e9}"]
        {
            assert!(is_printable(text), "{text:?}");
        }
        let wales = "Ffion \u{1f3f4}\u{e0067}\u{e0062}\u{e0077}\u{e006c}\u{e0073}\u{e007f}";
        assert!(is_printable(wales));
        assert!(!is_printable(wales.trim_end_matches('\u{e007f}')));
    }
}
