//! The Huffman code of strings (RFC 7541, 5.2 and appendix B).
//!
//! The code is canonical: codes of one length follow each other in the order of their symbols, and longer ones follow
//! shorter ones. So the lengths are all there is to know of it.

/// End of string: fills the last byte, and never stands in a string as a whole.
const END: u16 = 256;
const LONGEST: usize = 30;

/// Bits of the code of each byte, and of [`END`].
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The code, sorted.
struct Code {
    /// Symbols in the order of their codes.
    symbols: [u16; 257],
    /// For each length: behind the last code of it, as the first bits of a word of 32.
    limits: [u32; LONGEST + 1],
    /// For each length: what turns a code into the index of its symbol.
    offsets: [u32; LONGEST + 1],
}

static CODE: Code = sorted();

const fn sorted() -> Code {
    let mut symbols = [0; 257];
    let mut limits = [0; LONGEST + 1];
    let mut offsets = [0; LONGEST + 1];
    let (mut count, mut code, mut length) = (0, 0_u32, 1);
    while length <= LONGEST {
        offsets[length] = (count as u32).wrapping_sub(code);
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                symbols[count] = symbol as u16;
                count += 1;
                code += 1;
            }
            symbol += 1;
        }
        // The last code of all has no next one in 32 bits.
        limits[length] = if length == LONGEST { u32::MAX } else { code << (32 - length) };
        code <<= 1;
        length += 1;
    }
    Code { symbols, limits, offsets }
}

/// Appends what `encoded` says. A string that is `whole` ends with at most seven bits of the end's code; of one that was cut
/// off, what is left at its end is ignored. False if it is not encoded so.
pub fn decode(encoded: &[u8], whole: bool, out: &mut Vec<u8>) -> bool {
    let mut bits = 0_u64;
    let mut count = 0;
    let mut rest = encoded.iter();
    loop {
        while count <= 56 {
            let Some(&byte) = rest.next() else { break };
            bits |= u64::from(byte) << (56 - count);
            count += 8;
        }
        // What is missing at the end reads as the end's code, which is all ones.
        let window = (bits >> 32) as u32 | u32::MAX.checked_shr(count).unwrap_or(0);
        let Some(length) = (5..=LONGEST).find(|&length| window < CODE.limits[length]) else {
            return !whole || (count < 8 && window == u32::MAX);
        };
        if length > count as usize {
            return !whole || (count < 8 && window == u32::MAX);
        }
        let index = (window >> (32 - length)).wrapping_add(CODE.offsets[length]);
        match CODE.symbols.get(index as usize) {
            Some(&END) | None => return false,
            Some(&symbol) => out.push(symbol as u8),
        }
        bits <<= length;
        count -= length as u32;
    }
}

/// Appends `plain`, encoded.
#[cfg(test)]
pub fn encode(plain: &[u8], out: &mut Vec<u8>) {
    let mut bits = 0_u64;
    let mut count = 0;
    for &byte in plain {
        let length = usize::from(LENGTHS[usize::from(byte)]);
        let index = CODE.symbols.iter().position(|&symbol| symbol == u16::from(byte)).unwrap_or_default();
        let code = (index as u32).wrapping_sub(CODE.offsets[length]);
        bits = bits << length | u64::from(code);
        count += length;
        while count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    if count > 0 {
        out.push((bits << (8 - count)) as u8 | 0xff >> count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(encoded: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(encoded, true, &mut out).then_some(out)
    }

    /// RFC 7541's examples (appendix C.4 and C.6).
    #[test]
    fn examples() {
        for (encoded, plain) in [
            (&b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..], "www.example.com"),
            (b"\xa8\xeb\x10\x64\x9c\xbf", "no-cache"),
            (b"\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f", "custom-key"),
            (b"\x64\x02", "302"),
            (
                b"\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff",
                "Mon, 21 Oct 2013 20:13:21 GMT",
            ),
        ] {
            assert_eq!(decoded(encoded).as_deref(), Some(plain.as_bytes()));
            let mut again = Vec::new();
            encode(plain.as_bytes(), &mut again);
            assert_eq!(again, encoded);
        }
    }

    /// Every byte alone and all in a row; the longest codes, whose values the RFC's table gives.
    #[test]
    fn every_byte() {
        let all: Vec<u8> = (0..=255).collect();
        let strings = all.iter().map(|&byte| vec![byte]).chain([all.clone(), Vec::new()]);
        for plain in strings {
            let mut encoded = Vec::new();
            encode(&plain, &mut encoded);
            assert_eq!(decoded(&encoded), Some(plain));
        }
        for (byte, code) in [(b'\n', 0x3fff_fffc_u32), (b'\r', 0x3fff_fffd), (22, 0x3fff_fffe)] {
            let mut encoded = Vec::new();
            encode(&[byte], &mut encoded);
            assert_eq!(encoded, (code << 2 | 3).to_be_bytes());
        }
    }

    /// Padding that is not the end's code, or too long, and the end itself.
    #[test]
    fn bad_strings() {
        for bad in [&b"\x1e"[..], b"\xff", b"\x1f\xff", b"\xff\xff\xff\xff", b"\xff\xff\xff\xfc"] {
            assert_eq!(decoded(bad), None, "{bad:02x?}");
        }
        assert_eq!(decoded(b"\x1f").as_deref(), Some(&b"a"[..]));
        let mut out = Vec::new();
        assert!(decode(b"\xf1\xe3\xc2\xe5", false, &mut out));
        assert_eq!(out, b"www.e");
    }
}
