//! What the user sees while waiting: one line a step, a sign of life in long ones, and the reason when one fails.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

const BEAT: Duration = Duration::from_secs(20);

/// Whether colours make sense on standard output.
pub fn colours() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// `text` in an ANSI colour (its SGR number), or as it is when colours are off.
pub fn paint(text: &str, sgr: &str) -> String {
    if colours() { format!("\x1b[{sgr}m{text}\x1b[0m") } else { text.to_owned() }
}

/// A headline that separates the parts of a long run.
pub fn headline(text: &str) {
    println!("\n{}", paint(&format!("== {text}"), "1"));
    let _ = io::stdout().flush();
}

/// One line about a finished step: its name, what now stands, and how long it took.
pub fn done(step: &str, what: &str, since: Instant) {
    println!("  {} {step:<22} {what} ({})", paint("ok", "32"), seconds(since.elapsed()));
}

/// One line about something optional that cannot be had.
pub fn skipped(step: &str, why: &str) {
    println!("  {} {step:<20} {why}", paint("skip", "33"));
}

/// One line about what begins now and will take a while.
pub fn doing(what: &str) {
    println!("     {what} …");
    let _ = io::stdout().flush();
}

/// A duration in seconds, or minutes and seconds.
pub fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        whole => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

/// Prints a line whenever a command has run for another [`BEAT`].
pub struct Heartbeat {
    name: String,
    start: Instant,
    next: Duration,
}

impl Heartbeat {
    pub fn new(name: &str) -> Self {
        let telling = |word: &&str| !word.starts_with('-') && !word.contains('=');
        let name = name.split_whitespace().filter(telling).take(3).collect::<Vec<_>>().join(" ");
        Self { name, start: Instant::now(), next: BEAT }
    }

    /// To be called often. `log`: the file the command writes to, whose last line tells how far it is.
    pub fn tick(&mut self, log: Option<&Path>) {
        let elapsed = self.start.elapsed();
        if elapsed < self.next {
            return;
        }
        self.next += BEAT;
        let last = log.map(|path| last_lines(path, 1)).unwrap_or_default();
        let last: String = last.trim().chars().take(80).collect();
        println!("     … {} ({}) {last}", self.name, seconds(elapsed));
        let _ = io::stdout().flush();
    }
}

/// The last `count` lines of a file that are not empty.
pub fn last_lines(path: &Path, count: usize) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_to_read() {
        assert_eq!(seconds(Duration::from_millis(1_240)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 05 s");
    }

    #[test]
    fn the_last_lines_skip_empty_ones() {
        let path = std::env::temp_dir().join(format!("xtask-last-lines-{}", std::process::id()));
        fs::write(&path, "a\n\nb\nc\n\n").unwrap();
        assert_eq!(last_lines(&path, 2), "b\nc");
        assert_eq!(last_lines(&path, 9), "a\nb\nc");
        fs::remove_file(&path).unwrap();
    }
}
