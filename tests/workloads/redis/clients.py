"""redis-py in steps: connections that stay open, with RESP2 or RESP3.

usage: clients.py PORT PROTOCOL SIZE
"""

import sys

import redis

port, protocol, size = map(int, sys.argv[1:])


def step():
    print("ready", flush=True)
    return sys.stdin.readline() != ""


client = redis.Redis(
    port=port, protocol=protocol, lib_name=None, lib_version=None, single_connection_client=True
)
subscriber = redis.Redis(port=port, protocol=protocol, lib_name=None, lib_version=None).pubsub()
client.ping()
subscriber.subscribe(f"news{protocol}")
assert subscriber.get_message(timeout=5)["type"] == "subscribe"

while step():
    for i in range(10):
        client.set(f"key{i}", i)
        assert client.get(f"key{i}") == str(i).encode()
    pipeline = client.pipeline(transaction=False)
    for _ in range(50):
        pipeline.incr("counter")
    assert len(pipeline.execute()) == 50
    pipeline = client.pipeline(transaction=True)
    pipeline.set("a", 1)
    pipeline.incr("a")
    assert pipeline.execute() == [True, 2]
    try:
        client.lpush("a", 1)
        sys.exit("no error")
    except redis.ResponseError:
        pass
    client.hset("hash", mapping={"f": "1", "g": "2"})
    assert client.hgetall("hash") == {b"f": b"1", b"g": b"2"}
    client.set("large", "x" * size)
    assert len(client.get("large")) == size
    for i in range(3):
        client.publish(f"news{protocol}", f"number {i}")
        assert subscriber.get_message(timeout=5)["data"] == f"number {i}".encode()
