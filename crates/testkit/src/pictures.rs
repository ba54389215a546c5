//! Files that are what they claim to be, of any size, and each unlike any other.

use bytes::Bytes;
use uuid::Uuid;

/// A JPEG of 8 by 8 pixels that a decoder accepts: the tables of ITU T.81 annex K cut to the codes that one flat colour needs.
const FLAT: [u8; 141] = flat_jpeg();

const fn flat_jpeg() -> [u8; 141] {
    let mut file = [1; 141];
    // SOI, then a quantisation table of ones (the initial value of the array).
    let head = [0xFF, 0xD8, 0xFF, 0xDB, 0x00, 0x43, 0x00];
    let frame = [0xFF, 0xC0, 0x00, 0x0B, 0x08, 0x00, 0x08, 0x00, 0x08, 0x01, 0x01, 0x11, 0x00];
    // One code each: DC difference 0, AC end of block, both the single bit 0.
    let dc = [0xFF, 0xC4, 0x00, 0x14, 0x00, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x00];
    let ac = [0xFF, 0xC4, 0x00, 0x14, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x00];
    let scan = [0xFF, 0xDA, 0x00, 0x08, 0x01, 0x01, 0x00, 0x00, 0x3F, 0x00, 0x3F, 0xFF, 0xD9];
    let mut at = 0;
    at = put(&mut file, at, &head) + 64;
    at = put(&mut file, at, &frame);
    at = put(&mut file, at, &dc);
    at = put(&mut file, at, &ac);
    put(&mut file, at, &scan);
    file
}

const fn put(file: &mut [u8; 141], at: usize, part: &[u8]) -> usize {
    let mut index = 0;
    while index < part.len() {
        file[at + index] = part[index];
        index += 1;
    }
    at + part.len()
}

/// The smallest [`jpeg`].
pub const SMALLEST_JPEG: usize = FLAT.len() + 4 + COLOURS.len() + 16;
/// What a segment begins with that no avatar is kept without.
const COLOURS: [u8; 14] = *b"ICC_PROFILE\0\x01\x01";

/// A JPEG of exactly `size` bytes; filled up with segments of a colour profile, the first of which makes its content unique.
pub fn jpeg(size: usize) -> Bytes {
    assert!(size >= SMALLEST_JPEG, "a picture has at least {SMALLEST_JPEG} bytes");
    let mut file = Vec::with_capacity(size);
    file.extend_from_slice(&FLAT[..2]);
    let mut left = size - FLAT.len();
    let mut filler = Uuid::new_v4().into_bytes().to_vec();
    while left > 0 {
        // A segment's length counts itself and fits 16 bits. Never leave a rest too small for a segment.
        let segment = match left {
            0..=65_000 => left,
            65_001..=65_100 => left - 1_000,
            _ => 65_000,
        };
        assert!(segment >= 4 + COLOURS.len(), "no room for a segment");
        let length = u16::try_from(segment - 2).expect("at most 65,000");
        file.extend_from_slice(&[0xFF, 0xE2]);
        file.extend_from_slice(&length.to_be_bytes());
        file.extend_from_slice(&COLOURS);
        filler.resize(segment - 4 - COLOURS.len(), 0x20);
        file.extend_from_slice(&filler);
        filler.clear();
        left -= segment;
    }
    file.extend_from_slice(&FLAT[2..]);
    Bytes::from(file)
}

/// An MP4 of exactly `size` bytes (at least 64): a file type box, an empty index, and a box of media data.
pub fn mp4(size: usize) -> Bytes {
    assert!(size >= 64, "a video has at least 64 bytes");
    let mut file = Vec::with_capacity(size);
    file.extend_from_slice(&[0, 0, 0, 24]);
    file.extend_from_slice(b"ftypisom\x00\x00\x02\x00isommp42");
    file.extend_from_slice(b"\x00\x00\x00\x08moov");
    let rest = u32::try_from(size - file.len()).expect("at most 4 GiB");
    file.extend_from_slice(&rest.to_be_bytes());
    file.extend_from_slice(b"mdat");
    file.extend_from_slice(Uuid::new_v4().as_bytes());
    file.resize(size, 0);
    Bytes::from(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_the_size_asked_for_and_decodes() {
        for size in [SMALLEST_JPEG, 1_000, 65_000 + FLAT.len(), 65_050 + FLAT.len(), 204_800, 300_001] {
            let file = jpeg(size);
            assert_eq!(file.len(), size);
            let picture = image::load_from_memory_with_format(&file, image::ImageFormat::Jpeg).expect("decodes");
            assert_eq!((picture.width(), picture.height()), (8, 8));
        }
    }

    #[test]
    fn two_pictures_differ() {
        assert_ne!(jpeg(1_000), jpeg(1_000));
    }
}
