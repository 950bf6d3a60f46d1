//! Debian's own kernels: downloaded, unpacked, and made ready to boot quickly under emulation.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::packages::Suite;
use crate::process;

/// Where a kernel comes from.
struct Source {
    /// What the user calls it.
    name: &'static str,
    /// Debian's suite.
    suite: &'static str,
}

/// The newest kernel there is, whatever its version.
pub const NEWEST: &str = "sid";

const SOURCES: &[Source] = &[
    Source { name: "5.10", suite: "bullseye" },
    Source { name: "6.1", suite: "bookworm" },
    Source { name: "6.12", suite: "trixie" },
    Source { name: NEWEST, suite: "sid" },
];

/// The kernels that are tested unless others are asked for, oldest first.
pub fn names() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().map(|source| source.name)
}

/// Debian's kernel for virtual machines: the drivers that are needed, and few others.
const META_PACKAGE: &str = "linux-image-cloud-amd64";

/// What must be loaded before the host's file system can be reached, without what it depends on.
const BOOT_MODULES: &[&str] = &["virtio_pci", "virtio_console", "virtiofs", "overlay", "virtio_rng"];

/// A kernel that is ready to boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// `6.1`
    pub series: String,
    /// What `uname -r` says in it.
    pub release: String,
    #[serde(skip)]
    folder: PathBuf,
}

impl Kernel {
    /// The kernel called `name`, downloaded unless it was before. A version that is none of Debian's stable releases is
    /// taken for sid's, and must be that.
    pub fn get(name: &str) -> Result<Self> {
        let source = SOURCES.iter().find(|source| source.name == name);
        let suite = source.map_or("sid", |source| source.suite);
        let folder = super::folder().join("kernels").join(suite);
        let kernel = match Self::read(&folder) {
            Some(kernel) => kernel,
            None => Self::fetch(suite, &folder)?,
        };
        ensure!(
            source.is_some() || kernel.series == name,
            "Debian {suite} has Linux {}, not {name}",
            kernel.series
        );
        Ok(kernel)
    }

    /// The kernel itself, not compressed: the emulator starts it at once (PVH), and need not emulate a decompression.
    pub fn image(&self) -> PathBuf {
        self.folder.join("vmlinux")
    }

    /// Its modules, for the guest's `/lib/modules`.
    pub fn modules(&self) -> PathBuf {
        modules_of(&self.folder).join(&self.release)
    }

    /// How it was configured.
    pub fn config(&self) -> PathBuf {
        self.folder.join("config")
    }

    /// The modules that are loaded first, not compressed, in their order.
    pub fn boot_modules(&self) -> Result<Vec<PathBuf>> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(self.folder.join("first"))?.flatten().map(|entry| entry.path()).collect();
        files.sort();
        Ok(files)
    }

    fn read(folder: &Path) -> Option<Self> {
        let about = fs::read_to_string(folder.join("about.json")).ok()?;
        Some(Self { folder: folder.to_owned(), ..serde_json::from_str(&about).ok()? })
    }

    /// What was fetched becomes visible under its name when it is complete.
    fn fetch(suite: &str, folder: &Path) -> Result<Self> {
        let fresh = folder.with_extension("new");
        let _ = fs::remove_dir_all(&fresh);
        let archive = Suite::open(suite)?;
        let depends = archive.depends(META_PACKAGE)?;
        let image = image_package(&depends)
            .with_context(|| format!("{META_PACKAGE} of Debian {suite} depends on no kernel: {depends}"))?;
        let version = image.trim_start_matches("linux-image-");
        // Since Linux 7 a kernel comes in parts.
        let parts = ["base", "binary", "modules"].map(|part| format!("linux-{part}-{version}"));
        if parts.iter().all(|part| archive.has(part)) {
            archive.unpack(&parts.each_ref().map(String::as_str), &fresh)?;
        } else {
            archive.unpack(&[image], &fresh)?;
        }
        let kernel = prepare(&fresh)?;
        fs::write(fresh.join("about.json"), serde_json::to_string(&kernel)?)?;
        let _ = fs::remove_dir_all(folder);
        fs::rename(&fresh, folder)?;
        Ok(Self { folder: folder.to_owned(), ..kernel })
    }
}

