//! Real programs and libraries, as distributions package them, and real processes.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use remora_symbolizer::{Cache, Evidence, Inspection, Runtime, probes::Library, process, tls::TlsLibrary};

/// The first of these files that is here.
fn file(candidates: &[&str]) -> Option<PathBuf> {
    let found = candidates.iter().map(PathBuf::from).find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: none of {} is here", candidates.join(", "));
    }
    found
}

fn library(name: &str) -> Option<PathBuf> {
    let folders = ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64", "/usr/lib"];
    let candidates: Vec<_> = folders.iter().map(|folder| format!("{folder}/{name}")).collect();
    file(&candidates.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Standard output of a program; `None`, with a line that says so, if it is not here.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => {
            Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        _ => {
            eprintln!("skipped: {program} does not run here");
            None
        }
    }
}

/// Functions with their addresses, as binutils has them.
fn nm(arguments: &[&str], path: &Path) -> Option<BTreeMap<String, u64>> {
    let mut arguments = arguments.to_vec();
    let path = path.to_str().unwrap();
    arguments.extend(["--defined-only", path]);
    let text = output("nm", &arguments)?;
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let address = u64::from_str_radix(words.next()?, 16).ok()?;
        words.next().filter(|kind| matches!(*kind, "T" | "t" | "W" | "i"))?;
        Some((words.next()?.split('@').next()?.to_owned(), address))
    };
    Some(text.lines().filter_map(line).collect())
}

fn same_as_nm(inspection: &Inspection, truth: &BTreeMap<String, u64>) {
    for function in &inspection.functions {
        assert_eq!(
            truth.get(function.probe.function),
            Some(&function.address),
            "{}",
            function.probe.function
        );
    }
}

#[test]
fn libssl_and_libgnutls_tell_their_functions_by_dynamic_symbols() {
    for (name, of, least) in [("libssl.so.3", Library::OpenSsl, 7), ("libgnutls.so.30", Library::GnuTls, 6)] {
        let Some(path) = library(name) else { continue };
        let inspection = Inspection::of(&path).unwrap();
        assert_eq!(inspection.libraries(), [of]);
        assert_eq!(inspection.functions.len(), least, "{:?}", inspection.functions);
        if inspection.binary.is_stripped && inspection.debug_file.is_none() {
            assert!(inspection.functions.iter().all(|f| f.evidence == Evidence::DynamicSymbol));
        }
        if let Some(truth) = nm(&["-D"], &path) {
            same_as_nm(&inspection, &truth);
        }
    }
}

#[test]
fn node_has_openssl_inside_with_symbols_and_tells_both_versions() {
    let Some(versions) =
        output("node", &["-p", "process.execPath+' '+process.versions.node+' '+process.versions.openssl"])
    else {
        return;
    };
    let [path, node, openssl] = versions.split(' ').collect::<Vec<_>>()[..] else { panic!("{versions}") };
    let inspection = Inspection::of(Path::new(path)).unwrap();
    if inspection.binary.needed.iter().any(|name| name.starts_with("libnode") || name.starts_with("libssl")) {
        eprintln!("skipped: this Node.js has OpenSSL outside");
        return;
    }
    assert_eq!(inspection.binary.runtime, Runtime::Node);
    assert_eq!(inspection.runtime_version.as_deref(), Some(node));
    let inside = inspection.tls.iter().find(|used| used.library == TlsLibrary::OpenSsl).expect("OpenSSL");
    assert_eq!(inside.version.as_deref(), Some(openssl));
    assert_eq!(inspection.functions.len(), 7, "{:?}", inspection.functions);
    if let Some(truth) = nm(&[], Path::new(path)) {
        same_as_nm(&inspection, &truth);
    }
}

#[test]
fn go_programs_as_debian_ships_them_are_stripped_and_known_all_the_same() {
    for (candidates, grpc) in
        [(["/usr/bin/etcd"].as_slice(), true), (&["/usr/sbin/nats-server", "/usr/bin/nats-server"], false)]
    {
        let Some(path) = file(candidates) else { continue };
        let inspection = Inspection::of(&path).unwrap();
        let Runtime::Go(info) = &inspection.binary.runtime else { panic!("{:?}", inspection.binary.runtime) };
        let libraries = inspection.libraries();
        let by_table = [Evidence::PcLnTab, Evidence::PcLnTabPattern];
        assert!(inspection.functions.iter().all(|f| by_table.contains(&f.evidence)));
        assert!(libraries.contains(&Library::GoTls) && libraries.contains(&Library::GoHttp), "{libraries:?}");
        assert_eq!(libraries.contains(&Library::Grpc), grpc, "{libraries:?}");
        for function in &inspection.functions {
            let returns = function.returns.as_ref().map(|returns| returns.places().len());
            assert_ne!(returns, Some(0), "{}: {:?}", function.probe.function, function.returns);
        }
        println!("{}: {} by {}", path.display(), inspection.functions.len(), info.version);
    }
}

