//! Where a picture says that it was taken, in every place of every format that a public image may have.

use file_types::{Fault, TYPES, Taken};
use testkit::samples::{self, iso_box, iso_brands, png, png_chunk};

use crate::support::{KEEPING, STRICT, find, read};

/// 52° 31' 12" N, as a camera writes it into Exif.
const LATITUDE: &[u8] = b"\0\0\0\x34\0\0\0\x01\0\0\0\x1f\0\0\0\x01\0\0\0\x0c\0\0\0\x01";
const XMP: &[u8] =
    b"<x:xmpmeta><rdf:Description exif:GPSLatitude='52,31.2N' exif:GPSLongitude='13,24.3E'/></x:xmpmeta>";
/// As in the films of phones.
const ISO_6709: &[u8] = b"+52.5200+013.4050/";

/// Exif with a directory of GPS.
fn exif() -> Vec<u8> {
    let field = |tag: u16, kind: u16, count: u32, value: [u8; 4]| {
        [&tag.to_be_bytes()[..], &kind.to_be_bytes(), &count.to_be_bytes(), &value].concat()
    };
    [
        &b"MM\0\x2a\0\0\0\x08\0\x02"[..],
        &field(0x0112, 3, 1, [0, 6, 0, 0]),
        &field(0x8825, 4, 1, [0, 0, 0, 38]),
        &[0; 4],
        b"\0\x02",
        &field(1, 2, 2, *b"N\0\0\0"),
        &field(2, 5, 3, [0, 0, 0, 68]),
        &[0; 4],
        LATITUDE,
    ]
    .concat()
}

fn tells(file: &[u8]) -> bool {
    [LATITUDE, &XMP[30..], ISO_6709].iter().any(|said| file.windows(said.len()).any(|window| window == *said))
}

fn has(file: &[u8], word: &[u8]) -> bool {
    file.windows(word.len()).any(|window| window == word)
}

/// What is kept of a picture, which no longer says where it was taken, and is all that is kept of it.
fn stripped(name: &str, file: &[u8]) -> Vec<u8> {
    assert!(tells(file), "{name}");
    assert_eq!(read(file, KEEPING).as_deref(), Ok(file), "{name}");
    let kept = read(file, STRICT).unwrap_or_else(|fault| panic!("{name}: {fault}"));
    assert!(!tells(&kept), "{name}: {}", String::from_utf8_lossy(&kept));
    assert_eq!(read(&kept, STRICT).as_deref(), Ok(&kept[..]), "{name}");
    kept
}

#[test]
fn every_type_that_is_stripped_is_one_of_these() {
    let stripped = TYPES.iter().filter(|known| known.taken == Taken::Everywhere).map(|known| known.name);
    assert_eq!(stripped.collect::<Vec<_>>(), ["JPEG", "PNG", "GIF", "WebP", "AVIF", "HEIC", "HEIF", "JPEG XL"]);
}

fn segment(marker: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let length = u16::try_from(content.len() + 2).expect("short").to_be_bytes();
    [&[0xff, marker], &length[..], &content].concat()
}

/// A film as phones append it to a picture, with a place of its own.
fn film() -> Vec<u8> {
    let place = iso_box(b"\xa9xyz", &[&[0, 18, 0x15, 0xc7], ISO_6709].concat());
    [iso_brands(b"mp42", &[]), iso_box(b"moov", &iso_box(b"udta", &place)), iso_box(b"mdat", &[0; 50])].concat()
}

