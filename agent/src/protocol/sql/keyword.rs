//! Keywords, and names as they are told.

/// A longer word is no keyword.
pub(super) const MAX_KEYWORD: usize = 20;

/// A name without its quotes, if it needs none.
pub(super) fn plain(name: &[u8]) -> &[u8] {
    match name {
        [b'"' | b'`', inner @ .., b'"' | b'`']
            if !inner.is_empty()
                && inner.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_$".contains(byte)) =>
        {
            inner
        }
        _ => name,
    }
}

/// In upper case; empty if it is too long for a keyword.
pub(super) fn upper<'b>(word: &[u8], buffer: &'b mut [u8; MAX_KEYWORD]) -> &'b [u8] {
    let Some(buffer) = buffer.get_mut(..word.len()) else { return &[] };
    buffer.copy_from_slice(word);
    buffer.make_ascii_uppercase();
    buffer
}

/// The commands of PostgreSQL, MySQL, MariaDB and Cassandra, by their first word in upper case.
pub(super) fn command(keyword: &[u8]) -> Option<&'static str> {
    const COMMANDS: &str = "\
        ABORT ALTER ANALYZE APPLY BEGIN BINLOG CACHE CALL CHANGE CHECK CHECKPOINT CHECKSUM CLONE CLOSE \
        CLUSTER COMMENT COMMIT COPY CREATE DEALLOCATE DECLARE DELETE DESC DESCRIBE DISCARD DO DROP END EXEC \
        EXECUTE EXPLAIN FETCH FLUSH GET GRANT HANDLER HELP IMPORT INSERT INSTALL KILL LIST LISTEN LOAD LOCK \
        MERGE MOVE NOTIFY OPTIMIZE PREPARE PURGE REASSIGN REFRESH REINDEX RELEASE RENAME REPAIR REPLACE \
        RESET RESIGNAL RESTART REVOKE ROLLBACK SAVEPOINT SECURITY SELECT SET SHOW SHUTDOWN SIGNAL START \
        STARTUP STOP TABLE TRUNCATE UNINSTALL UNLISTEN UNLOCK UPDATE USE VACUUM VALUES WITH XA";
    COMMANDS.split_ascii_whitespace().find(|command| command.as_bytes() == keyword)
}
