//! One connection: commands and their responses.

use std::collections::VecDeque;
use std::sync::Arc;

use super::attributes;
use super::commands::Command;
use super::handshake::{self, capability};
use super::packet::{Client, HEADER, LONGEST, Server};
use super::response::{Packet, Response, Said, error};
use crate::protocol::frames::{Frame, Frames, Input, Next};
use crate::protocol::pairing::Pending;
use crate::protocol::sql::detail::SqlDetail;
use crate::protocol::sql::doubt::Doubt;
use crate::protocol::sql::prepared::{Names, Prepared};
use crate::protocol::sql::{Dialect, Statement};
use crate::protocol::{
    Chunk, End, Exchange, Interest, Losses, Moment, Outcome, Parser, Statements, Stream, TraceParent,
};

/// Commands that may wait at once. All but MariaDB's own connectors wait for each response.
const MAX_COMMANDS: usize = 1024;
/// The statement that was prepared last, where a client does not wait to hear its id (MariaDB, "COM_STMT_EXECUTE").
const LAST_PREPARED: u32 = u32::MAX;

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The server speaks first.
    Greeting,
    /// Until the server is content, or not.
    Login,
    Commands,
}

/// A command that waits for its response.
#[derive(Debug)]
struct Asked {
    command: Command,
    pending: Pending<SqlDetail>,
    /// The statement that is to be prepared.
    prepared: Option<Prepared>,
    /// The database that is used if the server agrees, or that one is which is not known.
    database: Option<Option<Arc<str>>>,
}

/// The state of a connection.
pub(super) struct Connection {
    statements: Statements,
    dialect: Dialect,
    requests: Frames,
    answers: Frames,
    phase: Phase,
    system: &'static str,
    namespace: Option<Arc<str>>,
    /// Capabilities of both ends, if they were seen.
    capabilities: Option<u32>,
    server_capabilities: Option<u32>,
    /// Both ends agreed to compress what follows the login.
    compressed: bool,
    login: Option<Pending<SqlDetail>>,
    asked: VecDeque<Asked>,
    response: Response,
    /// Number of the server's next packet.
    expected: Option<u8>,
    /// An EOF packet of this number may belong to the response before.
    eof: Option<u8>,
    prepared: Names,
    last_prepared: Option<Prepared>,
    /// The last packet of each stream is continued by the next.
    continued: [bool; 2],
    requests_lost: bool,
    answers_lost: bool,
    doubt: Doubt,
    /// Nothing more is to be had of it.
    over: bool,
    losses: Losses,
}

impl Connection {
    pub fn new(statements: Statements, midstream: bool) -> Self {
        Self {
            statements,
            dialect: Dialect::MYSQL,
            requests: Frames::new(midstream),
            answers: Frames::new(midstream),
            phase: if midstream { Phase::Commands } else { Phase::Greeting },
            system: "mysql",
            namespace: None,
            capabilities: None,
            server_capabilities: None,
            compressed: false,
            login: None,
            asked: VecDeque::new(),
            response: Response::default(),
            expected: None,
            eof: None,
            prepared: Names::statements(),
            last_prepared: None,
            continued: [false; 2],
            requests_lost: false,
            answers_lost: false,
            doubt: Doubt::new(midstream),
            over: false,
            losses: Losses::default(),
        }
    }

    // === requests ===

