//! Is it PostgreSQL? A run is read as a chain of messages; each is checked as deeply as its kind allows.
//!
//! Lengths must fit, contents must be what the kind says. Messages that other protocols' bytes could hardly be decide alone;
//! of the small ones there must be two, or the other end must look like PostgreSQL, too.

use super::message::{
    Backend, CANCEL_REQUEST, Frontend, GSSENC_REQUEST, HEADER, SSL_REQUEST, is_version, text, u16_at, u32_at,
};
use crate::protocol::frames::{Framing, Measure};
use crate::protocol::sql::begins_with_command;
use crate::protocol::{Inference, Run, Stream};

/// Bytes of a run that are looked at.
const MOST: usize = 512;
/// A longer message is not believed at a first look.
const MOST_LENGTH: u64 = 64 << 20;

/// What a message says about the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// It is not one.
    Wrong,
    /// Nothing.
    None,
    /// It looks like one.
    Weak,
    /// It is one.
    Strong,
}

/// A chain of messages.
#[derive(Clone, Copy, Debug, Default)]
struct Chain {
    sound: bool,
    weak: u32,
    strong: u32,
    /// The last message ends where the bytes do.
    whole: bool,
}

impl Chain {
    fn decides(self) -> bool {
        self.sound && (self.strong > 0 || self.weak > 1)
    }
}

/// What a run's first bytes say.
pub(super) fn infer(run: &Run<'_>) -> Inference {
    if run.bytes[0] == 0 {
        return opening(run);
    }
    let front = chain(run.bytes, &Frontend, frontend_sign);
    let back = chain(run.bytes, &Backend { letter: false }, backend_sign);
    let all = run.passed == run.bytes.len() as u64;
    match (front.decides(), back.decides()) {
        (true, false) => Inference::Yes(Stream::ToServer),
        (false, true) => Inference::Yes(Stream::ToClient),
        (true, true) if front.strong > back.strong => Inference::Yes(Stream::ToServer),
        (true, true) if back.strong > front.strong => Inference::Yes(Stream::ToClient),
        _ => {
            match (front.sound && front.whole && front.weak > 0, back.sound && back.whole && back.weak > 0) {
                (true, false) if all => Inference::Likely(Stream::ToServer),
                (false, true) if all => Inference::Likely(Stream::ToClient),
                _ if (front.sound || back.sound) && all && run.bytes.len() < MOST => Inference::Maybe,
                _ => Inference::No,
            }
        }
    }
}

/// Do the client's messages begin so?
pub(super) fn is_frontend(bytes: &[u8]) -> bool {
    if bytes[0] == 0 {
        let run = Run { bytes, passed: bytes.len() as u64, opening: false, stream: None };
        return opening(&run) == Inference::Yes(Stream::ToServer);
    }
    let chain = chain(bytes, &Frontend, frontend_sign);
    chain.sound && chain.weak + chain.strong > 0
}

/// Do the server's messages begin so?
pub(super) fn is_backend(bytes: &[u8]) -> bool {
    let chain = chain(bytes, &Backend { letter: false }, backend_sign);
    chain.sound && chain.weak + chain.strong > 0
}

/// What opens a connection: nothing follows it before the server has answered.
fn opening(run: &Run<'_>) -> Inference {
    let bytes = run.bytes;
    let (Some(length), Some(code)) = (u32_at(bytes, 0), u32_at(bytes, 4)) else {
        let begun = b"\0\0".starts_with(&bytes[..bytes.len().min(2)]);
        return if begun { Inference::Maybe } else { Inference::No };
    };
    let Measure::Message { .. } = Frontend.measure(bytes) else { return Inference::No };
    let whole = run.passed == u64::from(length);
    let fits = match code {
        SSL_REQUEST | GSSENC_REQUEST | CANCEL_REQUEST => whole,
        _ => is_version(code) && whole && is_startup(&bytes[8..], bytes.len() == length as usize),
    };
    match fits {
        true => Inference::Yes(Stream::ToServer),
        false if run.passed < u64::from(length) => Inference::Maybe,
        false => Inference::No,
    }
}

/// Names and values, `user` among them.
fn is_startup(mut rest: &[u8], complete: bool) -> bool {
    let mut user = false;
    while let Some((key, behind)) = text(rest) {
        if key.is_empty() {
            return user && behind.is_empty();
        }
        let named = key.iter().all(|byte| byte.is_ascii_graphic());
        let Some((_, behind)) = text(behind).filter(|_| named) else { return named && user && !complete };
        user |= key == b"user";
        rest = behind;
    }
    user && !complete
}

