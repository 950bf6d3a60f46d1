//! The commands of Redis 7 (as its `COMMAND` tells them), of later versions and of Valkey: arity, what a reply may be,
//! and what a command does to its connection. Names of modules' commands (`JSON.SET`) are not listed.

/// A command.
#[derive(Debug)]
pub(super) struct Command {
    /// In upper case.
    pub name: &'static str,
    /// Words in all, the name among them; negative: at least so many.
    arity: i8,
    /// What answers it, when it succeeds.
    pub answer: Answer,
    /// What it does.
    pub role: Role,
}

/// What kind of reply a command has when it succeeds. Wherever versions or options differ, it is [`Answer::Any`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// An integer.
    Integer,
    /// A string, a number as a string, or null.
    Text,
    /// A simple string.
    Status,
    /// A simple string, a string, or null.
    StatusOrText,
    /// An array, map or set, or null.
    Aggregate,
    /// Anything.
    Any,
}

/// What a command does to its connection, or why its arguments matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing.
    Plain,
    /// The second word is part of the command's name.
    Container,
    /// Its arguments are never told, whatever the settings say.
    Secret,
    /// The first argument names a script or function.
    Procedure,
    /// Changes the database.
    Select,
    /// Begins a transaction.
    Multi,
    /// Ends it.
    Exec,
    /// Gives it up.
    Discard,
    /// Forgets all state of the connection.
    Reset,
    /// Makes the connection a replication stream.
    Sync,
    /// A replica's word to its master.
    Replica,
    /// Makes the connection a feed of what others do.
    Monitor,
    /// Confirmed once for each channel.
    Subscribe,
    /// Confirmed once for each channel, without any: for all there are.
    Unsubscribe,
}

use Answer::{Aggregate, Any, Integer, Status, StatusOrText, Text};
use Role::{
    Container, Discard, Exec, Monitor, Multi, Plain, Procedure, Replica, Reset, Secret, Select, Subscribe,
    Sync, Unsubscribe,
};

const fn row(name: &'static str, arity: i8, answer: Answer, role: Role) -> Command {
    Command { name, arity, answer, role }
}

/// The longest name in the table, and more.
pub(super) const MOST_NAME: usize = 32;

impl Command {
    /// The command with this name, in any case.
    pub fn find(name: &[u8]) -> Option<&'static Self> {
        let mut upper = [0; MOST_NAME];
        let upper = upper.get_mut(..name.len())?;
        upper.copy_from_slice(name);
        upper.make_ascii_uppercase();
        let found = COMMANDS.binary_search_by(|command| command.name.as_bytes().cmp(upper));
        found.ok().map(|index| &COMMANDS[index])
    }

    /// Can it have so many words, the name among them?
    pub fn takes(&self, words: u64) -> bool {
        let least = u64::from(self.arity.unsigned_abs());
        if self.arity < 0 { words >= least } else { words == least }
    }
}

