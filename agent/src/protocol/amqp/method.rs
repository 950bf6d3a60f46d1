//! Methods and their arguments (AMQP 0-9-1, 1.1 to 1.8 of the reference; RabbitMQ's extensions).

use crate::protocol::Stream;

/// Who sends a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Server,
    Either,
}

impl Sender {
    /// Can it come on this stream?
    pub fn fits(self, stream: Stream) -> bool {
        match self {
            Sender::Client => stream == Stream::ToServer,
            Sender::Server => stream == Stream::ToClient,
            Sender::Either => true,
        }
    }
}

/// A method of the specification.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Method {
    pub class: u16,
    pub id: u16,
    /// `class.method`; those of `basic` without their class.
    pub name: &'static str,
    pub from: Sender,
    /// One letter an argument: `b` octet or bits, `h` short, `l` long, `q` long long, `s` short string, `S` long string,
    /// `T` table.
    arguments: &'static [u8],
    /// The method that answers it, if it is synchronous.
    pub answer: Option<u16>,
    /// The bit that says that no answer is wanted.
    no_wait: u8,
}

pub(super) const CONNECTION: u16 = 10;
pub(super) const CHANNEL: u16 = 20;
pub(super) const BASIC: u16 = 60;

const fn method(
    class: u16,
    id: u16,
    name: &'static str,
    from: Sender,
    arguments: &'static [u8],
    answer: u16,
    no_wait: u8,
) -> Method {
    let answer = if answer == 0 { None } else { Some(answer) };
    Method { class, id, name, from, arguments, answer, no_wait }
}

use Sender::{Client, Either, Server};

/// In the order of their numbers.
static METHODS: [Method; 65] = [
    method(10, 10, "connection.start", Server, b"bbTSS", 0, 0),
    method(10, 11, "connection.start-ok", Client, b"TsSs", 0, 0),
    method(10, 20, "connection.secure", Server, b"S", 0, 0),
    method(10, 21, "connection.secure-ok", Client, b"S", 0, 0),
    method(10, 30, "connection.tune", Server, b"hlh", 0, 0),
    method(10, 31, "connection.tune-ok", Client, b"hlh", 0, 0),
    method(10, 40, "connection.open", Client, b"ssb", 41, 0),
    method(10, 41, "connection.open-ok", Server, b"s", 0, 0),
    method(10, 50, "connection.close", Either, b"hshh", 51, 0),
    method(10, 51, "connection.close-ok", Either, b"", 0, 0),
    method(10, 60, "connection.blocked", Server, b"s", 0, 0),
    method(10, 61, "connection.unblocked", Server, b"", 0, 0),
    method(10, 70, "connection.update-secret", Client, b"Ss", 71, 0),
    method(10, 71, "connection.update-secret-ok", Server, b"", 0, 0),
    method(20, 10, "channel.open", Client, b"s", 11, 0),
    method(20, 11, "channel.open-ok", Server, b"S", 0, 0),
    method(20, 20, "channel.flow", Either, b"b", 0, 0),
    method(20, 21, "channel.flow-ok", Either, b"b", 0, 0),
    method(20, 40, "channel.close", Either, b"hshh", 41, 0),
    method(20, 41, "channel.close-ok", Either, b"", 0, 0),
    method(30, 10, "access.request", Client, b"sb", 11, 0),
    method(30, 11, "access.request-ok", Server, b"h", 0, 0),
    method(40, 10, "exchange.declare", Client, b"hssbT", 11, 16),
    method(40, 11, "exchange.declare-ok", Server, b"", 0, 0),
    method(40, 20, "exchange.delete", Client, b"hsb", 21, 2),
    method(40, 21, "exchange.delete-ok", Server, b"", 0, 0),
    method(40, 30, "exchange.bind", Client, b"hsssbT", 31, 1),
    method(40, 31, "exchange.bind-ok", Server, b"", 0, 0),
    method(40, 40, "exchange.unbind", Client, b"hsssbT", 51, 1),
    method(40, 51, "exchange.unbind-ok", Server, b"", 0, 0),
    method(50, 10, "queue.declare", Client, b"hsbT", 11, 16),
    method(50, 11, "queue.declare-ok", Server, b"sll", 0, 0),
    method(50, 20, "queue.bind", Client, b"hsssbT", 21, 1),
    method(50, 21, "queue.bind-ok", Server, b"", 0, 0),
    method(50, 30, "queue.purge", Client, b"hsb", 31, 1),
    method(50, 31, "queue.purge-ok", Server, b"l", 0, 0),
    method(50, 40, "queue.delete", Client, b"hsb", 41, 4),
    method(50, 41, "queue.delete-ok", Server, b"l", 0, 0),
    method(50, 50, "queue.unbind", Client, b"hsssT", 51, 0),
    method(50, 51, "queue.unbind-ok", Server, b"", 0, 0),
    method(60, 10, "qos", Client, b"lhb", 11, 0),
    method(60, 11, "qos-ok", Server, b"", 0, 0),
    method(60, 20, "consume", Client, b"hssbT", 21, 8),
    method(60, 21, "consume-ok", Server, b"s", 0, 0),
    method(60, 30, "cancel", Either, b"sb", 31, 1),
    method(60, 31, "cancel-ok", Either, b"s", 0, 0),
    method(60, 40, "publish", Client, b"hssb", 0, 0),
    method(60, 50, "return", Server, b"hsss", 0, 0),
    method(60, 60, "deliver", Server, b"sqbss", 0, 0),
    method(60, 70, "get", Client, b"hsb", 71, 0),
    method(60, 71, "get-ok", Server, b"qbssl", 0, 0),
    method(60, 72, "get-empty", Server, b"s", 0, 0),
    method(60, 80, "ack", Either, b"qb", 0, 0),
    method(60, 90, "reject", Client, b"qb", 0, 0),
    method(60, 100, "recover-async", Client, b"b", 0, 0),
    method(60, 110, "recover", Client, b"b", 111, 0),
    method(60, 111, "recover-ok", Server, b"", 0, 0),
    method(60, 120, "nack", Either, b"qb", 0, 0),
    method(85, 10, "confirm.select", Client, b"b", 11, 1),
    method(85, 11, "confirm.select-ok", Server, b"", 0, 0),
    method(90, 10, "tx.select", Client, b"", 11, 0),
    method(90, 11, "tx.select-ok", Server, b"", 0, 0),
    method(90, 20, "tx.commit", Client, b"", 21, 0),
    method(90, 21, "tx.commit-ok", Server, b"", 0, 0),
    method(90, 30, "tx.rollback", Client, b"", 31, 0),
];

