//! Conversations in all pieces, with all gaps, and garbage.

use std::collections::HashSet;
use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::parser::Http1Parser;
use super::super::{Http1, head};
use super::conversation::*;
use super::support::*;
use crate::protocol::{Chunk, End, Exchange, Losses, Outcome, Parser, Stream};

/// One gap.
fn gap(start: usize, length: usize) -> Vec<Range<usize>> {
    std::iter::once(start..start + length).collect()
}

fn finish(c: &mut Connection) {
    c.stream_end(Stream::ToClient).end(End::Orderly);
}

/// All that was told is true. What was not told was counted.
fn check(conversation: &Conversation, told: &[Exchange], losses: Losses, gaps: usize, context: &str) {
    let mut ids = HashSet::new();
    for exchange in told {
        let seen = Seen::new(exchange);
        assert!(
            exchange.first_byte.is_none_or(|first| exchange.start.time <= first && first <= exchange.end)
        );
        assert!(exchange.start.time <= exchange.end);
        let Some(id) = seen.path.get(1..4).and_then(|digits| digits.parse::<usize>().ok()) else { continue };
        assert!(ids.insert(id), "{id} twice; {context}");
        let expected = &conversation.expected[id];
        assert_eq!(seen.method, expected.method, "{id}; {seen:?} {context}");
        assert!(seen.status.is_none_or(|status| status == expected.status), "{id}: {seen:?}; {context}");
        match exchange.outcome {
            Outcome::Complete => assert!(seen.status.is_some(), "{id}: {seen:?}; {context}"),
            Outcome::ResponseLost => assert_eq!(seen.status, None, "{id}: {seen:?}; {context}"),
            // The end came before the loss of the response could be noticed.
            _ => assert_eq!(exchange.outcome, Outcome::ConnectionClosed(0)),
        }
        for (size, expected) in
            [(seen.request_body, expected.request_body), (seen.response_body, expected.response_body)]
        {
            // Of an exchange that was cut off, what passed until then.
            let cut = exchange.outcome != Outcome::Complete && size <= expected;
            assert!(size.is_none() || size == expected || cut, "{id}: {seen:?}; {context}");
        }
    }
    let lost = told.iter().filter(|exchange| exchange.outcome == Outcome::ResponseLost).count() as u64;
    assert_eq!(losses.unpaired_requests, lost, "{context}");
    // With several gaps the first requests that are pipelined may all be hidden in what looks like one long
    // body.
    if ids.len() < conversation.expected.len() && (gaps == 1 || !conversation.pipelined) {
        let counted = losses.unparsed_bytes + losses.unpaired_responses + losses.resynchronised;
        assert!(counted > 0 || told.len() == conversation.expected.len(), "silent loss; {context}");
    }
}

/// All of it, with nothing lost.
fn check_whole(conversation: &Conversation, c: &mut Connection, context: &str) {
    assert_eq!(c.told.len(), conversation.expected.len(), "{context}");
    for (exchange, expected) in c.told.iter().zip(&conversation.expected) {
        let seen = Seen::new(exchange);
        assert_eq!(
            (seen.method.as_str(), seen.status, seen.request_body, seen.response_body),
            (expected.method, Some(expected.status), expected.request_body, expected.response_body),
            "{context}"
        );
        assert_eq!(exchange.outcome, Outcome::Complete);
    }
    let told = std::mem::take(&mut c.told);
    check(conversation, &told, Losses::default(), 0, context);
    assert_eq!(c.losses(), Losses::default(), "{context}");
    c.told = told;
}

/// The conversation whole, then in two pieces at every place, then byte by byte: the same exchanges with the
/// same times.
#[test]
fn every_split() {
    let all = rich(false);
    let mut whole = Connection::new();
    feed(&mut whole, &all, &[], &[]);
    finish(&mut whole);
    check_whole(&all, &mut whole, "whole");
    let whole = whole.take();
    assert_eq!(whole.len(), 14);
    for cut in 1..all.len() {
        let mut c = Connection::new();
        feed(&mut c, &all, &[cut], &[]);
        finish(&mut c);
        check_whole(&all, &mut c, &format!("cut {cut}"));
        assert_eq!(c.take(), whole, "cut {cut}");
    }
    let every: Vec<_> = (0..all.len()).collect();
    let mut c = Connection::new();
    feed(&mut c, &all, &every, &[]);
    finish(&mut c);
    check_whole(&all, &mut c, "bytes");
    assert_eq!(c.take(), whole);
}

