"""MySQL's connector for Python with prepared statements (the binary protocol) against MariaDB at the port in argument 1; a
round a line of standard input. The first statement is prepared before the first round.
"""

import sys

import mysql.connector
from mysql.connector import errors

connection = mysql.connector.connect(
    host="127.0.0.1",
    port=int(sys.argv[1]),
    user="app",
    password="s3cret-word",
    database="shop",
    use_pure=True,
    ssl_disabled=True,
    autocommit=True,
    charset="utf8mb4",
    collation="utf8mb4_general_ci",
)
insert = connection.cursor(prepared=True)
statement = "insert into orders values (?, ?)"
insert.execute(statement, (1, "s3cret"))
print("ready", flush=True)
for number, _ in enumerate(sys.stdin):
    first = 1000 * (number + 1)
    for i in range(3):
        insert.execute(statement, (first + i, "s3cret"))
    try:
        insert.execute(statement, (first, "s3cret"))
        raise SystemExit("no error")
    except errors.IntegrityError:
        pass
    select = connection.cursor(prepared=True)
    select.execute("select id, note from orders where note = ? and id >= ?", ("s3cret", first))
    assert len(select.fetchall()) == 3
    select.close()
    try:
        wrong = connection.cursor(prepared=True)
        wrong.execute("select note from missing where x = 's3cret'", ())
        raise SystemExit("no error")
    except errors.ProgrammingError:
        pass
    print("ready", flush=True)
connection.close()
