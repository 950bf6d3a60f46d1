"""psycopg2 against PostgreSQL on the unix socket in folder argument 1 with port argument 2: transactions, literals in the
text, notifications, and a statement that another connection cancels.
"""

import sys
import threading
import time

import psycopg2
import psycopg2.extensions

connection = psycopg2.connect(host=sys.argv[1], port=sys.argv[2], user="app", dbname="postgres")
print("ready", flush=True)
for _ in sys.stdin:
    with connection, connection.cursor() as cursor:
        cursor.execute("insert into orders values (%s, %s)", (500, "it's s3cret"))
        cursor.execute("update orders set note = %s where id = %s", ("s3cret", 500))
    cursor = connection.cursor()
    cursor.execute("delete from orders where id = 500 and note = 's3cret'")
    connection.rollback()
    cursor.execute("listen channel; notify channel, 's3cret'")
    connection.commit()
    canceller = threading.Timer(0.3, connection.cancel)
    canceller.start()
    try:
        cursor.execute("select pg_sleep(20)")
        raise SystemExit("not cancelled")
    except psycopg2.extensions.QueryCanceledError:
        connection.rollback()
    canceller.join()
    cursor.execute("delete from orders where id = 500")
    connection.commit()
    print("ready", flush=True)
connection.close()
