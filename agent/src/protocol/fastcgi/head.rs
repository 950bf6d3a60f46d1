//! The head of a response (RFC 3875, 6.2 and 6.3).

use memchr::memchr;

/// Bytes of a head that are looked at, over several records.
pub(super) const MAX_HEAD: usize = 16 * 1024;

/// What is known of a response's head.
#[derive(Debug)]
pub(super) struct Response {
    pub status: u16,
    /// Bytes of it.
    pub length: usize,
}

/// Reads a head; `None` if its end is not here and neither is its status.
pub(super) fn read(bytes: &[u8]) -> Option<Response> {
    let mut at = 0;
    let (mut status, mut location) = (None, false);
    loop {
        let end = at + memchr(b'\n', &bytes[at..])?;
        let line = bytes[at..end].strip_suffix(b"\r").unwrap_or(&bytes[at..end]);
        at = end + 1;
        if line.is_empty() {
            // Without a status it is 200, or 302 if it says where to go.
            let status = status.unwrap_or(if location { 302 } else { 200 });
            return Some(Response { status, length: at });
        }
        let Some(colon) = memchr(b':', line) else { continue };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"status") {
            status = code(value);
        } else if name.eq_ignore_ascii_case(b"location") {
            location = true;
        }
    }
}

fn code(value: &[u8]) -> Option<u16> {
    let digits = value.get(..3).filter(|_| !value.get(3).is_some_and(u8::is_ascii_digit))?;
    let code: u16 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (100..1000).contains(&code).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Statuses said and not said.
    #[test]
    fn statuses() {
        let status = |head: &str| read(head.as_bytes()).map(|head| (head.status, head.length));
        assert_eq!(status("Content-Type: a\r\nStatus: 404 Not Found\r\n\r\nbody"), Some((404, 42)));
        assert_eq!(status("Content-type: a\n\nbody"), Some((200, 17)));
        assert_eq!(status("Location: /x\r\n\r\n"), Some((302, 16)));
        assert_eq!(status("Status: 40\r\n\r\n"), Some((200, 14)));
        assert_eq!(status("Status: 500 x\r\nA"), None);
    }
}
