//! What a picture tells about itself.

use bytes::Bytes;
use file_types::{Fault, Reader, detect};
use testkit::samples::{self, POSITION, exif, heif, ifd, iso_box, png_chunk};

use crate::support::{KEEPING, STRICT, read};

fn tells_position(file: &[u8]) -> bool {
    // Some of its bytes are enough.
    file.windows(8).any(|window| POSITION.windows(8).any(|part| part == window))
}

#[test]
fn a_picture_is_kept_without_the_position_where_it_was_taken() {
    for sample in samples::with_position() {
        assert!(tells_position(&sample.bytes), "{}", sample.name);
        let kept = read(&sample.bytes, STRICT).unwrap_or_else(|fault| panic!("{}: {fault}", sample.name));
        assert!(!tells_position(&kept), "{}: {}", sample.name, String::from_utf8_lossy(&kept));
        // It is still a whole picture of its type, from which nothing more is left out.
        assert_eq!(detect(&kept).map(|known| known.content_type), Some(sample.content_type), "{}", sample.name);
        assert_eq!(read(&kept, STRICT).as_deref(), Ok(&kept[..]), "{}", sample.name);
        assert_eq!(read(&kept, KEEPING).as_deref(), Ok(&kept[..]), "{}", sample.name);
    }
}

#[test]
fn a_picture_that_tells_nothing_is_kept_byte_by_byte() {
    for sample in samples::pictures().iter().filter(|sample| !sample.bytes.windows(4).any(|word| word == b"Exif")) {
        assert_eq!(read(&sample.bytes, STRICT).as_deref(), Ok(&sample.bytes[..]), "{}", sample.name);
    }
}

#[test]
fn of_what_no_user_is_shown_by_everything_stays() {
    // A second page is cut off.
    let mut pages = [&b"II\x2a\0\x08\0\0\0"[..], &ifd(8, 8), b"\x04\0more"].concat();
    let second = u32::try_from(pages.len() - 6).expect("short");
    pages[second as usize - 4..second as usize].copy_from_slice(&second.to_le_bytes());
    let others = [samples::other_pictures(), samples::films()].concat();
    for file in others.into_iter().map(|sample| sample.bytes).chain([pages]) {
        for behind in [&b""[..], b"\r", b"\0\0\0\x02 and more"] {
            let file = [&file[..], behind].concat();
            assert_eq!(read(&file, STRICT), read(&file, KEEPING));
        }
    }
}

#[test]
fn its_orientation_stays() {
    let photo = samples::with_position().remove(0);
    let kept = read(&photo.bytes, STRICT).expect("a picture");
    let at = kept.windows(6).position(|window| window == b"Exif\0\0").expect("Exif") + 6;
    assert_eq!(kept[at..at + 26], [&exif(6)[..9], &[1], &exif(6)[10..22], &[0; 4]].concat()[..]);
    for sample in &samples::with_position()[1..] {
        if matches!(sample.content_type, "image/png" | "image/webp") {
            let kept = read(&sample.bytes, STRICT).expect("a picture");
            assert!(kept.windows(8).any(|window| window == [1, 0x12, 0, 3, 0, 0, 0, 1]), "{}", sample.name);
        }
    }
}

#[test]
fn the_data_of_the_picture_itself_stay() {
    for (name, file) in [("HEIC", heif(b"heic", &[], 8, 8)), ("AVIF", heif(b"avif", &[], 8, 8))] {
        let kept = read(&file, STRICT).expect(name);
        assert_eq!(kept.len(), file.len());
        assert!(kept.windows(60).any(|window| window == [0x5a; 60]), "{name}");
    }
}

#[test]
fn a_picture_whose_metadata_have_passed_before_it_says_where_they_are_is_refused() {
    let file = heif(b"heic", &[], 8, 8);
    let data = file.windows(4).position(|window| window == b"mdat").expect("data") - 4;
    let meta = file.windows(4).position(|window| window == b"meta").expect("a head") - 4;
    let moved = [&file[..meta], &file[data..], &file[meta..data]].concat();
    assert_eq!(read(&moved, STRICT), Err(Fault::Fixed));
    assert_eq!(read(&moved, KEEPING), Ok(moved.clone()));
}

