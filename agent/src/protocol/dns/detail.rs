//! A lookup in OpenTelemetry's words.

use std::net::IpAddr;

use super::codes::{self, A, AAAA, CNAME, DNAME, MX, NS, OPT, PTR, SRV};
use super::message::{Header, Question, Record, read_name, short};
use crate::protocol::{
    Description, Detail, Exchange, Instrument, Names, Reading, Role, Scene, Transport, Value,
};

/// Answers that are told at most.
const MOST_ANSWERS: usize = 32;
/// Longest time for which an answer is believed. Seconds.
const MOST_TTL: u32 = 86_400;

static DURATION: Instrument = Instrument {
    name: "dns.lookup.duration",
    unit: "s",
    description: "Measures the time taken to perform a DNS lookup.",
    role: Some(Role::Client),
    reading: Reading::Duration,
    keys: &["dns.question.name", "error.type"],
};

/// Names are not among its keys: who asks a server may make up any number of them.
static SERVER_DURATION: Instrument = Instrument {
    name: "remora.dns.server.operation.duration",
    unit: "s",
    description: "Time that a DNS server took to answer.",
    role: Some(Role::Server),
    reading: Reading::Duration,
    keys: &["remora.dns.question.type", "remora.dns.response.code", "error.type"],
};

static INSTRUMENTS: [&Instrument; 2] = [&DURATION, &SERVER_DURATION];

/// A query, and its answer if there was one.
#[derive(Debug)]
pub(super) struct Lookup {
    name: Box<str>,
    kind: u16,
    transport: Transport,
    /// How often it was sent.
    pub transmissions: u32,
    /// When it was sent last, nanoseconds.
    pub last: u64,
    /// Its number among the queries of its parser.
    pub order: u64,
    answer: Option<Answer>,
}

#[derive(Debug, Default)]
struct Answer {
    code: u16,
    truncated: bool,
    /// Not all of it was captured.
    cut: bool,
    addresses: Vec<(IpAddr, u32)>,
    others: Vec<String>,
}

impl Lookup {
    /// The query in this message.
    pub fn new(message: &[u8], question: Question, transport: Transport, time: u64, order: u64) -> Self {
        let mut name = String::new();
        // It was measured before.
        let _ = read_name(message, super::message::HEADER, &mut name);
        Self {
            name: name.into_boxed_str(),
            kind: question.kind,
            transport,
            transmissions: 1,
            last: time,
            order,
            answer: None,
        }
    }

    /// It is answered by this message, of which perhaps not all was captured.
    pub fn answered(&mut self, message: &[u8], header: Header, end_of_question: usize) {
        let mut answer =
            Answer { code: header.code(), truncated: header.is_truncated(), ..Answer::default() };
        let mut at = end_of_question;
        for number in 0..header.records() {
            let Ok(record) = Record::read(message, at) else {
                answer.cut = true;
                break;
            };
            if number < u32::from(header.counts[1]) {
                answer.add(message, &record);
            } else if record.kind == OPT {
                // RFC 6891, 6.1.3: the upper bits of the response code.
                answer.code |= (record.ttl >> 24) as u16 * 16;
            }
            at = record.data.end;
        }
        answer.cut |= at > message.len();
        self.answer = Some(answer);
    }

    /// A zone transfer is answered by many messages.
    pub fn is_transfer(&self) -> bool {
        matches!(self.kind, codes::AXFR | codes::IXFR)
    }
}

impl Answer {
    fn add(&mut self, message: &[u8], record: &Record) {
        if self.addresses.len() + self.others.len() >= MOST_ANSWERS {
            return;
        }
        let data = message.get(record.data.clone()).unwrap_or_default();
        let mut text = String::new();
        let at = record.data.start;
        let ttl = record.ttl.min(MOST_TTL);
        match (record.kind, data.len()) {
            (A, 4) => {
                if let Some(bytes) = data.first_chunk::<4>() {
                    self.addresses.push((IpAddr::from(*bytes), ttl));
                }
                return;
            }
            (AAAA, 16) => {
                if let Some(bytes) = data.first_chunk::<16>() {
                    self.addresses.push((IpAddr::from(*bytes), ttl));
                }
                return;
            }
            (CNAME | DNAME | NS | PTR, 1..) => _ = read_name(message, at, &mut text),
            (MX, 3..) => _ = read_name(message, at + 2, &mut text),
            (SRV, 7..) if read_name(message, at + 6, &mut text).is_ok() => {
                text += &format!(":{}", short(message, at + 4).unwrap_or(0));
            }
            // What others say is long, or of no use here.
            _ => {}
        }
        if !text.is_empty() {
            self.others.push(format!("{} {text}", codes::kind(record.kind)));
        }
    }
}

impl Detail for Lookup {
    fn describe(&self, exchange: &Exchange, scene: &Scene<'_>) -> Description {
        let kind = codes::kind(self.kind);
        let name = format!("DNS {}", codes::known_kind(self.kind).unwrap_or("query"));
        let mut attributes = vec![
            ("dns.question.name", Value::Text(self.name.to_string().into())),
            ("remora.dns.question.type", Value::Text(kind)),
            (
                "network.transport",
                Value::Text(if self.transport == Transport::Datagram { "udp" } else { "tcp" }.into()),
            ),
        ];
        let mut failure = None;
        if let Some(answer) = &self.answer {
            let code = codes::response(answer.code);
            attributes.push(("remora.dns.response.code", Value::Text(code.clone())));
            if !answer.addresses.is_empty() {
                let addresses = answer.addresses.iter().map(|(address, _)| address.to_string()).collect();
                attributes.push(("dns.answers", Value::List(addresses)));
            }
            if !answer.others.is_empty() {
                attributes.push(("remora.dns.records", Value::List(answer.others.clone())));
            }
            if answer.truncated {
                attributes.push(("remora.dns.truncated", Value::Flag(true)));
            }
            if answer.cut {
                attributes.push(("remora.dns.incomplete", Value::Flag(true)));
            }
            // That there is no such name is no fault of the server's.
            let failed = match scene.role {
                Role::Client => answer.code != 0,
                Role::Server => codes::is_server_failure(answer.code),
            };
            failure = failed.then_some(code);
        }
        if self.transmissions > 1 {
            attributes.push(("remora.dns.transmissions", Value::Integer(self.transmissions.into())));
        }
        scene.addresses(&mut attributes);
        let error = exchange.outcome.describe(failure, &mut attributes);
        Description { name, attributes, error, instruments: &INSTRUMENTS, ..Description::default() }
    }

    fn names(&self) -> Option<Names<'_>> {
        let answer = self.answer.as_ref().filter(|answer| !answer.addresses.is_empty())?;
        Some(Names { name: &self.name, addresses: &answer.addresses })
    }
}
