//! HEIF files whose index is odd, cannot be read, or makes work.

use std::slice::from_ref;

use file_types::Fault;
use testkit::samples::{POSITION, heif, iso_box, iso_brands};

use crate::support::{KEEPING, STRICT, read, read_in};

fn full_box(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    iso_box(kind, &[&[0; 4], content].concat())
}

fn with_meta(boxes: &[Vec<u8>]) -> Vec<u8> {
    [iso_brands(b"heic", &[b"mif1"]), full_box(b"meta", &boxes.concat()), iso_box(b"mdat", POSITION)].concat()
}

/// An item of this number and type.
fn entry(id: u16, kind: &[u8; 4]) -> Vec<u8> {
    iso_box(b"infe", &[&b"\x02\0\0\0"[..], &id.to_be_bytes(), &[0; 2], kind, b"\0"].concat())
}

fn entries(announced: u16, entries: &[Vec<u8>]) -> Vec<u8> {
    full_box(b"iinf", &[&announced.to_be_bytes()[..], &entries.concat()].concat())
}

fn count(items: &[Vec<u8>]) -> u16 {
    u16::try_from(items.len()).expect("few")
}

/// Places by numbers of these lengths (`sizes` of `begin` and `length`, in nibbles), each item as it comes.
fn places(version: u8, sizes: u8, items: &[Vec<u8>]) -> Vec<u8> {
    let head = [version, 0, 0, 0, sizes, 0];
    iso_box(b"iloc", &[&head[..], &count(items).to_be_bytes(), &items.concat()].concat())
}

/// An item in `idat` (version 1), in so many pieces that are alike.
fn own(id: u16, pieces: u16, begin: u32, length: u32) -> Vec<u8> {
    let piece = [begin.to_be_bytes(), length.to_be_bytes()].concat();
    [&id.to_be_bytes()[..], &[0, 1, 0, 0], &pieces.to_be_bytes(), &piece.repeat(pieces.into())].concat()
}

/// An item in the file (version 0), in so many pieces that take no bytes.
fn of_nothing(id: u16) -> Vec<u8> {
    [&id.to_be_bytes()[..], &[0, 0, 0xff, 0xff]].concat()
}

fn fault(file: &[u8]) -> Option<Fault> {
    read_in(4_096, file, STRICT).err()
}

#[test]
fn pieces_of_no_bytes_take_no_memory() {
    let index = entries(1, &[entry(1, b"Exif")]);
    let file = with_meta(&[index, places(0, 0, &vec![of_nothing(1); 60_000])]);
    assert_eq!(fault(&file), Some(Fault::Fixed));
}

#[test]
fn pieces_of_no_bytes_of_the_picture_itself_take_no_time() {
    let index = entries(2, &[entry(1, b"hvc1"), entry(2, b"Exif")]);
    let items = [vec![of_nothing(1); 60_000], vec![of_nothing(2)]].concat();
    assert_eq!(fault(&with_meta(&[index.clone(), places(0, 0, &items)])), Some(Fault::Fixed));
    let file = with_meta(&[index, places(0, 0, &items[..60_000])]);
    assert_eq!(read_in(4_096, &file, STRICT), Ok(file));
}

#[test]
fn metadata_in_more_pieces_than_anybody_writes_are_refused() {
    let file = |pieces| {
        let places = places(1, 0x44, &[own(1, pieces, 0, 1)]);
        with_meta(&[entries(1, &[entry(1, b"Exif")]), places, iso_box(b"idat", &[7; 2_000])])
    };
    assert!(fault(&file(1_024)).is_none());
    assert_eq!(fault(&file(1_025)), Some(Fault::Fixed));
}

#[test]
fn what_a_picture_keeps_beside_its_index_is_emptied_once() {
    let file = |pieces: &[Vec<u8>]| {
        with_meta(&[entries(1, &[entry(1, b"mime")]), places(1, 0x44, pieces), iso_box(b"idat", &POSITION.repeat(4))])
    };
    let length = u32::try_from(POSITION.len()).expect("short");
    // To its end, and all of it in two halves.
    for pieces in [vec![own(1, 1, 0, 0)], vec![own(1, 1, 0, 2 * length), own(1, 1, 2 * length, 0)]] {
        let kept = read(&file(&pieces), STRICT).expect("a picture");
        let times = kept.windows(POSITION.len()).filter(|window| *window == POSITION).count();
        assert_eq!(times, 1, "only in the data of the picture");
    }
    // Past its end, and over each other.
    for pieces in [vec![own(1, 1, 0, 5 * length)], vec![own(1, 2, 0, 0)], vec![own(1, 1_000, 0, 0); 65]] {
        assert_eq!(fault(&file(&pieces)), Some(Fault::Fixed));
    }
}

