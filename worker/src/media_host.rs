//! What the media host thinks of our credentials.

use std::sync::{Mutex, PoisonError};

use cloudinary::ErrorClass;

/// What the media host said last about our credentials. It is not asked for health's sake: an account has a budget.
#[derive(Debug, Default)]
pub(crate) struct MediaHost {
    operator_error: Mutex<Option<String>>,
}

impl MediaHost {
    /// Takes note of an answer. A failure that passes by itself says nothing about our credentials.
    pub(crate) fn answered<T>(&self, answer: &Result<T, cloudinary::Error>) {
        match answer {
            Ok(_) => self.served(),
            Err(cause) if cause.class() == ErrorClass::Operator => self.refused(&cause.to_string()),
            Err(_) => {}
        }
    }

    fn served(&self) {
        if self.swap(None).is_some() {
            tracing::info!("the media host accepts our requests again");
        }
    }

    fn refused(&self, cause: &str) {
        if self.swap(Some(cause.to_owned())).as_deref() != Some(cause) {
            tracing::error!(
                cause,
                "the media host refuses us: somebody has to mend this; no upload is discarded meanwhile"
            );
        }
    }

    fn swap(&self, state: Option<String>) -> Option<String> {
        let mut current = self.operator_error.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut current, state)
    }

    /// What is wrong with our credentials, as far as we know.
    pub(crate) fn trouble(&self) -> Option<String> {
        let current = self.operator_error.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().map(|cause| format!("operator error: {cause}"))
    }
}
