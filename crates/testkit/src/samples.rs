//! One small file of every type that Cloudinary documents, as cameras, browsers and encoders write them: their heads, and as much of
//! the rest as whoever looks at the container sees.

use crate::pictures::jpeg;

/// A file, and what it is found to be.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What wrote it, or what is special about it.
    pub name: &'static str,
    pub content_type: &'static str,
    pub bytes: Vec<u8>,
}

fn sample(name: &'static str, content_type: &'static str, bytes: Vec<u8>) -> Sample {
    Sample { name, content_type, bytes }
}

/// Where the pictures of [`with_position`] say that they were taken.
pub const POSITION: &[u8] = b"N 52 31 12 E 13 24 18";

/// Pictures that every field takes.
pub fn pictures() -> Vec<Sample> {
    vec![
        sample("a JPEG", "image/jpeg", jpeg(2_000).to_vec()),
        sample("a PNG", "image/png", png()),
        sample("a GIF", "image/gif", gif()),
        sample("a WebP", "image/webp", webp()),
        sample("an AVIF", "image/avif", heif(b"avif", &[b"mif1", b"miaf"], 8, 8)),
        sample("an AVIF of the brand of its container", "image/avif", heif(b"mif1", &[b"avif", b"miaf"], 8, 8)),
        sample("a HEIC of a phone", "image/heic", heif(b"heic", &[b"mif1", b"heic"], 8, 8)),
        sample("a HEIC of ten bits", "image/heic", heif(b"heix", &[b"mif1", b"heix"], 8, 8)),
        sample("a HEIC of the brand of its container", "image/heic", heif(b"mif1", &[b"heic"], 8, 8)),
        sample("HEIC frames", "image/heic", heif(b"hevc", &[b"msf1", b"hevc"], 8, 8)),
        sample("a HEIF", "image/heif", heif(b"mif1", &[b"mif1"], 8, 8)),
        sample("a bare JPEG XL", "image/jxl", jxl_codestream()),
        sample("a JPEG XL", "image/jxl", jxl(&[])),
    ]
}

/// Pictures that are uploads only.
pub fn other_pictures() -> Vec<Sample> {
    let tiff = |head: &[u8]| [head, &ifd(8, 8)].concat();
    let mut psd = b"8BPS\0\x01\0\0\0\0\0\0\0\x03\0\0\0\x08\0\0\0\x08\0\x08\0\x03".to_vec();
    psd.resize(300, 0);
    vec![
        sample("a BMP", "image/bmp", bmp(8, 8)),
        sample(
            "an icon",
            "image/vnd.microsoft.icon",
            [&b"\0\0\x01\0\x01\0\x01\x01\0\0\x01\0\x20\0"[..], &[67, 0, 0, 0, 22, 0, 0, 0], &png()].concat(),
        ),
        sample("a TIFF", "image/tiff", tiff(b"II\x2a\0\x08\0\0\0")),
        sample("a JPEG XR", "image/jxr", tiff(b"II\xbc\x01\x08\0\0\0")),
        sample("a JPEG 2000", "image/jp2", jp2(8, 8)),
        sample("a bare JPEG 2000", "image/jp2", codestream(8, 8)),
        sample("a Photoshop document", "image/vnd.adobe.photoshop", psd),
    ]
}

