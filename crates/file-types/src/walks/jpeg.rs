//! JPEG (ITU T.81, annex B): segments, each behind a marker, and coded data behind the head of a scan.

use super::{ALL, Step, Walk};
use crate::error::Fault;
use crate::exif;
use crate::reader::Rules;

/// The longest segment that tells Adobe's transform, without its head.
const ADOBE: usize = 16;

pub(super) struct Jpeg {
    rules: Rules,
    at: Place,
    /// Of the widest frame.
    width: u64,
    /// One block of Exif is read, and others are left out.
    exif_seen: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Segments,
    /// In coded data.
    Scan,
    /// Behind the end of the picture.
    Behind,
}

impl Jpeg {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, at: Place::Segments, width: 0, exif_seen: false }
    }

    /// A segment, as a whole or not, of a length that counts its marker.
    fn segment(&mut self, marker: u8, view: &[u8], length: usize) -> Result<Step, Fault> {
        let pass = Ok(Step::Pass(length as u64));
        match marker {
            // The head of a frame, of a hierarchy of them, or of JPEG-LS. DHT, JPG and DAC lie between them.
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf | 0xde | 0xf7 => {
                if length < 9 {
                    return Err(Fault::Damaged("its header tells no size"));
                }
                let Some([height, h, width, w]) = view.get(5..9) else { return Ok(Step::Need(9)) };
                let (width, height) = (u16::from_be_bytes([*width, *w]), u16::from_be_bytes([*height, *h]));
                // A height of 0 is told behind the first scan (DNL), where decoders do not look for it.
                if width == 0 || height == 0 {
                    return Err(Fault::Damaged("its header tells no size"));
                }
                self.width = self.width.max(width.into());
                Fault::check_pixels(width.into(), height.into(), self.rules.max_pixels)?;
                pass
            }
            // DNL.
            0xdc => {
                if length < 6 {
                    return Err(Fault::Damaged("a segment of this JPEG tells no number of lines"));
                }
                let Some([height, h]) = view.get(4..6) else { return Ok(Step::Need(6)) };
                let height = u16::from_be_bytes([*height, *h]);
                Fault::check_pixels(self.width, height.into(), self.rules.max_pixels)?;
                pass
            }
            0xda => {
                self.at = Place::Scan;
                pass
            }
            0xe0..=0xef if self.rules.without_metadata => {
                if view.len() < length {
                    return Ok(Step::Need(length));
                }
                Ok(self.application(marker, view.get(4..length).unwrap_or_default(), length))
            }
            // DHT, DAC, DQT, DRI, EXP and JPEG-LS's parameters: what decoders need. Others, comments among them, may say anything.
            0xc4 | 0xcc | 0xdb | 0xdd | 0xdf | 0xf8 => pass,
            _ if self.rules.without_metadata => Ok(Step::Drop(length as u64)),
            _ => pass,
        }
    }

    /// Of what programs and cameras add, the decoder needs the density, the colour profile and Adobe's transform. All else tells
    /// about the picture, and anything may be in it.
    fn application(&mut self, marker: u8, content: &[u8], length: usize) -> Step {
        // Behind the density lies a small picture, perhaps of more than the picture shows.
        if let (0xe0, Some(density)) = (marker, content.first_chunk::<12>().filter(|head| head.starts_with(b"JFIF\0")))
        {
            return Step::Put(length as u64, [b"\xff\xe0\0\x10", &density[..], &[0, 0]].concat());
        }
        let stays = match marker {
            0xe2 => content.starts_with(b"ICC_PROFILE\0"),
            0xee => content.starts_with(b"Adobe") && content.len() <= ADOBE,
            _ => false,
        };
        if stays {
            return Step::Pass(length as u64);
        }
        let exif = content.strip_prefix(b"Exif\0\0").filter(|_| marker == 0xe1 && !self.exif_seen);
        self.exif_seen |= exif.is_some();
        let Some(orientation) = exif.and_then(exif::orientation) else { return Step::Drop(length as u64) };
        let mut segment = b"\xff\xe1\0\x22Exif\0\0".to_vec();
        segment.extend_from_slice(&exif::only(orientation));
        Step::Put(length as u64, segment)
    }
}

impl Walk for Jpeg {
    fn step(&mut self, view: &[u8], _: u64) -> Result<Step, Fault> {
        if self.at == Place::Behind {
            // Other pictures of the same shot lie here, each with metadata of its own.
            return Ok(if self.rules.without_metadata { Step::Drop(ALL) } else { Step::Pass(ALL) });
        }
        // Decoders skip to the next marker, whatever lies before.
        match memchr::memchr(0xff, view).unwrap_or(view.len()) as u64 {
            0 => {}
            before if self.at == Place::Segments && self.rules.without_metadata => return Ok(Step::Drop(before)),
            before => return Ok(Step::Pass(before)),
        }
        let Some(marker) = view.get(1) else { return Ok(Step::Need(2)) };
        match (*marker, self.at) {
            // Fill. Before what is left out it would make a marker of what comes next.
            (0xff, _) if self.rules.without_metadata => Ok(Step::Drop(1)),
            (0xff, _) => Ok(Step::Pass(1)),
            (0xd9, _) => {
                self.at = Place::Behind;
                Ok(Step::Pass(2))
            }
            // Stuffing, restarts, and the start of the image.
            (0x00 | 0x01 | 0xd0..=0xd8, _) => Ok(Step::Pass(2)),
            (marker, _) => {
                let Some([length, rest]) = view.get(2..4) else { return Ok(Step::Need(4)) };
                let length = usize::from(u16::from_be_bytes([*length, *rest]));
                if length < 2 {
                    return Err(Fault::Damaged("a segment of this JPEG has no length"));
                }
                self.at = Place::Segments;
                self.segment(marker, view, length + 2)
            }
        }
    }

    fn end(&self, _: u64, _: u64) -> Result<(), Fault> {
        match self.at {
            Place::Behind => Ok(()),
            _ => Err(Fault::CutOff("this JPEG has no end of image")),
        }
    }
}