#[test]
fn runtimes_tell_their_versions() {
    let told = |path: &Path| {
        let inspection = Inspection::of(path).unwrap();
        let version = inspection.runtime_version.unwrap_or_default();
        format!("{} {version}", inspection.binary.runtime).trim().to_owned()
    };
    // The interpreter may be a launcher of libpython, which tells the minor version only.
    if let Some(text) = output(
        "python3",
        &["-c", "import sys,os;print(os.path.realpath(sys.executable),sys.version.split()[0])"],
    ) {
        let (path, version) = text.split_once(' ').unwrap();
        let told = told(Path::new(path));
        let expected = format!("Python {version}");
        assert!(told.starts_with("Python") && expected.starts_with(&told), "{told}, not {expected}");
    }
    if let Some(java) = output("java", &["-XshowSettings:properties", "-version"])
        .and_then(|_| fs::canonicalize(output("sh", &["-c", "command -v java"])?).ok())
    {
        assert_eq!(Inspection::of(&java).unwrap().binary.runtime, Runtime::Jvm);
        let library = java.parent().unwrap().with_file_name("lib/server/libjvm.so");
        if library.exists() {
            let told = told(&library);
            assert!(told.starts_with("JVM 1") || told.starts_with("JVM 2"), "{told}");
        }
    }
    if let Some(php) = output("php", &["-n", "-r", "echo PHP_BINARY, ' ', PHP_VERSION;"]) {
        let (path, version) = php.split_once(' ').unwrap();
        assert_eq!(told(Path::new(path)), format!("PHP {version}"));
    }
    if let Some(nginx) = file(&["/usr/sbin/nginx"]) {
        let inspection = Inspection::of(&nginx).unwrap();
        assert_eq!(inspection.binary.runtime, Runtime::Native);
        assert!(
            inspection.tls.iter().any(|used| used.library == TlsLibrary::OpenSsl),
            "{:?}",
            inspection.tls
        );
    }
}

/// A process that waits for the end of its input.
struct Waiting(Child);

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs Python until it says that it is ready.
fn python(code: &str) -> Option<Waiting> {
    let code = format!("{code}\nprint('ready', flush=True)\ninput()");
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", &code]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        eprintln!("skipped: no /usr/bin/python3");
        return None;
    };
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "ready");
    Some(Waiting(child))
}

fn loaded(child: &Waiting, cache: &mut Cache) -> Vec<process::Loaded> {
    process::inspect(Path::new(&format!("/proc/{}", child.0.id())), cache).unwrap()
}

#[test]
fn a_library_that_was_loaded_by_hand_and_deleted_is_found() {
    let Some(libssl) = library("libssl.so.3") else { return };
    let dir = tempfile::tempdir().unwrap();
    // Another path, and a name that says nothing.
    let copy = dir.path().join("a library");
    fs::copy(&libssl, &copy).unwrap();
    let Some(child) = python(&format!(
        "import ctypes, os\nctypes.CDLL({:?})\nos.unlink({:?})",
        copy.display().to_string(),
        copy.display().to_string()
    )) else {
        return;
    };
    let mut cache = Cache::new(1 << 20);
    let files = loaded(&child, &mut cache);
    let deleted = files.iter().find(|f| f.mapping.deleted).expect("the deleted library");
    let (opened, inspection) = match &deleted.found {
        Ok(found) => found,
        Err(error) => {
            eprintln!("skipped: map_files cannot be used here: {error}");
            return;
        }
    };
    assert!(opened.starts_with(format!("/proc/{}/map_files", child.0.id())), "{}", opened.display());
    let whole = Inspection::of(&libssl).unwrap();
    assert_eq!(inspection.functions, whole.functions);
    assert!(matches!(files[0].found.as_ref().unwrap().1.binary.runtime, Runtime::Python(_)));

    // A second process of the same files costs no parsing.
    let parsed = cache.statistics().parsed;
    loaded(&child, &mut cache);
    assert_eq!(cache.statistics().parsed, parsed);
}

#[test]
fn a_process_in_a_root_of_its_own_has_its_own_libraries() {
    let Some(libssl) = library("libssl.so.3") else { return };
    let root = tempfile::tempdir().unwrap();
    let Some(listed) = output("ldd", &["/bin/cat", libssl.to_str().unwrap()]) else { return };
    let mut files: Vec<String> = listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(|w| w.trim_end_matches(':').to_owned())
        .collect();
    files.push("/bin/cat".to_owned());
    files.push(libssl.display().to_string());
    for file in files {
        let place = root.path().join(file.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(&file, place).unwrap();
    }
    let mut command = Command::new("chroot");
    command.arg(root.path()).args(["/bin/cat"]).env("LD_PRELOAD", &libssl);
    let Ok(child) = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn() else {
        eprintln!("skipped: no chroot");
        return;
    };
    let mut child = Waiting(child);
    if child.0.stdin.as_mut().unwrap().write_all(b"ready\n").is_err() {
        eprintln!("skipped: chroot needs root");
        return;
    }
    let mut line = String::new();
    BufReader::new(child.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    if line.is_empty() {
        eprintln!("skipped: chroot needs root");
        return;
    }
    let mut cache = Cache::new(1 << 20);
    let files = loaded(&child, &mut cache);
    let inside = files.iter().find(|f| f.mapping.file_name() == Some("libssl.so.3")).expect("libssl");
    let (_, inspection) = inside.found.as_ref().unwrap();
    assert_eq!(inspection.libraries(), [Library::OpenSsl]);
    // The kernel gives the path as we see it only where roots are not apart; the file is the one in the root.
    use std::os::unix::fs::MetadataExt;
    let own = root.path().join(libssl.strip_prefix("/").unwrap());
    assert_eq!(fs::metadata(own).unwrap().ino(), inside.mapping.inode);
}
