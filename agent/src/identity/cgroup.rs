//! What the path of a control group says: container, Kubernetes pod, systemd unit.

/// What a cgroup path tells of the processes in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// The container's full id: 64 hexadecimal digits, or what ECS calls one on Fargate.
    pub container_id: Option<String>,
    /// The container's name, of the few runtimes that put it into the path (LXC, systemd-nspawn).
    pub container_name: Option<String>,
    /// UID of the Kubernetes pod, in its canonical form with dashes.
    pub pod_uid: Option<String>,
    /// The systemd service unit nearest to the process, without `.service`, unescaped: `nginx`, `getty@tty1`.
    pub unit: Option<String>,
}

impl Cgroup {
    /// Reads one path, as it stands behind the last colon-separated field of a line of `/proc/PID/cgroup`.
    #[must_use]
    pub fn parse(path: &str) -> Self {
        let mut cgroup = Self::default();
        let mut parent = "";
        for component in path.split('/') {
            cgroup.component(parent, component);
            parent = component;
        }
        // A container's own init may be systemd, whose units lie below the container: they are not the host's, but
        // they are services all the same. A scope, on the other hand, is what somebody started by hand.
        if path.rsplit('/').next().is_some_and(|last| last.ends_with(".scope")) {
            cgroup.unit = None;
        }
        cgroup
    }

    fn component(&mut self, parent: &str, component: &str) {
        // Not the end of it: without systemd, containerd puts pod and container into one component.
        if let Some(uid) = pod_uid(component) {
            self.pod_uid = Some(uid);
        }
        if let Some(id) = container_id(component) {
            self.container_id = Some(id.to_owned());
            // What is above the container (a runtime's service) says nothing about what is in it, unless systemd
            // itself started the container as a service of its own (podman's quadlets).
            if !component.starts_with("libpod-payload-") && !component.starts_with("libpod-") {
                self.unit = None;
            }
            return;
        }
        if let Some(name) = container_name(parent, component) {
            self.container_name = Some(name);
            self.unit = None;
            return;
        }
        if let Some(unit) = component.strip_suffix(".service") {
            // The user's service manager holds units, it is none itself.
            self.unit = (!unit.starts_with("user@") && !unit.is_empty()).then(|| unescape(unit));
        }
    }

    /// Whether it says anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the process is in a container.
    #[must_use]
    pub fn is_container(&self) -> bool {
        self.container_id.is_some() || self.container_name.is_some() || self.pod_uid.is_some()
    }
}

/// The most telling path of a `/proc/PID/cgroup` file: the first that names a container, else the first that names a
/// service, else that of the unified hierarchy, else the first.
#[must_use]
pub fn most_telling(file: &str) -> Option<&str> {
    // hierarchy-ID:controller-list:cgroup-path; the path may hold colons itself (containerd without systemd).
    let paths = || file.lines().filter_map(|line| Some((line, line.splitn(3, ':').nth(2)?)));
    let first = |wanted: &dyn Fn(&Cgroup) -> bool| paths().find(|(_, path)| wanted(&Cgroup::parse(path)));
    first(&|cgroup| cgroup.container_id.is_some())
        .or_else(|| first(&Cgroup::is_container))
        .or_else(|| first(&|cgroup| cgroup.unit.is_some()))
        .or_else(|| paths().find(|(line, _)| line.starts_with("0::")))
        .or_else(|| paths().next())
        .map(|(_, path)| path)
}

/// `docker-<id>.scope`, `cri-containerd-<id>.scope`, `crio-<id>`, `kubepods-…:cri-containerd:<id>`, `<id>`.
fn container_id(component: &str) -> Option<&str> {
    let component = component.strip_suffix(".scope").unwrap_or(component);
    // CRI-O and podman run a monitor beside each container; it is not in it.
    if component.contains("-conmon-") {
        return None;
    }
    let last = component.rsplit(':').next().unwrap_or(component);
    if let Some((task, number)) = last.split_once('-')
        && is_hexadecimal(task, 32)
        && (8..=10).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Some(last);
    }
    let id = last.rsplit('-').next().unwrap_or(last);
    is_hexadecimal(id, 64).then_some(id)
}

