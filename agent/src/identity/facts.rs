//! Facts about one process: all that its identity is made of.

use std::collections::BTreeMap;

use remora_abi::record::{EXEC_ARGUMENTS, EXEC_ENVIRONMENT, Exec};
use serde::{Deserialize, Serialize};

use super::redact;

/// The only environment variables that are ever kept: what a program says about its own identity. Everything else
/// in an environment may be a secret and is dropped where the bytes are read.
pub const ENVIRONMENT: [&str; 11] = [
    "CONTAINER_NAME",
    "HOSTNAME",
    "K8S_CONTAINER_NAME",
    "K8S_NAMESPACE_NAME",
    "K8S_NODE_NAME",
    "K8S_POD_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SERVICE_NAME",
    "POD_NAME",
    "POD_NAMESPACE",
    "container",
];

/// The most bytes of one argument that are kept; what follows is cut off (class paths, inline programs).
pub const MAX_ARGUMENT: usize = 256;
/// The most bytes of a process's arguments that are kept, together.
pub const MAX_ARGUMENTS: usize = 4 * 1024;
/// The most bytes of a variable's value that are kept.
pub const MAX_VARIABLE: usize = 2 * 1024;

/// What is known about one process at one time, from its exec event, from `/proc`, or from both.
///
/// Facts are the only input of an [`Identity`](super::Identity): `remora record` writes them to its file as JSON, so
/// that a replay tells the same services. They hold no secrets that can be told from their shape: of the environment
/// only [`ENVIRONMENT`] is kept, and arguments are redacted before they are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessFacts {
    /// Process id in the initial PID namespace.
    pub pid: u32,
    /// The parent's process id, 0 if unknown.
    #[serde(skip_serializing_if = "is_zero")]
    pub parent: u32,
    /// When the process was created: clock ticks since boot, as field 22 of `/proc/PID/stat` says. Tells two lives
    /// of a process id apart. `None` if `/proc` was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<u64>,
    /// When the program began to run (its exec), `CLOCK_MONOTONIC` nanoseconds; 0 if that was not seen.
    #[serde(skip_serializing_if = "is_default")]
    pub since: u64,
    /// `comm`: at most 15 bytes, and programs may change it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Target of `/proc/PID/exe`, in the process's own mount namespace; perhaps with ` (deleted)` at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
    /// The arguments, from `argv[0]` on, redacted, each cut to [`MAX_ARGUMENT`]. A program that rewrites its title
    /// has one argument with spaces in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// Arguments are missing behind the last one, or the last one is not whole.
    #[serde(skip_serializing_if = "is_default")]
    pub arguments_cut: bool,
    /// Those of [`ENVIRONMENT`] that were set and not empty.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// The most telling path in `/proc/PID/cgroup`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Target of `/proc/PID/cwd` when it was read: where a relative script path begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// `/etc/hostname` as the process sees it; read only for processes in containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Process id in the innermost PID namespace, if that is not the initial one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaced_pid: Option<u32>,
    /// The language that the executable was compiled from (`go`, `rust`, `cpp`), if somebody looked into it: this module
    /// does not. Of interpreters it is known without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// `/proc` has been read for this program (or could not be): there is no more to learn.
    #[serde(skip_serializing_if = "is_default")]
    pub complete: bool,
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl ProcessFacts {
    /// The facts of an exec event; `arguments` and `environment` are the blocks as the kernel laid them out.
    #[must_use]
    pub fn from_exec(exec: &Exec, arguments: &[u8], environment: &[u8]) -> Self {
        let mut facts = Self {
            pid: exec.process,
            parent: exec.parent,
            since: exec.header.time,
            name: text(exec.name.split(|byte| *byte == 0).next().unwrap_or_default()),
            ..Self::default()
        };
        facts.set_arguments(arguments, arguments.len() >= EXEC_ARGUMENTS);
        facts.set_environment(environment, environment.len() >= EXEC_ENVIRONMENT);
        facts
    }

    /// Adds what `later` knows about the same program of the same process.
    ///
    /// Where both know something, `/proc` (`later`, if it is [`complete`](Self::complete)) is the better witness of
    /// everything but the arguments, which a program may have overwritten since with a title of its own.
    pub fn merge(&mut self, later: &Self) {
        let same_arguments = self.arguments.is_empty() || (self.arguments_cut && !is_title(&later.arguments));
        if same_arguments && !later.arguments.is_empty() {
            self.arguments.clone_from(&later.arguments);
            self.arguments_cut = later.arguments_cut;
        }
        for (key, value) in &later.environment {
            self.environment.entry(key.clone()).or_insert_with(|| value.clone());
        }
        if later.parent != 0 {
            self.parent = later.parent;
        }
        if !later.name.is_empty() {
            self.name.clone_from(&later.name);
        }
        self.since = self.since.max(later.since);
        self.complete |= later.complete;
        for (mine, theirs) in [
            (&mut self.executable, &later.executable),
            (&mut self.cgroup, &later.cgroup),
            (&mut self.working_directory, &later.working_directory),
            (&mut self.hostname, &later.hostname),
            (&mut self.language, &later.language),
        ] {
            if theirs.is_some() {
                mine.clone_from(theirs);
            }
        }
        self.start_time = later.start_time.or(self.start_time);
        self.namespaced_pid = later.namespaced_pid.or(self.namespaced_pid);
    }

    /// Takes NUL-terminated strings; `cut` says that the block may go on behind its last byte.
    pub(super) fn set_arguments(&mut self, block: &[u8], cut: bool) {
        let ends = block.last().is_none_or(|last| *last == 0);
        let block = if ends { block.strip_suffix(&[0]).unwrap_or(block) } else { block };
        self.arguments_cut = cut;
        let mut arguments = Vec::new();
        let mut kept = 0;
        if !block.is_empty() {
            for argument in block.split(|byte| *byte == 0) {
                let argument = cut_text(argument, MAX_ARGUMENT);
                if kept + argument.len() > MAX_ARGUMENTS {
                    self.arguments_cut = true;
                    break;
                }
                kept += argument.len() + 1;
                arguments.push(argument);
            }
        }
        // A rewritten title is padded with NULs (or blanks) up to the length of what it overwrote.
        while arguments.last().is_some_and(|last| last.trim().is_empty()) {
            arguments.pop();
        }
        redact::arguments(&mut arguments);
        self.arguments = arguments;
    }

    /// Keeps the variables of [`ENVIRONMENT`]; of a `cut` block, the last one may not be whole and is dropped.
    pub(super) fn set_environment(&mut self, block: &[u8], cut: bool) {
        let block = match (cut, block.iter().rposition(|byte| *byte == 0)) {
            (true, Some(end)) => &block[..end],
            (true, None) => &[],
            (false, _) => block,
        };
        for variable in block.split(|byte| *byte == 0) {
            let Some(equals) = variable.iter().position(|byte| *byte == b'=') else { continue };
            let (key, value) = (&variable[..equals], &variable[equals + 1..]);
            let Some(key) = ENVIRONMENT.into_iter().find(|known| known.as_bytes() == key) else { continue };
            // OpenTelemetry: an empty value is the same as none. The first one wins, as getenv has it.
            if !value.is_empty() && value.len() <= MAX_VARIABLE {
                self.environment.entry(key.to_owned()).or_insert_with(|| text(value));
            }
        }
    }

    /// A kept variable's value.
    #[must_use]
    pub fn variable(&self, key: &str) -> Option<&str> {
        self.environment.get(key).map(String::as_str)
    }
}

