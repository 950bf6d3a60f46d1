//! Properties of version 5 (2.2.2).

use super::packet::{Reader, variable};
use crate::protocol::{TraceParent, context};

/// Properties of one packet that are looked at.
const MAX_PROPERTIES: usize = 128;

/// What is read of a packet's properties.
#[derive(Debug, Default)]
pub(super) struct Properties<'a> {
    /// Bytes of all, with their length.
    pub size: usize,
    /// They were read to their end.
    pub whole: bool,
    /// There are user properties.
    pub user: bool,
    /// Topic alias.
    pub alias: Option<u16>,
    /// Reason string.
    pub reason: Option<&'a [u8]>,
    /// Assigned client identifier.
    pub client: Option<&'a [u8]>,
    traceparent: Option<&'a [u8]>,
    tracestate: Option<&'a [u8]>,
}

impl Properties<'_> {
    /// Trace context of the user properties (W3C Trace Context for MQTT).
    pub fn parent(&self) -> Option<TraceParent> {
        context::parent(self.traceparent?, self.tracestate)
    }
}

/// Reads properties; `None` if there is not even their length.
pub(super) fn read(bytes: &[u8]) -> Option<Properties<'_>> {
    let (length, before) = variable(bytes)?;
    let length = length as usize;
    let here = &bytes[before..];
    let mut out = Properties { size: before + length, ..Properties::default() };
    let mut reader = Reader(&here[..here.len().min(length)]);
    for _ in 0..MAX_PROPERTIES {
        if reader.0.is_empty() {
            out.whole = here.len() >= length;
            break;
        }
        if one(&mut reader, &mut out).is_none() {
            break;
        }
    }
    Some(out)
}

fn one<'a>(reader: &mut Reader<'a>, out: &mut Properties<'a>) -> Option<()> {
    match reader.byte()? {
        0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => _ = reader.byte()?,
        0x23 => out.alias = Some(reader.short()?),
        0x13 | 0x21 | 0x22 => _ = reader.short()?,
        0x02 | 0x11 | 0x18 | 0x27 => _ = reader.take(4)?,
        0x0b => {
            let (_, size) = variable(reader.0)?;
            reader.take(size)?;
        }
        0x12 => out.client = Some(reader.string()?),
        0x1f => out.reason = Some(reader.string()?),
        0x03 | 0x08 | 0x09 | 0x15 | 0x16 | 0x1a | 0x1c => _ = reader.string()?,
        0x26 => {
            let (name, value) = (reader.string()?, reader.string()?);
            out.user = true;
            if name.eq_ignore_ascii_case(b"traceparent") {
                out.traceparent = Some(value);
            } else if name.eq_ignore_ascii_case(b"tracestate") {
                out.tracestate = Some(value);
            }
        }
        _ => return None,
    }
    Some(())
}
