use proptest::prelude::*;

use super::*;

fn read_in(dialect: Dialect, sql: &str) -> Statement {
    Statement::read_in(dialect, sql.as_bytes(), false, Statements::Redacted)
}

fn text(dialect: Dialect, sql: &str) -> String {
    read_in(dialect, sql).text.unwrap_or_default().into()
}

fn postgresql(sql: &str) -> String {
    text(Dialect::POSTGRESQL, sql)
}

fn mysql(sql: &str) -> String {
    text(Dialect::MYSQL, sql)
}

fn summary(sql: &str) -> String {
    read_in(Dialect::POSTGRESQL, sql).summary.into()
}

/// Whatever a literal looks like, it is not told.
#[test]
fn literals() {
    for (sql, redacted) in [
        ("select 'a', 'it''s', E'x\\'y', N'n', B'01', X'1f', U&'d\\0061'", "select ?, ?, ?, ?, ?, ?, ?"),
        ("select 1, -2, 1.5, .5, 1e-3, 0xFF, 1_000, +7", "select ?, ?, ?, ?, ?, ?, ?, ?"),
        ("select a-1, a - 1, (b)-2, c[1:2]", "select a-?, a - ?, (b)-?, c[?:?]"),
        ("select $$it's$$, $tag$ $$ secret $tag$, $1::int", "select ?, ?, $1::int"),
        ("select true, False, null", "select ?, ?, null"),
        ("select date '2020-01-01', 'a' 'b'", "select date ?, ? ?"),
        (
            "select \"Col 1\", t.\"x\" from t -- 'secret'\n where a = 'b' /* 5 /* 'c' */ */ limit 5",
            "select \"Col 1\", t.\"x\" from t where a = ? limit ?",
        ),
        ("select data->>'k' @> '{\"a\": 1}'", "select data->>? @> ?"),
        ("select 'C:\\', 'secret'", "select ?, ?"),
        ("  select\n\t1 ;  ", "select ? ;"),
    ] {
        assert_eq!(postgresql(sql), redacted);
    }
    for (sql, redacted) in [
        ("select \"it's\", 'a\\'b', \"c\\\"d\", `a b`", "select ?, ?, ?, `a b`"),
        ("select _utf8'x', 5--3, 5 -- 'y'", "select ?, ?-?, ?"),
        ("select 1 # 'x'\n, 2", "select ? , ?"),
        ("/*!40101 SET NAMES 'utf8' */;", "SET NAMES ? ;"),
        ("/*M!100100 select */ @a, @@b, @c := 5", "select @a, @@b, @c := ?"),
    ] {
        assert_eq!(mysql(sql), redacted);
    }
    for (sql, redacted) in [
        (
            "SELECT * FROM t WHERE id = f47ac10b-58cc-4372-a567-0e02b2c3d479 AND k = 123e4567-e89b-12d3-a456-426614174000",
            "SELECT * FROM t WHERE id = ? AND k = ?",
        ),
        (
            "UPDATE t SET d = 12h30m, e = P1Y2M, m = {'a':true,'b':f47ac10b-58cc-4372-a567-0e02b2c3d479}, l = ['x', 'y'] // 'z",
            "UPDATE t SET d = ?, e = ?, m = {?:?,?:?}, l = [?, ?]",
        ),
        ("INSERT INTO t (a) VALUES (:a) USING TTL 5", "INSERT INTO t (a) VALUES (:a) USING TTL ?"),
    ] {
        assert_eq!(text(Dialect::CQL, sql), redacted);
    }
}

/// Lists and rows that only differ in length read alike.
#[test]
fn collapsed() {
    for (sql, redacted) in [
        ("where a in (1, 2,3) and b IN ('x')", "where a in (?) and b IN (?)"),
        ("where a in ($1, $2) or b in (?,?,?)", "where a in (?) or b in (?)"),
        ("where a in (1, f(2), 3, 4)", "where a in (?, f(?), ?)"),
        ("where a in (1 + 1, 2, 3)", "where a in (? + ?, ?)"),
        ("where (a, b) in ((1, 2), (3, 4))", "where (a, b) in ((?, ?))"),
        (
            "where a in (select b from t where c in (1, 2)) and d",
            "where a in (select b from t where c in (?)) and d",
        ),
        ("values (1, 'a'), (2, 'b'), (3, (select 1)) on conflict", "values (?, ?) on conflict"),
        ("values (1), (2) returning id", "values (?) returning id"),
        (
            "values (1) on duplicate key update a = values(a), b = values(b)",
            "values (?) on duplicate key update a = values(a), b = values(b)",
        ),
        ("values(now(), default),\n(now(), default)", "values(now(), default)"),
    ] {
        assert_eq!(postgresql(sql), redacted);
    }
}

