//! A virtual machine: QEMU without hardware help, with the host's file system for its own to read.
//!
//! Emulation is slow (five to twenty times) and the same everywhere. What is switched on and off here is what made it
//! dependable and quick:
//!
//! - QEMU 10, since 7.2 (Debian 12) loses its way when the kernel patches its own code for kprobes and trampolines;
//! - one processor at first, the other when PCI is set up;
//! - no `erms` and `fsrm`, with which the kernel clears pages by `rep stosb`, which QEMU emulates byte by byte;
//! - an uncompressed kernel; the delay loop's speed given instead of measured; restart instead of shutdown.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::initramfs;
use super::job::Job;
use super::kernel::Kernel;
use super::packages::Suite;
use crate::process::{self, Service};
use crate::{paths, progress};

/// The oldest QEMU that emulates what the tests do without losing its way.
const OLDEST_QEMU: u32 = 10;

/// Where Debian 12 has a newer QEMU.
const BACKPORTS: &str = "bookworm-backports";

/// Debian's suite for what runs first in the guest.
const BUSYBOX_SUITE: &str = "bookworm";

/// Shares a folder with a guest; part of Debian's qemu-system-common.
const VIRTIOFSD: &str = "/usr/lib/qemu/virtiofsd";

const PROCESSORS: &str = "2";
const MEMORY: &str = "4G";

/// What boots kernels here.
pub struct Emulator {
    program: PathBuf,
    /// QEMU's own folder, where it is not installed.
    unpacked: Option<PathBuf>,
    busybox: PathBuf,
}

impl Emulator {
    /// Looks for what is installed, and downloads what is not.
    pub fn get() -> Result<Self> {
        ensure!(std::env::consts::ARCH == "x86_64", "other kernels are booted on x86-64 only");
        ensure!(
            Path::new(VIRTIOFSD).exists(),
            "{VIRTIOFSD} is missing (Debian 12: apt-get install qemu-system-x86)"
        );
        let busybox = super::folder().join("busybox");
        if !busybox.exists() {
            unpack(BUSYBOX_SUITE, &["busybox-static"], "bin/busybox", &busybox)?;
        }
        let installed = paths::which("qemu-system-x86_64");
        if let Some(program) =
            installed.filter(|program| version(program).is_some_and(|is| is >= OLDEST_QEMU))
        {
            return Ok(Self { program, unpacked: None, busybox });
        }
        let folder = super::folder().join("qemu");
        let program = folder.join("usr/bin/qemu-system-x86_64");
        if !program.exists() {
            let packages = ["qemu-system-x86", "qemu-system-common", "qemu-system-data"];
            unpack(BACKPORTS, &packages, "", &folder)?;
        }
        Ok(Self { program, unpacked: Some(folder), busybox })
    }

    fn command(&self) -> Command {
        let mut command = process::command(&self.program);
        if let Some(folder) = &self.unpacked {
            command.env("QEMU_MODULE_DIR", folder.join("usr/lib/x86_64-linux-gnu/qemu"));
            command.arg("-L").arg(folder.join("usr/share/qemu"));
            command.args(["-L", "/usr/share/seabios", "-L", "/usr/share/qemu"]);
        }
        command
    }
}

/// Downloads packages, and puts what is unpacked, or one file of it, where it belongs when it is complete.
fn unpack(suite: &str, packages: &[&str], part: &str, to: &Path) -> Result<()> {
    let fresh = to.with_extension("new");
    let _ = fs::remove_dir_all(&fresh);
    Suite::open(suite)?.unpack(packages, &fresh)?;
    fs::rename(fresh.join(part), to).with_context(|| format!("{} has no {part}", packages.join(" ")))?;
    let _ = fs::remove_dir_all(&fresh);
    Ok(())
}

/// The major version out of `QEMU emulator version 7.2.22 (Debian …)`.
fn version(program: &Path) -> Option<u32> {
    major(&process::output_of(process::command(program).arg("--version")).ok()?)
}

fn major(text: &str) -> Option<u32> {
    text.split("version ").nth(1)?.split('.').next()?.parse().ok()
}

/// A guest that runs.
pub struct Machine {
    qemu: Service,
    _files: Service,
    folder: PathBuf,
    console: PathBuf,
    read: u64,
    partial: Vec<u8>,
}

