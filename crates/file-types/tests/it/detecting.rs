//! The type of a file, by its first bytes.

use file_types::{TYPES, Taken, detect};
use proptest::prelude::{any, proptest};
use testkit::samples::{self, heif, iso_brands};

#[test]
fn every_file_is_known_by_its_bytes() {
    let all = [samples::pictures(), samples::other_pictures(), samples::films(), samples::with_position()].concat();
    for sample in &all {
        let found = detect(&sample.bytes).map(|known| known.content_type);
        assert_eq!(found, Some(sample.content_type), "{}", sample.name);
    }
    // The list has no type that nothing shows.
    for known in TYPES.iter().filter(|known| matches!(known.taken, Taken::Everywhere | Taken::Media)) {
        assert!(all.iter().any(|sample| sample.content_type == known.content_type), "no sample is {}", known.name);
    }
}

#[test]
fn an_animated_avif_is_one_whatever_brand_comes_first() {
    for (major, compatible) in
        [(b"avis", [b"avif", b"msf1"]), (b"avif", [b"avis", b"msf1"]), (b"msf1", [b"avis", b"avif"])]
    {
        let found = detect(&heif(major, &compatible, 8, 8)).expect("a type");
        assert!(matches!(found.taken, Taken::Nowhere(reason) if reason.contains("animated AVIF")), "{found:?}");
    }
}

#[test]
fn an_icon_is_one_whatever_its_reserved_byte() {
    let mut icon = b"\0\0\x01\0\x01\0\x01\x01\0\xff\x01\0\x20\0\x43\0\0\0\x16\0\0\0".to_vec();
    assert_eq!(detect(&icon).map(|known| known.name), Some("ICO"));
    icon[9] = 7;
    assert_eq!(detect(&icon), None);
}

#[test]
fn a_box_that_claims_to_be_longer_than_any_file_is_the_last() {
    for kind in [b"free", b"skip", b"wide", b"mdat", b"pnot"] {
        let file = [&b"\0\0\0\x01"[..], kind, &[0xff; 8]].concat();
        assert_eq!(detect(&file).map(|known| known.name), Some("QuickTime"));
    }
}

#[test]
fn drawings_and_documents_are_told_from_pages() {
    for (file, expected) in [
        (&b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>"[..], Some("SVG")),
        (b"\xef\xbb\xbf  <?xml version=\"1.0\"?><!-- a --><svg/>", Some("SVG")),
        (b"%PDF-1.7 and so on", Some("PDF")),
        (b"<!DOCTYPE html><html><svg></svg></html>", None),
        (b"<?xml version=\"1.0\"?><html/>", None),
    ] {
        assert_eq!(detect(file).map(|known| known.name), expected, "{:?}", String::from_utf8_lossy(file));
    }
}

#[test]
fn what_only_begins_a_little_like_a_file_is_none() {
    let raw = [iso_brands(b"crx ", &[b"crx ", b"isom"]), vec![0; 500]].concat();
    let words = "BMW and Audi are cars, ".repeat(40);
    for file in [
        &b""[..],
        b"\xff",
        b"\xff\xfb\x90\0",
        b"\x47only once",
        b"BM",
        words.as_bytes(),
        b"\0\0\x01\0",
        b"RIFF\0\0\0\0ACON",
        b"OggS\0\x02 nothing known",
        b"\x1a\x45\xdf\xa3\x80",
        b"\x7fELF\x02\x01\x01",
        b"PK\x03\x04",
        b"MZ\x90\0",
        b"\xff\xfe<\0h\0t\0m\0l\0",
        &raw,
        &iso_brands(b"abcd", &[b"efgh"]),
        &[0; 3_000],
    ] {
        assert_eq!(detect(file), None, "{:?}", String::from_utf8_lossy(&file[..file.len().min(40)]));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_of_a_type_or_of_none(bytes: Vec<u8>, at in any::<proptest::sample::Index>(), cut in any::<proptest::sample::Index>()) {
        detect(&bytes);
        let all = [samples::pictures(), samples::other_pictures(), samples::films()].concat();
        let file = &at.get(&all).bytes;
        detect(&file[..cut.index(file.len())]);
    }
}