/// The conventions' examples, and what else statements are made of.
#[test]
fn summaries() {
    for (sql, expected) in [
        ("SELECT * FROM wuser_table WHERE username = ?", "SELECT wuser_table"),
        (
            "INSERT INTO shipping_details (order_id, address) SELECT order_id, address FROM orders WHERE order_id = ?",
            "INSERT shipping_details SELECT orders",
        ),
        ("SELECT * FROM songs, artists WHERE songs.artist_id == artists.id", "SELECT songs artists"),
        (
            "SELECT order_date FROM (SELECT * FROM orders o JOIN customers c ON o.customer_id = c.customer_id)",
            "SELECT SELECT orders customers",
        ),
        ("SELECT * FROM \"song list\", \"artists\"", "SELECT \"song list\" artists"),
        ("select 1", "SELECT"),
        ("select * from \"public\".\"orders\" as o", "SELECT public.orders"),
        (
            "select * from a left join b using (x, y), c where d in (select e from f), g",
            "SELECT a b c SELECT f",
        ),
        ("select extract(day from x), trim(both from y) from t where a is distinct from b", "SELECT t"),
        ("select * from generate_series(1, 2) s, t", "SELECT t"),
        ("select * from (a join b on a.x = b.x)", "SELECT a b"),
        ("select a from t for update of t", "SELECT t"),
        ("select a from t union all select b from u order by c, d", "SELECT t SELECT u"),
        (
            "with a as (select * from t), b (x, y) as materialized (select * from a) select * from a, B join c on true",
            "SELECT t SELECT SELECT c",
        ),
        ("with d as (delete from t returning *) insert into u select * from d", "DELETE t INSERT u SELECT"),
        ("with recursive r as (select 1 union all select * from r) select * from r", "SELECT SELECT SELECT"),
        ("update only t set a = (select b from u) from v where x", "UPDATE t SELECT u v"),
        ("delete from t using u where a", "DELETE t u"),
        ("insert into t values (1) on conflict (a) do update set b = 2", "INSERT t"),
        ("insert into t (a) values (1) on duplicate key update b = 2", "INSERT t"),
        (
            "merge into t using s on a when matched then update set b when not matched then insert values (1)",
            "MERGE t s",
        ),
        ("select a into b from c", "SELECT b c"),
        ("create table if not exists t (a int references u, b text default 'x')", "CREATE TABLE t"),
        ("create temporary table t as select * from u", "CREATE TABLE t SELECT u"),
        ("create unique index concurrently i on t (a)", "CREATE INDEX t"),
        ("create view v as select * from t", "CREATE VIEW v SELECT t"),
        ("create database d", "CREATE DATABASE d"),
        ("create role r with password 'x'", "CREATE ROLE"),
        ("drop table a, b", "DROP TABLE a b"),
        ("alter table t add column c int", "ALTER TABLE t"),
        ("truncate table t", "TRUNCATE t"),
        ("vacuum (verbose, analyze) t", "VACUUM"),
        ("vacuum analyze t", "VACUUM t"),
        ("copy t (a, b) from stdin", "COPY t"),
        ("copy (select * from t) to stdout", "COPY SELECT t"),
        ("explain (analyze, format json) delete from t", "EXPLAIN DELETE t"),
        ("explain analyze select * from t", "EXPLAIN SELECT t"),
        ("prepare p as update t set a = $1", "PREPARE UPDATE t"),
        ("declare c cursor for select * from t", "DECLARE SELECT t"),
        ("fetch 10 from c", "FETCH"),
        ("(select a from t) union (select b from u)", "SELECT t SELECT u"),
        ("call p(1)", "CALL p"),
        ("begin", "BEGIN"),
        ("begin; select * from t; commit", "BEGIN SELECT t COMMIT"),
        ("insert into t values (1); insert into t values (2); insert into t values (3)", "INSERT t"),
        ("grant select, insert on t to u", "GRANT"),
        ("set search_path to x", "SET"),
        ("listen channel", "LISTEN"),
        ("secret words", ""),
        ("", ""),
        (";", ""),
    ] {
        assert_eq!(summary(sql), expected, "{sql}");
    }
    for (sql, expected) in [
        ("REPLACE INTO `t` VALUES (1)", "REPLACE t"),
        ("insert ignore t values (1)", "INSERT t"),
        ("delete a from a join b on a.x = b.x", "DELETE a b"),
        ("update a, b set a.x = b.x", "UPDATE a b"),
        ("load data local infile 'x' into table t", "LOAD t"),
        ("select a into outfile 'x' from t", "SELECT t"),
        ("select * from t where a = \"from secret\"", "SELECT t"),
        ("use shop", "USE shop"),
        ("/*!40000 alter table `t` disable keys */", "ALTER TABLE t"),
        ("show tables from x", "SHOW"),
    ] {
        assert_eq!(&*read_in(Dialect::MYSQL, sql).summary, expected, "{sql}");
    }
    for (sql, expected) in [
        (
            "BEGIN UNLOGGED BATCH INSERT INTO k.a (x) VALUES (1); UPDATE b USING TTL 5 SET x = 1; APPLY BATCH",
            "BATCH INSERT k.a UPDATE b",
        ),
        ("DELETE x FROM t USING TIMESTAMP 5 WHERE y = 1", "DELETE t"),
        ("CREATE KEYSPACE k WITH replication = {'class': 'x'}", "CREATE KEYSPACE k"),
    ] {
        assert_eq!(&*Statement::read(sql.as_bytes(), false, Statements::Redacted).summary, expected, "{sql}");
    }
}

