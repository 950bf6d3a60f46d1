//! The texts of a request that its attributes need: bounded, valid UTF-8, in one allocation.

use super::head;

/// Texts of a request that are kept, in the order in which they lie in [`Texts`].
#[derive(Clone, Copy)]
pub(super) enum Field {
    Method,
    Target,
    Host,
    UserAgent,
    /// The client that the first proxy saw.
    Client,
    /// The host that the client asked the first proxy for.
    OriginalHost,
    /// The scheme that the client used with the first proxy.
    OriginalScheme,
}

impl Field {
    const COUNT: usize = 7;
    /// Bytes kept of each.
    const LIMITS: [usize; Self::COUNT] = [head::MAX_METHOD, 2048, 256, 512, 128, 256, 8];

    /// Bytes kept of it.
    pub fn limit(self) -> usize {
        Self::LIMITS[self as usize]
    }
}

/// Longest `tracestate` that is kept (the recommendation asks for 512 at least).
const MAX_TRACESTATE: usize = 512;

/// Several texts in one allocation; an absent one is empty.
#[derive(Debug)]
pub(super) struct Texts {
    text: Box<str>,
    ends: [u16; Field::COUNT],
}

impl Texts {
    pub fn new(fields: [&[u8]; Field::COUNT]) -> Self {
        let fields: [&[u8]; Field::COUNT] =
            std::array::from_fn(|index| cut(fields[index], Field::LIMITS[index]));
        let mut text = String::with_capacity(fields.iter().map(|field| field.len()).sum());
        let ends = fields.map(|field| {
            push_lossy(&mut text, field);
            // Three times the sum of the limits at most, if every byte is replaced.
            u16::try_from(text.len()).unwrap_or(u16::MAX)
        });
        Self { text: text.into_boxed_str(), ends }
    }

    /// Bytes of all.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    pub fn get(&self, field: Field) -> &str {
        let index = field as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        self.text.get(usize::from(start)..usize::from(self.ends[index])).unwrap_or_default()
    }

    pub fn find(&self, field: Field) -> Option<&str> {
        Some(self.get(field)).filter(|text| !text.is_empty())
    }
}

/// At most `limit` bytes, and no part of a UTF-8 sequence at their end.
fn cut(bytes: &[u8], limit: usize) -> &[u8] {
    if bytes.len() <= limit {
        return bytes;
    }
    let inside = (0..4).take_while(|back| back < &limit && bytes[limit - back] & 0xc0 == 0x80).count();
    &bytes[..limit - inside]
}

/// Appends text with invalid UTF-8 replaced, and control characters (folded lines) as spaces.
fn push_lossy(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        if chunk.valid().bytes().any(|byte| byte.is_ascii_control()) {
            out.extend(chunk.valid().chars().map(|c| if c.is_ascii_control() { ' ' } else { c }));
        } else {
            out.push_str(chunk.valid());
        }
        if !chunk.invalid().is_empty() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// `tracestate` fields in one; of one that is too long, whole entries from the right go (W3C Trace Context,
/// 3.3.1.5).
pub(super) fn trace_state(fields: &[Option<&[u8]>]) -> Option<Box<str>> {
    let mut state = String::new();
    for field in fields.iter().flatten() {
        if !state.is_empty() {
            state.push(',');
        }
        push_lossy(&mut state, field);
    }
    if state.len() > MAX_TRACESTATE {
        let fits = state.as_bytes()[..=MAX_TRACESTATE].iter().rposition(|&byte| byte == b',');
        state.truncate(fits.unwrap_or(0));
    }
    (!state.is_empty()).then(|| state.into_boxed_str())
}
