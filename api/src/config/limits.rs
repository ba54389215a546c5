//! What a client may send, and when it is told to wait.

use std::time::Duration;

use clap::ArgAction;
use program::{MILLISECOND, duration, number};

/// The size of a file: a setting, and what it is unless set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SizeLimit {
    pub(crate) default: u64,
    pub(crate) of: fn(&Limits) -> u64,
}

/// A type of files that may hold programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtraType {
    Svg,
    Pdf,
}

impl ExtraType {
    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Pdf => "pdf",
        }
    }
}

fn extra_type(text: &str) -> Result<Option<ExtraType>, &'static str> {
    match text.trim() {
        "" => Ok(None),
        "svg" => Ok(Some(ExtraType::Svg)),
        "pdf" => Ok(Some(ExtraType::Pdf)),
        _ => Err("expected svg, pdf or both, separated by commas"),
    }
}

impl Limits {
    pub(crate) const AVATAR: SizeLimit = SizeLimit { default: 10 * 1024 * 1024, of: |limits| limits.avatar_max_bytes };
    pub(crate) const COVER_IMAGE: SizeLimit =
        SizeLimit { default: 10 * 1024 * 1024, of: |limits| limits.cover_image_max_bytes };
    pub(crate) const MEDIA: SizeLimit = SizeLimit { default: 1024 * 1024 * 1024, of: |limits| limits.media_max_bytes };
}

#[derive(Debug, Clone, clap::Args)]
pub struct Limits {
    /// Largest avatar in bytes
    #[arg(long, env = "AVATAR_MAX_BYTES", value_name = "BYTES", default_value_t = Limits::AVATAR.default,
          value_parser = number::<u64>(..))]
    pub avatar_max_bytes: u64,

    /// Largest cover image in bytes
    #[arg(long, env = "COVER_IMAGE_MAX_BYTES", value_name = "BYTES", default_value_t = Limits::COVER_IMAGE.default,
          value_parser = number::<u64>(..))]
    pub cover_image_max_bytes: u64,

    /// Largest other image or video in bytes
    #[arg(long, env = "MEDIA_MAX_BYTES", value_name = "BYTES", default_value_t = Limits::MEDIA.default,
          value_parser = number::<u64>(..))]
    pub media_max_bytes: u64,

    // `None` is nothing between two commas.
    /// Types that POST /media takes besides, separated by commas; they may hold programs: svg, pdf
    #[arg(long, env = "MEDIA_EXTRA_TYPES", value_name = "TYPES", value_delimiter = ',', value_parser = extra_type)]
    pub media_extra_types: Vec<Option<ExtraType>>,

    /// Most pixels of a picture, by its header
    #[arg(long, env = "UPLOAD_MAX_PIXELS", value_name = "COUNT", default_value_t = 100_000_000,
          value_parser = number::<u64>(1..))]
    pub upload_max_pixels: u64,

    /// Whether avatars and cover images keep metadata, such as where they were taken
    #[arg(long, env = "KEEP_METADATA", action = ArgAction::Set, default_value_t = false)]
    pub keep_metadata: bool,

    /// Unfinished uploads that a user may have, those that are being received included; more are refused with 429
    #[arg(long, env = "USER_MAX_UNFINISHED", value_name = "COUNT", default_value_t = 100,
          value_parser = number::<u64>(..))]
    pub user_max_unfinished: u64,

    /// Event streams that a user may have open at this program; more are refused with 429
    #[arg(long, env = "USER_MAX_STREAMS", value_name = "COUNT", default_value_t = 50, value_parser = number::<usize>(1..))]
    pub user_max_streams: usize,

    /// Jobs that may wait to be published; uploads are refused with 503 above it
    #[arg(long, env = "MAX_BACKLOG", value_name = "COUNT", default_value_t = 100_000, value_parser = number::<u64>(..))]
    pub max_backlog: u64,

    /// Bytes that stay free on the spool's disk; uploads that would go below are refused with 507
    #[arg(long, env = "SPOOL_MIN_FREE", value_name = "BYTES", default_value_t = 512 * 1024 * 1024,
          value_parser = number::<u64>(..))]
    pub spool_min_free: u64,

    /// Longest silence of a client that uploads
    #[arg(long, env = "UPLOAD_IDLE_TIMEOUT", value_name = "DURATION", default_value = "30s",
          value_parser = duration(MILLISECOND..))]
    pub upload_idle_timeout: Duration,

    /// Bytes a second that a client must send on average, after its first 30 seconds
    #[arg(long, env = "UPLOAD_MIN_RATE", value_name = "BYTES", default_value_t = 4096,
          value_parser = number::<u64>(..))]
    pub upload_min_rate: u64,
}
