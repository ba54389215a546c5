//! Pictures that claim different sizes in different places: the largest counts.

use file_types::{Fault, Rules};
use testkit::samples::{self, bmp, heif, ifd, iso_box, iso_brands, jp2, png, png_chunk, png_of};

use crate::support::{KEEPING, STRICT, find, read, read_in};

const SMALL: u32 = 8;
const LARGE: u32 = 16_000;

fn short(side: u32) -> u16 {
    u16::try_from(side).expect("16 bits")
}

/// Fails unless the second of two files that differ in one claim is refused for its pixels, and the first one taken.
fn assert_counts(name: &str, file: impl Fn(u32) -> Vec<u8>) {
    for rules in [KEEPING, STRICT] {
        read(&file(SMALL), rules).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let fault = read(&file(LARGE), rules).expect_err(name);
        assert!(matches!(fault, Fault::TooManyPixels { .. }), "{name}: {fault}");
    }
}

#[test]
fn frames_of_a_gif_count_where_they_lie_beyond_its_screen() {
    let gif = |at: usize, values: [u16; 2]| {
        let mut gif = samples::gif();
        let frame = find(&gif, b"\x2c\0\0\0\0\x01\0\x01\0") + at;
        gif[frame..frame + 4].copy_from_slice(&values.map(u16::to_le_bytes).concat());
        gif
    };
    assert_counts("its size", |side| gif(5, [short(side); 2]));
    assert_counts("its place", |side| gif(1, [short(side); 2]));
    // One is wide and one is high.
    assert_counts("two frames", |side| {
        let (wide, high) = (gif(5, [short(side), 1]), gif(5, [1, short(side)]));
        [&wide[..wide.len() - 1], &high[27..]].concat()
    });
}

fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("short").to_le_bytes();
    [&kind[..], &length, content, &vec![0; content.len() % 2]].concat()
}

fn webp(chunks: &[Vec<u8>]) -> Vec<u8> {
    chunk(b"RIFF", &[b"WEBP", &chunks.concat()[..]].concat())
}

fn canvas(side: u32) -> Vec<u8> {
    let side = &(side - 1).to_le_bytes()[..3];
    chunk(b"VP8X", &[&[0x02, 0, 0, 0][..], side, side].concat())
}

fn frame(side: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
    let side = &(side - 1).to_le_bytes()[..3];
    chunk(b"ANMF", &[&[0; 6][..], side, side, &[0; 4], &chunks.concat()].concat())
}

fn lossy(side: u32) -> Vec<u8> {
    // The upper bits say how to scale it.
    let side = (short(side) | 0x4000).to_le_bytes();
    chunk(b"VP8 ", &[&b"\x10\0\0\x9d\x01\x2a"[..], &side, &side, &[0; 9]].concat())
}

fn lossless(side: u32) -> Vec<u8> {
    chunk(b"VP8L", &[&[0x2f][..], &((side - 1) | (side - 1) << 14).to_le_bytes(), &[0; 8]].concat())
}

#[test]
fn the_canvas_of_a_webp_its_frames_and_its_data_count() {
    assert_counts("a canvas", |side| webp(&[canvas(side), lossy(SMALL)]));
    assert_counts("lossy data", |side| webp(&[lossy(side)]));
    assert_counts("lossless data", |side| webp(&[lossless(side)]));
    assert_counts("lossy data on a canvas", |side| webp(&[canvas(SMALL), chunk(b"ALPH", &[0; 3]), lossy(side)]));
    assert_counts("lossless data on a canvas", |side| webp(&[canvas(SMALL), lossless(side)]));
    assert_counts("a frame", |side| webp(&[canvas(SMALL), frame(SMALL, &[lossy(SMALL)]), frame(side, &[])]));
    assert_counts("data in a frame", |side| {
        webp(&[canvas(SMALL), frame(SMALL, &[chunk(b"ALPH", &[0; 3]), lossless(side)]), frame(SMALL, &[lossy(SMALL)])])
    });
    assert_counts("data behind what claims to go beyond its frame", |side| {
        let mut first = frame(SMALL, &[chunk(b"ALPH", &[0; 4])]);
        first[28..32].copy_from_slice(&500_u32.to_le_bytes());
        webp(&[canvas(SMALL), first, frame(SMALL, &[lossy(side)]), chunk(b"ICCP", &[0; 600])])
    });
}

