//! The processes of the host, and who they are.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use dashmap::DashMap;

use super::{Host, Identity, Names, ProcessFacts, Settings, procfs, resource};

/// Facts about processes, and the identities made of them. Bounded; every method may be called from any thread.
///
/// An identity is made when it is first asked for, and then kept: a lookup is one hash and one reference count. Facts
/// that come later make a new one, so [`learn`](Self::learn) before asking.
#[derive(Debug)]
pub struct Store {
    host: Host,
    settings: Settings,
    processes: DashMap<u32, Entry>,
    names: Names,
    clock: AtomicU64,
    evicted: AtomicU64,
    unreadable: AtomicU64,
}

/// What the store has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Processes in the store now, ended ones included.
    pub processes: u64,
    /// Processes forgotten, because there were more than [`Settings::max_processes`].
    pub evicted: u64,
    /// Processes that had ended before `/proc` could be read for them.
    pub unreadable: u64,
}

/// One program that a process runs or ran.
#[derive(Debug, Default)]
struct Image {
    /// Shared with the children that have not called exec.
    facts: Arc<ProcessFacts>,
    /// For such a child: its parent, its own id, and when it was forked.
    forked: Option<(u32, u32, u64)>,
    identity: OnceLock<Arc<Identity>>,
}

#[derive(Debug, Default)]
struct Entry {
    image: Image,
    /// What the same process id ran before, if events of that time may still come.
    previous: Option<Arc<Identity>>,
    /// `service.instance.id`, once given away: it stays for all of the process's life.
    instance: OnceLock<Arc<str>>,
    /// When the process ended, `CLOCK_MONOTONIC` nanoseconds.
    exited: Option<u64>,
    /// When it was last asked for, in ticks of [`Store::clock`].
    used: AtomicU64,
}

impl Image {
    fn facts(&self) -> ProcessFacts {
        match self.forked {
            None => (*self.facts).clone(),
            Some((parent, pid, time)) => ProcessFacts {
                pid,
                parent,
                since: time,
                start_time: None,
                namespaced_pid: None,
                complete: false,
                ..(*self.facts).clone()
            },
        }
    }

    /// When the program began, as far as that was seen.
    fn since(&self) -> u64 {
        self.forked.map_or(self.facts.since, |(_, _, time)| time)
    }

    fn complete(&self) -> bool {
        self.facts.complete && self.forked.is_none()
    }
}

impl Entry {
    fn new(facts: ProcessFacts, used: u64) -> Self {
        let image = Image { facts: Arc::new(facts), ..Image::default() };
        Self { image, used: AtomicU64::new(used), ..Self::default() }
    }
}

impl Store {
    /// An empty store for the processes of `host`.
    #[must_use]
    pub fn new(host: Host, settings: Settings) -> Self {
        Self {
            host,
            settings,
            processes: DashMap::new(),
            names: Names::default(),
            clock: AtomicU64::new(1),
            evicted: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
        }
    }

    /// The host's facts.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The names that processes looked up.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// A process began to run a new program. The facts are those of its exec event.
    pub fn exec(&self, mut facts: ProcessFacts) {
        self.make_room();
        let used = self.tick();
        let mut entry = self.processes.entry(facts.pid).or_default();
        let alive = entry.exited.is_none() && (entry.image.facts.pid != 0 || entry.image.forked.is_some());
        let previous = self.identity_before(&entry);
        if alive {
            // The process stays the same: where it is, and when it was created.
            let before = entry.image.facts();
            facts.start_time = facts.start_time.or(before.start_time);
            facts.namespaced_pid = facts.namespaced_pid.or(before.namespaced_pid);
            facts.cgroup = facts.cgroup.or(before.cgroup);
            facts.hostname = facts.hostname.or(before.hostname);
            facts.working_directory = facts.working_directory.or(before.working_directory);
            if facts.parent == 0 {
                facts.parent = before.parent;
            }
        }
        let instance = if alive { std::mem::take(&mut entry.instance) } else { OnceLock::new() };
        *entry = Entry { previous, instance, ..Entry::new(facts, used) };
    }

