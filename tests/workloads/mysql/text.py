"""PyMySQL (the text protocol) against MariaDB at the port in argument 1, with a file to load in argument 2 and the length of
a long row (in words) in argument 3, from the round in argument 4 on (before that it is
short); a round a line of standard input. Literals contain `s3cret`, which must not show anywhere.
"""

import sys

import pymysql
from pymysql.constants import CLIENT

connection = pymysql.connect(
    host="127.0.0.1",
    port=int(sys.argv[1]),
    user="app",
    password="s3cret-word",
    database="shop",
    autocommit=True,
    local_infile=True,
    client_flag=CLIENT.MULTI_STATEMENTS,
)
cursor = connection.cursor()
cursor.execute("select 's3cret'")
print("ready", flush=True)
for number, _ in enumerate(sys.stdin):
    first = 1000 * number
    cursor.execute("delete from orders where note like '%s3cret%'")
    # One statement of five rows.
    cursor.executemany("insert into orders values (%s, %s)", [(first + i, "it's s3cret\\") for i in range(5)])
    cursor.execute('select id, note from orders where note <> "s3cret" and id in (%s, %s)', (first, first + 1))
    assert len(cursor.fetchall()) == 2
    for statement, code in [("select 's3cret' from missing", 1146), (f"insert into orders values ({first}, 's3cret')", 1062)]:
        try:
            cursor.execute(statement)
            raise SystemExit("no error")
        except pymysql.MySQLError as error:
            assert error.args[0] == code, error
    cursor.execute(f"update orders set note = 's3cret 2' where id < {first + 3}; select id from orders; select 's3cret'")
    while cursor.nextset():
        pass
    connection.ping(reconnect=False)
    connection.select_db("other")
    cursor.execute("create table if not exists here (x int)")
    cursor.execute("use shop")
    cursor.execute("load data local infile %s into table orders fields terminated by ','", (sys.argv[2],))
    cursor.execute("delete from orders where id >= 900000")
    connection.begin()
    words = sys.argv[3] if number >= int(sys.argv[4]) else 50
    cursor.execute(f"select repeat('s3cret', {words}) from orders limit 2")
    assert len(cursor.fetchall()) == 2
    connection.commit()
    print("ready", flush=True)
connection.close()