fn icon(pictures: &[Vec<u8>]) -> Vec<u8> {
    let count = u16::try_from(pictures.len()).expect("few");
    let mut file = [&[0, 0, 1, 0][..], &count.to_le_bytes()].concat();
    let mut at = 6 + 16 * u32::from(count);
    for picture in pictures {
        let length = u32::try_from(picture.len()).expect("short");
        file.extend_from_slice(&[&[8, 8, 0, 0, 1, 0, 32, 0][..], &length.to_le_bytes(), &at.to_le_bytes()].concat());
        at += length;
    }
    [file, pictures.concat()].concat()
}

#[test]
fn the_pictures_in_an_icon_count_whatever_its_directory_says() {
    // Twice as high as the picture: with its mask.
    let bitmap = |side: u32| bmp(side, 2 * side)[14..].to_vec();
    assert_counts("a PNG", |side| icon(&[png_of(side, side)]));
    assert_counts("a bitmap", |side| icon(&[bitmap(side)]));
    assert_counts("the second", |side| icon(&[png(), png_of(side, side), png()]));
    assert_counts("the third", |side| icon(&[png(), bitmap(SMALL), bitmap(side)]));
    assert_counts("the first by its place", |side| {
        let mut file = icon(&[png(), png_of(side, side)]);
        let (first, second) = (file[18..22].to_vec(), file[34..38].to_vec());
        file[18..22].copy_from_slice(&second);
        file[34..38].copy_from_slice(&first);
        file
    });
    let rules = Rules { max_pixels: 64, ..KEEPING };
    assert_eq!(read(&icon(&[bitmap(8)]), rules), Ok(icon(&[bitmap(8)])));
    let mut in_head = icon(&[png(), png()]);
    in_head[34] = 5;
    assert!(matches!(read(&in_head, KEEPING), Err(Fault::Damaged(_))));
}

#[test]
fn frames_of_a_png_count_and_a_second_header() {
    let with = |chunk: Vec<u8>| [&png()[..33], &chunk, &png()[33..]].concat();
    assert_counts("a frame", |side| {
        let side = side.to_be_bytes();
        with(png_chunk(b"fcTL", &[&[0; 4][..], &side, &side, &[0; 14]].concat()))
    });
    assert_counts("a header", |side| with(png_of(side, side)[8..33].to_vec()));
}

/// A JPEG with these segments before its frame.
fn jpeg_with(segments: &[u8]) -> Vec<u8> {
    let jpeg = testkit::jpeg(500);
    [&jpeg[..2], segments, &jpeg[2..]].concat()
}

fn start_of_frame(marker: u8, width: u32, height: u32) -> Vec<u8> {
    let sides = [short(height).to_be_bytes(), short(width).to_be_bytes()].concat();
    [&[0xff, marker, 0, 11, 8][..], &sides, b"\x01\x01\x11\0"].concat()
}

#[test]
fn every_frame_of_a_jpeg_counts_and_not_the_small_picture_in_its_metadata() {
    for marker in [0xc0, 0xc1, 0xc2, 0xc3, 0xc5, 0xc9, 0xcf, 0xde, 0xf7] {
        assert_counts("a frame", |side| jpeg_with(&start_of_frame(marker, side, side)));
    }
    // Behind the first scan, the number of its lines.
    assert_counts("lines", |side| {
        let jpeg = jpeg_with(&start_of_frame(0xc0, LARGE, 1));
        let end = jpeg.len() - 2;
        [&jpeg[..end], &[0xff, 0xdc, 0, 4], &short(side).to_be_bytes(), &jpeg[end..]].concat()
    });
    let small = jpeg_with(&start_of_frame(0xc0, LARGE, LARGE));
    let length = u16::try_from(small.len() + 8).expect("short").to_be_bytes();
    let exif = [&b"\xff\xe1"[..], &length, b"Exif\0\0", &small].concat();
    let file = jpeg_with(&exif);
    assert_eq!(read(&file, KEEPING).as_ref(), Ok(&file));
    read(&file, STRICT).expect("a picture");
}

#[test]
fn a_jpeg_that_tells_no_height_before_its_data_is_refused_as_decoders_do() {
    for frame in [start_of_frame(0xc0, 8, 0), start_of_frame(0xc2, 0, 8)] {
        for rules in [KEEPING, STRICT] {
            assert!(matches!(read(&jpeg_with(&frame), rules), Err(Fault::Damaged(_))));
        }
    }
}

