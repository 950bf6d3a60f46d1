//! Four-letter words: a server's older interface for administrators. A connection sends one word, and gets text until the
//! server closes.

/// The words of ZooKeeper 3.9 (`FourLetterCommands`).
static WORDS: &[&str] = &[
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "icfg", "isro", "lead", "lsnp", "mntr",
    "obsr", "orst", "ruok", "srst", "srvr", "stat", "stmk", "sysp", "wchc", "wchp", "wchs",
];

/// What answers begin with.
static ANSWERS: &[&str] = &[
    "imok",
    "rw",
    "ro",
    "null",
    "Zookeeper version:",
    "zk_version\t",
    "clientPort=",
    "Environment:",
    "SessionTracker dump:",
    "Server stats reset.",
    "Connection stats reset.",
    "This ZooKeeper instance is not currently serving requests",
];
/// What the answer to a word that is not allowed ends with.
const REFUSED: &[u8] = b" is not executed because it is not in the whitelist.";

/// The word that bytes begin with.
pub(super) fn word(bytes: &[u8]) -> Option<&'static str> {
    let first = bytes.get(..4)?;
    WORDS.iter().find(|word| word.as_bytes() == first).copied()
}

/// Whether a word may begin so.
pub(super) fn may_be(bytes: &[u8]) -> bool {
    let length = bytes.len().min(4);
    WORDS.iter().any(|word| word.as_bytes().starts_with(&bytes[..length]))
}

/// Whether an opening of so many bytes is a word and nothing else but a line's end.
pub(super) fn alone(bytes: &[u8], passed: u64) -> bool {
    word(bytes).is_some()
        && (4..=6).contains(&passed)
        && bytes[4..].iter().all(|byte| matches!(byte, b'\r' | b'\n'))
}

/// Whether a whole first answer looks like that to a word.
pub(super) fn answers(bytes: &[u8]) -> bool {
    ANSWERS
        .iter()
        .any(|answer| bytes.starts_with(answer.as_bytes()) && (answer.len() > 4 || bytes.len() <= 6))
        || (word(bytes).is_some() && bytes.trim_ascii_end().ends_with(REFUSED))
}
