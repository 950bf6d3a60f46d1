"""psycopg (3) against PostgreSQL at the port in argument 1, a round a line of standard input.

Literals and parameters contain `s3cret`, which must not show anywhere.
"""

import sys

import psycopg
from psycopg import errors

connection = psycopg.connect(
    f"host=127.0.0.1 port={sys.argv[1]} user=app password=s3cret-word dbname=postgres application_name=round",
    autocommit=True,
)
connection.prepare_threshold = None
connection.execute("select 's3cret', $$s3cret$$")
print("ready", flush=True)
for number, _ in enumerate(sys.stdin):
    first = 1000 * number
    # Simple, and extended with an unnamed and with a named statement (which is prepared in the first round).
    connection.execute("delete from orders where note like 's3cret%'")
    two = (first, "s3cret", first + 1, "s3cret")
    connection.execute("insert into orders values (%s, %s), (%s, %s) returning id", two)
    named = connection.cursor()
    connection.prepare_threshold = 0
    named.execute("select note from orders where id = %s", (first,), prepare=True)
    named.execute("select note from orders where id = %s", (first + 1,), prepare=True)
    connection.prepare_threshold = None
    # Errors: at the statement, and when it is executed.
    for statement, error in [
        ("select * from missing where x = %s", errors.UndefinedTable),
        ("insert into orders values (%s, 's3cret')", errors.UniqueViolation),
    ]:
        try:
            connection.execute(statement, (first,))
            raise SystemExit("no error")
        except error:
            pass
    # Pipelines.
    with connection.cursor() as cursor:
        cursor.executemany("insert into orders values (%s, %s)", [(first + i, "s3cret") for i in range(10, 15)])
    with connection.pipeline():
        series = "select %s::int from generate_series(1, %s) g left join orders on false"
        cursors = [connection.execute(series, (i, i)) for i in range(1, 4)]
        for i, cursor in enumerate(cursors):
            assert len(cursor.fetchall()) == i + 1
    try:
        with connection.pipeline():
            connection.execute("update orders set id = id where id < %s", (0,))
            connection.execute("update orders set id = 's3cret' where id = %s", (0,))
            connection.execute("update orders set note = note where id = %s", (0,))
        raise SystemExit("no error")
    except errors.DatatypeMismatch:
        pass
    except errors.InvalidTextRepresentation:
        pass
    # Copies.
    with connection.cursor() as cursor:
        with cursor.copy("copy orders (id, note) from stdin") as copy:
            copy.write_row((first + 20, "s3cret"))
            copy.write_row((first + 21, "s3cret" * 20))
        with cursor.copy("copy orders to stdout") as copy:
            assert len(list(copy.rows())) == 9
    # A transaction with a cursor of the server's.
    with connection.transaction():
        with connection.cursor("cursor_1") as cursor:
            cursor.itersize = 4
            cursor.execute("select * from orders where note <> 's3cret!'")
            assert len(list(cursor)) == 9
    print("ready", flush=True)
connection.close()
