//! The tiers: each its own way to learn that bytes moved.

mod fentry;
mod function;
mod kprobe;
mod sender;
mod socket;
mod syscall;
