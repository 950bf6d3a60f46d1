//! W3C trace context, in whatever carries it: headers of HTTP, gRPC, Kafka, AMQP, NATS, MQTT 5, comments in SQL.

use super::{TraceParent, text};

/// Longest `tracestate` that is kept (the recommendation asks for 512 at least).
const MAX_STATE: usize = 512;

/// Reads `traceparent` (W3C Trace Context, 3.2). A higher version than 00 is read as far as 00 goes.
#[must_use]
pub fn trace_parent(value: &[u8]) -> Option<TraceParent> {
    let (fields, rest) = value.split_at_checked(55)?;
    let version = hex::<1>(&fields[..2])?[0];
    let extensible = version != 0 && rest.first() == Some(&b'-');
    if version == 0xff || !(rest.is_empty() || extensible) || [2, 35, 52].iter().any(|&at| fields[at] != b'-')
    {
        return None;
    }
    let trace = hex(&fields[3..35])?;
    let span = hex(&fields[36..52])?;
    let flags = hex::<1>(&fields[53..55])?[0];
    (trace != [0; 16] && span != [0; 8]).then_some(TraceParent { trace, span, flags, state: None })
}

/// Lower-case hexadecimal, as the recommendation demands.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

/// The fields `tracestate` in one; of one that is too long, whole entries from the right go (W3C Trace Context, 3.3.1.5).
pub fn trace_state<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Option<Box<str>> {
    let mut state = String::new();
    for field in fields {
        if !state.is_empty() {
            state.push(',');
        }
        text::push_lossy(&mut state, field);
    }
    if state.len() > MAX_STATE {
        let fits = state.as_bytes()[..=MAX_STATE].iter().rposition(|&byte| byte == b',');
        state.truncate(fits.unwrap_or(0));
    }
    (!state.is_empty()).then(|| state.into_boxed_str())
}

/// The context that a `traceparent` and the `tracestate` beside it give, if any.
#[must_use]
pub fn parent(traceparent: &[u8], tracestate: Option<&[u8]>) -> Option<TraceParent> {
    let parent = trace_parent(traceparent)?;
    Some(TraceParent { state: trace_state(tracestate), ..parent })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// The recommendation's example, and what it calls invalid.
    #[test]
    fn trace_parents() {
        let parent = trace_parent(VALID.as_bytes()).unwrap();
        assert_eq!(parent.trace[..4], [0x4b, 0xf9, 0x2f, 0x35]);
        assert_eq!(parent.span, [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        assert_eq!(parent.flags, 1);
        assert!(trace_parent(VALID.replacen("00", "cc", 1).as_bytes()).is_some());
        assert!(trace_parent((VALID.replacen("00", "cc", 1) + "-what").as_bytes()).is_some());
        for invalid in [
            "".to_owned(),
            VALID[..54].to_owned(),
            VALID.to_uppercase(),
            VALID.replacen("00", "ff", 1),
            VALID.to_owned() + "-what",
            VALID.replacen("00", "cc", 1) + "what",
            VALID.replace('-', "_"),
            VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            VALID.replace("00f067aa0ba902b7", &"0".repeat(16)),
        ] {
            assert_eq!(trace_parent(invalid.as_bytes()), None, "{invalid}");
        }
    }

    /// The two fields together; a state without a parent is nothing.
    #[test]
    fn both() {
        let told = parent(VALID.as_bytes(), Some(b"a=1,b=2")).unwrap();
        assert_eq!(told.state.as_deref(), Some("a=1,b=2"));
        assert_eq!(parent(VALID.as_bytes(), None).unwrap().state, None);
        assert_eq!(parent(b"00", Some(b"a=1")), None);
        let long = format!("{},z={}", "k=0123456789,".repeat(30), "z".repeat(200));
        assert_eq!(trace_state([long.as_bytes()]).unwrap().len(), 30 * 13);
    }
}
