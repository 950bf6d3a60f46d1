//! What the tests, the fuzz targets and the benchmarks of all protocols share: conversations, and what a parser makes of
//! them in one piece, in pieces, from the middle, and with bytes missing.

#[cfg(test)]
pub mod checks;
pub mod conversation;
pub mod drive;
pub mod fuzz;

pub use conversation::Conversation;
pub use drive::{Driver, Played};