/// Answers of `tx.rollback` do not fit into the table's round number.
static ROLLBACK_OK: Method = method(90, 31, "tx.rollback-ok", Server, b"", 0, 0);

/// The arguments of a method, by their types. What its signature does not have stays empty.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Arguments<'a> {
    /// Short strings, in order.
    pub texts: [&'a [u8]; 4],
    /// Shorts, in order.
    pub shorts: [u16; 3],
    /// Longs, in order.
    pub longs: [u32; 2],
    /// The long long.
    pub tag: u64,
    /// The last octet, of which each bit may be an argument.
    pub bits: u8,
}

/// A method frame's payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub method: &'static Method,
    pub arguments: Arguments<'a>,
    /// The arguments end where the payload does, and both are here.
    pub exact: bool,
}

impl Method {
    /// The method with these numbers.
    pub fn find(class: u16, id: u16) -> Option<&'static Method> {
        if (class, id) == (90, 31) {
            return Some(&ROLLBACK_OK);
        }
        let index = METHODS.binary_search_by_key(&(class, id), |method| (method.class, method.id)).ok()?;
        Some(&METHODS[index])
    }

    pub fn is(&self, class: u16, id: u16) -> bool {
        (self.class, self.id) == (class, id)
    }

    /// Does `other` answer this one?
    pub fn is_answered_by(&self, other: &Method) -> bool {
        self.class == other.class
            && (self.answer == Some(other.id) || (self.is(BASIC, 70) && other.is(BASIC, 72)))
    }

    /// It waits for an answer, if called so.
    pub fn waits(&self, arguments: &Arguments<'_>) -> bool {
        self.answer.is_some() && arguments.bits & self.no_wait == 0
    }

    /// Only `connection` is on channel 0, and nothing else of it elsewhere.
    pub fn fits_channel(&self, channel: u16) -> bool {
        (self.class == CONNECTION) == (channel == 0)
    }
}

/// Reads a method frame's payload, of which only the beginning may be here. `None` if it is no method, or if a string or
/// number of it is missing.
pub(super) fn read(payload: &[u8]) -> Option<Call<'_>> {
    let mut reader = Reader(payload);
    let method = Method::find(reader.short()?, reader.short()?)?;
    let mut arguments = Arguments::default();
    let (mut texts, mut shorts, mut longs) = (0, 0, 0);
    let mut whole = true;
    for kind in method.arguments {
        match kind {
            b'b' => arguments.bits = reader.octet()?,
            b'h' => {
                arguments.shorts[shorts] = reader.short()?;
                shorts += 1;
            }
            b'l' => {
                arguments.longs[longs] = reader.long()?;
                longs += 1;
            }
            b'q' => arguments.tag = reader.long_long()?,
            b's' => {
                arguments.texts[texts] = reader.short_string()?;
                texts += 1;
            }
            // Tables and long strings are the last that anybody wants to know of.
            _ => match reader.long().and_then(|length| reader.take(length as usize)) {
                Some(_) => {}
                None => {
                    whole = false;
                    break;
                }
            },
        }
    }
    Some(Call { method, arguments, exact: whole && reader.0.is_empty() })
}

/// Big-endian numbers and strings (specification, 4.2.5).
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub fn octet(&mut self) -> Option<u8> {
        self.array::<1>().map(|[octet]| octet)
    }

    pub fn short(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn long(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn long_long(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub fn short_string(&mut self) -> Option<&'a [u8]> {
        let length = self.octet()?;
        self.take(length.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table is in order, every answer is in it, and only methods that wait have a bit for not waiting.
    #[test]
    fn table() {
        assert!(METHODS.is_sorted_by_key(|method| (method.class, method.id)));
        for method in &METHODS {
            assert!(Method::find(method.class, method.id) == Some(method));
            if let Some(answer) = method.answer {
                let answer = Method::find(method.class, answer).unwrap();
                assert!(method.is_answered_by(answer), "{}", method.name);
                assert_eq!(answer.name, format!("{}-ok", method.name));
            }
            assert!(method.no_wait == 0 || method.answer.is_some());
        }
        assert!(Method::find(60, 70).unwrap().is_answered_by(Method::find(60, 72).unwrap()));
        assert!(Method::find(60, 41).is_none());
    }

    /// A publish, whole and cut at every byte.
    #[test]
    fn arguments() {
        let payload = b"\0\x3c\0\x28\0\0\x02ex\x03key\x01";
        let call = read(payload).unwrap();
        assert_eq!(call.method.name, "publish");
        assert_eq!(call.arguments.texts[..2], [&b"ex"[..], b"key"]);
        assert_eq!((call.arguments.bits, call.exact), (1, true));
        for cut in 0..payload.len() {
            assert!(read(&payload[..cut]).is_none(), "{cut}");
        }
        let mut longer = payload.to_vec();
        longer.push(0);
        assert!(!read(&longer).unwrap().exact);
    }
}
