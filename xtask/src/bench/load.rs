//! The load that saturates a server: wrk on HTTP, redis-benchmark on redis.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::server::{Kind, Server};
use super::usage;
use crate::process;

/// Connections that the load keeps open.
pub const CONNECTIONS: u32 = 32;

/// What the load generator says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Answer {
    /// Requests that were answered.
    pub requests: u64,
    /// Requests a second.
    pub rate: f64,
    /// Median latency in microseconds.
    pub p50: f64,
    /// 99th percentile in microseconds.
    pub p99: f64,
}

/// What it was, and what it cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loaded {
    pub answer: Answer,
    /// Processor time of the load generator.
    pub client_cpu: Duration,
    /// Whether that was the calling thread.
    pub in_process: bool,
}

/// Puts full load on the server for `duration`; `meanwhile` is called now and then. `rate` is what the server was seen
/// to answer a second, for the generator that takes a number instead of a duration.
pub fn saturate(server: &Server, duration: Duration, rate: f64, meanwhile: impl FnMut()) -> Result<Loaded> {
    let requests = (rate * duration.as_secs_f64()).max(1000.0).round();
    let mut command = match server.kind {
        Kind::Redis => redis_benchmark(server, requests),
        Kind::Nginx | Kind::Go => wrk(server, duration),
    };
    let before = usage::of_ended_children();
    let text = run(&mut command, meanwhile)?;
    let client_cpu = usage::of_ended_children().saturating_sub(before);
    let answer = match server.kind {
        Kind::Redis => {
            parse_redis_benchmark(&text).map(|answer| Answer { requests: requests as u64, ..answer })
        }
        Kind::Nginx | Kind::Go => parse_wrk(&text),
    };
    let answer =
        answer.with_context(|| format!("the load generator says what is not understood:\n{text}"))?;
    ensure!(answer.requests > 0, "no request was answered:\n{text}");
    Ok(Loaded { answer, client_cpu, in_process: false })
}

fn wrk(server: &Server, duration: Duration) -> Command {
    let mut wrk = process::command("wrk");
    wrk.args(["--latency", "-t", &usage::processors().min(2).to_string(), "-c", &CONNECTIONS.to_string()]);
    // wrk knows whole seconds only.
    wrk.args(["-d", &format!("{}s", duration.as_secs_f64().round().max(1.0))]);
    wrk.arg(format!("http://{}{}", server.address, server.kind.path()));
    wrk
}

fn redis_benchmark(server: &Server, requests: f64) -> Command {
    let mut benchmark = process::command("redis-benchmark");
    benchmark.args(["-h", "127.0.0.1", "-p", &server.address.port().to_string(), "--csv", "-t", "get"]);
    // With more threads than one it knows its own duration to a quarter of a second only.
    benchmark.args(["-c", &CONNECTIONS.to_string(), "-n", &requests.to_string()]);
    benchmark
}

fn run(command: &mut Command, mut meanwhile: impl FnMut()) -> Result<String> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Ended(command.spawn().with_context(|| format!("cannot run {command:?}"))?);
    // What it writes fits into a pipe.
    while child.0.try_wait()?.is_none() {
        ensure!(!process::stop_requested(), "interrupted");
        meanwhile();
        process::pause(Duration::from_millis(50));
    }
    let status = child.0.wait()?;
    let text = |pipe: Option<&mut dyn std::io::Read>| {
        let mut bytes = Vec::new();
        let _ = pipe.map(|pipe| pipe.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let out = text(child.0.stdout.as_mut().map(|pipe| pipe as &mut dyn std::io::Read));
    if !status.success() {
        bail!(
            "the load generator failed: {}",
            text(child.0.stderr.as_mut().map(|pipe| pipe as &mut dyn std::io::Read))
        );
    }
    Ok(out)
}

/// A child that does not outlive this.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn parse_wrk(text: &str) -> Option<Answer> {
    let mut answer = Answer::default();
    for line in text.lines().map(str::trim) {
        let mut words = line.split_ascii_whitespace();
        match (words.next().unwrap_or_default(), words.next()) {
            ("50%", Some(time)) => answer.p50 = microseconds(time)?,
            ("99%", Some(time)) => answer.p99 = microseconds(time)?,
            ("Requests/sec:", Some(rate)) => answer.rate = rate.parse().ok()?,
            (count, Some("requests")) => answer.requests = count.parse().ok()?,
            ("Socket" | "Non-2xx", _) => return None,
            _ => {}
        }
    }
    Some(answer)
}

/// `1.50ms`, `612.00us` or `2.01s`.
fn microseconds(text: &str) -> Option<f64> {
    let (number, factor) = if let Some(number) = text.strip_suffix("us") {
        (number, 1.0)
    } else if let Some(number) = text.strip_suffix("ms") {
        (number, 1e3)
    } else {
        (text.strip_suffix('s')?, 1e6)
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

/// `"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"`.
/// It does not say how many requests there were; the caller does.
fn parse_redis_benchmark(text: &str) -> Option<Answer> {
    let fields: Vec<f64> = text
        .lines()
        .find(|line| line.starts_with("\"GET\""))?
        .split(',')
        .skip(1)
        .map(|field| field.trim_matches('"').parse().ok())
        .collect::<Option<_>>()?;
    let &[rate, _, _, p50, _, p99, ..] = &fields[..] else { return None };
    Some(Answer { requests: 0, rate, p50: p50 * 1e3, p99: p99 * 1e3 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_wrk() {
        let text = "Running 1s test @ http://127.0.0.1:1/\n  2 threads and 16 connections\n  \
            Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency   369.04us  512.00us  12.00ms   93.38%\n  \
            Latency Distribution\n     50%  212.00us\n     75%  340.00us\n     90%    0.86ms\n     99%    2.50ms\n  \
            48233 requests in 1.10s, 39.15MB read\nRequests/sec:  43853.52\nTransfer/sec:     35.60MB\n";
        let answer = parse_wrk(text).unwrap();
        assert_eq!(answer, Answer { requests: 48_233, rate: 43_853.52, p50: 212.0, p99: 2500.0 });
        assert!(
            parse_wrk(&format!("{text}  Socket errors: connect 0, read 3, write 0, timeout 0\n")).is_none()
        );
    }

    #[test]
    fn reads_redis_benchmark() {
        let text = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\"p95_latency_ms\",\
            \"p99_latency_ms\",\"max_latency_ms\"\n\"GET\",\"80000.00\",\"0.2\",\"0.1\",\"0.191\",\"0.3\",\"0.5\",\"2\"\n";
        assert_eq!(
            parse_redis_benchmark(text).unwrap(),
            Answer { requests: 0, rate: 80_000.0, p50: 191.0, p99: 500.0 }
        );
    }
}
