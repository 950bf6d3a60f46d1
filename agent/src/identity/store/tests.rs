use std::fs;

use super::super::Evidence;
use super::*;
use crate::protocol::Value;

const SECOND: u64 = 1_000_000_000;

fn store_of(most: usize) -> Store {
    let host =
        Host { name: "web-1".into(), id: "9f1c54b5f08b4d2e8f62d8c1a3a4c0aa".into(), ..Host::default() };
    Store::new(host, Settings { max_processes: most, ..Settings::default() })
}

fn store() -> Store {
    store_of(1000)
}

fn script(pid: u32, since: u64, script: &str) -> ProcessFacts {
    ProcessFacts {
        pid,
        since,
        name: "python3".into(),
        arguments: vec!["python3".into(), script.into()],
        ..ProcessFacts::default()
    }
}

fn from_proc(facts: ProcessFacts, start_time: u64) -> ProcessFacts {
    ProcessFacts { start_time: Some(start_time), complete: true, ..facts }
}

/// A copy of `/proc` with one process, `python3 NAME.py`.
fn fake(root: &Path, pid: u32, name: &str, start_time: u64) {
    let folder = root.join(pid.to_string());
    fs::create_dir_all(&folder).unwrap();
    let zeros = "0 ".repeat(17);
    fs::write(folder.join("stat"), format!("{pid} (python3) S 1 {zeros}{start_time} 1\n")).unwrap();
    fs::write(folder.join("cmdline"), format!("python3\0{name}.py\0")).unwrap();
}

fn name(store: &Store, pid: u32) -> String {
    store.identity(pid).service_name.to_string()
}

#[test]
fn an_identity_is_made_once_and_has_every_attribute() {
    let store = store();
    store.insert(ProcessFacts {
        parent: 7,
        executable: Some("/usr/bin/python3.11 (deleted)".into()),
        namespaced_pid: Some(1),
        cgroup: Some("/docker/4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970".into()),
        environment: [(
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.namespace=acme,service.version=1.2,host.name=x,team=a%20b",
        )]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into(),
        ..from_proc(script(42, 0, "shop.py"), 99)
    });
    let identity = store.identity(42);
    assert!(Arc::ptr_eq(&identity, &store.identity(42)));
    assert_eq!(identity.evidence, Evidence::Script);
    let text = |value: &str| Value::Text(value.to_owned().into());
    let expected = [
        ("container.id", text("4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970")),
        ("host.id", text("9f1c54b5f08b4d2e8f62d8c1a3a4c0aa")),
        ("host.name", text("web-1")),
        ("os.type", text("linux")),
        ("process.command", text("python3")),
        ("process.executable.name", text("python3.11")),
        ("process.executable.path", text("/usr/bin/python3.11")),
        ("process.parent_pid", Value::Integer(7)),
        ("process.pid", Value::Integer(42)),
        ("process.runtime.name", text("cpython")),
        ("process.vpid", Value::Integer(1)),
        ("service.instance.id", text(&identity.service_instance_id)),
        ("service.name", text("shop")),
        ("service.namespace", text("acme")),
        ("service.version", text("1.2")),
        ("team", text("a b")),
        ("telemetry.distro.name", text("remora")),
        ("telemetry.distro.version", text(env!("CARGO_PKG_VERSION"))),
        ("telemetry.sdk.language", text("python")),
        ("telemetry.sdk.name", text("remora")),
        ("telemetry.sdk.version", text(env!("CARGO_PKG_VERSION"))),
    ];
    let expected: Vec<(String, Value)> =
        expected.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    assert_eq!(identity.attributes, expected);
}

#[test]
fn arguments_are_sent_only_if_wanted_and_host_wide_attributes_always() {
    let settings = Settings {
        command_args: true,
        resource_attributes: [("deployment.environment.name".to_owned(), "test".to_owned())].into(),
        ..Settings::default()
    };
    let store = Store::new(Host::default(), settings);
    store.insert(script(42, 0, "shop.py"));
    let identity = store.identity(42);
    let find = |key: &str| {
        identity.attributes.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
    };
    assert_eq!(find("process.command_args"), Some(Value::List(vec!["python3".into(), "shop.py".into()])));
    assert_eq!(find("deployment.environment.name"), Some(Value::Text("test".into())));
}

#[test]
fn a_compiled_language_can_be_added() {
    let store = store();
    store.exec(ProcessFacts { arguments: vec!["/srv/shop".into()], ..script(42, 5, "") });
    store.insert(ProcessFacts { pid: 42, language: Some("go".into()), ..ProcessFacts::default() });
    let identity = store.identity(42);
    let find = |key: &str| {
        identity.attributes.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
    };
    assert_eq!(&*identity.service_name, "shop");
    assert_eq!(find("telemetry.sdk.language"), Some(Value::Text("go".into())));
    assert_eq!(find("process.runtime.name"), Some(Value::Text("go".into())));
}

