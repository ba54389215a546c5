//! Exif, of which only the orientation stays: without it pictures lie on their side.

use crate::work;

/// The bytes of an Exif block (TIFF) with one field.
const LENGTH: usize = 26;

/// The orientation that an Exif block tells, if it is another than upright. `tiff` may be cut off. What tells it in fewer bytes than
/// [`only`] is not read: nothing that is kept is longer than what came.
pub(crate) fn orientation(tiff: &[u8]) -> Option<u8> {
    let is_little = tiff.starts_with(b"II");
    if tiff.len() < LENGTH || !is_little && !tiff.starts_with(b"MM") {
        return None;
    }
    let word = |bytes: [u8; 2]| if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) };
    let long = |bytes: [u8; 4]| if is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
    let directory = usize::try_from(long(*tiff.get(4..)?.first_chunk()?)).ok()?;
    let (count, fields) = tiff.get(directory..)?.split_first_chunk()?;
    // There may be fewer than it counts.
    for [tag, t, kind, k, _, _, _, _, value, v, _, _] in fields.as_chunks().0.iter().take(word(*count).into()) {
        work::count();
        if word([*tag, *t]) == 0x0112 && word([*kind, *k]) == 3 {
            return u8::try_from(word([*value, *v])).ok().filter(|value| (2..=8).contains(value));
        }
    }
    None
}

/// An Exif block that tells an orientation and nothing else.
pub(crate) fn only(orientation: u8) -> [u8; LENGTH] {
    let mut tiff = *b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\0\0\0\0\0\0\0";
    tiff[19] = orientation;
    tiff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_orientation_that_is_left_is_the_one_that_was_there() {
        for value in 2..=8 {
            assert_eq!(orientation(&only(value)), Some(value));
        }
        let little = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        assert_eq!(orientation(little), Some(6));
        for none in [&only(1)[..], &only(9), &only(0), &only(6)[..18], b"", b"MM", b"XX\0\x2a\0\0\0\x08\0\x01\x01\x12"]
        {
            assert_eq!(orientation(none), None);
        }
        assert_eq!(orientation(&[&b"MM\0\x2a\xff\xff\xff\xff"[..], &[0; 18]].concat()), None);
    }
}