impl Machine {
    /// Boots a kernel and gives it a job.
    pub fn boot(emulator: &Emulator, kernel: &Kernel, job: &Job) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // Not below the checkout: the path of a socket may have 107 bytes only.
        let folder = std::env::temp_dir().join(format!("remora-vm-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let log = |what: &str| paths::logs().join(format!("vm-{}-{what}.log", kernel.series));
        let initramfs = folder.join("initramfs");
        fs::write(&initramfs, initramfs::make(kernel, &emulator.busybox, job)?)?;

        let socket = folder.join("files");
        let mut files = process::command(VIRTIOFSD);
        files.arg(format!("--socket-path={}", socket.display())).arg("-f");
        files.args(["-o", "source=/,sandbox=chroot,cache=always,log_level=err"]);
        let mut files = Service::start("virtiofsd", &mut files, log("files"), false)?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while !socket.exists() {
            files.check()?;
            ensure!(Instant::now() < deadline, "virtiofsd does not listen");
            process::pause(Duration::from_millis(20));
        }

        let console = process::fresh(&log("console"))?;
        let mut qemu = emulator.command();
        qemu.args(["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max,la57=off,erms=off,fsrm=off"]);
        qemu.args([
            "-machine",
            "q35,hpet=off,usb=off,vmport=off,smm=off,sata=off,smbus=off,memory-backend=memory",
        ]);
        qemu.args([
            "-object",
            &format!("memory-backend-memfd,id=memory,size={MEMORY},share=on"),
            "-m",
            MEMORY,
        ]);
        qemu.args(["-smp", PROCESSORS, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        qemu.arg("-serial").arg(format!("file:{}", console.display()));
        qemu.arg("-kernel").arg(kernel.image()).arg("-initrd").arg(&initramfs);
        qemu.arg("-append").arg(arguments(kernel)?);
        qemu.args(["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]);
        for port in ["out", "err", "code"] {
            qemu.arg("-chardev").arg(format!("file,id={port},path={}", folder.join(port).display()));
            qemu.arg("-device").arg(format!("virtserialport,chardev={port},name={port}"));
        }
        qemu.arg("-chardev").arg(format!("socket,id=files,path={}", socket.display()));
        qemu.args(["-device", "vhost-user-fs-pci,chardev=files,tag=host,queue-size=1024"]);
        let qemu = Service::start("QEMU", &mut qemu, log("qemu"), false)?;
        Ok(Self { qemu, _files: files, folder, console, read: 0, partial: Vec::new() })
    }

    /// The lines that the guest has written since this was last asked.
    pub fn lines(&mut self) -> Result<Vec<String>> {
        let Ok(mut file) = File::open(self.folder.join("out")) else {
            return Ok(Vec::new());
        };
        file.seek(SeekFrom::Start(self.read))?;
        self.read += file.read_to_end(&mut self.partial)? as u64;
        Ok(whole_lines(&mut self.partial))
    }

    /// Whether it has ended, by itself or not.
    pub fn ended(&mut self) -> Result<bool> {
        Ok(self.qemu.child.try_wait()?.is_some())
    }

    /// What the guest's main program ended with, if it did.
    pub fn code(&self) -> Option<i32> {
        fs::read_to_string(self.folder.join("code")).ok()?.trim().parse().ok()
    }

    /// What the guest's kernel complained about: a program of ours may be refused, but never disturb it.
    pub fn complaints(&self) -> Vec<String> {
        complaints(&String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()))
    }

    /// What tells why a guest died: the main program's complaint, or the kernel's.
    pub fn last_words(&self) -> String {
        let own = progress::last_lines(&self.folder.join("err"), 5);
        let emulator = progress::last_lines(&self.qemu.log, 3);
        let console = progress::last_lines(&self.console, 12);
        [own, emulator, console].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.stop(Duration::from_secs(2));
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The first lines of a kernel's warnings about itself, each place once.
fn complaints(console: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in console.lines() {
        // `[   12.345678] WARNING: CPU: 0 PID: 1 at kernel/bpf/hashtab.c:199 …`
        let Some(start) = ["WARNING: ", "BUG: "].iter().find_map(|mark| line.find(mark)) else {
            continue;
        };
        let line = line[start..].trim_end();
        // Emulation can be that slow.
        if line.contains("soft lockup") {
            continue;
        }
        let place = |line: &str| line.split_once(" at ").map_or(line, |(_, place)| place).to_owned();
        if !found.iter().any(|known| place(known) == place(line)) {
            found.push(line.to_owned());
        }
    }
    found
}

/// Takes the whole lines from the beginning.
fn whole_lines(bytes: &mut Vec<u8>) -> Vec<String> {
    let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
        return Vec::new();
    };
    let rest = bytes.split_off(end + 1);
    let whole = std::mem::replace(bytes, rest);
    String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect()
}

/// The kernel's command line.
fn arguments(kernel: &Kernel) -> Result<String> {
    let mut arguments = String::from(
        "console=ttyS0 maxcpus=1 panic=-1 oops=panic quiet loglevel=5 mitigations=off no_timer_check tsc=reliable \
         random.trust_cpu=on rcupdate.rcu_expedited=1 8250.nr_uarts=1",
    );
    if let Some(loops) = loops_per_jiffy(&fs::read_to_string("/proc/cpuinfo")?) {
        arguments.push_str(&format!(" lpj={loops}"));
    }
    // A copy: cargo may have put another build in this program's place meanwhile.
    let guest = super::folder().join("guest");
    let fresh = guest.with_extension("new");
    fs::copy("/proc/self/exe", &fresh)
        .and_then(|_| fs::rename(&fresh, &guest))
        .context("cannot copy this program for the guest")?;
    for (name, path) in [("guest", &guest), ("modules", &kernel.modules()), ("config", &kernel.config())] {
        let path = path.canonicalize().with_context(|| format!("cannot find {}", path.display()))?;
        let text = path.to_string_lossy();
        ensure!(!text.contains([' ', '\'', '"']), "the path {text} cannot be given to a kernel");
        arguments.push_str(&format!(" remora.{name}={text}"));
    }
    Ok(arguments)
}

/// The speed of the delay loop at 250 ticks a second, as Debian's kernels have them.
fn loops_per_jiffy(cpuinfo: &str) -> Option<u64> {
    let line = cpuinfo.lines().find(|line| line.starts_with("bogomips"))?;
    let bogomips: f64 = line.split(':').nth(1)?.trim().parse().ok()?;
    Some((bogomips * 2000.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_when_it_is_whole() {
        let mut bytes = b"one\ntw".to_vec();
        assert_eq!(whole_lines(&mut bytes), ["one"]);
        assert!(whole_lines(&mut bytes).is_empty());
        bytes.extend(b"o\nthree\n");
        assert_eq!(whole_lines(&mut bytes), ["two", "three"]);
        assert!(bytes.is_empty());
    }

    #[test]
    fn a_kernels_warnings_are_told_once_each() {
        let console = "[    0.1] Linux version 5.10\r\n\
            [   12.3] WARNING: CPU: 0 PID: 70 at kernel/bpf/syscall.c:10 f+0x1/0x2\r\n\
            [   12.4] Modules linked in: tls\r\n\
            [   13.3] WARNING: CPU: 1 PID: 99 at kernel/bpf/syscall.c:10 f+0x1/0x2\r\n\
            [   20.0] BUG: kernel NULL pointer dereference, address: 0\r\n";
        let told = [
            "WARNING: CPU: 0 PID: 70 at kernel/bpf/syscall.c:10 f+0x1/0x2",
            "BUG: kernel NULL pointer dereference, address: 0",
        ];
        assert_eq!(complaints(console), told);
        assert!(complaints("[ 1.0] all is well\n").is_empty());
    }

    #[test]
    fn versions_are_read_as_qemu_prints_them() {
        assert_eq!(major("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\n"), Some(7));
        assert_eq!(major("QEMU emulator version 10.0.2 (Debian)"), Some(10));
        assert_eq!(major("something else"), None);
    }

    #[test]
    fn the_delay_loop_is_not_measured() {
        assert_eq!(loops_per_jiffy("processor\t: 0\nbogomips\t: 5000.12\n"), Some(10_000_240));
        assert_eq!(loops_per_jiffy(""), None);
    }
}
