//! The text fields of a registration.

use garde::Validate;
use secrecy::{ExposeSecret, SecretString};
use utoipa::ToSchema;

use crate::auth::{is_printable, refusal_of_password};
use crate::http::problem::{FieldError, Problem};

/// The order in which forms show the fields, and errors name them.
const FORM_ORDER: [&str; 3] = ["fullName", "email", "username"];

/// Fields as they come in, in any order.
#[derive(Debug, Default, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Draft {
    #[schema(value_type = String, required, min_length = 1, max_length = 100, example = "Ada Lovelace")]
    full_name: Option<String>,
    /// Kept in NFKC and lower case; nobody else may have it.
    #[schema(value_type = String, required, format = Email, max_length = 254, example = "ada@example.com")]
    email: Option<String>,
    /// Letters and digits of any script, dots, hyphens and underscores, but not `.` or `..`, which are no names in an address.
    /// Kept in NFKC and lower case; nobody else may have it.
    #[schema(value_type = String, required, min_length = 1, max_length = 50, example = "ada")]
    username: Option<String>,
    #[schema(value_type = String, required, format = Password, min_length = 8, max_length = 128, example = "analytical engine")]
    password: Option<SecretString>,
}

/// Fields that have been checked.
#[derive(Debug, Validate)]
pub(crate) struct Registration {
    #[garde(length(chars, min = 1, max = 100), custom(printable))]
    pub(crate) full_name: String,
    /// [`store::normalised`]. RFC 5321, section 4.5.3.1.3: a path has at most 256 octets, with its angle brackets.
    #[garde(email, length(bytes, max = 254), custom(printable))]
    pub(crate) email: String,
    /// [`store::normalised`].
    #[garde(length(chars, min = 1, max = 50), custom(of_a_username))]
    pub(crate) username: String,
    #[garde(skip)]
    pub(crate) password: SecretString,
}

impl Draft {
    /// Takes a field, unless it is unknown. 422 for a field that was sent before: which of the two is meant?
    pub(crate) fn set(&mut self, name: &str, value: String) -> Result<(), Problem> {
        let (field, before) = match name {
            "fullName" => ("fullName", self.full_name.replace(value).is_some()),
            "email" => ("email", self.email.replace(value).is_some()),
            "username" => ("username", self.username.replace(value).is_some()),
            "password" => ("password", self.password.replace(SecretString::from(value)).is_some()),
            _ => return Ok(()),
        };
        if before { Err(Problem::invalid(field, "was sent twice")) } else { Ok(()) }
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.full_name.is_some() && self.email.is_some() && self.username.is_some() && self.password.is_some()
    }

    /// The fields, and what is wrong with them.
    pub(crate) fn check(self) -> (Registration, Vec<FieldError>) {
        let trimmed = |text: Option<String>| text.unwrap_or_default().trim().to_owned();
        let registration = Registration {
            full_name: trimmed(self.full_name),
            email: store::normalised(&trimmed(self.email)),
            username: store::normalised(&trimmed(self.username)),
            password: self.password.unwrap_or_default(),
        };
        let mut errors = Vec::new();
        if let Err(report) = registration.validate() {
            let is_empty = |field: &str| match field {
                "fullName" => registration.full_name.is_empty(),
                "email" => registration.email.is_empty(),
                _ => registration.username.is_empty(),
            };
            errors = fields_in_error(&report, is_empty);
        }
        let password = registration.password.expose_secret();
        if let Some(message) = refusal_of_password(password, &registration.username, &registration.email) {
            errors.push(FieldError { field: "password".into(), message: message.into() });
        }
        (registration, errors)
    }
}

/// The fields that are wrong, each once, in the order of the form.
pub(super) fn fields_in_error(report: &garde::Report, is_empty: impl Fn(&str) -> bool) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = Vec::new();
    for (path, error) in report.iter() {
        let field = match path.to_string().as_str() {
            path if path.starts_with("full_name") => "fullName",
            path if path.starts_with("email") => "email",
            _ => "username",
        };
        if errors.iter().any(|known| known.field == field) {
            continue;
        }
        let message = match error.message() {
            _ if is_empty(field) => "is required",
            // The library's own words do not follow the field's name as a sentence.
            text if text.starts_with("not a valid email") => "must be an email address",
            text => text,
        };
        let message = message.to_owned();
        errors.push(FieldError { field: field.into(), message: message.into() });
    }
    errors.sort_by_key(|error| FORM_ORDER.iter().position(|field| *field == error.field));
    errors
}

pub(super) fn printable(text: &str, _: &()) -> garde::Result {
    match is_printable(text) {
        true => Ok(()),
        false => Err(garde::Error::new("must not contain control characters")),
    }
}

/// A username is part of addresses (`/users/c/:username`): it has nothing in it that would have to be escaped, and clients do not
/// take it for a step to another folder.
fn of_a_username(text: &str, _: &()) -> garde::Result {
    if matches!(text, "." | "..") {
        return Err(garde::Error::new("must not be . or .."));
    }
    match text.chars().all(|char| char.is_alphanumeric() || matches!(char, '_' | '.' | '-')) {
        true => Ok(()),
        false => Err(garde::Error::new("must consist of letters, digits, dots, hyphens and underscores")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(full_name: &str, email: &str, username: &str, password: &str) -> Draft {
        let mut draft = Draft::default();
        for (name, value) in
            [("fullName", full_name), ("email", email), ("username", username), ("password", password), ("more", "x")]
        {
            draft.set(name, value.to_owned()).expect("sent once");
        }
        draft
    }

    fn wrong_fields(draft: Draft) -> Vec<String> {
        draft.check().1.into_iter().map(|error| error.field.into_owned()).collect()
    }

    #[test]
    fn names_are_trimmed_and_addresses_lower_case() {
        let (checked, errors) = draft(" Ada L. ", " Ada@Example.com", "Ada_1 ", " 8 chars ").check();
        assert_eq!(errors, []);
        assert_eq!(
            (checked.full_name.as_str(), checked.email.as_str(), checked.username.as_str()),
            ("Ada L.", "ada@example.com", "ada_1")
        );
        assert_eq!(checked.password.expose_secret(), " 8 chars ");
    }

    #[test]
    fn every_wrong_field_is_named_once() {
        assert_eq!(wrong_fields(Draft::default()), ["fullName", "email", "username", "password"]);
        assert_eq!(wrong_fields(draft("  ", "nobody", "a/b", "short")), ["fullName", "email", "username", "password"]);
        assert_eq!(wrong_fields(draft("a\0b", "a@b.c", "ab", &"x".repeat(129))), ["fullName", "password"]);
    }

    #[test]
    fn a_username_is_no_step_in_a_path() {
        // The last two are the same in NFKC.
        for username in [".", "..", "\u{2024}", "\u{2025}"] {
            assert_eq!(wrong_fields(draft("Ada", "a@b.c", username, "not too short")), ["username"], "{username}");
        }
        for username in ["...", ".ada", "a..b", "-", "\u{5d0}\u{5d3}\u{5d4}"] {
            assert_eq!(wrong_fields(draft("Ada", "a@b.c", username, "not too short")), [""; 0], "{username}");
        }
    }

    #[test]
    fn a_field_sent_twice_is_refused() {
        let mut draft = draft("a", "a@b.c", "ab", "12345678");
        assert!(draft.set("email", "c@d.e".to_owned()).is_err());
    }
}