    fn request(&mut self, frame: &Frame<'_>, out: &mut Vec<Exchange>) {
        let continues = std::mem::replace(&mut self.continued[0], frame.length - HEADER as u64 == LONGEST);
        let message = frame.bytes();
        let number = message.get(3).copied();
        let payload = message.get(HEADER..).unwrap_or_default();
        if self.phase != Phase::Commands && !continues {
            match number {
                // The login's end was not seen.
                Some(0) => self.begin_commands(),
                _ => self.log_in(frame, payload),
            }
        }
        // A file's contents, an answer in an authentication, what continues a statement.
        if continues || number != Some(0) || self.phase != Phase::Commands {
            return;
        }
        if frame.turn {
            self.turn(frame.start.time, out);
        }
        let Some((&code, body)) = payload.split_first() else { return };
        let Some(command) = Command::of(code) else { return };
        let cut = frame.cut || frame.length > message.len() as u64;
        match command {
            Command::Query => {
                let (text, parent) = self.text(body);
                let statement = Statement::read_in(self.dialect, text, cut, self.statements);
                let mut prepared = Prepared::new(statement);
                prepared.parent = parent.or(prepared.parent);
                let database = used(&prepared.statement, cut);
                let detail = self.detail(Some(prepared), None);
                self.ask(command, frame.start, detail, None, database);
            }
            Command::Prepare => {
                let statement = Statement::read_in(self.dialect, body, cut, self.statements);
                let prepared = Prepared::new(statement);
                self.last_prepared = Some(prepared.clone());
                let detail = self.detail(Some(Prepared { parent: None, ..prepared.clone() }), None);
                self.ask(command, frame.start, detail, Some(prepared), None);
            }
            Command::Execute | Command::BulkExecute | Command::Fetch => {
                let id: Option<[u8; 4]> = body.get(..4).and_then(|id| id.try_into().ok());
                let prepared = match id {
                    Some(id) if u32::from_le_bytes(id) == LAST_PREPARED => self.last_prepared.clone(),
                    Some(id) => self.prepared.use_one(&id),
                    None => None,
                };
                let detail = self.detail(prepared, None);
                self.ask(command, frame.start, detail, None, None);
            }
            Command::Close => {
                if let Some(id) = body.get(..4) {
                    self.prepared.remove(id);
                }
            }
            Command::InitDb | Command::ChangeUser => {
                let name = match command {
                    Command::InitDb => Some(body),
                    _ => handshake::change_user(payload),
                };
                let database = name.filter(|_| !cut).map(|name| String::from_utf8_lossy(name).into());
                let detail = self.detail(None, command.name());
                self.ask(command, frame.start, detail, None, Some(database));
            }
            // It has no end, and no statements.
            Command::BinlogDump => self.over = true,
            _ if command.is_answered() => {
                let detail = self.detail(None, command.name());
                self.ask(command, frame.start, detail, None, None);
            }
            _ => {}
        }
    }

