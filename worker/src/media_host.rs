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
        let refusal = match answer {
            Ok(_) => None,
            Err(cause) if cause.class() == ErrorClass::Operator => Some(cause.to_string()),
            Err(_) => return,
        };
        let mut known = self.operator_error.lock().unwrap_or_else(PoisonError::into_inner);
        match &refusal {
            None if known.is_some() => tracing::info!("the media host accepts our requests again"),
            Some(cause) if refusal != *known => tracing::error!(
                cause,
                "the media host refuses us: somebody has to mend this; no upload is discarded meanwhile"
            ),
            _ => {}
        }
        *known = refusal;
    }

    /// What is wrong with our credentials, as far as we know.
    pub(crate) fn trouble(&self) -> Option<String> {
        let current = self.operator_error.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().map(|cause| format!("operator error: {cause}"))
    }
}
