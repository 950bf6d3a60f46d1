//! Request targets and authorities (RFC 9112, 3.2; RFC 3986).

/// A request target, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// `/path?query`
    Origin {
        /// With its `/`.
        path: &'a str,
        /// Without its `?`.
        query: Option<&'a str>,
    },
    /// `http://user@host:port/path?query`, as proxies get it.
    Absolute {
        /// `http`
        scheme: &'a str,
        /// There was a user, perhaps with a password, before the host.
        userinfo: bool,
        /// `host:port`
        authority: &'a str,
        /// With its `/`, `/` if it was left out.
        path: &'a str,
        /// Without its `?`.
        query: Option<&'a str>,
    },
    /// `host:port` of a `CONNECT`.
    Authority(&'a str),
    /// `*` of an `OPTIONS`.
    Asterisk,
    /// Something that servers answer with 400.
    Other(&'a str),
}

impl<'a> Target<'a> {
    pub fn parse(method: &str, target: &'a str) -> Self {
        if method == "CONNECT" {
            return Target::Authority(target.rsplit('@').next().unwrap_or(target));
        }
        if target.starts_with('/') {
            let (path, query) = split_query(target);
            return Target::Origin { path, query };
        }
        if target == "*" {
            return Target::Asterisk;
        }
        let Some((scheme, rest)) = target.split_once("://") else { return Target::Other(target) };
        if scheme.is_empty()
            || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        {
            return Target::Other(target);
        }
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (path, query) = split_query(rest);
        let (userinfo, authority) = match authority.rsplit_once('@') {
            Some((_, authority)) => (true, authority),
            None => (false, authority),
        };
        Target::Absolute {
            scheme,
            userinfo,
            authority,
            path: if path.is_empty() { "/" } else { path },
            query,
        }
    }
}

/// `path?query`; a fragment, which does not belong on the wire, goes.
fn split_query(text: &str) -> (&str, Option<&str>) {
    let text = text.split('#').next().unwrap_or(text);
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    }
}

/// Host (an IPv6 address without its brackets) and port; `None` without a host.
pub(super) fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        (host, port.strip_prefix(':'))
    } else {
        match authority.split_once(':') {
            // An IPv6 address that should have had brackets.
            Some((_, port)) if port.contains(':') => (authority, None),
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    (!host.is_empty()).then(|| (host, port.and_then(|port| port.parse().ok())))
}

/// The port that a scheme implies.
pub(super) fn default_port(scheme: &str) -> u16 {
    if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The four forms, and what is none.
    #[test]
    fn forms() {
        assert_eq!(Target::parse("GET", "/a?b=c?d"), Target::Origin { path: "/a", query: Some("b=c?d") });
        assert_eq!(Target::parse("GET", "/a#f?x"), Target::Origin { path: "/a", query: None });
        assert_eq!(Target::parse("OPTIONS", "*"), Target::Asterisk);
        assert_eq!(Target::parse("CONNECT", "u:p@h:443"), Target::Authority("h:443"));
        let absolute = |userinfo, authority, path, query| Target::Absolute {
            scheme: "http",
            userinfo,
            authority,
            path,
            query,
        };
        assert_eq!(Target::parse("GET", "http://h"), absolute(false, "h", "/", None));
        assert_eq!(Target::parse("GET", "http://h:1/p?q"), absolute(false, "h:1", "/p", Some("q")));
        assert_eq!(Target::parse("GET", "http://h?q"), absolute(false, "h", "/", Some("q")));
        assert_eq!(Target::parse("GET", "http://u:p@x@h/@"), absolute(true, "h", "/@", None));
        assert_eq!(Target::parse("GET", "foo"), Target::Other("foo"));
        assert_eq!(Target::parse("GET", "://h"), Target::Other("://h"));
    }

    /// Names, addresses, ports, and bad ports.
    #[test]
    fn authorities() {
        assert_eq!(host_and_port("h"), Some(("h", None)));
        assert_eq!(host_and_port("h:80"), Some(("h", Some(80))));
        assert_eq!(host_and_port("h:"), Some(("h", None)));
        assert_eq!(host_and_port("h:99999"), Some(("h", None)));
        assert_eq!(host_and_port("[::1]:8080"), Some(("::1", Some(8080))));
        assert_eq!(host_and_port("[::1]"), Some(("::1", None)));
        assert_eq!(host_and_port("::1"), Some(("::1", None)));
        assert_eq!(host_and_port(""), None);
        assert_eq!(host_and_port(":80"), None);
        assert_eq!(host_and_port("[::1"), None);
    }
}
