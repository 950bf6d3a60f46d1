//! Processes: exec, fork and exit, so that even the shortest-lived has a name.

use aya_ebpf::helpers::bpf_get_current_comm;
use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_ktime_get_ns, bpf_probe_read_user};
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use remora_abi::loss::Counter;
use remora_abi::record::{self, EXEC_ARGUMENTS, EXEC_ENVIRONMENT, Exec, Exit, Fork, Header};

use crate::globals::{count, offset};
use crate::kernel::{at, bounded, read};
use crate::segment::{WAKE, reserve, wake_flag};

/// An exec record with its payload. The two blocks are copied behind each other, so there is room for both.
#[repr(C)]
struct ExecRecord {
    exec: Exec,
    payload: [u8; EXEC_ARGUMENTS + EXEC_ENVIRONMENT],
}

/// `trace_sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn sched_process_exec(context: RawTracePointContext) -> i32 {
    executes(context.arg(0));
    0
}

/// The current process, of which the argument is the `struct task_struct`, executes another program.
#[inline(always)]
pub fn executes(task: u64) {
    let memory: u64 = read(at(task, offset!(task_memory)));
    let Some(mut entry) = reserve::<ExecRecord>() else { return };
    let record = entry.as_mut_ptr();

    let arguments: u64 = read(at(memory, offset!(memory_arguments)));
    let arguments_end: u64 = read(at(memory, offset!(memory_arguments_end)));
    let environment: u64 = read(at(memory, offset!(memory_environment)));
    let environment_end: u64 = read(at(memory, offset!(memory_environment_end)));
    let mut arguments_length = bounded(arguments_end.saturating_sub(arguments) as u32, EXEC_ARGUMENTS as u32);
    let mut environment_length =
        bounded(environment_end.saturating_sub(environment) as u32, EXEC_ENVIRONMENT as u32);

    // SAFETY: the reservation holds both blocks at their greatest lengths; helpers without other preconditions.
    unsafe {
        let payload = (&raw mut (*record).payload).cast::<u8>();
        if bpf_probe_read_user(payload.cast(), arguments_length, arguments as *const _) != 0 {
            count(Counter::ReadFault, 1);
            arguments_length = 0;
        }
        let behind = payload.add(arguments_length as usize);
        if bpf_probe_read_user(behind.cast(), environment_length, environment as *const _) != 0 {
            count(Counter::ReadFault, 1);
            environment_length = 0;
        }
        let parent: u64 = read(at(task, offset!(task_parent)));
        (&raw mut (*record).exec).write(Exec {
            header: Header {
                kind: record::EXEC,
                payload: arguments_length + environment_length,
                time: bpf_ktime_get_ns(),
            },
            process: (bpf_get_current_pid_tgid() >> 32) as u32,
            parent: read(at(parent, offset!(task_process))),
            arguments: arguments_length,
            environment: environment_length,
            name: bpf_get_current_comm().unwrap_or([0; 16]),
        });
    }
    // If it is a Go program, its goroutines shall be known before it has said much.
    entry.submit(WAKE);
}

/// `trace_sched_process_fork(struct task_struct *parent, struct task_struct *child)`
#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn sched_process_fork(context: RawTracePointContext) -> i32 {
    forks(context.arg(0), context.arg(1));
    0
}

/// A task makes another: a process or, which is passed over, a thread.
#[inline(always)]
pub fn forks(parent: u64, child: u64) {
    let process: u32 = read(at(child, offset!(task_process)));
    let thread: u32 = read(at(child, offset!(task_thread)));
    if process != thread {
        return;
    }
    let Some(mut entry) = reserve::<Fork>() else { return };
    let record = entry.as_mut_ptr();
    // SAFETY: the reservation is of that size; a helper without preconditions.
    unsafe {
        record.write(Fork {
            header: Header { kind: record::FORK, payload: 0, time: bpf_ktime_get_ns() },
            parent: read(at(parent, offset!(task_process))),
            child: process,
        });
    }
    entry.submit(wake_flag(size_of::<Fork>() as u64));
}

/// `trace_sched_process_exit(struct task_struct *p)`
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn sched_process_exit(_context: RawTracePointContext) -> i32 {
    exits();
    0
}

/// The current thread ends; told of a process's first one.
#[inline(always)]
pub fn exits() {
    // SAFETY: a helper without preconditions.
    let who = unsafe { bpf_get_current_pid_tgid() };
    if (who >> 32) as u32 != who as u32 {
        return;
    }
    let Some(mut entry) = reserve::<Exit>() else { return };
    let record = entry.as_mut_ptr();
    // SAFETY: the reservation is of that size; a helper without preconditions.
    unsafe {
        record.write(Exit {
            header: Header { kind: record::EXIT, payload: 0, time: bpf_ktime_get_ns() },
            process: who as u32,
            reserved: 0,
        });
    }
    entry.submit(wake_flag(size_of::<Exit>() as u64));
}
