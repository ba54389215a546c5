//! Signatures as Standard Webhooks has them:
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What a secret begins with, so that a person and a scanner know it for one.
pub const SECRET_PREFIX: &str = "whsec_";

/// A text that is no secret of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {SECRET_PREFIX} and Base64")]
pub struct NoSecret;

/// A new secret, of 32 bytes that nobody can guess: `whsec_` and Base64.
pub fn new_secret() -> SecretString {
    // 122 random bits each.
    let mut random = Sha256::new();
    for _ in 0..3 {
        random.update(Uuid::new_v4().as_bytes());
    }
    format!("{SECRET_PREFIX}{}", BASE64_STANDARD.encode(random.finalize())).into()
}

/// The signature of a message for the header `webhook-signature`, where those by several secrets stand with a space in between.
/// `timestamp`: seconds since 1970, as in `webhook-timestamp`.
///
/// # Errors
///
/// [`NoSecret`], for a secret that is not as [`new_secret`] makes them.
pub fn signature(secret: &SecretString, id: &str, timestamp: i64, body: &[u8]) -> Result<String, NoSecret> {
    let encoded = secret.expose_secret().strip_prefix(SECRET_PREFIX).ok_or(NoSecret)?;
    let key = BASE64_STANDARD.decode(encoded).map_err(|_| NoSecret)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| NoSecret)?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    Ok(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the tests of the specification's own libraries.
    #[test]
    fn a_message_is_signed_as_the_specifications_libraries_sign_it() {
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signed = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed.as_deref(), Ok("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn secrets_are_long_and_no_two_are_alike() {
        let (first, second) = (new_secret(), new_secret());
        assert_ne!(first.expose_secret(), second.expose_secret());
        let encoded = first.expose_secret().strip_prefix(SECRET_PREFIX).expect("the prefix");
        assert_eq!(BASE64_STANDARD.decode(encoded).expect("Base64").len(), 32);
        assert!(signature(&first, "a", 1, b"").is_ok());
    }

    #[test]
    fn what_is_no_secret_signs_nothing() {
        for text in ["", "whsec_?", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert_eq!(signature(&SecretString::from(text), "a", 1, b""), Err(NoSecret), "{text}");
        }
    }
}
