//! Bytes that should be text: bounded, and valid UTF-8 whatever came.

/// At most `limit` bytes, and no part of a UTF-8 sequence at their end.
#[must_use]
pub fn cut(bytes: &[u8], limit: usize) -> &[u8] {
    if bytes.len() <= limit {
        return bytes;
    }
    let inside = (0..4).take_while(|back| back < &limit && bytes[limit - back] & 0xc0 == 0x80).count();
    &bytes[..limit - inside]
}

/// Appends text with invalid UTF-8 replaced, and control characters as spaces.
pub fn push_lossy(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        if chunk.valid().bytes().any(|byte| byte.is_ascii_control()) {
            out.extend(chunk.valid().chars().map(|c| if c.is_ascii_control() { ' ' } else { c }));
        } else {
            out.push_str(chunk.valid());
        }
        if !chunk.invalid().is_empty() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// The first `limit` bytes as text; longer than that by two thirds at most, if every byte is replaced.
#[must_use]
pub fn bounded(bytes: &[u8], limit: usize) -> Box<str> {
    let bytes = cut(bytes, limit);
    let mut text = String::with_capacity(bytes.len());
    push_lossy(&mut text, bytes);
    text.into_boxed_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No limit cuts a character in two, and what is no text is replaced.
    #[test]
    fn bounds() {
        assert_eq!(&*bounded("aé€".as_bytes(), 9), "aé€");
        for (limit, text) in [(0, ""), (1, "a"), (2, "a"), (3, "aé"), (4, "aé"), (5, "aé"), (6, "aé€")]
        {
            assert_eq!(&*bounded("aé€".as_bytes(), limit), text, "{limit}");
        }
        assert_eq!(&*bounded(b"a\xff\r\nb", 9), "a\u{fffd}  b");
        assert!(bounded(&[0x80; 9], 5).len() <= 15);
    }
}