/// What lies behind it may be left out, and then its size would be another one.
#[test]
fn a_jpeg_whose_segment_ends_before_the_size_that_it_tells_is_refused() {
    let frame = [&[0xff, 0xc0, 0, 2][..], &start_of_frame(0xc0, 8, 8)[4..]].concat();
    let lines = [0xff, 0xdc, 0, 2, 0, 8];
    for segment in [&frame[..], &lines] {
        for rules in [KEEPING, STRICT] {
            assert!(matches!(read(&jpeg_with(segment), rules), Err(Fault::Damaged(_))));
        }
    }
}

#[test]
fn both_sizes_of_a_jpeg_2000_count() {
    let with = |place: &[u8], side: u32| {
        let mut file = jp2(SMALL, SMALL);
        let at = find(&file, place) + place.len();
        file[at..at + 8].copy_from_slice(&[side.to_be_bytes(), side.to_be_bytes()].concat());
        file
    };
    assert_counts("its head", |side| with(b"ihdr", side));
    assert_counts("its data", |side| with(b"\xff\x4f\xff\x51\0\x2f\0\0", side));
    let data = find(&jp2(8, 8), b"\xff\x4f\xff\x51");
    let mut other = jp2(SMALL, SMALL);
    other[data + 3] = 0x52;
    assert!(matches!(read(&other, KEEPING), Err(Fault::Damaged(_))));
}

#[test]
fn every_codestream_of_a_jpeg_xl_counts() {
    // Long (0), 18 bits (2) of one less, square (1).
    let stream = |side: u32| {
        let size = (2_u64 << 1 | u64::from(side - 1) << 3 | 1 << 21).to_le_bytes();
        [&b"\xff\x0a"[..], &size, &[0; 20]].concat()
    };
    let file =
        |boxes: &[Vec<u8>]| [iso_box(b"JXL ", b"\r\n\x87\n"), iso_brands(b"jxl ", &[b"jxl "]), boxes.concat()].concat();
    let piece = |number: u32, content: &[u8]| iso_box(b"jxlp", &[&number.to_be_bytes(), content].concat());
    assert_counts("the second", |side| file(&[iso_box(b"jxlc", &stream(SMALL)), iso_box(b"jxlc", &stream(side))]));
    assert_counts("the first piece", |side| file(&[piece(7, &stream(SMALL)), piece(0, &stream(side))]));
    // A piece is not measured that continues another.
    let pieces = file(&[piece(0, &stream(SMALL)), piece(0x8000_0001, &stream(LARGE)), piece(2, b"")]);
    assert_eq!(read(&pieces, STRICT), Ok(pieces.clone()));
}

fn full(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    iso_box(kind, &[&[0; 4], content].concat())
}

fn track_head(version: u8, side: u32) -> Vec<u8> {
    let before = vec![0; if version == 0 { 72 } else { 84 }];
    let side = (side << 16).to_be_bytes();
    iso_box(b"tkhd", &[&[version, 0, 0, 1][..], &before, &side, &side].concat())
}

fn described(codec: &[u8; 4], side: u32) -> Vec<u8> {
    let side = short(side).to_be_bytes();
    let entry = iso_box(codec, &[&[0; 24][..], &side, &side, &[0; 50]].concat());
    let table = iso_box(b"stbl", &full(b"stsd", &[&[0, 0, 0, 1], &entry[..]].concat()));
    let handler = full(b"hdlr", b"\0\0\0\0pict\0\0\0\0\0\0\0\0\0\0\0\0\0");
    iso_box(b"mdia", &[handler, iso_box(b"minf", &table)].concat())
}

fn properties(side: u32) -> Vec<u8> {
    let size = full(b"ispe", &[side.to_be_bytes(), side.to_be_bytes()].concat());
    iso_box(b"iprp", &iso_box(b"ipco", &size))
}

