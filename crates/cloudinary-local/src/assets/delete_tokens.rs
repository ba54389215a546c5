//! Tokens by which a browser may delete what it has just uploaded.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::assets::Identity;

const TOKEN_LIFETIME: Duration = Duration::from_secs(600);

/// The tokens do not survive a restart.
#[derive(Debug, Default)]
pub(crate) struct DeleteTokens(Mutex<HashMap<String, (Identity, Instant)>>);

impl DeleteTokens {
    pub(crate) fn issue(&self, identity: &Identity) -> String {
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, (_, issued)| issued.elapsed() < TOKEN_LIFETIME);
        tokens.insert(token.clone(), (identity.clone(), Instant::now()));
        token
    }

    /// A token can be redeemed once.
    pub(crate) fn redeem(&self, token: &str) -> Option<Identity> {
        let (identity, issued) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(token)?;
        (issued.elapsed() < TOKEN_LIFETIME).then_some(identity)
    }
}
