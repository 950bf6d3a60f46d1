//! Identity: who a process is, as OpenTelemetry names it.
//!
//! [`ProcessFacts`] come from exec events and from `/proc`; the [`Store`] keeps them while a process lives (and a
//! while longer) and makes an [`Identity`] of them: the service's name, where that name comes from, and the resource
//! attributes. Facts are the only input, so a recorded run tells the same services when it is replayed.
//!
//! The service's name is the first of these that there is:
//!
//! 1. `OTEL_SERVICE_NAME` in the process's environment, or `-Dotel.service.name` of a Java program;
//! 2. `service.name` in its `OTEL_RESOURCE_ATTRIBUTES`;
//! 3. the Kubernetes workload: `k8s.deployment.name` and its like in `OTEL_RESOURCE_ATTRIBUTES`, else what the pod's
//!    name begins with (`shop-5d4f8c7b9c-x2x8k` is `shop`);
//! 4. the container's name, if its runtime tells it: `CONTAINER_NAME`, a host name that somebody chose, the path of
//!    the cgroup. A container's id is never used: the name of what runs in it tells an operator more;
//! 5. the systemd service in whose cgroup the process is (`nginx.service` is `nginx`, `postgresql@15-main.service` is
//!    `postgresql`), but not services whose trade is to start other programs (`cron`, `ssh`, `supervisor`, …);
//! 6. the program: an interpreter's script (`python3 app.py` is `app`), a server's application (`gunicorn shop.wsgi` is
//!    `shop`), the file name of the executable. See [`program`].

pub mod cgroup;
mod facts;
mod host;
mod names;
pub mod otel_env;
mod procfs;
pub mod program;
pub mod redact;
mod resource;
mod service;
mod settings;
mod store;

use std::sync::Arc;

pub use facts::{ENVIRONMENT, MAX_ARGUMENT, MAX_ARGUMENTS, MAX_VARIABLE, ProcessFacts};
pub use host::Host;
pub use names::Names;
pub use procfs::processes;
pub use resource::host_wide;
pub use settings::{Settings, SettingsError};
pub use store::{Counters, Store};

use crate::protocol::Value;

/// Who a process is.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// Process id in the initial PID namespace.
    pub pid: u32,
    /// `service.name`; never empty.
    pub service_name: Arc<str>,
    /// `service.namespace`, if anything tells one.
    pub service_namespace: Option<Arc<str>>,
    /// `service.instance.id`: the same for as long as the process lives, also over restarts of the agent if `/proc`
    /// could be read.
    pub service_instance_id: Arc<str>,
    /// Where the service's name comes from.
    pub evidence: Evidence,
    /// Resource attributes by the semantic conventions, `service.*` among them; each key once, sorted.
    pub attributes: Vec<(String, Value)>,
}

/// Where a service's name comes from, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Evidence {
    /// `OTEL_SERVICE_NAME`, or `-Dotel.service.name`.
    ServiceName,
    /// `service.name` in `OTEL_RESOURCE_ATTRIBUTES`.
    ResourceAttributes,
    /// The Kubernetes workload.
    Kubernetes,
    /// The container's name.
    Container,
    /// The systemd service.
    SystemdUnit,
    /// What an interpreter or an application server runs.
    Script,
    /// The name of the executable.
    Executable,
    /// Nothing at all is known of the process.
    Nothing,
}

impl Evidence {
    /// The name in logs and in the UI.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Evidence::ServiceName => "otel service name",
            Evidence::ResourceAttributes => "otel resource attributes",
            Evidence::Kubernetes => "kubernetes",
            Evidence::Container => "container",
            Evidence::SystemdUnit => "systemd unit",
            Evidence::Script => "script",
            Evidence::Executable => "executable",
            Evidence::Nothing => "nothing",
        }
    }
}
