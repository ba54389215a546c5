//! Files that clients send, as the api looks through them.
//!
//! An input is one byte that chooses the pieces in which a file arrives and whether its metadata are left out, and the file.

use bytes::Bytes;
use file_types::{Fault, FileType, Reader, Rules, detect};

/// Reads a file at once and in pieces, and what is kept of it once more.
///
/// # Panics
///
/// When what is kept depends on the pieces, or is not all kept when it is read again.
pub fn read(input: &[u8]) {
    let Some((&choice, file)) = input.split_first() else { return };
    let Some(file_type) = detect(file) else { return };
    let rules = Rules { max_pixels: 100_000_000, without_metadata: choice & 1 == 1 };
    let pieces = usize::from(choice >> 1) + 1;
    let whole = kept(file_type, file, file.len(), rules);
    assert_eq!(kept(file_type, file, pieces, rules), whole, "in pieces of {pieces}");
    match whole {
        // Broken bytes may hide what it was.
        Ok(left) if detect(&left) == Some(file_type) => {
            assert_eq!(kept(file_type, &left, pieces, rules), Ok(left.clone()), "read again");
        }
        Ok(_) => {}
        Err(fault) => assert!(fault.to_string().len() < 200, "{fault}"),
    }
}

fn kept(file_type: &FileType, file: &[u8], pieces: usize, rules: Rules) -> Result<Vec<u8>, Fault> {
    let (mut reader, mut kept) = (Reader::new(file_type, rules), Vec::new());
    for piece in file.chunks(pieces) {
        reader.push(Bytes::copy_from_slice(piece), &mut kept)?;
    }
    reader.finish(&mut kept)?;
    Ok(kept.concat())
}
