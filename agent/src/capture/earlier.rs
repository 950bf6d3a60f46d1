//! What `/proc` tells of connections that are older than the agent, where the kernel's iterators cannot be had.
//!
//! The kernel's table cannot be filled from there, since `/proc` tells no socket's address. A connection is then told
//! when its first bytes move, with its addresses and the process that moves them; the socket's own books tell which
//! end it is (`agent-ebpf/src/bpf/role.rs`). Where they cannot, as long as they change, what is kept here does: a
//! connection whose local port somebody listens on in its namespace was accepted, and any other was made.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use remora_abi::maps::Earlier as Counts;
use remora_abi::record::{OPEN_MIDSTREAM, Open, ROLE_CLIENT, ROLE_SERVER, ROLE_UNKNOWN};
use rustc_hash::{FxHashMap, FxHashSet};

/// TCP states in which bytes may still pass: ESTABLISHED, FIN_WAIT1, FIN_WAIT2 and CLOSE_WAIT (include/net/tcp_states.h).
const OPEN_STATES: [u8; 4] = [1, 4, 5, 8];
/// `TCP_LISTEN`
const LISTEN: u8 = 10;

/// The roles of connections that were there at the agent's start, by namespace and inode number.
#[derive(Debug, Default)]
pub struct Earlier {
    roles: FxHashMap<(u32, u64), u8>,
    counts: Counts,
}

impl Earlier {
    /// Reads the tables of every network namespace of which there is a process below `root` (`/proc`), or of `only` that
    /// one. At most `most` connections are kept; those beyond are counted.
    #[must_use]
    pub fn read(root: &Path, only: Option<u32>, most: usize) -> Self {
        let mut earlier = Self::default();
        let mut seen = FxHashSet::default();
        for pid in crate::identity::processes(root).unwrap_or_default() {
            let folder = root.join(pid.to_string());
            let Ok(namespace) = fs::metadata(folder.join("ns/net")) else { continue };
            // Namespaces are numbered with 32 bits (include/linux/ns_common.h).
            let Ok(namespace) = u32::try_from(namespace.ino()) else { continue };
            if only.is_some_and(|only| only != namespace) || !seen.insert(namespace) {
                continue;
            }
            earlier.add_namespace(&folder.join("net"), namespace, most);
        }
        earlier
    }

    fn add_namespace(&mut self, folder: &Path, namespace: u32, most: usize) {
        let mut listening = FxHashSet::default();
        let mut connections = Vec::new();
        for table in ["tcp", "tcp6"] {
            for row in lines(&folder.join(table)).filter_map(|line| Row::parse(&line)) {
                if row.state == LISTEN {
                    listening.insert(row.local_port);
                } else if OPEN_STATES.contains(&row.state) && row.inode != 0 {
                    connections.push(row);
                }
            }
        }
        for row in connections {
            if self.roles.len() >= most {
                self.counts.left_out += 1;
                continue;
            }
            let server = listening.contains(&row.local_port);
            *(if server { &mut self.counts.servers } else { &mut self.counts.clients }) += 1;
            self.roles.insert((namespace, row.inode), if server { ROLE_SERVER } else { ROLE_CLIENT });
        }
        let unix = lines(&folder.join("unix")).filter(|line| is_connected_stream(line)).count();
        self.counts.unix += u32::try_from(unix).unwrap_or(u32::MAX);
    }

    /// How many there were.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Says which end a connection is that the kernel tells now, if it does not say so itself. Each is asked for once.
    pub fn complete(&mut self, open: &mut Open) {
        if open.flags & OPEN_MIDSTREAM == 0 {
            return;
        }
        let known = self.roles.remove(&(open.namespace, open.inode));
        if let Some(role) = known.filter(|_| open.role == ROLE_UNKNOWN) {
            open.role = role;
        }
    }
}

/// The lines of a table but its head; none if it cannot be read.
fn lines(path: &Path) -> impl Iterator<Item = String> {
    let file = fs::File::open(path).ok();
    file.into_iter().flat_map(|file| BufReader::new(file).lines().map_while(Result::ok)).skip(1)
}

