//! Which user has a name, remembered as a hint.

use std::sync::Arc;

use bson::oid::ObjectId;
use moka::sync::Cache;

/// Names that are remembered: those that are asked for most. They take two or three megabytes.
const MOST: u64 = 10_000;
/// In bytes. A name longer than any that can be registered is an adopted one, and looked up every time.
const LONGEST: usize = 200;

/// Remembers which user was found by a name, so that the next profile can ask for the user by id, together with who reads it.
///
/// Nothing is shown on the strength of it: whoever asks by such an id looks whether the user found there has the name still.
/// Only names that were found come in, so that guesses do not drive out what is in use.
#[derive(Debug, Clone)]
pub(crate) struct UsernameCache(Cache<Arc<str>, ObjectId>);

impl Default for UsernameCache {
    fn default() -> Self {
        Self(Cache::new(MOST))
    }
}

impl UsernameCache {
    /// Who had a name when it was looked up last.
    pub(crate) fn get(&self, name: &str) -> Option<ObjectId> {
        self.0.get(name)
    }

    /// Remembers who was found.
    pub(crate) fn found(&self, name: &str, id: ObjectId) {
        if name.len() <= LONGEST {
            self.0.insert(name.into(), id);
        }
    }

    /// Forgets a name that its user has no more.
    pub(crate) fn gone(&self, name: &str) {
        self.0.invalidate(name);
    }
}