#[test]
fn the_instance_is_the_same_for_a_life_and_for_a_replay() {
    let (first, second) = (store(), store());
    for store in [&first, &second] {
        store.insert(from_proc(script(42, 0, "shop.py"), 99));
    }
    let id = first.identity(42).service_instance_id.clone();
    assert_eq!(id, second.identity(42).service_instance_id);
    assert_eq!(&*id, "969faa72-1b31-5f73-8d97-80e99d08f226");
    // Another program in the same process.
    first.exec(script(42, 5, "orders.py"));
    assert_eq!(first.identity(42).service_instance_id, id);
    // What comes later does not change it.
    let third = store();
    third.exec(script(42, 5, "shop.py"));
    let early = third.identity(42);
    third.insert(from_proc(ProcessFacts { parent: 3, ..script(42, 0, "shop.py") }, 99));
    let late = third.identity(42);
    assert!(!Arc::ptr_eq(&early, &late));
    assert_eq!(early.service_instance_id, late.service_instance_id);
    // A declared one wins.
    let mut declared = from_proc(script(43, 0, "shop.py"), 99);
    declared.environment.insert("OTEL_RESOURCE_ATTRIBUTES".into(), "service.instance.id=mine".into());
    first.insert(declared);
    assert_eq!(&*first.identity(43).service_instance_id, "mine");
}

#[test]
fn a_child_is_its_parent_until_it_calls_exec() {
    let store = store();
    store.exec(script(10, 100, "shop.py"));
    store.fork(10, 11, 200);
    store.fork(11, 12, 300);
    assert_eq!((name(&store, 11), name(&store, 12)), ("shop".into(), "shop".into()));
    let (parent, child) = (store.identity(10), store.identity(11));
    assert_eq!(child.pid, 11);
    assert_ne!(parent.service_instance_id, child.service_instance_id, "each worker is an instance");
    store.exec(script(11, 400, "orders.py"));
    assert_eq!(
        (name(&store, 10), name(&store, 11), name(&store, 12)),
        ("shop".into(), "orders".into(), "shop".into())
    );
    // At its time, the earlier program still has its name.
    assert_eq!(&*store.identity_at(11, 399).service_name, "shop");
    assert_eq!(&*store.identity_at(11, 400).service_name, "orders");
}

#[test]
fn a_reused_id_is_another_process() {
    let store = store();
    store.exec(script(10, 100, "shop.py"));
    store.exec(script(20, 100, "nightly.py"));
    let old = store.identity(10);
    store.exit(10, 500);
    // Late events still get the name, events after the end do not.
    assert_eq!(&*store.identity_at(10, 450).service_name, "shop");
    assert_eq!(&*store.identity_at(10, 501).service_name, "unknown_service");
    store.fork(20, 10, 600);
    assert_eq!(name(&store, 10), "nightly");
    assert_eq!(&*store.identity_at(10, 450).service_name, "shop");
    assert_ne!(store.identity(10).service_instance_id, old.service_instance_id);
    // The same with the fork lost, and with the parent unknown.
    store.exit(10, 700);
    store.exec(ProcessFacts { cgroup: None, ..script(10, 800, "orders.py") });
    assert_eq!(name(&store, 10), "orders");
    store.fork(999, 10, 900);
    assert_eq!(name(&store, 10), "unknown_service");
    // And by the time of creation that /proc tells.
    store.insert(from_proc(script(30, 0, "shop.py"), 1));
    store
        .insert(from_proc(ProcessFacts { environment: Default::default(), ..script(30, 0, "orders.py") }, 2));
    assert_eq!(name(&store, 30), "orders");
}

#[test]
fn an_exec_keeps_where_the_process_is() {
    let store = store();
    let cgroup = Some("/system.slice/shop.service".to_owned());
    store.insert(ProcessFacts { cgroup: cgroup.clone(), ..from_proc(script(10, 0, "a.py"), 5) });
    store.exec(script(10, 100, "b.py"));
    assert_eq!(name(&store, 10), "shop");
    store.exit(10, 200);
    store.exec(script(10, 300, "b.py"));
    assert_eq!(name(&store, 10), "b", "of another life, nothing is kept");
}

#[test]
fn a_worker_of_a_pool_has_its_parents_name() {
    let store = store();
    store.exec(ProcessFacts {
        arguments: ["python3", "/venv/bin/uvicorn", "shop.main:app", "--workers", "2"]
            .map(str::to_owned)
            .into(),
        ..script(10, 1, "")
    });
    store.exec(ProcessFacts {
        parent: 10,
        arguments: ["python3", "-c", "[redacted]", "--multiprocessing-fork"].map(str::to_owned).into(),
        ..script(11, 2, "")
    });
    assert_eq!(name(&store, 11), "shop");
    assert_eq!(store.identity(11).evidence, Evidence::Script);
}

