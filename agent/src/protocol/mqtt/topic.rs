//! Topics and filters (4.7).
//!
//! A topic often holds the name of a device, so there are as many topics as devices. What is the same for many messages is
//! the filter that the client subscribed to, if it has a wildcard; otherwise levels that look like a number or an identifier
//! are replaced by `+`.

/// Levels that are kept; what lies deeper is `#`.
const MAX_LEVELS: usize = 8;
/// A longer level is no name that somebody chose.
const MAX_NAME: usize = 32;

/// The topic without what varies; `None` if nothing does.
pub(super) fn template(topic: &str) -> Option<String> {
    if topic.split('/').enumerate().all(|(index, level)| index < MAX_LEVELS && is_name(level)) {
        return None;
    }
    let mut out = String::with_capacity(topic.len());
    for (index, level) in topic.split('/').enumerate() {
        if index > 0 {
            out.push('/');
        }
        if index == MAX_LEVELS {
            out.push('#');
            break;
        }
        out.push_str(if is_name(level) { level } else { "+" });
    }
    Some(out)
}

fn is_name(level: &str) -> bool {
    let digits = level.bytes().filter(u8::is_ascii_digit).count();
    let hexadecimal = level.len() >= 8 && level.bytes().all(|byte| byte.is_ascii_hexdigit());
    let numeric = digits > 0 && digits == level.len();
    level.len() <= MAX_NAME && digits <= 2 && !hexadecimal && !numeric
}

/// Does a filter (without `$share/GROUP/`) match a topic? Only filters with wildcards are worth knowing.
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    for pattern in filter.split('/') {
        match (pattern, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (pattern, Some(level)) if pattern == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// The part of a filter that topics are compared with.
pub(super) fn unshared(filter: &str) -> &str {
    match filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/')) {
        Some((_, filter)) => filter,
        None => filter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names stay, identifiers go.
    #[test]
    fn templates() {
        for whole in ["sensors/kitchen/temperature", "zone12/lamp", "/a//b", "a/b/c/d/e/f/g/h"] {
            assert_eq!(template(whole), None);
        }
        assert_eq!(template("devices/esp-8f3a21/state").as_deref(), Some("devices/+/state"));
        assert_eq!(template("users/7/deadbeefcafe").as_deref(), Some("users/+/+"));
        assert_eq!(template("a/b/c/d/e/f/g/h/i/j").as_deref(), Some("a/b/c/d/e/f/g/h/#"));
    }

    /// The standard's examples.
    #[test]
    fn filters() {
        assert!(matches("sport/tennis/player1/#", "sport/tennis/player1"));
        assert!(matches("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"));
        assert!(matches("sport/tennis/+", "sport/tennis/player2"));
        assert!(!matches("sport/tennis/+", "sport/tennis/player1/ranking"));
        assert!(!matches("sport/+", "sport"));
        assert!(matches("+/+", "/finance"));
        assert!(!matches("+", "/finance"));
        assert_eq!(unshared("$share/group/a/+"), "a/+");
    }
}
