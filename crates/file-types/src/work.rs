//! Counts what tests bound: how long it takes depends on the machine.

/// Counts one look at an entry of a list that comes from a file.
#[inline]
pub(crate) fn count() {
    #[cfg(test)]
    tests::COUNTED.set(tests::COUNTED.get() + 1);
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use bytes::Bytes;
    use testkit::samples::{png, png_chunk, webp};

    use crate::{Reader, Rules, detect};

    thread_local! {
        pub(super) static COUNTED: Cell<u64> = const { Cell::new(0) };
    }

    /// How much was counted while this went on.
    pub(crate) fn counted(work: impl FnOnce()) -> u64 {
        let before = COUNTED.get();
        work();
        COUNTED.get() - before
    }

    #[test]
    fn of_many_blocks_of_exif_that_count_more_fields_than_they_have_only_those_of_the_first_are_read() {
        // An orientation is nowhere in them.
        let tiff = b"MM\0\x2a\0\0\0\x08\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        let segment = [&b"\xff\xe1\0\x22Exif\0\0"[..], tiff].concat();
        let chunk = [&b"EXIF\x1a\0\0\0"[..], tiff].concat();
        let (jpeg, blocks) = (testkit::jpeg(500), 50_000);
        let mut webp = [&webp()[..], &chunk.repeat(blocks)].concat();
        let size = u32::try_from(webp.len() - 8).expect("short");
        webp[4..8].copy_from_slice(&size.to_le_bytes());
        let png = [&png()[..33], &png_chunk(b"eXIf", tiff).repeat(blocks), &png()[33..]].concat();
        for file in [[&jpeg[..2], &segment.repeat(blocks), &jpeg[2..]].concat(), png, webp] {
            let rules = Rules { max_pixels: 100, without_metadata: true };
            let (mut reader, mut kept) = (Reader::new(detect(&file).expect("a picture"), rules), Vec::new());
            let fields = counted(|| {
                for piece in file.chunks(65_536) {
                    reader.push(Bytes::copy_from_slice(piece), &mut kept).expect("a picture");
                }
            });
            assert_eq!(fields, 1);
        }
    }
}