/// One table is the collection, however often it is named; two are none.
#[test]
fn collections() {
    let collection = |sql| read_in(Dialect::POSTGRESQL, sql).collection.map(String::from);
    assert_eq!(collection("select * from s.t a join s.t b on true"), Some("s.t".into()));
    assert_eq!(collection("insert into t values (1); insert into t values (2)"), Some("t".into()));
    assert_eq!(collection("select * from a, b"), None);
    assert_eq!(collection("call p()"), None);
    assert_eq!(collection("with x as (select * from t) select * from x"), Some("t".into()));
    let operation = |sql| String::from(read_in(Dialect::POSTGRESQL, sql).operation);
    assert_eq!(operation("with x as (delete from t) select * from x"), "SELECT");
    assert_eq!(operation("-- hello\n select 1"), "SELECT");
}

/// A text that was cut tells nothing of the literal or the name it was cut in.
#[test]
fn cut() {
    let sql = "select \"col\", 'secret''s', f47ac10b-58cc-4372-a567-0e02b2c3d479 from orders where x = $$ hidden $$";
    for dialect in [Dialect::POSTGRESQL, Dialect::MYSQL, Dialect::CQL] {
        for end in 0..sql.len() {
            let statement = Statement::read_in(dialect, &sql.as_bytes()[..end], true, Statements::Redacted);
            let text = statement.text.unwrap_or_default();
            for secret in ["sec", "ret", "47ac", "58c", "hid"] {
                assert!(dialect == Dialect::MYSQL && secret == "hid" || !text.contains(secret), "{text}");
            }
            assert!(["", "SELECT", "SELECT orders"].contains(&&*statement.summary), "{}", statement.summary);
        }
    }
    let misread = b"select a from t where b in ('C:\\', ' from secret join other ')";
    let statement = Statement::read_in(Dialect::MYSQL, misread, false, Statements::Redacted);
    assert_eq!((statement.text, &*statement.summary, statement.collection), (None, "SELECT", None));
}

#[test]
fn settings() {
    let sql = "select 'a' from t -- é";
    let read = |statements| Statement::read(sql.as_bytes(), false, statements);
    assert_eq!(read(Statements::Raw).text.as_deref(), Some(sql));
    assert_eq!(read(Statements::Off).text, None);
    assert_eq!(&*read(Statements::Off).summary, "SELECT t");
    let cut = &sql.as_bytes()[..sql.len() - 1];
    assert_eq!(Statement::read(cut, true, Statements::Raw).text.as_deref(), Some("select 'a' from t -- …"));
}

