//! Resource attributes, by the OpenTelemetry semantic conventions.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::{Uuid, uuid};

use super::service::Service;
use super::settings::is_host_wide;
use super::{Evidence, Host, Identity, ProcessFacts, Settings};
use crate::protocol::Value;

/// The namespace that the conventions give for `service.instance.id`s that are made of something else.
const INSTANCES: Uuid = uuid!("4d63009a-8d0f-11ee-aad7-4c796ed8e320");

/// The value of `telemetry.sdk.name` and `telemetry.distro.name`.
const NAME: &str = "remora";

/// `service.instance.id` of one life of a process: of the host, its id, and when it was created (or, where `/proc`
/// could not be read in time, when it began to run).
pub(super) fn instance(facts: &ProcessFacts, host: &Host) -> Arc<str> {
    let host = if host.id.is_empty() { &host.name } else { &host.id };
    let life = match facts.start_time {
        Some(ticks) => format!("{host}/{}/{ticks}", facts.pid),
        None => format!("{host}/{}/since {}", facts.pid, facts.since),
    };
    Uuid::new_v5(&INSTANCES, life.as_bytes()).to_string().into()
}

/// Makes the identity of a process. `parent` is the identity of the parent, of which a worker takes its name.
pub(super) fn identity(
    facts: &ProcessFacts,
    host: &Host,
    settings: &Settings,
    instance: Arc<str>,
    parent: Option<&Identity>,
) -> Identity {
    let mut service = Service::of(facts, host);
    if let Some(parent) = parent
        && service.evidence >= Evidence::Script
        && parent.evidence != Evidence::Nothing
    {
        service.name = parent.service_name.to_string();
        service.evidence = parent.evidence;
    }
    let mut attributes: BTreeMap<String, Value> = host.attributes().into_iter().collect();
    for (key, value) in &settings.resource_attributes {
        attributes.insert(key.clone(), text(value));
    }
    process(facts, &service, settings, &mut attributes);
    // What a process says of itself is better than what is found out about it, but for what is measured.
    for (key, value) in service.declared.iter().filter(|(key, value)| may_declare(key) && !value.is_empty()) {
        attributes.insert(key.clone(), text(value));
    }
    let instance = match attributes.get("service.instance.id") {
        Some(Value::Text(declared)) => declared.as_ref().into(),
        _ => instance,
    };
    attributes.insert("service.name".to_owned(), text(&service.name));
    attributes.insert("service.instance.id".to_owned(), text(&instance));
    if let Some(namespace) = &service.namespace {
        attributes.insert("service.namespace".to_owned(), text(namespace));
    }
    let compiled = facts.language.as_deref().unwrap_or("generic");
    let language = service.program.runtime.map_or(compiled, |runtime| runtime.language());
    for (key, value) in [
        ("telemetry.sdk.name", NAME),
        ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
        // Whose spans these are, not what their agent is written in: what backends choose an icon by. OpenTelemetry's
        // own eBPF instrumentation does the same, `generic` included.
        ("telemetry.sdk.language", language),
        ("telemetry.distro.name", NAME),
        ("telemetry.distro.version", env!("CARGO_PKG_VERSION")),
    ] {
        attributes.insert(key.to_owned(), text(value));
    }
    Identity {
        pid: facts.pid,
        service_name: service.name.into(),
        service_namespace: service.namespace.map(Into::into),
        service_instance_id: instance,
        evidence: service.evidence,
        attributes: attributes.into_iter().collect(),
    }
}

fn process(facts: &ProcessFacts, service: &Service, settings: &Settings, into: &mut BTreeMap<String, Value>) {
    let mut put = |key: &str, value: Value| into.insert(key.to_owned(), value);
    put("process.pid", Value::Integer(facts.pid.into()));
    if facts.parent != 0 {
        put("process.parent_pid", Value::Integer(facts.parent.into()));
    }
    if !service.program.executable.is_empty() {
        put("process.executable.name", text(&service.program.executable));
    }
    if let Some(path) = &facts.executable {
        put("process.executable.path", text(path.strip_suffix(" (deleted)").unwrap_or(path)));
    }
    if let Some(command) = facts.arguments.first() {
        put("process.command", text(command));
        if settings.command_args {
            put("process.command_args", Value::List(facts.arguments.clone()));
        }
    }
    let go = facts.language.as_deref().filter(|language| *language == "go");
    if let Some(name) = service.program.runtime.map_or(go, |runtime| runtime.name()) {
        put("process.runtime.name", text(name));
    }
    if let Some(inner) = facts.namespaced_pid {
        put("process.vpid", Value::Integer(inner.into()));
    }
    if let Some(id) = &service.cgroup.container_id {
        put("container.id", text(id));
    }
    if let Some(name) = &service.cgroup.container_name {
        put("container.name", text(name));
    }
    if let Some(uid) = &service.cgroup.pod_uid {
        put("k8s.pod.uid", text(uid));
        if let Some(pod) = &service.pod {
            put("k8s.pod.name", text(pod));
        }
        let variable = |first: &str, second: &str| facts.variable(first).or_else(|| facts.variable(second));
        for (key, value) in [
            ("k8s.namespace.name", variable("K8S_NAMESPACE_NAME", "POD_NAMESPACE")),
            ("k8s.container.name", variable("K8S_CONTAINER_NAME", "CONTAINER_NAME")),
            ("k8s.node.name", facts.variable("K8S_NODE_NAME")),
        ] {
            if let Some(value) = value {
                put(key, text(value));
            }
        }
    }
}

/// Attributes that a process may not set for itself: what the agent has measured, and whose telemetry this is.
fn may_declare(key: &str) -> bool {
    !["process.", "telemetry.", "host.", "os."].iter().any(|prefix| key.starts_with(prefix))
        && key != "container.id"
}

/// The attributes in the agent's own `OTEL_RESOURCE_ATTRIBUTES` that hold for every service on its host.
#[must_use]
pub fn host_wide(attributes: Vec<(String, String)>) -> BTreeMap<String, String> {
    attributes.into_iter().filter(|(key, _)| is_host_wide(key)).collect()
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned().into())
}
