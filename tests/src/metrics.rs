//! Metrics of services as OTLP/JSON tells them, without the agent's own.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value as Json;

use crate::Value;
use crate::span::{Attributes, attributes, list};

/// A point of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The resource's attributes.
    pub resource: Attributes,
    /// The metric's name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Values are counted from the last export, not from the series' beginning.
    pub delta: bool,
    /// The point's attributes.
    pub attributes: Attributes,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub time: u64,
    /// What it tells.
    pub data: Data,
    /// Trace, span and value of each exemplar.
    pub exemplars: Vec<(String, String, f64)>,
}

/// What a point tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// A sum that never falls.
    Sum(i64),
    /// A histogram.
    Histogram {
        /// How many values.
        count: u64,
        /// Their sum.
        sum: f64,
        /// The least.
        min: f64,
        /// The greatest.
        max: f64,
        /// Counts of all buckets added up, zeros included.
        in_buckets: u64,
        /// It has fixed boundaries.
        explicit: bool,
    },
}

impl Point {
    /// `service.name`
    #[must_use]
    pub fn service(&self) -> &str {
        match self.resource.get("service.name") {
            Some(Value::Text(name)) => name,
            _ => "",
        }
    }

    /// `process.pid`
    #[must_use]
    pub fn process(&self) -> u32 {
        match self.resource.get("process.pid") {
            Some(Value::Integer(id)) => u32::try_from(*id).unwrap_or(0),
            _ => 0,
        }
    }

    /// A sum's value, a histogram's count.
    #[must_use]
    pub fn count(&self) -> i64 {
        match self.data {
            Data::Sum(sum) => sum,
            Data::Histogram { count, .. } => i64::try_from(count).expect("count"),
        }
    }

    /// Which series it belongs to.
    fn series(&self) -> String {
        let mut text = self.name.clone();
        for (key, value) in self.resource.iter().chain(&self.attributes) {
            let _ = write!(text, " {key}={value}");
        }
        text
    }

    fn parse(metric: &Json, json: &Json, delta: bool, resource: &Attributes) -> Result<Self, String> {
        let text = |key: &str| metric[key].as_str().unwrap_or_default().to_owned();
        let integer = |json: &Json| json.as_str().map_or(Ok(0), |digits| digits.parse::<u64>());
        let number = |key: &str| -> Result<u64, String> {
            integer(&json[key]).map_err(|_| format!("{key} is not a number in a string"))
        };
        let counts = |json: &Json, key: &str| -> u64 {
            list(json, key).iter().filter_map(|count| integer(count).ok()).sum()
        };
        let data = if let Some(digits) = json["asInt"].as_str() {
            Data::Sum(digits.parse().map_err(|_| "a bad asInt")?)
        } else {
            let explicit = json["explicitBounds"].is_array();
            Data::Histogram {
                count: number("count")?,
                sum: json["sum"].as_f64().unwrap_or(0.0),
                min: json["min"].as_f64().unwrap_or(0.0),
                max: json["max"].as_f64().unwrap_or(0.0),
                in_buckets: if explicit {
                    counts(json, "bucketCounts")
                } else {
                    number("zeroCount")? + counts(&json["positive"], "bucketCounts")
                },
                explicit,
            }
        };
        let exemplars = list(json, "exemplars").iter().map(|exemplar| {
            let text = |key: &str| exemplar[key].as_str().unwrap_or_default().to_owned();
            (text("traceId"), text("spanId"), exemplar["asDouble"].as_f64().unwrap_or(f64::NAN))
        });
        let point = Self {
            resource: resource.clone(),
            name: text("name"),
            unit: text("unit"),
            delta,
            attributes: attributes(json)?,
            start: number("startTimeUnixNano")?,
            time: number("timeUnixNano")?,
            data,
            exemplars: exemplars.collect(),
        };
        if point.start == 0 || point.time <= point.start || point.unit.is_empty() {
            return Err("no unit, or an interval that does not end behind its beginning".to_owned());
        }
        if let Data::Histogram { count, sum, min, max, in_buckets, .. } = point.data {
            let between = min <= max && sum <= max * count as f64 * 1.000_001;
            if count != in_buckets || count == 0 || !between {
                return Err("a histogram that contradicts itself".to_owned());
            }
        }
        Ok(point)
    }
}

