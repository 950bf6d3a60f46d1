//! Routes: paths without what varies.
//!
//! A server's framework knows its routes, its bytes do not show them. So a path is matched with the user's
//! patterns, and otherwise generalised: a segment that looks like an identifier becomes `{id}`, files that
//! browsers load become `*`, and what lies deeper than [`MAX_DEPTH`] segments too. That errs on the side of
//! few routes: a false `{id}` merges two routes, a missed one makes as many routes as there are users.

use std::borrow::Cow;

/// What stands for a segment that varies.
const PLACEHOLDER: &str = "{id}";
/// Segments that are kept.
const MAX_DEPTH: usize = 8;
/// A longer segment is no name that a programmer gave.
const MAX_NAME: usize = 40;
/// More words than that are a title (`how-to-cook-an-egg`).
const MAX_WORDS: usize = 4;

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Patterns are matched with whole paths.
    #[error("pattern {0:?} does not begin with `/`")]
    NotAbsolute(String),
    /// A brace is open, or not alone in its segment.
    #[error("pattern {0:?}: a placeholder is a whole segment, `{{name}}`")]
    Placeholder(String),
    /// `*` is not alone in its segment.
    #[error("pattern {0:?}: `*` is a whole segment (at the end it matches all that follows)")]
    Wildcard(String),
    /// Patterns are matched with paths, which have neither.
    #[error("pattern {0:?}: a path has no `?` and no `#`")]
    Query(String),
    /// Nothing between two slashes.
    #[error("pattern {0:?} has an empty segment")]
    EmptySegment(String),
}

/// One of the user's patterns.
#[derive(Debug)]
struct Pattern {
    text: String,
    /// `None` matches any one segment.
    segments: Vec<Option<String>>,
    /// It ends with `*`: at least one more segment follows.
    open: bool,
}

impl Pattern {
    fn new(text: &str) -> Result<Self, PatternError> {
        let Some(path) = text.strip_prefix('/') else {
            return Err(PatternError::NotAbsolute(text.to_owned()));
        };
        if path.contains(['?', '#']) {
            return Err(PatternError::Query(text.to_owned()));
        }
        let mut segments = Vec::new();
        let mut open = false;
        let path = path.strip_suffix('/').unwrap_or(path);
        let count = if path.is_empty() { 0 } else { path.split('/').count() };
        for (index, segment) in path.split('/').enumerate().take(count) {
            match segment {
                "" => return Err(PatternError::EmptySegment(text.to_owned())),
                "*" if index + 1 == count => open = true,
                "*" => segments.push(None),
                _ if segment.contains('*') => return Err(PatternError::Wildcard(text.to_owned())),
                _ if segment.contains(['{', '}']) => {
                    let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
                    if name.is_none_or(|name| name.is_empty() || name.contains(['{', '}'])) {
                        return Err(PatternError::Placeholder(text.to_owned()));
                    }
                    segments.push(None);
                }
                _ => segments.push(Some(segment.to_owned())),
            }
        }
        Ok(Self { text: text.to_owned(), segments, open })
    }

    fn matches(&self, path: &str) -> bool {
        let mut rest = segments(path);
        let fits = self.segments.iter().all(|expected| match (expected, rest.next()) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(expected), Some(segment)) => expected == segment,
        });
        fits && rest.next().is_some() == self.open
    }
}

/// Paths to routes.
#[derive(Debug, Default)]
pub struct Router {
    patterns: Vec<Pattern>,
}

