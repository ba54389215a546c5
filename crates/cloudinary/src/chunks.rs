//! How a large file is cut into chunks, and where an interrupted upload resumes.

/// Where a chunked upload resumes.
///
/// Cloudinary does not tell how much of an upload has arrived, nor how long it keeps an unfinished one. Resuming an
/// upload that it has forgotten costs one chunk; an old one is better begun [anew](Resume::anew).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// Common to the chunks of an upload.
    pub upload_id: String,
    /// Bytes from the start that are acknowledged.
    pub acknowledged_bytes: u64,
    /// The size of the chunks. It stays whatever is configured now, because a repeated chunk has to cover the same
    /// range.
    pub chunk_size: u64,
    /// How often the upload was begun at its first byte.
    pub begun: u32,
}

impl Resume {
    /// The first byte of a new upload.
    pub(crate) fn first(name: &str, chunk_size: u64) -> Self {
        Self::begin(name, chunk_size, 1)
    }

    /// The first byte again, under a new id, in chunks of this size.
    pub fn anew(&self, name: &str, chunk_size: u64) -> Self {
        Self::begin(name, chunk_size, self.begun.saturating_add(1))
    }

    /// All attempts have the same id, also one that knows no position, so that repeated chunks replace those that have
    /// arrived. Chunks of another size would not fit, so the size is part of the id.
    fn begin(name: &str, chunk_size: u64, begun: u32) -> Self {
        let chunk_size = chunk_size.max(1);
        Self { upload_id: format!("{name}-{chunk_size}-{begun}"), acknowledged_bytes: 0, chunk_size, begun }
    }

    /// Whether a file of this length can resume here: at the start of a chunk, before the end.
    pub(crate) fn fits(&self, total: u64) -> bool {
        self.chunk_size > 0
            && self.acknowledged_bytes < total
            && self.acknowledged_bytes.is_multiple_of(self.chunk_size)
    }
}

/// A chunk of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub first: u64,
    /// How long it is; 0 only for an empty file.
    pub length: u64,
}

impl Chunk {
    pub fn end(self) -> u64 {
        self.first + self.length
    }

    /// The value of `Content-Range`, whose bounds are inclusive.
    pub fn content_range(self, total: u64) -> String {
        format!("bytes {}-{}/{total}", self.first, self.end().saturating_sub(1))
    }
}

/// The chunks of a file from `first` on, in order. All but the last are `chunk_size` long; an empty file is one empty
/// chunk.
pub(crate) fn plan(total: u64, chunk_size: u64, first: u64) -> impl Iterator<Item = Chunk> {
    let mut next = Some(first);
    std::iter::from_fn(move || {
        let first = next?;
        let chunk = Chunk { first, length: chunk_size.min(total.saturating_sub(first)) };
        next = (chunk.end() < total).then_some(chunk.end());
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, &[(0, 0)])]
    #[case(1, &[(0, 1)])]
    #[case(999, &[(0, 999)])]
    #[case(1000, &[(0, 1000)])]
    #[case(1001, &[(0, 1000), (1000, 1)])]
    #[case(2000, &[(0, 1000), (1000, 1000)])]
    #[case(2001, &[(0, 1000), (1000, 1000), (2000, 1)])]
    fn a_file_is_cut_into_full_chunks_and_a_rest(#[case] total: u64, #[case] expected: &[(u64, u64)]) {
        let chunks: Vec<_> = plan(total, 1000, 0).map(|chunk| (chunk.first, chunk.length)).collect();
        assert_eq!(chunks, expected);
        assert_eq!(chunks.iter().map(|(_, length)| length).sum::<u64>(), total);
    }

    #[test]
    fn ranges_are_inclusive_and_name_the_total() {
        let ranges: Vec<_> = plan(2500, 1000, 0).map(|chunk| chunk.content_range(2500)).collect();
        assert_eq!(ranges, ["bytes 0-999/2500", "bytes 1000-1999/2500", "bytes 2000-2499/2500"]);
    }

    #[test]
    fn a_resumed_upload_sends_what_is_missing() {
        let ranges: Vec<_> = plan(2500, 1000, 2000).map(|chunk| chunk.content_range(2500)).collect();
        assert_eq!(ranges, ["bytes 2000-2499/2500"]);
    }

    #[rstest]
    #[case(1000, 1000, true)]
    #[case(0, 1000, true)]
    #[case(1500, 1000, false)]
    #[case(3000, 1000, false)]
    #[case(2500, 500, false)]
    #[case(0, 0, false)]
    fn a_position_between_chunks_or_at_the_end_is_no_place_to_go_on_from(
        #[case] acknowledged_bytes: u64,
        #[case] chunk_size: u64,
        #[case] fits: bool,
    ) {
        let resume = Resume { upload_id: "x".to_owned(), acknowledged_bytes, chunk_size, begun: 1 };
        assert_eq!(resume.fits(2500), fits);
    }

    #[test]
    fn an_upload_has_one_id_until_it_begins_anew_or_is_cut_otherwise() {
        let first = Resume::first("job", 1000);
        assert_eq!(first, Resume::first("job", 1000));
        let anew = first.anew("job", 1000);
        assert_eq!((anew.begun, anew.acknowledged_bytes), (2, 0));
        let ids = [&first, &anew, &anew.anew("job", 1000), &Resume::first("job", 700), &Resume::first("other", 1000)];
        let ids: std::collections::BTreeSet<&str> = ids.iter().map(|resume| resume.upload_id.as_str()).collect();
        assert_eq!(ids.len(), 5, "{ids:?}");
    }
}
