//! Late attach, gaps, and connections that end.

use super::super::Kafka;
use super::support::*;
use crate::protocol::testing::{Conversation, Driver, checks};
use crate::protocol::{End, Stream};

fn beats(ids: impl Iterator<Item = i32>) -> Conversation {
    ids.fold(Conversation::new(), |talk, id| talk.client(heartbeat(id)).server(beaten(id, 0)))
}

/// A response of which nothing was captured leaves its request without one, and no other.
#[test]
fn lost_response() {
    let mut driver = Driver::new(&Alone, false);
    driver.chunk(Stream::ToServer, &heartbeat(1), 0);
    driver.chunk(Stream::ToServer, &heartbeat(2), 0);
    driver.chunk(Stream::ToClient, &[], beaten(1, 0).len() as u64);
    driver.chunk(Stream::ToClient, &beaten(2, 25), 0);
    let played = driver.finish();
    assert!(played.told[0].contains("remora.outcome=response_lost"), "{}", played.told[0]);
    assert!(played.told[1].contains("error.type=UNKNOWN_MEMBER_ID"), "{}", played.told[1]);
    assert_eq!((played.losses.unpaired_requests, played.losses.resynchronised), (1, 1));
}

/// A response to a request that was lost is counted, and told with no other.
#[test]
fn lost_request() {
    let mut driver = Driver::new(&Alone, false);
    driver.chunk(Stream::ToServer, &[], heartbeat(1).len() as u64);
    driver.chunk(Stream::ToClient, &beaten(1, 0), 0);
    driver.chunk(Stream::ToServer, &heartbeat(2), 0);
    driver.chunk(Stream::ToClient, &beaten(2, 0), 0);
    let played = driver.finish();
    assert_eq!((played.told.len(), played.losses.unpaired_responses), (1, 1), "{:#?}", played.told);
}

/// In the middle of a connection with requests in flight, responses to what was asked before are not told.
#[test]
fn late() {
    let mut driver = Driver::new(&Alone, true);
    driver.chunk(Stream::ToClient, &beaten(7, 0), 0);
    driver.chunk(Stream::ToServer, &heartbeat(10), 0);
    driver.chunk(Stream::ToClient, &beaten(8, 0), 0);
    driver.chunk(Stream::ToClient, &beaten(9, 0), 0);
    driver.chunk(Stream::ToClient, &beaten(10, 25), 0);
    let played = driver.finish();
    assert_eq!(played.told.len(), 1);
    assert!(played.told[0].contains("UNKNOWN_MEMBER_ID"), "{}", played.told[0]);
    assert_eq!(played.losses.unpaired_responses, 2);
}

/// Brokers and clients in Java read a message's size alone, also after a loss.
#[test]
fn sizes_alone() {
    let mut driver = Driver::new(&Alone, false);
    for id in 1..=4 {
        for (stream, bytes) in [(Stream::ToServer, heartbeat(id)), (Stream::ToClient, beaten(id, 0))] {
            if id == 2 {
                driver.chunk(stream, &[], bytes.len() as u64);
            } else {
                driver.chunk(stream, &bytes[..4], 0);
                driver.chunk(stream, &bytes[4..], 0);
            }
        }
    }
    let played = driver.finish();
    assert_eq!(played.told.len(), 3, "{:#?}", played.told);
    assert_eq!(played.losses.resynchronised, 2);
}

/// Whatever ends the connection ends what waits.
#[test]
fn ends() {
    for (cause, word) in [
        (End::Orderly, "error.type=connection_closed"),
        (End::Broken(104), "error.type=connection_closed"),
        (End::ProcessGone, "error.type=process_gone"),
        (End::Forgotten, "remora.outcome=unfinished"),
    ] {
        let mut driver = Driver::new(&Alone, false);
        driver.chunk(Stream::ToServer, &heartbeat(1), 0);
        driver.end(cause);
        let told = driver.take();
        assert!(told[0].contains(word), "{told:?}");
    }
    let mut driver = Driver::new(&Alone, false);
    driver.chunk(Stream::ToServer, &heartbeat(1), 0);
    driver.stream_end(Stream::ToClient);
    assert_eq!(driver.take().len(), 1);
}

/// No more requests wait than the limit.
#[test]
fn bounded() {
    let mut driver = Driver::new(&Alone, false);
    for id in 0..2000 {
        driver.chunk(Stream::ToServer, &heartbeat(id), 0);
    }
    let played = driver.finish();
    assert_eq!((played.told.len(), played.losses.over_limit), (1024, 976));
}

/// Bytes missing anywhere: nothing is told with another's response.
#[test]
fn gaps() {
    let records = batch(0, 2, 0, &[0; 9]);
    let talk = beats(1..4)
        .client(produce(4, -1, &[("a", &[(0, records.clone())])]))
        .server(produced(4, &[("a", &[(0, 0, 1)])]))
        .client([produce(5, 0, &[("a", &[(0, records)])]), heartbeat(6)].concat())
        .server(beaten(6, 25));
    checks::every_gap(&Alone, &talk, less);
    checks::every_late_start(&Alone, &talk, less);
    checks::garbage(&Kafka::default(), &[talk, beats(1..9)]);
}
