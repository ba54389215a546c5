//! Pictures that claim more pixels than may be.

use file_types::{Fault, Rules, bmp_size};
use testkit::samples::{self, bmp, heif, ifd, jp2, png_of};

use crate::support::{KEEPING, STRICT, read, read_in};

/// A picture of each format whose size its header tells, of 50,000 by 50,000 pixels.
fn huge() -> Vec<(&'static str, Vec<u8>)> {
    let (side, short) = (50_000, 50_000_u16);
    let mut jpeg = testkit::jpeg(500).to_vec();
    let frame = jpeg.windows(2).position(|marker| marker == b"\xff\xc0").expect("a frame");
    jpeg[frame + 5..frame + 9].copy_from_slice(&[short.to_be_bytes(), short.to_be_bytes()].concat());
    let mut gif = samples::gif();
    gif[6..10].copy_from_slice(&[short.to_le_bytes(), short.to_le_bytes()].concat());
    // 14 bits each, of one less (RFC 9649, section 3.4); both flags of a long one.
    let mut webp = samples::webp();
    webp[21..25].copy_from_slice(&(0x3fff_u32 | 0x3fff << 14).to_le_bytes());
    // Long (0), 18 bits (2) of one less, square (1).
    let jxl = (2_u64 << 1 | u64::from(side - 1) << 3 | 1 << 21).to_le_bytes();
    let jxl = [&b"\xff\x0a"[..], &jxl, &[0; 20]].concat();
    let boxes =
        [samples::iso_box(b"JXL ", b"\r\n\x87\n"), samples::iso_brands(b"jxl ", &[]), samples::iso_box(b"jxlc", &jxl)];
    vec![
        ("a PNG of 74 bytes", png_of(side, side)),
        ("a JPEG", jpeg),
        ("a GIF", gif),
        ("a WebP", webp),
        ("a HEIC", heif(b"heic", &[b"mif1"], side, side)),
        ("an AVIF", heif(b"avif", &[b"mif1"], side, side)),
        ("a bare JPEG XL", jxl[..12].to_vec()),
        ("a JPEG XL", boxes.concat()),
        ("a BMP", bmp(side, side)),
        ("a TIFF", [&b"II\x2a\0\x08\0\0\0"[..], &ifd(side, side)].concat()),
        ("a JPEG XR", [&b"II\xbc\x01\x08\0\0\0"[..], &ifd(side, side)].concat()),
        ("a JPEG 2000", jp2(side, side)),
    ]
}

#[test]
fn a_picture_that_claims_too_many_pixels_is_refused_with_their_number() {
    for (name, file) in huge() {
        for rules in [KEEPING, STRICT] {
            let fault = read(&file, rules).expect_err(name);
            assert!(matches!(fault, Fault::TooManyPixels { .. }), "{name}: {fault}");
        }
    }
    let text = read(&png_of(50_000, 50_000), KEEPING).expect_err("too many").to_string();
    assert_eq!(text, "has 50000 × 50000 pixels by its header; at most 100000000 are taken");
}

#[test]
fn the_limit_itself_may_be_reached() {
    let rules = Rules { max_pixels: 64, ..KEEPING };
    for sample in [samples::pictures(), samples::other_pictures()].concat() {
        read(&sample.bytes, rules).unwrap_or_else(|fault| panic!("{}: {fault}", sample.name));
    }
    assert!(read(&png_of(8, 9), rules).is_err());
}

#[test]
fn a_bmp_that_is_stored_from_the_top_down_and_an_old_one_have_their_size() {
    let top_down = bmp(640, 480_u32.wrapping_neg());
    let old = [&b"BM\x76\0\0\0\0\0\0\0\x1a\0\0\0\x0c\0\0\0\x80\x02\xe0\x01\x01\0\x18\0"[..], &[0; 92]].concat();
    for file in [top_down, old] {
        assert_eq!(bmp_size(&file), Some((640, 480)));
        assert_eq!(read(&file, Rules { max_pixels: 640 * 480, ..KEEPING }), Ok(file.clone()));
        assert!(read(&file, Rules { max_pixels: 640 * 480 - 1, ..KEEPING }).is_err());
    }
}

#[test]
fn a_jpeg_2000_may_have_a_long_colour_profile_behind_its_size() {
    let file = jp2(8, 8);
    let at = file.windows(4).position(|kind| kind == b"jp2h").expect("a head") - 4;
    let (header, rest) = (&file[at + 8..at + 30], &file[at + 30..]);
    let profile = samples::iso_box(b"colr", &vec![7; 200_000]);
    let with = |content: &[&[u8]]| [&file[..at], &samples::iso_box(b"jp2h", &content.concat()), rest].concat();
    let long = with(&[header, &profile]);
    assert_eq!(read_in(60_000, &long, KEEPING), Ok(long.clone()));
    assert!(read_in(60_000, &long, Rules { max_pixels: 63, ..KEEPING }).is_err());
    for none in [with(&[&profile, header]), with(&[])] {
        assert!(matches!(read_in(60_000, &none, KEEPING), Err(Fault::Damaged(_))));
    }
}
