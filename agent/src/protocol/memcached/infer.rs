//! Does a run look like memcached?
//!
//! A command that stores is followed by as many bytes as it says and an end of line; so is a value. Either, whole, is
//! nothing else. A binary header repeats itself in so many ways (lengths, codes, data type) that it is nothing else
//! either. Other lines are only likely.

use crate::protocol::frames::Measure;
use crate::protocol::{Inference, Run, Stream};

use super::binary::{self, Header};
use super::text::{self, Answer, Reply};

/// What a prefix looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    Wrong,
    /// Nothing speaks against it.
    Open,
    Likely,
    Sure,
}

pub(super) fn infer(run: &Run<'_>) -> Inference {
    let bytes = run.bytes;
    let (look, stream) = match bytes[0] {
        binary::REQUEST => (messages(bytes), Stream::ToServer),
        binary::RESPONSE => (messages(bytes), Stream::ToClient),
        b'a'..=b'z' => (requests(bytes), Stream::ToServer),
        _ => (responses(bytes), Stream::ToClient),
    };
    match look {
        Look::Wrong => Inference::No,
        Look::Open => Inference::Maybe,
        Look::Likely => Inference::Likely(stream),
        Look::Sure => Inference::Yes(stream),
    }
}

/// After a loss: could a command begin so?
pub(super) fn may_be_requests(bytes: &[u8]) -> bool {
    let look = if bytes[0] == binary::REQUEST { messages(bytes) } else { requests(bytes) };
    look >= Look::Likely
}

/// After a loss: could a response begin so?
pub(super) fn may_be_responses(bytes: &[u8]) -> bool {
    let look = if bytes[0] == binary::RESPONSE { messages(bytes) } else { responses(bytes) };
    look >= Look::Likely
}

fn messages(bytes: &[u8]) -> Look {
    let mut rest = bytes;
    let mut look = Look::Open;
    while let Some(&first) = rest.first() {
        if first != bytes[0] {
            return Look::Wrong;
        }
        if rest.len() < binary::HEADER {
            return if binary::may_begin(rest) { look } else { Look::Wrong };
        }
        let Some(header) = Header::read(rest) else { return Look::Wrong };
        look = Look::Sure;
        rest = rest.get(binary::HEADER + header.body as usize..).unwrap_or_default();
    }
    look
}

/// The data behind a line end with an end of line; `None` if they are not all there.
fn ends_well(message: &[u8], length: u64) -> Option<bool> {
    (message.len() as u64 == length).then(|| message.ends_with(b"\r\n"))
}

fn requests(bytes: &[u8]) -> Look {
    let mut rest = bytes;
    let mut look = Look::Open;
    while !rest.is_empty() {
        let (length, wanted) = match text::measure_request(rest) {
            Measure::Message { length, wanted } => (length, wanted),
            Measure::More => {
                let name = rest.split(|&byte| byte == b' ').next().unwrap_or_default();
                let whole = name.len() < rest.len();
                return if text::is_beginning(name, whole) { look } else { Look::Wrong };
            }
            Measure::Foreign => return Look::Wrong,
        };
        let Some(request) = text::request(&rest[..wanted]) else { return Look::Wrong };
        if !printable(&rest[..wanted]) {
            return Look::Wrong;
        }
        let message = &rest[..rest.len().min(usize::try_from(length).unwrap_or(usize::MAX))];
        match (request.data, ends_well(message, length)) {
            (Some(_), Some(false)) => return Look::Wrong,
            (Some(_), Some(true)) => look = Look::Sure,
            // Others say goodbye so, too.
            (None, _) if request.command.answer == Answer::Goodbye => {}
            _ => look = look.max(Look::Likely),
        }
        rest = &rest[message.len()..];
    }
    look
}

fn responses(bytes: &[u8]) -> Look {
    let mut rest = bytes;
    let mut look = Look::Open;
    while !rest.is_empty() {
        let (length, wanted) = match text::measure_reply(rest) {
            Measure::Message { length, wanted } => (length, wanted),
            Measure::More => {
                let plausible = printable(rest) && (look > Look::Open || text::is_reply_beginning(rest));
                return if plausible { look } else { Look::Wrong };
            }
            Measure::Foreign => return Look::Wrong,
        };
        let Some((reply, _)) = text::reply(&rest[..wanted]) else { return Look::Wrong };
        if !printable(&rest[..wanted]) || !rest[..wanted].ends_with(b"\r\n") || reply == Reply::Other {
            return Look::Wrong;
        }
        let message = &rest[..rest.len().min(usize::try_from(length).unwrap_or(usize::MAX))];
        match (reply, ends_well(message, length)) {
            (Reply::Value(_) | Reply::MetaValue(_), Some(false)) => return Look::Wrong,
            (Reply::Value(_), Some(true)) => look = Look::Sure,
            _ => look = look.max(Look::Likely),
        }
        rest = &rest[message.len()..];
    }
    look
}

fn printable(line: &[u8]) -> bool {
    line.iter().all(|&byte| byte == b'\r' || byte == b'\n' || byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8]) -> Inference {
        infer(&Run { bytes, passed: bytes.len() as u64, opening: false, stream: None })
    }

    #[test]
    fn lines() {
        for text in
            ["set k 0 0 5\r\nhello\r\n", "ms k 2 T0\r\nhi\r\nmn\r\n", "get a\r\nset k 0 0 1\r\nx\r\nget"]
        {
            assert_eq!(told(text.as_bytes()), Inference::Yes(Stream::ToServer), "{text}");
        }
        for text in ["get a b\r\n", "set k 0 0 500\r\nhello", "mg k v\r\n", "version\r\n", "incr k 1\r\n"] {
            assert_eq!(told(text.as_bytes()), Inference::Likely(Stream::ToServer), "{text}");
        }
        for text in ["VALUE k 0 5\r\nhello\r\nEND\r\n", "VALUE k 0 0 17\r\n\r\n"] {
            assert_eq!(told(text.as_bytes()), Inference::Yes(Stream::ToClient), "{text}");
        }
        for text in
            ["END\r\n", "STORED\r\n", "12\r\n", "VALUE k 0 500\r\nhel", "HD\r\n", "STAT pid 1\r\nSTAT upt"]
        {
            assert_eq!(told(text.as_bytes()), Inference::Likely(Stream::ToClient), "{text}");
        }
        for text in [
            "set k 0 0 5\r\nhelloworld",
            "get\r\n",
            "GET a\r\n",
            "hello\r\n",
            "220 mail ESMTP\r\n",
            "HTTP/1.1 200 OK\r\n",
            "OK\n",
            "END of file\r\nx\r\n",
            "VALUE k 0 5\r\nhellowo",
            "quick brown\r\n",
        ] {
            assert_eq!(told(text.as_bytes()), Inference::No, "{text}");
        }
        for text in ["quit\r\n", "se", "get ", "VAL", "set k 0 0 5", "STO"] {
            assert_eq!(told(text.as_bytes()), Inference::Maybe, "{text}");
        }
    }

    #[test]
    fn binaries() {
        let get = b"\x80\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00key";
        assert_eq!(told(get), Inference::Yes(Stream::ToServer));
        for end in 1..24 {
            assert_eq!(told(&get[..end]), Inference::Maybe, "{end}");
        }
        assert_eq!(
            told(b"\x80\x01\x00\x01\x00\x00\x00\x04ping\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"),
            Inference::No
        );
        assert_eq!(told(b"\x81\x7ehello"), Inference::No);
    }
}