fn chain(bytes: &[u8], framing: &impl Framing, sign: fn(u8, &[u8], bool) -> Sign) -> Chain {
    let mut rest = &bytes[..bytes.len().min(MOST)];
    let mut chain = Chain { sound: true, ..Chain::default() };
    while !rest.is_empty() {
        let length = match framing.measure(rest) {
            Measure::Message { length, .. } if length <= MOST_LENGTH && rest[0] != 0 => length,
            Measure::More => return chain,
            _ => return Chain::default(),
        };
        let complete = rest.len() as u64 >= length;
        let end = if complete { length as usize } else { rest.len() };
        match sign(rest[0], &rest[HEADER..end], complete) {
            Sign::Wrong => return Chain::default(),
            Sign::None => {}
            Sign::Weak => chain.weak += 1,
            Sign::Strong => chain.strong += 1,
        }
        if !complete {
            return chain;
        }
        rest = &rest[end..];
    }
    chain.whole = bytes.len() <= MOST;
    chain
}

fn when(holds: bool, sign: Sign) -> Sign {
    if holds { sign } else { Sign::Wrong }
}

/// A statement's text: no control characters.
fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte >= b' ' || matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c))
}

/// A name ends here, and the rest is so long.
fn names(body: &[u8], count: usize, rest: usize) -> bool {
    let mut body = body;
    for _ in 0..count {
        let Some((name, behind)) = text(body).filter(|(name, _)| is_text(name)) else { return false };
        let _ = name;
        body = behind;
    }
    body.len() == rest
}

fn frontend_sign(kind: u8, body: &[u8], complete: bool) -> Sign {
    match kind {
        b'Q' => query_sign(body, complete, 0),
        b'P' => match text(body) {
            Some((name, query)) if is_text(name) => {
                let Some((sql, types)) = text(query) else { return query_sign(query, false, 0) };
                let count = u16_at(types, 0).map(usize::from);
                let fits = !complete || count.is_some_and(|count| types.len() == 2 + 4 * count);
                when(is_text(sql) && fits, if complete { Sign::Strong } else { Sign::Weak })
            }
            None if !complete => when(is_text(body), Sign::None),
            _ => Sign::Wrong,
        },
        b'B' if complete => bind_sign(body),
        b'B' => Sign::None,
        b'E' if complete => when(names(body, 1, 4), Sign::Weak),
        b'D' | b'C' if complete => {
            let name = body.strip_prefix(b"S").or(body.strip_prefix(b"P"));
            when(name.is_some_and(|name| names(name, 1, 0)), Sign::Weak)
        }
        b'S' | b'H' | b'X' | b'c' => Sign::Weak,
        b'f' if complete => when(names(body, 1, 0), Sign::Weak),
        // Anything may be in a copy's data, a password or an argument.
        _ => Sign::None,
    }
}

fn query_sign(body: &[u8], complete: bool, behind: usize) -> Sign {
    let sql = match text(body) {
        Some((sql, rest)) if complete && rest.len() == behind => sql,
        None if !complete => body,
        _ => return Sign::Wrong,
    };
    if !is_text(sql) {
        return Sign::Wrong;
    }
    if begins_with_command(sql) { Sign::Strong } else { Sign::Weak }
}

/// Bind: formats, parameters and formats of results, to the last byte.
fn bind_sign(body: &[u8]) -> Sign {
    let formats = |at: usize| {
        let count = usize::from(u16_at(body, at)?);
        let end = at + 2 + 2 * count;
        let all = body.get(at + 2..end)?.chunks_exact(2).all(|format| matches!(format, [0, 0 | 1]));
        all.then_some(end)
    };
    let parse = || {
        let (_, rest) = text(body)?;
        let (_, rest) = text(rest)?;
        let mut at = formats(body.len() - rest.len())?;
        let count = u16_at(body, at)?;
        at += 2;
        for _ in 0..count {
            let length = u32_at(body, at)?;
            at += 4;
            if length != u32::MAX {
                at = at.checked_add(length as usize).filter(|at| *at <= body.len())?;
            }
        }
        let end = formats(at)?;
        (end == body.len()).then_some(if count > 0 { Sign::Strong } else { Sign::Weak })
    };
    parse().unwrap_or(Sign::Wrong)
}

