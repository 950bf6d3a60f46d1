//! The agent's own counters, from the metrics `remora.coverage.*` that it exports.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::span::{attributes, list};

const PREFIX: &str = "remora.coverage.";

/// The latest value of each counter.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// By name (without the prefix) and attributes.
    points: BTreeMap<(String, String), i64>,
}

impl Coverage {
    /// A counter's value, summed over its attributes; panics if the agent did not export it.
    #[must_use]
    #[track_caller]
    pub fn get(&self, name: &str) -> i64 {
        let found: Vec<i64> =
            self.points.iter().filter(|((key, _), _)| key == name).map(|(_, value)| *value).collect();
        assert!(!found.is_empty(), "no counter {PREFIX}{name} among {:#?}", self.points);
        found.iter().sum()
    }

    /// A counter's value where its attributes contain a text.
    #[must_use]
    pub fn with(&self, name: &str, attribute: &str) -> i64 {
        let matching =
            self.points.iter().filter(|((key, attributes), _)| key == name && attributes.contains(attribute));
        matching.map(|(_, value)| value).sum()
    }

    /// Whether anything was exported.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Takes one line that the agent wrote.
    pub(crate) fn parse(&mut self, request: &Json) -> Result<(), String> {
        for group in list(request, "resourceMetrics") {
            for scope in list(group, "scopeMetrics") {
                for metric in list(scope, "metrics") {
                    self.metric(metric).map_err(|error| format!("{error} in {metric}"))?;
                }
            }
        }
        Ok(())
    }

    fn metric(&mut self, metric: &Json) -> Result<(), String> {
        const DELTA: i64 = 1;
        let Some(name) = metric["name"].as_str().and_then(|name| name.strip_prefix(PREFIX)) else {
            return Ok(());
        };
        let delta = metric["sum"]["aggregationTemporality"].as_i64() == Some(DELTA);
        for point in list(&metric["sum"], "dataPoints") {
            let value = point["asInt"].as_str().and_then(|digits| digits.parse().ok()).ok_or("no asInt")?;
            let described: Vec<String> =
                attributes(point)?.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let known = self.points.entry((name.to_owned(), described.join(","))).or_insert(0);
            *known = if delta { *known + value } else { value };
        }
        Ok(())
    }
}

impl std::fmt::Display for Coverage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for ((name, attributes), value) in self.points.iter().filter(|(_, value)| **value != 0) {
            writeln!(f, "  {value:12} {name} {attributes}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cumulative sums replace, deltas add up, attributes are kept apart.
    #[test]
    fn latest_values() {
        let line = |temporality: i64, value: i64, reason: &str| {
            serde_json::json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{
                "name": "remora.coverage.dropped",
                "sum": {"aggregationTemporality": temporality, "dataPoints": [{"asInt": value.to_string(),
                    "attributes": [{"key": "reason", "value": {"stringValue": reason}}]}]}}]}]}]})
        };
        let mut coverage = Coverage::default();
        for (temporality, value, reason) in [(2, 5, "full"), (2, 7, "full"), (1, 1, "late"), (1, 2, "late")] {
            coverage.parse(&line(temporality, value, reason)).expect("a metric");
        }
        assert_eq!((coverage.get("dropped"), coverage.with("dropped", "late")), (10, 3));
    }
}
