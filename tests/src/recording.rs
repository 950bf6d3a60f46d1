//! Recordings that tests change before they are replayed: bytes that get lost, and an agent that came later.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use remora_abi::Plain;
use remora_abi::record::{
    AF_UNIX, DATAGRAM, Datagram, END_OF_STREAM, Header, OPEN, Open, READ, SEGMENT, Segment,
};

use crate::{Place, Program, Spans, remora, repository};

/// The agent's format for files: magic, then frames of a length, a CRC-32 and a body. The first body is the preamble, each
/// other a sequence of records behind their lengths.
const MAGIC: usize = 8;

/// A recording in memory.
#[derive(Clone, Debug)]
pub struct Recording {
    magic: Vec<u8>,
    preamble: Vec<u8>,
    records: Vec<Vec<u8>>,
}

/// A connection and its segments with their captured bytes.
type Talk<'a> = (Open, Vec<(Segment, &'a [u8])>);

/// One of a recording's segments.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Its number among the segments of its connection.
    pub number: usize,
    /// The process read it; else it wrote it.
    pub read: bool,
    /// The connection as this end saw it.
    pub open: &'a Open,
    /// What was captured.
    pub bytes: &'a [u8],
}

fn read_u32(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes[..4].try_into().expect("four bytes")) as usize
}

