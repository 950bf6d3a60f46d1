//! What can be wrong with a configuration: each is one sentence that says where, what, and what to do.

use std::path::PathBuf;

/// A configuration that the agent cannot work with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "the configuration file {path:?} cannot be read ({reason}): correct --config, or the file's permissions"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The file is no YAML, has a key that does not exist, or a value of another type.
    #[error("{place}: {reason}: correct the key or its value, or leave it out to have the default")]
    Yaml {
        /// The file, and the line if it is known.
        place: String,
        /// What the parser said.
        reason: String,
    },
    /// A number is out of its range.
    #[error(
        "{place} is {value}, but must be from {least} to {most}{unit}: choose a value in that range{otherwise}"
    )]
    Range {
        /// Where it was set: file, line and key; variable; or flag.
        place: String,
        /// What it was set to.
        value: u64,
        /// The least value.
        least: u64,
        /// The greatest value.
        most: u64,
        /// What it counts, with a blank before it.
        unit: &'static str,
        /// What else may be done, with a comma before it.
        otherwise: &'static str,
    },
    /// An environment variable has a value that cannot be read.
    #[error("{variable} is {value:?}, but must be {expected}: correct or unset it")]
    Variable {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: String,
    },
    /// A section's own check failed.
    #[error("{place}: {reason}: correct it, or leave it out to have the default")]
    Section {
        /// Where: file, line and section.
        place: String,
        /// What the check said.
        reason: String,
    },
    /// The exporters' settings cannot be used.
    #[error(transparent)]
    Export(#[from] remora_exporters::ConfigError),
}

impl ConfigError {
    /// Takes the place out of the parser's message and puts it in front.
    pub(super) fn yaml(name: &str, error: &serde_norway::Error) -> Self {
        let message = error.to_string();
        let (reason, place) = match error.location() {
            Some(at) => {
                let position = format!(" at line {} column {}", at.line(), at.column());
                (message.replacen(&position, "", 1), format!("{name}, line {}", at.line()))
            }
            None => (message, name.to_owned()),
        };
        // The names of Rust's types are no words of the user's.
        let reason = match reason.split_once("expected struct ") {
            Some((before, _)) => format!("{before}expected a mapping of keys to values"),
            None => reason,
        };
        let reason = ["usize", "u32", "u64"].iter().fold(reason, |reason, number| {
            reason.replace(&format!("expected {number}"), "expected a whole number of at least 0")
        });
        Self::Yaml { place, reason }
    }
}
