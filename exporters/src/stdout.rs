//! Standard output: lines of OTLP/JSON, written whole by one thread.
//!
//! The thread is not one of the runtime's: a reader that stops reading blocks this thread only, and never the end of
//! the process. When the reader is gone (a closed pipe) writing ends, once told and from then on counted.

use crate::error::Error;
use crate::otlp::{Failure, Outcome};
use bytes::Bytes;
use std::io::{self, ErrorKind, Write};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Lines that may wait for the thread; each signal has one under way.
const WAITING: usize = 4;
/// How long to wait when a non-blocking output is full.
const FULL: Duration = Duration::from_millis(5);

struct Job {
    line: Bytes,
    done: oneshot::Sender<Outcome>,
}

/// The way to the thread, shared by the signals.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    jobs: mpsc::Sender<Job>,
}

impl Lines {
    /// Starts the thread. It ends when the last handle is gone.
    pub(crate) fn start(output: impl Write + Send + 'static) -> Result<Self, Error> {
        let (jobs, mut waiting) = mpsc::channel::<Job>(WAITING);
        let mut output = Output { output, is_open: true, is_torn: false };
        std::thread::Builder::new()
            .name("remora-stdout".to_owned())
            .spawn(move || {
                while let Some(job) = waiting.blocking_recv() {
                    // Nobody waits for the answer any more after a shutdown.
                    let _ = job.done.send(output.line(&job.line));
                }
            })
            .map_err(Error::Thread)?;
        Ok(Self { jobs })
    }

    /// Writes one line, which ends with a line feed, and flushes it.
    pub(crate) async fn write(&self, line: Bytes) -> Outcome {
        let (done, outcome) = oneshot::channel();
        if self.jobs.send(Job { line, done }).await.is_err() {
            return Outcome::Gone;
        }
        outcome.await.unwrap_or(Outcome::Gone)
    }
}

struct Output<W> {
    output: W,
    is_open: bool,
    /// The last line was cut short.
    is_torn: bool,
}

impl<W: Write> Output<W> {
    fn line(&mut self, line: &[u8]) -> Outcome {
        if !self.is_open {
            return Outcome::Gone;
        }
        match self.write(line) {
            Ok(()) => Outcome::Delivered { rejected: 0, message: String::new() },
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.is_open = false;
                tracing::warn!(
                    "Standard output was closed by its reader: nothing more is written. Restart Remora with an open \
                     output, or set the destination to otlp."
                );
                Outcome::Gone
            }
            Err(error) => Outcome::Refused(Failure {
                error: error.to_string(),
                advice: "check where standard output goes, such as the space left on its file system"
                    .to_owned(),
            }),
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.write_whole(b"\n")?;
        }
        self.is_torn = true;
        self.write_whole(line)?;
        self.is_torn = false;
        loop {
            match self.output.flush() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(FULL),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// `write_all` for an output that may be non-blocking, as a terminal shared with another program can be.
    fn write_whole(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.output.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(FULL),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    const DELIVERED: Outcome = Outcome::Delivered { rejected: 0, message: String::new() };

    /// Takes what the script says: so many bytes, or an error.
    struct Script {
        steps: VecDeque<Result<usize, ErrorKind>>,
        taken: Vec<u8>,
        flushes: usize,
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let step = self.steps.pop_front().unwrap_or(Ok(usize::MAX));
            let count = step.map_err(io::Error::from)?.min(bytes.len());
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.flushes += 1;
            Ok(())
        }
    }

    fn output(steps: impl IntoIterator<Item = Result<usize, ErrorKind>>) -> Output<Script> {
        let script = Script { steps: steps.into_iter().collect(), taken: Vec::new(), flushes: 0 };
        Output { output: script, is_open: true, is_torn: false }
    }

    /// A line gets out whole through short writes, interruptions and a full non-blocking output, and is flushed.
    #[test]
    fn whole_lines() {
        let mut output = output([Ok(2), Err(ErrorKind::Interrupted), Err(ErrorKind::WouldBlock), Ok(3)]);
        assert_eq!(output.line(b"{\"a\":1}\n"), DELIVERED);
        assert_eq!(output.line(b"{}\n"), DELIVERED);
        assert_eq!(output.output.taken, b"{\"a\":1}\n{}\n");
        assert_eq!(output.output.flushes, 2);
    }

    /// After a closed pipe nothing is written again.
    #[test]
    fn closed_pipe() {
        let mut output = output([Err(ErrorKind::BrokenPipe)]);
        assert_eq!(output.line(b"{}\n"), Outcome::Gone);
        assert_eq!(output.line(b"{}\n"), Outcome::Gone);
        assert_eq!(output.output.taken, b"");
    }

    /// After a line that was cut short the next begins on a line of its own.
    #[test]
    fn torn_line() {
        let mut output = output([Ok(1), Err(ErrorKind::StorageFull)]);
        assert!(matches!(output.line(b"{1}\n"), Outcome::Refused(_)));
        assert_eq!(output.line(b"{2}\n"), DELIVERED);
        assert_eq!(output.output.taken, b"{\n{2}\n");
    }
}
