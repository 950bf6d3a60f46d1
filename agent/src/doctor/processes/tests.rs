use std::{net::TcpListener, os::unix::fs::symlink, path::PathBuf};

use super::*;

/// A `/proc` with one process, whose executable is a copy of `exe`.
struct Proc(tempfile::TempDir);

const MAPS: &str = "7f0000020000-7f0000060000 r-xp 00020000 fd:01 77 /usr/lib/libssl.so.3 (deleted)\n";
const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 501 1 0 100 0 0 10 0\n\
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 502 1 0 100 0 0 10 0\n";
const UNIX: &str = "Num       RefCount Protocol Flags    Type St Inode Path\n\
0000000000000000: 00000002 00000000 00010000 0001 01 503 /run/app.sock\n";

impl Proc {
    fn new(exe: &[u8], descriptors: &[&str]) -> Self {
        let root = Proc(tempfile::tempdir().unwrap());
        let process = root.process();
        for dir in ["fd", "ns", "net"] {
            fs::create_dir_all(process.join(dir)).unwrap();
        }
        fs::write(root.0.path().join("program"), exe).unwrap();
        symlink(root.0.path().join("program"), process.join("exe")).unwrap();
        symlink("net:[4026531840]", process.join("ns/net")).unwrap();
        for (number, target) in descriptors.iter().enumerate() {
            symlink(target, process.join("fd").join(number.to_string())).unwrap();
        }
        for (file, text) in [("maps", MAPS), ("net/tcp", TCP), ("net/unix", UNIX), ("comm", "thing\n")] {
            fs::write(process.join(file), text).unwrap();
        }
        root
    }

    fn process(&self) -> PathBuf {
        self.0.path().join("7")
    }

    fn survey(&self) -> Vec<ProcessReport> {
        self.survey_in(Tier::SocketTracepoint)
    }

    fn survey_in(&self, tier: Tier) -> Vec<ProcessReport> {
        // Not processes.
        fs::create_dir_all(self.0.path().join("sys")).unwrap();
        super::survey(self.0.path(), Some(tier))
    }
}

/// The smallest ELF file that says what it is: a header alone.
fn elf(class: u8, machine: u8) -> Vec<u8> {
    let mut bytes = vec![0x7f, b'E', b'L', b'F', class, 1, 1];
    bytes.resize(16, 0);
    bytes.extend([2, 0, machine, 0, 1, 0, 0, 0]);
    bytes.resize(if class == 2 { 64 } else { 52 }, 0);
    bytes
}

#[test]
fn sockets_tls_and_io_uring_of_a_process() {
    let descriptors =
        ["/dev/null", "socket:[501]", "socket:[502]", "socket:[503]", "socket:[9]", "anon_inode:[io_uring]"];
    let proc = Proc::new(&elf(2, 62), &descriptors);
    let reports = proc.survey();
    let [report] = &reports[..] else { panic!("{reports:#?}") };
    let sockets = Sockets { tcp_listening: 1, tcp_established: 1, unix: 1, io_uring: 1, truncated: false };
    assert_eq!((report.pid, report.sockets), (7, sockets));
    assert_eq!((report.name.as_str(), report.runtime.as_deref()), ("program", Some("native")));
    assert!(report.plain.captured && report.goroutines.is_none());
    let [encrypted] = &report.encrypted[..] else { panic!("{report:#?}") };
    assert_eq!((encrypted.library.as_str(), encrypted.deleted), ("OpenSSL", true));
    assert_eq!(encrypted.file.as_deref(), Some("/usr/lib/libssl.so.3"));
    assert!(encrypted.why.contains("not read"));
    let ring = report.io_uring.as_ref().unwrap();
    assert!(!ring.captured && ring.why.contains("needs kprobes or fentry"), "{ring:?}");
    assert!(proc.survey_in(Tier::Fentry)[0].io_uring.as_ref().unwrap().captured);
}

#[test]
fn what_is_not_covered_is_said() {
    let reports = Proc::new(&elf(1, 3), &["socket:[501]"]).survey();
    assert!(!reports[0].plain.captured);
    assert!(reports[0].plain.why.contains("32-bit"), "{}", reports[0].plain.why);
    let reports = Proc::new(b"#!/bin/sh", &["socket:[501]"]).survey();
    assert!(reports[0].notes[0].contains("not an ELF file"), "{:?}", reports[0].notes);
    assert_eq!(reports[0].runtime, None);
}

#[test]
fn processes_without_sockets_are_left_out() {
    assert_eq!(Proc::new(&elf(2, 62), &["/dev/null", "socket:[9]"]).survey(), []);
    assert_eq!(super::survey(Path::new("/nonexistent"), None), []);
}

#[test]
fn this_process_is_found_with_its_listener() {
    let _listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let reports = super::survey(Path::new("/proc"), None);
    let own = reports.iter().find(|r| r.pid == std::process::id()).expect("this process listens");
    assert!(own.sockets.tcp_listening >= 1);
    assert!(own.runtime.as_deref().unwrap().starts_with("Rust"), "{own:?}");
}

#[test]
fn names_are_those_of_what_runs() {
    let jvm = |arguments: &[&str]| java_main(arguments);
    assert_eq!(jvm(&["-Xmx1g", "-jar", "/opt/cart-1.2.jar", "x"]).as_deref(), Some("cart-1.2"));
    assert_eq!(jvm(&["-cp", "a:b", "-Dx=y", "org.example.Orders", "start"]).as_deref(), Some("Orders"));
    assert_eq!(jvm(&["-m", "shop/org.example.Main"]).as_deref(), Some("Main"));
    assert_eq!(jvm(&["-version"]), None);
    assert_eq!(script(&["-u", "/srv/app.py", "--port", "1"]).as_deref(), Some("app"));
    assert_eq!(script(&["-c", "print(1)"]), None);
    assert_eq!(script(&[]), None);
    assert_eq!(after(&["-m", "http.server"], "-m").as_deref(), Some("http.server"));
    assert_eq!(after(&["app.py", "-m", "x"], "-m"), None);
}