#[test]
fn a_picture_that_is_described_twice_is_refused() {
    let file = heif(b"heic", &[], 8, 8);
    let twice = [&file[..], &full_box(b"meta", &[])].concat();
    for rules in [KEEPING, STRICT] {
        assert!(matches!(read(&twice, rules), Err(Fault::Damaged(_))));
    }
}

#[test]
fn a_picture_whose_index_cannot_be_read_is_refused_where_metadata_have_to_go() {
    let (exif, short) = (entry(1, b"Exif"), iso_box(b"infe", b"\x02\0\0\0\0\x02\0\0hv"));
    let empty = iso_box(b"infe", b"");
    let old = iso_box(b"infe", b"\0\0\0\0\0\x02\0\0\0application/rdf+xml\0\0");
    let no_box = b"\0\0\0\x03infe".to_vec();
    let place = places(1, 0x44, &[own(1, 1, 0, 0)]);
    let data = iso_box(b"idat", POSITION);
    let indices = [
        ("an entry that is too short", entries(2, &[short.clone(), exif.clone()])),
        ("an empty entry", entries(2, &[exif.clone(), empty])),
        ("an entry of no type", entries(2, &[exif.clone(), old])),
        ("no entry", entries(2, &[entry(2, b"hvc1"), no_box.clone(), exif.clone()])),
        ("fewer than it says", entries(2, from_ref(&exif))),
        ("more than it says", entries(0, from_ref(&exif))),
        ("an index of nothing", iso_box(b"iinf", b"\0\0")),
        ("nothing that is a box before the index", [no_box, entries(1, from_ref(&exif))].concat()),
        ("two indices", [entries(1, &[entry(2, b"hvc1")]), entries(1, &[exif])].concat()),
    ];
    for (name, index) in indices {
        let file = with_meta(&[index, place.clone(), data.clone()]);
        assert_eq!(read(&file, STRICT), Err(Fault::Fixed), "{name}");
        assert_eq!(read(&file, KEEPING).as_ref(), Ok(&file), "{name}");
    }
}

#[test]
fn frames_need_no_more_than_the_index_of_a_film() {
    let brands = iso_brands(b"hevc", &[b"msf1", b"hevc"]);
    let index = iso_box(b"moov", &[iso_box(b"mvhd", &[0; 100]), iso_box(b"udta", POSITION)].concat());
    let data = iso_box(b"mdat", &[0x5a; 300]);
    for file in [[&brands[..], &index, &data].concat(), [&brands[..], &data, &index].concat()] {
        assert_eq!(read(&file, KEEPING).as_ref(), Ok(&file));
        let kept = read(&file, STRICT).expect("frames");
        assert!(!kept.windows(POSITION.len()).any(|window| window == POSITION));
        assert!(kept.windows(300).any(|window| window == [0x5a; 300]));
        assert!(matches!(read(&file[..file.len() - 1], KEEPING), Err(Fault::CutOff(_))));
    }
    assert!(matches!(read(&[brands, data].concat(), KEEPING), Err(Fault::CutOff(_))));
}

#[test]
fn a_picture_in_its_own_description_is_kept_if_nothing_has_to_go() {
    let size = |side: u32| {
        let size = full_box(b"ispe", &[side.to_be_bytes(), side.to_be_bytes()].concat());
        iso_box(b"iprp", &iso_box(b"ipco", &size))
    };
    let file = |side| with_meta(&[size(side), iso_box(b"idat", &vec![0x5a; 1024 * 1024])]);
    assert!(read_in(4_096, &file(8), KEEPING) == Ok(file(8)), "it is kept");
    assert!(matches!(fault(&file(8)), Some(Fault::Damaged(_))));
    assert!(matches!(read_in(4_096, &file(50_000), KEEPING), Err(Fault::TooManyPixels { .. })));
    let cut = &file(8)[..1024 * 1024];
    for end in [cut.len(), cut.len() / 2] {
        assert!(matches!(read_in(4_096, &cut[..end], KEEPING), Err(Fault::CutOff(_))));
    }
}
