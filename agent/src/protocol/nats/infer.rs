//! Does a run look like NATS?
//!
//! INFO and CONNECT have fields that nothing else has; a message whose payload ends where its line says, or whose headers
//! begin as they must, is nothing else either. Other lines are only likely. PING and PONG come from either side.

use crate::protocol::{Inference, Run, Stream};

use super::wire::{self, Line};

/// What a prefix looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    Wrong,
    /// Nothing speaks against it.
    Open,
    Likely,
    Sure,
}

const CLIENT: [&[u8]; 7] = [b"CONNECT", b"PUB", b"HPUB", b"SUB", b"UNSUB", b"PING", b"PONG"];
const SERVER: [&[u8]; 7] = [b"INFO", b"MSG", b"HMSG", b"PING", b"PONG", b"+OK", b"-ERR"];

pub(super) fn infer(run: &Run<'_>) -> Inference {
    let [to_server, to_client] = [Stream::ToServer, Stream::ToClient].map(|stream| look(run.bytes, stream));
    match (to_server, to_client) {
        (Look::Sure, _) => Inference::Yes(Stream::ToServer),
        (_, Look::Sure) => Inference::Yes(Stream::ToClient),
        (Look::Likely, Look::Likely) => run.stream.map_or(Inference::Maybe, Inference::Likely),
        (Look::Likely, _) => Inference::Likely(Stream::ToServer),
        (_, Look::Likely) => Inference::Likely(Stream::ToClient),
        (Look::Wrong, Look::Wrong) => Inference::No,
        _ => Inference::Maybe,
    }
}

/// Could a line begin so?
pub(super) fn may_begin(bytes: &[u8], stream: Stream) -> bool {
    wire::may_be(bytes, if stream == Stream::ToServer { &CLIENT } else { &SERVER })
}

/// After a loss: does a line begin so? Messages come without turns, so one that is whole is believed anywhere.
pub(super) fn may_follow(bytes: &[u8], stream: Stream, turn: bool) -> bool {
    look(bytes, stream) >= if turn { Look::Likely } else { Look::Sure }
}

fn look(bytes: &[u8], stream: Stream) -> Look {
    let mut rest = bytes;
    let mut look = Look::Open;
    while !rest.is_empty() {
        let Some(end) = memchr::memchr(b'\n', rest) else {
            return match unfinished(rest, stream) {
                Look::Wrong => Look::Wrong,
                unfinished => look.max(unfinished),
            };
        };
        let (text, behind) = rest.split_at(end + 1);
        let verb = text.iter().take_while(|byte| !byte.is_ascii_whitespace());
        let shouted = verb.clone().all(|byte| !byte.is_ascii_lowercase());
        let Some(line) = wire::line(text, stream).filter(|_| shouted && text.ends_with(b"\r\n")) else {
            return Look::Wrong;
        };
        rest = behind;
        let this = match line {
            Line::Info | Line::Connect { .. } => {
                if has_fields(text, stream) {
                    Look::Sure
                } else {
                    Look::Likely
                }
            }
            Line::Message(message) => {
                let total = message.total as usize;
                let payload = &rest[..rest.len().min(total)];
                let version = &b"NATS/1.0"[..payload.len().min(8)];
                if message.headers > 0 && !payload.starts_with(version) {
                    return Look::Wrong;
                }
                let ends = rest.get(total..).unwrap_or_default();
                if !b"\r\n".starts_with(&ends[..ends.len().min(2)]) {
                    return Look::Wrong;
                }
                rest = rest.get(total + 2..).unwrap_or_default();
                let sure = ends.len() >= 2 || message.headers > 0 && payload.len() >= 8;
                if sure { Look::Sure } else { Look::Likely }
            }
            // Nothing but the verb.
            Line::Ping | Line::Pong | Line::Ok if text.len() > 6 => return Look::Wrong,
            _ => Look::Likely,
        };
        look = look.max(this);
    }
    look
}

/// A line without its end. INFO is often longer than the prefix.
fn unfinished(text: &[u8], stream: Stream) -> Look {
    let verbs = if stream == Stream::ToServer { &CLIENT } else { &SERVER };
    let fits = verbs.iter().any(|verb| {
        let length = verb.len().min(text.len());
        text[..length] == verb[..length] && text.get(length).is_none_or(u8::is_ascii_whitespace)
    });
    match fits {
        false => Look::Wrong,
        true if text.contains(&b'{') && has_fields(text, stream) => Look::Sure,
        true => Look::Open,
    }
}

fn has_fields(text: &[u8], stream: Stream) -> bool {
    let fields: [&[u8]; 2] = match stream {
        Stream::ToClient => [b"\"server_id\":", b"\"version\":"],
        Stream::ToServer => [b"\"verbose\":", b"\"pedantic\":"],
    };
    fields.iter().all(|field| memchr::memmem::find(text, field).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8], stream: Option<Stream>) -> Inference {
        infer(&Run { bytes, passed: bytes.len() as u64, opening: false, stream })
    }

    #[test]
    fn runs() {
        for text in [
            "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n",
            "PUB a 5\r\nhello\r\n",
            "HPUB a 12 100\r\nNATS/1.0\r\n\r\nhel",
            "SUB a 1\r\nPUB a 0\r\n\r\n",
        ] {
            assert_eq!(told(text.as_bytes(), None), Inference::Yes(Stream::ToServer), "{text}");
        }
        for text in [
            "INFO {\"server_id\":\"NX\",\"server_name\":\"NX\",\"version\":\"2.9.10\",\"proto\":1",
            "MSG a 1 5\r\nhello\r\nMSG",
            "HMSG a 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n",
        ] {
            assert_eq!(told(text.as_bytes(), None), Inference::Yes(Stream::ToClient), "{text}");
        }
        assert_eq!(told(b"SUB a 1\r\n", None), Inference::Likely(Stream::ToServer));
        assert_eq!(told(b"+OK\r\n", None), Inference::Likely(Stream::ToClient));
        assert_eq!(told(b"PING\r\n", None), Inference::Maybe);
        assert_eq!(told(b"PING\r\n", Some(Stream::ToClient)), Inference::Likely(Stream::ToClient));
        for text in [
            "PUB a 5\r\nhelloworld",
            "PUB a x\r\n",
            "PING :irc\r\n",
            "+OK POP3 ready\r\n-",
            "INFO\r\n",
            "pub a 5\r\nhello\r\n",
            "*1\r\n$4\r\nPING\r\n",
            "HPUB a 12 100\r\nHTTP/1.0",
        ] {
            let told = told(text.as_bytes(), None);
            assert!(matches!(told, Inference::No), "{text}: {told:?}");
        }
    }
}
