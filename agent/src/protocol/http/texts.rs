//! The texts of a request that its attributes need: bounded, valid UTF-8, in one allocation.

use super::MAX_METHOD;
use crate::protocol::text;

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
    /// As the request's head says it.
    Scheme,
}

impl Field {
    const COUNT: usize = 8;
    /// Bytes kept of each.
    const LIMITS: [usize; Self::COUNT] = [MAX_METHOD, 2048, 256, 512, 128, 256, 8, 8];

    /// Bytes kept of it.
    pub fn limit(self) -> usize {
        Self::LIMITS[self as usize]
    }
}

/// Several texts in one allocation; an absent one is empty.
#[derive(Clone, Debug)]
pub(super) struct Texts {
    text: Box<str>,
    ends: [u16; Field::COUNT],
}

impl Texts {
    pub fn new(fields: [&[u8]; Field::COUNT]) -> Self {
        let fields: [&[u8]; Field::COUNT] =
            std::array::from_fn(|index| text::cut(fields[index], Field::LIMITS[index]));
        let mut all = String::with_capacity(fields.iter().map(|field| field.len()).sum());
        let ends = fields.map(|field| {
            text::push_lossy(&mut all, field);
            // Three times the sum of the limits at most, if every byte is replaced.
            u16::try_from(all.len()).unwrap_or(u16::MAX)
        });
        Self { text: all.into_boxed_str(), ends }
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
