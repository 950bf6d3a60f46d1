//! How the agent starts, ends and refuses; the doctor; recordings.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use remora_tests::{
    Agent, Body, Netns, Place, Program, Running, Schedule, Spans, Tier, copy_of_remora, each_tier, nginx,
    patience, python, python_server, remora, wait_for,
};

const PORT: u16 = 8080;
const NOBODY: u32 = 65_534;

each_tier!(ends_in_time_under_load, leaves_nothing_attached, replays_what_it_recorded);

/// An error for the user: one clear sentence, not a backtrace.
#[track_caller]
fn one_sentence(errors: &str, about: &[&str]) {
    for word in about {
        assert!(errors.contains(word), "nothing about {word:?} in: {errors}");
    }
    assert!(!errors.contains("panicked"), "{errors}");
    let lines = errors.lines().filter(|line| !line.trim().is_empty()).count();
    assert!((1..=6).contains(&lines), "not one clear sentence: {errors}");
}

/// SIGTERM while two cores are full of requests.
fn ends_in_time_under_load(tier: Tier) {
    let (net, place) = (Netns::new(), Place::new());
    let server = format!("server {{ listen 127.0.0.1:{PORT}; location / {{ return 200 ok; }} }}");
    let _server = nginx(&net, &place, PORT, &server);
    let agent = Agent::watch(&net).tier(tier).start();
    let mut wrk = net.program("wrk").args(["-t2", "-c16", "-d60s", "http://127.0.0.1:8080/"]).start();
    assert!(wait_for(Duration::from_secs(10), || agent.told() > 3000), "no spans under load");
    assert!(wrk.ended().is_none());
    let spans = agent.stop_at_once();
    assert!(spans.server(PORT).len() > 1000);
    // What is lost at saturation is lost in the ring buffer, and nothing else goes wrong because of it.
    let lost = |name| spans.coverage.get(name);
    assert_eq!(lost("overlap_bytes"), 0, "bytes were seen twice\n{}", spans.coverage);
    assert!(lost("ring_full") > 0 || lost("resynchronised") == 0, "lost its place\n{}", spans.coverage);
}

/// eBPF programs and links that a process holds.
fn held(process: u32) -> BTreeSet<(&'static str, u32)> {
    let mut held = BTreeSet::new();
    for entry in std::fs::read_dir(format!("/proc/{process}/fdinfo")).into_iter().flatten().flatten() {
        for line in std::fs::read_to_string(entry.path()).unwrap_or_default().lines() {
            for kind in ["prog_id", "link_id", "map_id"] {
                if let Some(id) = line.strip_prefix(kind).and_then(|rest| rest.strip_prefix(':')) {
                    held.insert((kind, id.trim().parse().expect("id")));
                }
            }
        }
    }
    held
}

/// Whether the kernel still has it. Asks for the first id behind the one before it: to open the object would keep it
/// alive, and for an array of programs even for good (its release is scheduled twice then).
fn exists((kind, id): (&str, u32)) -> bool {
    // BPF_PROG_GET_NEXT_ID, BPF_MAP_GET_NEXT_ID and BPF_LINK_GET_NEXT_ID of `enum bpf_cmd`.
    let command = match kind {
        "prog_id" => 11,
        "map_id" => 12,
        _ => 31,
    };
    // `start_id` and `next_id`
    let mut attributes = [0_u32; 32];
    attributes[0] = id - 1;
    // SAFETY: the attributes live and are as long as said.
    let found =
        unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size_of_val(&attributes)) };
    found == 0 && attributes[1] == id
}

