//! Settings of what the media host tells by itself.

use cloudinary::{CloudinaryArgs, Verifier};
use program::ConfigError;
use secrecy::{ExposeSecret, SecretString};

/// The account of the local media host, whose secret is in the documentation.
const KNOWN_TO_ALL: &str = ":abcd@";

#[derive(Debug, Clone, clap::Args)]
pub struct Notifications {
    /// Account at Cloudinary, by whose secret notifications are verified; without it none are taken
    #[arg(long, env = "CLOUDINARY_URL", hide_env_values = true, value_name = "URL")]
    pub cloudinary_url: Option<SecretString>,
}

impl Notifications {
    /// What tells Cloudinary's notifications from others. `None`: there is no account, or one that anybody could sign for.
    pub(crate) fn verifier(&self, is_development: bool) -> Result<Option<Verifier>, ConfigError> {
        let Some(url) = self.cloudinary_url.as_ref().filter(|url| !url.expose_secret().is_empty()) else {
            return Ok(None);
        };
        if !is_development && url.expose_secret().contains(KNOWN_TO_ALL) {
            tracing::warn!(
                "notifications of the media host are not taken: everybody knows the secret in CLOUDINARY_URL"
            );
            return Ok(None);
        }
        let args = CloudinaryArgs { cloudinary_url: Some(url.clone()), ..CloudinaryArgs::default() };
        Ok(Some(Verifier::new(&cloudinary::Config::try_from(args)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verifier(url: Option<&str>, is_development: bool) -> Result<bool, String> {
        let settings = Notifications { cloudinary_url: url.map(SecretString::from) };
        settings.verifier(is_development).map(|verifier| verifier.is_some()).map_err(|error| error.to_string())
    }

    #[test]
    fn there_are_notifications_only_of_an_account_whose_secret_is_one() {
        assert_eq!(verifier(None, true), Ok(false));
        assert_eq!(verifier(Some(""), true), Ok(false));
        let local = "cloudinary://1234:abcd@demo?upload_prefix=http://media:8787";
        assert_eq!(verifier(Some(local), true), Ok(true));
        assert_eq!(verifier(Some(local), false), Ok(false));
        assert_eq!(verifier(Some("cloudinary://1234:hdcixPpR2iKE@demo"), false), Ok(true));
    }

    #[test]
    fn an_address_that_is_no_account_is_explained_without_its_value() {
        let error = verifier(Some("https://1234:hdcixPpR2iKE@demo"), true).expect_err("no account");
        assert!(error.starts_with("CLOUDINARY_URL: expected") && !error.contains("hdcix"), "{error}");
    }
}