/// Every prefix: what was complete is told, what was under way is told as cut off, and nothing else.
#[test]
fn every_prefix() {
    let all = rich(false);
    let mut whole = Connection::new();
    feed(&mut whole, &all, &[], &[]);
    finish(&mut whole);
    let whole = whole.take();
    for length in 0..all.len() {
        let mut rest = length;
        let mut prefix = Conversation { runs: Vec::new(), ..all.clone() };
        for (stream, run) in &all.runs {
            let taken = rest.min(run.len());
            prefix.run(*stream, &run[..taken]);
            rest -= taken;
        }
        prefix.runs.retain(|(_, run)| !run.is_empty());
        let mut c = Connection::new();
        feed(&mut c, &prefix, &[], &[]);
        let complete = c.take();
        assert_eq!(complete, whole[..complete.len()], "{length}");
        c.end(End::Broken(104));
        for exchange in &c.told {
            assert_eq!(exchange.outcome, Outcome::ConnectionClosed(104), "{length}");
        }
        let losses = c.losses();
        assert_eq!(losses, Losses { unparsed_bytes: losses.unparsed_bytes, ..Losses::default() }, "{length}");
        // Of a request of which not even the target was seen nothing can be told.
        assert!(losses.unparsed_bytes <= "HEAD ".len() as u64, "{length}");
    }
}

/// Every gap of several lengths, in place: nothing is paired wrongly, nothing is lost in silence, and the
/// connection recovers.
#[test]
fn every_gap() {
    let all = rich(true);
    for length in [1, 2, 3, 5, 8, 13, 40, 100, 300] {
        for start in 0..all.len() {
            let context = format!("gap {start}+{length}");
            let mut c = Connection::new();
            feed(&mut c, &all, &[], &gap(start, length));
            finish(&mut c);
            let losses = c.losses();
            check(&all, &c.told, losses, 1, &context);
        }
    }
}

/// A gap in a connection that does not pipeline costs the exchanges that it touches, and at most one more.
#[test]
fn gaps_are_local() {
    let mut all = Conversation::default();
    (0..20).for_each(|_| all.add(0));
    let mut ends = Vec::new();
    for (_, run) in &all.runs {
        ends.push(ends.last().copied().unwrap_or(0) + run.len());
    }
    for length in [1, 30, 60, 100, 250] {
        for start in 0..all.len() - length {
            let touched = ends.iter().filter(|&&end| end > start).count();
            let touched = touched - ends.iter().filter(|&&end| end >= start + length).count() + 1;
            let mut c = Connection::new();
            feed(&mut c, &all, &[], &gap(start, length));
            let complete = c.told.iter().filter(|exchange| Seen::new(exchange).status.is_some()).count();
            assert!(
                20 - complete <= touched / 2 + 1,
                "{start}+{length}: {complete} of 20, {touched} runs touched"
            );
        }
    }
}

/// A client that was seen to keep two requests in flight, and then every gap.
#[test]
fn every_gap_in_a_window() {
    let mut all = Conversation::default();
    all.window(12);
    let first: usize = all.runs.iter().take(3).map(|(_, run)| run.len()).sum();
    for length in [1, 10, 50, 70, 110, 200] {
        for start in first..all.len() {
            let mut c = Connection::new();
            feed(&mut c, &all, &[], &gap(start, length));
            finish(&mut c);
            let losses = c.losses();
            check(&all, &c.told, losses, 1, &format!("gap {start}+{length}"));
        }
    }
}