/// Films and sounds.
pub fn films() -> Vec<Sample> {
    let film = |major, compatible: &[&[u8; 4]]| movie(&[iso_brands(major, compatible)]);
    let mp4 = "video/mp4";
    vec![
        sample("an MP4", mp4, film(b"isom", &[b"iso2", b"mp41"])),
        sample("an MP4 of a phone", mp4, film(b"mp42", &[b"isom", b"mp42"])),
        sample("a fragmented MP4", mp4, film(b"iso6", &[b"mp41", b"dash"])),
        sample("an MP4 of a newer edition", mp4, film(b"iso9", &[])),
        sample("a CMAF track", mp4, film(b"cmfc", &[b"iso7"])),
        sample("an M4V", mp4, film(b"M4V ", &[b"isom"])),
        sample("an M4V of a handheld", mp4, film(b"M4VP", &[])),
        sample("a camera's MP4", mp4, film(b"XAVC", &[b"XAVC", b"mp42"])),
        sample("an MP4 of nobody's brand", mp4, film(b"abcd", &[b"efgh", b"mp42"])),
        sample("an MP4 after a free box", mp4, movie(&[iso_box(b"free", &[0; 20]), iso_brands(b"isom", &[])])),
        sample("an MP4 after a skip box", mp4, movie(&[iso_box(b"skip", &[]), iso_brands(b"mp42", &[])])),
        sample("an MP4 with its index behind", mp4, index_behind(true)),
        sample("a QuickTime film", "video/quicktime", film(b"qt  ", &[b"qt  "])),
        sample("a QuickTime film without brands", "video/quicktime", movie(&[iso_box(b"wide", &[])])),
        sample("a QuickTime film with its data first", "video/quicktime", index_behind(false)),
        sample("a 3GP", "video/3gpp", film(b"3gp4", &[b"isom", b"3gp4"])),
        sample("a 3GP of a newer release", "video/3gpp", film(b"3gr9", &[])),
        sample("a 3G2", "video/3gpp2", film(b"3g2a", &[b"3g2a"])),
        sample("a WebM", "video/webm", ebml("webm")),
        sample("a Matroska film", "video/x-matroska", ebml("matroska")),
        sample("an Ogg film", "video/ogg", ogg(b"\x80theora\x03\x02\x01")),
        sample("an AVI", "video/x-msvideo", riff(b"RIFF", b"AVI ")),
        sample("a Flash film", "video/x-flv", filled(b"FLV\x01\x05\0\0\0\x09\0\0\0\0")),
        sample("a WMV", "video/x-ms-wmv", filled(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c")),
        sample("a transport stream", "video/mp2t", packets(188)),
        sample("a camera's transport stream", "video/mp2t", packets(192)),
        sample("a program stream", "video/mpeg", filled(b"\0\0\x01\xba\x44\0\x04\0\x04\x01")),
        sample("an elementary stream", "video/mpeg", filled(b"\0\0\x01\xb3\x16\0\xf0\xc4")),
        sample("an MXF", "application/mxf", filled(b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02")),
        sample("an MP3", "audio/mpeg", frames(b"\xff\xfb\x90\0", 417)),
        sample("an MP3 of a lower rate", "audio/mpeg", frames(b"\xff\xf3\x40\0", 104)),
        sample(
            "an MP3 with a tag",
            "audio/mpeg",
            [b"ID3\x03\0\0\0\0\x02\0".to_vec(), vec![0; 256], frames(b"\xff\xfb\x90\0", 417)].concat(),
        ),
        sample("an M4A", "audio/mp4", film(b"M4A ", &[b"M4A ", b"mp42", b"isom"])),
        sample("an AAC stream", "audio/aac", frames(b"\xff\xf1\x50\x80\x0c\x9f\xfc", 100)),
        sample("a WAV", "audio/wav", riff(b"RIFF", b"WAVE")),
        sample("a FLAC", "audio/flac", filled(b"fLaC\0\0\0\x22")),
        sample("an Ogg sound", "audio/ogg", ogg(b"\x01vorbis\0\0\0\0\x02")),
        sample("an Opus sound", "audio/ogg", ogg(b"OpusHead\x01\x02")),
        sample("an AIFF", "audio/aiff", riff(b"FORM", b"AIFF")),
        sample("an AMR", "audio/amr", filled(b"#!AMR\n\x3c")),
    ]
}

/// Pictures that say where they were taken: [`POSITION`] is in each.
pub fn with_position() -> Vec<Sample> {
    let exif = exif(6);
    let marked = |kind: u8, content: &[u8]| {
        let length = u16::try_from(content.len() + 2).expect("a segment").to_be_bytes();
        [&[0xff, kind], &length[..], content].concat()
    };
    let plain = jpeg(2_000);
    let photo = [
        &plain[..2],
        &marked(0xe1, &[b"Exif\0\0", &exif[..]].concat()),
        &marked(0xe1, &[b"http://ns.adobe.com/xap/1.0/\0", POSITION].concat()),
        &marked(0xed, &[b"Photoshop 3.0\0", POSITION].concat()),
        &marked(0xe0, &[b"JFXX\0\x13", POSITION].concat()),
        &marked(0xee, POSITION),
        &marked(0xfe, POSITION),
        &plain[2..],
        // A second picture of the same shot.
        &plain[..2],
        &marked(0xe1, &[b"Exif\0\0", &exif[..]].concat()),
        &plain[2..],
    ]
    .concat();

    let (head, end) = (png()[..33].to_vec(), png()[33..].to_vec());
    let chunks = [png_chunk(b"eXIf", &exif), png_chunk(b"tEXt", &[b"Comment\0", POSITION].concat())].concat();
    let mut flat = webp();
    for (kind, content) in [(b"EXIF", &exif[..]), (b"XMP ", POSITION)] {
        flat.extend_from_slice(kind);
        flat.extend_from_slice(&u32::try_from(content.len()).expect("short").to_le_bytes());
        flat.extend_from_slice(content);
        flat.extend(std::iter::repeat_n(0, content.len() % 2));
    }
    let size = u32::try_from(flat.len() - 8).expect("short");
    flat[4..8].copy_from_slice(&size.to_le_bytes());
    let text = [&[u8::try_from(POSITION.len()).expect("short")], POSITION, &[0]].concat();
    let comment = [&b"\x21\xfe"[..], &text, b"\x21\xff\x0bMGKIPTC0000", &text].concat();
    let end_of_gif = gif().len() - 1;
    vec![
        sample("a JPEG", "image/jpeg", photo),
        sample("a PNG", "image/png", [head, chunks, end].concat()),
        sample("a GIF", "image/gif", [&gif()[..end_of_gif], &comment, b";"].concat()),
        sample("a WebP", "image/webp", flat),
        sample("a HEIC", "image/heic", heif(b"heic", &[b"mif1"], 8, 8)),
        sample("an AVIF", "image/avif", heif(b"avif", &[b"mif1"], 8, 8)),
        sample("a JPEG XL", "image/jxl", jxl(&[iso_box(b"Exif", &exif), iso_box(b"xml ", POSITION)])),
    ]
}

/// The smallest PNG.
pub fn png() -> Vec<u8> {
    png_of(1, 1)
}

/// A PNG whose header claims a size, whatever is in it.
pub fn png_of(width: u32, height: u32) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), b"\x08\x06\0\0\0"].concat();
    let data = b"\x78\x9c\x63\0\x01\0\0\x05\0\x01";
    [b"\x89PNG\r\n\x1a\n".to_vec(), png_chunk(b"IHDR", &header), png_chunk(b"IDAT", data), png_chunk(b"IEND", b"")]
        .concat()
}

/// A chunk of a PNG (RFC 2083, section 3.2).
pub fn png_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("short").to_be_bytes();
    let checked = [&kind[..], data].concat();
    let checksum = !checked.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
    });
    [&length[..], &checked, &checksum.to_be_bytes()].concat()
}

