//! WebSocket (RFC 6455) on a connection that HTTP/1 was upgraded from.
//!
//! What the messages say is nobody's business: they are counted, with their bytes, for each end. A connection is one span
//! from the upgrade to its end, and every minute a part of it.
//!
//! A connection that is met in the middle is not recognised: two bytes that vary little, and after them anything, is what
//! many protocols look like.

mod detail;
mod frame;
mod parser;
#[cfg(test)]
mod tests;

use super::http::Upgraded;
use super::{Inference, Parser, Protocol, Run, Upgrade};

/// WebSocket.
#[derive(Debug, Default)]
pub struct WebSocket;

impl Protocol for WebSocket {
    fn name(&self) -> &'static str {
        "websocket"
    }

    fn infer(&self, _: &Run<'_>) -> Inference {
        Inference::No
    }

    fn parser(&self, midstream: bool) -> Box<dyn Parser> {
        Box::new(parser::WebSocketParser::new(None, midstream))
    }

    fn upgraded(&self, upgrade: &mut Upgrade) -> Option<Box<dyn Parser>> {
        if upgrade.token != "websocket" {
            return None;
        }
        let request = upgrade.request.take().and_then(|request| request.downcast::<Upgraded>().ok());
        Some(Box::new(parser::WebSocketParser::new(request.map(|request| *request), false)))
    }
}
