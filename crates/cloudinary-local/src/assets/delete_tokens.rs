//! Tokens by which a browser may delete what it has just uploaded.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::assets::Identity;

/// How long a delete token is good for.
const TOKEN_LIFETIME: Duration = Duration::from_secs(600);

/// Tokens by which a browser may delete what it has just uploaded. They do not survive a restart.
#[derive(Debug, Default)]
pub(crate) struct DeleteTokens(Mutex<HashMap<String, (Identity, Instant)>>);

impl DeleteTokens {
    /// A new token for an asset.
    pub(crate) fn issue(&self, identity: &Identity) -> String {
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, (_, issued)| issued.elapsed() < TOKEN_LIFETIME);
        tokens.insert(token.clone(), (identity.clone(), Instant::now()));
        token
    }

    /// The asset of a token, once.
    pub(crate) fn redeem(&self, token: &str) -> Option<Identity> {
        let (identity, issued) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(token)?;
        (issued.elapsed() < TOKEN_LIFETIME).then_some(identity)
    }
}
