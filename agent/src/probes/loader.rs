//! Loads the programs into the kernel and attaches them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aya::maps::{Array, HashMap, Map, MapData, ProgramArray, RingBuf};
use aya::programs::{CgroupAttachMode, CgroupSockAddr, Program, ProgramError, ProgramFd};
use aya::{Btf, Ebpf, EbpfLoader};
use remora_abi::Plain;
use remora_abi::maps::UNIX_CONNECTIONS;
use remora_abi::offsets::{MISSING, Settings as Globals, ticks};
use rustc_hash::FxHashSet;

use super::preemption::tracepoints_are_preempted;
use super::privileges::{self, Capability, Held};
use super::tier::{COMMON, Choice, FUNCTIONS, FUNCTIONS_NEED, INSTEAD, Instead, OBSOLETE, Tier};
use super::{
    Controls, EarlierConnections, KernelCounters, KernelTypes, PassError, ProbeError, btf, preempts,
};

/// The programs, as `build.rs` built them.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/remora-ebpf"));
/// Empty programs on the same hooks.
static FLOOR: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/remora-floor"));

/// Why kernel probes are better than trampolines.
const PREEMPTED: &str = "this kernel preempts its programs, and meanwhile skips them";

/// What to attach, and the bounds of what it may hold.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which tier.
    pub tier: Choice,
    /// Size of the ring buffer in bytes; rounded up to a power of two of at least a page.
    pub ring_bytes: u32,
    /// Connections followed at once.
    pub max_connections: u32,
    /// Look only at connections in this network namespace.
    pub namespace: Option<PathBuf>,
    /// Learn of connections from before by the kernel's iterators.
    pub iterators: bool,
    /// While bytes move on a connection, what TCP knows of it is told once in so many milliseconds.
    pub sample_interval_ms: u64,
    /// Attach empty programs instead: what any agent on these hooks costs.
    pub floor: bool,
}

/// The programs, attached. Dropping it detaches them.
pub struct Probes {
    ebpf: Ebpf,
    _calls: Option<ProgramArray<MapData>>,
    /// The tier that was taken.
    pub tier: Tier,
    /// Better tiers that were tried, and why they could not be had.
    pub refused: Vec<(Tier, String)>,
    /// The hooks, for the log.
    pub attached: Vec<String>,
    /// Kernel fields that were not found.
    pub missing_fields: Vec<String>,
    /// Why hooks that the tier does without could not be had.
    pub without: Vec<String>,
    /// Why the senders of datagrams on unconnected sockets cannot be told, if so.
    pub no_senders: Option<String>,
    /// How long it took to load and attach them.
    pub took: Duration,
    /// Inode number of the only network namespace that is looked at.
    pub namespace: Option<u32>,
    /// What enters the connections from before, or why that cannot be had; until it is taken.
    earlier: Option<Result<EarlierConnections, PassError>>,
    controls: u32,
}

/// What the programs know about processes.
pub struct ProcessTable {
    table: HashMap<MapData, u32, [u32; 2]>,
    /// Changed with each change of the table, so that the programs may keep what it said.
    generation: Array<MapData, u32>,
    changes: u32,
    /// Those that are in the table. Nearly every process that ends was never there, and a system call that changes a map
    /// keeps the kernel from running programs at kernel probes on its processor (`bpf_disable_instrumentation`,
    /// include/linux/bpf.h).
    special: FxHashSet<u32>,
}

impl ProcessTable {
    /// Says what is special about a process. Ignores a full table: the process is then an ordinary one.
    pub fn set(&mut self, pid: u32, process: remora_abi::maps::Process) -> bool {
        let done = self.table.insert(pid, [process.ignored, process.goid_offset], 0).is_ok();
        if done {
            self.special.insert(pid);
        }
        self.changed();
        done
    }

    /// Forgets a process that ended.
    pub fn remove(&mut self, pid: u32) {
        if self.special.remove(&pid) {
            // Only the table itself might refuse, and it has the entry.
            let _ = self.table.remove(&pid);
            self.changed();
        }
    }

    fn changed(&mut self) {
        self.changes = self.changes.wrapping_add(1);
        // An array's element is always there.
        let _ = self.generation.set(0, self.changes, 0);
    }
}

