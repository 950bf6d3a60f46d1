//! Finds the line of a key in a YAML text, for messages about values that were read without their places.

/// The line (from 1) of the key at `path` (`probes.ring_bytes`), or of as much of the path as can be found. Knows block
/// style only; of a mapping in flow style (`{a: 1}`) it finds the line where it begins.
pub(super) fn line(text: &str, path: &str) -> Option<usize> {
    let mut wanted = path.split('.').peekable();
    let mut found = None;
    let mut outer: Option<usize> = None;
    for (index, line) in text.lines().enumerate() {
        let Some(&key) = wanted.peek() else { break };
        let content = line.trim_start();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let indentation = line.len() - content.len();
        match outer {
            // Deeper than the section's key, or there is no section yet.
            Some(outer) if indentation <= outer => break,
            None if indentation > 0 => continue,
            _ => {}
        }
        let name = content.split(':').next().unwrap_or(content).trim().trim_matches(['"', '\'']);
        if name == key {
            found = Some(index + 1);
            outer = Some(indentation);
            wanted.next();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_where_they_stand() {
        let text = "# ring_bytes: 1\nlog:\n  level: info\nprobes:\n\n  # ring_bytes: 2\n  tier: auto\n  \"ring_bytes\": 3\nmetrics: {interval_ms: 5}\n";
        assert_eq!(line(text, "probes.ring_bytes"), Some(8));
        assert_eq!(line(text, "log.level"), Some(3));
        assert_eq!(line(text, "metrics.interval_ms"), Some(9));
        assert_eq!(line(text, "probes.netns"), Some(4));
        assert_eq!(line(text, "log.ring_bytes"), Some(2));
        assert_eq!(line(text, "ring_bytes"), None);
    }
}
