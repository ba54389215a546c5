//! What a picture tells about itself.

use file_types::{Fault, detect};
use testkit::samples::{self, POSITION, exif, heif, iso_box};

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
