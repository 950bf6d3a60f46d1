//! Telling: each exchange describes itself once, and the description goes to the metrics and to the spans.
//!
//! The metrics come first: whatever becomes of the span, the exchange is counted.

mod peers;
mod resources;

use std::sync::Arc;

use crate::identity::Store;
use crate::metrics::{self, Lost, Observation, Readings};
use crate::protocol::{Outcome, Role, Scene, Signals};
use crate::stream::{Counters, Facts, Failure, Sink, Told, Traffic};
use crate::trace::{Described, Spans};

use peers::Peers;
use resources::Resources;

/// Takes what a shard tells.
pub struct Teller {
    peers: Peers,
    resources: Resources,
    readings: Readings,
    spans: Spans,
    counters: Arc<Counters>,
}

impl Teller {
    /// Tells of the processes in `store`. `counters` are the shard's.
    #[must_use]
    pub fn new(store: Arc<Store>, readings: Readings, spans: Spans, counters: Arc<Counters>) -> Self {
        let peers = Peers::new(Arc::clone(&store));
        Self { peers, resources: Resources::new(store), readings, spans, counters }
    }

    fn lost(&self, lost: Lost) {
        metrics::count(&self.counters, lost);
    }
}

impl Sink for Teller {
    fn tell(&mut self, told: Told<'_>) {
        let connection = told.connection;
        let role = connection.role.unwrap_or(Role::Client);
        let scene = Scene { role, local: &connection.local, remote: &connection.remote };
        let mut description = told.exchange.detail.describe(&told.exchange, &scene);
        self.peers.name(&told, &mut description);
        let Told { exchange, connection, number } = told;
        let resource = self.resources.of(exchange.start.unit.process, exchange.start.time);
        let spanned = description.signals == Signals::SpanAndMetrics;
        let context = spanned.then(|| self.spans.context(connection.id, number, &description));

        let observation = Observation {
            instruments: description.instruments,
            role,
            attributes: &description.attributes,
            duration: duration(&exchange),
            span: context.map(|context| (exchange.end, context.trace, context.span)),
        };
        let lost = self.readings.record(&resource, &observation, exchange.start.time);
        self.lost(lost);
        if let Some(context) = context {
            Counters::bump(&self.counters.exchanges, 1);
            self.spans.tell(Described { exchange: &exchange, role, description, resource, context });
        } else {
            Counters::bump(&self.counters.turns, 1);
        }
    }

    fn traffic(&mut self, connection: &Facts, traffic: &Traffic) {
        let resource = self.resources.of(connection.process, traffic.since);
        let lost = metrics::traffic::record(&mut self.readings, &resource, connection, traffic);
        self.lost(lost);
    }

    fn failed(&mut self, connection: &Facts, failure: &Failure) {
        let resource = self.resources.of(connection.process, failure.began);
        let lost = metrics::traffic::failed(&mut self.readings, &resource, connection, failure);
        self.lost(lost);
    }

    fn due(&self, now: u64) -> bool {
        self.readings.due(now)
    }

    fn turn(&mut self, now: u64) {
        self.readings.turn(now);
        self.spans.flush();
    }

    fn finish(&mut self, now: u64) {
        self.readings.finish(now);
        self.spans.flush();
    }
}

/// How long an exchange took, in seconds; `None` if its end was not seen, or is still to come.
fn duration(exchange: &crate::protocol::Exchange) -> Option<f64> {
    match exchange.outcome {
        Outcome::ResponseLost | Outcome::Unfinished => None,
        Outcome::Complete | Outcome::ConnectionClosed(_) | Outcome::ProcessGone | Outcome::TimedOut => {
            Some(exchange.end.saturating_sub(exchange.start.time) as f64 / 1e9)
        }
    }
}
