//! Status codes (`grpc/doc/statuscodes.md`), and what stands for one that was never sent.

use crate::protocol::Role;
use crate::protocol::http::Reset;

const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

pub const CANCELLED: u32 = 1;
pub const UNKNOWN: u32 = 2;
pub const DEADLINE_EXCEEDED: u32 = 4;
pub const PERMISSION_DENIED: u32 = 7;
pub const RESOURCE_EXHAUSTED: u32 = 8;
pub const UNIMPLEMENTED: u32 = 12;
pub const INTERNAL: u32 = 13;
pub const UNAVAILABLE: u32 = 14;
pub const DATA_LOSS: u32 = 15;
pub const UNAUTHENTICATED: u32 = 16;

/// The number in `grpc-status`.
pub fn number(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// `rpc.response.status_code`; a number that has no name is `UNKNOWN`, as clients take it.
pub fn name(status: u32) -> &'static str {
    usize::try_from(status).ok().and_then(|status| NAMES.get(status)).copied().unwrap_or("UNKNOWN")
}

/// The semantic conventions for gRPC: of a client, all but OK; of a server, what is its own fault.
pub fn is_error(status: u32, role: Role) -> bool {
    match role {
        Role::Client => status != 0,
        Role::Server => {
            matches!(status, UNKNOWN | DEADLINE_EXCEEDED | UNIMPLEMENTED | INTERNAL | UNAVAILABLE | DATA_LOSS)
                || status > UNAUTHENTICATED
        }
    }
}

/// What a client makes of a stream that was reset (`PROTOCOL-HTTP2.md`, "Errors"); `late` says that the deadline had
/// passed.
pub fn of_reset(reset: Reset, late: bool) -> u32 {
    match reset.code {
        7 => UNAVAILABLE,
        // Either end gives up when it passes.
        8 if late => DEADLINE_EXCEEDED,
        8 => CANCELLED,
        11 => RESOURCE_EXHAUSTED,
        12 => PERMISSION_DENIED,
        0..=10 => INTERNAL,
        _ => UNKNOWN,
    }
}

/// What a client makes of a response that is none of gRPC's (`http-grpc-status-mapping.md`).
pub fn of_http(status: u16) -> u32 {
    match status {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502 | 503 | 504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}
