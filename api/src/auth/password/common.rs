//! The passwords that attackers try first.
//!
//! Not `zxcvbn`: it is slower, and its answer is harder to explain.

use std::collections::HashSet;
use std::sync::LazyLock;

static COMMON: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("common_passwords.txt").lines().filter(|line| !line.starts_with('#')).collect());

/// Whether a password is one of the most common, in any case.
pub(crate) fn is_common(password: &str) -> bool {
    COMMON.contains(password.to_lowercase().as_str())
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
}
