//! Why an address is not asked.

/// Why an address is not asked. Displayed as what it must be, for whoever has given it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No address at all, or one without a host.
    #[error("must be an address such as https://example.com/hooks")]
    Malformed,
    /// Longer than [`MAX_URL`](crate::MAX_URL).
    #[error("must have at most 2048 characters")]
    TooLong,
    /// Not `https`.
    #[error("must begin with https://")]
    Scheme,
    /// It has a user name or a password in it.
    #[error("must have no user name and no password in it; requests are signed")]
    Credentials,
    /// It has a fragment, which is sent to nobody.
    #[error("must have no #fragment")]
    Fragment,
    /// It leads to a private, local or reserved network, or did so at the last look.
    #[error("must lead to the internet, and not to a private, local or reserved network")]
    Private,
    /// No name server knows the host, or none answers in time.
    #[error("must have a host that a name server knows")]
    Unknown,
    /// It was not looked up, because so many others are.
    #[error("cannot be looked up at the moment, as too many others are")]
    Busy,
}

impl Refusal {
    /// A word for it that is permanent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed | Self::TooLong | Self::Scheme | Self::Credentials | Self::Fragment => "address",
            Self::Private => "private-address",
            Self::Unknown => "unknown-host",
            Self::Busy => "busy",
        }
    }
}