    /// The text of a COM_QUERY, behind its attributes.
    fn text<'a>(&self, body: &'a [u8]) -> (&'a [u8], Option<TraceParent>) {
        let attributes = match self.capabilities {
            Some(both) => both & capability::QUERY_ATTRIBUTES != 0,
            // No text begins so.
            None => body.len() > 1 && body[0] < b' ' && !body[0].is_ascii_whitespace() && body[1] == 1,
        };
        if attributes { attributes::split(body).unwrap_or((&[], None)) } else { (body, None) }
    }

    fn detail(&self, prepared: Option<Prepared>, command: Option<&'static str>) -> SqlDetail {
        let (statement, parent) =
            prepared.map_or((None, None), |prepared| (Some(prepared.statement), prepared.parent));
        SqlDetail {
            system: self.system,
            namespace: self.namespace.clone(),
            statement,
            command,
            parent,
            ..SqlDetail::default()
        }
    }

    fn ask(
        &mut self,
        command: Command,
        start: Moment,
        detail: SqlDetail,
        prepared: Option<Prepared>,
        database: Option<Option<Arc<str>>>,
    ) {
        if self.requests_lost {
            return;
        }
        if self.asked.len() >= MAX_COMMANDS {
            self.losses.over_limit += 1;
            self.requests_lost = true;
            return;
        }
        self.asked.push_back(Asked { command, pending: Pending::new(start, detail), prepared, database });
    }

    /// The client begins to speak.
    fn turn(&mut self, now: u64, out: &mut Vec<Exchange>) {
        if self.requests_lost || self.answers_lost {
            self.doubt.raise(self.asked.len());
            self.give_up_asked(now, Outcome::ResponseLost, out);
            (self.requests_lost, self.answers_lost) = (false, false);
            self.expected = None;
        } else if self.asked.is_empty() {
            self.doubt.clean_turn(out);
        }
    }

    fn give_up_asked(&mut self, now: u64, outcome: Outcome, out: &mut Vec<Exchange>) {
        for asked in self.asked.drain(..) {
            if asked.database.is_some() {
                // Whether it is used now was not seen.
                self.namespace = None;
            }
            // A statement that was to be prepared was not executed.
            if asked.command != Command::Prepare {
                self.losses.unpaired_requests += u64::from(outcome == Outcome::ResponseLost);
                asked.pending.tell(now, outcome, out);
            }
        }
        self.response.reset();
    }

    /// A packet of the client's before the first command.
    fn log_in(&mut self, frame: &Frame<'_>, payload: &[u8]) {
        // What follows in an authentication is nobody's business.
        let Some(login) = handshake::login(payload).filter(|_| self.login.is_none()) else { return };
        if login.tls {
            self.unreadable();
            return;
        }
        self.phase = Phase::Login;
        self.capabilities = self.server_capabilities.map(|server| server & login.capabilities);
        // A server whose greeting was not seen can what its client asks for.
        let both = self.capabilities.unwrap_or(login.capabilities);
        self.compressed = both & (capability::COMPRESS | capability::ZSTD) != 0;
        self.response.optional_metadata = both & capability::OPTIONAL_METADATA != 0;
        self.namespace = login.database.map(|name| String::from_utf8_lossy(name).into());
        let detail = self.detail(None, Some("CONNECT"));
        self.login = Some(Pending::new(frame.start, detail));
    }

    /// The login is over.
    fn begin_commands(&mut self) {
        self.login = None;
        self.phase = Phase::Commands;
        if self.compressed {
            self.unreadable();
        }
    }

    fn unreadable(&mut self) {
        self.losses.unreadable += 1;
        self.over = true;
    }

    // === answers ===

    fn answer(&mut self, frame: &Frame<'_>, out: &mut Vec<Exchange>) {
        let length = frame.length - HEADER as u64;
        let continues = std::mem::replace(&mut self.continued[1], length == LONGEST);
        let message = frame.bytes();
        let number = message.get(3).copied();
        let payload = message.get(HEADER..).unwrap_or_default();
        let next = number.map(|number| number.wrapping_add(1));
        let expected = std::mem::replace(&mut self.expected, next);
        // Numbers begin anew after 255.
        let begins = number == Some(1) && expected != number;
        match self.phase {
            Phase::Greeting => self.greet(frame, payload, out),
            Phase::Login => self.logged_in(frame, payload, out),
            Phase::Commands if continues => {}
            Phase::Commands => {
                let eof = self.eof.take().is_some_and(|eof| number == Some(eof));
                if !(eof && length == 5 && payload.first() == Some(&0xfe)) {
                    self.respond(frame, begins, payload, length, out);
                }
            }
        }
    }

    fn greet(&mut self, frame: &Frame<'_>, payload: &[u8], out: &mut Vec<Exchange>) {
        match handshake::greeting(payload) {
            Some(greeting) => {
                self.server_capabilities = Some(greeting.capabilities);
                if greeting.mariadb {
                    self.system = "mariadb";
                }
                self.phase = Phase::Login;
            }
            // Too many connections, a host that is blocked.
            None if payload.first() == Some(&0xff) => {
                let detail = self.detail(None, Some("CONNECT"));
                self.login = Some(Pending::new(frame.start, detail));
                self.refused(frame, payload, out);
            }
            None => self.over = true,
        }
        self.expected = None;
    }

    fn logged_in(&mut self, frame: &Frame<'_>, payload: &[u8], out: &mut Vec<Exchange>) {
        self.expected = None;
        match payload.first() {
            Some(0x00) => self.begin_commands(),
            Some(0xff) => self.refused(frame, payload, out),
            _ => {}
        }
    }

    fn refused(&mut self, frame: &Frame<'_>, payload: &[u8], out: &mut Vec<Exchange>) {
        if let Some(mut pending) = self.login.take() {
            pending.detail.failure = Some(error(payload));
            pending.first_byte = Some(frame.start.time);
            pending.tell(frame.end.time, Outcome::Complete, out);
        }
        self.over = true;
    }

    fn respond(
        &mut self,
        frame: &Frame<'_>,
        begins: bool,
        payload: &[u8],
        length: u64,
        out: &mut Vec<Exchange>,
    ) {
        let Some(asked) = self.asked.front_mut().filter(|_| !self.answers_lost) else {
            if begins {
                self.losses.unpaired_responses += 1;
                if !self.answers_lost && payload.first() != Some(&0xff) {
                    self.losses.unpaired_requests += self.doubt.unasked();
                }
            }
            return;
        };
        if begins && !self.response.is_at_start() {
            self.out_of_step(frame.end.time, out);
            return;
        }
        asked.pending.first_byte.get_or_insert(frame.start.time);
        let packet = Packet { payload, length };
        let said = self.response.read(asked.command, packet, &mut asked.pending.detail);
        if let Some(escapes) = self.response.backslash_escapes.take() {
            self.dialect.backslash_escapes = escapes;
        }
        match said {
            Said::More => {}
            Said::YourTurn => self.expected = None,
            Said::Done => self.done(frame.end.time, out),
            Said::DoneButEof => {
                self.eof = self.expected;
                self.done(frame.end.time, out);
            }
            Said::Wrong => self.out_of_step(frame.end.time, out),
        }
    }

    /// The first command has its response.
    fn done(&mut self, end: u64, out: &mut Vec<Exchange>) {
        let id = self.response.prepared.take();
        self.response.reset();
        let Some(asked) = self.asked.pop_front() else { return };
        let failed = asked.pending.detail.failure.is_some();
        if let (Some(prepared), Some(id), false) = (asked.prepared, id, failed) {
            let kept = self.prepared.insert(&id.to_le_bytes(), Some(prepared));
            self.losses.over_limit += u64::from(!kept);
        }
        if matches!(asked.command, Command::ChangeUser | Command::Other("RESET CONNECTION")) && !failed {
            self.prepared.clear();
        }
        if let Some(database) = asked.database.filter(|_| !failed) {
            self.namespace = database;
        }
        if failed || asked.command != Command::Prepare {
            self.losses.unpaired_requests += self.doubt.tell(asked.pending, end, out);
        }
    }

    fn out_of_step(&mut self, now: u64, out: &mut Vec<Exchange>) {
        self.losses.resynchronised += 1;
        self.losses.unpaired_requests += self.doubt.wrong();
        self.give_up_asked(now, Outcome::ResponseLost, out);
        (self.requests_lost, self.answers_lost) = (true, true);
    }
}

