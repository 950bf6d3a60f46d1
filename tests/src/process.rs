//! Programs under test: started in a namespace, with logs in a folder, and ended with the value that stands for them.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::netns::{self, Netns};
use crate::{Place, wait_for};

/// How long a program may take to start, or a client to finish, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program to be started.
#[derive(Debug)]
pub struct Program {
    executable: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    netns: Option<Arc<File>>,
    user: Option<u32>,
    capabilities: Option<u64>,
    input: Vec<u8>,
}

impl Program {
    /// A program by its path, or by its name if it is in `PATH`.
    #[must_use]
    pub fn new(executable: impl AsRef<OsStr>) -> Self {
        Self {
            executable: executable.as_ref().to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: None,
            netns: None,
            user: None,
            capabilities: None,
            input: Vec::new(),
        }
    }

    /// Runs it in a network namespace.
    #[must_use]
    pub fn inside(mut self, netns: &Netns) -> Self {
        self.netns = Some(netns.handle());
        self
    }

    /// Appends an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Appends arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Runs it in a folder.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Runs it as a user and group without privileges.
    #[must_use]
    pub fn user(mut self, id: u32) -> Self {
        self.user = Some(id);
        self
    }

    /// Gives a user without privileges these capabilities and no others, as bits by their numbers (capabilities(7)).
    #[must_use]
    pub fn capabilities(mut self, bits: u64) -> Self {
        self.capabilities = Some(bits);
        self
    }

    /// The same, but another executable.
    #[must_use]
    pub(crate) fn executable(mut self, path: impl AsRef<OsStr>) -> Self {
        self.executable = path.as_ref().to_owned();
        self
    }

    /// What [`Program::run`] writes to its standard input.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Starts it; standard output and error go to files in a folder of its own.
    #[must_use]
    pub fn start(self) -> Running {
        let logs = Place::new();
        let output = File::create(logs.join("stdout")).expect("log file");
        let errors = File::create(logs.join("stderr")).expect("log file");
        let mut command = self.command();
        let input = if self.input.is_empty() { Stdio::null() } else { Stdio::piped() };
        command.stdin(input).stdout(output).stderr(errors);
        let name = self.executable.to_string_lossy().into_owned();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        if let Some(mut pipe) = child.stdin.take() {
            // The program may end before it has read all; its exit status says why.
            let _ = pipe.write_all(&self.input);
        }
        Running { name, child, logs, ended: None, input: None }
    }

    /// Starts a workload that goes step by step: it prints a line `ready` when a step is done, and begins the next when it
    /// reads a line ([`Running::step`]). Waits for the first `ready`.
    #[must_use]
    pub fn in_steps(self) -> Running {
        let logs = Place::new();
        let output = File::create(logs.join("stdout")).expect("log file");
        let errors = File::create(logs.join("stderr")).expect("log file");
        let name = self.executable.to_string_lossy().into_owned();
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(output).stderr(errors);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let input = child.stdin.take();
        let mut running = Running { name, child, logs, ended: None, input };
        running.wait_ready(1);
        running
    }

    /// Starts it and waits until something in its namespace listens on `port`.
    #[must_use]
    pub fn listen(self, port: u16) -> Running {
        let mut running = self.start();
        running.wait_until(&format!("listens on port {port}"), |process| listens(process, port));
        running
    }

    /// Starts it and waits until it listens on a unix socket.
    #[must_use]
    pub fn listen_unix(self, path: &std::path::Path) -> Running {
        let mut running = self.start();
        running.wait_until(&format!("listens on {}", path.display()), |process| listens_unix(process, path));
        running
    }

    /// Runs it to its end.
    #[must_use]
    pub fn run(self) -> Finished {
        self.start().finish(PATIENCE)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.executable);
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        // The environment of the test run must not decide what a service is called.
        for inherited in ["OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "http_proxy", "https_proxy"] {
            if !self.environment.iter().any(|(name, _)| name == inherited) {
                command.env_remove(inherited);
            }
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command.process_group(0);
        let netns = self.netns.clone();
        let (user, capabilities) = (self.user, self.capabilities);
        let parent = std::process::id();
        // SAFETY: only system calls that are async-signal-safe, no allocation.
        unsafe {
            command.pre_exec(move || prepare(netns.as_deref(), user, capabilities, parent));
        }
        command
    }
}

