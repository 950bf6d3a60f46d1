use std::collections::BTreeMap;

use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, metric::Data};

use super::*;
use crate::metrics::Histogram;
use crate::metrics::table::Observation;
use crate::metrics::testing::{BYTES, COUNT, DURATION, SIZE, exponential, resource, sums};
use crate::protocol::Role;

const SECOND: u64 = 1_000_000_000;

fn settings() -> Settings {
    Settings { silent_intervals: 2, ..Settings::default() }
}

fn table(settings: &Settings) -> Table {
    Table::new(settings.histogram, Limits::from(settings))
}

/// Counts exchanges whose `key` has these values.
fn counted(settings: &Settings, service: &str, keys: &[i64]) -> Table {
    let mut table = table(settings);
    for key in keys {
        let _ = count(&mut table, service, *key);
    }
    table
}

fn count(table: &mut Table, service: &str, key: i64) -> Lost {
    let attributes = [("key", Value::Integer(key)), ("never", Value::Flag(true))];
    let observation = Observation {
        instruments: &[&COUNT],
        role: Role::Client,
        attributes: &attributes,
        duration: None,
        span: None,
    };
    table.record(&resource(service), &observation)
}

/// Value, start and end of the only point.
fn only(metrics: &[ResourceMetrics]) -> (i64, u64, u64) {
    let sums = sums(metrics);
    let [(_, _, value, start, end)] = &sums[..] else { panic!("{sums:?}") };
    (*value, *start, *end)
}

/// One exchange, every kind of instrument: exact numbers, the role's instruments only, one exemplar.
#[test]
fn exact_numbers() {
    let settings = settings();
    let mut state = State::new(&settings);
    let mut table = table(&settings);
    table.since = 10;
    for (milliseconds, size) in [(500, 10), (250, 0), (1000, 3)] {
        let attributes = [
            ("other", Value::Text("o".into())),
            ("size", Value::Integer(size)),
            ("key", Value::Text("k".into())),
        ];
        for role in [Role::Server, Role::Client] {
            let observation = Observation {
                instruments: &[&DURATION, &SIZE, &COUNT, &BYTES],
                role,
                attributes: &attributes,
                duration: Some(f64::from(milliseconds) / 1000.0),
                span: Some((u64::from(milliseconds as u32), [milliseconds as u8; 16], [7; 8])),
            };
            assert_eq!(table.record(&resource("a"), &observation), Lost::default());
        }
    }
    let (told, lost) = state.collect(vec![table], 70, 1000);
    assert_eq!(lost, Lost::default());
    let [of_service] = &told[..] else { panic!() };
    let scope = &of_service.scope_metrics[0];
    assert_eq!((scope.scope.as_ref().unwrap().name.as_str(), of_service.schema_url.as_str()), ("remora", ""));
    let names: Vec<_> = scope.metrics.iter().map(|metric| (&*metric.name, &*metric.unit)).collect();
    assert_eq!(
        names,
        [("test.count", "{thing}"), ("test.duration", "s"), ("test.io", "By"), ("test.size", "By")]
    );
    let values: Vec<_> = sums(&told).into_iter().map(|(_, name, value, ..)| (name, value)).collect();
    assert_eq!(values, [("test.count".to_owned(), 6), ("test.io".to_owned(), 26)]);
    let points = exponential(&told);
    let [duration, size] = &points[..] else { panic!("{points:?}") };
    assert_eq!((duration.count, duration.sum, duration.zero_count), (3, Some(1.75), 0));
    assert_eq!((duration.min, duration.max), (Some(0.25), Some(1.0)));
    assert_eq!((duration.start_time_unix_nano, duration.time_unix_nano), (1010, 1070));
    let keys: Vec<_> = duration.attributes.iter().map(|pair| pair.key.as_str()).collect();
    assert_eq!(keys, ["key", "other"]);
    assert_eq!((size.count, size.zero_count, size.sum), (6, 2, Some(26.0)));
    // The greatest is the exemplar.
    let [exemplar] = &duration.exemplars[..] else { panic!() };
    assert_eq!(
        (exemplar.trace_id[0], exemplar.time_unix_nano, exemplar.span_id.len()),
        (1000u32 as u8, 2000, 8)
    );
    let Some(Data::ExponentialHistogram(histogram)) = &scope.metrics[1].data else { panic!() };
    assert_eq!(histogram.aggregation_temporality, AggregationTemporality::Cumulative as i32);
}

