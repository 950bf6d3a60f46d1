//! `cargo xtask load`: a small, steady load on the demo application, as a few visitors would make it.
//!
//! Bounded in rate, time and count. Every request carries an `x-request-id` of its own, and the whole sequence is the
//! same in every run.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::http::{Connection, Request};
use crate::process;

#[derive(clap::Args)]
pub struct Args {
    /// Address of the application's edge
    #[arg(long)]
    edge: SocketAddr,
    /// Requests a second
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    rate: u32,
    /// Ends after so many seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Ends after so many requests
    #[arg(long, default_value_t = u64::MAX)]
    count: u64,
}

/// A visitor sends at most this many requests a second, so that a slow page does not slow down the others.
const RATE_OF_A_VISITOR: u32 = 10;

/// Answers by status code; 0 stands for none.
type Answers = BTreeMap<u16, u64>;

pub fn main(args: &Args) -> Result<()> {
    let visitors = args.rate.div_ceil(RATE_OF_A_VISITOR).max(4);
    let start = Instant::now();
    let end = start + Duration::from_secs(args.seconds);
    let turn = AtomicU64::new(0);
    let answers = thread::scope(|scope| {
        let visit = |number| visitor(args, number, start, end, &turn);
        let threads: Vec<_> = (0..visitors).map(|number| scope.spawn(move || visit(number))).collect();
        let mut all = Answers::new();
        for thread in threads {
            for (status, count) in thread.join().unwrap_or_default() {
                *all.entry(status).or_default() += count;
            }
        }
        all
    });
    let total: u64 = answers.values().sum();
    let each: Vec<_> = answers
        .iter()
        .map(|(status, count)| match status {
            0 => format!("{count} without an answer"),
            status => format!("{count} x {status}"),
        })
        .collect();
    println!("{total} requests in {:.1} s: {}", start.elapsed().as_secs_f64(), each.join(", "));
    Ok(())
}

/// One visitor: session after session, each request in the turn that the common rate gives it.
fn visitor(args: &Args, number: u32, start: Instant, end: Instant, turn: &AtomicU64) -> Answers {
    let mut answers = Answers::new();
    let mut random = Random(u64::from(number));
    let mut connection = None;
    loop {
        for request in session(&mut random) {
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            let due = start + Duration::from_secs_f64(turn as f64 / f64::from(args.rate));
            process::pause(due.min(end).saturating_duration_since(Instant::now()));
            if turn >= args.count || due >= end || process::stop_requested() {
                return answers;
            }
            *answers.entry(send(args.edge, &mut connection, &request)).or_default() += 1;
        }
    }
}

/// Sends a request over the visitor's connection; returns the status, or 0 when there was no answer.
fn send(edge: SocketAddr, connection: &mut Option<Connection>, request: &Request) -> u16 {
    let mut to = match connection.take() {
        Some(open) => open,
        None => match Connection::open(edge) {
            Ok(fresh) => fresh,
            Err(_) => return 0,
        },
    };
    let status = to.send(request).unwrap_or(0);
    *connection = to.is_open().then_some(to);
    status
}

/// What one visitor does between coming and going.
fn session(random: &mut Random) -> Vec<Request> {
    let cart = random.uuid();
    let product = random.below(100) + 1;
    let mut targets = vec![
        "/".to_owned(),
        "/static/shop.css".to_owned(),
        "/static/logo.svg".to_owned(),
        format!("/products/{product}"),
        format!("/products/{product}/reviews"),
    ];
    if random.one_in(3) {
        targets.push(format!("/search?q=net&token={:016x}", random.next()));
    }
    if random.one_in(6) {
        targets.push("/products/13".to_owned()); // no recommendations for this one
    }
    if random.one_in(6) {
        targets.push(format!("/products/{}", 1_000 + random.below(1_000))); // long sold out
    }
    if random.one_in(8) {
        targets.push("/export".to_owned());
    }
    if random.one_in(12) {
        targets.push("/old-page".to_owned());
    }
    let mut requests: Vec<_> =
        targets.into_iter().map(|target| Request::get(target, random.uuid())).collect();

    let mut post = |target: String, body: serde_json::Value| {
        let (id, body) = (random.uuid(), Some(body.to_string()));
        requests.push(Request { method: "POST", target, body, id, last: false });
    };
    post(format!("/cart/{cart}/items"), serde_json::json!({ "product": product, "quantity": 2 }));
    let card = match product % 10 {
        0 => "declined",
        1 => "broken",
        _ => "valid",
    };
    post("/checkout".to_owned(), serde_json::json!({ "cart": &cart, "card": card }));
    let look = Request::get(format!("/cart/{cart}"), random.uuid());
    requests.insert(requests.len() - 1, look);

    // Half of the visitors say goodbye, the others' connections stay.
    let goodbye = random.one_in(2);
    if let Some(last) = requests.last_mut() {
        last.last = goodbye;
    }
    requests
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A UUID of version 4 (RFC 9562, section 5.4).
    fn uuid(&mut self) -> String {
        let (a, b) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            0x8000 | (b >> 48 & 0x3fff),
            b & 0xffff_ffff_ffff
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_fills_its_cart_before_it_pays() {
        let mut random = Random(7);
        for _ in 0..200 {
            let session = session(&mut random);
            let targets: Vec<_> = session.iter().map(|request| request.target.as_str()).collect();
            let items = targets.iter().position(|target| target.ends_with("/items")).unwrap();
            assert_eq!(targets.last(), Some(&"/checkout"));
            assert!(targets[items + 1].starts_with("/cart/"));
            assert_eq!(targets[0], "/");
        }
    }

    #[test]
    fn a_uuid_looks_like_one() {
        let uuid = Random(1).uuid();
        let lengths: Vec<_> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&uuid[14..15], "4");
    }
}
