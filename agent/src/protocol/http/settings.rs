//! What a user can set about HTTP.

use serde::{Deserialize, Serialize};

use super::{METHODS, is_token, redact, route};

/// Settings of HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Path patterns, the first match wins: `/users/{id}/orders/*`. `{name}` is one segment, `*` in the
    /// middle too, `*` at the end is all the rest. The pattern that matches becomes `http.route` of servers
    /// and `url.template` of clients; servers' paths that none matches get a route by heuristics.
    pub routes: Vec<String>,
    /// Query parameters whose values are replaced by `REDACTED`, in any case. Replaces the default list.
    pub redact_query_keys: Vec<String>,
    /// Methods that are told as they are; others are `_OTHER`. Replaces the default list.
    pub known_methods: Vec<String>,
    /// Requests that may wait for their responses on one connection.
    pub max_in_flight: usize,
    /// Milliseconds of silence after which a response whose end cannot be seen is taken to be over.
    pub silence_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            redact_query_keys: redact::DEFAULT_KEYS.iter().map(|&key| key.to_owned()).collect(),
            known_methods: METHODS.iter().map(|&method| method.to_owned()).collect(),
            max_in_flight: 65_536,
            silence_ms: 1000,
        }
    }
}

/// What is wrong with [`Settings`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A pattern that cannot be used.
    #[error("routes: {0}")]
    Route(#[from] route::PatternError),
    /// A method that is no token.
    #[error("known_methods: {0:?} is not an HTTP method")]
    Method(String),
    /// A query key that can match nothing.
    #[error("redact_query_keys: an empty key matches nothing")]
    EmptyKey,
    /// A limit that would keep nothing.
    #[error("{0}: must be at least 1")]
    Zero(&'static str),
}

impl Settings {
    /// Checks what the types cannot.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used.
    pub fn validate(&self) -> Result<(), SettingsError> {
        route::Router::new(&self.routes)?;
        for method in &self.known_methods {
            if method.is_empty() || !method.bytes().all(is_token) {
                return Err(SettingsError::Method(method.clone()));
            }
        }
        if self.redact_query_keys.iter().any(String::is_empty) {
            return Err(SettingsError::EmptyKey);
        }
        if self.max_in_flight == 0 {
            return Err(SettingsError::Zero("max_in_flight"));
        }
        if self.silence_ms == 0 {
            return Err(SettingsError::Zero("silence_ms"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What cannot be used is said clearly.
    #[test]
    fn validates() {
        assert_eq!(Settings::default().validate(), Ok(()));
        let with = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.validate().map_err(|error| error.to_string())
        };
        assert_eq!(with(|s| s.routes = vec!["/users/{id}/orders/*".into()]), Ok(()));
        assert_eq!(
            with(|s| s.routes = vec!["/ok".into(), "users".into()]),
            Err("routes: pattern \"users\" does not begin with `/`".into())
        );
        assert_eq!(
            with(|s| s.known_methods = vec!["GET IT".into()]),
            Err("known_methods: \"GET IT\" is not an HTTP method".into())
        );
        assert_eq!(
            with(|s| s.redact_query_keys = vec![String::new()]),
            Err("redact_query_keys: an empty key matches nothing".into())
        );
        assert_eq!(with(|s| s.max_in_flight = 0), Err("max_in_flight: must be at least 1".into()));
        assert_eq!(with(|s| s.silence_ms = 0), Err("silence_ms: must be at least 1".into()));
    }

    /// Unknown keys are refused, missing ones have their defaults.
    #[test]
    fn deserializes() {
        let settings: Settings = serde_json::from_str(r#"{"routes": ["/a/{b}"]}"#).unwrap();
        assert_eq!(settings, Settings { routes: vec!["/a/{b}".into()], ..Settings::default() });
        assert!(serde_json::from_str::<Settings>(r#"{"route": []}"#).is_err());
    }
}
