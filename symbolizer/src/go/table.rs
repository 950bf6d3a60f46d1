//! Offsets by version, as measured by `cargo xtask go-offsets`; the file says what was measured.
//!
//! A line holds what changed in a structure at a version. The table answers only where measurements stand on both
//! sides of a version and agree on the field, or for patch releases later than the last that was measured of
//! their minor version, if the field never moved between two measured releases of one minor version. That of
//! `runtime.g` never did; HTTP/2's did in 1.17, by a fix.

use std::{fmt, sync::LazyLock};

use super::{
    Stage, Version,
    fields::{COUNT, FIELDS, Layout, index},
};
use crate::Error;

/// The file that `cargo xtask go-offsets` writes.
const EMBEDDED: &str = include_str!("offsets.txt");

/// Offsets by version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Every version that was measured, ascending.
    measured: Vec<Version>,
    /// The values from a version on, ascending; no two neighbours are equal.
    changes: Vec<(Version, Layout)>,
}

/// What the table says of a field in a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// This very version was measured.
    Measured(u32),
    /// The measured versions around it agree.
    Between(u32),
    /// The version, or those around it, have no such field.
    Absent,
    /// The version came before the first that was measured.
    Older,
    /// The version came after the last that was measured.
    Newer,
    /// The measured versions around it differ.
    Unsure,
}

impl Table {
    /// The table that is built into this crate.
    pub fn embedded() -> Result<&'static Table, Error> {
        static TABLE: LazyLock<Result<Table, (usize, &'static str)>> =
            LazyLock::new(|| Table::parse(EMBEDDED));
        TABLE.as_ref().map_err(|&(line, why)| Error::GoTable { line, why })
    }

    /// A table of measurements.
    pub fn of_measurements(mut measurements: Vec<(Version, Layout)>) -> Self {
        measurements.sort();
        measurements.dedup();
        let mut table = Table::default();
        for (version, layout) in measurements {
            table.measured.push(version);
            if table.changes.last().is_none_or(|&(_, last)| last != layout) {
                table.changes.push((version, layout));
            }
        }
        table
    }

    /// Every version that was measured, ascending.
    pub fn measured(&self) -> &[Version] {
        &self.measured
    }

    /// The newest version that was measured.
    pub fn newest(&self) -> Option<Version> {
        self.measured.last().copied()
    }

    /// The layout of a version that was measured.
    pub fn layout(&self, version: Version) -> Option<Layout> {
        self.measured.binary_search(&version).ok()?;
        self.at(version)
    }

    /// What the table says of a field (its index in [`FIELDS`]) in a version.
    pub fn look_up(&self, version: Version, field: usize) -> Answer {
        let above = self.measured.partition_point(|&m| m <= version);
        let Some(below) = above.checked_sub(1).map(|i| self.measured[i]) else { return Answer::Older };
        let value = |version| self.at(version).and_then(|layout| layout.get(field));
        let offset = value(below);
        if below == version {
            return offset.map_or(Answer::Absent, Answer::Measured);
        }
        let between = offset.map_or(Answer::Absent, Answer::Between);
        let same_minor = |other: Version| (other.major, other.minor) == (version.major, version.minor);
        let later_patch = same_minor(below) && below.stage == Stage::Release;
        match self.measured.get(above) {
            Some(&above) if value(above) == offset => between,
            Some(&above) if same_minor(above) => Answer::Unsure,
            _ if later_patch && (offset.is_none() || self.is_steady(field)) => between,
            Some(_) => Answer::Unsure,
            None => Answer::Newer,
        }
    }

