//! Apache Kafka (<https://kafka.apache.org/protocol>).
//!
//! A message is a size and as many bytes: a request with an API's key and version, a correlation id and the client's id,
//! or a response with the correlation id of its request. [`api`] says which APIs and versions there are, [`schema`] what
//! their messages look like; one reader reads them all. Of records only the batches' headers are read. Names of topics are
//! remembered for all connections ([`topics`]).

mod api;
mod detail;
mod errors;
mod framing;
mod header;
mod infer;
mod instruments;
mod parser;
mod records;
mod schema;
mod summary;
#[cfg(test)]
mod tests;
mod topics;
mod wire;

use std::sync::Arc;

use super::{Inference, Parser, Protocol, Run};

/// Apache Kafka's protocol.
#[derive(Debug, Default)]
pub struct Kafka {
    topics: Arc<topics::Shared>,
}

impl Protocol for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn infer(&self, run: &Run<'_>) -> Inference {
        infer::infer(run)
    }

    fn parser(&self, midstream: bool) -> Box<dyn Parser> {
        let topics = topics::Topics::new(Arc::clone(&self.topics));
        Box::new(parser::KafkaParser::new(topics, midstream))
    }
}
