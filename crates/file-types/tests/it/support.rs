//! Reads a file in pieces.

use bytes::Bytes;
use file_types::{Fault, Reader, Rules, detect};

pub const KEEPING: Rules = Rules { max_pixels: 100_000_000, without_metadata: false };
pub const STRICT: Rules = Rules { without_metadata: true, ..KEEPING };

/// What is kept of a file that arrives in pieces of this size.
pub fn read_in(pieces: usize, file: &[u8], rules: Rules) -> Result<Vec<u8>, Fault> {
    let file_type = detect(file).expect("a file of a known type");
    let (mut reader, mut kept) = (Reader::new(file_type, rules), Vec::new());
    for piece in file.chunks(pieces) {
        reader.push(Bytes::copy_from_slice(piece), &mut kept)?;
    }
    reader.finish(&mut kept)?;
    Ok(kept.concat())
}

/// What is kept of a file, which must not depend on the pieces in which it arrives.
pub fn read(file: &[u8], rules: Rules) -> Result<Vec<u8>, Fault> {
    let whole = read_in(file.len().max(1), file, rules);
    for pieces in [1, 3, 7, 64] {
        assert_eq!(read_in(pieces, file, rules), whole, "in pieces of {pieces}");
    }
    whole
}

/// Where some bytes begin.
pub fn find(file: &[u8], bytes: &[u8]) -> usize {
    file.windows(bytes.len()).position(|window| window == bytes).expect("they are in it")
}
