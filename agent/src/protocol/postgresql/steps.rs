//! What the client asked for and the server has not answered yet, in order.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::protocol::pairing::Pending;
use crate::protocol::sql::Statement;
use crate::protocol::sql::detail::{Failure, SqlDetail};
use crate::protocol::{Exchange, Moment, Outcome};

/// Steps that may wait at once. A step is some fifty bytes, and an Execute has a detail besides.
pub(super) const MAX_STEPS: usize = 8192;

/// A message that the server answers, or that changes what it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// StartupMessage: answered by authentication, parameters, and ReadyForQuery.
    Startup,
    /// Answered by any number of results, and ReadyForQuery.
    Query,
    /// FunctionCall; likewise.
    Function,
    /// ParseComplete
    Parse,
    /// BindComplete
    Bind,
    /// RowDescription or NoData; of a statement, ParameterDescription before it.
    Describe,
    /// CloseComplete
    Close,
    /// Rows, and CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execute,
    /// ReadyForQuery
    Sync,
    /// CopyDone or CopyFail: no answer of its own.
    CopyEnd,
}

/// A message that waits.
#[derive(Debug)]
pub(super) struct Step {
    /// Which.
    pub kind: Kind,
    /// When it passed.
    pub start: Moment,
    /// What a Parse, Bind or Describe is about, if that is known.
    pub statement: Option<Arc<Statement>>,
    /// The exchange that the step is, if it is one.
    pub pending: Option<Pending<SqlDetail>>,
    /// Requests may have stood before it that were not seen, so the answer may be another's.
    pub uncertain: bool,
    /// The answer came; only the ReadyForQuery of the Sync behind it is missing.
    pub answered: bool,
}

impl Step {
    /// A step that is no exchange.
    pub fn new(kind: Kind, start: Moment, statement: Option<Arc<Statement>>) -> Self {
        Self { kind, start, statement, pending: None, uncertain: false, answered: false }
    }

    /// A step that is one.
    pub fn exchange(kind: Kind, pending: Pending<SqlDetail>) -> Self {
        Self {
            kind,
            start: pending.start,
            statement: None,
            pending: Some(pending),
            uncertain: false,
            answered: false,
        }
    }

    /// It is an exchange.
    pub fn is_request(&self) -> bool {
        matches!(self.kind, Kind::Execute | Kind::Query | Kind::Function)
    }
}

/// How the server refused something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    /// Its code.
    pub failure: Failure,
    /// See [`SqlDetail::severity`].
    pub severity: Option<&'static str>,
    /// When the first answer about it came.
    pub first_byte: u64,
    /// When it came.
    pub end: u64,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Steps {
    waiting: VecDeque<Step>,
}

impl Steps {
    /// Appends a step; false if there are too many.
    pub fn push(&mut self, step: Step) -> bool {
        if self.waiting.len() >= MAX_STEPS {
            return false;
        }
        self.waiting.push_back(step);
        true
    }

    /// The step that is being answered.
    pub fn front_mut(&mut self) -> Option<&mut Step> {
        while self.waiting.front().is_some_and(|step| step.kind == Kind::CopyEnd) {
            self.waiting.pop_front();
        }
        self.waiting.front_mut()
    }

    /// Its kind.
    pub fn front(&mut self) -> Option<Kind> {
        self.front_mut().map(|step| step.kind)
    }

    /// Takes it.
    pub fn pop(&mut self) -> Option<Step> {
        self.waiting.pop_front()
    }

    /// The step behind the first is a Sync.
    pub fn sync_follows(&self) -> bool {
        let mut behind = self.waiting.iter().skip(1).filter(|step| step.kind != Kind::CopyEnd);
        behind.next().is_some_and(|step| step.kind == Kind::Sync)
    }

    /// The server reads a copy's data: Syncs that were sent before its end are not answered (manual: "COPY Operations").
    pub fn copy_begins(&mut self) {
        let end = self.waiting.iter().position(|step| step.kind == Kind::CopyEnd);
        let mut index = 0;
        let end = end.unwrap_or(self.waiting.len());
        self.waiting.retain(|step| {
            index += 1;
            index > end || step.kind != Kind::Sync
        });
    }

    /// None waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A Sync waits: behind it the server listens again.
    pub fn has_sync(&self) -> bool {
        self.waiting.iter().any(|step| step.kind == Kind::Sync)
    }

    /// How many ReadyForQuery are to come.
    pub fn syncs(&self) -> usize {
        self.waiting
            .iter()
            .filter(|step| matches!(step.kind, Kind::Sync | Kind::Query | Kind::Function | Kind::Startup))
            .count()
    }

    /// The server refused the first step: it passes over everything up to the next Sync (manual: "Extended Query"). The first
    /// request there fails so; those behind it were not executed. If there is none yet, the refused step itself is given
    /// back, with the detail that `detail` makes of its statement.
    pub fn refuse(
        &mut self,
        refusal: &Refusal,
        detail: impl FnOnce(Option<Arc<Statement>>) -> SqlDetail,
        mut tell: impl FnMut(Pending<SqlDetail>, bool),
    ) -> Option<(Pending<SqlDetail>, bool)> {
        let refused = self.waiting.front().map(|step| (step.start, step.statement.clone(), step.uncertain));
        let mut told = false;
        while let Some(step) = self.waiting.pop_front_if(|step| step.kind != Kind::Sync) {
            if !step.is_request() {
                continue;
            }
            let uncertain = step.uncertain;
            let Some(mut pending) = step.pending else { continue };
            if told {
                pending.detail.failure = Some(Failure::Aborted);
                pending.first_byte = Some(refusal.end);
            } else {
                mark(&mut pending, refusal);
            }
            told = true;
            tell(pending, uncertain);
        }
        refused.filter(|_| !told).map(|(start, statement, uncertain)| {
            let mut pending = Pending::new(start, detail(statement));
            mark(&mut pending, refusal);
            (pending, uncertain)
        })
    }

    /// All end now, with the same outcome; how many exchanges those are. What has failed is complete.
    pub fn tell_all(&mut self, end: u64, outcome: Outcome, out: &mut Vec<Exchange>) -> u64 {
        let mut many = 0;
        for step in self.waiting.drain(..) {
            let (request, answered) = (step.is_request(), step.answered);
            if let Some(pending) = step.pending {
                let complete = answered || pending.detail.failure.is_some();
                // A client that is asked for a password may well go and come again.
                if !request && !complete {
                    continue;
                }
                many += u64::from(!complete);
                pending.tell(end, if complete { Outcome::Complete } else { outcome }, out);
            }
        }
        many
    }
}

fn mark(pending: &mut Pending<SqlDetail>, refusal: &Refusal) {
    pending.first_byte = Some(refusal.first_byte);
    pending.detail.failure = Some(refusal.failure);
    pending.detail.severity = refusal.severity;
}
