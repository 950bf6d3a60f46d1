//! The layouts, against Kafka's own schemas.

use super::super::schema::Meaning;
use super::super::wire::{Stop, Value, Visit, Wire, walk};
use super::super::{Kafka, api};
use super::support::{body, request};
use crate::protocol::{Inference, Protocol, Run, Stream};

/// Counts what means something.
#[derive(Default)]
struct Count(usize);

impl Visit<'_> for Count {
    fn value(&mut self, _meaning: Meaning, _value: Value<'_>) {
        self.0 += 1;
    }
}

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A request is known whether it says who asks or not.
#[track_caller]
fn inferred(api: &api::Api, key: i16, version: i16, rest: &[u8]) {
    let infer = |bytes: &[u8]| {
        Kafka::default().infer(&Run { bytes, passed: bytes.len() as u64, opening: true, stream: None })
    };
    let named = request(key, version, 7, api.is_flexible(version), body().raw(rest));
    assert_eq!(infer(&named), Inference::Yes(Stream::ToServer), "{} {version}", api.name);
    let header = body().int16(key).int16(version).int32(7).null();
    let header = if api.is_flexible(version) { header.tags() } else { header };
    let size = body().int32((header.0.len() + rest.len()) as i32);
    let nameless = size.raw(&header.0).raw(rest).0;
    assert_eq!(infer(&nameless), Inference::Yes(Stream::ToServer), "{} {version}", api.name);
    for cut in 4..nameless.len() {
        assert_ne!(infer(&nameless[..cut]), Inference::No, "{} {version} cut at {cut}", api.name);
    }
}

/// Each layout reads a message of each version up to its last byte, or, of responses whose end tells nothing, leaves no more
/// than tagged fields; and of a message that is cut anywhere, it says that it is cut.
#[test]
fn every_version() {
    let mut versions = 0;
    for line in include_str!("messages.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let mut number = || words.next().unwrap().parse::<i16>().unwrap();
        let (key, version) = (number(), number());
        let (kind, body) = (words.next().unwrap(), bytes(words.next().unwrap_or_default()));
        let api = api::api(key).unwrap();
        let what = format!("{} {version} {kind}", api.name);
        let [request, response] = api.layouts.unwrap();
        let layout = if kind == "request" { request } else { response };
        let read = |here: &[u8]| {
            let mut wire = Wire::new(here, body.len() as u64);
            let read = walk(&mut wire, layout, version, api.is_flexible(version), &mut Count::default());
            (read, wire.is_at_end())
        };
        assert!(version <= api.newest, "{what}");
        assert_eq!(read(&body), (Ok(()), true), "{what}");
        for cut in 0..body.len() {
            let (read, _) = read(&body[..cut]);
            // What is passed by its length may be missing.
            assert!(matches!(read, Ok(()) | Err(Stop::Cut)), "{what} cut at {cut}: {read:?}");
        }
        versions += 1;
        // The acknowledgements that it asks for do not exist.
        if kind == "request" && key != api::PRODUCE {
            inferred(api, key, version, &body);
        }
    }
    assert!(versions > 300, "{versions}");
}