impl Recording {
    /// Reads a file that `remora record` wrote.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let file = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (magic, mut rest) = file.split_at(MAGIC);
        let mut bodies = Vec::new();
        loop {
            let length = read_u32(rest);
            if length == 0 {
                break;
            }
            bodies.push(&rest[8..8 + length]);
            rest = &rest[8 + length..];
        }
        let mut records = Vec::new();
        for mut body in bodies[1..].iter().copied() {
            while !body.is_empty() {
                let (record, behind) = body[4..].split_at(read_u32(body));
                records.push(record.to_vec());
                body = behind;
            }
        }
        Self { magic: magic.to_vec(), preamble: bodies[0].to_vec(), records }
    }

    /// Writes it where `remora replay` can read it.
    pub fn write(&self, path: &Path) {
        let mut file = self.magic.clone();
        let mut frame = |body: &[u8]| {
            file.extend_from_slice(&(body.len() as u32).to_le_bytes());
            file.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
            file.extend_from_slice(body);
        };
        frame(&self.preamble);
        for records in self.records.chunks(1000) {
            let mut body = Vec::new();
            for record in records {
                body.extend_from_slice(&(record.len() as u32).to_le_bytes());
                body.extend_from_slice(record);
            }
            frame(&body);
        }
        file.extend_from_slice(&[0; 8]);
        std::fs::write(path, file).expect("a recording");
    }

    /// What the agent tells of it.
    #[must_use]
    pub fn replay(&self) -> Spans {
        let place = Place::new();
        let file = place.join("changed.remora");
        self.write(&file);
        let finished =
            Program::new(remora()).arg("replay").arg(&file).args(["--export", "stdout"]).run().ok();
        Spans::read(&finished.output, finished.errors)
    }

    /// The captured bytes of segments for which `lose` holds are lost: the positions pass, the bytes do not.
    #[must_use]
    pub fn losing(mut self, mut lose: impl FnMut(Piece<'_>) -> bool) -> Self {
        let mut opens: HashMap<u64, (Open, usize)> = HashMap::new();
        for record in &mut self.records {
            let Some(header) = Header::read(record) else { continue };
            match header.kind {
                OPEN => {
                    let open = Open::read(record).expect("a whole record");
                    opens.insert(open.connection, (open, 0));
                }
                SEGMENT => {
                    let mut segment = Segment::read(record).expect("a whole record");
                    let Some((open, count)) = opens.get_mut(&segment.connection) else { continue };
                    let bytes = &record[size_of::<Segment>()..][..segment.header.payload as usize];
                    let read = segment.direction == READ;
                    let piece = Piece { number: *count, read, open, bytes };
                    *count += 1;
                    if lose(piece) {
                        segment.header.payload = 0;
                        *record = segment.as_bytes().to_vec();
                    }
                }
                _ => {}
            }
        }
        self
    }

    /// The agent came when the direction of each connection on `port` had changed so often (twice a request where they take
    /// turns): its streams begin in the middle.
    #[must_use]
    pub fn late(mut self, port: u16, runs: usize) -> Self {
        let mut seen: HashMap<u64, (usize, Option<u8>)> = HashMap::new();
        for record in &self.records {
            if let Some(open) = open_on(record, port) {
                seen.insert(open.connection, (0, None));
            }
        }
        self.records.retain_mut(|record| {
            let Some(header) = Header::read(record) else { return true };
            if header.kind == OPEN && open_on(record, port).is_some() {
                let mut open = Open::read(record).expect("a whole record");
                open.flags |= remora_abi::record::OPEN_MIDSTREAM;
                open.role = remora_abi::record::ROLE_UNKNOWN;
                *record = open.as_bytes().to_vec();
            }
            if header.kind != SEGMENT {
                return true;
            }
            let segment = Segment::read(record).expect("a whole record");
            let Some((count, last)) = seen.get_mut(&segment.connection) else { return true };
            if last.replace(segment.direction) != Some(segment.direction) {
                *count += 1;
            }
            *count > runs
        });
        self
    }

    /// The conversations on `port` as the clients saw them, in the text form that the agent's own tests read: `agent/src/
    /// protocol/testing/conversation.rs`. A connection of which the client's end was not seen is told by the server's.
    #[must_use]
    pub fn conversations(&self, protocol: &str, port: u16) -> Vec<String> {
        let mut order = Vec::new();
        let mut talks: HashMap<u64, Talk<'_>> = HashMap::new();
        for record in &self.records {
            let Some(header) = Header::read(record) else { continue };
            match header.kind {
                OPEN => {
                    if let Some(open) = open_on(record, port) {
                        order.push(open.connection);
                        talks.insert(open.connection, (open, Vec::new()));
                    }
                }
                SEGMENT => {
                    let segment = Segment::read(record).expect("a whole record");
                    let bytes = &record[size_of::<Segment>()..][..segment.header.payload as usize];
                    if let Some((_, segments)) = talks.get_mut(&segment.connection)
                        && segment.flags & END_OF_STREAM == 0
                    {
                        segments.push((segment, bytes));
                    }
                }
                _ => {}
            }
        }
        let clients = order.iter().any(|id| talks[id].0.remote_port == port);
        order
            .iter()
            .map(|id| &talks[id])
            .filter(|(open, _)| open.family == AF_UNIX || (open.remote_port == port) == clients)
            .map(|(open, segments)| {
                let client = open.remote_port == port;
                let mut text = format!("# protocol: {protocol}\n");
                let mut last = None;
                for (segment, bytes) in segments {
                    let to_server = (segment.direction == READ) != client;
                    let since = segment.header.time - last.unwrap_or(segment.header.time);
                    last = Some(segment.header.time);
                    let missing = u64::from(segment.length) - bytes.len() as u64;
                    let who = if to_server { 'C' } else { 'S' };
                    _ = write!(text, "{who} {} ", since / 1000);
                    if missing > 0 || bytes.first() == Some(&b'+') {
                        _ = write!(text, "+{missing} ");
                    }
                    _ = writeln!(text, "{}", escape(bytes));
                }
                text
            })
            .chain(self.datagrams(protocol, port))
            .collect()
    }

    /// The same of UDP sockets.
    fn datagrams(&self, protocol: &str, port: u16) -> Vec<String> {
        let mut order: Vec<(u64, u16)> = Vec::new();
        let mut talks: HashMap<(u64, u16), (u64, String)> = HashMap::new();
        for record in &self.records {
            let Some(datagram) = Datagram::read(record).filter(|read| read.header.kind == DATAGRAM) else {
                continue;
            };
            if datagram.remote_port != port {
                continue;
            }
            let key = (datagram.socket, datagram.local_port);
            let (last, text) = talks.entry(key).or_insert_with(|| {
                order.push(key);
                (datagram.header.time, format!("# protocol: {protocol}\n# transport: datagram\n"))
            });
            let who = if datagram.direction == READ { 'S' } else { 'C' };
            let bytes = &record[size_of::<Datagram>()..][..datagram.header.payload as usize];
            _ = write!(text, "{who} {} ", (datagram.header.time - *last) / 1000);
            let missing = datagram.length as usize - bytes.len();
            if missing > 0 || bytes.first() == Some(&b'+') {
                _ = write!(text, "+{missing} ");
            }
            _ = writeln!(text, "{}", escape(bytes));
            *last = datagram.header.time;
        }
        order.iter().filter_map(|key| talks.remove(key)).map(|(_, text)| text).collect()
    }

    /// Writes conversation `index` on `port` to the folder that `REMORA_CONVERSATIONS` names, as `NAME.txt` with a
    /// comment; nothing without that variable.
    pub fn keep(&self, protocol: &str, port: u16, index: usize, name: &str, comment: &str) {
        let Some(folder) = std::env::var_os("REMORA_CONVERSATIONS") else { return };
        let texts = self.conversations(protocol, port);
        let text = texts.get(index).unwrap_or_else(|| panic!("{} conversations on port {port}", texts.len()));
        let (first, rest) = text.split_once('\n').expect("a line");
        let path = repository().join(folder).join(format!("{name}.txt"));
        std::fs::write(&path, format!("{first}\n# {comment}\n{rest}")).expect("a conversation");
    }
}

fn open_on(record: &[u8], port: u16) -> Option<Open> {
    let open = Header::read(record).filter(|header| header.kind == OPEN).and_then(|_| Open::read(record))?;
    (open.local_port == port || open.remote_port == port).then_some(open)
}

/// Bytes as printable ASCII.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (i, byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'\\' => text.push_str("\\\\"),
            b' ' if i + 1 == bytes.len() => text.push_str("\\x20"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => _ = write!(text, "\\x{byte:02x}"),
        }
    }
    text
}