/// Cumulative: counted since the series began, told in silence, forgotten after some of it; when it comes again it begins
/// where the last interval ended.
#[test]
fn cumulative() {
    let settings = settings();
    let mut state = State::new(&settings);
    let mut told = Vec::new();
    let readings: [&[i64]; 8] = [&[1, 1], &[1], &[], &[], &[], &[1], &[], &[1]];
    for (second, keys) in (1..).zip(readings) {
        let mut table = counted(&settings, "a", keys);
        table.since = (second - 1) * SECOND;
        told.push(state.collect(vec![table], second * SECOND, 0).0);
    }
    assert_eq!(only(&told[0]), (2, 0, SECOND));
    assert_eq!(only(&told[1]), (3, 0, 2 * SECOND));
    assert_eq!(only(&told[2]), (3, 0, 3 * SECOND));
    // Silent for one interval, and for a second; then it is not told any more.
    assert_eq!(only(&told[3]), (3, 0, 4 * SECOND));
    assert!(told[4].is_empty());
    assert_eq!(only(&told[5]), (1, 5 * SECOND, 6 * SECOND));
    assert_eq!(only(&told[6]), (1, 5 * SECOND, 7 * SECOND));
    assert_eq!(only(&told[7]), (2, 5 * SECOND, 8 * SECOND));
}

/// Delta: each interval for itself, and nothing of one in which nothing happened. Low memory is the same for these.
#[test]
fn delta() {
    for temporality in [Temporality::Delta, Temporality::LowMemory] {
        let settings = Settings { temporality, ..settings() };
        let mut state = State::new(&settings);
        let mut told = Vec::new();
        for (second, keys) in (1..).zip([&[1, 1][..], &[1], &[], &[1, 1, 1]]) {
            let mut table = counted(&settings, "a", keys);
            table.since = (second - 1) * SECOND;
            told.push(state.collect(vec![table], second * SECOND, 0).0);
        }
        assert_eq!(only(&told[0]), (2, 0, SECOND));
        assert_eq!(only(&told[1]), (1, SECOND, 2 * SECOND));
        assert!(told[2].is_empty());
        assert_eq!(only(&told[3]), (3, 3 * SECOND, 4 * SECOND));
        let Some(Data::Sum(sum)) = &told[0][0].scope_metrics[0].metrics[0].data else { panic!() };
        assert_eq!(sum.aggregation_temporality, AggregationTemporality::Delta as i32);
    }
}

/// What several shards read of one series is one series, though each has objects of its own for the service; an exemplar is
/// told once.
#[test]
fn shards_are_merged() {
    let settings = settings();
    let mut state = State::new(&settings);
    let tables = (1..=3)
        .map(|shard| {
            let mut table = counted(&settings, "a", &[1, 2]);
            let observation = Observation {
                instruments: &[&DURATION],
                role: Role::Server,
                attributes: &[],
                duration: Some(f64::from(shard)),
                span: Some((5, [shard as u8; 16], [1; 8])),
            };
            let _ = table.record(&resource("a"), &observation);
            let _ = count(&mut table, "b", 1);
            table
        })
        .collect();
    let (told, _) = state.collect(tables, SECOND, 0);
    let values: Vec<_> = sums(&told).into_iter().map(|(service, _, value, ..)| (service, value)).collect();
    assert_eq!(values, [("a".to_owned(), 3), ("a".to_owned(), 3), ("b".to_owned(), 3)]);
    let [point] = &exponential(&told)[..] else { panic!() };
    assert_eq!((point.count, point.sum, point.exemplars[0].trace_id[0]), (3, Some(6.0), 3));
    let (told, _) = state.collect(vec![], 2 * SECOND, 0);
    let [point] = &exponential(&told)[..] else { panic!() };
    assert_eq!((point.count, point.exemplars.len()), (3, 0));
}

/// Instruments of several protocols with one name are one metric.
#[test]
fn one_metric_of_several_instruments() {
    static ALSO: Instrument = Instrument { keys: &["other", "key"], ..COUNT };
    let settings = settings();
    let mut table = counted(&settings, "a", &[1]);
    let observation = Observation {
        instruments: &[&ALSO],
        role: Role::Client,
        attributes: &[("key", Value::Integer(1))],
        duration: None,
        span: None,
    };
    let _ = table.record(&resource("a"), &observation);
    let (told, _) = State::new(&settings).collect(vec![table], SECOND, 0);
    assert_eq!(told[0].scope_metrics[0].metrics.len(), 1);
    assert_eq!(only(&told), (2, SECOND, SECOND + 1));
}

