//! Names of types and response codes (IANA, "Domain Name System Parameters").

use std::borrow::Cow;

pub(super) const A: u16 = 1;
pub(super) const NS: u16 = 2;
pub(super) const CNAME: u16 = 5;
pub(super) const SOA: u16 = 6;
pub(super) const PTR: u16 = 12;
pub(super) const MX: u16 = 15;
pub(super) const TXT: u16 = 16;
pub(super) const AAAA: u16 = 28;
pub(super) const SRV: u16 = 33;
pub(super) const DNAME: u16 = 39;
pub(super) const OPT: u16 = 41;
pub(super) const SVCB: u16 = 64;
pub(super) const HTTPS: u16 = 65;
pub(super) const IXFR: u16 = 251;
pub(super) const AXFR: u16 = 252;

/// The name of a record's type, if it is one that is in use.
pub(super) fn known_kind(kind: u16) -> Option<&'static str> {
    Some(match kind {
        A => "A",
        NS => "NS",
        CNAME => "CNAME",
        SOA => "SOA",
        PTR => "PTR",
        13 => "HINFO",
        MX => "MX",
        TXT => "TXT",
        17 => "RP",
        18 => "AFSDB",
        24 => "SIG",
        25 => "KEY",
        AAAA => "AAAA",
        29 => "LOC",
        SRV => "SRV",
        35 => "NAPTR",
        36 => "KX",
        37 => "CERT",
        DNAME => "DNAME",
        OPT => "OPT",
        43 => "DS",
        44 => "SSHFP",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        50 => "NSEC3",
        51 => "NSEC3PARAM",
        52 => "TLSA",
        53 => "SMIMEA",
        59 => "CDS",
        60 => "CDNSKEY",
        61 => "OPENPGPKEY",
        62 => "CSYNC",
        63 => "ZONEMD",
        SVCB => "SVCB",
        HTTPS => "HTTPS",
        99 => "SPF",
        249 => "TKEY",
        250 => "TSIG",
        IXFR => "IXFR",
        AXFR => "AXFR",
        255 => "ANY",
        256 => "URI",
        257 => "CAA",
        _ => return None,
    })
}

/// The name of a record's type; of an unknown one as RFC 3597 writes it.
pub(super) fn kind(kind: u16) -> Cow<'static, str> {
    known_kind(kind).map_or_else(|| format!("TYPE{kind}").into(), Cow::Borrowed)
}

/// The name of a response code.
pub(super) fn response(code: u16) -> Cow<'static, str> {
    Cow::Borrowed(match code {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        11 => "DSOTYPENI",
        16 => "BADVERS",
        17 => "BADKEY",
        18 => "BADTIME",
        19 => "BADMODE",
        20 => "BADNAME",
        21 => "BADALG",
        22 => "BADTRUNC",
        23 => "BADCOOKIE",
        _ => return format!("RCODE{code}").into(),
    })
}

/// Whether a response code says that the server failed, rather than that there is no such name.
pub(super) fn is_server_failure(code: u16) -> bool {
    !matches!(code, 0 | 1 | 3 | 5 | 16 | 23)
}