/// The package of the kernel itself, out of the dependencies of Debian's meta package.
fn image_package(depends: &str) -> Option<&str> {
    let mut names = depends.split([',', '|']).filter_map(|one| one.split_whitespace().next());
    names.find(|name| {
        name.strip_prefix("linux-image-")
            .is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
    })
}

fn modules_of(folder: &Path) -> PathBuf {
    let old = folder.join("lib/modules");
    if old.is_dir() { old } else { folder.join("usr/lib/modules") }
}

/// Makes what is booted out of what was unpacked.
fn prepare(folder: &Path) -> Result<Kernel> {
    let modules = modules_of(folder);
    let mut releases = fs::read_dir(&modules)?.flatten().map(|entry| entry.file_name());
    let release = releases.next().context("the package has no modules")?.to_string_lossy().into_owned();
    // The tools look for modules below `lib`.
    let lib = folder.join("lib");
    if !lib.exists() {
        std::os::unix::fs::symlink("usr/lib", &lib)?;
    }
    let either =
        |names: [String; 2]| names.into_iter().map(|name| folder.join(name)).find(|path| path.is_file());
    let below = format!("{}/{release}", modules.strip_prefix(folder)?.display());
    let image = either([format!("boot/vmlinuz-{release}"), format!("{below}/vmlinuz")])
        .context("the package has no kernel")?;
    if let Some(config) = either([format!("boot/config-{release}"), format!("{below}/config")]) {
        fs::copy(config, folder.join("config"))?;
    }
    process::output_of(process::command("depmod").arg("-b").arg(folder).arg(&release))?;
    let bytes = fs::read(&image)?;
    let (compression, payload) =
        payload(&bytes).with_context(|| format!("cannot read {}", image.display()))?;
    let kernel = decompress(compression, payload)?;
    ensure!(kernel.starts_with(b"\x7fELF"), "what is in {} is no kernel", image.display());
    fs::write(folder.join("vmlinux"), kernel)?;
    first_modules(folder, &release)?;
    Ok(Kernel { series: series(&release), release, folder: folder.to_owned() })
}

/// `6.1` of `6.1.0-50-cloud-amd64`
fn series(release: &str) -> String {
    release.split(['.', '-', '+']).take(2).collect::<Vec<_>>().join(".")
}

/// Copies the first modules, with what they depend on, in the order in which they must be loaded.
fn first_modules(folder: &Path, release: &str) -> Result<()> {
    let first = folder.join("first");
    fs::create_dir_all(&first)?;
    let mut known: Vec<String> = Vec::new();
    for module in BOOT_MODULES {
        let mut modprobe = process::command("modprobe");
        modprobe.arg("-d").arg(folder).args(["-S", release, "--show-depends", module]);
        // One that is not there is built in; if it is not, the guest will say so.
        let listed = process::output_of(&mut modprobe).unwrap_or_default();
        for path in listed.lines().filter_map(|line| line.strip_prefix("insmod ")).map(str::trim) {
            let file = Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
            let (name, ending) = file.split_once(".ko").context("not a module")?;
            if known.iter().any(|known| known == name) {
                continue;
            }
            let bytes = fs::read(path)?;
            let bytes = match ending {
                "" => bytes,
                ".xz" => decompress(Compression::Xz, &bytes)?,
                ".zst" => decompress(Compression::Zstd, &bytes)?,
                ".gz" => decompress(Compression::Gzip, &bytes)?,
                other => bail!("{file} is compressed as {other}"),
            };
            fs::write(first.join(format!("{:02}-{name}.ko", known.len())), bytes)?;
            known.push(name.to_owned());
        }
    }
    ensure!(!known.is_empty(), "the kernel has no module that is needed");
    Ok(())
}

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    Gzip,
    Xz,
    Zstd,
    Lz4,
}

