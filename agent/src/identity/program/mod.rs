//! What a process runs: the script of an interpreter, the application of a server, or just an executable.
//!
//! The rules, in the words of an operator who looks for a program in a list of services:
//!
//! - A script is called what its file is called: `python3 /srv/x/app.py` is `app`, `node server.js` is `server`,
//!   `java -jar foo-1.2.jar` is `foo`, `dotnet Shop.Api.dll` is `Shop.Api`.
//! - A file name that every project has says nothing (`index.js`, `main.py`, `manage.py`, …): then it is the folder
//!   that counts, the nearest one whose name says something: `/srv/shop/src/index.js` is `shop`. Where there is none
//!   (`/app/main.py`), it stays `main`. `app` and `server` are taken as they are.
//! - A module is called what it is called: `python3 -m pkg.mod` is `pkg.mod`; a Java class by its simple name:
//!   `com.acme.OrderService` is `OrderService`, but `com.acme.shop.Main` is `shop`.
//! - A server that runs an application is called like the application: `gunicorn shop.wsgi`, `uvicorn shop.main:app`
//!   and `celery -A shop worker` are all `shop`. `OTEL_SERVICE_NAME` tells them apart where that is wanted.
//! - Everything else is called like its executable, whatever title it gives itself: `nginx: worker process` is
//!   `nginx`. Interpreters lose their version: `python3.11` without a script is `python`.

mod java;
mod native;
mod operands;
mod others;
mod python;
mod script;
mod title;

use super::ProcessFacts;
use super::facts::is_title;

/// What a process runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// What an operator would call it; empty if nothing at all is known.
    pub name: String,
    /// The name comes from a script or an application, not from the executable.
    pub is_script: bool,
    /// File name of the executable, without ` (deleted)`.
    pub executable: String,
    /// The language runtime, where the executable is one.
    pub runtime: Option<Runtime>,
    /// `service.name` by the runtime's own means (`-Dotel.service.name`).
    pub declared_name: Option<String>,
    /// Resource attributes by the runtime's own means (`-Dotel.resource.attributes`).
    pub declared_attributes: Option<String>,
    /// It is a worker that its parent started to share its work: the parent's name is its name.
    pub works_for_parent: bool,
}

/// Language runtimes that are known by their executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// CPython.
    Python,
    /// PyPy.
    PyPy,
    /// Node.js.
    Node,
    /// Deno.
    Deno,
    /// Bun.
    Bun,
    /// A Java virtual machine.
    Java,
    /// Ruby.
    Ruby,
    /// PHP's command line, or its built-in server.
    Php,
    /// PHP's FastCGI process manager.
    PhpFpm,
    /// Perl.
    Perl,
    /// .NET.
    Dotnet,
    /// Erlang and Elixir.
    Beam,
    /// Lua.
    Lua,
    /// R.
    R,
    /// A shell.
    Shell,
}

impl Runtime {
    /// `process.runtime.name`, where the conventions give one value to all programs of the runtime.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Runtime::Python => "cpython",
            Runtime::PyPy => "pypy",
            Runtime::Node => "nodejs",
            Runtime::Deno => "deno",
            Runtime::Bun => "bun",
            Runtime::Ruby => "ruby",
            Runtime::Php => "cli",
            Runtime::PhpFpm => "fpm-fcgi",
            Runtime::Dotnet => ".NET",
            Runtime::Beam => "BEAM",
            // A JVM's is its vendor's (`OpenJDK Runtime Environment`); the others have none.
            Runtime::Java | Runtime::Perl | Runtime::Lua | Runtime::R | Runtime::Shell => return None,
        })
    }

    /// The language, as `telemetry.sdk.language` spells it.
    #[must_use]
    pub fn language(self) -> &'static str {
        match self {
            Runtime::Python | Runtime::PyPy => "python",
            Runtime::Node | Runtime::Deno | Runtime::Bun => "nodejs",
            Runtime::Java => "java",
            Runtime::Ruby => "ruby",
            Runtime::Php | Runtime::PhpFpm => "php",
            Runtime::Perl => "perl",
            Runtime::Dotnet => "dotnet",
            Runtime::Beam => "erlang",
            Runtime::Lua => "lua",
            Runtime::R => "r",
            Runtime::Shell => "shell",
        }
    }

    /// The runtime whose executable has this name, versions included (`python3.11`, `php-fpm8.2`).
    fn of(executable: &str) -> Option<Self> {
        Some(match without_version(executable) {
            "python" | "python-dbg" => Runtime::Python,
            "pypy" => Runtime::PyPy,
            "node" | "nodejs" => Runtime::Node,
            "deno" => Runtime::Deno,
            "bun" => Runtime::Bun,
            "java" => Runtime::Java,
            "ruby" | "truffleruby" => Runtime::Ruby,
            "php" | "php-cgi" => Runtime::Php,
            "php-fpm" => Runtime::PhpFpm,
            "perl" => Runtime::Perl,
            "dotnet" => Runtime::Dotnet,
            "beam.smp" | "beam" => Runtime::Beam,
            "lua" | "luajit" => Runtime::Lua,
            "R" | "Rscript" => Runtime::R,
            "sh" | "bash" | "dash" | "ash" | "zsh" | "ksh" | "mksh" | "fish" => Runtime::Shell,
            _ => return None,
        })
    }
}

/// `python3.11` without its version. Names that are nothing else (`7z`, `389`) stay.
fn without_version(executable: &str) -> &str {
    let trimmed = executable.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    if trimmed.is_empty() { executable } else { trimmed }
}

/// What stands behind an interpreter's name.
struct Command<'a> {
    /// The arguments behind `argv[0]`.
    arguments: &'a [String],
    /// Where relative paths begin.
    directory: Option<&'a str>,
}

/// Tells what a process runs.
#[must_use]
pub fn of(facts: &ProcessFacts) -> Program {
    let executable = native::executable(facts);
    let directory = facts.working_directory.as_deref();
    let mut program = Program { executable: executable.clone(), ..Program::default() };
    let (called, arguments) = native::applet(&executable, &facts.arguments);
    program.runtime = Runtime::of(called);
    let command = Command { arguments, directory };
    let script = if is_title(&facts.arguments) {
        title::application(&facts.arguments[0], called, &command)
    } else if let Some(runtime) = program.runtime {
        application(runtime, &command, &mut program).or_else(|| native::own_title(&facts.arguments, called))
    } else {
        native::application(called, &command)
    };
    program.is_script = script.is_some();
    program.name = match script {
        Some(script) => script,
        None if program.runtime.is_some() => without_version(called).to_owned(),
        None => native::name(&facts.executable, called, directory),
    };
    program
}

fn application(runtime: Runtime, command: &Command<'_>, program: &mut Program) -> Option<String> {
    match runtime {
        Runtime::Python | Runtime::PyPy => {
            program.works_for_parent = command.arguments.iter().any(|a| a == "--multiprocessing-fork");
            python::application(command)
        }
        Runtime::Java => java::application(command, program),
        Runtime::Node => others::node(command),
        Runtime::Deno | Runtime::Bun => others::deno_and_bun(command),
        Runtime::Ruby => others::ruby(command),
        Runtime::Php => others::php(command),
        Runtime::PhpFpm => None,
        Runtime::Perl => others::perl(command),
        Runtime::Dotnet => others::dotnet(command),
        Runtime::Beam => others::beam(command),
        Runtime::Lua => others::lua(command),
        Runtime::R => others::r(command),
        Runtime::Shell => others::shell(command),
    }
}

#[cfg(test)]
mod tests;
