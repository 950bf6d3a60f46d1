//! SOAP 1.1 and 1.2 (W3C): the operation is what the body holds first.

use super::super::{Attributes, is};
use super::{Head, media_type, name};

/// Bytes of a message that are looked at.
const MOST_BYTES: usize = 16 * 1024;
/// Bytes of an element's name that are kept.
const MOST_ELEMENT: usize = 128;

/// A call.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    /// `SOAPAction`, or the media type's `action`.
    action: Option<Box<str>>,
    /// The first element in the body, without its namespace's prefix.
    pub operation: Option<Box<str>>,
    /// The response was a fault.
    pub fault: bool,
}

impl Call {
    pub fn of(head: &Head<'_>) -> Option<Self> {
        let media = head.fields.content_type.map(media_type).unwrap_or_default();
        let xml =
            is(media, b"text/xml") && head.fields.soap_action.is_some() || is(media, b"application/soap+xml");
        let action = head.fields.soap_action.or_else(|| {
            let parameters = head.fields.content_type?.split(|&byte| byte == b';').skip(1);
            parameters.map(<[u8]>::trim_ascii).find_map(|parameter| parameter.strip_prefix(b"action="))
        });
        let action = action.map(|action| action.trim_ascii()).map(|action| {
            let bare = action.strip_prefix(b"\"").and_then(|action| action.strip_suffix(b"\""));
            bare.unwrap_or(action)
        });
        let action = action.filter(|action| !action.is_empty()).map(name);
        xml.then(|| Self { action, ..Self::default() })
    }

    /// `rpc.*`; the conventions know no SOAP, so its own words begin with `remora`.
    pub fn describe(&self, out: &mut Attributes) -> Option<String> {
        out.text("rpc.system.name", "soap");
        if let Some(operation) = &self.operation {
            out.text("rpc.method", operation.to_string());
        }
        if let Some(action) = &self.action {
            out.text("remora.soap.action", action.to_string());
        }
        self.fault.then(|| "soap_fault".to_owned())
    }
}

/// Looks for the first element inside `Body`.
#[derive(Clone, Debug, Default)]
pub(super) struct Envelope {
    read: usize,
    state: State,
    element: Vec<u8>,
    in_body: bool,
    over: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Between tags.
    #[default]
    Text,
    /// In an element's name.
    Name,
    /// Behind it.
    Rest,
}

impl Envelope {
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Reads the next bytes; the element's name once it is there.
    pub fn read(&mut self, bytes: &[u8]) -> Option<Box<str>> {
        for &byte in bytes {
            if self.over {
                break;
            }
            self.read += 1;
            self.over = self.read >= MOST_BYTES;
            match (self.state, byte) {
                (State::Text, b'<') => {
                    self.element.clear();
                    self.state = State::Name;
                }
                (State::Text, _) => {}
                (State::Name, b' ' | b'>' | b'\t' | b'\r' | b'\n') => {
                    self.state = if byte == b'>' { State::Text } else { State::Rest };
                    // Without the prefix; an end tag or an instruction begins with a mark.
                    let element = self.element.rsplit(|&byte| byte == b':').next().unwrap_or_default();
                    let element = element.strip_suffix(b"/").unwrap_or(element);
                    let starts = !matches!(self.element.first(), None | Some(b'/' | b'?' | b'!'));
                    if starts && self.in_body {
                        self.over = true;
                        return Some(name(element));
                    }
                    self.in_body |= starts && element == b"Body";
                }
                (State::Name, _) if self.element.len() < MOST_ELEMENT => self.element.push(byte),
                (State::Name, _) => {}
                (State::Rest, b'>') => self.state = State::Text,
                (State::Rest, _) => {}
            }
        }
        None
    }
}
