//! Secrets in URLs.

use std::borrow::Cow;

/// What stands in place of a secret.
const REDACTED: &str = "REDACTED";

/// Query parameters whose values are replaced by default: those that the semantic conventions name for
/// `url.full`, and what else carries credentials in practice.
pub(super) const DEFAULT_KEYS: &[&str] = &[
    // The conventions' list.
    "AWSAccessKeyId",
    "Signature",
    "sig",
    "X-Goog-Signature",
    // Signed URLs.
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Goog-Credential",
    // Tokens.
    "access_token",
    "assertion",
    "auth",
    "auth_token",
    "authorization",
    "authtoken",
    "bearer",
    "client_assertion",
    "code_verifier",
    "csrf_token",
    "id_token",
    "jwt",
    "oauth_token",
    "private_token",
    "refresh_token",
    "secret_token",
    "token",
    "x-auth-token",
    // Keys.
    "access_key",
    "api-key",
    "api_key",
    "apikey",
    "private_key",
    "secret_key",
    "subscription-key",
    "x-api-key",
    // Passwords and secrets.
    "client_secret",
    "credential",
    "credentials",
    "otp",
    "pass",
    "passphrase",
    "passwd",
    "password",
    "pwd",
    "secret",
    // Sessions.
    "jsessionid",
    "phpsessid",
    "session",
    "session_id",
    "sessionid",
];

/// Replaces the values of sensitive parameters. Keys are compared without regard to case, which is stricter
/// than the conventions ask, and percent-decoded; of `user[password]` the innermost name counts.
#[derive(Debug)]
pub(in crate::protocol) struct Redactor {
    /// Lower case, sorted.
    keys: Vec<String>,
}

impl Redactor {
    pub fn new(keys: &[String]) -> Self {
        let mut keys: Vec<_> = keys.iter().map(|key| key.to_ascii_lowercase()).collect();
        keys.sort_unstable();
        keys.dedup();
        Self { keys }
    }

    /// A query, without its `?`.
    pub fn query<'a>(&self, query: &'a str) -> Cow<'a, str> {
        self.parameters(query, '&')
    }

    /// A path: values of its path parameters (`/cart;jsessionid=1234`).
    pub fn path<'a>(&self, path: &'a str) -> Cow<'a, str> {
        if !path.contains(';') {
            return Cow::Borrowed(path);
        }
        let mut out = String::with_capacity(path.len());
        for (index, segment) in path.split('/').enumerate() {
            if index > 0 {
                out.push('/');
            }
            out.push_str(&self.parameters(segment, ';'));
        }
        Cow::Owned(out)
    }

    fn parameters<'a>(&self, text: &'a str, separator: char) -> Cow<'a, str> {
        if !text.split(separator).any(|parameter| self.secret(parameter).is_some()) {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        for (index, parameter) in text.split(separator).enumerate() {
            if index > 0 {
                out.push(separator);
            }
            match self.secret(parameter) {
                Some(key) => {
                    out.push_str(key);
                    out.push('=');
                    out.push_str(REDACTED);
                }
                None => out.push_str(parameter),
            }
        }
        Cow::Owned(out)
    }

    /// The parameter's key, if its value is to be replaced.
    fn secret<'a>(&self, parameter: &'a str) -> Option<&'a str> {
        let (key, value) = parameter.split_once('=')?;
        (!value.is_empty() && self.matches(key)).then_some(key)
    }

    fn matches(&self, key: &str) -> bool {
        let mut lower = decode(key);
        lower.make_ascii_lowercase();
        let mut name = lower.as_str();
        if let Some(inner) = name.strip_suffix(']') {
            name = inner.rsplit('[').next().unwrap_or(inner);
        }
        self.keys.binary_search_by(|known| known.as_str().cmp(name)).is_ok()
    }
}

/// Percent-decoding of a key; what is not valid stays as it is.
fn decode(key: &str) -> String {
    if !key.contains(['%', '+']) {
        return key.to_owned();
    }
    let digit = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    let bytes = key.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        index += 1;
        out.push(match byte {
            b'+' => b' ',
            b'%' => match (digit(bytes.get(index)), digit(bytes.get(index + 1))) {
                (Some(high), Some(low)) => {
                    index += 2;
                    (high << 4 | low) as u8
                }
                _ => byte,
            },
            _ => byte,
        });
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of sensitive keys go, everything else stays byte for byte.
    #[test]
    fn queries() {
        let keys: Vec<_> = DEFAULT_KEYS.iter().map(|&key| key.to_owned()).collect();
        let redactor = Redactor::new(&keys);
        for (query, expected) in [
            ("", ""),
            ("q=OpenTelemetry", "q=OpenTelemetry"),
            ("color=blue&sig=abc%3D", "color=blue&sig=REDACTED"),
            (
                "AWSAccessKeyId=AKIA&Signature=x&Expires=1",
                "AWSAccessKeyId=REDACTED&Signature=REDACTED&Expires=1",
            ),
            ("x-goog-signature=0f", "x-goog-signature=REDACTED"),
            ("PASSWORD=p=q&&a", "PASSWORD=REDACTED&&a"),
            ("user[password]=p&user%5Btoken%5D=t", "user[password]=REDACTED&user%5Btoken%5D=REDACTED"),
            ("%74oken=t&to%6", "%74oken=REDACTED&to%6"),
            ("token=&token", "token=&token"),
            ("tokens=1&design=2", "tokens=1&design=2"),
        ] {
            assert_eq!(redactor.query(query), expected, "{query}");
        }
        assert_eq!(redactor.path("/a/b"), "/a/b");
        assert_eq!(redactor.path("/cart;jsessionid=12;x=1/b;y"), "/cart;jsessionid=REDACTED;x=1/b;y");
    }

    /// The user's list replaces the default one.
    #[test]
    fn own_keys() {
        let redactor = Redactor::new(&["Card".to_owned()]);
        assert_eq!(redactor.query("card=4111&token=t"), "card=REDACTED&token=t");
    }
}