/// Runs in the child between fork and exec.
fn prepare(
    netns: Option<&File>,
    user: Option<u32>,
    capabilities: Option<u64>,
    parent: u32,
) -> io::Result<()> {
    if let Some(netns) = netns {
        netns::enter(netns)?;
    }
    // SAFETY: plain system calls with constants and values; `setgroups` gets no list.
    unsafe {
        if capabilities.is_some() && libc::prctl(libc::PR_SET_KEEPCAPS, 1) < 0 {
            return Err(io::Error::last_os_error());
        }
        if let Some(user) = user
            && (libc::setgroups(0, std::ptr::null()) < 0 || libc::setgid(user) < 0 || libc::setuid(user) < 0)
        {
            return Err(io::Error::last_os_error());
        }
        if let Some(capabilities) = capabilities {
            hold(capabilities)?;
        }
        // SIGTERM and not SIGKILL, so that a master process takes its workers along.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
        if libc::getppid() as u32 != parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
    }
    Ok(())
}

/// Lets the calling process, and the program that it is going to run, have these capabilities and no others.
fn hold(capabilities: u64) -> io::Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3` (include/uapi/linux/capability.h)
    const VERSION: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION, 0];
    let (low, high) = (capabilities as u32, (capabilities >> 32) as u32);
    // Effective, permitted and inheritable, of the lower and the upper 32.
    let sets: [[u32; 3]; 2] = [[low; 3], [high; 3]];
    // SAFETY: header and sets are as `capset` takes them; the rest are constants.
    unsafe {
        if libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) < 0 {
            return Err(io::Error::last_os_error());
        }
        for number in (0..64).filter(|number| capabilities & (1 << number) != 0) {
            let raise = libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong;
            if libc::prctl(libc::PR_CAP_AMBIENT, raise, number as libc::c_ulong, 0_u64, 0_u64) < 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

/// Whether something in the namespace of `process` listens on a TCP port. Asking leaves no trace on the socket.
pub(crate) fn listens(process: u32, port: u16) -> bool {
    const LISTEN: &str = "0A";
    ["tcp", "tcp6"].iter().any(|table| {
        let table = std::fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
        table.lines().skip(1).any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let local = fields.next().and_then(|address| address.rsplit(':').next());
            let local = local.and_then(|port| u16::from_str_radix(port, 16).ok());
            local == Some(port) && fields.nth(1) == Some(LISTEN)
        })
    })
}

fn listens_unix(process: u32, path: &std::path::Path) -> bool {
    const ACCEPTS: &str = "00010000";
    let table = std::fs::read_to_string(format!("/proc/{process}/net/unix")).unwrap_or_default();
    table.lines().any(|line| {
        line.split_whitespace().nth(3) == Some(ACCEPTS) && line.ends_with(&*path.to_string_lossy())
    })
}

/// A program that runs; killed with its process group when dropped.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    logs: Place,
    ended: Option<ExitStatus>,
    /// Standard input of a workload that goes step by step.
    input: Option<ChildStdin>,
}

impl Running {
    /// Lets a workload do its next step, and waits until that is done.
    pub fn step(&mut self) {
        let before = self.ready();
        let input = self.input.as_mut().expect("a workload in steps");
        input.write_all(b"\n").expect("the workload reads");
        self.wait_ready(before + 1);
    }

    /// Lets a workload do what it does after its last step, and waits for its end.
    #[must_use]
    pub fn last_step(mut self) -> Finished {
        self.input = None;
        self.finish(PATIENCE)
    }

    fn ready(&self) -> usize {
        self.output().lines().filter(|line| *line == "ready").count()
    }

    fn wait_ready(&mut self, times: usize) {
        let output = self.logs.join("stdout");
        self.wait_until(&format!("is ready for the {times}. time"), |_| {
            let output = std::fs::read_to_string(&output).unwrap_or_default();
            output.lines().filter(|line| *line == "ready").count() >= times
        });
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard output so far.
    #[must_use]
    pub fn output(&self) -> String {
        read(&self.logs, "stdout")
    }

    /// What it wrote to standard error so far.
    #[must_use]
    pub fn errors(&self) -> String {
        read(&self.logs, "stderr")
    }

    /// Process ids of its children.
    #[must_use]
    pub fn children(&self) -> Vec<u32> {
        let id = self.id();
        let list = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        list.split_whitespace().filter_map(|child| child.parse().ok()).collect()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: libc::c_int) {
        if self.ended.is_none() {
            // SAFETY: the child has not been waited for, so the id is still its own.
            unsafe { libc::kill(self.id() as libc::pid_t, signal) };
        }
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("wait");
        }
        self.ended
    }

    /// Waits until `done` (called with its process id) holds; panics if it ends or takes too long.
    pub fn wait_until(&mut self, what: &str, mut done: impl FnMut(u32) -> bool) {
        let id = self.id();
        let mut dead = None;
        let fine = wait_for(PATIENCE, || {
            dead = self.ended();
            dead.is_some() || done(id)
        });
        if let Some(status) = dead
            && !done(id)
        {
            panic!("{} ended with {status} before it {what}\n{}", self.name, self.logs());
        }
        assert!(fine, "{} has not reached: {what}\n{}", self.name, self.logs());
    }

    /// Waits for its end, at most for `limit` times [`patience`](crate::patience).
    #[must_use]
    pub fn finish(mut self, limit: Duration) -> Finished {
        let started = Instant::now();
        let done = wait_for(limit, || self.ended().is_some());
        assert!(done, "{} has not ended within {limit:?}\n{}", self.name, self.logs());
        Finished {
            name: self.name.clone(),
            process: self.id(),
            status: self.ended.expect("ended"),
            output: self.output(),
            errors: self.errors(),
            waited: started.elapsed(),
        }
    }

    fn logs(&self) -> String {
        let tail = |text: String| {
            let skip = text.lines().count().saturating_sub(30);
            text.lines().skip(skip).fold(String::new(), |all, line| all + "  | " + line + "\n")
        };
        format!("standard error:\n{}standard output:\n{}", tail(self.errors()), tail(self.output()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = -(self.id() as libc::pid_t);
        if self.ended().is_none() {
            // SAFETY: the child leads its group and has not been waited for. A master ends its workers by itself.
            unsafe { libc::kill(group, libc::SIGTERM) };
            if !wait_for(Duration::from_secs(2), || self.ended().is_some()) {
                // SAFETY: as above.
                unsafe { libc::kill(group, libc::SIGKILL) };
                let _ = self.child.wait();
            }
        }
        // SAFETY: what is left of the group after its leader, if anything; its id cannot be another's while it exists.
        unsafe { libc::kill(group, libc::SIGKILL) };
        if std::thread::panicking() {
            eprintln!("--- {} ---\n{}", self.name, self.logs());
        }
    }
}

fn read(logs: &Place, name: &str) -> String {
    String::from_utf8_lossy(&std::fs::read(logs.join(name)).unwrap_or_default()).into_owned()
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    name: String,
    /// The process id that it had.
    pub process: u32,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub output: String,
    /// What it wrote to standard error.
    pub errors: String,
    /// How long its end was waited for.
    pub waited: Duration,
}

impl Finished {
    /// Panics unless it exited with 0.
    #[must_use]
    pub fn ok(self) -> Self {
        assert!(
            self.status.success(),
            "{} ended with {}\nstandard error:\n{}\nstandard output:\n{}",
            self.name,
            self.status,
            self.errors,
            self.output
        );
        self
    }

    /// Panics if it exited with 0 or by a signal or a Rust panic; returns standard error.
    #[must_use]
    pub fn refused(self) -> String {
        let code = self.status.code();
        assert!(
            code.is_some_and(|code| code != 0 && code != 101) && self.status.signal().is_none(),
            "{} ended with {} where an error was expected\nstandard error:\n{}",
            self.name,
            self.status,
            self.errors
        );
        self.errors
    }
}
