//! The text fields of a registration.

use garde::rules::email::parse_email;
use secrecy::{ExposeSecret, SecretString};
use utoipa::ToSchema;

use crate::auth::{is_printable, refusal_of_password};
use crate::http::{FieldError, Problem};

/// The fields, empty until they are set.
#[derive(Debug, Default, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Registration {
    #[schema(min_length = 1, max_length = 100, example = "Ada Lovelace")]
    pub(crate) full_name: String,
    /// Kept in NFKC and lower case; nobody else may have it.
    #[schema(format = Email, max_length = 254, example = "ada@example.com")]
    pub(crate) email: String,
    /// Letters and digits of any script, dots, hyphens and underscores, but not `.` or `..`, which are no names in an address.
    /// Kept in NFKC and lower case; nobody else may have it.
    #[schema(min_length = 1, max_length = 50, example = "ada")]
    pub(crate) username: String,
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 128, example = "analytical engine")]
    pub(crate) password: SecretString,
    #[schema(ignore)]
    sent: Vec<&'static str>,
}

impl Registration {
    const FIELDS: [&str; 4] = ["fullName", "email", "username", "password"];

    /// Takes a field, unless it is unknown. 422 for a field that was sent before: which of the two is meant?
    pub(crate) fn set(&mut self, name: &str, value: String) -> Result<(), Problem> {
        let Some(field) = Self::FIELDS.into_iter().find(|field| *field == name) else { return Ok(()) };
        if self.sent.contains(&field) {
            return Err(Problem::invalid(field, "was sent twice"));
        }
        self.sent.push(field);
        match field {
            "fullName" => self.full_name = value.trim().to_owned(),
            "email" => self.email = store::normalised(value.trim()),
            "username" => self.username = store::normalised(value.trim()),
            _ => self.password = value.into(),
        }
        Ok(())
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.sent.len() == Self::FIELDS.len()
    }

    /// What is wrong, each field once, in the order in which forms show them.
    pub(crate) fn errors(&self) -> Vec<FieldError> {
        let password = self.password.expose_secret();
        let refusals = [
            refusal_of_full_name(&self.full_name),
            refusal_of_email(&self.email),
            refusal_of_username(&self.username),
            refusal_of_password(password, &self.username, &self.email),
        ];
        let refused = Self::FIELDS.into_iter().zip(refusals);
        refused.filter_map(|(field, message)| Some(FieldError::new(field, message?))).collect()
    }
}

pub(super) fn refusal_of_full_name(name: &str) -> Option<&'static str> {
    match name.chars().count() {
        0 => Some("is required"),
        _ if !is_printable(name) => Some("must not contain control characters"),
        101.. => Some("length is greater than 100"),
        _ => None,
    }
}

/// RFC 5321, section 4.5.3.1.3: a path has at most 256 octets, with its angle brackets.
pub(super) fn refusal_of_email(email: &str) -> Option<&'static str> {
    match email.len() {
        0 => Some("is required"),
        _ if !is_printable(email) => Some("must not contain control characters"),
        _ if parse_email(email).is_err() => Some("must be an email address"),
        255.. => Some("length is greater than 254"),
        _ => None,
    }
}

/// A username is part of addresses (`/users/c/:username`): it has nothing in it that would have to be escaped, and clients do not
/// take it for a step to another folder.
fn refusal_of_username(username: &str) -> Option<&'static str> {
    match username.chars().count() {
        0 => Some("is required"),
        _ if matches!(username, "." | "..") => Some("must not be . or .."),
        _ if !username.chars().all(|char| char.is_alphanumeric() || matches!(char, '_' | '.' | '-')) => {
            Some("must consist of letters, digits, dots, hyphens and underscores")
        }
        51.. => Some("length is greater than 50"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(full_name: &str, email: &str, username: &str, password: &str) -> Registration {
        let mut draft = Registration::default();
        for (name, value) in
            [("fullName", full_name), ("email", email), ("username", username), ("password", password), ("more", "x")]
        {
            draft.set(name, value.to_owned()).expect("sent once");
        }
        draft
    }

    fn wrong_fields(draft: &Registration) -> Vec<String> {
        draft.errors().into_iter().map(|error| error.field.into_owned()).collect()
    }

    #[test]
    fn names_are_trimmed_and_addresses_lower_case() {
        let checked = draft(" Ada L. ", " Ada@Example.com", "Ada_1 ", " 8 chars ");
        assert_eq!(checked.errors(), []);
        assert_eq!(
            (checked.full_name.as_str(), checked.email.as_str(), checked.username.as_str()),
            ("Ada L.", "ada@example.com", "ada_1")
        );
        assert_eq!(checked.password.expose_secret(), " 8 chars ");
    }

    #[test]
    fn every_wrong_field_is_named_once() {
        assert_eq!(wrong_fields(&Registration::default()), ["fullName", "email", "username", "password"]);
        assert_eq!(wrong_fields(&draft("  ", "nobody", "a/b", "short")), ["fullName", "email", "username", "password"]);
        assert_eq!(wrong_fields(&draft("a\0b", "a@b.c", "ab", &"x".repeat(129))), ["fullName", "password"]);
    }

    #[test]
    fn forbidden_characters_are_told_before_length_and_form() {
        let control = Some("must not contain control characters");
        assert_eq!(refusal_of_full_name(&"\0".repeat(101)), control);
        assert_eq!(refusal_of_email("\0"), control);
        let characters = Some("must consist of letters, digits, dots, hyphens and underscores");
        assert_eq!(refusal_of_username(&"/".repeat(51)), characters);
    }

    #[test]
    fn a_username_is_no_step_in_a_path() {
        // The last two are the same in NFKC.
        for username in [".", "..", "\u{2024}", "\u{2025}"] {
            assert_eq!(wrong_fields(&draft("Ada", "a@b.c", username, "not too short")), ["username"], "{username}");
        }
        for username in ["...", ".ada", "a..b", "-", "\u{5d0}\u{5d3}\u{5d4}"] {
            assert_eq!(draft("Ada", "a@b.c", username, "not too short").errors(), [], "{username}");
        }
    }

    #[test]
    fn a_field_sent_twice_is_refused() {
        let mut draft = draft("a", "a@b.c", "ab", "12345678");
        assert!(draft.set("email", "c@d.e".to_owned()).is_err());
    }
}
