//! The ABI shared by Remora's eBPF programs and the agent.
//!
//! Everything that crosses the border between kernel and user space is declared here, once: the records of
//! the ring buffer ([`record`]), the values of the maps ([`maps`]), the loss counters ([`loss`]) and the
//! offsets of kernel fields that the agent resolves from BTF ([`offsets`]). All types are `#[repr(C)]`
//! without padding; their sizes are asserted at compile time, and since both sides compile this very file,
//! on both sides.
#![no_std]

pub mod loss;
pub mod maps;
pub mod offsets;
pub mod record;

/// Types that may be read from and written to raw bytes: `#[repr(C)]`, no padding, every bit pattern valid.
///
/// # Safety
/// The implementor promises exactly that.
pub unsafe trait Plain: Copy + 'static {
    /// The value's bytes.
    fn as_bytes(&self) -> &[u8] {
        // SAFETY: a `Plain` type has no padding, so each of its bytes is initialised.
        unsafe { core::slice::from_raw_parts((self as *const Self).cast(), size_of::<Self>()) }
    }

    /// The value that the first bytes of `bytes` hold, or `None` if there are too few. Alignment is of no matter.
    fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < size_of::<Self>() {
            return None;
        }
        // SAFETY: the length was checked, any bits make a `Plain` value, and the read is unaligned.
        Some(unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() })
    }
}

/// Declares types as [`Plain`] and asserts their sizes.
macro_rules! plain {
    ($($type:ty = $size:expr),+ $(,)?) => {$(
        const _: () = assert!(size_of::<$type>() == $size, stringify!($type));
        // SAFETY: `#[repr(C)]`, integers only, and the asserted size leaves no room for padding.
        unsafe impl $crate::Plain for $type {}
    )+};
}
pub(crate) use plain;
