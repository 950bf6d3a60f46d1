//! Children and signals: every child dies with this process, and each is ended by its own PID.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::paths;
use crate::progress::{Heartbeat, last_lines};

const POLL: Duration = Duration::from_millis(20);

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count_signal(_signal: libc::c_int) {
    if SIGNALS.fetch_add(1, Ordering::Relaxed) >= 2 {
        // SAFETY: _exit is async-signal-safe. The children follow by their parent-death signal.
        unsafe { libc::_exit(130) };
    }
}

/// From here on SIGINT, SIGTERM and SIGHUP only set a mark ([`stop_requested`]); the third ends this process at once.
pub fn handle_signals() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let handler: extern "C" fn(libc::c_int) = count_signal;
        // SAFETY: the handler touches one atomic and calls only async-signal-safe functions.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
    // `cargo xtask demo | head` ends this process as it ends any other, and the children with it.
    // SAFETY: the default action is always valid.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Whether the user asked to end.
pub fn stop_requested() -> bool {
    SIGNALS.load(Ordering::Relaxed) > 0
}

/// Sleeps, but no longer than until the user asks to end.
pub fn pause(duration: Duration) {
    let end = Instant::now() + duration;
    while !stop_requested() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(POLL));
    }
}

/// A command with the search path of [`paths::search_path`], in the workspace's root, without standard input.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    let path = std::env::join_paths(paths::search_path()).expect("no directory of PATH holds a colon");
    command.env("PATH", path).current_dir(paths::root()).stdin(Stdio::null());
    die_with_parent(&mut command);
    command
}

/// The cargo that runs this program.
pub fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn die_with_parent(command: &mut Command) {
    // SAFETY: prctl is async-signal-safe and changes the child only.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}

/// The standard output of a command that should take a moment only; an error when it fails.
pub fn output_of(command: &mut Command) -> Result<String> {
    let name = describe(command);
    let output = command.output().with_context(|| format!("cannot run `{name}`"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`{name}`: {}: {}", output.status, stderr.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Where a command's output goes.
pub enum Output<'a> {
    /// To this terminal.
    Shown,
    /// To this terminal, and standard output here as well.
    Kept(&'a Mutex<Vec<u8>>),
    /// To a file; its last lines are shown when the command fails.
    Log(&'a Path),
    /// To a file, even when the command fails: the caller has another way.
    Quiet(&'a Path),
}

/// Runs a command to its end, with a sign of life now and then. It is ended when the user asks to end.
pub fn run(command: &mut Command, output: &Output<'_>) -> Result<()> {
    let name = describe(command);
    let log = match output {
        Output::Shown | Output::Kept(_) => None,
        Output::Log(path) | Output::Quiet(path) => Some(*path),
    };
    if let Some(path) = log {
        append(path, &format!("$ {name}\n"))?;
        let log = File::options().append(true).open(path)?;
        command.stdout(log.try_clone()?).stderr(log);
    }
    if let Output::Kept(_) = output {
        command.stdout(Stdio::piped());
    }
    let mut child = command.spawn().with_context(|| format!("cannot run `{name}`"))?;
    let pipe = child.stdout.take();
    let status = thread::scope(|scope| {
        if let (Some(pipe), Output::Kept(kept)) = (pipe, output) {
            scope.spawn(|| show_and_keep(pipe, kept));
        }
        wait(&mut child, &name, log)
    })?;
    if status.success() {
        return Ok(());
    }
    ensure!(!stop_requested(), "interrupted");
    if let Output::Log(path) = output {
        eprintln!("\n{}\n", last_lines(path, 40));
        bail!("`{name}`: {status}; all of its output: {}", path.display());
    }
    bail!("`{name}`: {status}")
}

fn wait(child: &mut Child, name: &str, log: Option<&Path>) -> Result<ExitStatus> {
    let mut heartbeat = Heartbeat::new(name);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if stop_requested() {
            end(child, Duration::from_secs(5))?;
            bail!("interrupted");
        }
        heartbeat.tick(log);
        thread::sleep(POLL);
    }
}

fn show_and_keep(mut pipe: impl Read, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = pipe.read(&mut buffer) {
        let mut stdout = io::stdout().lock();
        let _ = stdout.write_all(&buffer[..length]).and_then(|()| stdout.flush());
        kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..length]);
    }
}

fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words: Vec<_> =
        std::iter::once(program).chain(command.get_args()).map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// Empties a log.
pub fn fresh(log: &Path) -> Result<PathBuf> {
    File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    Ok(log.to_owned())
}

fn append(path: &Path, text: &str) -> Result<()> {
    let mut log = File::options().create(true).append(true).open(path)?;
    Ok(log.write_all(text.as_bytes())?)
}

/// Sends SIGTERM, waits, and kills what is still there after `grace`.
fn end(child: &mut Child, grace: Duration) -> Result<(ExitStatus, bool)> {
    if let Some(status) = child.try_wait()? {
        return Ok((status, true));
    }
    let pid = libc::pid_t::try_from(child.id())?;
    // SAFETY: plain system call; the child is not reaped yet, so the PID is still its own.
    unsafe { libc::kill(pid, libc::SIGTERM) };
    let deadline = Instant::now() + grace;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok((status, true));
        }
        thread::sleep(POLL);
    }
    child.kill()?;
    Ok((child.wait()?, false))
}

/// A long-running child: a server, the load, the agent. Dropped, it is ended.
pub struct Service {
    pub name: String,
    pub log: PathBuf,
    pub child: Child,
}

impl Service {
    /// Starts a command in a process group of its own (so that Ctrl-C reaches this program alone, which then ends its
    /// children in order). Standard error goes to the log, and standard output too unless the caller piped it.
    pub fn start(name: &str, command: &mut Command, log: PathBuf, piped: bool) -> Result<Self> {
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command.process_group(0);
        if piped {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        } else {
            command.stdout(file.try_clone()?).stderr(file);
        }
        let child =
            command.spawn().with_context(|| format!("cannot start {name}: `{}`", describe(command)))?;
        Ok(Self { name: name.to_owned(), log, child })
    }

    /// An error when the child ended by itself.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                Err(anyhow!("{} ended by itself ({status}): {}", self.name, last_lines(&self.log, 10)))
            }
        }
    }

    /// Ends the child by SIGTERM. The flag says whether that was enough.
    pub fn stop(&mut self, grace: Duration) -> Result<(ExitStatus, bool)> {
        end(&mut self.child, grace).with_context(|| format!("cannot end {}", self.name))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.stop(Duration::from_secs(2));
    }
}
