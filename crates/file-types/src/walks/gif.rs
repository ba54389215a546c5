//! GIF (version 89a): blocks, whose data lies in sub-blocks of up to 255 bytes.

use super::{ALL, Step, Walk};
use crate::error::Fault;
use crate::reader::Rules;

pub(super) struct Gif {
    rules: Rules,
    at: Place,
    /// What the picture grows to: decoders make room for a frame that is larger than the screen.
    width: u64,
    height: u64,
    /// Behind the last block that is whole, once there was a frame. Not all end with a trailer.
    whole: Option<u64>,
}

/// The extensions of programs that a decoder needs: how often an animation repeats.
const LOOPS: [&[u8; 11]; 2] = [b"NETSCAPE2.0", b"ANIMEXTS1.0"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Head,
    Blocks,
    /// Blocks of data. `most`: as long as these, and no others.
    Data {
        stays: bool,
        is_frame: bool,
        most: Option<&'static [u64]>,
    },
    Behind,
}

impl Gif {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, at: Place::Head, width: 0, height: 0, whole: None }
    }

    fn grow(&mut self, width: u64, height: u64) -> Result<(), Fault> {
        self.width = self.width.max(width);
        self.height = self.height.max(height);
        Fault::check_pixels(self.width, self.height, self.rules.max_pixels)
    }
}

/// The bytes of the table of colours that a field of flags announces.
fn colours(flags: u8) -> u64 {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

impl Walk for Gif {
    fn step(&mut self, view: &[u8], at: u64) -> Result<Step, Fault> {
        match self.at {
            Place::Head => {
                let Some(head) = view.first_chunk::<13>() else { return Ok(Step::Need(13)) };
                let (width, height) = (u16::from_le_bytes([head[6], head[7]]), u16::from_le_bytes([head[8], head[9]]));
                self.grow(width.into(), height.into())?;
                self.at = Place::Blocks;
                Ok(Step::Pass(13 + colours(head[10])))
            }
            Place::Blocks => match view.first() {
                Some(0x2c) => {
                    let Some([_, place @ .., flags]) = view.first_chunk::<10>() else { return Ok(Step::Need(10)) };
                    let [left, top, width, height] =
                        [0, 2, 4, 6].map(|at| u64::from(u16::from_le_bytes([place[at], place[at + 1]])));
                    self.grow(left + width, top + height)?;
                    self.at = Place::Data { stays: true, is_frame: true, most: None };
                    // And the size of a code.
                    Ok(Step::Pass(10 + colours(*flags) + 1))
                }
                Some(0x21) => {
                    match view.get(1) {
                        None => return Ok(Step::Need(2)),
                        Some(0xff) if view.len() < 14 => return Ok(Step::Need(14)),
                        Some(_) => {}
                    }
                    // Comments, text and what nobody knows tell about the picture.
                    let needed: Option<&'static [u64]> = match view.get(1..14) {
                        Some([0xff, 11, name @ ..]) if LOOPS.iter().any(|known| name == *known) => Some(&[11, 3]),
                        _ => (view.get(1) == Some(&0xf9)).then_some(&[4]),
                    };
                    let stays = needed.is_some() || !self.rules.without_metadata;
                    let most = needed.filter(|_| self.rules.without_metadata);
                    self.at = Place::Data { stays, is_frame: false, most };
                    Ok(if stays { Step::Pass(2) } else { Step::Drop(2) })
                }
                Some(0x3b) => {
                    self.at = Place::Behind;
                    Ok(Step::Pass(1))
                }
                // Some encoders end a block twice.
                Some(0) => {
                    self.whole = self.whole.map(|_| at + 1);
                    Ok(Step::Pass(1))
                }
                // What decoders do not know behind a frame ends the file.
                _ if self.whole.is_some() => {
                    self.at = Place::Behind;
                    self.step(view, at)
                }
                _ => Err(Fault::Damaged("a block of this GIF is none")),
            },
            Place::Data { stays, is_frame, most } => {
                let length = view.first().map_or(0, |length| u64::from(*length));
                if length == 0 {
                    self.at = Place::Blocks;
                    if is_frame || self.whole.is_some() {
                        self.whole = Some(at + 1);
                    }
                }
                // Whatever lies behind what is needed is not.
                let expected = length == 0 || most.is_none_or(|most| most.first() == Some(&length));
                if let (Some([_, most @ ..]), true) = (most, length > 0) {
                    let most = Some(if expected { most } else { &[] });
                    self.at = Place::Data { stays, is_frame, most };
                }
                Ok(if stays && expected { Step::Pass(1 + length) } else { Step::Drop(1 + length) })
            }
            Place::Behind if self.rules.without_metadata => Ok(Step::Drop(ALL)),
            Place::Behind => Ok(Step::Pass(ALL)),
        }
    }

    fn end(&self, length: u64, _: u64) -> Result<(), Fault> {
        match self.at {
            Place::Behind => Ok(()),
            Place::Blocks if self.whole == Some(length) => Ok(()),
            _ => Err(Fault::CutOff("this GIF has no trailer")),
        }
    }
}
