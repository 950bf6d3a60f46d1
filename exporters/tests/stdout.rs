//! OTLP/JSON lines: parsed back and compared, also when two signals write and when the reader goes away.

mod common;

use common::{config, expected, metrics, scope, spans, until};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use remora_exporters::{Dropped, Exporter};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Clone, Default)]
struct Buffer {
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Write for Buffer {
    // Short writes, as a pipe may take them.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(100);
        self.bytes.lock().unwrap().extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Each line is a whole request with nothing around it, and parses back to what was handed over.
#[tokio::test]
async fn lines() {
    let buffer = Buffer::default();
    let exporter =
        Exporter::start_to(config("batch: { max_export_batch_size: 10 }"), scope(), buffer.clone()).unwrap();
    for _ in 0..5 {
        exporter.spans(spans(0..10));
        exporter.metrics(metrics());
    }
    let statistics = exporter.shutdown(Duration::from_secs(5)).await;
    assert_eq!((statistics.traces.exported, statistics.metrics.exported), (50, 15));
    let output = String::from_utf8(buffer.bytes.lock().unwrap().clone()).unwrap();
    assert!(output.ends_with('\n'));
    let (traces, points): (Vec<_>, Vec<_>) =
        output.lines().partition(|line| line.starts_with(r#"{"resourceSpans":["#));
    assert_eq!(traces.len(), 5);
    for line in &traces {
        let request: ExportTraceServiceRequest = serde_json::from_str(line).unwrap();
        assert_eq!(request.resource_spans, expected(0..10));
        assert!(line.contains(r#""traceId":"00000000000000040000000001234567""#), "{line}");
        assert!(line.contains(r#""spanId":"0000000000000005""#), "{line}");
    }
    let mut seen = Vec::new();
    for line in &points {
        assert!(line.starts_with(r#"{"resourceMetrics":["#), "{line}");
        seen.extend(serde_json::from_str::<ExportMetricsServiceRequest>(line).unwrap().resource_metrics);
    }
    assert_eq!(seen, (0..5).flat_map(|_| metrics()).collect::<Vec<_>>());
}

/// When the reader of a real pipe goes away, nothing panics, writing ends, and the loss is counted.
#[tokio::test]
async fn closed_pipe() {
    let (mut reader, writer) = io::pipe().unwrap();
    let exporter = Exporter::start_to(config("{}"), scope(), writer).unwrap();
    exporter.spans(spans(0..3));
    until(&exporter, |s| s.traces.exported == 3).await;
    let mut start = [0; 18];
    reader.read_exact(&mut start).unwrap();
    assert_eq!(&start, br#"{"resourceSpans":["#);
    drop(reader);
    exporter.spans(spans(0..4));
    until(&exporter, |s| s.traces.dropped.permanent == 4).await;
    exporter.metrics(metrics());
    let statistics = until(&exporter, |s| s.metrics.dropped.permanent == 3).await;
    assert_eq!(statistics.traces.dropped, Dropped { permanent: 4, ..Dropped::default() });
    assert!(statistics.metrics.last_error.unwrap().contains("closed by its reader"));
}

/// A reader that does not read holds up neither the caller nor the end.
#[tokio::test]
async fn stuck_reader() {
    struct Stuck(std::sync::mpsc::Receiver<()>);
    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (_release, stuck) = std::sync::mpsc::channel();
    let exporter =
        Exporter::start_to(config("batch: { max_queue_size: 10 }"), scope(), Stuck(stuck)).unwrap();
    exporter.spans(spans(0..4));
    until(&exporter, |s| s.traces.requests_sent == 1).await;
    exporter.spans(spans(4..20));
    assert_eq!(exporter.statistics().traces.dropped.queue_full, 10);
    let begin = std::time::Instant::now();
    let statistics = exporter.shutdown(Duration::from_millis(200)).await;
    assert!(begin.elapsed() < Duration::from_millis(500));
    assert_eq!(statistics.traces.dropped, Dropped { queue_full: 10, shutdown: 10, ..Dropped::default() });
}
