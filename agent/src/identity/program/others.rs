//! Node.js, Deno, Bun, Ruby, PHP, Perl, .NET, Erlang, Lua, R and the shells.

use super::operands::{self, Operand, Syntax};
use super::{Command, script};

fn scripted(command: &Command<'_>, syntax: &Syntax) -> Option<String> {
    let (path, _) = operand(command, syntax)?;
    Some(script::name(path, command.directory))
}

fn operand<'a>(command: &Command<'a>, syntax: &Syntax) -> Option<(&'a str, &'a [String])> {
    let (Operand::Script(path) | Operand::Module(path), rest) = operands::first(command.arguments, syntax)?;
    Some((path, rest))
}

fn file(path: &str) -> &str {
    script::stem(path.rsplit('/').next().unwrap_or(path))
}

/// The folder in which a program was started, for tools that serve the project in it.
fn project(command: &Command<'_>) -> Option<String> {
    script::folder(command.directory?).map(str::to_owned)
}

pub(super) fn node(command: &Command<'_>) -> Option<String> {
    const SYNTAX: Syntax = Syntax {
        inline: "ep",
        valued: "rC",
        attached: "",
        script: "",
        module: "",
        long_valued: &[
            "--require",
            "--import",
            "--loader",
            "--experimental-loader",
            "--conditions",
            "--title",
            "--input-type",
            "--icu-data-dir",
            "--openssl-config",
            "--redirect-warnings",
            "--diagnostic-dir",
            "--max-http-header-size",
            "--watch-path",
            "--unhandled-rejections",
            "--dns-result-order",
        ],
        long_inline: &["--eval", "--print", "--run"],
    };
    let (path, rest) = operand(command, &SYNTAX)?;
    // Tools that run a script of the project, whose own name says nothing.
    if ["ts-node", "tsx", "nodemon", "ts-node-dev", "babel-node"].contains(&file(path))
        && let Some((path, _)) = operand(&Command { arguments: rest, ..*command }, &SYNTAX)
    {
        return Some(script::name(path, command.directory));
    }
    Some(script::name(path, command.directory))
}

pub(super) fn deno_and_bun(command: &Command<'_>) -> Option<String> {
    const SYNTAX: Syntax = Syntax {
        inline: "ep",
        valued: "crL",
        attached: "A",
        script: "",
        module: "",
        long_valued: &["--config", "--import-map", "--location", "--seed", "--preload", "--cwd", "--cert"],
        long_inline: &["--eval", "--print"],
    };
    let (first, rest) = operand(command, &SYNTAX)?;
    if !["run", "serve", "x", "dev", "start"].contains(&first) {
        return Some(script::name(first, command.directory));
    }
    match operand(&Command { arguments: rest, ..*command }, &SYNTAX) {
        // `bun run start` is a script of the project in the folder.
        Some((path, _)) if path.contains(['.', '/']) => Some(script::name(path, command.directory)),
        _ => project(command),
    }
}

pub(super) fn ruby(command: &Command<'_>) -> Option<String> {
    const SYNTAX: Syntax = Syntax {
        inline: "e",
        valued: "CEIr",
        attached: "FKTWilx0",
        script: "",
        module: "",
        long_valued: &["--encoding", "--external-encoding", "--internal-encoding"],
        long_inline: &[],
    };
    let (path, _) = operand(command, &SYNTAX)?;
    let servers = [
        "rails",
        "puma",
        "unicorn",
        "unicorn_rails",
        "thin",
        "rackup",
        "sidekiq",
        "bundle",
        "rake",
        "spring",
    ];
    if servers.contains(&file(path)) {
        // `/srv/shop/bin/rails` is the project's own; `/usr/local/bin/puma` is not.
        let own = path.strip_suffix(&format!("/bin/{}", file(path))).filter(|_| file(path) == "rails");
        return own
            .and_then(script::folder)
            .map(str::to_owned)
            .or_else(|| project(command))
            .or(Some(file(path).into()));
    }
    Some(script::name(path, command.directory))
}

