//! Base-2 exponential histograms (OpenTelemetry metrics data model, "ExponentialHistogram").
//!
//! At scale `s` the bucket with index `i` holds the values in (2^(i/2^s), 2^((i+1)/2^s)]. A histogram begins at the
//! finest scale and halves its resolution whenever its values would need more than [`MOST_BUCKETS`]; two histograms are
//! merged at the coarser of their scales, and the result is what one histogram of all values would be.

/// Buckets at most, as the SDK specification has it: from 1 ms to 1 s they are 9 % wide.
pub const MOST_BUCKETS: usize = 160;
/// The scale that a histogram begins with: buckets are 0.000066 % wide.
pub const FINEST: i32 = 20;
/// The coarsest scale: all that a double can be fits into [`MOST_BUCKETS`].
const COARSEST: i32 = -10;

/// A histogram of numbers that are not negative.
#[derive(Clone, Debug, PartialEq)]
pub struct Exponential {
    scale: i32,
    count: u64,
    zeros: u64,
    sum: f64,
    min: f64,
    max: f64,
    /// Index of the first bucket.
    offset: i32,
    /// From the first bucket with a value to the last.
    buckets: Vec<u64>,
}

impl Default for Exponential {
    fn default() -> Self {
        Self {
            scale: FINEST,
            count: 0,
            zeros: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            offset: 0,
            buckets: Vec::new(),
        }
    }
}

impl Exponential {
    /// Counts a value, which is finite and not negative.
    pub fn record(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        if value == 0.0 {
            self.zeros += 1;
            return;
        }
        let index = index(value, self.scale);
        let index = index >> self.coarsen_for(index, index);
        self.add(index, 1);
    }

    /// Counts all that another histogram has counted.
    pub fn merge(&mut self, mut other: Self) {
        self.count += other.count;
        self.zeros += other.zeros;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        if other.buckets.is_empty() {
            return;
        }
        if self.buckets.is_empty() {
            (self.scale, self.offset, self.buckets) = (other.scale, other.offset, other.buckets);
            return;
        }
        let scale = self.scale.min(other.scale);
        self.coarsen(self.scale - scale);
        other.coarsen(other.scale - scale);
        let by = self.coarsen_for(other.offset, other.last());
        other.coarsen(by);
        for (index, count) in (other.offset..).zip(other.buckets) {
            if count > 0 {
                self.add(index, count);
            }
        }
    }

    /// How fine the buckets are, from -10 to 20.
    #[must_use]
    pub fn scale(&self) -> i32 {
        self.scale
    }

    /// How many values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many of them are 0.
    #[must_use]
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// The sum of all.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// The least and the greatest; `None` if there are none.
    #[must_use]
    pub fn range(&self) -> Option<(f64, f64)> {
        (self.count > 0).then_some((self.min, self.max))
    }

    /// Index of the first bucket, and the counts from there on.
    #[must_use]
    pub fn buckets(&self) -> (i32, &[u64]) {
        (self.offset, &self.buckets)
    }

    /// Index of the last bucket, if there is one.
    fn last(&self) -> i32 {
        self.offset + self.buckets.len() as i32 - 1
    }

    /// Makes the buckets so coarse that those from `low` to `high` (at the present scale) fit in; by how many steps.
    fn coarsen_for(&mut self, low: i32, high: i32) -> i32 {
        let (mut low, mut high) = match self.buckets.is_empty() {
            true => (low, high),
            false => (low.min(self.offset), high.max(self.last())),
        };
        let mut by = 0;
        while i64::from(high) - i64::from(low) >= MOST_BUCKETS as i64 && self.scale - by > COARSEST {
            low >>= 1;
            high >>= 1;
            by += 1;
        }
        self.coarsen(by);
        by
    }

    /// Halves the resolution `by` times: 2^by neighbours become one.
    fn coarsen(&mut self, by: i32) {
        if by == 0 {
            return;
        }
        self.scale -= by;
        if self.buckets.is_empty() {
            return;
        }
        let offset = self.offset >> by;
        let mut merged = 0;
        for at in 0..self.buckets.len() {
            let to = (((self.offset + at as i32) >> by) - offset) as usize;
            let count = std::mem::take(&mut self.buckets[at]);
            self.buckets[to] += count;
            merged = to;
        }
        self.buckets.truncate(merged + 1);
        self.offset = offset;
    }

    /// Adds to a bucket, for which there is room.
    fn add(&mut self, index: i32, count: u64) {
        if self.buckets.is_empty() {
            self.offset = index;
            self.buckets.push(count);
            return;
        }
        if index < self.offset {
            let more = (self.offset - index) as usize;
            self.buckets.splice(0..0, std::iter::repeat_n(0, more));
            self.offset = index;
        }
        let at = (index - self.offset) as usize;
        if at >= self.buckets.len() {
            self.buckets.resize(at + 1, 0);
        }
        self.buckets[at] += count;
    }
}