impl Router {
    /// With the user's patterns, the first match wins.
    ///
    /// # Errors
    ///
    /// The first pattern that cannot be used.
    pub fn new<P: AsRef<str>>(patterns: &[P]) -> Result<Self, PatternError> {
        let patterns =
            patterns.iter().map(|pattern| Pattern::new(pattern.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self { patterns })
    }

    /// With those of the patterns that can be used.
    pub(super) fn lenient(patterns: &[String]) -> Self {
        Self { patterns: patterns.iter().filter_map(|pattern| Pattern::new(pattern).ok()).collect() }
    }

    /// The user's pattern that matches `path`.
    #[must_use]
    pub fn template(&self, path: &str) -> Option<&str> {
        self.patterns.iter().find(|pattern| pattern.matches(path)).map(|pattern| pattern.text.as_str())
    }

    /// The route of `path` (without its query): the user's pattern, or what the heuristics make of it.
    #[must_use]
    pub fn route<'a>(&'a self, path: &'a str) -> Cow<'a, str> {
        match self.template(path) {
            Some(pattern) => Cow::Borrowed(pattern),
            None => generalise(path),
        }
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

fn generalise(path: &str) -> Cow<'_, str> {
    let mut count = 0;
    let mut last = "";
    let mut plain = path.starts_with('/');
    for segment in segments(path) {
        count += 1;
        last = segment;
        plain &= is_name(segment);
    }
    let asset = is_asset(last);
    if count == 0 {
        return Cow::Borrowed("/");
    }
    // Nothing to change in most paths of an API.
    if plain && !asset && count <= MAX_DEPTH && !path.ends_with('/') && !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let kept = if asset { count - 1 } else { count }.min(MAX_DEPTH);
    let mut route = String::with_capacity(path.len());
    for segment in segments(path).take(kept) {
        route.push('/');
        route.push_str(if is_name(segment) { segment } else { PLACEHOLDER });
    }
    if kept < count {
        route.push_str("/*");
    }
    Cow::Owned(route)
}

/// Files that pages load: their names carry hashes, and nobody looks at one of them alone.
fn is_asset(segment: &str) -> bool {
    const EXTENSIONS: &[&str] = &[
        "avif",
        "bmp",
        "css",
        "eot",
        "gif",
        "ico",
        "jpeg",
        "jpg",
        "js",
        "map",
        "mjs",
        "mp3",
        "mp4",
        "ogg",
        "otf",
        "png",
        "svg",
        "ttf",
        "wasm",
        "wav",
        "webm",
        "webmanifest",
        "webp",
        "woff",
        "woff2",
    ];
    segment.rsplit_once('.').is_some_and(|(_, extension)| {
        EXTENSIONS.binary_search_by(|known| known.cmp(&extension.to_ascii_lowercase().as_str())).is_ok()
    })
}

/// Does this look like a name that a programmer gave, rather than like a value?
fn is_name(segment: &str) -> bool {
    if segment.len() > MAX_NAME {
        return false;
    }
    let mut words = 0;
    for word in segment.split(['-', '_', '.', '~', ':', '$', '!']) {
        words += usize::from(!word.is_empty());
        if !is_word(word) {
            return false;
        }
    }
    words > 0 && words <= MAX_WORDS
}

/// Letters that somebody could pronounce, perhaps with a small number (`oauth2`, `i18n`, `v1`).
fn is_word(word: &str) -> bool {
    let bytes = word.as_bytes();
    if !bytes.iter().all(u8::is_ascii_alphanumeric) {
        return false;
    }
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits > 0 {
        let runs = bytes.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
        let runs = runs.filter(|run| run[0].is_ascii_digit()).count();
        // All digits, hex, base64, `user1234`.
        if digits == bytes.len() || digits > 2 || runs > 1 || (bytes.len() >= 8 && is_hex(bytes)) {
            return false;
        }
    } else if bytes.len() >= 16 && is_hex(bytes) {
        return false;
    }
    !is_random(bytes)
}

fn is_hex(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_hexdigit)
}

/// Long enough to tell, and unlike a word: case changes all the time, or no vowel for long.
fn is_random(bytes: &[u8]) -> bool {
    const MANY_CONSONANTS: usize = 7;
    if bytes.len() < 8 {
        return false;
    }
    let changes =
        bytes.windows(2).filter(|pair| pair[0].is_ascii_lowercase() && !pair[1].is_ascii_lowercase()).count();
    // `getUserById` has three in eleven; a random string of letters one in four or more.
    if changes > 2 && changes * 9 > bytes.len() * 2 && bytes.iter().any(u8::is_ascii_lowercase) {
        let humps = bytes.chunk_by(|a, b| !a.is_ascii_lowercase() || b.is_ascii_lowercase());
        // Humps of a camel are words, mostly of two letters and more, and begin with one capital.
        let odd =
            humps.filter(|hump| hump.len() < 2 || hump.iter().filter(|b| b.is_ascii_uppercase()).count() > 1);
        if odd.count() > 1 {
            return true;
        }
    }
    bytes
        .chunk_by(|a, b| is_vowel(*a) == is_vowel(*b))
        .any(|run| !is_vowel(run[0]) && run.len() >= MANY_CONSONANTS)
}

fn is_vowel(byte: u8) -> bool {
    matches!(byte.to_ascii_lowercase(), b'a' | b'e' | b'i' | b'o' | b'u' | b'y')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names stay, values go.
    #[test]
    fn heuristics() {
        let router = Router::default();
        for (path, route) in [
            ("/", "/"),
            ("", "/"),
            ("//", "/"),
            ("/users", "/users"),
            ("/users/", "/users"),
            ("//users//list", "/users/list"),
            ("/users/42", "/users/{id}"),
            ("/users/42/orders/7", "/users/{id}/orders/{id}"),
            ("/users/alice@example.com", "/users/{id}"),
            ("/users/alice%40example.com", "/users/{id}"),
            ("/v1/items/3f2504e0-4f89-11d3-9a0c-0305e82c3301", "/v1/items/{id}"),
            ("/blobs/d41d8cd98f00b204e9800998ecf8427e", "/blobs/{id}"),
            ("/c/deadbeef", "/c/deadbeef"),
            ("/c/deadbeef1", "/c/{id}"),
            ("/c/deadbeefdeadbeef", "/c/{id}"),
            ("/reports/2024-01-31", "/reports/{id}"),
            ("/reports/2024-01-31T10:00:00Z", "/reports/{id}"),
            ("/t/dGhpcyBpcyBhIHRva2Vu", "/t/{id}"),
            ("/t/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "/t/{id}"),
            ("/t/xkqzjwvbtrpl", "/t/{id}"),
            ("/o/ORD-2024-001", "/o/{id}"),
            ("/u/user123", "/u/{id}"),
            ("/blog/how-to-cook-an-egg", "/blog/{id}"),
            ("/blog/terms-and-conditions", "/blog/terms-and-conditions"),
            ("/api/v2/oauth2/i18n", "/api/v2/oauth2/i18n"),
            ("/api/v12/getUserById", "/api/v12/getUserById"),
            ("/svc/getUserAccountTransactionHistory", "/svc/getUserAccountTransactionHistory"),
            ("/package.Service/GetItem", "/package.Service/GetItem"),
            ("/.well-known/openid-configuration", "/.well-known/openid-configuration"),
            ("/v1/projects/p/topics/t:publish", "/v1/projects/p/topics/t:publish"),
            ("/odata/$metadata", "/odata/$metadata"),
            ("/odata/Products(5)", "/odata/{id}"),
            ("/index.html", "/index.html"),
            ("/wp-login.php", "/wp-login.php"),
            ("/static/js/app.3f2a9c.js", "/static/js/*"),
            ("/favicon.ico", "/*"),
            ("/logo.PNG", "/*"),
            ("/a/b/c/d/e/f/g/h", "/a/b/c/d/e/f/g/h"),
            ("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/*"),
            ("/café", "/{id}"),
            ("/a/...", "/a/{id}"),
            ("users", "/users"),
        ] {
            assert_eq!(router.route(path), route, "{path}");
        }
    }

    /// The first of the user's patterns that matches wins; the others get the heuristics.
    #[test]
    fn patterns() {
        let router =
            Router::new(&["/users/me", "/users/{name}", "/users/{id}/orders/*", "/a/*/c", "/", "/f/*"])
                .unwrap();
        for (path, route, template) in [
            ("/users/me", "/users/me", true),
            ("/users/alice", "/users/{name}", true),
            ("/users/alice/", "/users/{name}", true),
            ("/users/alice/orders", "/users/alice/orders", false),
            ("/users/alice/orders/1/x", "/users/{id}/orders/*", true),
            ("/a/b/c", "/a/*/c", true),
            ("/a/b/d", "/a/b/d", false),
            ("/", "/", true),
            ("/f", "/f", false),
            ("/f/x.css", "/f/*", true),
        ] {
            assert_eq!(router.route(path), route, "{path}");
            assert_eq!(router.template(path).is_some(), template, "{path}");
        }
    }

    /// Patterns that cannot be meant are refused.
    #[test]
    fn bad_patterns() {
        let error = |pattern: &str| Router::new(&[pattern]).err();
        assert_eq!(error("users"), Some(PatternError::NotAbsolute("users".into())));
        assert_eq!(error("/users/{id"), Some(PatternError::Placeholder("/users/{id".into())));
        assert_eq!(error("/users/x{id}"), Some(PatternError::Placeholder("/users/x{id}".into())));
        assert_eq!(error("/users/{}"), Some(PatternError::Placeholder("/users/{}".into())));
        assert_eq!(error("/users/**"), Some(PatternError::Wildcard("/users/**".into())));
        assert_eq!(error("/users?id=*"), Some(PatternError::Query("/users?id=*".into())));
        assert_eq!(error("/a//b"), Some(PatternError::EmptySegment("/a//b".into())));
        assert_eq!(
            error("/users/{id").unwrap().to_string(),
            "pattern \"/users/{id\": a placeholder is a whole segment, `{name}`"
        );
    }
}