/// The database that a statement chooses; `Some(None)` if it chooses one that is not known.
fn used(statement: &Statement, cut: bool) -> Option<Option<Arc<str>>> {
    if let Some(name) = statement.summary.strip_prefix("USE ")
        && !name.contains(' ')
    {
        return Some(Some(name.into()));
    }
    let uses = statement.summary.split(' ').any(|word| word == "USE");
    (uses || (cut && statement.operation.is_empty())).then_some(None)
}

impl Parser for Connection {
    fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        self.doubt.passing(chunk.at.time);
        let mut input = Input::new(chunk);
        while !self.over {
            match stream {
                Stream::ToServer => {
                    let handshake = self.phase != Phase::Commands;
                    let framing = Client { handshake, continued: self.continued[0] };
                    match self.requests.next(&mut input, &framing) {
                        Some(Next::Frame(frame)) => {
                            self.request(&frame, out);
                            self.requests.recycle(frame);
                        }
                        Some(Next::Lost) => {
                            self.requests_lost = true;
                            self.continued[0] = false;
                            // Another may have been chosen, or prepared.
                            self.namespace = None;
                            self.last_prepared = None;
                            self.prepared.clear();
                        }
                        None => {
                            self.requests_lost |= !self.requests.is_in_place();
                            return;
                        }
                    }
                }
                Stream::ToClient => {
                    let greeting = self.phase != Phase::Commands;
                    let framing = Server { greeting, expected: self.expected };
                    match self.answers.next(&mut input, &framing) {
                        Some(Next::Frame(frame)) => {
                            self.answer(&frame, out);
                            self.answers.recycle(frame);
                        }
                        Some(Next::Lost) => {
                            self.answers_lost = true;
                            self.expected = None;
                            self.continued[1] = false;
                            if self.phase == Phase::Greeting {
                                self.phase = Phase::Login;
                            }
                        }
                        None => {
                            self.answers_lost |= !self.answers.is_in_place();
                            return;
                        }
                    }
                }
            }
        }
    }

    fn stream_end(&mut self, _: Stream, _: Moment, _: &mut Vec<Exchange>) {}

    fn end(&mut self, at: Moment, cause: End, out: &mut Vec<Exchange>) {
        self.doubt.end(out);
        let outcome = if self.answers_lost { Outcome::ResponseLost } else { Outcome::of(cause) };
        self.give_up_asked(at.time, outcome, out);
    }

    fn tick(&mut self, now: u64, out: &mut Vec<Exchange>) {
        if self.waiting() {
            self.doubt.tick(now, out);
        }
    }

    fn waiting(&self) -> bool {
        self.doubt.holds() && self.asked.is_empty()
    }

    fn interest(&self) -> Interest {
        if self.over {
            return Interest::Nothing;
        }
        Interest::Frames { quiet_until: [self.requests.quiet_until(), self.answers.quiet_until()] }
    }

    fn take_losses(&mut self) -> Losses {
        let mut losses = std::mem::take(&mut self.losses);
        losses.add(self.requests.take_losses());
        losses.add(self.answers.take_losses());
        losses
    }
}
