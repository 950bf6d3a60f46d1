//! The user registers of the current system call, and with them its arguments and the goroutine.

use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_task_pt_regs};

use core::mem::offset_of;

use crate::kernel::{at, load, read_user};

/// Arguments of the system call that the current thread is in, and what else its registers tell.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Call {
    /// System call number of the native ABI; -1 if it is not a system call.
    pub number: i64,
    /// First argument.
    pub first: u64,
    /// Second argument.
    pub second: u64,
    /// Third argument.
    pub third: u64,
    /// Fourth argument.
    pub fourth: u64,
    /// Fifth argument.
    pub fifth: u64,
    /// Sixth argument.
    pub sixth: u64,
    /// Where Go keeps `g`.
    pub g: u64,
    /// User stack pointer.
    pub stack: u64,
    /// 1 if the process runs in 32-bit mode.
    pub compat: u64,
}

/// `struct pt_regs` of x86-64 (arch/x86/include/asm/ptrace.h).
#[cfg(bpf_target_arch = "x86_64")]
#[repr(C)]
struct Registers {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    bp: u64,
    bx: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    ax: u64,
    cx: u64,
    dx: u64,
    si: u64,
    di: u64,
    orig_ax: u64,
    ip: u64,
    cs: u64,
    flags: u64,
    sp: u64,
    ss: u64,
}

/// `struct pt_regs` of arm64 up to `syscallno` (arch/arm64/include/asm/ptrace.h).
#[cfg(bpf_target_arch = "aarch64")]
#[repr(C)]
struct Registers {
    regs: [u64; 31],
    sp: u64,
    pc: u64,
    pstate: u64,
    orig_x0: u64,
    syscallno: i32,
    unused: u32,
}

/// Room for the registers of any architecture.
pub type Room = [u64; 34];

const _: () = assert!(size_of::<Registers>() <= size_of::<Room>());

/// One of the saved registers.
macro_rules! register {
    ($registers:expr, $name:ident) => {
        load::<u64>(at($registers, offset_of!(Registers, $name) as u32))
    };
}

impl Call {
    /// The current thread's. Needs Linux 5.15.
    #[inline(always)]
    pub fn current() -> Self {
        // SAFETY: helpers without preconditions.
        Self::of(unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as u64)
    }

    /// What the registers that were saved at the top of a kernel stack, which ends at this address, say, if they are those of a
    /// 64-bit process. For kernels without the helper that [`Self::current`] needs. They are copied to `room` first.
    #[inline(always)]
    pub fn on_stack(end: u64, room: &mut Room) -> Self {
        #[cfg(bpf_target_arch = "x86_64")]
        {
            /// The code segment of 64-bit user mode (arch/x86/include/asm/segment.h, `__USER_CS`).
            const USER_CODE_SEGMENT: u64 = 0x33;
            let size = size_of::<Registers>() as u32;
            let saved = (&raw mut *room).cast::<Registers>();
            // SAFETY: there is room for them, and any bits are registers.
            let saved = unsafe {
                let failed = bpf_probe_read_kernel(saved.cast(), size, (end - size as u64) as *const _);
                if failed == 0 { Some(&*saved) } else { None }
            };
            // The stack may be of another size than we think, and then these are no registers.
            if let Some(saved) = saved
                && saved.cs == USER_CODE_SEGMENT
            {
                return Self {
                    number: saved.orig_ax as i64,
                    first: saved.di,
                    second: saved.si,
                    third: saved.dx,
                    fourth: saved.r10,
                    fifth: saved.r8,
                    sixth: saved.r9,
                    g: saved.r14,
                    stack: saved.sp,
                    compat: 0,
                };
            }
        }
        #[cfg(not(bpf_target_arch = "x86_64"))]
        let _ = (end, room);
        Self {
            number: -1,
            first: 0,
            second: 0,
            third: 0,
            fourth: 0,
            fifth: 0,
            sixth: 0,
            g: 0,
            stack: 0,
            compat: 0,
        }
    }

    /// What the saved user registers at this address, of which the verifier knows that they are that, say.
    #[cfg(bpf_target_arch = "x86_64")]
    #[inline(always)]
    pub fn of(registers: u64) -> Self {
        let (number, compat) = Self::number_of(registers);
        Self {
            number,
            first: register!(registers, di),
            second: register!(registers, si),
            third: register!(registers, dx),
            fourth: register!(registers, r10),
            fifth: register!(registers, r8),
            sixth: register!(registers, r9),
            g: register!(registers, r14),
            stack: register!(registers, sp),
            compat: compat as u64,
        }
    }

    /// What the saved user registers at this address, of which the verifier knows that they are that, say.
    #[cfg(bpf_target_arch = "aarch64")]
    #[inline(always)]
    pub fn of(registers: u64) -> Self {
        let (number, compat) = Self::number_of(registers);
        let numbered = |index: u32| load::<u64>(at(registers, 8 * index));
        Self {
            number,
            first: register!(registers, orig_x0),
            second: numbered(1),
            third: numbered(2),
            fourth: numbered(3),
            fifth: numbered(4),
            sixth: numbered(5),
            g: numbered(28),
            stack: register!(registers, sp),
            compat: compat as u64,
        }
    }

    /// First and third argument alone: those that may be descriptors.
    #[inline(always)]
    pub fn descriptors(registers: u64) -> (u64, u64) {
        #[cfg(bpf_target_arch = "x86_64")]
        {
            (register!(registers, di), register!(registers, dx))
        }
        #[cfg(bpf_target_arch = "aarch64")]
        {
            (register!(registers, orig_x0), load(at(registers, 16)))
        }
    }

    /// Number and mode alone, for a first look.
    #[inline(always)]
    pub fn number_of(registers: u64) -> (i64, bool) {
        #[cfg(bpf_target_arch = "x86_64")]
        {
            const USER32_CODE_SEGMENT: u16 = 0x23;
            // Of newer kernels' registers, the code segment is a union whose first member is 16 bits wide.
            let code_segment: u16 = load(at(registers, offset_of!(Registers, cs) as u32));
            let number: u64 = register!(registers, orig_ax);
            (number as i64, code_segment == USER32_CODE_SEGMENT)
        }
        #[cfg(bpf_target_arch = "aarch64")]
        {
            const AARCH32_MODE: u64 = 0x10;
            let number: i32 = load(at(registers, offset_of!(Registers, syscallno) as u32));
            let state: u64 = register!(registers, pstate);
            (number as i64, state & AARCH32_MODE != 0)
        }
    }

    /// Id of the goroutine that made the call, given the offset of `goid` in `runtime.g`; 0 if the register does not
    /// hold a `g` whose stack the thread is on (cgo, or not Go after all).
    #[inline(always)]
    pub fn goroutine(&self, goid_offset: u32) -> u64 {
        // `g` begins with `stack stack { lo, hi uintptr }`.
        let Some([low, high]) = read_user::<[u64; 2]>(self.g) else { return 0 };
        if self.stack <= low || self.stack > high {
            return 0;
        }
        read_user(at(self.g, goid_offset)).unwrap_or(0)
    }
}
