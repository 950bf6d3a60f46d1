//! Go's version strings, and which of two is the newer.

use std::fmt;

/// The version of a Go tool chain.
///
/// Ordered as Go orders them: development, betas and release candidates come before the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Always 1 so far.
    pub major: u16,
    /// The 22 of 1.22.5.
    pub minor: u16,
    /// The 5 of 1.22.5; 0 where it is not written.
    pub patch: u16,
    /// Released, or on the way to it.
    pub stage: Stage,
}

/// How far a version is on its way to release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Built from a development branch: any state between two versions.
    Devel,
    /// `beta1`
    Beta(u16),
    /// `rc1`
    Candidate(u16),
    /// A release.
    Release,
}

/// What is known of a tool chain from its version string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// The version it says it is.
    pub version: Version,
    /// It says more than that (`go1.22.5-acme`): its runtime may differ from Go's own.
    ///
    /// Experiments (`X:…`) and a packager's note in brackets are not counted: they leave `runtime.g` alone.
    pub modified: bool,
}

impl Version {
    /// A release.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Version { major, minor, patch, stage: Stage::Release }
    }

    /// Reads `1.22.5`, `1.28rc1`, as they are written without `go` before them.
    pub fn parse(text: &str) -> Option<Self> {
        let (version, rest) = Self::leading(text)?;
        rest.is_empty().then_some(version)
    }

    /// Reads what `runtime.Version()` says: `go1.22.5`, `go1.27rc2 X:arenas`, `devel go1.28-0123abc Mon Jan 1`.
    pub fn of_toolchain(text: &str) -> Option<Parsed> {
        let text = text.trim();
        let (devel, text) = match text.strip_prefix("devel ") {
            Some(rest) => (true, rest.trim_start()),
            None => (false, text),
        };
        let (mut version, rest) = Self::leading(text.strip_prefix("go")?)?;
        let modified = !(rest.is_empty() || rest.starts_with(' '));
        if devel || rest.starts_with("-devel") {
            version.stage = Stage::Devel;
        }
        Some(Parsed { version, modified })
    }

    fn leading(text: &str) -> Option<(Self, &str)> {
        let (major, rest) = number(text)?;
        let (minor, mut rest) = number(rest.strip_prefix('.')?)?;
        let mut patch = 0;
        if let Some((n, after)) = rest.strip_prefix('.').and_then(number) {
            (patch, rest) = (n, after);
        }
        let mut stage = Stage::Release;
        if let Some((n, after)) = rest.strip_prefix("rc").and_then(number) {
            (stage, rest) = (Stage::Candidate(n), after);
        } else if let Some((n, after)) = rest.strip_prefix("beta").and_then(number) {
            (stage, rest) = (Stage::Beta(n), after);
        }
        Some((Version { major, minor, patch, stage }, rest))
    }
}

fn number(text: &str) -> Option<(u16, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

impl fmt::Display for Version {
    /// As the tool chains are named: since 1.21 a first release is written `1.21.0`, before it `1.20`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        let released = self.stage == Stage::Release;
        if self.patch > 0 || (released && (self.major, self.minor) >= (1, 21)) {
            write!(f, ".{}", self.patch)?;
        }
        match self.stage {
            Stage::Devel => write!(f, "-devel"),
            Stage::Beta(n) => write!(f, "beta{n}"),
            Stage::Candidate(n) => write!(f, "rc{n}"),
            Stage::Release => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, bool) {
        let p = Version::of_toolchain(text).unwrap();
        (p.version.to_string(), p.modified)
    }

    #[test]
    fn strings_that_tool_chains_write() {
        assert_eq!(parsed("go1.17"), ("1.17".into(), false));
        assert_eq!(parsed("go1.22.5"), ("1.22.5".into(), false));
        assert_eq!(parsed("go1.21.0"), ("1.21.0".into(), false));
        assert_eq!(parsed("go1.28rc1"), ("1.28rc1".into(), false));
        assert_eq!(parsed("go1.18beta1"), ("1.18beta1".into(), false));
        assert_eq!(parsed("go1.25.1 X:nosynchashmap,greenteagc"), ("1.25.1".into(), false));
        assert_eq!(parsed("go1.20.12 (Red Hat 1.20.12-1)"), ("1.20.12".into(), false));
        assert_eq!(parsed("go1.22.5-acme"), ("1.22.5".into(), true));
        assert_eq!(parsed("devel go1.28-1a2b3c Mon Jan 1 00:00:00 2027 +0000"), ("1.28-devel".into(), true));
        assert_eq!(parsed("go1.28-devel_1a2b3c"), ("1.28-devel".into(), true));
        assert_eq!(Version::of_toolchain("devel +1a2b3c Mon"), None);
        for bad in ["", "go", "go1", "go1.", "1.22", "go99999999.1", "gox.1"] {
            assert_eq!(Version::of_toolchain(bad), None, "{bad}");
        }
        assert_eq!(Version::parse("1.22.5 "), None);
    }

    #[test]
    fn order_is_that_of_release() {
        let order =
            ["1.17", "1.17.13", "1.18beta1", "1.18rc1", "1.18rc2", "1.18", "1.18.1", "1.21rc4", "1.21.0"];
        let versions: Vec<_> = order.iter().map(|v| Version::parse(v).unwrap()).collect();
        assert!(versions.is_sorted(), "{versions:?}");
        for (text, version) in order.iter().zip(&versions) {
            assert_eq!(*text, version.to_string());
        }
    }
}