    /// A process was forked at `time` (`CLOCK_MONOTONIC`, nanoseconds): the child is what its parent is, until it
    /// calls exec. Whatever had the child's id before is over.
    pub fn fork(&self, parent: u32, child: u32, time: u64) {
        self.make_room();
        let facts = self.processes.get(&parent).map(|entry| match entry.image.forked {
            // Of a parent that has not called exec either, `/proc` may not have been read.
            Some(_) => Arc::new(ProcessFacts { complete: false, ..entry.image.facts() }),
            None => Arc::clone(&entry.image.facts),
        });
        let Some(facts) = facts else {
            // Nothing is known of the parent, so only that the child is not what it was.
            self.processes.remove(&child);
            return;
        };
        let used = self.tick();
        let mut entry = self.processes.entry(child).or_default();
        let previous = self.identity_before(&entry);
        let image = Image { facts, forked: Some((parent, child, time)), identity: OnceLock::new() };
        *entry = Entry { image, previous, used: AtomicU64::new(used), ..Entry::default() };
    }

    /// A process ended at `time` (`CLOCK_MONOTONIC`, nanoseconds). It is remembered for
    /// [`Settings::keep_exited_seconds`].
    pub fn exit(&self, pid: u32, time: u64) {
        if let Some(mut entry) = self.processes.get_mut(&pid) {
            entry.exited = Some(time);
        }
    }

    /// Adds facts from elsewhere: `/proc`, or a recording. They complete what is known of the same life of the
    /// process; if it is another life, they replace it.
    pub fn insert(&self, facts: ProcessFacts) {
        self.make_room();
        let used = self.tick();
        let mut entry = self.processes.entry(facts.pid).or_insert_with(|| Entry::new(facts.clone(), used));
        let known = entry.image.facts();
        let same_start = match (known.start_time, facts.start_time) {
            (Some(known), Some(new)) => known == new,
            _ => entry.exited.is_none(),
        };
        if !same_start {
            let previous = self.identity_before(&entry);
            *entry = Entry { previous, ..Entry::new(facts, used) };
            return;
        }
        let mut merged = known.clone();
        merged.merge(&facts);
        if merged != known || entry.image.forked.is_some() {
            entry.image = Image { facts: Arc::new(merged), ..Image::default() };
        }
    }

    /// Reads the facts of a process that nothing, or not enough, is known of, adds them, and returns them so that the
    /// caller can record them. `None`, without a system call, if there is nothing to learn.
    pub fn learn(&self, root: &Path, pid: u32) -> Option<ProcessFacts> {
        let (known, exited) = match self.processes.get(&pid) {
            Some(entry) if entry.image.complete() && entry.exited.is_none() => return None,
            Some(entry) => (true, entry.exited.is_some()),
            None => (false, false),
        };
        if pid == 0 || (exited && !self.is_reused(root, pid)) {
            return None;
        }
        match ProcessFacts::from_proc(root, pid) {
            Ok(facts) => {
                self.insert(facts.clone());
                Some(facts)
            }
            Err(_) => {
                self.unreadable.fetch_add(1, Relaxed);
                if known {
                    // There is no more to learn: not to be asked again.
                    let mut entry = self.processes.get_mut(&pid)?;
                    let facts = ProcessFacts { complete: true, ..entry.image.facts() };
                    entry.image = Image { facts: Arc::new(facts), ..Image::default() };
                } else {
                    self.insert(ProcessFacts { pid, complete: true, ..ProcessFacts::default() });
                }
                None
            }
        }
    }

    /// Whether the id of an ended process belongs to another one now.
    fn is_reused(&self, root: &Path, pid: u32) -> bool {
        let Some(now) = procfs::start_time(root, pid) else { return false };
        let then = self.processes.get(&pid).and_then(|entry| entry.image.facts.start_time);
        then.is_some_and(|then| then != now)
    }

    /// Reads the facts of all processes there are, at most [`Settings::max_processes`], and returns them so that the
    /// caller can record them. Processes that end meanwhile are left out.
    ///
    /// # Errors
    /// If `root` cannot be listed.
    pub fn scan(&self, root: &Path) -> io::Result<Vec<ProcessFacts>> {
        let processes = procfs::processes(root)?;
        let most = self.settings.max_processes;
        Ok(processes.into_iter().take(most).filter_map(|pid| self.learn(root, pid)).collect())
    }

    /// Who a process is now, or was when it ended. Of a process of which nothing is known, the name is
    /// `unknown_service`.
    #[must_use]
    pub fn identity(&self, pid: u32) -> Arc<Identity> {
        self.lookup(pid, None)
    }

