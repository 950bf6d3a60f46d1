//! Java: jars, main classes, and the names that frameworks are given as properties.

use super::{Command, Program, script};

/// Options of the `java` launcher whose value is the next argument, if it does not stand behind `=`.
const VALUED: [&str; 17] = [
    "-cp",
    "-classpath",
    "--class-path",
    "-p",
    "--module-path",
    "--upgrade-module-path",
    "--add-modules",
    "--limit-modules",
    "--add-reads",
    "--add-exports",
    "--add-opens",
    "--patch-module",
    "--source",
    "--enable-native-access",
    "--describe-module",
    "-d",
    "--illegal-native-access",
];

/// Programs that everybody knows by another name than that of their main class, by the class's beginning.
const KNOWN: [(&str, &str); 23] = [
    ("org.apache.catalina.", "tomcat"),
    ("org.apache.zookeeper.", "zookeeper"),
    ("org.apache.cassandra.", "cassandra"),
    ("org.apache.activemq.", "activemq"),
    ("org.apache.spark.", "spark"),
    ("org.apache.flink.", "flink"),
    ("org.apache.solr.", "solr"),
    ("org.apache.pulsar.", "pulsar"),
    ("org.apache.druid.", "druid"),
    ("org.apache.kafka.connect.", "kafka-connect"),
    ("org.apache.nifi.", "nifi"),
    ("kafka.", "kafka"),
    ("org.elasticsearch.", "elasticsearch"),
    ("org.opensearch.", "opensearch"),
    ("org.logstash.", "logstash"),
    ("org.neo4j.", "neo4j"),
    ("org.eclipse.jetty.start.", "jetty"),
    ("org.jboss.modules.", "wildfly"),
    ("org.wildfly.", "wildfly"),
    ("org.gradle.launcher.daemon.", "gradle-daemon"),
    ("org.codehaus.plexus.classworlds.", "maven"),
    ("org.keycloak.", "keycloak"),
    ("com.hazelcast.", "hazelcast"),
];

/// Classes that only start another one, which cannot be seen on the command line.
const LOADERS: [&str; 3] =
    ["org.springframework.boot.loader.", "io.quarkus.bootstrap.", "com.intellij.rt.execution."];

/// Simple names that every project has.
const CLASSES: [&str; 12] = [
    "Main",
    "MainKt",
    "App",
    "AppKt",
    "Application",
    "ApplicationKt",
    "Bootstrap",
    "Launcher",
    "Server",
    "Start",
    "Run",
    "Runner",
];

/// Reads `java [options] (-jar FILE | -m MODULE | CLASS) [arguments]`.
pub(super) fn application(command: &Command<'_>, program: &mut Program) -> Option<String> {
    let mut named = None;
    let mut jar = false;
    let mut arguments = command.arguments.iter();
    let what = loop {
        let argument = arguments.next()?;
        if let Some(property) = argument.strip_prefix("-D") {
            match property.split_once('=') {
                Some(("otel.service.name", name)) if !name.is_empty() => {
                    program.declared_name = Some(name.to_owned())
                }
                Some(("otel.resource.attributes", value)) => {
                    program.declared_attributes = Some(value.to_owned())
                }
                Some((
                    "spring.application.name" | "quarkus.application.name" | "micronaut.application.name",
                    name,
                )) if !name.is_empty() => {
                    named = Some(name.to_owned());
                }
                _ => {}
            }
        } else if argument == "-jar" {
            jar = true;
        } else if argument == "-m" || argument == "--module" {
            break arguments.next()?.as_str();
        } else if let Some(module) = argument.strip_prefix("--module=") {
            break module;
        } else if VALUED.contains(&argument.as_str()) {
            arguments.next();
        } else if !argument.starts_with(['-', '@']) {
            break argument.as_str();
        }
    };
    named
        .or_else(|| {
            arguments.find_map(|argument| {
                let name = argument.strip_prefix("--spring.application.name=")?;
                (!name.is_empty()).then(|| name.to_owned())
            })
        })
        .or_else(
            || if jar { Some(self::jar(what, command.directory)) } else { class(what, command.directory) },
        )
}

/// `/srv/foo-1.2.0-SNAPSHOT-all.jar` is `foo`.
fn jar(path: &str, directory: Option<&str>) -> String {
    let name = script::name(path, directory);
    // The version begins at the first dash with a digit behind it; `log4j-2` and the like have none of their own.
    let version = name
        .match_indices(['-', '_'])
        .find(|(at, _)| *at > 0 && name[at + 1..].starts_with(|c: char| c.is_ascii_digit()))
        .map(|(at, _)| at);
    let mut name = &name[..version.unwrap_or(name.len())];
    for suffix in [
        "-all",
        "-fat",
        "-uber",
        "-shaded",
        "-exec",
        "-boot",
        "-runner",
        "-jar-with-dependencies",
        "-SNAPSHOT",
    ] {
        name = name.strip_suffix(suffix).filter(|name| !name.is_empty()).unwrap_or(name);
    }
    name.to_owned()
}

/// A main class (`com.acme.OrderService`), a module with one (`acme/com.acme.Main`), or a source file (`Main.java`).
fn class(what: &str, directory: Option<&str>) -> Option<String> {
    if let Some(file) = what.strip_suffix(".java") {
        return Some(file.rsplit('/').next().unwrap_or(file).to_owned());
    }
    let class = what.rsplit('/').next().unwrap_or(what);
    if LOADERS.iter().any(|loader| class.starts_with(loader)) {
        return directory.and_then(script::folder).map(str::to_owned);
    }
    if let Some((_, name)) = KNOWN.iter().find(|(beginning, _)| class.starts_with(beginning)) {
        return Some((*name).to_owned());
    }
    let (package, simple) = class.rsplit_once('.').unwrap_or(("", class));
    // `Outer$Main` is in `Outer`.
    let (package, simple) =
        simple.rsplit_once('$').unwrap_or((package.rsplit('.').next().unwrap_or(""), simple));
    let ambiguous = CLASSES.contains(&simple) && !package.is_empty();
    Some(if ambiguous { package.to_owned() } else { simple.to_owned() })
}
