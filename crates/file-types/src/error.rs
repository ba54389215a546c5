//! Why a file is refused.

/// What is wrong with a file, as the end of a sentence that begins with the name of its field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Whoever opens it needs memory for all of them.
    #[error("has {width} × {height} pixels by its header; at most {most} are taken")]
    TooManyPixels {
        /// In pixels.
        width: u64,
        /// In pixels.
        height: u64,
        /// Width times height.
        most: u64,
    },
    /// There is less of it than it says, or its end is missing.
    #[error("ends before its end: {0}")]
    CutOff(&'static str),
    /// It cannot be read.
    #[error("is damaged: {0}")]
    Damaged(&'static str),
    /// It says where a picture was taken, and cannot be changed on the way.
    #[error("keeps its metadata where it cannot be left out; save it without")]
    Fixed,
}

impl Fault {
    /// Refuses a picture of too many pixels.
    pub(crate) fn check_pixels(width: u64, height: u64, most: u64) -> Result<(), Self> {
        if width.saturating_mul(height) > most {
            return Err(Self::TooManyPixels { width, height, most });
        }
        Ok(())
    }
}