    /// Whether patch releases leave a field where it is, as far as was measured: at least two of one minor version.
    fn is_steady(&self, field: usize) -> bool {
        let mut measured_twice = false;
        for pair in self.measured.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            let patches = (a.major, a.minor) == (b.major, b.minor) && a.stage == Stage::Release;
            let value = |version| self.at(version).and_then(|layout| layout.get(field));
            if patches && value(a) != value(b) {
                return false;
            }
            measured_twice |= patches && value(a).is_some();
        }
        measured_twice
    }

    /// The values in force at a measured version.
    fn at(&self, version: Version) -> Option<Layout> {
        let after = self.changes.partition_point(|&(from, _)| from <= version);
        after.checked_sub(1).map(|i| self.changes[i].1)
    }

    /// Reads the format of the file; on failure the line, from 1, and what is wrong.
    pub fn parse(text: &str) -> Result<Self, (usize, &'static str)> {
        let mut table = Table::default();
        for (number, line) in (1..).zip(text.lines()) {
            let fail = |why| (number, why);
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(first) = words.next() else { continue };
            if first == "measured" {
                for word in words {
                    table.measured.push(Version::parse(word).ok_or(fail("not a version"))?);
                }
                continue;
            }
            let version = Version::parse(first).ok_or(fail("not a version"))?;
            let structure = words.next().ok_or(fail("expected a structure"))?;
            if table.changes.last().is_none_or(|&(last, _)| last != version) {
                let layout = table.changes.last().map_or_else(Layout::default, |&(_, last)| last);
                table.changes.push((version, layout));
            }
            let Some((_, layout)) = table.changes.last_mut() else { continue };
            for word in words {
                let (member, value) = word.split_once('=').ok_or(fail("expected FIELD=OFFSET"))?;
                let index = index(structure, member).ok_or(fail("not a field"))?;
                let offset = match value {
                    "-" => None,
                    value => Some(value.parse().map_err(|_| fail("not an offset"))?),
                };
                layout.set(index, offset);
            }
        }
        if !table.measured.is_sorted_by(|a, b| a < b) || !table.changes.is_sorted_by(|a, b| a.0 < b.0) {
            return Err((1, "versions must ascend"));
        }
        if table.changes.first().map(|c| c.0) != table.measured.first().copied() {
            return Err((1, "the first line must be the first version measured"));
        }
        Ok(table)
    }
}

