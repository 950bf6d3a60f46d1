//! Histograms with fixed boundaries, for backends that do not know exponential ones.

/// Boundaries of durations, in seconds: the semantic conventions' advice for `http.server.request.duration` and most
/// other durations.
pub const SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Boundaries of sizes, in bytes: powers of four from 64 B to 64 MiB. The conventions give no advice for them.
const BYTES: &[f64] = &[
    64.0,
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
/// Boundaries of anything else: the SDK specification's default.
const OTHERS: &[f64] =
    &[0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10_000.0];

/// The boundaries for a unit, as UCUM writes it.
fn boundaries(unit: &str) -> &'static [f64] {
    match unit {
        "s" => SECONDS,
        "By" => BYTES,
        _ => OTHERS,
    }
}

/// A histogram with fixed boundaries; each is the upper, inclusive bound of a bucket, and one bucket more has the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Explicit {
    boundaries: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
    min: f64,
    max: f64,
}

impl Explicit {
    /// An empty one for values of that unit.
    #[must_use]
    pub fn new(unit: &str) -> Self {
        let boundaries = boundaries(unit);
        Self {
            boundaries,
            counts: vec![0; boundaries.len() + 1],
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }

    /// Counts a value.
    pub fn record(&mut self, value: f64) {
        self.counts[self.boundaries.partition_point(|boundary| *boundary < value)] += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Counts all that another one with the same boundaries has counted.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// How many values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// The least and the greatest; `None` if there are none.
    #[must_use]
    pub fn range(&self) -> Option<(f64, f64)> {
        (self.min <= self.max).then_some((self.min, self.max))
    }

    /// The boundaries.
    #[must_use]
    pub fn boundaries(&self) -> &'static [f64] {
        self.boundaries
    }

    /// The counts, one more than there are boundaries.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A boundary belongs to the bucket below it.
    #[test]
    fn buckets() {
        let mut histogram = Explicit::new("s");
        assert_eq!(histogram.range(), None);
        for value in [0.0, 0.005, 0.0051, 1.0, 10.0, 10.1, 99.0] {
            histogram.record(value);
        }
        let mut expected = [0; 15];
        (expected[0], expected[1], expected[9], expected[13], expected[14]) = (2, 1, 1, 1, 2);
        assert_eq!(histogram.counts(), expected);
        assert_eq!((histogram.count(), histogram.range()), (7, Some((0.0, 99.0))));
        let mut more = Explicit::new("s");
        more.record(0.3);
        histogram.merge(&more);
        assert_eq!((histogram.count(), histogram.counts()[7]), (8, 1));
    }

    /// Every unit has its boundaries, in order.
    #[test]
    fn units() {
        for unit in ["s", "By", "{message}"] {
            assert!(boundaries(unit).is_sorted_by(|a, b| a < b));
        }
        assert_eq!((Explicit::new("By").boundaries()[0], Explicit::new("1").boundaries()[1]), (64.0, 5.0));
    }
}
