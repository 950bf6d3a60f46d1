//! How a connection reads in OpenTelemetry's words. The conventions have none for WebSocket: the target and the ends are told
//! as HTTP tells them, the rest begins with `remora.websocket.`.

use crate::protocol::http::{Attributes, HttpDetail, broken};
use crate::protocol::{Description, Detail, Exchange, Scene, Stream};

/// What one end sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Whole ones.
    pub messages: u64,
    /// Bytes of their payloads, compressed if they are.
    pub bytes: u64,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct WebSocketDetail {
    /// The request that asked for it.
    pub http: Option<Box<HttpDetail>>,
    /// `[to server, to client]`; `None` once bytes were lost.
    pub counts: [Option<Counts>; 2],
    /// The code in the first closing frame.
    pub code: Option<u16>,
    /// Whose stream that was on.
    pub closed_by: Option<Stream>,
    /// 0 for a connection that is told once. One that lasts is told in parts, counted from 1: each but the last is a span
    /// from where the one before ended, with the counts so far; the last is a span of the whole connection.
    pub part: u32,
    /// This is the last part, or the only one.
    pub last: bool,
}

impl Default for WebSocketDetail {
    fn default() -> Self {
        let counts = [Some(Counts::default()); 2];
        Self { http: None, counts, code: None, closed_by: None, part: 0, last: false }
    }
}

impl Detail for WebSocketDetail {
    fn describe(&self, exchange: &Exchange, scene: &Scene<'_>) -> Description {
        let mut out = Attributes::new();
        match &self.http {
            Some(http) => {
                // The span's name says nothing of it: that is the upgrade's.
                let _ = http.place(scene, &mut out);
                http.user_agent(&mut out);
                out.network(scene);
            }
            None => scene.addresses(&mut out.0),
        }
        let [client, server] = self.counts;
        for (counts, messages, bytes) in [
            (client, "remora.websocket.client.messages", "remora.websocket.client.bytes"),
            (server, "remora.websocket.server.messages", "remora.websocket.server.bytes"),
        ] {
            out.count(messages, counts.map(|counts| counts.messages));
            out.count(bytes, counts.map(|counts| counts.bytes));
        }
        if self.part > 0 {
            out.integer("remora.stream.part", self.part);
        }
        let name = "websocket".to_owned();
        let parent = self.http.as_ref().and_then(|http| http.parent());
        let mut description = Description { name, parent, ..Description::default() };
        if self.last {
            if let Some(by) = self.closed_by {
                let who = if by == Stream::ToServer { "client" } else { "server" };
                out.text("remora.websocket.closed_by", who);
            }
            if let Some(code) = self.code {
                out.integer("remora.websocket.close_code", code);
            }
            if let Some(broken) = broken(exchange.outcome, None, true, &mut out) {
                out.text("error.type", broken.error_type);
                description.error = Some("the connection ended without a closing frame".into());
            } else if let Some(code) = self.code.filter(|code| is_error(*code)) {
                out.text("error.type", code.to_string());
                description.error = Some("".into());
            }
        }
        description.attributes = out.0;
        description
    }
}

/// RFC 6455, 7.4.1 and IANA's registry: what went wrong. Of the applications' own codes nobody knows.
fn is_error(code: u16) -> bool {
    matches!(code, 1002 | 1003 | 1007..=1015)
}
