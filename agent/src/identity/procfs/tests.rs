use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::*;

const ID: &str = "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970";

/// A process in a copy of `/proc`.
fn process(root: &Path, pid: u32, name: &str, parent: u32, start_time: u64) -> PathBuf {
    let folder = root.join(pid.to_string());
    fs::create_dir_all(&folder).unwrap();
    let zeros = "0 ".repeat(17);
    fs::write(folder.join("stat"), format!("{pid} ({name}) S {parent} {zeros}{start_time} 1 2 3\n")).unwrap();
    folder
}

#[test]
fn a_process_in_a_container() {
    let root = tempfile::tempdir().unwrap();
    let folder = process(root.path(), 42, "python3", 7, 12_345);
    fs::write(folder.join("cmdline"), "python3\0/srv/app.py\0--token\0x\0").unwrap();
    fs::write(folder.join("environ"), "A=b\0OTEL_SERVICE_NAME=shop\0DB_PASSWORD=x\0HOSTNAME=web-1\0")
        .unwrap();
    fs::write(folder.join("cgroup"), format!("0::/system.slice/docker-{ID}.scope\n")).unwrap();
    fs::write(folder.join("status"), "Name:\tpython3\nNSpid:\t42\t1\n").unwrap();
    symlink("/usr/bin/python3.11", folder.join("exe")).unwrap();
    symlink("/srv", folder.join("cwd")).unwrap();
    fs::create_dir_all(folder.join("root/etc")).unwrap();
    fs::write(folder.join("root/etc/hostname"), "web-1\n").unwrap();
    let facts = ProcessFacts::from_proc(root.path(), 42).unwrap();
    let expected = ProcessFacts {
        pid: 42,
        parent: 7,
        start_time: Some(12_345),
        since: 0,
        name: "python3".into(),
        executable: Some("/usr/bin/python3.11".into()),
        arguments: ["python3", "/srv/app.py", "--token", "[redacted]"].map(str::to_owned).into(),
        arguments_cut: false,
        environment: BTreeMap::from([
            ("HOSTNAME".into(), "web-1".into()),
            ("OTEL_SERVICE_NAME".into(), "shop".into()),
        ]),
        cgroup: Some(format!("/system.slice/docker-{ID}.scope")),
        working_directory: Some("/srv".into()),
        hostname: Some("web-1".into()),
        namespaced_pid: Some(1),
        language: None,
        complete: true,
    };
    assert_eq!(facts, expected);
}

#[test]
fn what_may_not_be_read_is_left_out() {
    let root = tempfile::tempdir().unwrap();
    process(root.path(), 9, "a) S 1 (b", 2, 5);
    let facts = ProcessFacts::from_proc(root.path(), 9).unwrap();
    let expected = ProcessFacts {
        pid: 9,
        parent: 2,
        start_time: Some(5),
        name: "a) S 1 (b".into(),
        complete: true,
        ..ProcessFacts::default()
    };
    assert_eq!(facts, expected);
}

#[test]
fn a_host_name_behind_a_link_is_not_read() {
    let root = tempfile::tempdir().unwrap();
    let folder = process(root.path(), 42, "a", 1, 1);
    fs::write(folder.join("cgroup"), format!("0::/docker/{ID}\n")).unwrap();
    fs::write(root.path().join("secret"), "secret\n").unwrap();
    fs::create_dir_all(folder.join("root/etc")).unwrap();
    symlink(root.path().join("secret"), folder.join("root/etc/hostname")).unwrap();
    assert_eq!(ProcessFacts::from_proc(root.path(), 42).unwrap().hostname, None);
}

#[test]
fn no_process_and_no_format() {
    let root = tempfile::tempdir().unwrap();
    let error = ProcessFacts::from_proc(root.path(), 1).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    let folder = process(root.path(), 1, "a", 1, 1);
    fs::write(folder.join("stat"), "1 (a").unwrap();
    assert_eq!(ProcessFacts::from_proc(root.path(), 1).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[test]
fn processes_are_listed() {
    let root = tempfile::tempdir().unwrap();
    process(root.path(), 17, "a", 1, 1);
    process(root.path(), 3, "a", 1, 1);
    fs::create_dir(root.path().join("sys")).unwrap();
    fs::write(root.path().join("uptime"), "1").unwrap();
    let mut found = processes(root.path()).unwrap();
    found.sort_unstable();
    assert_eq!(found, [3, 17]);
}

#[test]
fn this_process() {
    let pid = std::process::id();
    let facts = ProcessFacts::from_proc(Path::new("/proc"), pid).unwrap();
    let executable = std::env::current_exe().unwrap();
    assert_eq!(facts.executable.as_deref(), executable.to_str());
    assert_eq!(facts.parent, std::os::unix::process::parent_id());
    assert_eq!(facts.working_directory.as_deref(), std::env::current_dir().unwrap().to_str());
    assert_eq!(facts.arguments, std::env::args().collect::<Vec<_>>());
    assert!(facts.start_time.is_some() && facts.cgroup.is_some() && facts.complete, "{facts:?}");
    assert_eq!(start_time(Path::new("/proc"), pid), facts.start_time);
}
