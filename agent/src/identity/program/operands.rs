//! Finds the first operand of a command line: what is left once the options are taken off.

use crate::identity::redact::REDACTED;

/// How an interpreter reads its options.
#[derive(Clone, Copy, Default)]
pub(super) struct Syntax {
    /// Letters that are followed by the text of a program: there is no script.
    pub inline: &'static str,
    /// Letters with a value: the rest of the argument or, if there is none, the next one.
    pub valued: &'static str,
    /// Letters that take the rest of the argument as their value, even if it is empty.
    pub attached: &'static str,
    /// Letters whose value is the script.
    pub script: &'static str,
    /// Letters whose value is a module.
    pub module: &'static str,
    /// Long options (with their dashes) whose value is the next argument, unless it stands behind `=`.
    pub long_valued: &'static [&'static str],
    /// Long options that are followed by the text of a program.
    pub long_inline: &'static [&'static str],
}

/// What an interpreter was asked to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand<'a> {
    /// A file.
    Script(&'a str),
    /// A module, by name.
    Module(&'a str),
}

/// The first operand, and the arguments behind it; `None` if there is none, or if the program is inline or comes from
/// standard input.
pub(super) fn first<'a>(arguments: &'a [String], syntax: &Syntax) -> Option<(Operand<'a>, &'a [String])> {
    let mut at = 0;
    while let Some(argument) = arguments.get(at) {
        at += 1;
        if argument == "--" {
            return script(arguments.get(at)?, &arguments[at + 1..]);
        }
        if let Some(long) = argument.strip_prefix("--") {
            if syntax.long_inline.contains(&argument.split('=').next().unwrap_or(argument)) {
                return None;
            }
            if !long.contains('=') && syntax.long_valued.contains(&argument.as_str()) {
                at += 1;
            }
            continue;
        }
        let Some(letters) = argument.strip_prefix('-') else {
            return script(argument, &arguments[at..]);
        };
        if letters.is_empty() {
            return None;
        }
        for (index, letter) in letters.char_indices() {
            let rest = &letters[index + letter.len_utf8()..];
            if syntax.inline.contains(letter) {
                return None;
            }
            if syntax.script.contains(letter) || syntax.module.contains(letter) {
                let value = if rest.is_empty() { arguments.get(at)?.as_str() } else { rest };
                at += usize::from(rest.is_empty());
                if syntax.script.contains(letter) {
                    return script(value, &arguments[at..]);
                }
                return (value != REDACTED).then_some((Operand::Module(value), &arguments[at..]));
            }
            if syntax.valued.contains(letter) {
                at += usize::from(rest.is_empty());
                break;
            }
            if syntax.attached.contains(letter) {
                break;
            }
        }
    }
    None
}

fn script<'a>(path: &'a str, rest: &'a [String]) -> Option<(Operand<'a>, &'a [String])> {
    // From standard input or another descriptor, a script has no name.
    let descriptor =
        path == "-" || ["/dev/fd/", "/dev/stdin", "/proc/self/fd/"].iter().any(|d| path.starts_with(d));
    let says_something = !path.is_empty() && !descriptor && path != REDACTED;
    says_something.then_some((Operand::Script(path), rest))
}

/// The value of an option that is given as `--long value`, `--long=value`, `-s value` or `-svalue`.
pub(super) fn value<'a>(arguments: &'a [String], long: &str, short: Option<&str>) -> Option<&'a str> {
    for (index, argument) in arguments.iter().enumerate() {
        if let Some(rest) = argument.strip_prefix(long) {
            if let Some(value) = rest.strip_prefix('=') {
                return Some(value);
            }
            if rest.is_empty() {
                return arguments.get(index + 1).map(String::as_str);
            }
        }
        if let Some(short) = short
            && !argument.starts_with("--")
            && let Some(rest) = argument.strip_prefix(short)
        {
            return if rest.is_empty() { arguments.get(index + 1).map(String::as_str) } else { Some(rest) };
        }
    }
    None
}
