//! A walk goes through a file of one format, from head to head.

mod gif;
mod heif;
mod ico;
mod isobmff;
mod jpeg;
mod png;
mod tiff;
mod webp;

use crate::bmp::bmp_size;
use crate::error::Fault;
use crate::list::{
    AVIF, BMP, FileType, GIF, HEIC, HEIF, ICO, JP2, JPEG, JXL, JXR, M4A, MOV, MP4, PNG, PSD, THREE_G2, THREE_GP, TIFF,
    WEBP,
};
use crate::reader::Rules;

/// The longest piece of a file that is looked at as a whole, in bytes.
pub(crate) const LONGEST: usize = 1024 * 1024;
/// More than any file has.
pub(crate) const ALL: u64 = u64::MAX;

/// What to do with the bytes in view.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Look again with so many in view.
    Need(usize),
    /// Keep so many, in view or still to come.
    Pass(u64),
    /// Leave out so many.
    Drop(u64),
    /// Keep zeros in the place of so many.
    Blank(u64),
    /// Leave out so many, and keep these instead.
    Put(u64, Vec<u8>),
}

pub(crate) trait Walk: Send {
    /// The next step at this position of the file. There is at least a byte in view.
    fn step(&mut self, view: &[u8], at: u64) -> Result<Step, Fault>;

    /// Whether a file of this length is whole; `lacking`: so many bytes of the last step have not come.
    fn end(&self, length: u64, lacking: u64) -> Result<(), Fault>;

    /// Whether the file tells its length, which may not change.
    fn tells_length(&self) -> bool {
        false
    }
}

pub(crate) fn walk(file_type: &FileType, rules: Rules) -> Box<dyn Walk> {
    let is = |one: &FileType| one == file_type;
    if is(&JPEG) {
        return Box::new(jpeg::Jpeg::new(rules));
    }
    if is(&PNG) {
        return Box::new(png::Png::new(rules));
    }
    if is(&GIF) {
        return Box::new(gif::Gif::new(rules));
    }
    if is(&WEBP) {
        return Box::new(webp::WebP::new(rules));
    }
    if is(&AVIF) || is(&HEIC) || is(&HEIF) {
        return Box::new(heif::Heif::new(rules));
    }
    if is(&JXL) {
        return Box::new(isobmff::Boxes::jpeg_xl(rules));
    }
    if is(&JP2) {
        return Box::new(isobmff::Boxes::jpeg_2000(rules));
    }
    if is(&MP4) || is(&MOV) || is(&THREE_GP) || is(&THREE_G2) || is(&M4A) {
        return Box::new(isobmff::Boxes::movie(rules));
    }
    if is(&TIFF) || is(&JXR) {
        return Box::new(tiff::Tiff::new(rules));
    }
    if is(&ICO) {
        return Box::new(ico::Ico::new(rules));
    }
    Box::new(Unread { rules, measures: is(&BMP) || is(&PSD) })
}

/// The dimensions in the first bytes of a picture.
fn measure(first: &[u8], rules: Rules) -> Result<(), Fault> {
    let size = imagesize::blob_size(first).map_err(|_| Fault::Damaged("its header tells no size"))?;
    Fault::check_pixels(size.width as u64, size.height as u64, rules.max_pixels)
}

/// What can be played or shown however early it ends, and tells nothing that has to be left out.
struct Unread {
    rules: Rules,
    measures: bool,
}

/// Enough to measure what is measured at once, in bytes.
const MEASURED: usize = 26;

impl Walk for Unread {
    fn step(&mut self, view: &[u8], _: u64) -> Result<Step, Fault> {
        if self.measures {
            if view.len() < MEASURED {
                return Ok(Step::Need(MEASURED));
            }
            match bmp_size(view) {
                Some((width, height)) => Fault::check_pixels(width.into(), height.into(), self.rules.max_pixels)?,
                None => measure(view, self.rules)?,
            }
            self.measures = false;
        }
        Ok(Step::Pass(ALL))
    }

    fn end(&self, _: u64, _: u64) -> Result<(), Fault> {
        if self.measures { Err(Fault::CutOff("its header is not whole")) } else { Ok(()) }
    }
}