/// First seen at every byte of a conversation without pipelining.
#[test]
fn every_attach() {
    let mut all = Conversation { honest: true, ..Conversation::default() };
    (0..7).for_each(|kind| all.add(kind));
    (0..3).for_each(|_| all.add(0));
    for start in 0..all.len() {
        let mut rest = start;
        let mut late = Conversation { runs: Vec::new(), ..all.clone() };
        for (stream, run) in &all.runs {
            let skipped = rest.min(run.len());
            late.run(*stream, &run[skipped..]);
            rest -= skipped;
        }
        late.runs.retain(|(_, run)| !run.is_empty());
        let mut c = Connection::midstream();
        feed(&mut c, &late, &[], &[]);
        finish(&mut c);
        let losses = c.losses();
        check(
            &late,
            &c.told,
            Losses { unparsed_bytes: losses.unparsed_bytes.max(1), ..losses },
            1,
            &format!("at {start}"),
        );
        // The last two exchanges at least are whole, wherever it began before them.
        let sure: usize = all.runs.iter().rev().take(5).map(|(_, run)| run.len()).sum();
        if start < all.len() - sure {
            let complete = c.told.iter().filter(|exchange| exchange.outcome == Outcome::Complete).count();
            assert!(complete >= 2, "at {start}: {:?}", c.take());
        }
    }
}

/// A conversation of any kinds; pipelining only in batches.
fn conversations(honest: bool) -> impl Strategy<Value = Conversation> {
    vec((0..9_usize, vec(0..4_usize, 2..5)), 1..10).prop_map(move |parts| {
        let mut conversation = Conversation { honest, ..Conversation::default() };
        for (kind, batch) in parts {
            match kind {
                0..7 => conversation.add(kind),
                _ => conversation.batch(&batch),
            }
        }
        conversation
    })
}

