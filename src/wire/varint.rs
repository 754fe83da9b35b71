//! QUIC variable-length integers (RFC 9000 section 16): the two top bits of the first byte say whether the number
//! takes 1, 2, 4 or 8 bytes (rule W1).

use bytes::BufMut;

/// The largest number that fits: 2^62 - 1. No sequence, window or counter on the wire is larger (rule W2).
pub const MAX: u64 = (1 << 62) - 1;

/// Bytes of the shortest form of `value`.
#[inline]
pub const fn size(value: u64) -> usize {
    match value {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..0x4000_0000 => 4,
        _ => 8,
    }
}

/// Writes `value` in its shortest form. It must be at most [`MAX`]; of a larger one the two top bits are lost.
#[inline]
pub fn encode(value: u64, out: &mut impl BufMut) {
    debug_assert!(value <= MAX, "{value} does not fit into a varint");
    match size(value) {
        1 => out.put_u8(value as u8),
        2 => out.put_u16(0x4000 | value as u16),
        4 => out.put_u32(0x8000_0000 | value as u32),
        _ => out.put_u64(0xC000_0000_0000_0000 | value),
    }
}

/// Takes one number off the front of `bytes`, in any of its forms. `None`: more bytes are needed, and nothing was
/// taken.
#[inline]
pub fn decode(bytes: &mut &[u8]) -> Option<u64> {
    let (value, rest) = match bytes.first()? >> 6 {
        0 => bytes.split_first_chunk::<1>().map(|(&[byte], rest)| (u64::from(byte), rest)),
        1 => bytes
            .split_first_chunk()
            .map(|(form, rest)| (u64::from(u16::from_be_bytes(*form) & 0x3FFF), rest)),
        2 => bytes
            .split_first_chunk()
            .map(|(form, rest)| (u64::from(u32::from_be_bytes(*form) & 0x3FFF_FFFF), rest)),
        _ => bytes.split_first_chunk().map(|(form, rest)| (u64::from_be_bytes(*form) & MAX, rest)),
    }?;
    *bytes = rest;
    Some(value)
}