#[test]
fn ended_processes_are_kept_for_a_while() {
    let store = store();
    store.exec(script(10, 1, "shop.py"));
    store.exec(script(11, 1, "shop.py"));
    store.exit(10, 100 * SECOND);
    assert_eq!(store.sweep(160 * SECOND), 0);
    assert_eq!(store.sweep(161 * SECOND), 1);
    assert_eq!((store.len(), name(&store, 10)), (1, "unknown_service".into()));
}

#[test]
fn the_store_is_bounded() {
    let store = store_of(256);
    for pid in 1..=256 {
        store.exec(script(pid, 1, "shop.py"));
    }
    store.exit(200, 5);
    let _ = store.identity(1);
    assert_eq!(store.counters(), Counters { processes: 256, evicted: 0, unreadable: 0 });
    store.exec(script(1000, 1, "shop.py"));
    // The ended one and the fifteen that were not asked for longest; the first was asked for just now.
    assert_eq!(store.counters(), Counters { processes: 241, evicted: 16, unreadable: 0 });
    assert_eq!(name(&store, 200), "unknown_service");
    assert_eq!(name(&store, 1), "shop");
    assert_eq!(name(&store, 2), "unknown_service");
    assert_eq!(name(&store, 17), "shop");
    for pid in 1..=10_000 {
        store.fork(1000, pid, 9);
        assert!(store.len() <= 256, "{pid}");
    }
}

#[test]
fn what_is_not_known_is_learnt_once() {
    let root = tempfile::tempdir().unwrap();
    fake(root.path(), 42, "shop", 99);
    let store = store();
    let learnt = store.learn(root.path(), 42).unwrap();
    assert_eq!(learnt.start_time, Some(99));
    assert_eq!(name(&store, 42), "shop");
    assert_eq!(store.learn(root.path(), 42), None, "known");
    // An exec makes it unknown again; its facts complete those of the event.
    fake(root.path(), 42, "orders", 99);
    store.exec(script(42, 5, "orders.py"));
    assert!(store.learn(root.path(), 42).is_some());
    assert_eq!(store.learn(root.path(), 42), None);
    // A process that is gone is not looked for again.
    assert_eq!(store.learn(root.path(), 7), None);
    assert_eq!(store.learn(root.path(), 7), None);
    assert_eq!(store.counters().unreadable, 1);
    // Of an ended process there is nothing to learn, but its id may be another's by now.
    store.exit(42, 1000);
    assert_eq!(store.learn(root.path(), 42), None);
    fake(root.path(), 42, "nightly", 500);
    assert!(store.learn(root.path(), 42).is_some());
    assert_eq!(name(&store, 42), "nightly");
}

#[test]
fn a_scan_finds_all_and_a_replay_of_its_facts_tells_the_same() {
    let root = tempfile::tempdir().unwrap();
    fake(root.path(), 1, "init", 1);
    fake(root.path(), 42, "shop", 99);
    fs::create_dir(root.path().join("77")).unwrap();
    let store = store();
    let facts = store.scan(root.path()).unwrap();
    assert_eq!(facts.len(), 2);
    assert_eq!(name(&store, 42), "shop");
    let replayed = super::tests::store();
    for facts in facts {
        let line = serde_json::to_string(&facts).unwrap();
        replayed.insert(serde_json::from_str(&line).unwrap());
    }
    for pid in [1, 42] {
        assert_eq!(replayed.identity(pid), store.identity(pid));
    }
}

#[test]
fn this_machine() {
    let store = Store::new(Host::read(Path::new("/")), Settings::default());
    let facts = store.scan(Path::new("/proc")).unwrap();
    assert!(!facts.is_empty());
    let identity = store.identity(std::process::id());
    let file = std::env::current_exe().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    let find = |key: &str| {
        identity.attributes.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
    };
    assert_eq!(find("process.executable.name"), Some(Value::Text(file.into())));
    assert_eq!(find("process.pid"), Some(Value::Integer(std::process::id().into())));
    for facts in facts {
        assert!(!store.identity(facts.pid).service_name.is_empty(), "{facts:?}");
    }
}

#[test]
fn many_threads_at_once() {
    let store = store_of(256);
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let store = &store;
            scope.spawn(move || {
                for turn in 0..2000u32 {
                    let pid = (turn * 7 + thread) % 400 + 1;
                    match turn % 5 {
                        0 => store.exec(script(pid, u64::from(turn), "shop.py")),
                        1 => store.fork(pid, pid % 97 + 1, u64::from(turn)),
                        2 => store.exit(pid, u64::from(turn)),
                        3 => drop(store.sweep(u64::from(turn) * SECOND)),
                        _ => drop(store.identity_at(pid, u64::from(turn))),
                    }
                }
            });
        }
    });
    assert!(store.len() <= 256 + 4);
}