#[test]
fn no_segment_of_a_jpeg_and_nothing_behind_it_says_where_it_was_taken() {
    let jpeg = testkit::jpeg(2_000);
    let with = |segments: &[u8]| [&jpeg[..2], segments, &jpeg[2..]].concat();
    let mut segments = vec![
        ("Exif", segment(0xe1, &[b"Exif\0\0", &exif()])),
        ("XMP", segment(0xe1, &[b"http://ns.adobe.com/xap/1.0/\0", XMP])),
        ("more of XMP", segment(0xe1, &[b"http://ns.adobe.com/xmp/extension/\0", &[0x41; 40], XMP])),
        ("an index of pictures", segment(0xe2, &[b"MPF\0", &exif()])),
        ("FlashPix", segment(0xe2, &[b"FPXR\0", XMP])),
        ("a small picture", segment(0xe0, &[b"JFXX\0\x10", &with(&segment(0xe1, &[b"Exif\0\0", &exif()]))])),
        ("Photoshop", segment(0xed, &[b"Photoshop 3.0\0", XMP])),
        ("much of Adobe", segment(0xee, &[b"Adobe\0\x64\0\0\0\0\x01", XMP])),
        ("a comment", segment(0xfe, &[XMP])),
        ("a small picture with the density", segment(0xe0, &[b"JFIF\0\x01\x01\0\0\x01\0\x01", &[9, 9], XMP])),
        ("an extension", [segment(0xf0, &[XMP]), segment(0xfd, &[XMP])].concat()),
        ("what is reserved", [segment(0x02, &[XMP]), segment(0xbf, &[XMP])].concat()),
        ("no segment", [&segment(0xfe, &[b"a comment"]), XMP].concat()),
    ];
    let applications: Vec<u8> = (0xe0..=0xef).flat_map(|marker| segment(marker, &[b"NEW\0", XMP])).collect();
    segments.push(("every application's", applications));
    for (name, content) in &segments {
        let kept = stripped(name, &with(content));
        assert!(kept.ends_with(&jpeg[jpeg.len() - 1_000..]), "{name}");
    }
    // Between the scans, too.
    let end = jpeg.len() - 2;
    stripped("late", &[&jpeg[..end], &segment(0xfe, &[XMP]), &segments[0].1, &jpeg[end..]].concat());

    let trailer = [&b"\0\0\x01\x0a\x0e\0\0\0Image_UTC_Data"[..], ISO_6709, b"SEFH\x6b\0\0\0\x01\0\0\0SEFT"].concat();
    for (name, behind) in [("another picture", with(&segments[0].1)), ("a film", film()), ("a phone's data", trailer)] {
        assert_eq!(stripped(name, &[&jpeg[..], &behind].concat()), jpeg, "{name}");
    }
    let colours = [
        segment(0xe0, &[b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"]),
        segment(0xe2, &[b"ICC_PROFILE\0\x01\x01", &[7; 200]]),
        segment(0xee, &[b"Adobe\0\x64\0\0\0\0\x01"]),
    ]
    .concat();
    assert_eq!(read(&with(&colours), STRICT), Ok(with(&colours)));
}

/// Data that zlib did not compress.
fn deflated(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("short");
    [&b"\x78\x01\x01"[..], &length.to_le_bytes(), &(!length).to_le_bytes(), data, &[0; 4]].concat()
}

#[test]
fn no_chunk_of_a_png_and_nothing_behind_it_says_where_it_was_taken() {
    let with = |chunks: &[u8]| [&png()[..33], chunks, &png()[33..]].concat();
    for (kind, content) in [
        (b"eXIf", exif()),
        (b"tEXt", [b"Comment\0", XMP].concat()),
        (b"zTXt", [&b"Raw profile type exif\0\0"[..], &deflated(&exif())].concat()),
        (b"iTXt", [b"XML:com.adobe.xmp\0\0\0\0\0", XMP].concat()),
        (b"zxIf", exif()),
        (b"caBX", XMP.to_vec()),
        (b"vpAg", XMP.to_vec()),
        (b"NONE", XMP.to_vec()),
    ] {
        let name = String::from_utf8_lossy(kind);
        for before_picture in [true, false] {
            let chunk = png_chunk(kind, &content);
            let end = png().len() - 12;
            let file = if before_picture { with(&chunk) } else { [&png()[..end], &chunk, &png()[end..]].concat() };
            assert_eq!(has(&stripped(&name, &file), kind), kind == b"eXIf", "{name}");
        }
    }
    assert_eq!(read(&with(&png_chunk(b"tIME", &[7, 234, 11, 29, 17, 0, 0])), STRICT), Ok(png()));
    assert_eq!(stripped("behind", &[png(), film()].concat()), png());
}

#[test]
fn no_extension_of_a_gif_and_nothing_behind_it_says_where_it_was_taken() {
    let gif = samples::gif();
    let block = |content: &[u8]| [&[u8::try_from(content.len()).expect("short")], content].concat();
    let text = [&block(XMP)[..], &[0]].concat();
    // It lies there as it is: what ends it sends every reader of blocks to the end.
    let trailer: Vec<u8> = [0x01].into_iter().chain((0..=0xff).rev()).chain([0]).collect();
    let application = |name: &[u8; 11], data: &[u8]| [&b"\x21\xff\x0b"[..], name, data].concat();
    for (name, extension) in [
        ("a comment", [b"\x21\xfe", &text[..]].concat()),
        ("XMP", application(b"XMP DataXMP", &[XMP, &trailer].concat())),
        ("IPTC", application(b"MGKIPTC0000", &text)),
        ("colours", application(b"ICCRGBG1012", &text)),
        ("a program", application(b"PROGRAM\0\0\0\0", &text)),
        ("a short name", [b"\x21\xff", &text[..]].concat()),
        ("text on the picture", [b"\x21\x01", &block(&[0; 12])[..], &text].concat()),
        ("what nobody knows", [b"\x21\x07", &text[..]].concat()),
    ] {
        for at in [19, 27, gif.len() - 1] {
            assert_eq!(stripped(name, &[&gif[..at], &extension, &gif[at..]].concat()), gif, "{name} at {at}");
        }
    }
    assert_eq!(stripped("behind", &[&gif[..], XMP].concat()), gif);
    for repeats in [b"NETSCAPE2.0", b"ANIMEXTS1.0"] {
        let animated = [&gif[..19], &application(repeats, b"\x03\x01\0\0\0"), &gif[19..]].concat();
        assert_eq!(read(&animated, STRICT), Ok(animated.clone()));
        let more = application(repeats, &[b"\x03\x01\0\0", &text[..]].concat());
        assert_eq!(stripped("behind the loops", &[&gif[..19], &more, &gif[19..]].concat()), animated);
    }
    let (control, more) = (b"\x21\xf9\x04\0\0\0\0\0", [b"\x21\xf9\x04\0\0\0\0", &text[..]].concat());
    let kept = stripped("behind a control", &[&gif[..19], &more, &gif[19..]].concat());
    assert_eq!(kept, [&gif[..19], control, &gif[19..]].concat());
}

fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("short").to_le_bytes();
    [&kind[..], &length, content, &vec![0; content.len() % 2]].concat()
}

#[test]
fn no_chunk_of_a_webp_in_its_frames_or_behind_it_says_where_it_was_taken() {
    let canvas = chunk(b"VP8X", &[0x2c, 0, 0, 0, 7, 0, 0, 7, 0, 0]);
    let picture = samples::webp()[12..].to_vec();
    let webp = |chunks: &[&[u8]]| chunk(b"RIFF", &[b"WEBP", &canvas[..], &chunks.concat()].concat());
    let frame = |chunks: &[&[u8]]| chunk(b"ANMF", &[&[0; 16], &chunks.concat()[..]].concat());
    for (kind, content) in [(b"EXIF", exif()), (b"XMP ", XMP.to_vec()), (b"NONE", XMP.to_vec())] {
        let name = String::from_utf8_lossy(kind);
        let said = chunk(kind, &content);
        for file in [
            webp(&[&picture, &said]),
            webp(&[&said, &picture]),
            webp(&[&picture, &chunk(b"EXIF", b"none"), &said]),
            webp(&[&frame(&[&picture]), &said]),
            webp(&[&frame(&[&picture, &said]), &frame(&[&said, &picture])]),
            webp(&[&frame(&[&frame(&[&said])]), &frame(&[&picture])]),
        ] {
            let kept = stripped(&name, &file);
            assert_eq!(kept.len(), file.len(), "{name}");
            assert!(has(&kept, &picture), "{name}");
        }
    }
    assert_eq!(stripped("behind", &[webp(&[&picture]), film()].concat()), webp(&[&picture]));
    // Fewer bytes than the head of a chunk, and a chunk that goes on behind the end.
    let end = webp(&[&picture]).len();
    for within in [&b"EXI"[..], b"EXIF\x40\0\0\0MM", b"ALPH\xff\xff\0\0"] {
        let mut file = [&webp(&[&picture]), within, XMP].concat();
        let size = u32::try_from(end + within.len() - 8).expect("short");
        file[4..8].copy_from_slice(&size.to_le_bytes());
        assert_eq!(stripped("across the end", &file).len(), end + within.len());
    }
    // What claims to be longer than its frame hides nothing behind that.
    let mut longer = frame(&[&chunk(b"ALPH", &[0; 4])]);
    longer[28] = 200;
    stripped("beyond a frame", &webp(&[&longer, &chunk(b"XMP ", XMP), &frame(&[&picture])]));
}

#[test]
fn no_box_of_a_jpeg_xl_and_nothing_behind_it_says_where_it_was_taken() {
    let file =
        |boxes: &[Vec<u8>]| [iso_box(b"JXL ", b"\r\n\x87\n"), iso_brands(b"jxl ", &[b"jxl "]), boxes.concat()].concat();
    let picture = samples::pictures().into_iter().find(|sample| sample.name == "a bare JPEG XL").expect("one").bytes;
    let picture = iso_box(b"jxlc", &picture);
    for (kind, content) in [
        (b"Exif", [&[0; 4], &exif()[..]].concat()),
        (b"xml ", XMP.to_vec()),
        // Compressed by Brotli, which may leave it as it is.
        (b"brob", [b"Exif\x0b\x1f\x80", &exif()[..], b"\x03"].concat()),
        (b"brob", [b"xml \x0b\x1f\x80", XMP, b"\x03"].concat()),
        (b"jumb", XMP.to_vec()),
        (b"jbrd", XMP.to_vec()),
        (b"uuid", XMP.to_vec()),
        (b"free", XMP.to_vec()),
    ] {
        let name = String::from_utf8_lossy(kind);
        let said = iso_box(kind, &content);
        for file in [file(&[said.clone(), picture.clone()]), file(&[picture.clone(), said])] {
            let kept = stripped(&name, &file);
            assert!(has(&kept, &picture), "{name}");
            assert!(kind == b"free" || !has(&kept, kind), "{name}");
        }
    }
    let plain = file(std::slice::from_ref(&picture));
    assert_eq!(stripped("behind", &[&plain[..], b"\0\0\0\x02", XMP].concat()), plain);
    // A head that is cut off.
    assert_eq!(read(&[&plain[..], b"\0\0\0\x01uuidN 52"].concat(), STRICT), Ok(plain));
}

fn full(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    iso_box(kind, &[&[0; 4], content].concat())
}

fn handler(kind: &[u8; 4]) -> Vec<u8> {
    full(b"hdlr", &[&[0; 4], &kind[..], &[0; 13]].concat())
}

/// A description of one item of a type, that lies at a place by a method (section 8.11.3 of ISO/IEC 14496-12).
fn description(kind: &[u8; 4], method: u8, begin: usize, length: usize) -> Vec<u8> {
    let long = |number: usize| u32::try_from(number).expect("short").to_be_bytes();
    let entry = iso_box(b"infe", &[&b"\x02\0\0\0\0\x01\0\0"[..], kind, b"\0"].concat());
    let place = [&b"\x01\0\0\0\x44\0\0\x01\0\x01\0"[..], &[method, 0, 0, 0, 1], &long(begin), &long(length)].concat();
    let index = full(b"iinf", &[&[0, 1], &entry[..]].concat());
    full(b"meta", &[handler(b"pict"), index, iso_box(b"iloc", &place)].concat())
}

/// A file of these brands and what describes it, by where what it says begins; and what it says.
fn heif(brand: &[u8; 4], describe: impl Fn(usize) -> Vec<u8>, said: &[u8]) -> Vec<u8> {
    let brands = iso_brands(brand, &[b"mif1", b"msf1"]);
    let begin = brands.len() + describe(0).len() + 8 + 30;
    [brands, describe(begin), iso_box(b"mdat", &[&[0x5a; 30], said, &[0x5a; 30]].concat())].concat()
}

#[test]
fn no_item_of_a_heif_or_an_avif_says_where_it_was_taken() {
    for brand in [b"heic", b"mif1", b"avif"] {
        for (kind, said) in [
            (b"Exif", [&[0; 4], &exif()[..]].concat()),
            (b"mime", XMP.to_vec()),
            (b"uri ", XMP.to_vec()),
            (b"NEW ", XMP.to_vec()),
        ] {
            let name = String::from_utf8_lossy(kind);
            let file = heif(brand, |begin| description(kind, 0, begin, said.len()), &said);
            let kept = stripped(&name, &file);
            assert_eq!((kept.len(), &kept[kept.len() - 30..]), (file.len(), &[0x5a; 30][..]), "{name}");
        }
        // A picture that has metadata of its own.
        let file = heif(brand, |begin| description(b"jpeg", 0, begin, XMP.len()), XMP);
        assert_eq!((read(&file, STRICT), read(&file, KEEPING)), (Err(Fault::Fixed), Ok(file)));
    }
}

#[test]
fn an_item_that_lies_in_another_is_refused_if_it_may_say_it_and_kept_if_it_is_a_picture() {
    for (kind, is_taken) in [(b"Exif", false), (b"mime", false), (b"NEW ", false), (b"hvc1", true), (b"av01", true)] {
        let file = heif(b"heic", |_| description(kind, 2, 0, 8), &[0x5a; 40]);
        assert_eq!(read(&file, KEEPING).as_ref(), Ok(&file));
        let expected = if is_taken { Ok(file.clone()) } else { Err(Fault::Fixed) };
        assert_eq!(read(&file, STRICT), expected, "{}", String::from_utf8_lossy(kind));
    }
}

#[test]
fn no_box_of_a_heif_or_an_avif_says_where_it_was_taken() {
    let (picture, place) = (samples::heif(b"heic", &[b"mif1"], 8, 8), iso_box(b"\xa9xyz", ISO_6709));
    for (name, said) in [
        ("XMP", iso_box(b"uuid", XMP)),
        ("a place", iso_box(b"udta", &place)),
        ("a film of a phone", iso_box(b"mpvd", &film())),
        ("behind", [b"\0\0\0\x02", XMP].concat()),
    ] {
        stripped(name, &[&picture[..], &said].concat());
    }
    let cut = [&picture[..], b"\0\0\0\x01uuidN 52"].concat();
    assert_eq!(read(&cut, STRICT), read(&picture, STRICT));
    for (name, said) in [
        ("text", iso_box(b"xml ", XMP)),
        ("binary text", iso_box(b"bxml", XMP)),
        ("what an editor freed", iso_box(b"free", XMP)),
        ("a description", iso_box(b"iprp", &iso_box(b"ipco", &full(b"udes", XMP)))),
        ("a property of nobody", iso_box(b"iprp", &iso_box(b"ipco", &iso_box(b"uuid", XMP)))),
    ] {
        stripped(name, &[iso_brands(b"avif", &[]), full(b"meta", &[handler(b"pict"), said].concat())].concat());
    }
}

fn in_track(boxes: &[Vec<u8>]) -> Vec<u8> {
    iso_box(b"moov", &[iso_box(b"mvhd", &[0; 100]), iso_box(b"trak", &boxes.concat())].concat())
}

#[test]
fn no_box_of_a_sequence_says_when_it_was_made() {
    for (version, times) in [(0, 4..12), (1, 4..20)] {
        let head = |kind: &[u8; 4]| iso_box(kind, &[&[version, 0, 0, 0][..], &[0x5a; 20], &[0; 76]].concat());
        let media = iso_box(b"mdia", &[head(b"mdhd"), handler(b"pict")].concat());
        let track = iso_box(b"trak", &[head(b"tkhd"), media].concat());
        let moov = iso_box(b"moov", &[head(b"mvhd"), track].concat());
        let file = [iso_brands(b"hevc", &[b"msf1"]), moov, iso_box(b"mdat", &[0x5a; 30])].concat();
        let kept = read(&file, STRICT).expect("kept");
        for kind in [b"mvhd", b"tkhd", b"mdhd"] {
            let at = find(&file, kind) + 4;
            assert_eq!(&kept[at + times.start..at + times.end], vec![0; times.len()], "{kind:?}");
            assert_eq!(&kept[at + times.end..at + 40], &file[at + times.end..at + 40]);
        }
    }
}

#[test]
fn no_box_of_a_sequence_says_where_it_was_taken() {
    let place = iso_box(b"udta", &iso_box(b"\xa9xyz", ISO_6709));
    let keys = [handler(b"mdta"), full(b"keys", XMP)].concat();
    for (name, boxes) in [
        ("a place", place.clone()),
        ("QuickTime's", iso_box(b"meta", &keys)),
        ("described", full(b"meta", &iso_box(b"xml ", XMP))),
        ("XMP", iso_box(b"uuid", XMP)),
        ("what an editor freed", iso_box(b"skip", XMP)),
        ("no box", [b"\0\0\0\x02", XMP].concat()),
    ] {
        let media = |within: &[u8]| iso_box(b"mdia", &[&handler(b"pict"), within].concat());
        for index in [
            iso_box(b"moov", &[iso_box(b"mvhd", &[0; 100]), boxes.clone()].concat()),
            in_track(std::slice::from_ref(&boxes)),
            in_track(&[media(&boxes)]),
            in_track(&[media(&iso_box(b"minf", &boxes))]),
            in_track(&[media(&iso_box(b"minf", &iso_box(b"stbl", &boxes)))]),
        ] {
            stripped(name, &[iso_brands(b"hevc", &[b"msf1"]), index, iso_box(b"mdat", &[0x5a; 30])].concat());
        }
    }
}

#[test]
fn no_item_that_a_sequence_describes_says_where_it_was_taken() {
    for (kind, said) in [(b"Exif", [&[0; 4], &exif()[..]].concat()), (b"mime", XMP.to_vec())] {
        let name = String::from_utf8_lossy(kind);
        let item = |method: u8, begin| description(kind, method, begin, said.len());
        let in_film = |method, begin| iso_box(b"moov", &[iso_box(b"mvhd", &[0; 100]), item(method, begin)].concat());
        let of_track = |method, begin| in_track(&[item(method, begin)]);
        let places: [&dyn Fn(u8, usize) -> Vec<u8>; 2] = [&in_film, &of_track];
        for describe in places {
            let file = heif(b"hevc", |begin| describe(0, begin), &said);
            let kept = stripped(&name, &file);
            assert_eq!(&kept[kept.len() - 30..], [0x5a; 30], "{name}");
            // It has passed before it is described, or lies where that cannot be told.
            let data = iso_box(b"mdat", &said);
            let brands = iso_brands(b"hevc", &[b"msf1"]);
            let late = [&brands[..], &data, &describe(0, brands.len() + 8)].concat();
            let elsewhere = heif(b"hevc", |_| describe(2, 0), &said);
            for file in [late, elsewhere] {
                assert_eq!((read(&file, STRICT), read(&file, KEEPING)), (Err(Fault::Fixed), Ok(file)), "{name}");
            }
        }
    }
}

#[test]
fn a_sequence_with_a_track_of_anything_but_pictures_and_sound_is_refused() {
    for (kind, is_taken) in
        [(b"pict", true), (b"vide", true), (b"auxv", true), (b"soun", true), (b"meta", false), (b"text", false)]
    {
        let index = in_track(&[iso_box(b"mdia", &handler(kind))]);
        let file = [iso_brands(b"hevc", &[b"msf1"]), index, iso_box(b"mdat", ISO_6709)].concat();
        let expected = if is_taken { Ok(file.clone()) } else { Err(Fault::Fixed) };
        assert_eq!(read(&file, STRICT), expected, "{}", String::from_utf8_lossy(kind));
    }
}
