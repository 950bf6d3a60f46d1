//! Build ids: which build a file is of, wherever it lies and whatever it is called.

use std::{fmt, path::PathBuf};

/// The GNU build id of a file (`NT_GNU_BUILD_ID`): with most linkers a hash of what was linked.
///
/// Whoever makes a file can write into it what they like: it says where to look for debug information, and that two
/// answers may be the same, but proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BuildId(Box<[u8]>);

impl BuildId {
    /// The longest that is believed, bytes. Linkers write 8 to 32.
    pub const MAX: usize = 64;

    /// A build id of these bytes; `None` if there are none, or too many.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=Self::MAX).contains(&bytes.len()).then(|| BuildId(bytes.into()))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Where its debug file lies below a folder of debug files: `.build-id/ab/cdef….debug`.
    pub(crate) fn debug_path(&self) -> PathBuf {
        let hex = self.to_string();
        let (first, rest) = hex.split_at(2);
        PathBuf::from(format!(".build-id/{first}/{rest}.debug"))
    }
}

impl fmt::Display for BuildId {
    /// In hexadecimal, as `file` and `perf` show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_debug_file_has_its_first_byte_as_folder() {
        let id = BuildId::new(&[0x0a, 0xbc, 0xde]).unwrap();
        assert_eq!(id.to_string(), "0abcde");
        assert_eq!(id.debug_path(), PathBuf::from(".build-id/0a/bcde.debug"));
        assert_eq!(BuildId::new(&[7]).unwrap().debug_path(), PathBuf::from(".build-id/07/.debug"));
        assert_eq!(BuildId::new(&[]), None);
        assert_eq!(BuildId::new(&[0; 65]), None);
    }
}