/// Long texts and summaries end, and not within a name.
#[test]
fn bounds() {
    let columns = "some_column, ".repeat(2000);
    let statement = read_in(Dialect::POSTGRESQL, &format!("select {columns} x from t"));
    let text = statement.text.unwrap();
    assert!(text.len() <= MAX_TEXT && text.ends_with('…'), "{}", text.len());
    assert_eq!(&*statement.summary, "SELECT t");
    let joins = (0..100).map(|i| format!(" join table_{i} on true")).collect::<String>();
    let statement = read_in(Dialect::POSTGRESQL, &format!("select * from t{joins}"));
    assert!(statement.summary.len() <= MAX_SUMMARY && statement.summary.ends_with(" table_27"));
    assert_eq!(statement.collection, None);
    let deep = format!("select {}1{}", "(".repeat(10_000), ")".repeat(10_000));
    assert_eq!(summary(&deep), "SELECT");
    assert_eq!(mysql(&"\u{1}*/".repeat(10_000)), "");
}

/// Trace context in a comment is found; in a string it is not.
#[test]
fn trace_context() {
    let id = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let parent = |sql: String| read_in(Dialect::POSTGRESQL, &sql).parent;
    let found = parent(format!(
        "select * from songs /*db_driver='x',traceparent='{id}',tracestate='congo%3Dt61rcWkgMzE%2Crojo%3D00'*/"
    ))
    .unwrap();
    assert_eq!(found.span, [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
    assert_eq!(found.state.as_deref(), Some("congo=t61rcWkgMzE,rojo=00"));
    assert!(parent(format!("/*traceparent='{id}'*/ select 1")).is_some());
    assert_eq!(parent(format!("select '/*traceparent=''{id}''*/'")), None);
    assert_eq!(parent(format!("select 1 /*xtraceparent='{id}'*/")), None);
    assert_eq!(parent("select 1 /*traceparent='00'*/".into()), None);
}

fn dialects() -> impl Strategy<Value = Dialect> {
    prop_oneof![Just(Dialect::POSTGRESQL), Just(Dialect::MYSQL), Just(Dialect::CQL)]
}

/// Pieces that statements are made of, with literals that can be recognised.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "select",
            "from",
            "join",
            "in",
            "values",
            "(",
            ")",
            ",",
            ";",
            "with",
            "as",
            "insert into",
            "update",
            "set",
            "delete",
            "t",
            "\"q\"",
            ".",
            "=",
            "-",
            ":",
            "::",
            "@v",
            "$1",
            "?",
            "/*",
            "*/",
            "--",
            "#",
            "\n",
            "$$",
            "$t$",
            "create",
            "table",
            "using",
            "begin",
            "batch",
            "explain",
            "e",
            "*",
            "/*!50000",
            "[",
            "]",
        ])
        .prop_map(str::to_owned),
        Just("'s3cret'".to_owned()),
        Just("93187".to_owned()),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    /// Any bytes are survived, in any dialect, and what comes out is bounded.
    #[test]
    fn any_bytes(dialect in dialects(), sql in prop::collection::vec(any::<u8>(), 0..600), cut: bool) {
        let statement = Statement::read_in(dialect, &sql, cut, Statements::Redacted);
        prop_assert!(statement.text.is_none_or(|text| text.len() <= MAX_TEXT));
        prop_assert!(statement.summary.len() <= MAX_SUMMARY);
    }

    /// However statements are put together, no number of theirs is told, nor a summary that holds one.
    #[test]
    fn any_statement(dialect in dialects(), sql in pieces(), cut: bool) {
        let statement = Statement::read_in(dialect, sql.as_bytes(), cut, Statements::Redacted);
        let text = statement.text.unwrap_or_default();
        prop_assert!(!text.contains("93187"), "{}", text);
        prop_assert!(!statement.summary.contains("93187") && !statement.summary.contains('\''));
        prop_assert!(statement.summary.len() <= MAX_SUMMARY);
    }
}
