//! A setting that cannot work.

/// A setting that cannot work. It names the environment variable and what would have been accepted, so that whoever reads the
/// line can repair it. It never holds the value, which may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: expected {expected}")]
pub struct ConfigError {
    /// The environment variable.
    pub variable: &'static str,
    /// What would have been accepted, to be read after "expected": `an http address such as https://api.example.com`.
    pub expected: String,
}

impl ConfigError {
    /// `variable: expected {expected}`.
    pub fn new(variable: &'static str, expected: impl Into<String>) -> Self {
        Self { variable, expected: expected.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_setting_is_told_by_its_variable() {
        let error = ConfigError::new("PUBLIC_URL", "an http or https address");
        assert_eq!(error.to_string(), "PUBLIC_URL: expected an http or https address");
    }
}