/// After an orderly end, and after a kill -9, no program, link or map of the agent is left in the kernel.
fn leaves_nothing_attached(tier: Tier) {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGKILL] {
        let net = Netns::new();
        let mut agent = Agent::watch(&net).tier(tier).start();
        let objects = held(agent.process().id());
        let kinds: BTreeSet<&str> = objects.iter().map(|(kind, _)| *kind).collect();
        assert!(kinds.contains("prog_id") && kinds.contains("map_id"), "the agent holds {objects:?}");
        agent.process().signal(signal);
        // A killed agent's hooks are the kernel's to remove, which takes its time.
        let limit = Duration::from_secs(if signal == libc::SIGKILL { 10 } else { 2 });
        let ended = wait_for(limit, || agent.process().ended().is_some());
        assert!(ended, "alive {limit:?} after signal {signal}\n{}", agent.log());
        let mut left = objects.clone();
        // The kernel frees them a little later, when no processor can be inside them.
        let gone = wait_for(Duration::from_secs(10), || {
            left.retain(|object| exists(*object));
            left.is_empty()
        });
        assert!(gone, "left after signal {signal}: {left:?}");
    }
}

/// Without privileges there is one clear sentence, and nobody stays alive watching nothing.
#[test]
fn needs_privileges() {
    let place = Place::new();
    let errors =
        Program::new(copy_of_remora(&place)).args(["run", "--export", "stdout"]).user(NOBODY).run().refused();
    assert!(errors.contains("root") || errors.contains("CAP_"), "says what is needed: {errors}");
    one_sentence(&errors, &[]);
    let file = place.path().join("recording");
    let errors = Program::new(copy_of_remora(&place)).arg("record").arg(file).user(NOBODY).run().refused();
    one_sentence(&errors, &[]);
}

/// Mistakes of the user are named.
#[test]
fn refuses_what_it_does_not_understand() {
    let place = Place::new();
    let run =
        |arguments: &[&str]| Program::new(remora()).args(["run", "--export", "stdout"]).args(arguments).run();
    let config = |yaml: &str| {
        let file = place.write("remora.yaml", yaml);
        run(&["--config", &file.to_string_lossy()]).refused()
    };
    one_sentence(&config("probes: {teir: auto}\n"), &["teir", "remora.yaml"]);
    one_sentence(&config("colour: blue\n"), &["colour"]);
    one_sentence(&config("probes: [1, 2\n"), &["remora.yaml"]);
    one_sentence(&config("probes: {tier: fastest}\n"), &["fastest"]);
    one_sentence(&run(&["--config", "/nonexistent/remora.yaml"]).refused(), &["/nonexistent/remora.yaml"]);
    one_sentence(&run(&["--netns", "/run/netns/nonexistent"]).refused(), &["/run/netns/nonexistent"]);
    one_sentence(&run(&["--netns", "/etc/passwd"]).refused(), &["/etc/passwd"]);
    assert!(run(&["--no-such-flag"]).refused().contains("--no-such-flag"));
    let endpoint = Program::new(remora()).arg("run").env("OTEL_EXPORTER_OTLP_ENDPOINT", "no url").run();
    one_sentence(&endpoint.refused(), &["no url"]);
    let protocol =
        Program::new(remora()).arg("run").env("OTEL_EXPORTER_OTLP_PROTOCOL", "smoke/signals").run();
    one_sentence(&protocol.refused(), &["smoke/signals"]);
}

/// The doctor says that this machine can do the main job, in words and as JSON.
#[test]
fn doctor() {
    let net = Netns::new();
    let server = python_server(&net, "127.0.0.1", PORT);
    let table = Program::new(remora()).arg("doctor").run().ok().output;
    assert!(table.lines().count() > 5, "{table}");
    let json = Program::new(remora()).args(["doctor", "--json"]).run().ok().output;
    let found: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert!(found.as_object().is_some_and(|object| !object.is_empty()), "{found}");
    let shown = found.to_string();
    for expected in ["socket-tracepoint", "syscall-tracepoint", "py_server", &server.id().to_string()] {
        assert!(shown.contains(expected), "nothing about {expected}: {shown}");
    }
    // Someone without privileges can ask, too, and is told that the main job is not possible.
    let place = Place::new();
    let unprivileged = Program::new(copy_of_remora(&place)).args(["doctor", "--json"]).user(NOBODY).run();
    assert!(!unprivileged.status.success(), "the main job needs privileges");
    assert!(
        serde_json::from_str::<serde_json::Value>(&unprivileged.output).is_ok(),
        "{}",
        unprivileged.errors
    );
}

