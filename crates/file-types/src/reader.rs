//! Sees a file pass.

use bytes::{Bytes, BytesMut};

use crate::error::Fault;
use crate::list::{FileType, Taken};
use crate::walks::{Step, Walk, walk};

/// Of these a piece of a file is made unread.
static ZEROS: [u8; 4096] = [0; 4096];

/// What is taken.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Width times height of a picture, at most.
    pub max_pixels: u64,
    /// Whether to leave out what a picture tells about itself: when, where and with what it was taken. Its orientation and its
    /// colours stay. Only pictures that every field takes can be left without; of others everything stays.
    pub without_metadata: bool,
}

/// Sees a file pass, piece by piece, and answers with what is kept of it. It holds what it has to see at once, a mebibyte at most.
pub struct Reader {
    walk: Box<dyn Walk>,
    held: BytesMut,
    /// So many bytes must be in view before the next step.
    needed: usize,
    /// What the step before said about the bytes that come.
    coming: Coming,
    /// Where in the file the view begins.
    at: u64,
    without_metadata: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coming {
    Pass(u64),
    Drop(u64),
    Blank(u64),
}

impl Coming {
    fn left(self) -> u64 {
        let (Self::Pass(left) | Self::Drop(left) | Self::Blank(left)) = self;
        left
    }

    fn less(self, bytes: u64) -> Self {
        match self {
            Self::Pass(left) => Self::Pass(left - bytes),
            Self::Drop(left) => Self::Drop(left - bytes),
            Self::Blank(left) => Self::Blank(left - bytes),
        }
    }
}

impl Reader {
    /// For a file of a type.
    pub fn new(file_type: &FileType, rules: Rules) -> Self {
        let can_be_without = file_type.taken == Taken::Everywhere;
        let rules = Rules { without_metadata: rules.without_metadata && can_be_without, ..rules };
        Self {
            walk: walk(file_type, rules),
            held: BytesMut::new(),
            needed: 1,
            coming: Coming::Pass(0),
            at: 0,
            without_metadata: rules.without_metadata,
        }
    }

    /// Takes the next bytes of the file, and appends what is kept of the bytes so far to `kept`.
    pub fn push(&mut self, bytes: Bytes, kept: &mut Vec<Bytes>) -> Result<(), Fault> {
        let mut view = bytes;
        if !self.held.is_empty() {
            self.held.extend_from_slice(&view);
            if self.held.len() < self.needed {
                return Ok(());
            }
            view = self.held.split().freeze();
        }
        // What passes in a row is kept in one piece.
        let mut passed = 0;
        let whole = view.len();
        loop {
            let here = usize::try_from(self.coming.left()).unwrap_or(usize::MAX).min(view.len() - passed);
            match self.coming {
                Coming::Pass(_) => passed += here,
                Coming::Drop(_) | Coming::Blank(_) if here > 0 => {
                    keep(view.split_to(passed), whole, kept);
                    passed = 0;
                    drop(view.split_to(here));
                    if matches!(self.coming, Coming::Blank(_)) {
                        blank(here, kept);
                    }
                }
                Coming::Drop(_) | Coming::Blank(_) => {}
            }
            self.coming = self.coming.less(here as u64);
            self.at += here as u64;
            let rest = view.get(passed..).unwrap_or_default();
            if rest.is_empty() {
                keep(view, whole, kept);
                return Ok(());
            }
            match self.walk.step(rest, self.at)? {
                Step::Need(more) => {
                    // A step that needs nothing more would never end.
                    self.needed = more.max(rest.len() + 1);
                    self.held.extend_from_slice(rest);
                    view.truncate(passed);
                    keep(view, whole, kept);
                    return Ok(());
                }
                Step::Pass(bytes) => self.coming = Coming::Pass(bytes.max(1)),
                Step::Drop(bytes) => self.coming = Coming::Drop(bytes.max(1)),
                Step::Blank(bytes) => self.coming = Coming::Blank(bytes.max(1)),
                Step::Put(bytes, instead) => {
                    keep(view.split_to(passed), whole, kept);
                    passed = 0;
                    kept.push(instead.into());
                    self.coming = Coming::Drop(bytes.max(1));
                }
            }
        }
    }

    /// Tells whether that was all of the file, and appends the last that is kept of it.
    pub fn finish(mut self, kept: &mut Vec<Bytes>) -> Result<(), Fault> {
        let held = self.held.len();
        self.walk.end(self.at + held as u64, self.coming.left())?;
        if !self.without_metadata {
            keep(self.held.split().freeze(), held, kept);
        } else if self.walk.tells_length() {
            // What nobody has looked at may be anything.
            blank(held, kept);
        }
        Ok(())
    }
}

/// Keeps a piece of so many bytes. A small one is copied, or it would hold all of them in memory.
fn keep(piece: Bytes, whole: usize, kept: &mut Vec<Bytes>) {
    if !piece.is_empty() {
        kept.push(if piece.len() < whole / 4 { Bytes::copy_from_slice(&piece) } else { piece });
    }
}

fn blank(mut bytes: usize, kept: &mut Vec<Bytes>) {
    while bytes > 0 {
        let here = bytes.min(ZEROS.len());
        kept.push(Bytes::from_static(ZEROS.get(..here).unwrap_or(&ZEROS)));
        bytes -= here;
    }
}
