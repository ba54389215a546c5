//! The type of a file, by its first bytes.

use crate::iso;
use crate::list::{
    AAC, AIFF, AMR, AVI, BMP, FLAC, FLV, FileType, GIF, ICO, JP2, JPEG, JXL, JXR, MKV, MP3, MPEG, MXF, OGG, OGV, PDF,
    PNG, PSD, SVG, TIFF, TS, WAV, WEBM, WEBP, WMV,
};

/// So many first bytes tell every type: two frames of MP3, or three packets of a transport stream.
pub const FIRST_BYTES: usize = 4096;

/// What a file begins with: bytes at an offset, and its type.
type Signature = (usize, &'static [u8], &'static FileType);

const SIGNATURES: &[Signature] = &[
    (0, b"\xff\xd8\xff", &JPEG),
    (0, b"\x89PNG\r\n\x1a\n", &PNG),
    (0, b"GIF87a", &GIF),
    (0, b"GIF89a", &GIF),
    (0, b"\xff\x0a", &JXL),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", &JXL),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", &JP2),
    (0, b"\xff\x4f\xff\x51", &JP2),
    (0, b"II\x2a\0", &TIFF),
    (0, b"MM\0\x2a", &TIFF),
    (0, b"II\x2b\0", &TIFF),
    (0, b"MM\0\x2b", &TIFF),
    (0, b"II\xbc\x01", &JXR),
    (0, b"8BPS\0\x01", &PSD),
    (0, b"8BPS\0\x02", &PSD),
    (0, b"%PDF-", &PDF),
    (0, b"FLV\x01", &FLV),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c", &WMV),
    (0, b"\0\0\x01\xba", &MPEG),
    (0, b"\0\0\x01\xb3", &MPEG),
    (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02", &MXF),
    (0, b"fLaC", &FLAC),
    (0, b"#!AMR", &AMR),
];

/// The second word of what begins with `RIFF` or one of its kin.
const RIFF: &[(&[u8; 4], &[u8; 4], &FileType)] = &[
    (b"RIFF", b"WEBP", &WEBP),
    (b"RIFF", b"AVI ", &AVI),
    (b"RIFF", b"WAVE", &WAV),
    (b"RF64", b"WAVE", &WAV),
    (b"FORM", b"AIFF", &AIFF),
    (b"FORM", b"AIFC", &AIFF),
];

/// The type of a file that begins with `first`, of which the first [`FIRST_BYTES`] count.
pub fn detect(first: &[u8]) -> Option<&'static FileType> {
    let first = first.get(..FIRST_BYTES).unwrap_or(first);
    let begins = |(at, bytes, _): &&Signature| first.get(*at..).is_some_and(|rest| rest.starts_with(bytes));
    if let Some((_, _, known)) = SIGNATURES.iter().find(begins) {
        return Some(known);
    }
    let riff = |(form, content, _): &&(&[u8; 4], &[u8; 4], &FileType)| {
        first.starts_with(*form) && first.get(8..12) == Some(content.as_slice())
    };
    if let Some((_, _, known)) = RIFF.iter().find(riff) {
        return Some(known);
    }
    iso::detect(first)
        .or_else(|| ebml(first))
        .or_else(|| ogg(first))
        .or_else(|| windows(first))
        .or_else(|| transport_stream(first))
        .or_else(|| mpeg_audio(first))
        .or_else(|| svg(first))
}

/// Matroska (RFC 9559, section 4): the header has a `DocType`.
fn ebml(first: &[u8]) -> Option<&'static FileType> {
    let header = first.strip_prefix(b"\x1a\x45\xdf\xa3")?;
    let header = header.get(..128).unwrap_or(header);
    let at = memchr::memmem::find(header, b"\x42\x82")?;
    match header.get(at + 2..)?.split_first()?.1 {
        name if name.starts_with(b"webm") => Some(&WEBM),
        name if name.starts_with(b"matroska") => Some(&MKV),
        _ => None,
    }
}

/// Ogg (RFC 3533): every stream begins with a packet that names its codec, before anything else comes.
fn ogg(first: &[u8]) -> Option<&'static FileType> {
    first.strip_prefix(b"OggS\0")?;
    let has = |word: &[u8]| memchr::memmem::find(first, word).is_some();
    let videos: [&[u8]; 4] = [b"\x80theora", b"BBCD\0", b"\x01video\0", b"OVP80"];
    let audio: [&[u8]; 5] = [b"OpusHead", b"\x01vorbis", b"Speex   ", b"\x7fFLAC", b"PCM     "];
    if videos.into_iter().any(has) {
        return Some(&OGV);
    }
    audio.into_iter().any(has).then_some(&OGG)
}