/// The compressed kernel within a bzImage: the setup header says where it lies (Documentation/arch/x86/boot.rst, fields
/// `setup_sects`, `payload_offset` and `payload_length`). The build appends its uncompressed length to what the compressor
/// wrote, except to gzip's, which ends with that anyway.
fn payload(image: &[u8]) -> Result<(Compression, &[u8])> {
    const SETUP_SECTORS: usize = 0x1f1;
    const MAGIC: usize = 0x202;
    const PAYLOAD: usize = 0x248;
    const SECTOR: usize = 512;
    const APPENDED: usize = 4;
    ensure!(image.get(MAGIC..MAGIC + 4) == Some(b"HdrS"), "not a bzImage");
    let number = |at: usize| -> Result<usize> {
        let bytes = image.get(at..at + 4).context("the setup header is cut off")?;
        Ok(u32::from_le_bytes(bytes.try_into()?) as usize)
    };
    let sectors = match image[SETUP_SECTORS] {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let begin = (sectors + 1) * SECTOR + number(PAYLOAD)?;
    let end = begin + number(PAYLOAD + 4)?;
    let payload = image.get(begin..end).context("the payload is cut off")?;
    let known: [(&[u8], Compression); 4] = [
        (b"\x1f\x8b", Compression::Gzip),
        (b"\xfd7zXZ", Compression::Xz),
        (b"\x28\xb5\x2f\xfd", Compression::Zstd),
        (b"\x02\x21\x4c\x18", Compression::Lz4),
    ];
    let (_, compression) = known
        .into_iter()
        .find(|(magic, _)| payload.starts_with(magic))
        .context("the payload is compressed in a way that is not known")?;
    let appended = if compression == Compression::Gzip { 0 } else { APPENDED };
    Ok((compression, &payload[..payload.len().saturating_sub(appended)]))
}

fn decompress(compression: Compression, bytes: &[u8]) -> Result<Vec<u8>> {
    let (program, arguments) = match compression {
        Compression::Gzip => ("gzip", "-dc"),
        Compression::Xz => ("xz", "-dc"),
        Compression::Zstd => ("zstd", "-dcq"),
        Compression::Lz4 => ("lz4", "-dc"),
    };
    let mut command = process::command(program);
    command.arg(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().with_context(|| format!("{program} is not installed"))?;
    let mut pipe = child.stdin.take().context("no pipe")?;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // It may end early, and then says why by what it has written.
            let _ = pipe.write_all(bytes);
        });
        let output = child.wait_with_output()?;
        ensure!(!output.stdout.is_empty(), "{program} made nothing of it");
        Ok(output.stdout)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bzImage with three sectors of setup and a payload 100 bytes behind them.
    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 4 * 512 + 100];
        image[0x1f1] = 3;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&100_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend(payload);
        image.extend(b"what follows");
        image
    }

    #[test]
    fn the_payload_is_found_and_its_compression_told() {
        let with = |payload: &[u8]| payload_of(&image(payload));
        fn payload_of(image: &[u8]) -> Option<(Compression, Vec<u8>)> {
            payload(image).ok().map(|(compression, bytes)| (compression, bytes.to_vec()))
        }
        assert_eq!(with(b"\xfd7zXZ.kernelSIZE"), Some((Compression::Xz, b"\xfd7zXZ.kernel".to_vec())));
        assert_eq!(with(b"\x28\xb5\x2f\xfd.SIZE"), Some((Compression::Zstd, b"\x28\xb5\x2f\xfd.".to_vec())));
        assert_eq!(with(b"\x02\x21\x4c\x18.SIZE"), Some((Compression::Lz4, b"\x02\x21\x4c\x18.".to_vec())));
        assert_eq!(with(b"\x1f\x8bkernel"), Some((Compression::Gzip, b"\x1f\x8bkernel".to_vec())));
        assert_eq!(with(b"BZhkernelSIZE"), None);
    }

    #[test]
    fn what_is_no_kernel_is_refused_at_every_length() {
        let whole = image(b"\xfd7zXZ.kernelSIZE");
        let complete = whole.len() - b"what follows".len();
        for length in 0..complete {
            assert!(payload(&whole[..length]).is_err(), "{length}");
        }
        assert!(payload(&whole[..complete]).is_ok());
    }

    #[test]
    fn the_kernels_package_is_found_among_dependencies() {
        let image = image_package("linux-image-6.1.0-50-cloud-amd64 (= 6.1.176-1)");
        assert_eq!(image, Some("linux-image-6.1.0-50-cloud-amd64"));
        assert_eq!(
            image_package("linux-base, linux-image-7.2-cloud-amd64"),
            Some("linux-image-7.2-cloud-amd64")
        );
        assert_eq!(image_package("linux-image-amd64"), None);
    }

    #[test]
    fn a_series_is_two_numbers() {
        assert_eq!(series("6.1.0-50-cloud-amd64"), "6.1");
        assert_eq!(series("6.12.107+deb13-cloud-amd64"), "6.12");
        assert_eq!(series("7.2+deb14-cloud-amd64"), "7.2");
    }
}
