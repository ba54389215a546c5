//! How it is known that the bytes which are sent, and those which are stored, are those that were accepted.

use md5::{Digest as _, Md5};

/// What is known of a file's bytes before they are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checksum {
    /// Its CRC-32. Nothing but a file that has it is stored; the MD5 that Cloudinary answers is compared with that of the bytes
    /// as they were read.
    Crc32(u32),
    /// Its MD5 in hex. What was stored is compared with it.
    Md5(String),
}

/// Both sums of a file's bytes from the start, as far as they were read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sums {
    bytes: u64,
    crc32: crc32fast::Hasher,
    md5: Md5,
}

impl Sums {
    #[cfg(test)]
    pub fn of(bytes: &[u8]) -> Self {
        let mut sums = Self::default();
        sums.take(0, bytes);
        sums
    }

    /// So many bytes were taken.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes bytes of the file that begin at `first`, but for those that it has. After a gap it takes none.
    pub fn take(&mut self, first: u64, bytes: &[u8]) {
        let known = self.bytes.checked_sub(first).and_then(|known| usize::try_from(known).ok());
        let Some(new) = known.and_then(|known| bytes.get(known..)) else { return };
        self.crc32.update(new);
        self.md5.update(new);
        self.bytes += new.len() as u64;
    }

    pub fn crc32(&self) -> u32 {
        self.crc32.clone().finalize()
    }

    /// In hex.
    pub fn md5(&self) -> String {
        hex::encode(self.md5.clone().finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_of_the_bytes_in_their_order_however_often_they_are_read() {
        let content: Vec<u8> = (0..=255).collect();
        let whole = Sums::of(&content);
        assert_eq!((whole.bytes(), whole.crc32()), (256, crc32fast::hash(&content)));
        assert_eq!(whole.md5(), hex::encode(Md5::digest(&content)));
        let mut sums = Sums::default();
        for (first, end) in [(10, 20), (0, 100), (0, 100), (100, 100), (50, 150), (151, 256), (140, 256), (0, 256)] {
            sums.take(first, &content[first as usize..end]);
        }
        assert_eq!((sums.bytes(), sums.crc32(), sums.md5()), (256, whole.crc32(), whole.md5()));
    }
}
