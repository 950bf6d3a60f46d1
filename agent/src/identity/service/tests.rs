use super::*;

const ID: &str = "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970";
const POD: &str =
    "/kubepods.slice/kubepods-pod0d9fb6a8_5b43_4b7e_9c0f_2f8f1b1f3c11.slice/cri-containerd-ID.scope";

fn host() -> Host {
    Host { name: "node-7".into(), ..Host::default() }
}

/// `python3 app.py` in a cgroup, with variables.
fn facts(cgroup: &str, environment: &[(&str, &str)]) -> ProcessFacts {
    ProcessFacts {
        pid: 1,
        executable: Some("/usr/bin/python3.11".into()),
        arguments: vec!["python3".into(), "app.py".into()],
        cgroup: Some(cgroup.replace("ID", ID)),
        environment: environment.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        ..ProcessFacts::default()
    }
}

#[track_caller]
fn named(facts: &ProcessFacts, name: &str, evidence: Evidence) -> Service {
    let service = Service::of(facts, &host());
    assert_eq!((service.name.as_str(), service.evidence), (name, evidence), "{facts:?}");
    service
}

#[test]
fn each_evidence_yields_to_the_better_one() {
    let unit = "/system.slice/nginx.service";
    let attributes =
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=by-attributes,k8s.deployment.name=by-deployment");
    let deployment = ("OTEL_RESOURCE_ATTRIBUTES", "k8s.deployment.name=by-deployment,k8s.pod.name=x");
    let name = ("OTEL_SERVICE_NAME", "by-name");
    named(&facts(unit, &[name, attributes]), "by-name", Evidence::ServiceName);
    named(&facts(unit, &[attributes]), "by-attributes", Evidence::ResourceAttributes);
    named(&facts(unit, &[deployment]), "by-deployment", Evidence::Kubernetes);
    named(&facts(POD, &[("POD_NAME", "shop-5d4f8c7b9c-x2x8k")]), "shop", Evidence::Kubernetes);
    named(&facts("/docker/ID", &[("CONTAINER_NAME", "shop")]), "shop", Evidence::Container);
    named(&facts(unit, &[("CONTAINER_NAME", "shop")]), "nginx", Evidence::SystemdUnit);
    named(&facts("/docker/ID", &[]), "app", Evidence::Script);
    named(&facts("/user.slice/user-0.slice/session-3.scope", &[]), "app", Evidence::Script);
    let nothing = ProcessFacts { pid: 1, ..ProcessFacts::default() };
    named(&nothing, "unknown_service", Evidence::Nothing);
    let only_container = ProcessFacts { cgroup: Some(format!("/docker/{ID}")), ..nothing.clone() };
    named(&only_container, &ID[..12], Evidence::Container);
    let only_comm = ProcessFacts { name: "nginx".into(), ..nothing };
    named(&only_comm, "nginx", Evidence::Executable);
    // One that cannot be read is none.
    named(&facts(unit, &[("OTEL_RESOURCE_ATTRIBUTES", "service.name=x,y")]), "nginx", Evidence::SystemdUnit);
    named(&facts(unit, &[("OTEL_RESOURCE_ATTRIBUTES", "service.name=")]), "nginx", Evidence::SystemdUnit);
    named(
        &facts(unit, &[("OTEL_RESOURCE_ATTRIBUTES", "service.name=a%20b")]),
        "a b",
        Evidence::ResourceAttributes,
    );
    let mut java = facts(unit, &[name]);
    java.executable = Some("/usr/bin/java".into());
    java.arguments = ["java", "-Dotel.service.name=by-property", "-jar", "a.jar"].map(str::to_owned).into();
    named(&java, "by-property", Evidence::ServiceName);
}

#[test]
fn host_names_of_containers() {
    let with = |hostname: &str| ProcessFacts { hostname: Some(hostname.into()), ..facts("/docker/ID", &[]) };
    named(&with("shop"), "shop", Evidence::Container);
    named(&with(&ID[..12]), "app", Evidence::Script);
    named(&with("0123456789ab"), "app", Evidence::Script);
    named(&with("node-7"), "app", Evidence::Script);
    named(&facts("/docker/ID", &[("HOSTNAME", "shop")]), "shop", Evidence::Container);
    named(&facts("/", &[("HOSTNAME", "shop")]), "app", Evidence::Script);
    named(&facts("/lxc/web1", &[]), "web1", Evidence::Container);
    named(&facts("/lxc.payload.web1/system.slice/nginx.service", &[]), "nginx", Evidence::SystemdUnit);
}

#[test]
fn pods() {
    let of = |hostname: &str| ProcessFacts { hostname: Some(hostname.into()), ..facts(POD, &[]) };
    let service = named(&of("shop-5d4f8c7b9c-x2x8k"), "shop", Evidence::Kubernetes);
    assert_eq!(service.pod.as_deref(), Some("shop-5d4f8c7b9c-x2x8k"));
    // On the node's own network, the host name is the node's.
    assert_eq!(named(&of("node-7"), "app", Evidence::Script).pod, None);
    let service = named(
        &facts(POD, &[("K8S_POD_NAME", "db-0"), ("POD_NAMESPACE", "shop")]),
        "db",
        Evidence::Kubernetes,
    );
    assert_eq!(service.namespace.as_deref(), Some("shop"));
    let service = named(&facts("/", &[("POD_NAMESPACE", "shop")]), "app", Evidence::Script);
    assert_eq!(service.namespace, None, "not in a pod");
    let declared = ("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=a,k8s.namespace.name=b");
    assert_eq!(named(&facts(POD, &[declared]), "app", Evidence::Script).namespace.as_deref(), Some("a"));
}

#[test]
fn workloads() {
    for (pod, expected) in [
        ("shop-5d4f8c7b9c-x2x8k", "shop"),
        ("shop-api-v2-6b7f9d8c5-zz4fq", "shop-api-v2"),
        ("agent-x2x8k", "agent"),
        ("node-exporter-x2x8k", "node-exporter"),
        ("backup-28391040-x2x8k", "backup"),
        ("db-0", "db"),
        ("kafka-broker-12", "kafka-broker"),
        ("shop", "shop"),
        ("shop-admin", "shop-admin"),
        ("shop-frontend-queue", "shop-frontend-queue"),
        ("web-12345", "web-12345"),
        ("", ""),
    ] {
        assert_eq!(workload(pod, None), expected, "{pod}");
    }
    assert_eq!(workload("etcd-node-7", Some("node-7")), "etcd");
    assert_eq!(workload("etcd-node-7", None), "etcd-node");
}

#[test]
fn units() {
    for (name, expected) in [
        ("nginx", Some("nginx")),
        ("postgresql@15-main", Some("postgresql")),
        ("php8.2-fpm", Some("php8.2-fpm")),
        ("container-shop", Some("shop")),
        ("cron", None),
        ("ssh", None),
        ("sshd@7-10.0.0.1:22-10.0.0.2:5555", None),
        ("getty@tty1", None),
        ("supervisor", None),
        ("pm2-root", None),
        ("docker", None),
        ("", None),
    ] {
        assert_eq!(unit(name), expected, "{name}");
    }
    // The starter itself is still called what it is.
    let mut docker = facts("/system.slice/docker.service", &[]);
    docker.executable = Some("/usr/bin/dockerd".into());
    docker.arguments = vec!["/usr/bin/dockerd".into(), "-H".into(), "fd://".into()];
    named(&docker, "dockerd", Evidence::Executable);
}
