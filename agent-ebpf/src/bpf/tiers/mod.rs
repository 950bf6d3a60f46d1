//! The tiers: each its own way to learn that bytes moved.

mod sender;
mod socket;
mod syscall;
