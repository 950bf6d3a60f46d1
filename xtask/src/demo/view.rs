//! Spans as they come: one aligned line each, and no more of them than a reader can follow.

use std::io::{self, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::otlp::{Kind, Span};
use super::stats::milliseconds;
use crate::progress::paint;

/// Spans come in batches; those of one window are shown together, in the order in which they ended.
const WINDOW: Duration = Duration::from_millis(500);

/// Spans kept for one window at most. Beyond that they are only counted.
const KEPT: usize = 10_000;

pub struct View {
    /// Lines a window.
    limit: usize,
    /// Nanoseconds since 1970 when the view was opened.
    opened: u64,
    window: Instant,
    spans: Vec<Span>,
    uncounted: usize,
}

impl View {
    /// A view of at most `limit` lines a second.
    pub fn new(limit: u32) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if limit > 0 {
            let head = format!(
                "{:>10} {:<16} {:<6} {:<32} {:<6} {:>10}",
                "ended", "service", "side", "span", "status", "duration"
            );
            println!("{}", paint(&head, "2"));
        }
        Self {
            limit: usize::try_from(limit.div_ceil(2)).unwrap_or(usize::MAX),
            opened: u64::try_from(now.as_nanos()).unwrap_or_default(),
            window: Instant::now(),
            spans: Vec::new(),
            uncounted: 0,
        }
    }

    /// Takes in a span, to be shown or counted at the end of the window.
    pub fn add(&mut self, span: Span) {
        match self.limit {
            0 => {}
            _ if self.spans.len() < KEPT => self.spans.push(span),
            _ => self.uncounted += 1,
        }
    }

    /// Shows what the window holds once it is over.
    pub fn tick(&mut self) {
        if self.window.elapsed() >= WINDOW {
            self.show();
        }
    }

    /// Shows what the last window holds: of many, some from every part of it.
    pub fn show(&mut self) {
        self.window = Instant::now();
        let mut spans = std::mem::take(&mut self.spans);
        let total = spans.len() + std::mem::take(&mut self.uncounted);
        spans.sort_by_key(|span| span.end);
        let shown = spans.len().min(self.limit);
        for index in 0..shown {
            println!("{}", self.line(&spans[index * spans.len() / shown]));
        }
        if total > shown {
            println!("{}", paint(&format!("{:>10} … {} more", "", total - shown), "2"));
        }
        let _ = io::stdout().flush();
    }

    fn line(&self, span: &Span) -> String {
        let at = (i128::from(span.end) - i128::from(self.opened)) as f64 / 1e9;
        let service = paint(&format!("{:<16}", cut(&span.service, 16)), colour_of(&span.service));
        let side = paint(&format!("{:<6}", span.kind), if span.kind == Kind::Server { "1" } else { "2" });
        let (code, sgr) = match (span.status, &span.error) {
            (Some(status), Some(_)) => (status.to_string(), "1;31"),
            (None, Some(error)) => (cut(error, 6), "1;31"),
            (Some(status), None) if status >= 400 => (status.to_string(), "33"),
            (Some(status), None) => (status.to_string(), "32"),
            (None, None) => ("-".to_owned(), "2"),
        };
        let name = format!("{:<32}", cut(&span.name, 32));
        let path = span.path.as_deref().map(|path| cut(path, 48)).unwrap_or_default();
        format!(
            "{at:>8.3} s {service} {side} {name} {} {:>10}  {}",
            paint(&format!("{code:<6}"), sgr),
            milliseconds(span.duration / 1_000),
            paint(&path, "2")
        )
    }
}

/// The same service has the same colour in every run.
fn colour_of(service: &str) -> &'static str {
    const COLOURS: [&str; 6] = ["36", "35", "34", "96", "95", "94"];
    let sum: usize = service.bytes().map(usize::from).sum();
    COLOURS[sum % COLOURS.len()]
}

/// At most `width` characters, with a sign where some are missing; control characters do not reach the terminal.
fn cut(text: &str, width: usize) -> String {
    let mut clean: Vec<char> = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    if clean.len() > width {
        clean.truncate(width - 1);
        clean.push('…');
    }
    clean.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_hostile_names_stay_in_their_column() {
        assert_eq!(cut("frontend", 16), "frontend");
        assert_eq!(cut("recommendations-canary", 16), "recommendations…");
        assert_eq!(cut("a\x1b[2Jb", 16), "a?[2Jb");
    }
}
