//! Header blocks become requests, responses and trailers.

use super::fields::{Gathered, Name};
use super::parser::{Block, Http2Parser};
use super::streams::Stream as Exchanges;
use crate::protocol::grpc::{Call, Messages, is_grpc};
use crate::protocol::http::{self, HttpDetail, Version};
use crate::protocol::{Exchange, Moment, Stream};

impl Http2Parser {
    /// A block of the client's: a request's head, or trailers.
    pub(super) fn request(&mut self, block: &Block, at: Moment) {
        let id = block.stream;
        if let Some(stream) = self.streams.get_mut(id) {
            stream.request_ended |= block.end_stream;
            return;
        }
        // A stream of a client's is used once, and their numbers rise (RFC 9113, 5.1.1).
        if id.is_multiple_of(2) || id <= self.highest || !self.gathered.is_request() {
            return;
        }
        self.highest = id;
        let mut detail = Box::new(HttpDetail::new(&self.shared, &self.gathered.request()));
        detail.unknown_fields = self.gathered.unknown;
        let call = call_of(&self.gathered, self.gathered.get(Name::GrpcTimeout)).map(Box::new);
        let mut stream = Exchanges::new(block.start, detail, call);
        stream.request_ended = block.end_stream;
        if block.end_stream {
            stream.bodies[Stream::ToServer as usize] = None;
        }
        stream.start.unit = at.unit;
        if !self.streams.insert(id, stream) {
            self.losses.over_limit += 1;
        }
    }

    /// A block of the server's: an interim or final response's head, or trailers.
    pub(super) fn response(&mut self, block: &Block, at: Moment, out: &mut Vec<Exchange>) {
        let id = block.stream;
        let gathered = &self.gathered;
        let status = gathered.status();
        let Some(stream) = self.streams.get_mut(id) else {
            let final_head = !gathered.is_trailers() && status.is_none_or(|status| status >= 200);
            if final_head && id % 2 == 1 && !self.was_told(id) {
                self.losses.unpaired_responses += 1;
            }
            return;
        };
        stream.heard();
        if status.is_some_and(|status| status < 200) {
            return;
        }
        let trailers = gathered.is_trailers() || (stream.first_byte.is_some() && status.is_none());
        stream.detail.unknown_fields += gathered.unknown;
        if !trailers {
            stream.first_byte = Some(block.start.time);
            if block.end_stream {
                stream.bodies[Stream::ToClient as usize] = None;
            } else if status.is_some() {
                // Nothing of it was before, whatever was lost.
                stream.bodies[Stream::ToClient as usize] = Some(0);
                if let Some(call) = &mut stream.call {
                    call.responses = Messages::default();
                }
            }
            if let Some(status) = status {
                stream.detail.answered(status, Version::Http2, &gathered.fields());
            }
            match (&mut stream.call, call_of(gathered, None)) {
                // The request's content type was hidden; that it is a call was found too late to count its messages.
                (call @ None, Some(of_response)) if of_response.certain => {
                    let call = call.insert(Box::new(of_response));
                    call.requests.lose();
                }
                (Some(call), Some(of_response)) => call.certain |= of_response.certain,
                // Something that is known, and is not gRPC.
                (Some(call), None) if !call.certain => stream.call = None,
                _ => {}
            }
        }
        if let Some(call) = &mut stream.call
            && (trailers || block.end_stream)
        {
            call.trailers |= trailers;
            call.ended(gathered.get(Name::GrpcStatus), gathered.get(Name::GrpcMessage), gathered.unknown);
        }
        if block.end_stream {
            self.end_stream(Stream::ToClient, id, at, out);
        }
    }
}

/// The call that a head begins, or may begin if its content type is among what could not be read.
fn call_of(gathered: &Gathered, timeout: Option<&[u8]>) -> Option<Call> {
    match gathered.get(Name::Common(http::Name::ContentType)) {
        Some(content_type) => is_grpc(content_type).then(|| Call::new(true, timeout)),
        None => (gathered.unknown > 0).then(|| Call::new(timeout.is_some(), timeout)),
    }
}