/// Whether the arguments are a title that the program wrote over them (`nginx: worker process`).
pub(super) fn is_title(arguments: &[String]) -> bool {
    matches!(arguments, [only] if only.contains(' '))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn cut_text(bytes: &[u8], most: usize) -> String {
    if bytes.len() <= most {
        return text(bytes);
    }
    // Do not cut through a character: its continuation bytes are 10xxxxxx.
    let end = (0..=most).rev().find(|at| bytes[*at] & 0xc0 != 0x80).unwrap_or(most);
    text(&bytes[..end])
}

#[cfg(test)]
mod tests {
    use remora_abi::record::{EXEC, Header};

    use super::*;

    fn exec(name: &str) -> Exec {
        let mut exec = Exec {
            header: Header { kind: EXEC, payload: 0, time: 77 },
            process: 42,
            parent: 7,
            ..Exec::default()
        };
        exec.name[..name.len()].copy_from_slice(name.as_bytes());
        exec
    }

    #[test]
    fn an_exec_event_gives_arguments_and_only_the_known_variables() {
        let facts = ProcessFacts::from_exec(
            &exec("python3"),
            b"python3\0app.py\0",
            b"PATH=/bin\0OTEL_SERVICE_NAME=shop\0AWS_SECRET_ACCESS_KEY=x\0OTEL_SERVICE_NAME=no\0HOSTNAME=\0",
        );
        assert_eq!(
            facts,
            ProcessFacts {
                pid: 42,
                parent: 7,
                since: 77,
                name: "python3".into(),
                arguments: vec!["python3".into(), "app.py".into()],
                environment: BTreeMap::from([("OTEL_SERVICE_NAME".into(), "shop".into())]),
                ..ProcessFacts::default()
            }
        );
    }

    #[test]
    fn empty_arguments_in_the_middle_stay_and_padding_goes() {
        let mut facts = ProcessFacts::default();
        facts.set_arguments(b"a\0\0b\0\0\0 \0", false);
        assert_eq!(facts.arguments, ["a", "", "b"]);
        facts.set_arguments(b"", false);
        assert!(facts.arguments.is_empty());
    }

    #[test]
    fn a_cut_environment_loses_its_last_variable() {
        let mut block = vec![b'x'; EXEC_ENVIRONMENT - 24];
        block.extend_from_slice(b"\0OTEL_SERVICE_NAME=shop-a");
        let block = &block[..EXEC_ENVIRONMENT];
        let facts = ProcessFacts::from_exec(&exec("a"), &[], block);
        assert!(facts.environment.is_empty(), "the value might go on: {facts:?}");
    }

    #[test]
    fn long_arguments_are_cut_at_a_character() {
        let mut facts = ProcessFacts::default();
        let long = format!("java\0-cp\0{}é/lib.jar\0com.acme.Main\0", "x".repeat(MAX_ARGUMENT - 1));
        facts.set_arguments(long.as_bytes(), false);
        assert_eq!(facts.arguments[2], "x".repeat(MAX_ARGUMENT - 1));
        assert_eq!(facts.arguments[3], "com.acme.Main");
        facts.set_arguments("y\0".repeat(MAX_ARGUMENTS).as_bytes(), false);
        assert!(facts.arguments_cut);
        assert_eq!(facts.arguments.len(), MAX_ARGUMENTS / 2);
    }

    #[test]
    fn proc_completes_an_exec_event_but_a_title_does_not_replace_its_arguments() {
        let mut facts = ProcessFacts::from_exec(&exec("gunicorn"), b"python3\0gunicorn\0shop.wsgi\0", b"");
        let later = ProcessFacts {
            pid: 42,
            parent: 1,
            start_time: Some(99),
            name: "gunicorn".into(),
            executable: Some("/usr/bin/python3.11".into()),
            arguments: vec!["gunicorn: master [shop.wsgi]".into()],
            cgroup: Some("/system.slice/shop.service".into()),
            complete: true,
            ..ProcessFacts::default()
        };
        facts.merge(&later);
        assert_eq!(facts.arguments, ["python3", "gunicorn", "shop.wsgi"]);
        assert_eq!((facts.parent, facts.start_time, facts.since, facts.complete), (1, Some(99), 77, true));
        assert_eq!(facts.executable.as_deref(), Some("/usr/bin/python3.11"));
    }

    #[test]
    fn proc_completes_arguments_that_the_event_had_to_cut() {
        let block = format!("java\0-cp\0{}", "x".repeat(EXEC_ARGUMENTS - 9));
        let mut facts = ProcessFacts::from_exec(&exec("java"), block.as_bytes(), b"");
        assert!(facts.arguments_cut);
        let later = ProcessFacts {
            arguments: vec!["java".into(), "-cp".into(), "x".into(), "Main".into()],
            complete: true,
            ..ProcessFacts::default()
        };
        facts.merge(&later);
        assert_eq!(facts.arguments.len(), 4);
        assert!(!facts.arguments_cut);
    }

    #[test]
    fn facts_survive_json() {
        let facts = ProcessFacts::from_exec(&exec("a"), b"a\0b\0", b"OTEL_SERVICE_NAME=s\0");
        let json = serde_json::to_string(&facts).unwrap();
        assert_eq!(
            json,
            r#"{"pid":42,"parent":7,"since":77,"name":"a","arguments":["a","b"],"environment":{"OTEL_SERVICE_NAME":"s"}}"#
        );
        assert_eq!(serde_json::from_str::<ProcessFacts>(&json).unwrap(), facts);
    }
}
