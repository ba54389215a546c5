//! How large the pictures in a HEIF file are by what it says: by the properties of items, the heads of tracks, and what
//! describes their frames.

use super::Step;
use crate::error::Fault;
use crate::iso::BoxHead;

/// More boxes in each other than any of these lies in.
const DEEPEST: usize = 8;

/// Goes through boxes, into those that may tell a size, from head to head.
pub(super) struct Sizes {
    most: u64,
    /// Where the boxes end that it is in, the outermost first.
    ends: Vec<u64>,
}

impl Sizes {
    pub(super) fn new(max_pixels: u64) -> Self {
        Self { most: max_pixels, ends: Vec::new() }
    }

    /// Goes through the box that ends there next.
    pub(super) fn enter(&mut self, end: u64) {
        self.ends.push(end);
    }

    /// The next step, or `None` behind all that was entered.
    pub(super) fn step(&mut self, view: &[u8], at: u64) -> Result<Option<Step>, Fault> {
        while self.ends.pop_if(|end| *end <= at).is_some() {}
        let Some(end) = self.ends.last() else { return Ok(None) };
        let rest = end - at;
        let head = match BoxHead::read(view) {
            Ok(Some(head)) if head.head as u64 <= rest => head,
            Err(needed) if needed as u64 <= rest => return Ok(Some(Step::Need(needed))),
            // What is no box is the last.
            _ => return Ok(Some(Step::Pass(rest))),
        };
        let size = head.size.unwrap_or(rest).min(rest);
        // So much before what lies in it, or so much of it tells a size.
        let (before, told) = match &head.kind {
            b"moov" | b"trak" | b"mdia" | b"minf" | b"stbl" | b"iprp" | b"ipco" => (Some(0), 0),
            b"stsd" => (Some(8), 0),
            b"meta" => (Some(4), 8),
            b"ispe" => (None, 12),
            b"tkhd" => (None, 96),
            b"hvc1" | b"hev1" | b"av01" | b"avc1" | b"avc3" | b"vvc1" | b"vvi1" | b"evc1" | b"jpeg" | b"mjpg"
            | b"j2ki" | b"encv" | b"resv" => (None, 28),
            _ => return Ok(Some(Step::Pass(size))),
        };
        let needed = usize::try_from(size).unwrap_or(usize::MAX).min(head.head + told);
        let Some(content) = view.get(head.head..needed) else { return Ok(Some(Step::Need(needed))) };
        if let Some(before) = before {
            if self.ends.len() >= DEEPEST {
                return Ok(Some(Step::Pass(size)));
            }
            // QuickTime's has no version.
            let before = if content.ends_with(b"hdlr") { 0 } else { before };
            self.ends.push(at + size);
            return Ok(Some(Step::Pass(size.min((head.head + before) as u64))));
        }
        self.check(head.kind, content)?;
        Ok(Some(Step::Pass(size)))
    }

    /// Goes through boxes that are all there.
    pub(super) fn check_all(boxes: &[u8], max_pixels: u64) -> Result<(), Fault> {
        let (mut sizes, mut at) = (Self::new(max_pixels), 0);
        sizes.enter(boxes.len() as u64);
        while let Some(rest) = boxes.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(Step::Pass(bytes)) = sizes.step(rest, at as u64)? else { break };
            at = at.saturating_add(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
        Ok(())
    }

    fn check(&self, kind: [u8; 4], content: &[u8]) -> Result<(), Fault> {
        let number = |at: usize, bytes: usize| {
            content.get(at..at + bytes).unwrap_or_default().iter().fold(0, |all, byte| all << 8 | u64::from(*byte))
        };
        let (width, height) = match &kind {
            b"ispe" => (number(4, 4), number(8, 4)),
            // Whole pixels of 16.16; the newer version has longer times before them.
            b"tkhd" if number(0, 1) == 0 => (number(76, 2), number(80, 2)),
            b"tkhd" => (number(88, 2), number(92, 2)),
            _ => (number(24, 2), number(26, 2)),
        };
        Fault::check_pixels(width, height, self.most)
    }
}
