//! Executables: their names, and those of them that run something for somebody else.

use super::python::{self, specification};
use super::{Command, Runtime, operands, script};
use crate::identity::ProcessFacts;

/// The file name of the executable, as well as it is known: `/proc/PID/exe`, else `argv[0]`, else `comm`.
pub(super) fn executable(facts: &ProcessFacts) -> String {
    if let Some(path) = &facts.executable {
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        let file = path.rsplit('/').next().unwrap_or(path);
        let file = file.strip_prefix("memfd:").unwrap_or(file);
        if !file.is_empty() {
            return unwrapped(file).to_owned();
        }
    }
    let called = facts.arguments.first().map(|argument| {
        // A login shell is `-bash`, a title `nginx: worker process`.
        let first = argument.split(": ").next().unwrap_or(argument);
        let file = first.rsplit('/').next().unwrap_or(first);
        file.strip_prefix('-').unwrap_or(file).split(' ').next().unwrap_or(file)
    });
    match called {
        Some(called) if !called.is_empty() => unwrapped(called).to_owned(),
        _ => facts.name.clone(),
    }
}

/// Nix keeps the real executable of a wrapped program beside it, as `.name-wrapped`.
fn unwrapped(file: &str) -> &str {
    file.strip_prefix('.').and_then(|file| file.strip_suffix("-wrapped")).unwrap_or(file)
}

/// The name under which an executable with many faces was called, and the arguments behind that name.
pub(super) fn applet<'a>(executable: &'a str, arguments: &'a [String]) -> (&'a str, &'a [String]) {
    let file = |argument: &'a String| {
        let file = argument.rsplit('/').next().unwrap_or(argument);
        file.strip_prefix('-').unwrap_or(file)
    };
    let behind = arguments.get(1..).unwrap_or_default();
    match executable {
        // A box of applets: by its name, or as its first argument.
        "busybox" | "toybox" | "coreutils" | "busybox.static" => {
            match (arguments.first().map(file), behind.first()) {
                (Some(called), _) if called != executable && !called.is_empty() => (called, behind),
                (Some(_), Some(applet)) => (applet, &behind[1..]),
                _ => (executable, behind),
            }
        }
        // What only starts another: the dynamic linker, and the emulators of foreign architectures.
        _ if executable.starts_with("ld-linux")
            || executable.starts_with("ld-musl")
            || executable.starts_with("qemu-") =>
        {
            match behind.iter().position(|argument| !argument.starts_with('-')) {
                // A whole machine (qemu-system-x86_64) is no such thing.
                Some(at) if !executable.starts_with("qemu-system") => (file(&behind[at]), &behind[at + 1..]),
                _ => (executable, behind),
            }
        }
        _ => (executable, behind),
    }
}

/// What a native program says it runs.
pub(super) fn application(executable: &str, command: &Command<'_>) -> Option<String> {
    match executable {
        "uwsgi" => {
            let module = operands::value(command.arguments, "--module", Some("-w"))
                .or_else(|| operands::value(command.arguments, "--wsgi", None))
                .or_else(|| operands::value(command.arguments, "--wsgi-file", None))
                .or_else(|| operands::value(command.arguments, "--file", None));
            let module = module.map(|module| specification(module, command.directory));
            module.or_else(|| {
                let ini = operands::value(command.arguments, "--ini", None).or_else(|| {
                    command.arguments.iter().map(String::as_str).find(|file| file.ends_with(".ini"))
                })?;
                let name = ini.rsplit('/').next().unwrap_or(ini).strip_suffix(".ini")?;
                (name != "uwsgi" && !name.is_empty()).then(|| name.to_owned())
            })
        }
        // Scripts of which only `argv[0]` is known, because `/proc` could not be read in time.
        _ => python::server(executable, command.arguments, command.directory),
    }
}

/// The title of one word that an interpreted program gave itself (`process.title = 'shop'`).
pub(super) fn own_title(arguments: &[String], called: &str) -> Option<String> {
    let [only] = arguments else { return None };
    let file = only.rsplit('/').next().unwrap_or(only).trim_end_matches(':');
    let file = file.strip_prefix('-').unwrap_or(file);
    // `python`, `/opt/venv/bin/python3` and a login shell's `-bash` are only other names of the interpreter.
    let interpreter = Runtime::of(file).is_some() || file == called || file.is_empty();
    (!interpreter).then(|| script::stem(file).to_owned())
}

/// The name of a program that is none of the above.
pub(super) fn name(path: &Option<String>, called: &str, directory: Option<&str>) -> String {
    // Delve's debug builds of a project's main package.
    if called.starts_with("__debug_bin") {
        return directory.and_then(script::folder).unwrap_or("go").to_owned();
    }
    let path = path.as_deref().unwrap_or_default();
    let temporary = path.contains("/go-build");
    if script::is_ambiguous(called) && !called.is_empty() {
        // `go run .` builds below /tmp, in folders that say nothing; the project is where it was called.
        let folders = if temporary { directory } else { path.rsplit_once('/').map(|(folders, _)| folders) };
        return folders.and_then(script::folder).unwrap_or(called).to_owned();
    }
    called.to_owned()
}