/// Sorted by name.
static COMMANDS: &[Command] = &[
    row("ACL", -2, Any, Container),
    row("APPEND", 3, Integer, Plain),
    row("ASKING", 1, Status, Plain),
    row("AUTH", -2, Status, Secret),
    row("BGREWRITEAOF", 1, Any, Plain),
    row("BGSAVE", -1, Any, Plain),
    row("BITCOUNT", -2, Integer, Plain),
    row("BITFIELD", -2, Any, Plain),
    row("BITFIELD_RO", -2, Any, Plain),
    row("BITOP", -4, Integer, Plain),
    row("BITPOS", -3, Integer, Plain),
    row("BLMOVE", 6, Any, Plain),
    row("BLMPOP", -5, Any, Plain),
    row("BLPOP", -3, Any, Plain),
    row("BRPOP", -3, Any, Plain),
    row("BRPOPLPUSH", 4, Any, Plain),
    row("BZMPOP", -5, Any, Plain),
    row("BZPOPMAX", -3, Any, Plain),
    row("BZPOPMIN", -3, Any, Plain),
    row("CLIENT", -2, Any, Container),
    row("CLUSTER", -2, Any, Container),
    row("COMMAND", -1, Any, Container),
    row("CONFIG", -2, Any, Container),
    row("COPY", -3, Integer, Plain),
    row("DBSIZE", 1, Integer, Plain),
    row("DEBUG", -2, Any, Container),
    row("DECR", 2, Integer, Plain),
    row("DECRBY", 3, Integer, Plain),
    row("DEL", -2, Integer, Plain),
    row("DELIFEQ", 3, Any, Plain),
    row("DISCARD", 1, Status, Discard),
    row("DUMP", 2, Text, Plain),
    row("ECHO", 2, Text, Plain),
    row("EVAL", -3, Any, Plain),
    row("EVALSHA", -3, Any, Procedure),
    row("EVALSHA_RO", -3, Any, Procedure),
    row("EVAL_RO", -3, Any, Plain),
    row("EXEC", 1, Any, Exec),
    row("EXISTS", -2, Integer, Plain),
    row("EXPIRE", -3, Integer, Plain),
    row("EXPIREAT", -3, Integer, Plain),
    row("EXPIRETIME", 2, Integer, Plain),
    row("FAILOVER", -1, Any, Plain),
    row("FCALL", -3, Any, Procedure),
    row("FCALL_RO", -3, Any, Procedure),
    row("FLUSHALL", -1, Status, Plain),
    row("FLUSHDB", -1, Status, Plain),
    row("FUNCTION", -2, Any, Container),
    row("GEOADD", -5, Integer, Plain),
    row("GEODIST", -4, Any, Plain),
    row("GEOHASH", -2, Aggregate, Plain),
    row("GEOPOS", -2, Aggregate, Plain),
    row("GEORADIUS", -6, Any, Plain),
    row("GEORADIUSBYMEMBER", -5, Any, Plain),
    row("GEORADIUSBYMEMBER_RO", -5, Any, Plain),
    row("GEORADIUS_RO", -6, Any, Plain),
    row("GEOSEARCH", -7, Any, Plain),
    row("GEOSEARCHSTORE", -8, Any, Plain),
    row("GET", 2, Text, Plain),
    row("GETBIT", 3, Integer, Plain),
    row("GETDEL", 2, Text, Plain),
    row("GETEX", -2, Text, Plain),
    row("GETRANGE", 4, Text, Plain),
    row("GETSET", 3, Text, Plain),
    row("HDEL", -3, Integer, Plain),
    row("HELLO", -1, Any, Secret),
    row("HEXISTS", 3, Integer, Plain),
    row("HEXPIRE", -6, Any, Plain),
    row("HEXPIREAT", -6, Any, Plain),
    row("HEXPIRETIME", -5, Any, Plain),
    row("HGET", 3, Text, Plain),
    row("HGETALL", 2, Aggregate, Plain),
    row("HGETDEL", -5, Any, Plain),
    row("HGETEX", -5, Any, Plain),
    row("HINCRBY", 4, Integer, Plain),
    row("HINCRBYFLOAT", 4, Text, Plain),
    row("HKEYS", 2, Aggregate, Plain),
    row("HLEN", 2, Integer, Plain),
    row("HMGET", -3, Aggregate, Plain),
    row("HMSET", -4, Status, Plain),
    row("HPERSIST", -5, Any, Plain),
    row("HPEXPIRE", -6, Any, Plain),
    row("HPEXPIREAT", -6, Any, Plain),
    row("HPEXPIRETIME", -5, Any, Plain),
    row("HPTTL", -5, Any, Plain),
    row("HRANDFIELD", -2, Any, Plain),
    row("HSCAN", -3, Aggregate, Plain),
    row("HSET", -4, Integer, Plain),
    row("HSETEX", -6, Any, Plain),
    row("HSETNX", 4, Integer, Plain),
    row("HSTRLEN", 3, Integer, Plain),
    row("HTTL", -5, Any, Plain),
    row("HVALS", 2, Aggregate, Plain),
    row("INCR", 2, Integer, Plain),
    row("INCRBY", 3, Integer, Plain),
    row("INCRBYFLOAT", 3, Text, Plain),
    row("INFO", -1, Text, Plain),
    row("KEYS", 2, Aggregate, Plain),
    row("LASTSAVE", 1, Integer, Plain),
    row("LATENCY", -2, Any, Container),
    row("LCS", -3, Any, Plain),
    row("LINDEX", 3, Text, Plain),
    row("LINSERT", 5, Integer, Plain),
    row("LLEN", 2, Integer, Plain),
    row("LMOVE", 5, Text, Plain),
    row("LMPOP", -4, Any, Plain),
    row("LOLWUT", -1, Any, Plain),
    row("LPOP", -2, Any, Plain),
    row("LPOS", -3, Any, Plain),
    row("LPUSH", -3, Integer, Plain),
    row("LPUSHX", -3, Integer, Plain),
    row("LRANGE", 4, Aggregate, Plain),
    row("LREM", 4, Integer, Plain),
    row("LSET", 4, Status, Plain),
    row("LTRIM", 4, Status, Plain),
    row("MEMORY", -2, Any, Container),
    row("MGET", -2, Aggregate, Plain),
    row("MIGRATE", -6, Any, Secret),
    row("MODULE", -2, Any, Container),
    row("MONITOR", 1, Any, Monitor),
    row("MOVE", 3, Integer, Plain),
    row("MSET", -3, Status, Plain),
    row("MSETEX", -4, Any, Plain),
    row("MSETNX", -3, Integer, Plain),
    row("MULTI", 1, Status, Multi),
    row("OBJECT", -2, Any, Container),
    row("PERSIST", 2, Integer, Plain),
    row("PEXPIRE", -3, Integer, Plain),
    row("PEXPIREAT", -3, Integer, Plain),
    row("PEXPIRETIME", 2, Integer, Plain),
    row("PFADD", -2, Integer, Plain),
    row("PFCOUNT", -2, Integer, Plain),
    row("PFDEBUG", 3, Any, Plain),
    row("PFMERGE", -2, Status, Plain),
    row("PFSELFTEST", 1, Any, Plain),
    row("PING", -1, Any, Plain),
    row("PSETEX", 4, Status, Plain),
    row("PSUBSCRIBE", -2, Any, Subscribe),
    row("PSYNC", -3, Any, Sync),
    row("PTTL", 2, Integer, Plain),
    row("PUBLISH", 3, Integer, Plain),
    row("PUBSUB", -2, Any, Container),
    row("PUNSUBSCRIBE", -1, Any, Unsubscribe),
    row("QUIT", -1, Any, Plain),
    row("RANDOMKEY", 1, Text, Plain),
    row("READONLY", 1, Status, Plain),
    row("READWRITE", 1, Status, Plain),
    row("RENAME", 3, Status, Plain),
    row("RENAMENX", 3, Integer, Plain),
    row("REPLCONF", -1, Any, Replica),
    row("REPLICAOF", 3, Any, Plain),
    row("RESET", 1, Any, Reset),
    row("RESTORE", -4, Status, Plain),
    row("RESTORE-ASKING", -4, Any, Plain),
    row("ROLE", 1, Any, Plain),
    row("RPOP", -2, Any, Plain),
    row("RPOPLPUSH", 3, Text, Plain),
    row("RPUSH", -3, Integer, Plain),
    row("RPUSHX", -3, Integer, Plain),
    row("SADD", -3, Integer, Plain),
    row("SAVE", 1, Any, Plain),
    row("SCAN", -2, Aggregate, Plain),
    row("SCARD", 2, Integer, Plain),
    row("SCRIPT", -2, Any, Container),
    row("SDIFF", -2, Aggregate, Plain),
    row("SDIFFSTORE", -3, Integer, Plain),
    row("SELECT", 2, Status, Select),
    row("SENTINEL", -2, Any, Container),
    row("SET", -3, StatusOrText, Plain),
    row("SETBIT", 4, Integer, Plain),
    row("SETEX", 4, Status, Plain),
    row("SETNX", 3, Integer, Plain),
    row("SETRANGE", 4, Integer, Plain),
    row("SHUTDOWN", -1, Any, Plain),
    row("SINTER", -2, Aggregate, Plain),
    row("SINTERCARD", -3, Integer, Plain),
    row("SINTERSTORE", -3, Integer, Plain),
    row("SISMEMBER", 3, Integer, Plain),
    row("SLAVEOF", 3, Any, Plain),
    row("SLOWLOG", -2, Any, Container),
    row("SMEMBERS", 2, Aggregate, Plain),
    row("SMISMEMBER", -3, Aggregate, Plain),
    row("SMOVE", 4, Integer, Plain),
    row("SORT", -2, Any, Plain),
    row("SORT_RO", -2, Any, Plain),
    row("SPOP", -2, Any, Plain),
    row("SPUBLISH", 3, Integer, Plain),
    row("SRANDMEMBER", -2, Any, Plain),
    row("SREM", -3, Integer, Plain),
    row("SSCAN", -3, Aggregate, Plain),
    row("SSUBSCRIBE", -2, Any, Subscribe),
    row("STRLEN", 2, Integer, Plain),
    row("SUBSCRIBE", -2, Any, Subscribe),
    row("SUBSTR", 4, Text, Plain),
    row("SUNION", -2, Aggregate, Plain),
    row("SUNIONSTORE", -3, Integer, Plain),
    row("SUNSUBSCRIBE", -1, Any, Unsubscribe),
    row("SWAPDB", 3, Status, Plain),
    row("SYNC", 1, Any, Sync),
    row("TIME", 1, Aggregate, Plain),
    row("TOUCH", -2, Integer, Plain),
    row("TTL", 2, Integer, Plain),
    row("TYPE", 2, Status, Plain),
    row("UNLINK", -2, Integer, Plain),
    row("UNSUBSCRIBE", -1, Any, Unsubscribe),
    row("UNWATCH", 1, Status, Plain),
    row("WAIT", 3, Integer, Plain),
    row("WAITAOF", 4, Any, Plain),
    row("WATCH", -2, Status, Plain),
    row("XACK", -4, Integer, Plain),
    row("XACKDEL", -6, Any, Plain),
    row("XADD", -5, Text, Plain),
    row("XAUTOCLAIM", -6, Any, Plain),
    row("XCLAIM", -6, Any, Plain),
    row("XDEL", -3, Integer, Plain),
    row("XDELEX", -5, Any, Plain),
    row("XGROUP", -2, Any, Container),
    row("XINFO", -2, Any, Container),
    row("XLEN", 2, Integer, Plain),
    row("XPENDING", -3, Any, Plain),
    row("XRANGE", -4, Aggregate, Plain),
    row("XREAD", -4, Any, Plain),
    row("XREADGROUP", -7, Any, Plain),
    row("XREVRANGE", -4, Aggregate, Plain),
    row("XSETID", -3, Any, Plain),
    row("XTRIM", -4, Integer, Plain),
    row("ZADD", -4, Any, Plain),
    row("ZCARD", 2, Integer, Plain),
    row("ZCOUNT", 4, Integer, Plain),
    row("ZDIFF", -3, Any, Plain),
    row("ZDIFFSTORE", -4, Integer, Plain),
    row("ZINCRBY", 4, Any, Plain),
    row("ZINTER", -3, Any, Plain),
    row("ZINTERCARD", -3, Integer, Plain),
    row("ZINTERSTORE", -4, Integer, Plain),
    row("ZLEXCOUNT", 4, Integer, Plain),
    row("ZMPOP", -4, Any, Plain),
    row("ZMSCORE", -3, Aggregate, Plain),
    row("ZPOPMAX", -2, Any, Plain),
    row("ZPOPMIN", -2, Any, Plain),
    row("ZRANDMEMBER", -2, Any, Plain),
    row("ZRANGE", -4, Aggregate, Plain),
    row("ZRANGEBYLEX", -4, Aggregate, Plain),
    row("ZRANGEBYSCORE", -4, Aggregate, Plain),
    row("ZRANGESTORE", -5, Integer, Plain),
    row("ZRANK", 3, Any, Plain),
    row("ZREM", -3, Integer, Plain),
    row("ZREMRANGEBYLEX", 4, Integer, Plain),
    row("ZREMRANGEBYRANK", 4, Integer, Plain),
    row("ZREMRANGEBYSCORE", 4, Integer, Plain),
    row("ZREVRANGE", -4, Aggregate, Plain),
    row("ZREVRANGEBYLEX", -4, Aggregate, Plain),
    row("ZREVRANGEBYSCORE", -4, Aggregate, Plain),
    row("ZREVRANK", 3, Any, Plain),
    row("ZSCAN", -3, Aggregate, Plain),
    row("ZSCORE", 3, Any, Plain),
    row("ZUNION", -3, Any, Plain),
    row("ZUNIONSTORE", -4, Integer, Plain),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The search needs the order.
    #[test]
    fn sorted() {
        assert!(COMMANDS.is_sorted_by(|a, b| a.name < b.name));
        assert!(COMMANDS.iter().all(|command| command.name.len() <= MOST_NAME));
    }

    #[test]
    fn finds() {
        assert_eq!(Command::find(b"zRangeByScore").map(|command| command.name), Some("ZRANGEBYSCORE"));
        assert!(Command::find(b"JSON.SET").is_none());
        assert!(Command::find(&[b'A'; 100]).is_none());
        let takes = |name: &[u8], words| Command::find(name).is_some_and(|command| command.takes(words));
        assert!(takes(b"GET", 2) && !takes(b"GET", 3) && takes(b"MSET", 9) && !takes(b"MSET", 2));
    }
}
