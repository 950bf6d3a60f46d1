//! Which failures are tried again, and when (OTLP specification, "Failures", "Throttling", "Retryable Response Codes").

use crate::config::RetryConfig;
use http::{HeaderMap, StatusCode, header};
use std::time::{Duration, SystemTime};

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The collector took the request, but may have rejected some records or have something to say.
    Delivered {
        /// How many records it rejected.
        rejected: u64,
        /// Why, in its words.
        message: String,
    },
    /// It may work later, not before `after` if the collector said so.
    Retry {
        /// The wait the collector asks for.
        after: Option<Duration>,
        /// What went wrong.
        failure: Failure,
    },
    /// Trying again cannot help.
    Refused(Failure),
    /// The destination is gone for good, and that was said already.
    Gone,
}

impl Outcome {
    pub(crate) fn retry(error: impl Into<String>, advice: impl Into<String>) -> Self {
        Outcome::Retry { after: None, failure: Failure { error: error.into(), advice: advice.into() } }
    }
}

/// A failed attempt in words: what happened, and what the user can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) error: String,
    pub(crate) advice: String,
}

/// Whether a gRPC status is worth another try, given the delay its `RetryInfo` asks for.
pub(super) fn is_retryable_code(code: tonic::Code, delay: Option<Duration>) -> bool {
    use tonic::Code;
    match code {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::ResourceExhausted => delay.is_some(),
        _ => false,
    }
}

/// Whether an HTTP status is worth another try.
pub(super) fn is_retryable_status(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// The wait of a `Retry-After` header: seconds, or an HTTP date (RFC 9110, section 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = http_date(text)?;
    Some(at.duration_since(now).unwrap_or(Duration::ZERO))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the only form of a date that may be sent.
fn http_date(text: &str) -> Option<SystemTime> {
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = text.split_once(", ")?.1.split(' ');
    let day: u64 = parts.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let month_name = parts.next()?;
    let month = months.iter().position(|name| *name == month_name)? as u64 + 1;
    let year: u64 = parts.next()?.parse().ok().filter(|year| (1970..10_000).contains(year))?;
    let mut clock = parts.next()?.split(':').map(|part| part.parse::<u64>().ok().filter(|part| *part <= 60));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if parts.next()? != "GMT" {
        return None;
    }
    // Days since the epoch in the proleptic Gregorian calendar, with years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

/// How long to wait after a failure, growing with each in a row.
#[derive(Debug)]
pub(crate) struct Backoff {
    config: RetryConfig,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(config: RetryConfig) -> Self {
        Self { config, failures: 0 }
    }

    /// Whether the last attempt failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Notes a failure and gives the wait that follows it.
    pub(crate) fn fail(&mut self) -> Duration {
        let doubled = self.config.initial_interval.saturating_mul(1 << self.failures.min(20));
        self.failures = self.failures.saturating_add(1);
        // Agents that lost the same collector must not come back all at once.
        doubled.min(self.config.max_interval).mul_f64(1.0 - fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use tonic::Code;

    /// The table of the specification, code by code.
    #[test]
    fn grpc_codes() {
        let retryable: Vec<i32> =
            (0..=16).filter(|code| is_retryable_code(Code::from_i32(*code), None)).collect();
        assert_eq!(retryable, [1, 4, 10, 11, 14, 15]);
        assert!(is_retryable_code(Code::ResourceExhausted, Some(Duration::ZERO)));
        assert!(!is_retryable_code(Code::InvalidArgument, Some(Duration::from_secs(1))));
    }

    /// Four statuses and no other.
    #[test]
    fn http_statuses() {
        let retryable: Vec<u16> =
            (100..600).filter(|status| is_retryable_status(StatusCode::from_u16(*status).unwrap())).collect();
        assert_eq!(retryable, [429, 502, 503, 504]);
    }

    /// Both forms of `Retry-After` are read; a time that is over is no wait.
    #[test]
    fn retry_after_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:00 GMT"), Some(Duration::ZERO));
        assert_eq!(
            read("Thu, 29 Feb 2024 00:00:00 GMT"),
            Some(Duration::from_secs(1_709_164_800 - 784_111_770))
        );
        for nonsense in ["soon", "-1", "1.5", "Sun, 06 Nov 1994", "Sun, 40 Nov 1994 08:49:37 GMT", ", , ,"] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    /// Waits double up to the longest, each within its half.
    #[test]
    fn backoff_grows() {
        let mut backoff = Backoff::new(RetryConfig::default());
        for expected in [1, 2, 4, 8, 16, 30, 30] {
            let wait = backoff.fail().as_secs_f64();
            let longest = f64::from(expected);
            assert!(wait > longest / 2.0 - 1e-9 && wait <= longest, "{wait} of {longest}");
        }
        assert!(backoff.is_failing());
        backoff.reset();
        assert!(!backoff.is_failing() && backoff.fail() <= Duration::from_secs(1));
        (0..100).for_each(|_| assert!(backoff.fail() <= Duration::from_secs(30)));
    }
}
