//! Whether an answer that was read from one file holds for another of the same build id.
//!
//! A build id proves nothing: a file can carry another's, and say that functions begin where in the other they do not.
//! A probe put there would end the processes of the other. So an answer is passed on only where the other file has the
//! same bytes in every place that the answer follows from: headers, the symbols and names that were found, the code in
//! which returns were counted. What remains to a file that lies is to hide functions, not to misplace them.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

use crate::source::{Source, Window};

/// Bytes of a file from which something follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub at: u64,
    pub len: u64,
}

impl Span {
    pub(crate) fn new(at: u64, len: u64) -> Self {
        Span { at, len }
    }
}

/// More than any answer follows from, bytes.
const MAX: u64 = 8 << 20;

/// A number that is the same for the same bytes in the same places; `None` if the file ends before.
///
/// The key is this process's secret, so that nobody can make different bytes with the same number.
pub(crate) fn digest(source: &Source<'_>, spans: &[Span]) -> Option<u64> {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    if spans.iter().try_fold(0_u64, |sum, span| sum.checked_add(span.len))? > MAX {
        return None;
    }
    let mut hasher = KEY.build_hasher();
    let mut window = Window::of_size(source, 4096);
    for span in spans {
        hasher.write_u64(span.at);
        hasher.write_u64(span.len);
        hasher.write(window.get(span.at, span.len as usize)?);
    }
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_looked_at_matters() {
        let (mut file, spans) = (vec![7; 100], [Span::new(10, 5), Span::new(90, 10)]);
        let of = |file: &[u8]| digest(&Source::bytes(file), &spans);
        let before = of(&file).unwrap();
        file[50] = 1;
        assert_eq!(of(&file), Some(before));
        file[12] = 1;
        assert_ne!(of(&file), Some(before));
        assert_eq!(of(&file[..99]), None);
        assert_eq!(digest(&Source::bytes(&file), &[Span::new(0, u64::MAX), Span::new(0, 2)]), None);
    }
}
