//! The service's name and namespace.

use super::cgroup::Cgroup;
use super::program::{self, Program};
use super::{Evidence, Host, ProcessFacts, otel_env};

/// What a process is called, and all that was found on the way.
#[derive(Debug)]
pub(super) struct Service {
    pub name: String,
    pub namespace: Option<String>,
    pub evidence: Evidence,
    pub program: Program,
    pub cgroup: Cgroup,
    /// The name of the Kubernetes pod.
    pub pod: Option<String>,
    /// What the process says of itself in `OTEL_RESOURCE_ATTRIBUTES`.
    pub declared: Vec<(String, String)>,
}

/// Attributes that name a Kubernetes workload, the best first.
const WORKLOADS: [&str; 8] = [
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
    "k8s.replicaset.name",
    "k8s.pod.name",
    "k8s.container.name",
];

/// Systemd services whose trade is to start other programs: their name says nothing of what runs in them.
const STARTERS: [&str; 30] = [
    "actions-runner",
    "anacron",
    "atd",
    "buildkit",
    "circus",
    "cloud-final",
    "cloud-init",
    "containerd",
    "cri-docker",
    "crio",
    "cron",
    "crond",
    "docker",
    "dropbear",
    "getty",
    "k3s",
    "k3s-agent",
    "kubelet",
    "monit",
    "nomad",
    "podman",
    "rc-local",
    "runit",
    "serial-getty",
    "ssh",
    "sshd",
    "supervisor",
    "supervisord",
    "tmux",
    "xinetd",
];

impl Service {
    pub(super) fn of(facts: &ProcessFacts, host: &Host) -> Self {
        let program = program::of(facts);
        let cgroup = facts.cgroup.as_deref().map(Cgroup::parse).unwrap_or_default();
        let text =
            program.declared_attributes.as_deref().or_else(|| facts.variable("OTEL_RESOURCE_ATTRIBUTES"));
        let declared = text.and_then(|text| otel_env::resource_attributes(text).ok()).unwrap_or_default();
        let mut service = Self {
            name: String::new(),
            namespace: None,
            evidence: Evidence::Nothing,
            pod: pod(facts, &cgroup, host),
            program,
            cgroup,
            declared,
        };
        service.namespace = service
            .declared("service.namespace")
            .or_else(|| service.declared("k8s.namespace.name"))
            .or_else(|| {
                let variable =
                    facts.variable("K8S_NAMESPACE_NAME").or_else(|| facts.variable("POD_NAMESPACE"));
                variable.filter(|_| service.cgroup.pod_uid.is_some())
            })
            .map(str::to_owned);
        (service.name, service.evidence) = service.named(facts, host);
        service
    }

    fn declared(&self, key: &str) -> Option<&str> {
        self.declared
            .iter()
            .find(|(known, value)| known == key && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    fn named(&self, facts: &ProcessFacts, host: &Host) -> (String, Evidence) {
        if let Some(name) =
            self.program.declared_name.as_deref().or_else(|| facts.variable("OTEL_SERVICE_NAME"))
        {
            return (name.to_owned(), Evidence::ServiceName);
        }
        if let Some(name) = self.declared("service.name") {
            return (name.to_owned(), Evidence::ResourceAttributes);
        }
        if let Some(name) = WORKLOADS.iter().find_map(|key| self.declared(key)) {
            return (name.to_owned(), Evidence::Kubernetes);
        }
        if let Some(pod) = &self.pod {
            return (workload(pod, facts.variable("K8S_NODE_NAME")).to_owned(), Evidence::Kubernetes);
        }
        if let Some(name) = self.container(facts, host) {
            return (name.to_owned(), Evidence::Container);
        }
        if let Some(unit) = self.cgroup.unit.as_deref().and_then(unit) {
            return (unit.to_owned(), Evidence::SystemdUnit);
        }
        let evidence = if self.program.is_script { Evidence::Script } else { Evidence::Executable };
        if !self.program.name.is_empty() {
            return (self.program.name.clone(), evidence);
        }
        // The last resort is what `docker ps` shows of a container.
        if let Some(id) = &self.cgroup.container_id {
            return (id[..id.len().min(12)].to_owned(), Evidence::Container);
        }
        ("unknown_service".to_owned(), Evidence::Nothing)
    }

    /// The container's name, if somebody gave it one.
    fn container<'a>(&'a self, facts: &'a ProcessFacts, host: &Host) -> Option<&'a str> {
        if !self.cgroup.is_container() {
            return None;
        }
        let variable = facts.variable("CONTAINER_NAME").or_else(|| facts.variable("K8S_CONTAINER_NAME"));
        if variable.is_some() {
            return variable;
        }
        // In a system container it is the unit that counts.
        if let Some(name) = self.cgroup.container_name.as_deref() {
            return Some(name).filter(|_| self.cgroup.unit.is_none());
        }
        let id = self.cgroup.container_id.as_deref().unwrap_or_default();
        let chosen = |name: &&str| {
            let from_id =
                id.starts_with(*name) || (name.len() == 12 && name.bytes().all(|b| b.is_ascii_hexdigit()));
            !from_id && *name != host.name && *name != "localhost"
        };
        facts.hostname.as_deref().or_else(|| facts.variable("HOSTNAME")).filter(chosen)
    }
}

/// The pod's name: as the pod's own manifest passes it on, else the pod's host name, unless that is the node's.
fn pod(facts: &ProcessFacts, cgroup: &Cgroup, host: &Host) -> Option<String> {
    cgroup.pod_uid.as_ref()?;
    let passed = facts.variable("K8S_POD_NAME").or_else(|| facts.variable("POD_NAME"));
    let hostname = facts.hostname.as_deref().or_else(|| facts.variable("HOSTNAME"));
    passed.or_else(|| hostname.filter(|name| *name != host.name)).map(str::to_owned)
}

/// The workload that a pod belongs to, by the way its controller makes names:
/// `shop-5d4f8c7b9c-x2x8k` (Deployment), `agent-x2x8k` (DaemonSet), `backup-28391040-x2x8k` (CronJob), `db-0`
/// (StatefulSet), `etcd-NODE` (static). Anything else stays.
fn workload<'a>(pod: &'a str, node: Option<&str>) -> &'a str {
    if let Some(name) = node.and_then(|node| pod.strip_suffix(node)?.strip_suffix('-')) {
        return name;
    }
    let Some((name, last)) = pod.rsplit_once('-') else { return pod };
    if last.len() <= 4 && !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()) {
        return name;
    }
    // Both the suffix and the hash come from an alphabet without vowels (and 0, 1, 3), so that they spell nothing.
    let random = |text: &str| text.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte));
    if last.len() != 5 || !random(last) {
        return pod;
    }
    match name.rsplit_once('-') {
        Some((owner, hash)) if (6..=10).contains(&hash.len()) && random(hash) => owner,
        Some((owner, time)) if time.len() >= 8 && time.bytes().all(|byte| byte.is_ascii_digit()) => owner,
        _ => name,
    }
}

/// The service that a unit stands for: of a template, all instances are one service.
fn unit(unit: &str) -> Option<&str> {
    let name = unit.split('@').next().unwrap_or(unit);
    // Quadlets and `podman generate systemd`.
    let name = name.strip_prefix("container-").unwrap_or(name);
    let starter = STARTERS.contains(&name) || name.starts_with("pm2-") || name.starts_with("actions.runner.");
    (!name.is_empty() && !starter).then_some(name)
}

#[cfg(test)]
mod tests;
