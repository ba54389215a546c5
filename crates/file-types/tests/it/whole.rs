//! Files that end before their end.

use file_types::{Fault, detect};
use proptest::prelude::{any, prop, proptest};
use testkit::samples::{self, iso_box, iso_brands};

use crate::support::{KEEPING, STRICT, read, read_in};

#[test]
fn every_whole_file_is_kept_as_it_is() {
    for sample in [samples::pictures(), samples::other_pictures(), samples::films(), samples::with_position()].concat()
    {
        assert_eq!(read(&sample.bytes, KEEPING).as_deref(), Ok(&sample.bytes[..]), "{}", sample.name);
    }
}

#[test]
fn a_picture_that_is_cut_off_anywhere_is_refused() {
    let frames = ["image/jpeg", "image/png", "image/gif", "image/avif", "image/heic", "image/heif", "image/jp2"];
    for sample in samples::pictures().iter().chain(&samples::other_pictures()) {
        if !frames.contains(&sample.content_type) || sample.name.contains("bare") {
            continue;
        }
        for rules in [KEEPING, STRICT] {
            for end in [sample.bytes.len() / 2, sample.bytes.len() - 9, sample.bytes.len() - 1] {
                // A GIF may lack its trailer.
                if sample.content_type == "image/gif" && end == sample.bytes.len() - 1 {
                    continue;
                }
                let Some(file_type) = detect(&sample.bytes[..end]) else { continue };
                let fault = read_in(64, &sample.bytes[..end], rules).expect_err(sample.name);
                assert!(matches!(fault, Fault::CutOff(_)), "{} to {end}, {}: {fault}", sample.name, file_type.name);
            }
        }
    }
    let webp = samples::webp();
    assert!(matches!(read(&webp[..webp.len() - 2], KEEPING), Err(Fault::CutOff(_))));
}

#[test]
fn a_gif_may_end_behind_any_of_its_frames() {
    let gif = samples::gif();
    let (blocks, frame) = (&gif[..gif.len() - 1], &gif[27..gif.len() - 1]);
    for file in [blocks.to_vec(), [blocks, b"\0"].concat(), [blocks, frame].concat(), [blocks, b"\x21\xf9\0"].concat()]
    {
        for rules in [KEEPING, STRICT] {
            assert_eq!(read(&file, rules), Ok(file.clone()));
        }
    }
    let stray = [blocks, b"\x07 and more"].concat();
    assert_eq!(read(&stray, KEEPING), Ok(stray.clone()));
    assert_eq!(read(&stray, STRICT).as_deref(), Ok(blocks));
    for cut in
        [&gif[..27], &[blocks, &frame[..4]].concat(), &[blocks, &frame[..12]].concat(), &[blocks, b"\x21\xf9"].concat()]
    {
        assert!(matches!(read(cut, STRICT), Err(Fault::CutOff(_))), "{cut:?}");
    }
}

#[test]
fn a_film_is_refused_without_its_index_and_taken_without_some_of_its_data() {
    let brands = iso_brands(b"isom", &[b"mp41"]);
    let (index, data) = (iso_box(b"moov", &iso_box(b"mvhd", &[0; 100])), iso_box(b"mdat", &[0; 9_000]));
    let without = [&brands[..], &data].concat();
    let cut_in_index = [&brands[..], &data, &index[..50]].concat();
    for film in [&without, &cut_in_index] {
        let fault = read(film, KEEPING).expect_err("no index");
        assert!(fault.to_string().contains("moov"), "{fault}");
    }
    let cut_in_data = [&brands[..], &index, &data[..4_000]].concat();
    assert_eq!(read(&cut_in_data, KEEPING), Ok(cut_in_data.clone()), "players play what there is");
}

#[test]
fn what_lies_behind_the_end_does_no_harm() {
    for sample in [samples::pictures(), samples::other_pictures(), samples::films()].concat() {
        if sample.name.contains("JPEG 2000") {
            continue;
        }
        let file = [&sample.bytes[..], b"\r\n"].concat();
        assert_eq!(read(&file, KEEPING).as_deref(), Ok(&file[..]), "{}", sample.name);
        read(&file, STRICT).unwrap_or_else(|fault| panic!("{}: {fault}", sample.name));
    }
}

#[test]
fn a_picture_whose_head_is_not_its_own_is_damaged() {
    // What such a chunk claims is not what decoders read.
    let mut header_later = samples::png();
    header_later[12] = b'i';
    let mut no_length = samples::webp();
    no_length[4..8].fill(0);
    for file in [header_later, no_length] {
        for rules in [KEEPING, STRICT] {
            assert!(matches!(read(&file, rules), Err(Fault::Damaged(_))));
        }
    }
}

proptest! {
    #[test]
    fn a_file_with_wrong_bytes_in_it_is_read_alike_in_any_pieces(
        which in any::<prop::sample::Index>(),
        wrong in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        pieces in 1_usize..300,
        strict: bool,
    ) {
        let all = [samples::pictures(), samples::other_pictures(), samples::films(), samples::with_position()].concat();
        let mut file = which.get(&all).bytes.clone();
        for (at, byte) in wrong {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if detect(&file).is_some() {
            let rules = if strict { STRICT } else { KEEPING };
            let whole = read_in(file.len(), &file, rules);
            proptest::prop_assert_eq!(&read_in(pieces, &file, rules), &whole);
            // What is left once is all that is left.
            if let Ok(kept) = whole && detect(&kept) == detect(&file) {
                let again = read_in(pieces, &kept, rules);
                proptest::prop_assert_eq!(again, Ok(kept));
            }
        }
    }
}