/// Attaches the first tier of the choice that this kernel has.
///
/// # Errors
/// [`ProbeError`], each saying what to do.
pub fn attach(settings: &Settings) -> Result<Probes, ProbeError> {
    raise_memory_lock_limit();
    let types = btf::resolve(Path::new(btf::VMLINUX))?;
    let namespace = settings.namespace.as_deref().map(namespace_inode).transpose()?;
    let mut refused = Vec::new();
    let preempts = preempts();
    let candidates = settings.tier.candidates(preempts);
    for &tier in candidates {
        match attach_tier(settings, &types, namespace, tier, candidates) {
            Ok(mut probes) => {
                if (tier, settings.tier) == (Tier::Kprobe, Choice::Auto) && preempts {
                    refused.push((Tier::Fentry, PREEMPTED.to_owned()));
                }
                probes.refused = refused;
                return Ok(probes);
            }
            Err(Refusal::Tier(reason)) => refused.push((tier, reason)),
            Err(Refusal::All(error)) => return Err(error),
        }
    }
    Err(ProbeError::NoTier { choice: settings.tier, refused })
}

/// Why a tier was not attached: for a reason of its own, or one that holds for every tier.
enum Refusal {
    Tier(String),
    All(ProbeError),
}

fn attach_tier(
    settings: &Settings,
    types: &KernelTypes,
    namespace: Option<u32>,
    tier: Tier,
    candidates: &[Tier],
) -> Result<Probes, Refusal> {
    let ring_bytes = settings.ring_bytes.max(4096).next_power_of_two();
    // Twice as many entries as connections, so that few share one.
    let controls = settings.max_connections.max(1).next_power_of_two().saturating_mul(2).min(1 << 24);
    let globals = Globals {
        own_process: std::process::id(),
        controls,
        wake_bytes: (ring_bytes / 16).min(256 * 1024),
        only_namespace: namespace.unwrap_or(0),
        processor_bits: processor_bits(),
        sample_ticks: sample_ticks(settings.sample_interval_ms),
        stack_bytes: stack_bytes(),
        iterator_vector: types.iterator.vector,
        iterator_buffer: types.iterator.buffer,
        iterator_mask: types.iterator.mask,
        // New connections shall find room beside those from before.
        earlier_connections: settings.max_connections / 2,
        earlier_unix: UNIX_CONNECTIONS / 2,
    };
    if tier.hooks_functions() {
        knows_functions(types).map_err(Refusal::Tier)?;
    }
    let start = Instant::now();
    let mut loader = EbpfLoader::new();
    if !settings.floor {
        loader
            .override_global("OFFSETS", types.offsets.as_bytes(), true)
            .override_global("SETTINGS", globals.as_bytes(), true)
            .map_max_entries("RECORDS", ring_bytes)
            .map_max_entries("CONNECTIONS", settings.max_connections)
            .map_max_entries("CONTROLS", controls);
    }
    let object = if settings.floor { FLOOR } else { OBJECT };
    let mut ebpf = loader.load(object).map_err(|error| Refusal::All(load_error(&error, tier)))?;

    let refuse = |reason| match reason {
        HookError::Privilege(action) => {
            let error = ProbeError::Privilege { action, missing: privileges::missing(tier) };
            // Another tier may do without.
            let another = |tier: &Tier| privileges::missing(*tier).is_empty();
            if candidates.iter().any(another) {
                Refusal::Tier(error.to_string())
            } else {
                Refusal::All(error)
            }
        }
        HookError::Other(reason) => Refusal::Tier(reason),
    };
    let kernel_types = Btf::from_sys_fs()
        .map_err(|error| Refusal::Tier(format!("the kernel's types cannot be read: {error}")))?;
    let mut calls = None;
    if !settings.floor {
        calls = load_tail_calls(&mut ebpf, tier, &kernel_types).map_err(refuse)?;
    }
    // All are loaded before the first is attached, since the verifier takes its time: a hook that sees writes must not be
    // long without the one that sees reads.
    let mut attached = Vec::new();
    let mut without = Vec::new();
    let mut common = COMMON.to_vec();
    if tier == Tier::Kprobe && tracepoints_are_preempted() && !settings.floor {
        for instead in INSTEAD {
            // Attached at once, before the others are loaded: if it cannot be had, its tracepoint has to be loaded.
            match load_instead(&mut ebpf, *instead, types, &kernel_types) {
                Ok(()) => {
                    common.retain(|hook| *hook != instead.tracepoint);
                    attached.push(instead.probe.to_owned());
                }
                Err(error) => without.push(error.reason()),
            }
        }
    }
    for hook in common.iter().chain(tier.hooks()) {
        load(&mut ebpf, hook, place(hook), &kernel_types, tier).map_err(refuse)?;
    }
    let mut optional = Vec::new();
    let has = |function: &str| types.functions.iter().any(|(name, _)| *name == function);
    for hook in tier.optional_hooks() {
        if OBSOLETE.contains(&place(hook)) && !has(place(hook)) {
            continue;
        }
        match load(&mut ebpf, hook, place(hook), &kernel_types, tier) {
            Ok(()) => optional.push(hook),
            Err(error) => without.push(error.reason()),
        }
    }
    let earlier = match settings.iterators && !settings.floor {
        true => EarlierConnections::prepare(&mut ebpf, &kernel_types),
        false => Err(PassError::NotWanted),
    };
    for hook in common.iter().chain(tier.hooks()) {
        attach_hook(&mut ebpf, hook, tier).map_err(refuse)?;
        attached.push((*hook).to_owned());
    }
    for hook in optional {
        match attach_hook(&mut ebpf, hook, tier) {
            Ok(()) => attached.push((*hook).to_owned()),
            Err(error) => without.push(error.reason()),
        }
    }
    let no_senders = if settings.floor { None } else { attach_senders(&mut ebpf, tier).err() };
    Ok(Probes {
        ebpf,
        _calls: calls,
        tier,
        refused: Vec::new(),
        attached,
        missing_fields: types.missing.clone(),
        without,
        no_senders,
        took: start.elapsed(),
        namespace,
        earlier: Some(earlier),
        controls,
    })
}

