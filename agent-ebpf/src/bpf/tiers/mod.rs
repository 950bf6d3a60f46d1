//! The tiers: each its own way to learn that bytes moved.

mod socket;
mod syscall;
