//! Server-sent events (WHATWG HTML, "Server-sent events"): the JSON in each `data` line.

use super::json::{Path, Scalar, Scanner};

/// Bytes of a line before its colon.
const FIELD: &[u8] = b"data:";

/// Reads the lines of an event stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Events {
    line: Line,
    scanner: Scanner,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    /// So many bytes of `data:` have been seen.
    Field(usize),
    /// Behind it.
    Data,
    /// Another line.
    Other,
    /// Bytes are missing.
    #[default]
    Unknown,
}

impl Events {
    /// Never by itself: each event is a document.
    pub fn is_over(&self) -> bool {
        false
    }

    /// Bytes are missing.
    pub fn cut(&mut self) {
        self.line = Line::Unknown;
    }

    /// Reads the next bytes.
    pub fn read(&mut self, bytes: &[u8], mut tell: impl FnMut(&Path<'_>, Scalar<'_>)) {
        // A stream's first line has no line end before it.
        if self.line == Line::Unknown && bytes.starts_with(FIELD) {
            self.line = Line::Field(0);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
            let (mut line, behind) = rest.split_at(end);
            if let Line::Field(seen) = self.line {
                let more = line.len().min(FIELD.len() - seen);
                if line[..more] != FIELD[seen..seen + more] {
                    self.line = Line::Other;
                } else if seen + more == FIELD.len() {
                    line = &line[more..];
                    self.scanner = Scanner::default();
                    self.line = Line::Data;
                } else {
                    self.line = Line::Field(seen + more);
                }
            }
            if self.line == Line::Data {
                self.scanner.read(line, &mut tell);
            }
            if behind.is_empty() {
                return;
            }
            self.line = Line::Field(0);
            rest = &behind[1..];
        }
    }
}