/// LXC: `/lxc.payload.NAME` or `/lxc/NAME`; systemd-nspawn: `machine-NAME.scope`, `systemd-nspawn@NAME.service`.
fn container_name(parent: &str, component: &str) -> Option<String> {
    let name = component
        .strip_prefix("lxc.payload.")
        .or_else(|| component.strip_prefix("machine-").and_then(|name| name.strip_suffix(".scope")))
        .or_else(|| component.strip_prefix("systemd-nspawn@").and_then(|name| name.strip_suffix(".service")))
        .or_else(|| (parent == "lxc").then_some(component))?;
    let name = unescape(name);
    // libvirt's machines: what runs there is a virtual machine, not a container.
    (!name.is_empty() && !name.starts_with("qemu-")).then_some(name)
}

fn is_hexadecimal(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// `pod<uid>`, `kubepods-burstable-pod<uid with underscores>.slice`, and containerd's `kubepods-…-pod<uid>.slice:…`.
fn pod_uid(component: &str) -> Option<String> {
    let component = component.split(':').next().unwrap_or(component);
    let component = component.strip_suffix(".slice").unwrap_or(component);
    let uid = match component.strip_prefix("pod") {
        Some(uid) => uid,
        None if component.starts_with("kubepods") || component.starts_with("kubelet-kubepods") => {
            component.split_once("-pod").map(|(_, uid)| uid)?
        }
        None => return None,
    };
    let uid = uid.replace('_', "-");
    let groups: Vec<usize> = uid.split('-').map(str::len).collect();
    let hexadecimal = uid.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    // Static pods have the MD5 of their manifest for an UID.
    (hexadecimal && (groups == [8, 4, 4, 4, 12] || groups == [32])).then_some(uid)
}

/// systemd's `\x2d` escapes (systemd.unit(5), "String escaping for inclusion in unit names").
fn unescape(name: &str) -> String {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'\\'
            && let [b'x', high, low, ..] = tail
            && let (Some(high), Some(low)) = ((*high as char).to_digit(16), (*low as char).to_digit(16))
        {
            out.push((high * 16 + low) as u8);
            rest = &tail[3..];
        } else {
            out.push(first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970";
    const POD: &str = "0d9fb6a8-5b43-4b7e-9c0f-2f8f1b1f3c11";
    const POD_: &str = "0d9fb6a8_5b43_4b7e_9c0f_2f8f1b1f3c11";

    /// ID, POD and POD_ in `path` stand for the constants.
    fn check(path: &str, container: Option<&str>, name: Option<&str>, pod: Option<&str>, unit: Option<&str>) {
        let path = path.replace("POD_", POD_).replace("POD", POD).replace("ID", ID);
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let expected = Cgroup {
            container_id: owned(container),
            container_name: owned(name),
            pod_uid: owned(pod),
            unit: owned(unit),
        };
        assert_eq!(Cgroup::parse(&path), expected, "{path}");
    }

    #[test]
    fn containers() {
        let (id, pod) = (Some(ID), Some(POD));
        // Docker: cgroupfs driver, systemd driver, rootless, and below another container.
        check("/docker/ID", id, None, None, None);
        check("/system.slice/docker-ID.scope", id, None, None, None);
        check(
            "/user.slice/user-1000.slice/user@1000.service/app.slice/docker-ID.scope",
            id,
            None,
            None,
            None,
        );
        check("/../docker-ID.scope", id, None, None, None);
        check("/docker/ID/system.slice/nginx.service", id, None, None, Some("nginx"));
        check("/docker/ID/init.scope", id, None, None, None);
        // containerd's own namespaces (ctr, nerdctl).
        check("/default/ID", id, None, None, None);
        check("/system.slice/nerdctl-ID.scope", id, None, None, None);
        // Kubernetes: containerd and CRI-O, cgroupfs and systemd drivers, QoS classes.
        check("/kubepods/burstable/podPOD/ID", id, None, pod, None);
        check("/kubepods/podPOD/ID", id, None, pod, None);
        check(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podPOD_.slice/cri-containerd-ID.scope",
            id,
            None,
            pod,
            None,
        );
        check("/kubepods.slice/kubepods-podPOD_.slice/crio-ID.scope", id, None, pod, None);
        check("/kubepods.slice/kubepods-podPOD_.slice/docker-ID.scope", id, None, pod, None);
        check("/kubepods-besteffort-podPOD_.slice:cri-containerd:ID", id, None, pod, None);
        check(
            "/system.slice/containerd.service/kubepods-burstable-podPOD_.slice:cri-containerd:ID",
            id,
            None,
            pod,
            None,
        );
        check(
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podPOD_.slice/cri-containerd-ID.scope",
            id,
            None,
            pod,
            None,
        );
        check("/kubepods/besteffort/podPOD/crio-ID", id, None, pod, None);
        check(
            "/kubepods/burstable/podc5e1f5d5f7e9b7d7e5d6f0a1b2c3d4e5/ID",
            id,
            None,
            Some("c5e1f5d5f7e9b7d7e5d6f0a1b2c3d4e5"),
            None,
        );
        // The monitor of a container is not in it.
        check("/kubepods.slice/kubepods-podPOD_.slice/crio-conmon-ID.scope", None, None, pod, None);
        check("/machine.slice/libpod-conmon-ID.scope", None, None, None, None);
        // Podman: root, rootless, with crun's inner group, and as a unit (quadlet).
        check("/machine.slice/libpod-ID.scope", id, None, None, None);
        check("/machine.slice/libpod-ID.scope/container", id, None, None, None);
        check(
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
            id,
            None,
            None,
            None,
        );
        check("/libpod_parent/libpod-ID", id, None, None, None);
        check("/system.slice/shop.service/libpod-payload-ID", id, None, None, Some("shop"));
        // Amazon ECS: on EC2, and on Fargate.
        check("/ecs/55091c13-b8cf-4801-b527-f4601742204d/ID", id, None, None, None);
        check(
            "/ecs/0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef-1234567890",
            Some("0123456789abcdef0123456789abcdef-1234567890"),
            None,
            None,
            None,
        );
        // System containers, and a unit in one.
        check("/lxc/web1", None, Some("web1"), None, None);
        check("/lxc.payload.web1/system.slice/nginx.service", None, Some("web1"), None, Some("nginx"));
        check("/machine.slice/machine-web\\x2d1.scope", None, Some("web-1"), None, None);
        check("/machine.slice/systemd-nspawn@web1.service/payload", None, Some("web1"), None, None);
        check("/machine.slice/machine-qemu\\x2d1\\x2dvm.scope", None, None, None, None);
    }

    #[test]
    fn units() {
        check("/system.slice/nginx.service", None, None, None, Some("nginx"));
        check(
            "/system.slice/system-postgresql.slice/postgresql@15-main.service",
            None,
            None,
            None,
            Some("postgresql@15-main"),
        );
        check("/system.slice/docker.service", None, None, None, Some("docker"));
        check("/system.slice/my\\x2dapp.service", None, None, None, Some("my-app"));
        check("/system.slice/k3s.service/init", None, None, None, Some("k3s"));
        check(
            "/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service",
            None,
            None,
            None,
            Some("shop"),
        );
        check("/../../system.slice/nginx.service", None, None, None, Some("nginx"));
        for nothing in [
            "/",
            "",
            "/init.scope",
            "/user.slice/user-1000.slice/session-3.scope",
            "/user.slice/user-1000.slice/user@1000.service",
            "/user.slice/user-1000.slice/user@1000.service/init.scope",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-foot-1234.scope",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/terminal.service/vte-spawn-1.scope",
            "/system.slice/run-u12.scope",
            "/system.slice",
            "/jobs/0123456789abcdef0123456789abcdef",
        ] {
            check(nothing, None, None, None, None);
            assert!(Cgroup::parse(nothing).is_empty());
        }
    }

    #[test]
    fn the_most_telling_line_of_a_file() {
        let v1 = format!(
            "12:pids:/system.slice/docker.service\n11:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/x\n"
        );
        assert_eq!(most_telling(&v1), Some(format!("/docker/{ID}").as_str()));
        assert_eq!(most_telling("0::/system.slice/nginx.service\n"), Some("/system.slice/nginx.service"));
        let hybrid = "9:name=systemd:/system.slice/ssh.service\n4:memory:/\n0::/\n";
        assert_eq!(most_telling(hybrid), Some("/system.slice/ssh.service"));
        assert_eq!(most_telling("4:memory:/a\n0::/b\n"), Some("/b"));
        assert_eq!(most_telling("4:memory:/a\n3:cpu:/b\n"), Some("/a"));
        let colons = format!("1:cpu:/kubepods-podx.slice:cri-containerd:{ID}\n");
        assert_eq!(most_telling(&colons), Some(format!("/kubepods-podx.slice:cri-containerd:{ID}").as_str()));
        assert_eq!(most_telling(""), None);
    }
}