/// Segments of a conversation, some of which never arrive: as the reader tells them, it knows of a lost one
/// only from the position of the next.
fn feed_dropping(
    c: &mut Connection,
    conversation: &Conversation,
    segment: usize,
    dropped: &HashSet<usize>,
    flags: bool,
) {
    let mut missing = [0; 2];
    let mut number = 0;
    let mut last = None;
    for (stream, run) in &conversation.runs {
        c.time += 1;
        for piece in run.chunks(segment) {
            number += 1;
            let run_start = flags.then_some(last != Some(*stream));
            last = Some(*stream);
            if dropped.contains(&number) {
                missing[*stream as usize] += piece.len() as u64;
                continue;
            }
            let hole = std::mem::take(&mut missing[*stream as usize]);
            if hole > 0 {
                c.chunk(*stream, &[], hole, None);
            }
            c.chunk(*stream, piece, piece.len() as u64, run_start);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any pieces make the same exchanges.
    #[test]
    fn splits(conversation in conversations(false), cuts in vec(0..4000_usize, 0..40)) {
        let mut c = Connection::new();
        feed(&mut c, &conversation, &cuts, &[]);
        check_whole(&conversation, &mut c, "split");
    }

    /// Any gaps: nothing wrong, nothing silent.
    #[test]
    fn gaps(
        conversation in conversations(true),
        cuts in vec(0..4000_usize, 0..10),
        gaps in vec((0..4000_usize, 1..400_usize), 1..5),
    ) {
        let gaps: Vec<_> = gaps.into_iter().map(|(start, length)| start..start + length).collect();
        let mut c = Connection::new();
        feed(&mut c, &conversation, &cuts, &gaps);
        finish(&mut c);
        let losses = c.losses();
        check(&conversation, &c.told, losses, 2, "gaps");
    }

    /// Any segments lost, with the kernel's word for where runs begin or without: nothing wrong.
    #[test]
    fn drops(
        conversation in conversations(true),
        segment in 20..400_usize,
        dropped in vec(0..60_usize, 0..12),
        flags: bool,
    ) {
        let mut c = Connection::new();
        feed_dropping(&mut c, &conversation, segment, &dropped.into_iter().collect(), flags);
        let missing = Losses { unparsed_bytes: 1, ..Losses::default() };
        finish(&mut c);
        let losses = c.losses();
        let losses = Losses { unparsed_bytes: losses.unparsed_bytes.max(missing.unparsed_bytes), ..losses };
        check(&conversation, &c.told, losses, 2, "drops");
    }

    /// Anything at all: no panic, times in order, memory bounded, and every request told at most once.
    #[test]
    fn garbage(midstream: bool, pieces in vec(piece(), 0..60)) {
        let shared = Http1::new(Default::default()).shared;
        let mut parser = Http1Parser::new(shared, midstream);
        let mut told = Vec::new();
        let mut positions = [0; 2];
        for (time, (stream, bytes, hole, run_start, event)) in pieces.iter().enumerate() {
            let at = moment(time as u64 * 300);
            match event {
                0 => parser.stream_end(*stream, at, &mut told),
                1 => parser.tick(at.time, &mut told),
                _ => {
                    let length = bytes.len() as u64 + hole;
                    let position = &mut positions[*stream as usize];
                    let chunk = Chunk { at, position: *position, length, bytes, run_start: *run_start };
                    *position += length;
                    parser.chunk(*stream, &chunk, &mut told);
                }
            }
            _ = parser.interest();
            prop_assert!(parser.requests.buffered() <= 2 * head::MAX_HEAD);
            prop_assert!(parser.responses.buffered() <= 2 * head::MAX_HEAD);
        }
        parser.end(moment(1 << 30), End::Broken(104), &mut told);
        prop_assert!(parser.waiting.is_empty() && parser.active.is_none());
        for exchange in &told {
            prop_assert!(exchange.start.time <= exchange.end);
            _ = Seen::new(exchange);
        }
    }

    /// Heads that a strict parser accepts read the same here, and cutting them off anywhere takes nothing
    /// from what was seen before.
    #[test]
    fn heads_like_httparse(
        method in "[A-Z]{1,10}",
        target in "/[!-~]{0,30}",
        fields in vec((FIELD_NAME, "[ -~]{0,20}"), 0..8),
        feed in prop_oneof![Just("\r\n"), Just("\n")],
        cut in 0..400_usize,
    ) {
        let mut text = format!("{method} {target} HTTP/1.1{feed}");
        for (name, value) in &fields {
            text += &format!("{name}: {value}{feed}");
        }
        text += feed;
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut strict = httparse::Request::new(&mut headers);
        prop_assert_eq!(strict.parse(text.as_bytes()), Ok(httparse::Status::Complete(text.len())));
        prop_assert_eq!(head::end(text.as_bytes(), 0), Some(text.len()));
        let ours = head::request(text.as_bytes(), true).unwrap();
        prop_assert_eq!(ours.method, strict.method.unwrap().as_bytes());
        prop_assert_eq!(ours.target, strict.path.unwrap().as_bytes());
        prop_assert_eq!(ours.minor, strict.version);
        let first = |wanted: &str| {
            let mut fields = strict.headers.iter();
            fields.find(|field| field.name.eq_ignore_ascii_case(wanted)).map(|field| field.value)
        };
        prop_assert_eq!(ours.fields.host, first("host"));
        prop_assert_eq!(ours.fields.user_agent, first("user-agent"));
        prop_assert_eq!(ours.fields.forwarded_for, first("x-forwarded-for"));
        prop_assert_eq!(ours.upgrade, first("upgrade"));

        let cut = cut.min(text.len());
        if let Some(part) = head::request(&text.as_bytes()[..cut], false) {
            prop_assert!(ours.method == part.method && ours.target.starts_with(part.target));
            prop_assert!(part.target_cut || part.target == ours.target);
            prop_assert!(part.fields.host.is_none() || part.fields.host == ours.fields.host);
            prop_assert!(part.fields.user_agent.is_none() || part.fields.user_agent == ours.fields.user_agent);
            prop_assert!(part.minor.is_none() || part.minor == ours.minor);
        } else {
            prop_assert!(cut <= method.len() + 1);
        }
    }
}

const FIELD_NAME: &str = "(Host|User-Agent|X-Forwarded-For|Upgrade|Accept|[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12})";

type Piece = (Stream, Vec<u8>, u64, bool, u8);

fn piece() -> impl Strategy<Value = Piece> {
    let fragment = prop_oneof![
        vec(any::<u8>(), 0..80),
        proptest::sample::select(vec![
            "GET /a HTTP/1.1\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: h\r\n",
            "POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST /b HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 ",
            "ffffffffffffffff\r\n",
            "3\r\nabc\r\n",
            "0\r\n\r\n",
            "abc",
            "\r\n",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let stream = prop_oneof![Just(Stream::ToServer), Just(Stream::ToClient)];
    let hole = prop_oneof![4 => Just(0_u64), 1 => 1..1000_u64, 1 => Just(1 << 40)];
    (stream, fragment, hole, any::<bool>(), any::<u8>())
}