/// All points that came, in order.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    points: Vec<Point>,
}

impl Metrics {
    /// All points, also those that later ones have replaced.
    #[must_use]
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// What all points of a metric say together in the end, for those whose series have these attributes (of point or
    /// resource): of cumulative series the last of each beginning, of delta series all.
    #[must_use]
    pub fn total(&self, name: &str, with: &[(&str, Value)]) -> i64 {
        self.last(name, with).iter().map(|point| point.count()).sum()
    }

    /// The points that [`total`](Self::total) adds up.
    #[must_use]
    pub fn last(&self, name: &str, with: &[(&str, Value)]) -> Vec<&Point> {
        let mut last: BTreeMap<(String, u64), &Point> = BTreeMap::new();
        for point in self.points.iter().filter(|point| point.name == name) {
            let has = |(key, value): &(&str, Value)| {
                point.attributes.get(*key).or_else(|| point.resource.get(*key)) == Some(value)
            };
            if with.iter().all(has) {
                last.insert((point.series(), point.start), point);
            }
        }
        last.into_values().collect()
    }

    /// Panics unless times and values go on as their temporality wants: a cumulative series never falls and keeps its
    /// start, or begins anew behind its last point; delta intervals do not overlap.
    #[track_caller]
    pub fn consistent(&self) {
        let mut before: BTreeMap<String, &Point> = BTreeMap::new();
        for point in &self.points {
            let Some(last) = before.insert(point.series(), point) else { continue };
            let same = !point.delta && last.start == point.start;
            let fine = if same {
                point.time > last.time && point.count() >= last.count()
            } else {
                point.start >= last.time
            };
            assert!(fine, "a series that does not go on:\n{last:#?}\n{point:#?}");
        }
    }

    /// One line a series, for messages.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut lines = String::new();
        let names: std::collections::BTreeSet<&str> =
            self.points.iter().map(|point| point.name.as_str()).collect();
        for name in names {
            for point in self.last(name, &[]) {
                let _ =
                    write!(lines, "{:8} {} {}({})", point.count(), name, point.service(), point.process());
                for (key, value) in &point.attributes {
                    let _ = write!(lines, " {key}={value}");
                }
                lines.push('\n');
            }
        }
        lines
    }

    /// Takes one line that the agent wrote.
    pub(crate) fn parse(&mut self, request: &Json) -> Result<(), String> {
        for group in list(request, "resourceMetrics") {
            let resource = attributes(&group["resource"])?;
            for scope in list(group, "scopeMetrics") {
                for metric in list(scope, "metrics") {
                    self.metric(metric, &resource).map_err(|error| format!("{error} in {metric}"))?;
                }
            }
        }
        Ok(())
    }

    fn metric(&mut self, metric: &Json, resource: &Attributes) -> Result<(), String> {
        const DELTA: i64 = 1;
        const CUMULATIVE: i64 = 2;
        if metric["name"].as_str().is_some_and(|name| name.starts_with("remora.coverage.")) {
            return Ok(());
        }
        for kind in ["sum", "histogram", "exponentialHistogram"] {
            let data = &metric[kind];
            if data.is_null() {
                continue;
            }
            let delta = match data["aggregationTemporality"].as_i64() {
                Some(DELTA) => true,
                Some(CUMULATIVE) => false,
                other => return Err(format!("temporality {other:?}")),
            };
            if kind == "sum" && data["isMonotonic"].as_bool() != Some(true) {
                return Err("a sum that may fall".to_owned());
            }
            for point in list(data, "dataPoints") {
                self.points.push(Point::parse(metric, point, delta, resource)?);
            }
        }
        Ok(())
    }
}
