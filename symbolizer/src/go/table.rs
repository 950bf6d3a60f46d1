//! Offsets by version, as measured by `cargo xtask go-offsets`; the file says what was measured.
//!
//! A line holds the first version at which the values change. The table answers only where measurements
//! stand on both sides of a version and agree, or for patch releases later than the last that was measured
//! of their minor version: patch releases bring fixes, and none that was measured ever moved a field.

use std::{fmt, sync::LazyLock};

use super::{Offsets, Stage, Version};
use crate::Error;

/// The file that `cargo xtask go-offsets` writes.
const EMBEDDED: &str = include_str!("offsets.txt");

/// Offsets by version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Every version that was measured, ascending.
    measured: Vec<Version>,
    /// The values from a version on, ascending; no two neighbours are equal.
    changes: Vec<(Version, Offsets)>,
}

/// What the table says of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// This very version was measured.
    Measured(Offsets),
    /// The measured versions around it agree.
    Between(Offsets),
    /// It came before the first that was measured.
    Older,
    /// It came after the last that was measured.
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
    pub fn of_measurements(mut measurements: Vec<(Version, Offsets)>) -> Self {
        measurements.sort();
        measurements.dedup();
        let mut table = Table::default();
        for (version, offsets) in measurements {
            table.measured.push(version);
            if table.changes.last().is_none_or(|&(_, last)| last != offsets) {
                table.changes.push((version, offsets));
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

    /// What the table says of a version.
    pub fn look_up(&self, version: Version) -> Answer {
        let above = self.measured.partition_point(|&m| m <= version);
        let Some(below) = above.checked_sub(1).map(|i| self.measured[i]) else { return Answer::Older };
        let Some(offsets) = self.at(below) else { return Answer::Older };
        if below == version {
            return Answer::Measured(offsets);
        }
        let same_minor = |other: Version| (other.major, other.minor) == (version.major, version.minor);
        let later_patch = same_minor(below) && below.stage == Stage::Release;
        match self.measured.get(above) {
            Some(&above) if self.at(above) == Some(offsets) => Answer::Between(offsets),
            Some(&above) if same_minor(above) => Answer::Unsure,
            _ if later_patch => Answer::Between(offsets),
            Some(_) => Answer::Unsure,
            None => Answer::Newer,
        }
    }

    /// The values in force at a measured version.
    fn at(&self, version: Version) -> Option<Offsets> {
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
            let mut fields = [None; 4];
            for word in words {
                let (name, value) = word.split_once('=').ok_or(fail("expected NAME=OFFSET"))?;
                let index = FIELDS.iter().position(|&f| f == name).ok_or(fail("not a field"))?;
                fields[index] = Some(value.parse::<u32>().map_err(|_| fail("not an offset"))?);
            }
            let [Some(goid), Some(stack_lo), Some(stack_hi), parent_goid] = fields else {
                return Err(fail("a field is missing"));
            };
            table.changes.push((version, Offsets { goid, stack_lo, stack_hi, parent_goid }));
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

const FIELDS: [&str; 4] = ["goid", "stack.lo", "stack.hi", "parentGoid"];

impl fmt::Display for Table {
    /// The format of the file, without its comments.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for minor in self.measured.chunk_by(|a, b| (a.major, a.minor) == (b.major, b.minor)) {
            write!(f, "measured")?;
            for version in minor {
                write!(f, " {version}")?;
            }
            writeln!(f)?;
        }
        for (version, o) in &self.changes {
            write!(f, "{version}")?;
            let values = [Some(o.goid), Some(o.stack_lo), Some(o.stack_hi), o.parent_goid];
            for (name, value) in FIELDS.iter().zip(values) {
                if let Some(value) = value {
                    write!(f, " {name}={value}")?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    fn offsets(goid: u32, parent_goid: Option<u32>) -> Offsets {
        Offsets { goid, stack_lo: 0, stack_hi: 8, parent_goid }
    }

    fn sample() -> Table {
        let (old, new) = (offsets(152, None), offsets(152, Some(272)));
        Table::of_measurements(vec![
            (v("1.21.0"), new),
            (v("1.20.1"), old),
            (v("1.20.14"), old),
            (v("1.21.13"), new),
            (v("1.22rc1"), offsets(160, Some(272))),
        ])
    }

    #[test]
    fn answers_only_what_measurements_bear_out() {
        let table = sample();
        let (old, new) = (offsets(152, None), offsets(152, Some(272)));
        assert_eq!(table.look_up(v("1.20")), Answer::Older);
        assert_eq!(table.look_up(v("1.20.1")), Answer::Measured(old));
        assert_eq!(table.look_up(v("1.20.5")), Answer::Between(old));
        assert_eq!(table.look_up(v("1.21rc2")), Answer::Unsure);
        assert_eq!(table.look_up(v("1.20.15")), Answer::Between(old), "a later patch release");
        assert_eq!(table.look_up(v("1.21.0")), Answer::Measured(new));
        assert_eq!(table.look_up(v("1.21.7")), Answer::Between(new));
        assert_eq!(table.look_up(v("1.22rc1")), Answer::Measured(offsets(160, Some(272))));
        assert_eq!(table.look_up(v("1.22.0")), Answer::Newer, "a release candidate is not a release");
        assert_eq!(table.look_up(v("1.23.0")), Answer::Newer);
    }

    #[test]
    fn a_later_patch_release_of_the_newest_minor_is_answered() {
        let table = Table::of_measurements(vec![(v("1.27.0"), offsets(152, None))]);
        assert_eq!(table.look_up(v("1.27.9")), Answer::Between(offsets(152, None)));
        assert_eq!(table.look_up(v("1.28rc1")), Answer::Newer);
    }

    #[test]
    fn the_file_format_survives_the_round() {
        let table = sample();
        assert_eq!(Table::parse(&table.to_string()).unwrap(), table);
        assert_eq!(Table::parse(&format!("# a comment\n\n{table}")).unwrap(), table);
    }

    #[test]
    fn a_broken_file_is_refused_with_its_line() {
        for (text, line) in [
            ("measured 1.20\n1.20 goid=1", 2),
            ("measured x", 1),
            ("measured 1.20\n1.20 goid=x", 2),
            ("measured 1.20\n1.20 gold=1", 2),
            ("measured 1.20\n1.21 goid=1 stack.lo=0 stack.hi=8", 1),
            ("measured 1.21 1.20", 1),
        ] {
            assert_eq!(Table::parse(text).unwrap_err().0, line, "{text}");
        }
    }

    #[test]
    fn the_embedded_table_is_sound() {
        let table = Table::embedded().unwrap();
        assert!(table.newest().unwrap() >= v("1.27.0"));
        assert_eq!(table.look_up(v("1.16.15")), Answer::Older);
        for &(_, o) in &table.changes {
            assert_eq!((o.stack_lo, o.stack_hi), (0, 8), "g.stack is the first field of g");
        }
        assert!(matches!(table.look_up(v("1.25.0")), Answer::Measured(o) if o.goid == 152));
    }
}