pub(super) fn php(command: &Command<'_>) -> Option<String> {
    const SYNTAX: Syntax = Syntax {
        inline: "rBRE",
        valued: "cdzSt",
        attached: "",
        script: "fF",
        module: "",
        long_valued: &["--define", "--php-ini", "--server", "--docroot", "--zend-extension"],
        long_inline: &["--run"],
    };
    if let Some((path, _)) = operand(command, &SYNTAX) {
        return Some(script::name(path, command.directory));
    }
    // The built-in server of a folder.
    operands::value(command.arguments, "--server", Some("-S"))?;
    let root =
        operands::value(command.arguments, "--docroot", Some("-t")).filter(|root| root.starts_with('/'));
    root.and_then(script::folder).map(str::to_owned).or_else(|| project(command))
}

pub(super) fn perl(command: &Command<'_>) -> Option<String> {
    const SYNTAX: Syntax = Syntax {
        inline: "eE",
        valued: "I",
        attached: "CDFMVdilmx0",
        script: "",
        module: "",
        long_valued: &[],
        long_inline: &[],
    };
    let (path, rest) = operand(command, &SYNTAX)?;
    if ["plackup", "starman", "starlet", "twiggy", "hypnotoad", "morbo"].contains(&file(path)) {
        let application =
            rest.iter().find(|argument| argument.ends_with(".psgi") || argument.ends_with(".pl"));
        return match application {
            Some(application) => Some(script::name(application, command.directory)),
            None => project(command).or_else(|| Some(file(path).to_owned())),
        };
    }
    Some(script::name(path, command.directory))
}

pub(super) fn shell(command: &Command<'_>) -> Option<String> {
    const SYNTAX: Syntax = Syntax {
        inline: "cs",
        valued: "oO",
        attached: "",
        script: "",
        module: "",
        long_valued: &["--rcfile", "--init-file"],
        long_inline: &[],
    };
    scripted(command, &SYNTAX)
}

pub(super) fn lua(command: &Command<'_>) -> Option<String> {
    const SYNTAX: Syntax = Syntax { inline: "e", valued: "l", attached: "jO", ..EMPTY };
    scripted(command, &SYNTAX)
}

const EMPTY: Syntax = Syntax {
    inline: "",
    valued: "",
    attached: "",
    script: "",
    module: "",
    long_valued: &[],
    long_inline: &[],
};

pub(super) fn r(command: &Command<'_>) -> Option<String> {
    // `Rscript app.R` becomes `R --no-echo --no-restore --file=app.R`.
    match operands::value(command.arguments, "--file", Some("-f")) {
        Some(path) => Some(script::name(path, command.directory)),
        None => scripted(command, &Syntax { inline: "e", ..EMPTY }),
    }
}

pub(super) fn dotnet(command: &Command<'_>) -> Option<String> {
    const SYNTAX: Syntax = Syntax {
        // `-p PROJECT` of `dotnet run`.
        valued: "p",
        long_valued: &[
            "--additionalprobingpath",
            "--additional-deps",
            "--depsfile",
            "--runtimeconfig",
            "--fx-version",
            "--roll-forward",
            "--project",
        ],
        ..EMPTY
    };
    let (first, rest) = operand(command, &SYNTAX)?;
    match first {
        "exec" => {
            let (path, _) = operand(&Command { arguments: rest, ..*command }, &SYNTAX)?;
            Some(file(path).to_owned())
        }
        "run" | "watch" => match operands::value(rest, "--project", Some("-p")) {
            Some(path) => {
                let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
                Some(name.strip_suffix(".csproj").or(name.strip_suffix(".fsproj")).unwrap_or(name).to_owned())
            }
            None => project(command),
        },
        path if path.ends_with(".dll") || path.ends_with(".exe") => Some(file(path).to_owned()),
        // The SDK's own commands: build, test, nuget, ….
        _ => None,
    }
}

pub(super) fn beam(command: &Command<'_>) -> Option<String> {
    let node = operands::value(command.arguments, "-sname", None)
        .or_else(|| operands::value(command.arguments, "-name", None))?
        .split('@')
        .next()?;
    match node {
        "" => None,
        "rabbit" => Some("rabbitmq".to_owned()),
        node => Some(node.to_owned()),
    }
}