    /// Who a process was at `time` (`CLOCK_MONOTONIC`, nanoseconds): before its last exec or fork, it is what the
    /// process id was then; after its end, it is not the process that ended.
    #[must_use]
    pub fn identity_at(&self, pid: u32, time: u64) -> Arc<Identity> {
        self.lookup(pid, Some(time))
    }

    fn lookup(&self, pid: u32, time: Option<u64>) -> Arc<Identity> {
        if let Some(entry) = self.processes.get(&pid) {
            entry.used.store(self.tick(), Relaxed);
            let ended = time.is_some_and(|time| entry.exited.is_some_and(|exited| exited < time));
            let before = time.is_some_and(|time| time < entry.image.since());
            if let Some(previous) = entry.previous.as_ref().filter(|_| before) {
                return Arc::clone(previous);
            }
            if !ended {
                if let Some(identity) = entry.image.identity.get() {
                    return Arc::clone(identity);
                }
                let facts = entry.image.facts();
                // The parent's entry may lie in the same shard of the map: let go of this one first.
                drop(entry);
                return self.make(&facts);
            }
        }
        let facts = ProcessFacts { pid, ..ProcessFacts::default() };
        let instance = resource::instance(&facts, &self.host);
        Arc::new(resource::identity(&facts, &self.host, &self.settings, instance, None))
    }

    fn make(&self, facts: &ProcessFacts) -> Arc<Identity> {
        let works_for_parent = super::program::of(facts).works_for_parent;
        // Not of parents of parents: an identity is made of one step up at the most.
        let parent = (works_for_parent && facts.parent != 0 && facts.parent != facts.pid).then(|| {
            let parent = self.processes.get(&facts.parent).map(|entry| entry.image.facts());
            parent.map(|parent| {
                let instance = resource::instance(&parent, &self.host);
                resource::identity(&parent, &self.host, &self.settings, instance, None)
            })
        });
        let parent = parent.flatten();
        let build = |instance| {
            Arc::new(resource::identity(facts, &self.host, &self.settings, instance, parent.as_ref()))
        };
        match self.processes.get(&facts.pid) {
            Some(entry) if entry.image.facts() == *facts => {
                let instance = entry.instance.get_or_init(|| resource::instance(facts, &self.host));
                Arc::clone(entry.image.identity.get_or_init(|| build(Arc::clone(instance))))
            }
            // It changed meanwhile: an answer for once.
            _ => build(resource::instance(facts, &self.host)),
        }
    }

    /// The identity of an entry that is about to be replaced.
    fn identity_before(&self, entry: &Entry) -> Option<Arc<Identity>> {
        entry
            .image
            .identity
            .get()
            .cloned()
            .or_else(|| entry.previous.clone().filter(|_| entry.exited.is_none()))
    }

    /// Forgets the processes that ended long enough before `now` (`CLOCK_MONOTONIC`, nanoseconds). Call it every few
    /// seconds; returns how many were forgotten.
    pub fn sweep(&self, now: u64) -> usize {
        let keep = self.settings.keep_exited_seconds * 1_000_000_000;
        let before = self.processes.len();
        self.processes.retain(|_, entry| {
            if now.saturating_sub(entry.image.since()) > keep {
                entry.previous = None;
            }
            entry.exited.is_none_or(|exited| now.saturating_sub(exited) <= keep)
        });
        before.saturating_sub(self.processes.len())
    }

    /// Processes in the store, ended ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.processes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    /// What the store has done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            processes: self.processes.len() as u64,
            evicted: self.evicted.load(Relaxed),
            unreadable: self.unreadable.load(Relaxed),
        }
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Relaxed)
    }

    /// Before an insertion: if the store is full, forgets a sixteenth of it at once, ended processes first, then those
    /// that were not asked for longest.
    fn make_room(&self) {
        if self.processes.len() < self.settings.max_processes {
            return;
        }
        let mut order: Vec<(bool, u64, u32)> = self
            .processes
            .iter()
            .map(|entry| (entry.exited.is_none(), entry.used.load(Relaxed), *entry.key()))
            .collect();
        let victims = (self.settings.max_processes / 16).max(1).min(order.len());
        order.select_nth_unstable(victims - 1);
        for (_, _, pid) in &order[..victims] {
            if self.processes.remove(pid).is_some() {
                self.evicted.fetch_add(1, Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests;