/// The smallest GIF.
pub fn gif() -> Vec<u8> {
    b"GIF89a\x01\0\x01\0\x80\0\0\xff\xff\xff\0\0\0\x21\xf9\x04\x01\0\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b".to_vec()
}

/// The smallest WebP.
pub fn webp() -> Vec<u8> {
    b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0".to_vec()
}

pub fn bmp(width: u32, height: u32) -> Vec<u8> {
    let head = b"BM\x76\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0";
    let rest = b"\x01\0\x18\0\0\0\0\0\xc0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    [&head[..], &width.to_le_bytes(), &height.to_le_bytes(), rest, &[0; 192]].concat()
}

/// A directory of TIFF or JPEG XR, little-endian, with the size of a picture.
pub fn ifd(width: u32, height: u32) -> Vec<u8> {
    let mut fields = b"\x04\0".to_vec();
    for (tag, value) in [(0x0100_u16, width), (0x0101, height), (0xbc80, width), (0xbc81, height)] {
        fields.extend_from_slice(&tag.to_le_bytes());
        fields.extend_from_slice(b"\x04\0\x01\0\0\0");
        fields.extend_from_slice(&value.to_le_bytes());
    }
    fields.extend_from_slice(&[0; 4]);
    fields
}

pub fn jp2(width: u32, height: u32) -> Vec<u8> {
    let size = [&height.to_be_bytes()[..], &width.to_be_bytes(), b"\0\x03\x07\x07\0\0"].concat();
    [
        iso_box(b"jP  ", b"\r\n\x87\n"),
        iso_brands(b"jp2 ", &[b"jp2 "]),
        iso_box(b"jp2h", &iso_box(b"ihdr", &size)),
        iso_box(b"jp2c", &codestream(width, height)),
    ]
    .concat()
}

