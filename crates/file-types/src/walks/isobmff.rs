//! Files of boxes: films, JPEG XL (ISO/IEC 18181-2) and JPEG 2000 (ISO/IEC 15444-1, annex I).

use super::{ALL, Step, Walk, measure};
use crate::error::Fault;
use crate::iso::BoxHead;
use crate::reader::Rules;

/// So much of a JPEG XL codestream is measured, in bytes; and so much of the smallest.
const MEASURED: usize = 16;
const SMALLEST: usize = 12;
/// So much of a JPEG 2000 codestream tells its size, in bytes.
const CODESTREAM: usize = 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Movie,
    JpegXl,
    Jpeg2000,
}

pub(super) struct Boxes {
    format: Format,
    rules: Rules,
    /// What cannot be missing has begun.
    found: bool,
    measured: bool,
    /// Where the box ends that cannot be missing, or the last one that must be whole.
    end: u64,
    /// So many bytes that come are of a box that is left out.
    blank: u64,
}

impl Boxes {
    pub(super) fn movie(rules: Rules) -> Self {
        Self::new(Format::Movie, rules)
    }

    pub(super) fn jpeg_xl(rules: Rules) -> Self {
        Self::new(Format::JpegXl, rules)
    }

    pub(super) fn jpeg_2000(rules: Rules) -> Self {
        Self::new(Format::Jpeg2000, rules)
    }

    fn new(format: Format, rules: Rules) -> Self {
        Self { format, rules, found: false, measured: false, end: 0, blank: 0 }
    }

    /// A picture without boxes around it.
    fn bare(&mut self, view: &[u8]) -> Result<Option<Step>, Fault> {
        match self.format {
            Format::JpegXl if view.starts_with(b"\xff") => {
                if view.len() < SMALLEST {
                    return Ok(Some(Step::Need(SMALLEST)));
                }
                match measure(view, self.rules) {
                    Err(Fault::Damaged(_)) if view.len() < MEASURED => return Ok(Some(Step::Need(MEASURED))),
                    measured => measured?,
                }
            }
            Format::Jpeg2000 if view.starts_with(b"\xff") => {
                if view.len() < CODESTREAM {
                    return Ok(Some(Step::Need(CODESTREAM)));
                }
                self.codestream(view)?;
            }
            _ => return Ok(None),
        }
        self.found = true;
        Ok(Some(Step::Pass(ALL)))
    }

    /// The size that a JPEG 2000 codestream claims (section A.5.1): of the grid, without what lies before the picture.
    fn codestream(&self, bytes: &[u8]) -> Result<(), Fault> {
        if !bytes.starts_with(b"\xff\x4f\xff\x51") {
            return Err(Fault::Damaged("the codestream of this JPEG 2000 does not begin with its size"));
        }
        let [width, height, left, top] = [8, 12, 16, 20].map(|at| u64::from(long(bytes.get(at..).unwrap_or_default())));
        Fault::check_pixels(width.saturating_sub(left), height.saturating_sub(top), self.rules.max_pixels)
    }

    /// Enough of a box in view, or the step that brings it there.
    fn look(&mut self, view: &[u8], head: BoxHead, size: u64) -> Result<Option<Step>, Fault> {
        let content = view.get(head.head..).unwrap_or_default();
        match (self.format, &head.kind) {
            (Format::JpegXl, b"jxlc" | b"jxlp") => {
                let skip = if head.kind == *b"jxlp" { 4 } else { 0 };
                let enough = size.min((head.head + skip + MEASURED) as u64);
                if (view.len() as u64) < enough {
                    return Ok(Some(Step::Need(usize::try_from(enough).unwrap_or(MEASURED))));
                }
                // Of a codestream in pieces the first tells it.
                let number = long(content) & 0x7fff_ffff;
                if self.measured && skip > 0 && number > 0 {
                    return Ok(None);
                }
                measure(content.get(skip..).unwrap_or_default(), self.rules)?;
                self.measured = true;
            }
            (Format::Jpeg2000, b"jp2c") => {
                let enough = head.head + CODESTREAM;
                if view.len() < enough && size > view.len() as u64 {
                    return Ok(Some(Step::Need(enough)));
                }
                self.codestream(content)?;
            }
            (Format::Jpeg2000, b"jp2h") => {
                // The size comes first, and colour profiles of any length behind it.
                let enough = head.head + 16;
                if view.len() < enough && size > view.len() as u64 {
                    return Ok(Some(Step::Need(enough)));
                }
                let Some((b"\0\0\0\x16ihdr", header)) = content.split_first_chunk() else {
                    return Err(Fault::Damaged("the head of this JPEG 2000 file does not begin with its size"));
                };
                let [height, width] = [0, 4].map(|at| long(header.get(at..).unwrap_or_default()));
                Fault::check_pixels(width.into(), height.into(), self.rules.max_pixels)?;
            }
            _ => {}
        }
        Ok(None)
    }
}

/// A number of four bytes, or 0.
fn long(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

impl Walk for Boxes {
    fn step(&mut self, view: &[u8], at: u64) -> Result<Step, Fault> {
        if self.blank > 0 {
            return Ok(Step::Blank(std::mem::take(&mut self.blank)));
        }
        if at == 0
            && let Some(step) = self.bare(view)?
        {
            return Ok(step);
        }
        let head = match BoxHead::read(view) {
            Ok(Some(head)) => head,
            // What lies behind the last box is nobody's.
            Ok(None) if self.found && self.rules.without_metadata => return Ok(Step::Drop(ALL)),
            Ok(None) if self.found => return Ok(Step::Pass(ALL)),
            Ok(None) => return Err(Fault::Damaged("a box of this file is none")),
            Err(needed) => return Ok(Step::Need(needed)),
        };
        let size = head.size.unwrap_or(ALL);
        if let Some(step) = self.look(view, head, size)? {
            return Ok(step);
        }
        let (must_come, may_stay) = match self.format {
            Format::Movie => (&head.kind == b"moov", true),
            Format::Jpeg2000 => (&head.kind == b"jp2c", true),
            Format::JpegXl => {
                let is_picture = matches!(&head.kind, b"jxlc" | b"jxlp");
                (is_picture, is_picture || matches!(&head.kind, b"JXL " | b"ftyp" | b"jxll" | b"jxli"))
            }
        };
        if must_come {
            self.found = true;
            self.end = head.size.map_or(0, |size| at.saturating_add(size));
        }
        if may_stay || !self.rules.without_metadata {
            return Ok(Step::Pass(size));
        }
        self.blank = size - head.head as u64;
        let mut free = view.get(..head.head).unwrap_or_default().to_vec();
        free.iter_mut().skip(4).zip(b"free").for_each(|(byte, letter)| *byte = *letter);
        Ok(Step::Put(head.head as u64, free))
    }

    fn end(&self, length: u64, _: u64) -> Result<(), Fault> {
        if self.found && length >= self.end {
            return Ok(());
        }
        Err(Fault::CutOff(match self.format {
            Format::Movie => "the box moov, which says what is in it, is missing or not whole",
            Format::JpegXl => "this JPEG XL has no whole picture",
            Format::Jpeg2000 => "this JPEG 2000 has no whole picture",
        }))
    }
}