/// The bucket of a positive number.
fn index(value: f64, scale: i32) -> i32 {
    const FRACTION: u64 = (1 << 52) - 1;
    // A number below the least normal one counts as that, as the data model allows.
    let bits = value.max(f64::MIN_POSITIVE).to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1023;
    let power = bits & FRACTION == 0;
    if scale <= 0 {
        // A power of two is the upper, inclusive bound of its bucket.
        return (exponent - i32::from(power)) >> -scale;
    }
    let (least, next) = (exponent << scale, (exponent + 1) << scale);
    if power {
        return least - 1;
    }
    // Rounding must not put it beyond the powers of two that it lies between.
    let index = (value.log2() * f64::from(1 << scale)).ceil() as i32 - 1;
    index.clamp(least, next - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64]) -> Exponential {
        let mut histogram = Exponential::default();
        values.iter().for_each(|value| histogram.record(*value));
        histogram
    }

    /// Whether the bucket's bounds hold a value, but for the rounding of a logarithm.
    fn holds(index: i32, scale: i32, value: f64) -> bool {
        let width = 2f64.powi(-scale);
        let log = value.max(f64::MIN_POSITIVE).log2();
        let slack = 1e-9 * width.max(1.0);
        f64::from(index) * width <= log + slack && log <= f64::from(index + 1) * width + slack
    }

    /// The data model's own examples: bounds are powers of the base, the upper one belongs to the bucket.
    #[test]
    fn indices() {
        for (value, scale, expected) in [
            (1.0, 0, -1),
            (1.5, 0, 0),
            (2.0, 0, 0),
            (2.1, 0, 1),
            (4.0, 0, 1),
            (1.0, 1, -1),
            (1.4, 1, 0),
            (1.5, 1, 1),
            (2.0, 1, 1),
            (4.0, 3, 15),
            (0.25, 3, -17),
            (0.26, 3, -16),
            (16.0, -1, 1),
            (16.1, -1, 2),
            (17.0, -2, 1),
            (f64::MIN_POSITIVE, 0, -1023),
            (5e-324, 0, -1023),
            (f64::MAX, 0, 1023),
            (f64::MAX, 20, (1024 << 20) - 1),
            (f64::MIN_POSITIVE, 20, (-1022 << 20) - 1),
            (f64::MAX, -10, 0),
            (f64::MIN_POSITIVE, -10, -1),
        ] {
            assert_eq!(index(value, scale), expected, "{value} at {scale}");
        }
    }

    /// Zeros are counted apart; count, sum, least and greatest are exact.
    #[test]
    fn numbers() {
        let histogram = of(&[0.0, 0.5, 0.25, 0.0, 4.0]);
        assert_eq!((histogram.count(), histogram.zeros(), histogram.sum()), (5, 2, 4.75));
        assert_eq!(histogram.range(), Some((0.0, 4.0)));
        // 0.25 to 4.0 are four powers of two: 160 buckets are enough at scale 5.
        assert_eq!(histogram.scale(), 5);
        let (offset, buckets) = histogram.buckets();
        assert_eq!((offset, buckets.len()), (-2 * 32 - 1, 4 * 32 + 1));
        assert_eq!((buckets[0], buckets[32], buckets[128]), (1, 1, 1));
        assert_eq!(Exponential::default().range(), None);
    }

    /// One value needs one bucket at the finest scale; the whole range of doubles fits, too.
    #[test]
    fn scales() {
        assert_eq!(of(&[0.017; 9]).scale(), FINEST);
        assert_eq!(of(&[0.017; 9]).buckets().1, [9]);
        let all = of(&[5e-324, f64::MIN_POSITIVE, 1.0, f64::MAX]);
        assert_eq!(all.scale(), -4);
        assert!(all.buckets().1.len() <= MOST_BUCKETS);
        assert_eq!(all.buckets().1.iter().sum::<u64>(), 4);
    }

    fn values() -> impl Strategy<Value = Vec<f64>> {
        let one = prop_oneof![
            1 => Just(0.0),
            4 => (0u64..100_000_000_000).prop_map(|nanoseconds| nanoseconds as f64 / 1e9),
            4 => 0.001..0.002f64,
            1 => any::<u64>().prop_map(|bits| f64::from_bits(bits >> 1)).prop_filter("finite", |v| v.is_finite()),
            1 => (-40i32..40).prop_map(|power| 2f64.powi(power)),
        ];
        prop::collection::vec(one, 0..300)
    }

    proptest! {
        /// Each value is in the bucket whose bounds contain it, nothing else is, and there are few buckets.
        #[test]
        fn every_value_is_in_its_bucket(values in values()) {
            let histogram = of(&values);
            let (offset, buckets) = histogram.buckets();
            prop_assert!(buckets.len() <= MOST_BUCKETS);
            prop_assert!((COARSEST..=FINEST).contains(&histogram.scale()));
            let mut expected = vec![0u64; buckets.len()];
            for value in values.iter().filter(|value| **value > 0.0) {
                let index = index(*value, histogram.scale());
                prop_assert!(holds(index, histogram.scale(), *value), "{value} in {index}");
                expected[(index - offset) as usize] += 1;
            }
            prop_assert_eq!(buckets, &expected[..]);
            let zeros = values.iter().filter(|value| **value == 0.0).count() as u64;
            prop_assert_eq!((histogram.count(), histogram.zeros()), (values.len() as u64, zeros));
        }

        /// Merging two histograms gives the one of all their values.
        #[test]
        fn merge_is_union(left in values(), right in values()) {
            let mut merged = of(&left);
            merged.merge(of(&right));
            let all = of(&[left, right].concat());
            // Sums may differ in the last bits.
            prop_assert!(merged.sum() == all.sum() || (merged.sum() - all.sum()).abs() <= all.sum() * 1e-12);
            merged.sum = all.sum;
            prop_assert_eq!(merged, all);
        }
    }
}