fn backend_sign(kind: u8, body: &[u8], complete: bool) -> Sign {
    match kind {
        b'1' | b'2' | b'3' | b'n' | b'I' | b's' | b'c' => Sign::Weak,
        b'Z' if complete => when(matches!(body, [b'I' | b'T' | b'E']), Sign::Weak),
        b'T' => row_description_sign(body, complete),
        b'D' if complete => when(is_row(body), Sign::Weak),
        b'C' if complete => {
            let tag = body.split_last().filter(|(last, _)| **last == 0).map(|(_, tag)| tag);
            when(
                tag.is_some_and(|tag| {
                    tag.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b' ')
                        && begins_with_command(tag)
                }),
                Sign::Strong,
            )
        }
        b'E' | b'N' => error_sign(body, complete),
        b'S' if complete => match text(body) {
            Some((name, value)) if is_text(name) && names(value, 1, 0) => {
                let known: [&[u8]; 4] = [
                    b"server_version",
                    b"client_encoding",
                    b"standard_conforming_strings",
                    b"application_name",
                ];
                if known.contains(&name) { Sign::Strong } else { Sign::Weak }
            }
            _ => Sign::Wrong,
        },
        b'R' if complete => match (u32_at(body, 0), body.len()) {
            // Ok, cleartext, MD5, SASL with its mechanisms; GSS, SSPI.
            (Some(0 | 3), 4) | (Some(5), 8) => Sign::Strong,
            (Some(10), _) => when(body.ends_with(b"\0\0") && is_mechanism(&body[4..]), Sign::Strong),
            (Some(2 | 7 | 9), 4) => Sign::Weak,
            (Some(8 | 11 | 12), _) => Sign::Weak,
            _ => Sign::Wrong,
        },
        b't' if complete => {
            when(u16_at(body, 0).is_some_and(|n| body.len() == 2 + 4 * usize::from(n)), Sign::Weak)
        }
        b'G' | b'H' | b'W' if complete => {
            let count = u16_at(body, 1).map(usize::from);
            let formats = body.get(3..).unwrap_or_default();
            let fits = count.is_some_and(|count| formats.len() == 2 * count);
            when(
                fits && body[0] < 2 && formats.chunks_exact(2).all(|format| matches!(format, [0, 0 | 1])),
                Sign::Weak,
            )
        }
        b'A' if complete => when(body.len() > 4 && names(&body[4..], 2, 0), Sign::Weak),
        b'K' if complete => when(body.len() >= 8, Sign::Weak),
        _ => Sign::None,
    }
}

fn is_mechanism(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(u8::is_ascii_uppercase)
}

/// Columns: each a name and 18 bytes, of which the last two are the format.
fn row_description_sign(body: &[u8], complete: bool) -> Sign {
    let Some(count) = u16_at(body, 0) else { return when(!complete, Sign::None) };
    let mut rest = &body[2..];
    for column in 0..count {
        let Some((name, behind)) = text(rest) else {
            return when(!complete && is_text(rest), if column > 0 { Sign::Strong } else { Sign::None });
        };
        let Some((column_facts, behind)) = behind.split_at_checked(18) else {
            return when(!complete, if column > 0 { Sign::Strong } else { Sign::None });
        };
        if !is_text(name) || !matches!(column_facts[16..], [0, 0 | 1]) {
            return Sign::Wrong;
        }
        rest = behind;
    }
    when(complete && rest.is_empty(), if count > 0 { Sign::Strong } else { Sign::Weak })
}

/// Values: each a length and so many bytes.
fn is_row(body: &[u8]) -> bool {
    let Some(count) = u16_at(body, 0) else { return false };
    let mut rest = &body[2..];
    for _ in 0..count {
        let Some(length) = u32_at(rest, 0) else { return false };
        let length = if length == u32::MAX { 0 } else { length as usize };
        let Some(behind) = rest.get(4..).and_then(|rest| rest.get(length..)) else { return false };
        rest = behind;
    }
    rest.is_empty()
}

/// Severity, perhaps translated, then again in English, then the code.
fn error_sign(body: &[u8], complete: bool) -> Sign {
    const SEVERITIES: [&[u8]; 8] =
        [b"ERROR", b"FATAL", b"PANIC", b"WARNING", b"NOTICE", b"DEBUG", b"INFO", b"LOG"];
    let Some((_, rest)) = body.strip_prefix(b"S").and_then(text) else {
        return when(!complete && body.is_empty(), Sign::None);
    };
    let severity = rest.strip_prefix(b"V").and_then(text);
    match (severity, rest) {
        (Some((severity, rest)), _) => {
            let coded = rest.first().is_none_or(|kind| *kind == b'C');
            when(SEVERITIES.contains(&severity) && coded, Sign::Strong)
        }
        // Before 9.6.
        (None, [b'C', ..]) => Sign::Weak,
        _ => when(!complete, Sign::None),
    }
}
