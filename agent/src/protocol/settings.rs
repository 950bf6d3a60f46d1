//! What users may say of protocols.

use serde::{Deserialize, Serialize};

/// What is said of protocols in general; HTTP has a section of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Protocols that are not looked for, by their names (`redis`, `kafka`, …).
    pub disabled: Vec<String>,
    /// Databases.
    pub database: Database,
    /// Read a bounded part of HTTP bodies for what they say of the call (GraphQL, JSON-RPC, SOAP, generative AI). Nothing of
    /// a body is kept. Off.
    pub http_bodies: bool,
    /// Tell request and response times on connections of unknown protocols as spans, too, not in metrics only. Off.
    pub network_spans: bool,
}

/// What is told of databases' statements and commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// Their texts.
    pub statements: Statements,
}

/// How much of a statement's text is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Statements {
    /// With every literal and argument replaced by `?`.
    #[default]
    Redacted,
    /// As it was sent.
    Raw,
    /// Not at all.
    Off,
}