/// What is used of a line of `/proc/net/tcp` and `tcp6` (net/ipv4/tcp_ipv4.c, `get_tcp4_sock`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    local_port: u16,
    state: u8,
    inode: u64,
}

impl Row {
    /// `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …`, addresses and state
    /// in hexadecimal.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        if !fields.next()?.ends_with(':') {
            return None;
        }
        let (_, local_port) = fields.next()?.rsplit_once(':')?;
        let local_port = hexadecimal(local_port, 4)?.try_into().ok()?;
        let (_, remote_port) = fields.next()?.rsplit_once(':')?;
        hexadecimal(remote_port, 4)?;
        let state = hexadecimal(fields.next()?, 2)?.try_into().ok()?;
        let inode = fields.nth(5)?.parse().ok()?;
        Some(Self { local_port, state, inode })
    }
}

/// A number of exactly so many hexadecimal digits. (`from_str_radix` takes a sign, too.)
fn hexadecimal(digits: &str, many: usize) -> Option<u32> {
    let plain = digits.len() == many && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if plain { u32::from_str_radix(digits, 16).ok() } else { None }
}

/// Whether a line of `/proc/net/unix`, `Num RefCount Protocol Flags Type St Inode Path`, is of a stream socket
/// (`SOCK_STREAM` is 1) that is connected (`SS_CONNECTED` is 3; net/unix/af_unix.c, `unix_seq_show`).
fn is_connected_stream(line: &str) -> bool {
    let mut fields = line.split_ascii_whitespace().skip(4);
    fields.next() == Some("0001") && fields.next() == Some("03") && fields.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use remora_abi::Plain;
    use std::path::PathBuf;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
    const LISTENER: &str = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 \
                            31 1 000000001ba7c1b0 100 0 0 10 0";
    const ACCEPTED: &str = "   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 02:000003E8 00000000     0        0 \
                            32 2 00000000f00f0000 20 4 30 10 -1";
    const MADE: &str = "   2: 0100007F:C350 0100007F:1F90 08 00000000:00000000 00:00000000 00000000  1000        0 33 1 0 20";
    const WAITING: &str =
        "   3: 0100007F:C351 0100007F:1F90 06 00000000:00000000 03:000017A1 00000000     0        0 0 3 0";
    const SIX: &str = "   0: 00000000000000000000000001000000:1F90 00000000000000000000000001000000:C352 01 \
                       00000000:00000000 00:00000000 00000000     0        0 34 1 0 20 4 30 10 -1";

    #[test]
    fn rows() {
        let row = |local_port, state, inode| Some(Row { local_port, state, inode });
        assert_eq!(Row::parse(LISTENER), row(8080, LISTEN, 31));
        assert_eq!(Row::parse(ACCEPTED), row(8080, 1, 32));
        assert_eq!(Row::parse(MADE), row(50_000, 8, 33));
        assert_eq!(Row::parse(SIX), row(8080, 1, 34));
        assert_eq!(Row::parse(HEAD), None);
    }

    /// A line that is cut off is no row, unless what is missing stands behind all that is used.
    #[test]
    fn prefixes() {
        for line in [LISTENER, ACCEPTED, MADE, WAITING, SIX] {
            let whole = Row::parse(line).unwrap();
            let inode = format!(" {} ", whole.inode);
            let end = line.rfind(&inode).or_else(|| line.find(&inode)).unwrap() + inode.len() - 1;
            let inode_starts = end - (inode.len() - 2);
            for cut in 0..line.len() {
                let row = Row::parse(&line[..cut]);
                if cut <= inode_starts {
                    assert_eq!(row, None, "{:?}", &line[..cut]);
                } else if cut >= end {
                    assert_eq!(row, Some(whole), "{:?}", &line[..cut]);
                }
            }
        }
    }

    #[test]
    fn garbage() {
        for line in [
            "",
            "   ",
            "0",
            ": : : : : : : : : :",
            "0: 0100007F:+F90 0100007F:C350 01 0:0 0:0 0 0 0 32",
            "0: 0100007F:1F900 0100007F:C350 01 0:0 0:0 0 0 0 32",
            "0: 0100007F:1F90 0100007F:C350 1 0:0 0:0 0 0 0 32",
            "0: 0100007F:1F90 0100007F:C350 01 0:0 0:0 0 0 0 -1",
            "0: 0100007F:1F90 0100007F:C350 01 0:0 0:0 0 0 0 99999999999999999999999",
            "0: 0100007F1F90 0100007F:C350 01 0:0 0:0 0 0 0 32",
            "\u{fffd}: é:1F90 ü:C350 01 0:0 0:0 0 0 0 x",
        ] {
            assert_eq!(Row::parse(line), None, "{line:?}");
        }
        let unix = "0000000000000000: 00000003 00000000 00000000 0001 03 20461 /run/dbus";
        assert!(is_connected_stream(unix));
        for cut in 0..unix.find("20461").unwrap() {
            assert!(!is_connected_stream(&unix[..cut]), "{cut}");
        }
        assert!(!is_connected_stream("0000000000000000: 00000002 00000000 00010000 0001 01 20461 /run/dbus"));
        assert!(!is_connected_stream("0000000000000000: 00000003 00000000 00000000 0002 03 20461"));
    }

    /// A copy of `/proc` with one process, whose namespace's number it returns too.
    fn proc_with(name: &str, tcp: &[&str], tcp6: &[&str]) -> (PathBuf, u32) {
        let root = std::env::temp_dir().join(format!("remora-earlier-{}-{name}", std::process::id()));
        let folder = root.join("7");
        fs::create_dir_all(folder.join("ns")).unwrap();
        fs::create_dir_all(folder.join("net")).unwrap();
        fs::write(folder.join("ns/net"), "").unwrap();
        let table = |rows: &[&str]| format!("{HEAD}\n{}\n", rows.join("\n"));
        fs::write(folder.join("net/tcp"), table(tcp)).unwrap();
        fs::write(folder.join("net/tcp6"), table(tcp6)).unwrap();
        let number = fs::metadata(folder.join("ns/net")).unwrap().ino() as u32;
        (root, number)
    }

    #[test]
    fn completes_what_the_kernel_does_not_know() {
        let (root, namespace) = proc_with("whole", &[LISTENER, ACCEPTED, MADE, WAITING, "nonsense"], &[SIX]);
        let mut earlier = Earlier::read(&root, None, 100);
        assert_eq!(earlier.counts(), Counts { servers: 2, clients: 1, ..Counts::default() });
        let mut open = Open::read(&[0; size_of::<Open>()]).unwrap();
        (open.namespace, open.flags) = (namespace, OPEN_MIDSTREAM);
        for (inode, known, role) in [
            (32, ROLE_UNKNOWN, ROLE_SERVER),
            (33, ROLE_UNKNOWN, ROLE_CLIENT),
            (34, ROLE_CLIENT, ROLE_CLIENT),
            (35, ROLE_UNKNOWN, ROLE_UNKNOWN),
            // Its number may have been given to another since.
            (32, ROLE_UNKNOWN, ROLE_UNKNOWN),
        ] {
            (open.inode, open.role) = (inode, known);
            earlier.complete(&mut open);
            assert_eq!(open.role, role, "{inode}");
        }
        assert_eq!(Earlier::read(&root, Some(namespace ^ 1), 100).counts(), Counts::default());
        let bounded = Earlier::read(&root, Some(namespace), 2);
        assert_eq!((bounded.roles.len(), bounded.counts().left_out), (2, 1));
        fs::remove_dir_all(root).unwrap();
    }

    /// What is not there, or not readable, is no error.
    #[test]
    fn nothing_there() {
        assert_eq!(Earlier::read(Path::new("/nonexistent"), None, 9).counts(), Counts::default());
        // This kernel's own tables can be read.
        let _ = Earlier::read(Path::new("/proc"), None, usize::MAX);
    }
}
