//! Generative AI: OpenAI's API and those that copy it, and Anthropic's. By OpenTelemetry's conventions for generative AI
//! (in development). Neither prompts nor completions are read beyond what surrounds them, and none are kept.

use super::super::Attributes;
use super::json::{Path, Scalar};
use super::{Head, name};
use crate::protocol::{Instrument, Reading, Role, Value};

/// A call of a model.
#[derive(Clone, Debug)]
pub(super) struct Call {
    provider: &'static str,
    operation: &'static str,
    model: Option<Box<str>>,
    stream: Option<bool>,
    max_tokens: Option<i64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    response_model: Option<Box<str>>,
    response_id: Option<Box<str>>,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    finish_reasons: Vec<Box<str>>,
    error: Option<Box<str>>,
}

/// Reasons that are told, one a choice.
const MOST_REASONS: usize = 8;

impl Call {
    /// By the end of the path, as the APIs and their proxies have it.
    pub fn of(head: &Head<'_>, path: &str) -> Option<Self> {
        let ends = [
            ("/chat/completions", "chat"),
            ("/v1/responses", "chat"),
            ("/v1/messages", "chat"),
            ("/v1/completions", "text_completion"),
            ("/v1/complete", "text_completion"),
            ("/embeddings", "embeddings"),
        ];
        let (end, operation) = ends.into_iter().find(|(end, _)| path.ends_with(end))?;
        let anthropic = head.fields.anthropic.is_some() || matches!(end, "/v1/messages" | "/v1/complete");
        Some(Self {
            provider: if anthropic { "anthropic" } else { "openai" },
            operation,
            model: None,
            stream: None,
            max_tokens: None,
            temperature: None,
            top_p: None,
            response_model: None,
            response_id: None,
            input_tokens: None,
            output_tokens: None,
            finish_reasons: Vec::new(),
            error: None,
        })
    }

    /// A value of the request.
    pub fn asked(&mut self, path: &Path<'_>, value: Scalar<'_>) {
        match path.last_at(1) {
            Some(b"model") => self.model = value.text().map(|text| name(text.as_bytes())),
            Some(b"stream") => self.stream = Some(value == Scalar::Word(b"true")),
            Some(b"max_tokens" | b"max_completion_tokens" | b"max_output_tokens") => {
                self.max_tokens = value.integer();
            }
            Some(b"temperature") => self.temperature = value.number(),
            Some(b"top_p") => self.top_p = value.number(),
            _ => {}
        }
    }

    /// A value of the response, or of one of its events.
    pub fn answered(&mut self, path: &Path<'_>, value: Scalar<'_>) {
        // Events wrap the message: `message.usage`, `response.usage`.
        let outer = |level| {
            path.last_at(level).filter(|_| level == 1 || path.begins_with_any(&["message", "response"]))
        };
        match outer(1).or(outer(2)) {
            Some(b"model") => self.response_model = value.text().map(|text| name(text.as_bytes())),
            Some(b"id") if self.response_id.is_none() => {
                self.response_id = value.text().map(|text| name(text.as_bytes()));
            }
            Some(b"stop_reason") => self.finished(value),
            _ => {}
        }
        if path.is(&["choices", "[]", "finish_reason"]) || path.is(&["delta", "stop_reason"]) {
            self.finished(value);
        }
        if path.is(&["error", "type"]) || path.is(&["error", "code"]) && self.error.is_none() {
            self.error = value.text().map(|text| name(text.as_bytes()));
        }
        if path.holds("usage") {
            match path.last() {
                Some(b"prompt_tokens" | b"input_tokens") => {
                    self.input_tokens = value.integer().or(self.input_tokens)
                }
                Some(b"completion_tokens" | b"output_tokens") => {
                    self.output_tokens = value.integer().or(self.output_tokens);
                }
                _ => {}
            }
        }
    }

    fn finished(&mut self, value: Scalar<'_>) {
        if let Some(reason) = value.text()
            && self.finish_reasons.len() < MOST_REASONS
        {
            self.finish_reasons.push(name(reason.as_bytes()));
        }
    }

    /// `gen_ai.*`
    pub fn describe(&self, out: &mut Attributes) -> Option<String> {
        out.text("gen_ai.operation.name", self.operation);
        out.text("gen_ai.provider.name", self.provider);
        let texts = [
            ("gen_ai.request.model", &self.model),
            ("gen_ai.response.model", &self.response_model),
            ("gen_ai.response.id", &self.response_id),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                out.text(key, text.to_string());
            }
        }
        let numbers = [
            ("gen_ai.request.max_tokens", self.max_tokens),
            ("gen_ai.usage.input_tokens", self.input_tokens),
            ("gen_ai.usage.output_tokens", self.output_tokens),
        ];
        for (key, number) in numbers {
            if let Some(number) = number {
                out.integer(key, number);
            }
        }
        for (key, number) in
            [("gen_ai.request.temperature", self.temperature), ("gen_ai.request.top_p", self.top_p)]
        {
            if let Some(number) = number {
                out.0.push((key, Value::Float(number)));
            }
        }
        if let Some(stream) = self.stream {
            out.0.push(("gen_ai.request.stream", Value::Flag(stream)));
        }
        if !self.finish_reasons.is_empty() {
            let reasons = self.finish_reasons.iter().map(|reason| reason.to_string()).collect();
            out.0.push(("gen_ai.response.finish_reasons", Value::List(reasons)));
        }
        self.error.as_deref().map(str::to_owned)
    }
}

const KEYS: &[&str] = &[
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.response.model",
    "server.address",
    "server.port",
    "error.type",
];

/// Duration of a model's call.
pub(in crate::protocol::http) static DURATION: Instrument = Instrument {
    name: "gen_ai.client.operation.duration",
    unit: "s",
    description: "GenAI operation duration.",
    role: Some(Role::Client),
    reading: Reading::Duration,
    keys: KEYS,
};

/// Tokens that went in. The conventions have one instrument with `gen_ai.token.type`; ours are two, because one exchange
/// adds to each instrument once.
pub(in crate::protocol::http) static INPUT: Instrument = Instrument {
    name: "remora.gen_ai.client.input_tokens",
    unit: "{token}",
    description: "Tokens of requests to models.",
    role: Some(Role::Client),
    reading: Reading::Attribute("gen_ai.usage.input_tokens"),
    keys: KEYS,
};

/// Tokens that came out.
pub(in crate::protocol::http) static OUTPUT: Instrument = Instrument {
    name: "remora.gen_ai.client.output_tokens",
    unit: "{token}",
    description: "Tokens of models' responses.",
    role: Some(Role::Client),
    reading: Reading::Attribute("gen_ai.usage.output_tokens"),
    keys: KEYS,
};
