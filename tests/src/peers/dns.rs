//! dnsmasq, and clients that find it in their `/etc/resolv.conf`.

use crate::{Netns, Place, Program, Running};

/// Where it listens.
pub const PORT: u16 = 53;

/// dnsmasq for the names under `example`, on 127.0.0.1.
///
/// `shop.example` is 127.0.0.1 and fd00::7, `ns.example` is 127.0.0.1, `_http._tcp.example` is at `shop.example:8080`, and
/// `big.example` has more texts than fit into a datagram. Nothing else is there.
#[must_use]
pub fn dnsmasq(net: &Netns, place: &Place) -> Running {
    let text = "x".repeat(200);
    let program = net
        .program("/usr/sbin/dnsmasq")
        .args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"])
        .args(["--listen-address=127.0.0.1", "--bind-interfaces", "--port=53", "--local=/example/"])
        .arg(format!("--pid-file={}", place.join("dnsmasq.pid").display()))
        .args(["--host-record=shop.example,127.0.0.1,fd00::7,300", "--host-record=ns.example,127.0.0.1,300"])
        .arg("--srv-host=_http._tcp.example,shop.example,8080");
    (0..4).fold(program, |program, i| program.arg(format!("--txt-record=big.example,{i}{text}"))).listen(PORT)
}

/// A program whose `/etc/resolv.conf` names that server.
#[must_use]
pub fn resolving(net: &Netns, place: &Place, options: &str, command: &str) -> Program {
    let file = place.write("resolv.conf", format!("nameserver 127.0.0.1\noptions {options}\n"));
    let script = format!("mount --bind {} /etc/resolv.conf && exec {command}", file.display());
    net.program("unshare").args(["--mount", "sh", "-c"]).arg(script)
}

/// A program that asks dnsmasq by `dig`.
#[must_use]
pub fn dig(net: &Netns) -> Program {
    net.program("dig").args(["@127.0.0.1", "+tries=1", "+time=2"])
}
