//! HEIF and AVIF (ISO/IEC 23008-12): boxes, of which `meta` tells the size of the picture, and where the items lie.

use super::{ALL, LONGEST, Step, Walk};
use crate::error::Fault;
use crate::exif;
use crate::iso::BoxHead;
use crate::reader::Rules;
use hidden::Hidden;
use sizes::Sizes;

mod hidden;
mod sizes;

pub(super) struct Heif {
    rules: Rules,
    sizes: Sizes,
    /// What is left out of the boxes that come, from the last to the first.
    hidden: Vec<Hidden>,
    /// Whether there was `meta`, or `moov`, which is all that frames need.
    found: bool,
    /// Where `meta` begins.
    described: Option<u64>,
    /// Where the data in hand ends.
    data_end: u64,
    /// Where the last box ends that must be whole.
    end: u64,
    /// So many bytes that come are left out.
    blank: u64,
}

impl Heif {
    pub(super) fn new(rules: Rules) -> Self {
        let sizes = Sizes::new(rules.max_pixels);
        Self { rules, sizes, hidden: Vec::new(), found: false, described: None, data_end: 0, end: 0, blank: 0 }
    }

    /// In data: up to the next that is left out, or to its end.
    fn data(&mut self, at: u64) -> Step {
        while self.hidden.last().is_some_and(|next| next.end <= at) {
            self.hidden.pop();
        }
        let Some(next) = self.hidden.last().filter(|next| next.begin < self.data_end) else {
            return Step::Pass(self.data_end - at);
        };
        if next.begin > at {
            return Step::Pass(next.begin - at);
        }
        let left = next.end.min(self.data_end) - at;
        // Exif that tells nothing is read without complaint: where its head lies (4 bytes), and that.
        let nothing = [&[0; 4][..], &exif::only(1)].concat();
        match left.checked_sub(nothing.len() as u64) {
            Some(rest) if next.is_exif && next.begin == at => {
                self.blank = rest;
                Step::Put(left - rest, nothing)
            }
            _ => Step::Blank(left),
        }
    }

    /// Reads `meta` or `moov`, which end there, and leaves out what they tell.
    fn describe(&mut self, head: &BoxHead, view: &[u8], size: u64, end: u64) -> Result<Step, Fault> {
        let is_meta = &head.kind == b"meta";
        if size > LONGEST as u64 {
            return Err(Fault::Damaged("what describes this picture is too long"));
        }
        let length = usize::try_from(size).unwrap_or(LONGEST);
        let Some(whole) = view.get(..length) else { return Ok(Step::Need(length)) };
        Sizes::check_all(whole, self.rules.max_pixels)?;
        let mut edited = whole.to_vec();
        let content = edited.get_mut(head.head + if is_meta { 4 } else { 0 }..).unwrap_or_default();
        let found = if is_meta { hidden::leave_out(content) } else { hidden::leave_out_of_movie(content) };
        let found = found.ok_or(Fault::Fixed)?;
        // Those before have passed.
        if found.iter().any(|hidden| hidden.begin < end) {
            return Err(Fault::Fixed);
        }
        self.hidden.extend(found);
        self.hidden.sort_by_key(|hidden| std::cmp::Reverse(hidden.begin));
        Ok(Step::Put(size, edited))
    }
}

impl Walk for Heif {
    fn step(&mut self, view: &[u8], at: u64) -> Result<Step, Fault> {
        if self.blank > 0 {
            return Ok(Step::Blank(std::mem::take(&mut self.blank)));
        }
        if at < self.data_end {
            return Ok(self.data(at));
        }
        if let Some(step) = self.sizes.step(view, at)? {
            return Ok(step);
        }
        let strict = self.rules.without_metadata;
        let head = match BoxHead::read(view) {
            Ok(Some(head)) => head,
            // What lies behind the last box is nobody's.
            Ok(None) if self.found => return Ok(if strict { Step::Drop(ALL) } else { Step::Pass(ALL) }),
            Ok(None) => return Err(Fault::Damaged("a box of this file is none")),
            Err(needed) => return Ok(Step::Need(needed)),
        };
        let end = head.size.map_or(ALL, |size| at.saturating_add(size));
        if matches!(&head.kind, b"meta" | b"mdat" | b"moov") {
            self.end = if head.size.is_some() { end } else { 0 };
            self.found |= &head.kind != b"mdat";
        }
        let size = end - at;
        if matches!(&head.kind, b"meta" | b"moov") {
            if &head.kind == b"meta" && self.described.replace(at).is_some_and(|before| before != at) {
                return Err(Fault::Damaged("this picture is described twice"));
            }
            if strict {
                return self.describe(&head, view, size, end);
            }
            // What is not changed need not be seen as a whole; small pictures may lie in it.
            self.sizes.enter(end);
            return Ok(self.sizes.step(view, at)?.unwrap_or(Step::Pass(size)));
        }
        if !strict || &head.kind == b"ftyp" {
            return Ok(Step::Pass(size));
        }
        let mut as_it_was = view.get(..head.head).unwrap_or_default().to_vec();
        if &head.kind == b"mdat" {
            self.data_end = end;
        } else {
            self.blank = size - head.head as u64;
            as_it_was.iter_mut().skip(4).zip(b"free").for_each(|(byte, letter)| *byte = *letter);
        }
        Ok(Step::Put(head.head as u64, as_it_was))
    }

    fn end(&self, length: u64, _: u64) -> Result<(), Fault> {
        if self.found && length >= self.end {
            return Ok(());
        }
        Err(Fault::CutOff("this picture is shorter than it says"))
    }
}
