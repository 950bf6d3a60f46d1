//! Settings of the identity stage.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The `identity` section of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Processes whose identity is kept, at most. 256 to 1,048,576; a process takes about 2 KiB, 16 KiB at the most.
    pub max_processes: usize,
    /// Seconds for which an ended process is remembered, so that what it did last still gets its name. 1 to 3,600.
    pub keep_exited_seconds: u64,
    /// Send `process.command_args`. Off by default: arguments may hold secrets, and what looks like one is redacted
    /// but not every secret looks like one.
    pub command_args: bool,
    /// Resource attributes for every service on this host, such as `deployment.environment.name`. They do not
    /// replace what a process says of itself.
    pub resource_attributes: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_processes: 16_384,
            keep_exited_seconds: 60,
            command_args: false,
            resource_attributes: BTreeMap::new(),
        }
    }
}

/// A setting that is out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("identity.{key} is {value}, but must be {expected}")]
pub struct SettingsError {
    /// The key below `identity`.
    pub key: String,
    /// What it was set to.
    pub value: String,
    /// What it may be.
    pub expected: &'static str,
}

impl Settings {
    /// Checks the ranges.
    ///
    /// # Errors
    /// The first setting that is out of its range.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let bad =
            |key: &str, value: String, expected| Err(SettingsError { key: key.to_owned(), value, expected });
        if !(256..=1 << 20).contains(&self.max_processes) {
            return bad("max_processes", self.max_processes.to_string(), "from 256 to 1048576");
        }
        if !(1..=3600).contains(&self.keep_exited_seconds) {
            return bad(
                "keep_exited_seconds",
                self.keep_exited_seconds.to_string(),
                "from 1 to 3600 seconds",
            );
        }
        if let Some(key) = self.resource_attributes.keys().find(|key| !is_host_wide(key)) {
            let key = format!("resource_attributes.{key}");
            return bad(&key, "set".to_owned(), "left out: it differs from process to process");
        }
        Ok(())
    }
}

/// Whether an attribute may hold for every service of a host.
pub(super) fn is_host_wide(key: &str) -> bool {
    let of_one_process = ["service.name", "service.instance.id", "service.version"].contains(&key)
        || ["process.", "container.", "telemetry.", "k8s.pod.", "k8s.container."]
            .iter()
            .any(|p| key.starts_with(p));
    !key.is_empty() && !of_one_process
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_checked() {
        assert_eq!(Settings::default().validate(), Ok(()));
        let say = |settings: Settings| settings.validate().unwrap_err().to_string();
        assert_eq!(
            say(Settings { max_processes: 10, ..Settings::default() }),
            "identity.max_processes is 10, but must be from 256 to 1048576"
        );
        assert_eq!(
            say(Settings { keep_exited_seconds: 0, ..Settings::default() }),
            "identity.keep_exited_seconds is 0, but must be from 1 to 3600 seconds"
        );
        let resource_attributes = BTreeMap::from([("service.name".to_owned(), "x".to_owned())]);
        assert_eq!(
            say(Settings { resource_attributes, ..Settings::default() }),
            "identity.resource_attributes.service.name is set, but must be left out: it differs from process to process"
        );
    }
}
