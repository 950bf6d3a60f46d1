//! Which sockets the processes of this host hold: `/proc/PID/fd` and `/proc/PID/net` (proc(5)).

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use serde::Serialize;

/// File descriptors looked at of one process.
const MAX_DESCRIPTORS: usize = 16_384;
/// Network namespaces looked at.
const MAX_NAMESPACES: usize = 512;
/// Sockets kept of all namespaces together.
const MAX_SOCKETS: usize = 1 << 20;
/// Bytes read of one table; a line has 150.
const MAX_TABLE: u64 = 64 << 20;

/// How many sockets of which kind a process holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sockets {
    /// TCP sockets that listen.
    pub tcp_listening: u32,
    /// TCP connections.
    pub tcp_established: u32,
    /// Unix stream sockets, listening or connected.
    pub unix: u32,
    /// Instances of io_uring.
    pub io_uring: u32,
    /// The process has more file descriptors than were looked at.
    pub truncated: bool,
}

impl Sockets {
    /// Nothing here that carries traffic.
    pub fn is_empty(&self) -> bool {
        self.tcp_listening + self.tcp_established + self.unix == 0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Listening,
    Established,
    Unix,
}

/// All sockets of interest on this host, by inode; the kernel gives every socket its own, whatever its
/// namespace.
#[derive(Debug, Default)]
pub(super) struct Table {
    sockets: HashMap<u64, Kind>,
    namespaces: HashSet<PathBuf>,
}

impl Table {
    /// Adds the sockets of the network namespace that a process lives in, once.
    pub(super) fn add_namespace_of(&mut self, process: &Path) {
        let Ok(namespace) = fs::read_link(process.join("ns/net")) else { return };
        if self.namespaces.len() >= MAX_NAMESPACES || !self.namespaces.insert(namespace) {
            return;
        }
        for (file, parse) in [("tcp", tcp_line as fn(&str) -> _), ("tcp6", tcp_line), ("unix", unix_line)] {
            let Ok(file) = File::open(process.join("net").join(file)) else { continue };
            let lines = BufReader::new(file.take(MAX_TABLE)).lines().map_while(Result::ok);
            for (inode, kind) in lines.skip(1).filter_map(|line| parse(&line)) {
                if self.sockets.len() >= MAX_SOCKETS {
                    return;
                }
                self.sockets.insert(inode, kind);
            }
        }
    }

    /// Counts the sockets of a process; `None` if its descriptors cannot be read.
    pub(super) fn of(&self, process: &Path) -> Option<Sockets> {
        let mut count = Sockets::default();
        for (seen, entry) in fs::read_dir(process.join("fd")).ok()?.flatten().enumerate() {
            if seen >= MAX_DESCRIPTORS {
                count.truncated = true;
                break;
            }
            let Ok(target) = fs::read_link(entry.path()) else { continue };
            let Some(target) = target.to_str() else { continue };
            if target == "anon_inode:[io_uring]" {
                count.io_uring += 1;
            }
            let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')?.parse().ok());
            match inode.and_then(|inode: u64| self.sockets.get(&inode)) {
                Some(Kind::Listening) => count.tcp_listening += 1,
                Some(Kind::Established) => count.tcp_established += 1,
                Some(Kind::Unix) => count.unix += 1,
                None => {}
            }
        }
        Some(count)
    }
}

/// `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …`
fn tcp_line(line: &str) -> Option<(u64, Kind)> {
    let mut fields = line.split_ascii_whitespace();
    let kind = match fields.nth(3)? {
        "01" => Kind::Established,
        "0A" => Kind::Listening,
        _ => return None,
    };
    Some((fields.nth(5)?.parse().ok()?, kind))
}

/// `Num RefCount Protocol Flags Type St Inode Path`; of stream sockets (type 1), connected (state 3) or
/// listening (flag `__SO_ACCEPTCON`).
fn unix_line(line: &str) -> Option<(u64, Kind)> {
    const ACCEPTCON: u32 = 1 << 16;
    let mut fields = line.split_ascii_whitespace();
    let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
    let (kind, state) = (fields.next()?, fields.next()?);
    if kind != "0001" || !(state == "03" || flags & ACCEPTCON != 0) {
        return None;
    }
    Some((fields.next()?.parse().ok()?, Kind::Unix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_s_tables() {
        let tcp = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 22345 1 0 100 0 0 10 0";
        assert_eq!(tcp_line(tcp), Some((22345, Kind::Listening)));
        assert_eq!(tcp_line(&tcp.replace(" 0A ", " 01 ")), Some((22345, Kind::Established)));
        assert_eq!(tcp_line(&tcp.replace(" 0A ", " 06 ")), None, "TIME_WAIT belongs to nobody");
        let unix = "0000000000000000: 00000002 00000000 00010000 0001 01 33456 /run/app.sock";
        assert_eq!(unix_line(unix), Some((33456, Kind::Unix)));
        let connected = "0000000000000000: 00000003 00000000 00000000 0001 03 33457";
        assert_eq!(unix_line(connected), Some((33457, Kind::Unix)));
        assert_eq!(unix_line(&connected.replace(" 0001 ", " 0002 ")), None, "a datagram socket");
        for line in ["", "x", "0: 0: 0:", "  sl  local_address rem_address   st"] {
            assert_eq!((tcp_line(line), unix_line(line)), (None, None));
        }
    }
}
