//! Proxies' notes of where a request comes from.

use super::is;

/// The first value of a parameter in the first element of `Forwarded` (RFC 7239, 4).
pub(in crate::protocol) fn forwarded<'a>(value: &'a [u8], parameter: &[u8]) -> Option<&'a [u8]> {
    let first = list_head(value);
    first.split(|&byte| byte == b';').find_map(|pair| {
        let equals = memchr::memchr(b'=', pair)?;
        is(pair[..equals].trim_ascii(), parameter).then(|| unquote(pair[equals + 1..].trim_ascii()))
    })
}

/// The first element of a comma-separated list.
pub(in crate::protocol) fn list_head(value: &[u8]) -> &[u8] {
    value.split(|&byte| byte == b',').next().unwrap_or_default().trim_ascii()
}

fn unquote(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7239's examples.
    #[test]
    fn forwarded_elements() {
        let get = |value: &'static str, name: &str| {
            forwarded(value.as_bytes(), name.as_bytes()).map(|v| std::str::from_utf8(v).unwrap())
        };
        assert_eq!(get("for=192.0.2.43, for=198.51.100.17", "for"), Some("192.0.2.43"));
        assert_eq!(get("For=\"[2001:db8:cafe::17]:4711\"", "for"), Some("[2001:db8:cafe::17]:4711"));
        assert_eq!(get("for=192.0.2.60;proto=http;by=203.0.113.43", "proto"), Some("http"));
        assert_eq!(get("for=192.0.2.60; host=\"a.example:81\"", "host"), Some("a.example:81"));
        assert_eq!(get("by=x, host=y", "host"), None);
        assert_eq!(get("nonsense", "for"), None);
    }
}
