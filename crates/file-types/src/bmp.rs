//! BMP, whose size has two forms.

/// The width and height of a BMP by its first 26 bytes. The height of one that is stored from the top down is negative, and the oldest
/// header (12 bytes) has short fields.
pub fn bmp_size(first: &[u8]) -> Option<(u32, u32)> {
    let header = first.strip_prefix(b"BM")?.get(12..)?;
    let (length, [a, b, c, d, e, f, g, h]) = (header.first_chunk()?, *header.get(4..)?.first_chunk()?);
    if u32::from_le_bytes(*length) == 12 {
        return Some((u16::from_le_bytes([a, b]).into(), u16::from_le_bytes([c, d]).into()));
    }
    Some((i32::from_le_bytes([a, b, c, d]).unsigned_abs(), i32::from_le_bytes([e, f, g, h]).unsigned_abs()))
}
