//! Numbers of variable length: seven bits a byte, the lowest first.

/// A number and how many bytes it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Varint {
    Number(u64, usize),
    /// It goes on behind the bytes.
    More,
    /// Longer than 64 bits.
    Bad,
}

/// The number that `bytes` begin with.
pub(super) fn read(bytes: &[u8]) -> Varint {
    let mut number = 0;
    for (index, byte) in bytes.iter().enumerate() {
        if index == 10 {
            return Varint::Bad;
        }
        number |= u64::from(byte & 0x7f) << (7 * index as u32).min(63);
        if byte & 0x80 == 0 {
            return Varint::Number(number, index + 1);
        }
    }
    if bytes.len() >= 10 { Varint::Bad } else { Varint::More }
}
