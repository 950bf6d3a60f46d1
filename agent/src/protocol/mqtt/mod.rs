//! MQTT 3.1.1 and 5 (OASIS standards; 3.1 is read as 3.1.1).
//!
//! Either end publishes. A message of quality of service 0 is told as it passes, others until they are acknowledged, by
//! their packet identifiers, of which each direction has its own. Which version is spoken is said once, in `CONNECT`; in
//! the middle of a connection it is learnt from packets that only one version has. Payloads are never looked at.

mod detail;
mod infer;
mod packet;
mod parser;
mod properties;
mod reasons;
#[cfg(test)]
mod tests;
mod topic;

use super::{Inference, Parser, Protocol, Run};

/// MQTT.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mqtt;

impl Protocol for Mqtt {
    fn name(&self) -> &'static str {
        "mqtt"
    }

    fn infer(&self, run: &Run<'_>) -> Inference {
        infer::infer(run)
    }

    fn parser(&self, midstream: bool) -> Box<dyn Parser> {
        Box::new(parser::MqttParser::new(midstream))
    }
}
