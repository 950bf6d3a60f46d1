//! Every recorded conversation against every protocol, from every segment on: no wrong protocol may be accepted, and
//! `docs/protocols.md` says how often the right one is found.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::inference::{Outcome, Pending, Search};
use crate::protocol::testing::Conversation;
use crate::protocol::{Inference, Moment, Registry, Role, Run, Settings, Stream, http};

const BEGIN: &str =
    "<!-- inference: written by REMORA_WRITE_DOCS=1 cargo test -p remora inference_matrix -->\n";
const END: &str = "<!-- end of inference -->";

/// What became of the connections that begin at each segment.
#[derive(Default)]
struct Found {
    conversations: usize,
    starts: usize,
    /// In the run that the agent came in.
    at_once: usize,
    /// In a later one.
    later: usize,
    never: usize,
}

/// The protocol that is found from piece `start` on, and how many runs that took.
fn search(
    registry: &Registry,
    conversation: &Conversation,
    start: usize,
    role: Option<Role>,
) -> Option<(&'static str, usize)> {
    let mut search = Search::default();
    let mut positions = [u64::from(start > 0); 2];
    let (mut last, mut runs) = (None, 0);
    for piece in &conversation.pieces[start..] {
        let to_server = piece.stream == Stream::ToServer;
        let position = &mut positions[usize::from(to_server)];
        let length = piece.bytes.len() as u64 + piece.missing;
        let run_start = last.replace(piece.stream) != Some(piece.stream);
        runs += usize::from(run_start);
        let opening = *position == 0;
        let chunk = Pending {
            at: Moment::default(),
            position: *position,
            length,
            bytes: piece.bytes.clone(),
            run_start,
        };
        *position += length;
        // As the server's end sees it, whatever it knows of its role.
        match search.look(registry, chunk, to_server, opening, role) {
            Outcome::Known(known) => {
                let stream = known.stream;
                assert_eq!(stream, piece.stream, "{} from {start}: the wrong way round", conversation.name);
                return Some((known.protocol.name(), runs));
            }
            Outcome::Unknown => {}
            Outcome::Encrypted => return Some(("tls", runs)),
            Outcome::GivenUp => return None,
        }
    }
    None
}

/// The protocol that a datagram is taken for.
fn datagram(registry: &Registry, bytes: &[u8]) -> Option<&'static str> {
    let run = Run { bytes, passed: bytes.len() as u64, opening: true, stream: None };
    registry
        .infer_datagram(&run)
        .find(|(_, inference)| matches!(inference, Inference::Yes(_)))
        .map(|(protocol, _)| protocol.name())
}

#[test]
fn every_conversation_from_every_segment() {
    let registry = Registry::new(&http::Settings::default(), &Settings::default());
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    let mut wrong = String::new();
    for conversation in Conversation::recorded(None) {
        let expected = conversation.protocol.clone();
        let of_protocol = found.entry(expected.clone()).or_default();
        of_protocol.conversations += 1;
        for start in 0..conversation.pieces.len() {
            of_protocol.starts += 1;
            if conversation.datagrams {
                match datagram(&registry, &conversation.pieces[start].bytes) {
                    Some(name) if name == expected => of_protocol.at_once += 1,
                    Some(name) => {
                        _ = writeln!(wrong, "{}, datagram {start}: taken for {name}", conversation.name);
                    }
                    None => of_protocol.never += 1,
                }
                continue;
            }
            for role in [None, Some(Role::Server)] {
                match search(&registry, &conversation, start, role) {
                    Some((name, _)) if name != expected => {
                        _ = writeln!(
                            wrong,
                            "{} from segment {start} on: taken for {name}",
                            conversation.name
                        );
                    }
                    // Who connected is not known of a connection from before: the table is about that.
                    _ if role.is_some() => {}
                    Some((_, 1)) => of_protocol.at_once += 1,
                    Some(_) => of_protocol.later += 1,
                    None => of_protocol.never += 1,
                }
            }
        }
        if !conversation.datagrams {
            let first = search(&registry, &conversation, 0, None);
            assert!(first.is_some(), "{}: not recognised from its beginning", conversation.name);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    compare(&table(&found));
}

fn table(found: &BTreeMap<String, Found>) -> String {
    let mut table = String::from(
        "| protocol | conversations | segments to begin at | known in the first run | known in a later run | \
         not known by the end |\n|---|---|---|---|---|---|\n",
    );
    for (name, Found { conversations, starts, at_once, later, never }) in found {
        _ = writeln!(table, "| {name} | {conversations} | {starts} | {at_once} | {later} | {never} |");
    }
    table
}

/// The page says what was found.
fn compare(table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocols.md");
    let page = std::fs::read_to_string(&path).expect("docs/protocols.md");
    let begin = page.find(BEGIN).expect("the table's beginning") + BEGIN.len();
    let end = page.find(END).expect("the table's end");
    if std::env::var_os("REMORA_WRITE_DOCS").is_some() {
        let new = format!("{}{table}{}", &page[..begin], &page[end..]);
        std::fs::write(&path, new).expect("docs/protocols.md can be written");
    } else {
        assert_eq!(&page[begin..end], table, "REMORA_WRITE_DOCS=1 writes the table");
    }
}
