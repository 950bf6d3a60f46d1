//! Medians and their spread, as text.

/// Values of several rounds.
#[derive(Clone, Debug, Default)]
pub struct Values(Vec<f64>);

impl Values {
    /// Sorted; what is not a number is left out.
    pub fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The same values, each changed.
    pub fn map(self, change: impl Fn(f64) -> f64) -> Self {
        Self::new(self.0.into_iter().map(change))
    }

    /// Zero where there are none.
    pub fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        match self.0.len() {
            0 => 0.0,
            length if length % 2 == 1 => self.0[middle],
            _ => f64::midpoint(self.0[middle - 1], self.0[middle]),
        }
    }

    pub fn least(&self) -> f64 {
        self.0.first().copied().unwrap_or(0.0)
    }

    pub fn most(&self) -> f64 {
        self.0.last().copied().unwrap_or(0.0)
    }

    /// `median (least to most)`, as `show` writes each.
    pub fn spread(&self, show: impl Fn(f64) -> String) -> String {
        match self.0.len() {
            0 => "–".to_owned(),
            1 => show(self.median()),
            _ => format!("{} ({} to {})", show(self.median()), show(self.least()), show(self.most())),
        }
    }
}

/// `12,345`, with as many decimals as matter.
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        0.0..9.995 => 2,
        9.995..99.95 => 1,
        _ => 0,
    };
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) =
        text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let grouped = count(whole.parse().unwrap_or(0));
    let sign = if value < 0.0 && text.bytes().any(|byte| (b'1'..=b'9').contains(&byte)) { "−" } else { "" };
    rest.map_or_else(|| format!("{sign}{grouped}"), |rest| format!("{sign}{grouped}.{rest}"))
}

/// `12,345`: something counted.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A share as per cent.
pub fn percent(share: f64) -> String {
    let text = format!("{:.1} %", share.abs() * 100.0);
    if share < 0.0 && text != "0.0 %" { format!("−{text}") } else { text }
}

/// A Markdown table.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        text.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_spreads() {
        assert_eq!(Values::new([3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(Values::new([4.0, 1.0, 2.0, f64::NAN, 3.0]).median(), 2.5);
        assert_eq!(Values::new([3.0, 1.0, 2.0]).spread(number), "2.00 (1.00 to 3.00)");
        assert_eq!(Values::new([3.0]).spread(number), "3.00");
        assert_eq!(Values::default().spread(number), "–");
    }

    #[test]
    fn numbers_are_short_to_read() {
        assert_eq!(number(1_234_567.8), "1,234,568");
        assert_eq!(number(123.0), "123");
        assert_eq!((count(0), count(64), count(1_234_567)), ("0".into(), "64".into(), "1,234,567".into()));
        assert_eq!(number(12.345), "12.3");
        assert_eq!(number(-1.2), "−1.20");
        assert_eq!(number(-0.001), "0.00");
        assert_eq!(percent(0.1234), "12.3 %");
        assert_eq!(percent(-0.0001), "0.0 %");
    }
}