fn codestream(width: u32, height: u32) -> Vec<u8> {
    let sizes = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[0; 8]].concat();
    let mut stream = [&b"\xff\x4f\xff\x51\0\x2f\0\0"[..], &sizes].concat();
    stream.resize(200, 0);
    stream.extend_from_slice(b"\xff\xd9");
    stream
}

fn jxl_codestream() -> Vec<u8> {
    // 8 by 8 pixels: a small picture (1 bit), 8 rows (5 bits), square (3 bits).
    filled(b"\xff\x0a\x41\0\x10\xb0\x13\0")
}

fn jxl(more: &[Vec<u8>]) -> Vec<u8> {
    let (first, brands) = (iso_box(b"JXL ", b"\r\n\x87\n"), iso_brands(b"jxl ", &[b"jxl "]));
    [first, brands, more.concat(), iso_box(b"jxlc", &jxl_codestream())].concat()
}

/// A box of an ISO base media file (ISO/IEC 14496-12, section 4.2).
pub fn iso_box(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len() + 8).expect("short").to_be_bytes();
    [&size[..], kind, content].concat()
}

/// The box that says by which brands a file can be read (section 4.3).
pub fn iso_brands(major: &[u8; 4], compatible: &[&[u8; 4]]) -> Vec<u8> {
    iso_box(
        b"ftyp",
        &[&major[..], &[0; 4], &compatible.iter().map(|brand| &brand[..]).collect::<Vec<_>>().concat()].concat(),
    )
}

/// These boxes, the index of a film and its data.
fn movie(first: &[Vec<u8>]) -> Vec<u8> {
    [first.concat(), iso_box(b"moov", &iso_box(b"mvhd", &[0; 100])), iso_box(b"mdat", &[0; 300])].concat()
}

/// A film whose index is behind data that is longer than what tells the type.
fn index_behind(has_brands: bool) -> Vec<u8> {
    let brands = if has_brands { iso_brands(b"isom", &[]) } else { Vec::new() };
    [brands, iso_box(b"mdat", &[0; 9_000]), iso_box(b"moov", &iso_box(b"mvhd", &[0; 100]))].concat()
}