impl fmt::Display for Table {
    /// The format of the file, without its comments: for each version and structure, the fields whose offset
    /// changed, with `-` for one that is no more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for minor in self.measured.chunk_by(|a, b| (a.major, a.minor) == (b.major, b.minor)) {
            write!(f, "measured")?;
            for version in minor {
                write!(f, " {version}")?;
            }
            writeln!(f)?;
        }
        let mut last = Layout::default();
        for &(version, layout) in &self.changes {
            let changed: Vec<usize> = (0..COUNT).filter(|&i| layout.get(i) != last.get(i)).collect();
            for group in changed.chunk_by(|&a, &b| FIELDS[a].structure == FIELDS[b].structure) {
                write!(f, "{version} {}", FIELDS[group[0]].structure)?;
                for &index in group {
                    match layout.get(index) {
                        Some(offset) => write!(f, " {}={offset}", FIELDS[index].member)?,
                        None => write!(f, " {}=-", FIELDS[index].member)?,
                    }
                }
                writeln!(f)?;
            }
            last = layout;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOID: usize = 0;
    const PARENT: usize = 1;

    fn v(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    fn layout(goid: u32, parent_goid: Option<u32>) -> Layout {
        let mut layout = Layout::default();
        layout.set(GOID, Some(goid));
        layout.set(PARENT, parent_goid);
        layout
    }

    fn sample() -> Table {
        let (old, new) = (layout(152, None), layout(152, Some(272)));
        Table::of_measurements(vec![
            (v("1.21.0"), new),
            (v("1.20.1"), old),
            (v("1.20.14"), old),
            (v("1.21.13"), new),
            (v("1.22rc1"), layout(160, Some(272))),
        ])
    }

    #[test]
    fn answers_only_what_measurements_bear_out() {
        let table = sample();
        let of = |version, field| table.look_up(v(version), field);
        assert_eq!(of("1.20", GOID), Answer::Older);
        assert_eq!(of("1.20.1", GOID), Answer::Measured(152));
        assert_eq!(of("1.20.1", PARENT), Answer::Absent);
        assert_eq!(of("1.20.5", GOID), Answer::Between(152));
        assert_eq!(of("1.20.5", PARENT), Answer::Absent);
        assert_eq!(of("1.21rc2", PARENT), Answer::Unsure);
        assert_eq!(of("1.21rc2", GOID), Answer::Between(152), "both sides agree on this one");
        assert_eq!(of("1.20.15", PARENT), Answer::Absent, "a later patch release");
        assert_eq!(of("1.21.0", PARENT), Answer::Measured(272));
        assert_eq!(of("1.21.7", PARENT), Answer::Between(272));
        assert_eq!(of("1.22rc1", GOID), Answer::Measured(160));
        assert_eq!(of("1.22.0", GOID), Answer::Newer, "a release candidate is not a release");
        assert_eq!(of("1.23.0", GOID), Answer::Newer);
        assert_eq!(table.layout(v("1.21.0")), Some(layout(152, Some(272))));
        assert_eq!(table.layout(v("1.21.7")), None);
    }

    #[test]
    fn a_later_patch_release_of_the_newest_minor_is_answered() {
        let measured = |patch, goid| {
            let versions = [("1.26.0", 152), (patch, goid), ("1.27.0", 160)];
            Table::of_measurements(versions.map(|(version, goid)| (v(version), layout(goid, None))).to_vec())
        };
        let table = measured("1.26.11", 152);
        assert_eq!(table.look_up(v("1.27.9"), GOID), Answer::Between(160));
        assert_eq!(table.look_up(v("1.28rc1"), GOID), Answer::Newer);
        let moved = measured("1.26.11", 156);
        assert_eq!(
            moved.look_up(v("1.27.9"), GOID),
            Answer::Newer,
            "a field that a patch release once moved"
        );
        assert_eq!(moved.look_up(v("1.26.12"), GOID), Answer::Unsure);
        let once = Table::of_measurements(vec![(v("1.27.0"), layout(152, None))]);
        assert_eq!(once.look_up(v("1.27.9"), GOID), Answer::Newer, "no patch release was measured");
    }

    #[test]
    fn the_file_format_survives_the_round_and_tells_only_changes() {
        let table = sample();
        let text = table.to_string();
        assert_eq!(Table::parse(&text).unwrap(), table);
        assert_eq!(Table::parse(&format!("# a comment\n\n{table}")).unwrap(), table);
        let changes: Vec<_> = text.lines().filter(|line| !line.starts_with("measured")).collect();
        assert_eq!(
            changes,
            ["1.20.1 runtime.g goid=152", "1.21.0 runtime.g parentGoid=272", "1.22rc1 runtime.g goid=160"]
        );
        let gone =
            Table::of_measurements(vec![(v("1.20"), layout(1, Some(2))), (v("1.21.0"), layout(1, None))]);
        assert!(gone.to_string().ends_with("1.21.0 runtime.g parentGoid=-\n"), "{gone}");
        assert_eq!(Table::parse(&gone.to_string()).unwrap(), gone);
    }

    #[test]
    fn a_broken_file_is_refused_with_its_line() {
        for (text, line) in [
            ("measured 1.20\n1.20", 2),
            ("measured x", 1),
            ("measured 1.20\n1.20 runtime.g goid=x", 2),
            ("measured 1.20\n1.20 runtime.g gold=1", 2),
            ("measured 1.20\n1.20 runtime.x goid=1", 2),
            ("measured 1.20\n1.21 runtime.g goid=1", 1),
            ("measured 1.21 1.20", 1),
        ] {
            assert_eq!(Table::parse(text).unwrap_err().0, line, "{text}");
        }
    }

    #[test]
    fn the_embedded_table_is_sound() {
        let table = Table::embedded().unwrap();
        assert!(table.newest().unwrap() >= v("1.27.0"));
        assert_eq!(table.look_up(v("1.16.15"), GOID), Answer::Older);
        for &(version, layout) in &table.changes {
            let of = |structure, member| layout.of(structure, member);
            assert_eq!(of("runtime.g", "stack"), Some(0), "{version}: the first field of g");
            assert_eq!(
                (of("runtime.stack", "lo"), of("runtime.stack", "hi")),
                (Some(0), Some(8)),
                "{version}"
            );
            assert_eq!(layout.of_go(), layout, "{version}: modules' fields do not go by Go's version");
        }
        assert_eq!(table.look_up(v("1.25.0"), GOID), Answer::Measured(152));
    }
}