/// Attaches the programs that tell who sent a datagram; why they cannot be had.
fn attach_senders(ebpf: &mut Ebpf, tier: Tier) -> Result<(), String> {
    if tier.senders().is_empty() {
        return Ok(());
    }
    let mount = cgroup_root().ok_or("no cgroup v2 hierarchy is mounted")?;
    let root = std::fs::File::open(&mount).map_err(|error| format!("{}: {error}", mount.display()))?;
    if !Held::now().has(Capability::NetAdmin) {
        return Err(format!("missing {}", Capability::NetAdmin));
    }
    for name in tier.senders() {
        let program: &mut CgroupSockAddr = ebpf
            .program_mut(name)
            .and_then(|program| program.try_into().ok())
            .ok_or_else(|| format!("the object has no program `{name}`"))?;
        // A link takes no mode; it leaves others' programs in place and is no hindrance to them.
        let attached = program.load().and_then(|()| program.attach(&root, CgroupAttachMode::Single));
        if let Err(error) = attached {
            return Err(hook_error(name, &error, tier).reason());
        }
    }
    Ok(())
}

/// Where the cgroup v2 hierarchy is mounted.
fn cgroup_root() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(place))
    })
}

enum HookError {
    Privilege(String),
    Other(String),
}

impl HookError {
    fn reason(self) -> String {
        match self {
            HookError::Privilege(action) => format!("missing privilege to {action}"),
            HookError::Other(reason) => reason,
        }
    }
}

/// What a program is attached to: its name says so.
fn place(program: &str) -> &str {
    ["fentry_", "fexit_", "kprobe_", "kretprobe_"]
        .iter()
        .find_map(|kind| program.strip_prefix(kind))
        .unwrap_or(program)
}

/// Whether this kernel's functions, and what they are given, have the form that the programs know; what has not.
fn knows_functions(types: &KernelTypes) -> Result<(), String> {
    for (name, arguments) in FUNCTIONS {
        match types.functions.iter().find(|(found, _)| found == name) {
            Some((_, found)) if found != arguments => {
                return Err(format!(
                    "{name} takes {found} arguments here, not {arguments}: this kernel is new to Remora"
                ));
            }
            _ => {}
        }
    }
    let needed =
        |field: &&String| FUNCTIONS_NEED.iter().any(|structure| field.split('.').next() == Some(structure));
    match types.missing.iter().find(needed) {
        Some(field) => Err(format!("the kernel's types have no field {field}")),
        None if types.iterator.vector == MISSING => {
            Err("the kernel's types have no constant ITER_IOVEC".to_owned())
        }
        None => Ok(()),
    }
}