#[test]
fn the_frames_of_a_heif_count_wherever_they_are_described() {
    let film = |boxes: &[Vec<u8>]| {
        let index = iso_box(b"moov", &[&[iso_box(b"mvhd", &[0; 100])], boxes].concat().concat());
        [iso_brands(b"hevc", &[b"msf1", b"hevc"]), index, iso_box(b"mdat", &[0x5a; 300])].concat()
    };
    for version in [0, 1] {
        assert_counts("the head of a track", |side| film(&[iso_box(b"trak", &track_head(version, side))]));
    }
    for codec in [b"hvc1", b"av01", b"avc1"] {
        assert_counts("what describes its frames", |side| film(&[iso_box(b"trak", &described(codec, side))]));
    }
    assert_counts("the second track", |side| {
        let track = |side| iso_box(b"trak", &[track_head(0, SMALL), described(b"hvc1", side)].concat());
        film(&[track(SMALL), track(side)])
    });
    assert_counts("an item of a track", |side| film(&[iso_box(b"trak", &full(b"meta", &properties(side)))]));
    assert_counts("an item beside a film", |side| {
        [heif(b"hevc", &[b"msf1"], side, side), film(&[track_head(0, SMALL)])[24..].to_vec()].concat()
    });
    assert_counts("an item", |side| {
        let size = full(b"ispe", &[0, 0, 0, 8, 0, 0, 0, 8]);
        let both = [size, properties(side)[16..].to_vec()].concat();
        [iso_brands(b"heic", &[]), full(b"meta", &iso_box(b"iprp", &iso_box(b"ipco", &both)))].concat()
    });
}

#[test]
fn a_size_counts_behind_more_than_is_held_in_memory() {
    let long = iso_box(b"free", &vec![0; 2 * 1024 * 1024]);
    let meta = |side| [iso_brands(b"heic", &[]), full(b"meta", &[&long[..], &properties(side)].concat())].concat();
    let film = |side| {
        let track = iso_box(b"trak", &[&long[..], &track_head(0, side)].concat());
        [iso_brands(b"hevc", &[b"msf1"]), iso_box(b"moov", &track)].concat()
    };
    for pieces in [1_000, 70_000, 4_000_000] {
        for file in [meta(SMALL), film(SMALL)] {
            assert!(read_in(pieces, &file, KEEPING) == Ok(file), "it is taken");
        }
        for file in [meta(LARGE), film(LARGE)] {
            assert!(matches!(read_in(pieces, &file, KEEPING), Err(Fault::TooManyPixels { .. })));
        }
    }
}

#[test]
fn boxes_in_each_other_without_end_are_not_followed() {
    let mut file = iso_brands(b"hevc", &[b"msf1"]);
    file.extend(b"\0\0\0\0moov".repeat(50_000));
    assert!(read_in(4_096, &file, KEEPING) == Ok(file), "it is taken");
}

#[test]
fn every_page_of_a_tiff_counts() {
    let head = b"II\x2a\0\x08\0\0\0";
    let page = |width, height, next: u32| {
        let page = ifd(width, height);
        [&page[..page.len() - 4], &next.to_le_bytes()].concat()
    };
    let length = u32::try_from(ifd(8, 8).len()).expect("short");
    assert_counts("the second", |side| [&head[..], &page(8, 8, 8 + length), &page(side, side, 0)].concat());
    assert_counts("the third, far behind", |side| {
        let third = 8 + 2 * length + 500;
        [&head[..], &page(8, 8, 8 + length), &page(8, 8, third), &[0; 500], &page(side, side, 0)].concat()
    });
    // One before the one that names it has passed unread.
    for first in [8, 8 + length] {
        let file = [&head[..], &page(8, 8, 8 + length), &page(8, 8, first)].concat();
        let fault = read(&file, KEEPING).expect_err("it goes round");
        assert!(matches!(fault, Fault::Damaged(reason) if reason.contains("page")), "{fault}");
    }
}

#[test]
fn a_size_of_a_tiff_counts_in_whatever_numbers_it_is_told() {
    let file = |tags: [u16; 2], kind: u16, side: u32| {
        let mut file = [&b"II\x2a\0\x08\0\0\0"[..], &ifd(SMALL, SMALL)].concat();
        for (field, tag) in tags.into_iter().enumerate() {
            let at = 10 + 12 * (field + 2);
            let value = side.to_le_bytes();
            file[at..at + 12]
                .copy_from_slice(&[&tag.to_le_bytes()[..], &kind.to_le_bytes(), &[1, 0, 0, 0], &value].concat());
        }
        file
    };
    for kind in [3, 4, 8, 9] {
        assert_counts("with a sign or without", |side| file([0x0100, 0x0101], kind, side));
    }
    assert_counts("a tile", |side| file([0x0142, 0x0143], 4, side));
    // Eight bytes lie elsewhere, and a fraction is none.
    for kind in [16, 5] {
        assert!(matches!(read(&file([0x0100, 0x0101], kind, 8), KEEPING), Err(Fault::Damaged(_))));
    }
}