/// A picture of this size by its header, that says where it was taken: its data are an item, Exif, and XMP.
pub fn heif(major: &[u8; 4], compatible: &[&[u8; 4]], width: u32, height: u32) -> Vec<u8> {
    let full = |kind, content: &[u8]| iso_box(kind, &[&[0; 4], content].concat());
    let brands = iso_brands(major, compatible);
    let items: [(&[u8; 4], Vec<u8>); 3] =
        [(b"av01", vec![0x5a; 60]), (b"Exif", [&[0; 4], &exif(6)[..]].concat()), (b"mime", POSITION.to_vec())];
    let entry = |number: usize, kind: &[u8; 4]| {
        iso_box(b"infe", &[&b"\x02\0\0\0\0"[..], &[number as u8 + 1, 0, 0], kind, b"\0"].concat())
    };
    let entries: Vec<u8> = items.iter().enumerate().flat_map(|(number, (kind, _))| entry(number, kind)).collect();
    let size = full(b"ispe", &[width.to_be_bytes(), height.to_be_bytes()].concat());
    let meta = |first: usize| {
        let mut places = b"\x44\0\0\x03".to_vec();
        let mut at = first;
        for (number, (_, content)) in items.iter().enumerate() {
            places.extend_from_slice(&[0, number as u8 + 1, 0, 0, 0, 1]);
            places.extend_from_slice(&u32::try_from(at).expect("short").to_be_bytes());
            places.extend_from_slice(&u32::try_from(content.len()).expect("short").to_be_bytes());
            at += content.len();
        }
        full(
            b"meta",
            &[
                full(b"hdlr", b"\0\0\0\0pict\0\0\0\0\0\0\0\0\0\0\0\0\0"),
                full(b"pitm", &[0, 1]),
                full(b"iloc", &places),
                full(b"iinf", &[&[0, 3], &entries[..]].concat()),
                iso_box(b"iprp", &iso_box(b"ipco", &size)),
            ]
            .concat(),
        )
    };
    let first = brands.len() + meta(0).len() + 8;
    let data: Vec<u8> = items.iter().flat_map(|(_, content)| content.clone()).collect();
    [brands, meta(first), iso_box(b"mdat", &data)].concat()
}

/// Exif with an orientation and, where its field points, [`POSITION`].
pub fn exif(orientation: u8) -> Vec<u8> {
    let mut exif = b"MM\0\x2a\0\0\0\x08\0\x02".to_vec();
    exif.extend_from_slice(&[0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0]);
    exif.extend_from_slice(&[0x88, 0x25, 0, 4, 0, 0, 0, 1, 0, 0, 0, 38]);
    exif.extend_from_slice(&[0; 4]);
    exif.extend_from_slice(POSITION);
    exif
}

/// A Matroska file (RFC 9559, section 4).
fn ebml(doc_type: &str) -> Vec<u8> {
    let length = u8::try_from(doc_type.len()).expect("a short word");
    let head = [&[0x42, 0x86, 0x81, 1, 0x42, 0x82, 0x80 | length][..], doc_type.as_bytes()].concat();
    let size = 0x80 | u8::try_from(head.len()).expect("short");
    filled(&[&[0x1a, 0x45, 0xdf, 0xa3, size], &head[..], &[0x18, 0x53, 0x80, 0x67, 0xff]].concat())
}

/// A page of Ogg (RFC 3533, section 6) with one packet.
fn ogg(packet: &[u8]) -> Vec<u8> {
    let length = u8::try_from(packet.len()).expect("short");
    filled(&[&b"OggS\0\x02"[..], &[0; 20], &[1, length], packet].concat())
}

fn riff(form: &[u8; 4], content: &[u8; 4]) -> Vec<u8> {
    let size = if form == b"FORM" { 492_u32.to_be_bytes() } else { 492_u32.to_le_bytes() };
    filled(&[&form[..], &size, content].concat())
}

fn packets(length: usize) -> Vec<u8> {
    let packet = [vec![0; length - 188], b"\x47\x40\0\x10".to_vec(), vec![0xff; 184]].concat();
    packet.repeat(8)
}

fn frames(head: &[u8], length: usize) -> Vec<u8> {
    let mut frame = head.to_vec();
    frame.resize(length, 0);
    frame.repeat(5)
}

fn filled(head: &[u8]) -> Vec<u8> {
    let mut file = head.to_vec();
    file.resize(500.max(head.len()), 0);
    file
}