/// Bytes of a thread's kernel stack, where its saved registers must be found by that: before Linux 5.15, which brought a helper.
fn stack_bytes() -> u32 {
    // `THREAD_SIZE` of x86-64 (arch/x86/include/asm/page_64_types.h); the programs check that registers stand there.
    if cfg!(target_arch = "x86_64") && kernel_version() < (5, 15) { 16 * 1024 } else { 0 }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Program, HookError> {
    ebpf.program_mut(name).ok_or_else(|| HookError::Other(format!("the object has no program `{name}`")))
}

/// Loads a program for a tracepoint or function.
fn load(ebpf: &mut Ebpf, name: &str, place: &str, types: &Btf, tier: Tier) -> Result<(), HookError> {
    let loaded = match program(ebpf, name)? {
        Program::RawTracePoint(program) => program.load(),
        Program::BtfTracePoint(program) => program.load(place, types),
        Program::FEntry(program) => program.load(place, types),
        Program::FExit(program) => program.load(place, types),
        Program::KProbe(program) => program.load(),
        _ => return Err(HookError::Other(format!("`{name}` is of an unknown kind"))),
    };
    loaded.map_err(|error| hook_error(name, &error, tier))
}

/// Attaches the program to the tracepoint or function of its name.
fn attach_hook(ebpf: &mut Ebpf, name: &str, tier: Tier) -> Result<(), HookError> {
    let attached = match program(ebpf, name)? {
        Program::RawTracePoint(program) => program.attach(name).map(drop),
        Program::BtfTracePoint(program) => program.attach().map(drop),
        Program::FEntry(program) => program.attach().map(drop),
        Program::FExit(program) => program.attach().map(drop),
        Program::KProbe(program) => program.attach(place(name), 0).map(drop),
        _ => return Err(HookError::Other(format!("`{name}` is of an unknown kind"))),
    };
    attached.map_err(|error| hook_error(name, &error, tier))
}

/// Attaches a kernel probe for a tracepoint.
fn load_instead(
    ebpf: &mut Ebpf,
    instead: Instead,
    types: &KernelTypes,
    kernel_types: &Btf,
) -> Result<(), HookError> {
    let (probe, function) = (instead.probe, instead.function());
    if !types.functions.contains(&(function, instead.arguments)) {
        return Err(HookError::Other(format!("{function} is not the function here that Remora knows")));
    }
    load(ebpf, probe, function, kernel_types, Tier::Kprobe)?;
    attach_hook(ebpf, probe, Tier::Kprobe)
}

/// Loads the programs that others go on to, and enters them in their table. The kernel empties it as soon as nobody holds
/// it, so the caller does.
fn load_tail_calls(
    ebpf: &mut Ebpf,
    tier: Tier,
    types: &Btf,
) -> Result<Option<ProgramArray<MapData>>, HookError> {
    let broken = || HookError::Other("the object has no table of calls".to_owned());
    if tier.tail_calls().is_empty() {
        return Ok(None);
    }
    let mut table: ProgramArray<MapData> =
        ebpf.take_map("CALLS").and_then(|map| map.try_into().ok()).ok_or_else(broken)?;
    for &(name, index) in tier.tail_calls() {
        load(ebpf, name, tier.tail_calls_at(), types, tier)?;
        let descriptor: &ProgramFd =
            program(ebpf, name)?.fd().map_err(|error| hook_error(name, &error, tier))?;
        table.set(index, descriptor, 0).map_err(|error| {
            HookError::Other(format!("`{name}` cannot be entered in the table of calls: {error}"))
        })?;
    }
    Ok(Some(table))
}

/// One sentence about why a hook could not be had.
fn hook_error(event: &str, error: &ProgramError, tier: Tier) -> HookError {
    if let ProgramError::LoadError { io_error, verifier_log } = error {
        if io_error.raw_os_error() == Some(libc::EPERM) {
            return if privileges::missing(tier).is_empty() {
                HookError::Other(format!(
                    "the kernel allows no {tier} program ({io_error}): lockdown, or its build"
                ))
            } else {
                HookError::Privilege(format!("load the program for {event}"))
            };
        }
        tracing::debug!(%verifier_log, "verifier's log for {event}");
        let log = verifier_log.to_string();
        let last = log
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty() && !line.starts_with("processed"))
            .unwrap_or("");
        return HookError::Other(format!("the kernel refused the program for {event} ({io_error}): {last}"));
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<std::io::Error>()
            && matches!(io.raw_os_error(), Some(libc::EPERM | libc::EACCES))
        {
            return HookError::Privilege(format!("attach to {event}"));
        }
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    HookError::Other(format!("no {event} ({text})"))
}

fn load_error(error: &aya::EbpfError, tier: Tier) -> ProbeError {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<std::io::Error>()
            && matches!(io.raw_os_error(), Some(libc::EPERM | libc::EACCES))
        {
            return ProbeError::Privilege {
                action: "create eBPF maps".to_owned(),
                missing: privileges::missing(tier),
            };
        }
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    ProbeError::Prepare(text)
}

impl Probes {
    /// The ring buffer; once.
    pub fn take_ring(&mut self) -> Option<RingBuf<MapData>> {
        RingBuf::try_from(self.ebpf.take_map("RECORDS")?).ok()
    }

    /// The table of processes; once.
    pub fn take_processes(&mut self) -> Option<ProcessTable> {
        Some(ProcessTable {
            table: HashMap::try_from(self.ebpf.take_map("PROCESSES")?).ok()?,
            generation: Array::try_from(self.ebpf.take_map("GENERATION")?).ok()?,
            changes: 0,
            special: FxHashSet::default(),
        })
    }

    /// The loss counters; once.
    pub fn take_counters(&mut self) -> Option<KernelCounters> {
        let programs = self.ebpf.programs();
        let programs = programs.filter_map(|(_, program)| program.fd().ok()?.try_clone().ok()).collect();
        let map = aya::maps::PerCpuArray::try_from(self.ebpf.take_map("LOSSES")?).ok()?;
        Some(KernelCounters::new(map, programs))
    }

    /// What enters the connections from before, once.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub fn take_earlier(&mut self) -> Result<EarlierConnections, PassError> {
        self.earlier.take().unwrap_or(Err(PassError::NotWanted))
    }

    /// The capture modes.
    ///
    /// # Errors
    /// What `mmap` says.
    pub fn controls(&self) -> std::io::Result<Controls> {
        match self.ebpf.map("CONTROLS") {
            Some(Map::Array(data)) => Controls::map(data.fd(), self.controls),
            _ => Ok(Controls::none()),
        }
    }

    /// `(name, verified instructions)` of each loaded program; `None` where the kernel does not tell (before 5.16).
    #[must_use]
    pub fn programs(&self) -> Vec<(String, Option<u32>)> {
        self.ebpf
            .programs()
            .filter_map(|(name, program)| {
                let info = program.info().ok()?;
                Some((name.to_owned(), info.verified_instruction_count()))
            })
            .collect()
    }
}

