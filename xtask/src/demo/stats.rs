//! What all spans together say: services, requests, errors and latencies, by service and by route.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use hdrhistogram::Histogram;

use super::otlp::{Kind, Span};
use crate::progress::paint;

/// Routes shown in the summary; the busiest first.
const ROUTES: usize = 30;

/// An hour, in microseconds; what takes longer counts as an hour.
const LONGEST: u64 = 3_600_000_000;

#[derive(Default)]
pub struct Stats {
    services: BTreeMap<String, Service>,
    routes: BTreeMap<(String, String), Answered>,
    spans: u64,
    foreign: Option<String>,
}

#[derive(Default)]
struct Service {
    served: Answered,
    calls: u64,
    failed_calls: u64,
}

/// Requests that a server answered (or failed to).
struct Answered {
    requests: u64,
    /// Status codes 400 to 499: the client's mistake, not an error of the server.
    refused: u64,
    errors: u64,
    /// Microseconds.
    latency: Histogram<u64>,
}

impl Default for Answered {
    fn default() -> Self {
        let latency = Histogram::new_with_max(LONGEST, 3).expect("bounds and figures are valid");
        Self { requests: 0, refused: 0, errors: 0, latency }
    }
}

impl Answered {
    fn add(&mut self, span: &Span) {
        self.requests += 1;
        self.refused += u64::from(span.status.is_some_and(|status| (400..500).contains(&status)));
        self.errors += u64::from(span.error.is_some());
        self.latency.saturating_record(span.duration / 1_000);
    }

    fn row(&self) -> String {
        let at = |quantile| milliseconds(self.latency.value_at_quantile(quantile));
        format!(
            "{:>8} {:>7} {:>7} {:>10} {:>10} {:>10}",
            self.requests,
            self.refused,
            self.errors,
            at(0.5),
            at(0.95),
            at(0.99)
        )
    }
}

const COLUMNS: &str = "requests     4xx  errors        p50        p95        p99";

impl Stats {
    pub fn add(&mut self, span: &Span) {
        self.spans += 1;
        let service = self.services.entry(span.service.clone()).or_default();
        match span.kind {
            Kind::Server => {
                service.served.add(span);
                self.routes.entry((span.service.clone(), span.name.clone())).or_default().add(span);
            }
            Kind::Client => {
                service.calls += 1;
                service.failed_calls += u64::from(span.error.is_some());
            }
            Kind::Other => {}
        }
    }

    /// Remembers a line of the agent's standard output that was not OTLP.
    pub fn not_otlp(&mut self, line: &str) {
        self.foreign.get_or_insert_with(|| line.chars().take(200).collect());
    }

    pub fn spans(&self) -> u64 {
        self.spans
    }

    /// Prints the tables.
    pub fn print(&self) {
        println!("\n{}", paint(&format!("{} services, {} spans", self.services.len(), self.spans), "1"));
        let width = self.services.keys().map(String::len).max().unwrap_or(0).max(16);
        println!("\n  {:<width$} {COLUMNS}    calls  failed", "service");
        for (name, service) in &self.services {
            let served = match service.served.requests {
                0 => format!("{:>8} {:>7} {:>7} {:>10} {:>10} {:>10}", 0, "-", "-", "-", "-", "-"),
                _ => service.served.row(),
            };
            println!("  {name:<width$} {served} {:>8} {:>7}", service.calls, service.failed_calls);
        }

        let mut routes: Vec<_> = self.routes.iter().collect();
        routes.sort_by_key(|(_, answered)| std::cmp::Reverse(answered.requests));
        let hidden = routes.len().saturating_sub(ROUTES);
        routes.truncate(ROUTES);
        routes
            .sort_by_key(|((service, _), answered)| (service.as_str(), std::cmp::Reverse(answered.requests)));
        let wide = routes.iter().map(|((_, route), _)| route.len()).max().unwrap_or(0).max(16);
        println!("\n  {:<width$} {:<wide$} {COLUMNS}", "service", "route");
        for ((service, route), answered) in routes {
            println!("  {service:<width$} {route:<wide$} {}", answered.row());
        }
        if hidden > 0 {
            println!("  … and {hidden} routes with fewer requests");
        }
    }

    /// An error when the agent did not do its job.
    pub fn verdict(&self) -> Result<()> {
        if let Some(line) = &self.foreign {
            bail!("the agent wrote something to standard output that is not OTLP/JSON: {line}");
        }
        if self.spans == 0 {
            bail!("no span came");
        }
        Ok(())
    }
}

/// Microseconds, as milliseconds with as many digits as are worth reading.
pub fn milliseconds(micros: u64) -> String {
    let ms = micros as f64 / 1_000.0;
    match micros {
        0..10_000 => format!("{ms:.2} ms"),
        10_000..1_000_000 => format!("{ms:.1} ms"),
        _ => format!("{ms:.0} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(kind: Kind, status: u16, micros: u64) -> Span {
        Span {
            service: "orders".into(),
            kind,
            name: "GET /carts/{id}".into(),
            status: Some(status),
            path: None,
            error: (status >= 500).then(|| status.to_string()),
            end: 0,
            duration: micros * 1_000,
        }
    }

    #[test]
    fn servers_and_clients_are_counted_apart() {
        let mut stats = Stats::default();
        for n in 1..=100 {
            stats.add(&span(Kind::Server, 200, n * 100));
        }
        stats.add(&span(Kind::Server, 404, 100));
        stats.add(&span(Kind::Server, 500, 100));
        stats.add(&span(Kind::Client, 500, 100));
        let service = &stats.services["orders"];
        assert_eq!((service.served.requests, service.served.refused, service.served.errors), (102, 1, 1));
        assert_eq!((service.calls, service.failed_calls), (1, 1));
        let p95 = service.served.latency.value_at_quantile(0.95);
        assert!((9_400..=9_600).contains(&p95), "{p95}");
        assert!(stats.verdict().is_ok());
    }

    #[test]
    fn nothing_seen_is_a_failure() {
        assert!(Stats::default().verdict().is_err());
    }

    #[test]
    fn latencies_are_short_to_read() {
        assert_eq!(milliseconds(180), "0.18 ms");
        assert_eq!(milliseconds(12_340), "12.3 ms");
        assert_eq!(milliseconds(1_234_567), "1235 ms");
    }
}
