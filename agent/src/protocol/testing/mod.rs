//! What the tests, the fuzz targets and the benchmarks of all protocols share: conversations, and what a parser makes of
//! them in one piece, in pieces, from the middle, and with bytes missing.

#[cfg(test)]
pub mod checks;
pub mod conversation;
pub mod drive;
pub mod fuzz;

pub use conversation::Conversation;
pub use drive::{Driver, Played};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Stream;
    /// What is written is read again, whatever bytes it holds.
    #[test]
    fn round_trip() {
        let every: Vec<u8> = (0..=255).collect();
        let conversation = Conversation { protocol: "x".into(), ..Conversation::new() }
            .client(b"+OK ")
            .server(every)
            .piece(Stream::ToServer, b"", 7)
            .piece(Stream::ToServer, b"+2 a", 3);
        assert_eq!(Conversation::parse(&conversation.to_string()), Ok(conversation));
        assert!(Conversation::parse("C 0 \\q").is_err());
        assert!(Conversation::parse("X 0 a").is_err());
        assert!(Conversation::parse("C a a").is_err());
    }
}