/// Milliseconds in the units of the programs.
fn sample_ticks(milliseconds: u64) -> u32 {
    // Their clock begins anew after 52 days; a year's interval must not be a short one.
    ticks(milliseconds.min(1 << 31).saturating_mul(1_000_000)).max(1)
}

/// Before Linux 5.11 maps count against this limit.
fn raise_memory_lock_limit() {
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: a valid structure. A refusal shows when the maps are created, if it matters at all.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) };
}

/// The inode number of a network namespace's file.
fn namespace_inode(path: &Path) -> Result<u32, ProbeError> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;
    /// `_IO(0xb7, 3)` (include/uapi/linux/nsfs.h): the kind of a namespace.
    const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
    let fail = |reason: String| ProbeError::Namespace { path: path.into(), reason };
    let file = std::fs::File::open(path).map_err(|e| fail(e.to_string()))?;
    // SAFETY: a request without an argument, on a valid descriptor.
    if unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE) } != libc::CLONE_NEWNET {
        return Err(fail("not a network namespace".to_owned()));
    }
    let inode = file.metadata().map_err(|e| fail(e.to_string()))?.ino();
    u32::try_from(inode).map_err(|_| fail("its inode number is too large".to_owned()))
}

/// The running kernel's `(major, minor)`; zeros if it does not tell.
#[must_use]
pub fn kernel_version() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// Bits that hold any CPU's number.
fn processor_bits() -> u32 {
    // SAFETY: a query without preconditions.
    let configured = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) }.max(1);
    u32::try_from(configured).unwrap_or(1).next_power_of_two().trailing_zeros()
}
