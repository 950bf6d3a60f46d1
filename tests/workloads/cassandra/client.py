"""The Python driver against Cassandra at the port in argument 1 with the protocol version in argument 2, a round a line of
standard input.

A round inserts ten rows by a prepared statement, all at once, reads them in pages of four, writes and reads a large one,
runs a batch, and fails twice.
"""

import sys

from cassandra import ConsistencyLevel, InvalidRequest
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.policies import WhiteListRoundRobinPolicy
from cassandra.protocol import SyntaxException
from cassandra.query import BatchStatement, SimpleStatement

port, version = int(sys.argv[1]), int(sys.argv[2])
profile = ExecutionProfile(
    load_balancing_policy=WhiteListRoundRobinPolicy(["127.0.0.1"]),
    consistency_level=ConsistencyLevel.ONE,
    request_timeout=30,
)
cluster = Cluster(
    ["127.0.0.1"],
    port=port,
    protocol_version=version,
    compression=False,
    execution_profiles={EXEC_PROFILE_DEFAULT: profile},
    connect_timeout=30,
    control_connection_timeout=30,
)
session = cluster.connect()
space = f"shop{version}"
session.execute(
    f"CREATE KEYSPACE IF NOT EXISTS {space} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
)
session.execute(f"CREATE TABLE IF NOT EXISTS {space}.orders (day int, id int, note text, PRIMARY KEY (day, id))")
session.execute(f"CREATE TABLE IF NOT EXISTS {space}.papers (id int PRIMARY KEY, note text)")
insert = session.prepare(f"INSERT INTO {space}.orders (day, id, note) VALUES (?, ?, ?)")
print("ready", flush=True)
for day, _ in enumerate(sys.stdin):
    rows = [(day, i, "secret") for i in range(10)]
    assert all(result.success for result in execute_concurrent_with_args(session, insert, rows))
    select = SimpleStatement(f"SELECT * FROM {space}.orders WHERE day = {day}", fetch_size=4)
    assert len(list(session.execute(select))) == 10
    # Envelopes of several segments.
    session.execute(f"INSERT INTO {space}.papers (id, note) VALUES ({day}, %s)", ["secret " * 60_000])
    assert len(session.execute(f"SELECT note FROM {space}.papers WHERE id = {day}").one().note) == 420_000
    batch = BatchStatement()
    for i in range(3):
        batch.add(SimpleStatement(f"UPDATE {space}.orders SET note = 'secret' WHERE day = {day} AND id = {i}"))
    session.execute(batch)
    for bad, error in ((f"SELEC * FROM {space}.orders", SyntaxException), (f"SELECT x FROM {space}.orders", InvalidRequest)):
        try:
            session.execute(bad)
            raise SystemExit("made sense")
        except error:
            pass
    print("ready", flush=True)
cluster.shutdown()
