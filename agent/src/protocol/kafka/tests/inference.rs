//! What is taken for Kafka, and what is not.

use super::super::Kafka;
use super::support::*;
use crate::protocol::{Inference, Protocol, Run, Stream};

const YES: Inference = Inference::Yes(Stream::ToServer);

fn infer(bytes: &[u8], passed: usize) -> Inference {
    Kafka::default().infer(&Run { bytes, passed: passed as u64, opening: false, stream: None })
}

/// Requests are known as soon as enough of them is there, and never before that taken for something else.
#[test]
fn requests() {
    let metadata = body().int16(3).int16(1).int32(1).null().int32(-1).0;
    let nameless = [&(metadata.len() as u32).to_be_bytes()[..], &metadata].concat();
    for (request, enough) in [
        (heartbeat(7), 37),
        (produce(1, -1, &[("a", &[(0, batch(0, 2, 0, &[0; 9]))])]), 44),
        (nameless.clone(), nameless.len()),
        ([heartbeat(1), heartbeat(2)].concat(), 37),
    ] {
        for cut in 1..=request.len() {
            let expected = if cut >= enough { YES } else { Inference::Maybe };
            assert_eq!(infer(&request[..cut], cut), expected, "{cut} of {request:?}");
        }
    }
    let large = produce(1, -1, &[("a", &[(0, batch(0, 2, 0, &[0; 90_000]))])]);
    assert_eq!(infer(&large[..512], large.len()), YES);
    assert_eq!(infer(&large[..512], 40_000), YES);
}

/// What looks alike.
#[test]
fn others() {
    for bytes in [
        // ZooKeeper: connect, ping, getData, create.
        &b"\x00\x00\x00\x2d\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x75\x30\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"[..],
        b"\x00\x00\x00\x08\xff\xff\xff\xfe\x00\x00\x00\x0b",
        b"\x00\x00\x00\x0e\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x00\x01/\x00",
        b"\x00\x00\x00\x2d\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x02/a\xff\xff\xff\xff\x00\x00\x00\x01\x00\x00\x00\x1f\x00\x00\x00\x05world\x00\x00\x00\x06anyone\x00\x00\x00\x00",
        // PostgreSQL's startup.
        b"\x00\x00\x00\x29\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        // Thrift, framed.
        b"\x00\x00\x00\x11\x80\x01\x00\x01\x00\x00\x00\x04ping\x00\x00\x00\x00\x00",
        // A response of Kafka's own.
        &beaten(7, 0),
        b"GET / HTTP/1.1\r\n\r\n",
        &[0; 100],
        &[1; 100],
    ] {
        assert_eq!(infer(bytes, bytes.len()), Inference::No, "{bytes:?}");
    }
}

/// A request with something else behind it is none.
#[test]
fn followed() {
    let bytes = [&heartbeat(1)[..], b"HTTP/1.1 200 OK"].concat();
    assert_eq!(infer(&bytes, bytes.len()), Inference::No);
}