/// The limit holds for each instrument and service, in a shard and over all shards; beyond it everything goes into one set,
/// and nothing is lost. Sets that were there before stay.
#[test]
fn cardinality_limit() {
    let settings = Settings { cardinality_limit: 10, ..settings() };
    let mut state = State::new(&settings);
    // Each shard has 8 sets, of which 4 are the other's, too: 12 in all. A third has 11 by itself.
    let one = counted(&settings, "a", &(0..8).collect::<Vec<_>>());
    let other = counted(&settings, "a", &(4..12).collect::<Vec<_>>());
    let mut third = table(&settings);
    let lost: Vec<Lost> = (0..11).map(|key| count(&mut third, "b", key)).collect();
    assert!(lost[..10].iter().all(|lost| *lost == Lost::default()));
    assert_eq!(lost[10], Lost { overflowed: 1, dropped: 0 });
    let (told, lost) = state.collect(vec![one, other, third], SECOND, 0);
    assert_eq!(lost, Lost { overflowed: 2, dropped: 0 });
    let mut by_service: BTreeMap<String, (usize, i64)> = BTreeMap::new();
    for (service, _, value, ..) in sums(&told) {
        let (points, total) = by_service.entry(service).or_default();
        *points += 1;
        *total += value;
    }
    assert_eq!(by_service["a"], (11, 16));
    assert_eq!(by_service["b"], (11, 11));
    let Some(Data::Sum(sum)) = &told[0].scope_metrics[0].metrics[0].data else { panic!() };
    let overflow: Vec<_> = sum
        .data_points
        .iter()
        .filter(|point| point.attributes.iter().any(|pair| pair.key == "otel.metric.overflow"))
        .collect();
    assert_eq!((overflow.len(), overflow[0].attributes.len()), (1, 1));
    // The same set goes where it went before.
    let (told, _) = state.collect(vec![counted(&settings, "a", &[3, 11])], 2 * SECOND, 0);
    let total: i64 = sums(&told).iter().filter(|(service, ..)| service == "a").map(|sum| sum.2).sum();
    assert_eq!((total, sums(&told).len()), (18, 22));
}

/// All series together are bounded, and so are the overflow sets.
#[test]
fn bounded() {
    let settings = Settings { max_series: 100, ..settings() };
    let mut table = table(&settings);
    let mut lost = Lost::default();
    for service in 0..300 {
        let more = count(&mut table, &format!("s{service}"), 1);
        lost.overflowed += more.overflowed;
        lost.dropped += more.dropped;
    }
    assert_eq!(lost, Lost { overflowed: 100, dropped: 100 });
    let mut state = State::new(&settings);
    let (told, lost) = state.collect(vec![table], SECOND, 0);
    assert_eq!((sums(&told).len(), lost), (200, Lost::default()));
    // Others come while these are still told.
    let (told, lost) = state.collect(vec![counted(&settings, "t", &[1, 2])], 2 * SECOND, 0);
    assert_eq!((sums(&told).len(), lost), (200, Lost { overflowed: 2, dropped: 2 }));
    for second in 3..6 {
        let _ = state.collect(vec![], second * SECOND, 0);
    }
    assert!(state.services.is_empty() && state.many == 0 && state.overflows == 0);
}

/// With fixed boundaries, for backends that want them.
#[test]
fn explicit_buckets() {
    let settings = Settings { histogram: Histogram::Explicit, ..settings() };
    let mut table = table(&settings);
    for seconds in [0.004, 0.3, 99.0] {
        let observation = Observation {
            instruments: &[&DURATION],
            role: Role::Server,
            attributes: &[],
            duration: Some(seconds),
            span: None,
        };
        let _ = table.record(&resource("a"), &observation);
    }
    let (told, _) = State::new(&settings).collect(vec![table], SECOND, 0);
    let Some(Data::Histogram(histogram)) = &told[0].scope_metrics[0].metrics[0].data else { panic!() };
    let point = &histogram.data_points[0];
    assert_eq!((point.count, point.bucket_counts.len(), point.explicit_bounds.len()), (3, 15, 14));
    assert_eq!((point.bucket_counts[0], point.bucket_counts[7], point.bucket_counts[14]), (1, 1, 1));
    assert!(point.exemplars.is_empty());
}

/// A clock that is set back gives no interval that ends before it begins, and no other start of a series.
#[test]
fn clock_set_back() {
    let settings = settings();
    let mut state = State::new(&settings);
    let mut first = counted(&settings, "a", &[1]);
    first.since = 0;
    assert_eq!(only(&state.collect(vec![first], SECOND, 1000).0), (1, 1000, SECOND + 1000));
    let (told, _) = state.collect(vec![counted(&settings, "a", &[1])], 2 * SECOND, -(5 * SECOND as i64));
    assert_eq!(only(&told), (2, 1000, SECOND + 1001));
}
