//! Remora's eBPF programs.
//!
//! Thin by rule: the kernel says who moved how many bytes on which connection and copies the few that can matter;
//! nothing is parsed here but a signature of a run's first bytes. The programs of a tier differ in how they learn of
//! a call; what they do with it stands once, in [`segment`].
//!
//! Licence: MIT OR GPL-2.0, as the helpers ask.
#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", expect(unstable_features, reason = "inline assembly for this target"))]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

#[path = "bpf/connection.rs"]
mod connection;
#[path = "bpf/datagram.rs"]
mod datagram;
#[path = "bpf/globals.rs"]
mod globals;
#[path = "bpf/iterator.rs"]
mod iterator;
#[path = "bpf/kernel.rs"]
mod kernel;
#[path = "bpf/lifecycle.rs"]
mod lifecycle;
#[path = "bpf/pieces.rs"]
mod pieces;
#[path = "bpf/process.rs"]
mod process;
#[path = "bpf/registers.rs"]
mod registers;
#[path = "bpf/role.rs"]
mod role;
#[path = "bpf/segment.rs"]
mod segment;
#[path = "bpf/tiers/mod.rs"]
mod tiers;

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
