//! `docs/metrics.md` has every instrument in the tree: its table is written of the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- metrics: written by REMORA_WRITE_DOCS=1 cargo test -p remora metrics::page -->\n";
const END: &str = "<!-- end of metrics -->";

/// What the instruments of one metric say.
#[derive(Debug, Default)]
struct Metric {
    unit: BTreeSet<String>,
    kind: BTreeSet<&'static str>,
    description: BTreeSet<String>,
    observed: BTreeSet<&'static str>,
    attributes: Vec<String>,
    source: BTreeSet<String>,
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("tests") {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !["testing.rs", "tests.rs", "state_tests.rs", "page.rs"]
                .iter()
                .any(|name| path.ends_with(name))
        {
            into.push(path);
        }
    }
}

/// The texts in quotation marks of a Rust expression; a text that goes on in the next line is one.
fn texts(code: &str) -> Vec<String> {
    let parts = code.split('"').skip(1).step_by(2);
    parts.map(|text| text.split("\\\n").map(str::trim_start).collect()).collect()
}

/// What follows `label` in a struct, up to the next field.
fn field<'a>(body: &'a str, label: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("\n    {label}: "))?;
    let end = rest.find(",\n    }").or(rest.find(",\n    ")).unwrap_or(rest.len());
    let list = rest.starts_with("&[").then(|| rest.find(']')).flatten();
    Some(&rest[..list.unwrap_or(end)])
}

/// The attributes of an instrument: a list, or the name of one in the same file.
fn keys(body: &str, file: &str) -> Vec<String> {
    let Some(keys) = field(body, "keys") else { return Vec::new() };
    if keys.starts_with("&[") {
        return texts(keys);
    }
    let name = keys.trim().trim_end_matches(',');
    let declared = ["const", "static"].iter().find_map(|word| file.split_once(&format!("{word} {name}: ")));
    let (_, list) = declared.unwrap_or_else(|| panic!("no list {name} beside its instrument"));
    let (_, list) = list.split_once("&[").and_then(|(_, list)| list.split_once("&[")).unwrap();
    texts(&list[..list.find(']').unwrap()])
}

/// Where an instrument is: a protocol, or all connections.
fn source(path: &Path) -> String {
    let path = path.to_str().unwrap();
    match path.split_once("/protocol/").map(|(_, rest)| rest.split('/').next().unwrap()) {
        Some("unknown") => "connections of unknown protocols".to_owned(),
        Some("instruments") if path.ends_with("database.rs") => {
            "cassandra, mongodb, mysql, postgresql".to_owned()
        }
        Some("instruments") if path.ends_with("messaging.rs") => "amqp, mqtt".to_owned(),
        Some("instruments") => "dubbo, thrift".to_owned(),
        Some(protocol) => protocol.trim_end_matches(".rs").to_owned(),
        None => "every connection".to_owned(),
    }
}

fn metrics() -> BTreeMap<String, Metric> {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    files.sort();
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    for path in files {
        let file = std::fs::read_to_string(&path).unwrap();
        let blocks: Vec<(&str, &str)> = file
            .split("static ")
            .skip(1)
            .filter_map(|item| item.split_once(": Instrument = Instrument {"))
            .map(|(name, body)| (name, body.split_once("\n};").unwrap().0))
            .collect();
        for (_, body) in &blocks {
            // One that is like another in the same file but for some fields.
            let base = body.split_once("\n    ..").map(|(_, base)| base.trim());
            let base =
                base.and_then(|base| blocks.iter().find(|(name, _)| *name == base)).map(|(_, body)| *body);
            let get = |label: &str| field(body, label).or_else(|| field(base?, label)).unwrap_or_default();
            let name = texts(get("name")).pop().unwrap_or_else(|| panic!("{}: no name", path.display()));
            let metric = metrics.entry(name).or_default();
            metric.unit.extend(texts(get("unit")));
            metric.description.extend(texts(get("description")));
            let reading = get("reading");
            let sum = reading.contains("Reading::One") || reading.contains("Reading::Sum");
            metric.kind.insert(if sum { "sum" } else { "histogram" });
            let role = get("role");
            metric.observed.insert(match (role.contains("Client"), role.contains("Server")) {
                (true, _) => "client",
                (_, true) => "server",
                _ => "both",
            });
            let of_it =
                if field(body, "keys").is_some() { keys(body, &file) } else { keys(base.unwrap(), &file) };
            for key in of_it {
                if !metric.attributes.contains(&key) {
                    metric.attributes.push(key);
                }
            }
            metric.source.insert(source(&path));
        }
    }
    metrics
}

fn join<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    texts.into_iter().map(|text| text.as_ref().to_owned()).collect::<Vec<_>>().join(", ")
}

/// Instruments of one name agree, or they would be two metrics; and the page has them all.
#[test]
fn every_instrument_is_documented() {
    let metrics = metrics();
    for (name, metric) in &metrics {
        assert!(metric.unit.len() == 1 && metric.kind.len() == 1, "{name} is not one metric: {metric:?}");
        assert!(!metric.description.is_empty(), "{name} has no description");
    }
    for name in ["http.server.request.duration", "remora.network.io", "remora.network.turn.duration"] {
        assert!(metrics.contains_key(name), "{name} is not found in the sources");
    }
    let mut table =
        String::from("| metric | unit | kind | observed by | attributes | of |\n|---|---|---|---|---|---|\n");
    for (name, Metric { unit, kind, observed, attributes, source, .. }) in &metrics {
        let attributes = join(attributes.iter().map(|key| format!("`{key}`")));
        let (unit, kind, observed, source) = (join(unit), join(kind), join(observed), join(source));
        _ = writeln!(table, "| `{name}` | {unit} | {kind} | {observed} | {attributes} | {source} |");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = std::fs::read_to_string(&path).expect("docs/metrics.md");
    let begin = page.find(BEGIN).expect("the table's beginning") + BEGIN.len();
    let end = page.find(END).expect("the table's end");
    if std::env::var_os("REMORA_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{}{table}{}", &page[..begin], &page[end..])).expect("writable");
    } else {
        assert_eq!(&page[begin..end], table, "REMORA_WRITE_DOCS=1 writes the table");
    }
}