fn replay(program: &Path, file: &Path) -> Program {
    Program::new(program).arg("replay").arg(file).args(["--export", "stdout"]).user(NOBODY)
}

fn essences(spans: &Spans) -> Vec<String> {
    let mut all: Vec<String> = spans.all().iter().map(remora_tests::Span::essence).collect();
    all.sort_unstable();
    all
}

/// Some exchanges of several kinds: keep-alive, new connections, errors, a killed client.
fn traffic(net: &Netns) -> (Running, usize) {
    let server = python_server(net, "127.0.0.1", PORT);
    let schedule =
        Schedule::standard().with_chunked_requests().add(40, "GET", "/bytes/3000", 200, Body::None);
    let base = format!("http://127.0.0.1:{PORT}");
    for client in ["requests", "urllib"] {
        let schedule = if client == "urllib" { Schedule::standard() } else { schedule.clone() };
        let _ = schedule.run(python(net, "py_client.py").args([client, &base]));
    }
    let curl = net.program("curl").args(["-s", "--max-time", "0.2", &format!("{base}/slow/100000")]).run();
    assert_eq!(curl.status.code(), Some(28));
    (server, 2 * (schedule.len() + Schedule::standard().len() + 1))
}

/// What `replay` tells, without privileges and every time, is what `run` told of the same traffic.
fn replays_what_it_recorded(tier: Tier) {
    let (net, place) = (Netns::new(), Place::new());
    let file = place.join("recording");
    let recorder = Agent::record(&net, &file).tier(tier).start();
    let agent = Agent::watch(&net).tier(tier).start();
    let (_server, expected) = traffic(&net);
    let _ = recorder.stop();
    let told = agent.stop();
    let _ = told.all().exactly(expected);
    // The recording is for its owner's eyes only, until its owner says otherwise.
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .expect("permissions");
    let program = copy_of_remora(&place);
    let replayed: Vec<Spans> = (0..2)
        .map(|_| {
            let started = Instant::now();
            let finished = replay(&program, &file).run().ok();
            assert!(started.elapsed() < Duration::from_secs(10) * patience(), "replay takes no time");
            Spans::read(&finished.output, finished.errors)
        })
        .collect();
    let (of_replay, of_run) = (essences(&replayed[0]), essences(&told));
    let without = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|span| !other.contains(span)).take(3).cloned().collect()
    };
    let (more, less) = (without(&of_replay, &of_run), without(&of_run, &of_replay));
    assert!(of_replay == of_run, "only the replay told {more:#?}\nonly the run told {less:#?}");
    let mut all = replayed.iter().map(|spans| {
        let mut spans: Vec<_> = spans.all().iter().cloned().collect();
        spans.sort_by(|one, other| one.id.cmp(&other.id));
        spans
    });
    let (first, second) = (all.next().expect("first"), all.next().expect("second"));
    assert_eq!(first, second, "two replays of one file differ");
    refuses_damaged(&place, &program, &file);
}

/// Truncated and foreign files get a clear error, never spans out of thin air.
fn refuses_damaged(place: &Place, program: &Path, file: &Path) {
    let whole = std::fs::read(file).expect("recording");
    let attempt = |name: &str, bytes: &[u8]| {
        let damaged = place.write(name, bytes);
        let finished = replay(program, &damaged).run();
        one_sentence(&finished.refused(), &[name]);
    };
    for part in [1, 3, 5, 7, 9] {
        attempt("truncated", &whole[..whole.len() * part / 10]);
    }
    attempt("truncated", &whole[..whole.len() - 1]);
    attempt("truncated", &whole[..10]);
    attempt("empty", b"");
    attempt("foreign", b"this is not a recording, it is a text\n");
    attempt("foreign", &std::fs::read("/proc/self/exe").expect("an executable")[..100_000]);
    let missing = place.join("missing");
    one_sentence(&replay(program, &missing).run().refused(), &["missing"]);
}