/// BMP and ICO begin with so little that their next fields must make sense.
fn windows(first: &[u8]) -> Option<&'static FileType> {
    if first.starts_with(b"BM") {
        let header = u32::from_le_bytes(first.get(14..18)?.try_into().ok()?);
        return matches!(header, 12 | 16 | 40 | 52 | 56 | 64 | 108 | 124).then_some(&BMP);
    }
    let directory = first.strip_prefix(b"\0\0\x01\0")?;
    let count = u32::from(u16::from_le_bytes(directory.get(..2)?.try_into().ok()?));
    let offset = u32::from_le_bytes(directory.get(14..18)?.try_into().ok()?);
    // .NET writes 255 where others leave 0.
    let is_reserved = matches!(directory.get(5), Some(0 | 255));
    ((1..=64).contains(&count) && is_reserved && offset >= 6 + 16 * count).then_some(&ICO)
}

/// Packets of 188 bytes, in cameras' files with a time before each (ISO/IEC 13818-1, section 2.4.3.2).
fn transport_stream(first: &[u8]) -> Option<&'static FileType> {
    let begins = |offset: usize, packet: usize| (0..3).all(|number| first.get(offset + number * packet) == Some(&0x47));
    (begins(0, 188) || begins(4, 192)).then_some(&TS)
}

/// Two frames in a row, since one begins with little; or a tag (ID3), and what follows it if that is near.
fn mpeg_audio(first: &[u8]) -> Option<&'static FileType> {
    if let Some(tag) = first.strip_prefix(b"ID3") {
        let size: [u8; 4] = tag.get(3..7)?.try_into().ok()?;
        if size.iter().any(|byte| byte & 0x80 != 0) {
            return None;
        }
        let size = size.iter().fold(0, |size, byte| size << 7 | usize::from(*byte));
        return match first.get(10 + size..).unwrap_or_default() {
            audio if audio.starts_with(b"fLaC") => Some(&FLAC),
            audio => frames(audio).or(Some(&MP3)),
        };
    }
    frames(first)
}

fn frames(first: &[u8]) -> Option<&'static FileType> {
    let next = |length: fn(&[u8]) -> Option<usize>| length(first).and_then(|at| length(first.get(at..)?));
    if next(mp3_frame).is_some() {
        return Some(&MP3);
    }
    next(adts_frame).is_some().then_some(&AAC)
}

/// The length of a frame of MPEG audio, layers II and III (ISO/IEC 11172-3, section 2.4.2.3).
fn mp3_frame(frame: &[u8]) -> Option<usize> {
    const LAYER_2: [usize; 14] = [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384];
    const LAYER_3: [usize; 14] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
    const LOWER: [usize; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
    let [0xff, second, third, ..] = *frame else { return None };
    let (version, layer) = (second >> 3 & 3, second >> 1 & 3);
    let (rate, frequency, padding) =
        (usize::from(third >> 4), usize::from(third >> 2 & 3), usize::from(third >> 1 & 1));
    if second & 0xe0 != 0xe0 || version == 1 || !matches!(layer, 1 | 2) {
        return None;
    }
    let rates = match (version, layer) {
        (3, 2) => LAYER_2,
        (3, _) => LAYER_3,
        _ => LOWER,
    };
    let frequency = [44_100, 48_000, 32_000].get(frequency)? >> (3 - version).min(2);
    let samples = if version != 3 && layer == 1 { 72_000 } else { 144_000 };
    Some(samples * rates.get(rate.checked_sub(1)?)? / frequency + padding)
}

/// The length of a frame of AAC in ADTS (ISO/IEC 13818-7, section 6.2).
fn adts_frame(frame: &[u8]) -> Option<usize> {
    let [0xff, second, third, fourth, fifth, sixth, ..] = *frame else { return None };
    let length = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth >> 5);
    (second & 0xf6 == 0xf0 && third >> 2 & 0xf < 13 && length > 7).then_some(length)
}

/// An element, perhaps after a declaration, comments or a byte order mark.
fn svg(first: &[u8]) -> Option<&'static FileType> {
    let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first).trim_ascii_start();
    let declared = text.starts_with(b"<?xml") || text.starts_with(b"<!--") || text.starts_with(b"<!DOCTYPE svg");
    let holds = declared && memchr::memmem::find(text, b"<svg").is_some();
    (text.starts_with(b"<svg") || holds).then_some(&SVG)
}
