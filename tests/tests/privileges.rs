//! The agent needs exactly the capabilities that its doctor lists, and names the one that is lacking.

use std::sync::OnceLock;
use std::time::Duration;

use remora_tests::{
    Agent, Body, Netns, Place, Program, Schedule, Tier, copy_of_remora, each_tier, python, remora,
};

each_tier!(works_with_exactly_these, names_the_one_that_is_missing);

const PORT: u16 = 8080;
const NOBODY: u32 = 65_534;

/// Numbers of capabilities (include/uapi/linux/capability.h).
const NUMBERS: [(&str, u32); 7] = [
    ("CAP_DAC_READ_SEARCH", 2),
    ("CAP_NET_ADMIN", 12),
    ("CAP_SYS_PTRACE", 19),
    ("CAP_SYS_ADMIN", 21),
    ("CAP_SYS_RESOURCE", 24),
    ("CAP_PERFMON", 38),
    ("CAP_BPF", 39),
];

/// What a tier needs, as the doctor says.
struct Need {
    name: String,
    bit: u64,
    required: bool,
}

fn needs(tier: Tier) -> Vec<Need> {
    static REPORT: OnceLock<serde_json::Value> = OnceLock::new();
    let report = REPORT.get_or_init(|| {
        // It loads every tier, which takes its time on a busy machine.
        let doctor = Program::new(remora()).args(["doctor", "--json"]).start();
        let report = doctor.finish(Duration::from_secs(300)).ok().output;
        serde_json::from_str(&report).expect("JSON")
    });
    let tiers = report["tiers"].as_array().expect("tiers");
    let of_tier = tiers.iter().find(|one| one["tier"] == tier.name()).expect("the tier");
    let needs = of_tier["privileges"].as_array().expect("privileges").iter();
    needs
        .map(|need| {
            let name = need["capability"].as_str().expect("a name").to_owned();
            let number = NUMBERS.iter().find(|(known, _)| *known == name).expect("a known capability").1;
            Need { name, bit: 1 << number, required: need["required"].as_bool().expect("a flag") }
        })
        .collect()
}

/// Whether this test has all that it is going to give away; `skipped` says what it has not.
fn have(needs: &[Need]) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let held = status.lines().find_map(|line| line.strip_prefix("CapPrm:")).expect("capabilities");
    let held = u64::from_str_radix(held.trim(), 16).expect("hexadecimal");
    let lacking: Vec<&str> =
        needs.iter().filter(|need| held & need.bit == 0).map(|need| need.name.as_str()).collect();
    if !lacking.is_empty() {
        println!("skipped: the test has no {}", lacking.join(" "));
    }
    lacking.is_empty()
}

/// A user who is nobody, with the listed capabilities, gets all spans of other users' processes, with the names that only
/// their environment tells.
fn works_with_exactly_these(tier: Tier) {
    let needs = needs(tier);
    if !have(&needs) {
        return;
    }
    let net = Netns::new();
    let server = python(&net, "py_server.py").env("OTEL_SERVICE_NAME", "orders");
    let _server = server.arg("127.0.0.1").arg(PORT.to_string()).listen(PORT);
    let agent = Agent::watch(&net).tier(tier).capabilities(needs.iter().map(|need| need.bit).sum()).start();
    assert!(!agent.log().contains("CAP_"), "it lacks nothing\n{}", agent.log());
    let schedule = Schedule::standard().add(3, "POST", "/echo", 200, Body::Chunked(1000));
    let client = python(&net, "py_client.py").args(["requests", &format!("http://127.0.0.1:{PORT}")]);
    let (outcomes, client) = schedule.run(client);
    let spans = agent.stop();
    let _ = spans.server(PORT).tell(&schedule, &outcomes).each_has("service.name", "orders");
    let _ = spans.client(PORT).by(client.process).tell(&schedule, &outcomes);
    let _ = spans.all().exactly(2 * schedule.len());
}

/// Without one of those that the tier cannot do without it ends with an error that names it; without another it says which
/// it would need.
fn names_the_one_that_is_missing(tier: Tier) {
    let needs = needs(tier);
    if !have(&needs) {
        return;
    }
    let place = Place::new();
    let remora = copy_of_remora(&place);
    let all: u64 = needs.iter().map(|need| need.bit).sum();
    let admin = needs.iter().any(|need| need.name == "CAP_SYS_ADMIN");
    for need in &needs {
        // It stands for these.
        if admin && ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"].contains(&need.name.as_str()) {
            continue;
        }
        // So that the file can be made.
        let folder = place.join(&need.name);
        std::fs::create_dir(&folder).expect("folder");
        std::os::unix::fs::chown(&folder, Some(NOBODY), Some(NOBODY)).expect("owner");
        let agent = Program::new(&remora).args(["record", "--tier", tier.name(), "--seconds", "0"]);
        let agent = agent.arg(folder.join("recording")).user(NOBODY).capabilities(all & !need.bit);
        let ended = agent.run();
        let errors = if need.required { ended.refused() } else { ended.ok().errors };
        assert!(errors.contains(&need.name), "nothing about {}: {errors}", need.name);
        for other in needs.iter().filter(|other| other.name != need.name) {
            assert!(!errors.contains(&other.name), "without {} it names {}: {errors}", need.name, other.name);
        }
    }
}