#[test]
fn boxes_that_nobody_needs_are_emptied() {
    let file = [heif(b"heic", &[], 8, 8), iso_box(b"uuid", POSITION), iso_box(b"free", POSITION)].concat();
    let kept = read(&file, STRICT).expect("a picture");
    assert!(!tells_position(&kept));
    assert_eq!(kept.len(), file.len());
}

/// A PNG with these chunks behind its header.
fn png_with(chunks: &[Vec<u8>]) -> Vec<u8> {
    [&samples::png()[..33], &chunks.concat(), &samples::png()[33..]].concat()
}

/// A JPEG with these segments behind its start.
fn jpeg_with(segments: &[u8]) -> Vec<u8> {
    let jpeg = testkit::jpeg(500);
    [&jpeg[..2], segments, &jpeg[2..]].concat()
}

/// A WebP with these chunks at its end.
fn webp_with(chunks: &[u8]) -> Vec<u8> {
    let mut file = [&samples::webp(), chunks].concat();
    let size = u32::try_from(file.len() - 8).expect("short");
    file[4..8].copy_from_slice(&size.to_le_bytes());
    file
}

#[test]
fn of_many_orientations_the_first_stays_and_no_file_grows() {
    let is_orientation = |window: &&[u8]| *window == [1, 0x12, 0, 3, 0, 0, 0, 1];
    // The shortest that tells one, and one that ends with its last field.
    let whole = &[&exif(6)[..9], &[1], &exif(6)[10..22], &[0; 4]].concat()[..];
    for (tiff, expected) in [(whole, 1), (&whole[..22], 0)] {
        let length = u8::try_from(tiff.len()).expect("short");
        let segment = [&[0xff, 0xe1, 0, length + 8][..], b"Exif\0\0", tiff].concat();
        let chunk = [b"EXIF", &[length, 0, 0, 0][..], tiff].concat();
        for file in [
            jpeg_with(&segment.repeat(20)),
            png_with(&vec![png_chunk(b"eXIf", tiff); 20]),
            webp_with(&chunk.repeat(20)),
        ] {
            let kept = read(&file, STRICT).expect("a picture");
            assert_eq!(kept.windows(8).filter(is_orientation).count(), expected);
            assert!(kept.len() <= file.len());
        }
    }
}

#[test]
fn the_orientation_of_a_webp_stays_when_the_last_padding_is_missing() {
    let tiff = [&exif(6)[..], &vec![0; 1 - exif(6).len() % 2]].concat();
    let chunk = [b"EXIF", &u32::try_from(tiff.len()).expect("short").to_le_bytes()[..], &tiff].concat();
    let counted = webp_with(&[&chunk[..], &[0]].concat());
    for file in [webp_with(&chunk), counted[..counted.len() - 1].to_vec(), counted] {
        let kept = read(&file, STRICT).expect("a picture");
        assert_eq!(kept.len(), file.len());
        assert!(kept.windows(4).any(|window| window == b"EXIF") && !tells_position(&kept));
        assert!(kept.windows(10).any(|window| window == [1, 0x12, 0, 3, 0, 0, 0, 1, 0, 6]));
    }
}

#[test]
fn what_a_decoder_needs_stays() {
    let colours = [b"mDCV", b"cLLI", b"mDCv", b"cLLi"].map(|kind| png_chunk(kind, &[0; 24]));
    let gif = samples::gif();
    let repeats = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0";
    for file in [
        png_with(&colours),
        [&gif[..19], repeats, &gif[19..]].concat(),
        jpeg_with(b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x01"),
    ] {
        assert_eq!(read(&file, STRICT), Ok(file.clone()));
    }
}

#[test]
fn a_small_piece_that_is_kept_holds_nothing_else_in_memory() {
    let text = png_chunk(b"tEXt", &[b'a'; 30_000]);
    let file = Bytes::from(png_with(&[text.clone(), png_chunk(b"gAMA", &[0; 4]), text]));
    let (mut reader, mut kept) = (Reader::new(detect(&file).expect("a PNG"), STRICT), Vec::new());
    reader.push(file.clone(), &mut kept).expect("a PNG");
    reader.finish(&mut kept).expect("a PNG");
    assert_eq!(kept.len(), 3);
    assert!(kept.iter().all(|piece| !file.as_ptr_range().contains(&piece.as_ptr())));
}
