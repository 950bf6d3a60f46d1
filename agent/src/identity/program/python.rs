//! Python: scripts, modules, and the servers that run an application.

use super::operands::{self, Operand, Syntax};
use super::{Command, script};

/// `python3 -h`; of the letters, only those with something behind them.
const SYNTAX: Syntax = Syntax {
    inline: "c",
    valued: "WXQ",
    attached: "",
    script: "",
    module: "m",
    long_valued: &["--check-hash-based-pycs"],
    long_inline: &[],
};

/// Servers and workers whose operand is `package.module:attribute`.
const SERVERS: [&str; 10] = [
    "gunicorn",
    "uvicorn",
    "hypercorn",
    "daphne",
    "granian",
    "waitress-serve",
    "waitress",
    "dramatiq",
    "arq",
    "sanic",
];

/// Programs that run another script, which stands somewhere behind their own options.
const WRAPPERS: [&str; 8] =
    ["coverage", "debugpy", "pdb", "cProfile", "profile", "streamlit", "fastapi", "memray"];

pub(super) fn application(command: &Command<'_>) -> Option<String> {
    let (operand, rest) = operands::first(command.arguments, &SYNTAX)?;
    let (name, path) = match operand {
        Operand::Script(path) => (script::stem(path.rsplit('/').next().unwrap_or(path)), Some(path)),
        Operand::Module(module) => (module.strip_suffix(".__main__").unwrap_or(module), None),
    };
    if let Some(application) = server(name, rest, command.directory) {
        return Some(application);
    }
    Some(match path {
        Some(path) => script::name(path, command.directory),
        None => name.to_owned(),
    })
}

/// What `server`, called with `arguments`, runs; `None` if it is not a server that is known, or does not say.
pub(super) fn server(server: &str, arguments: &[String], directory: Option<&str>) -> Option<String> {
    if SERVERS.contains(&server) {
        let directory = operands::value(arguments, "--chdir", None)
            .or_else(|| operands::value(arguments, "--app-dir", None))
            .filter(|path| path.starts_with('/'))
            .or(directory);
        return Some(specification(operand(arguments)?, directory));
    }
    if WRAPPERS.contains(&server) {
        let path = arguments.iter().find(|argument| argument.ends_with(".py"))?;
        return Some(script::name(path, directory));
    }
    match server {
        "celery" | "flask" => match operands::value(arguments, "--app", Some("-A")) {
            Some(application) => Some(specification(application, directory)),
            None => script::folder(directory?).map(str::to_owned),
        },
        "rq" | "django-admin" => script::folder(directory?).map(str::to_owned),
        _ => None,
    }
}

/// The operand that names the application. Which options of so many servers have values is not known here, so: what
/// looks like `module:attribute`, else a dotted name that is not behind an option, else the last argument if it could
/// be a module, else a plain name that is not behind an option.
fn operand(arguments: &[String]) -> Option<&str> {
    let modules = || arguments.iter().enumerate().filter(|(_, argument)| is_module(argument));
    let free = |index: usize| {
        index == 0 || !arguments[index - 1].starts_with('-') || arguments[index - 1].contains('=')
    };
    modules()
        .find(|(_, argument)| argument.contains(':'))
        .or_else(|| modules().find(|(index, argument)| argument.contains('.') && free(*index)))
        .or_else(|| modules().next_back().filter(|(index, _)| index + 1 == arguments.len()))
        .or_else(|| modules().find(|(index, _)| free(*index)))
        .map(|(_, argument)| argument.as_str())
}

/// `shop.wsgi`, `shop.main:app`, `shop:create_app()`; not `0.0.0.0:80`, `localhost:80`, `unix:/run/x` or `-w`.
fn is_module(argument: &str) -> bool {
    if [".py", ".ini", ".conf", ".cfg", ".toml", ".json", ".yaml", ".yml"]
        .iter()
        .any(|end| argument.ends_with(end))
    {
        return false;
    }
    let dotted = |text: &str| {
        text.split('.').all(|part| {
            part.starts_with(|c: char| c.is_alphabetic() || c == '_')
                && part.chars().all(|c| c.is_alphanumeric() || c == '_')
        })
    };
    match argument.split_once(':') {
        Some((module, attribute)) => dotted(module) && dotted(attribute.split('(').next().unwrap_or("")),
        None => dotted(argument),
    }
}

/// The name of the application `package.module:attribute`, without the parts that every project has.
pub(super) fn specification(text: &str, directory: Option<&str>) -> String {
    let module = text.trim_matches(['\'', '"']).split(':').next().unwrap_or(text);
    if module.contains('/') || module.ends_with(".py") {
        return script::name(module, directory);
    }
    let mut parts: Vec<&str> = module.split('.').collect();
    while parts.len() > 1
        && parts.last().is_some_and(|last| {
            script::is_ambiguous(last) || ["app", "server", "celery", "factory", "api"].contains(last)
        })
    {
        parts.pop();
    }
    if let [only] = parts[..]
        && script::is_ambiguous(only)
        && let Some(folder) = directory.and_then(script::folder)
    {
        return folder.to_owned();
    }
    parts.join(".")
}
