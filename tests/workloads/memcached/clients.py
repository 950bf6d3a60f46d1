"""pymemcache (text protocol) and python-binary-memcached in steps: connections that stay open.

usage: clients.py PORT SIZE
"""

import socket
import sys

import bmemcached
from pymemcache.client.base import Client

port, size = map(int, sys.argv[1:])


def step():
    print("ready", flush=True)
    return sys.stdin.readline() != ""


text = Client(("127.0.0.1", port), default_noreply=False)
text.version()
binary = bmemcached.Client([f"127.0.0.1:{port}"])
assert binary.get("nothing") is None
plain = socket.create_connection(("127.0.0.1", port))
reader = plain.makefile("rb")
plain.sendall(b"mn\r\n")
assert reader.readline() == b"MN\r\n"

while step():
    for i in range(10):
        assert text.set(f"key{i}", str(i))
        assert text.get(f"key{i}") == str(i).encode()
    assert len(text.get_many(["key0", "none", "key1", "key2"])) == 3
    assert text.set("large", "x" * size)
    assert len(text.get("large")) == size
    text.set("counter", "1", noreply=True)
    assert text.incr("counter", 2) == 3
    assert not text.add("counter", "1")
    assert text.delete("counter")
    assert not text.touch("counter", 1)
    text.set("word", "x")
    try:
        text.incr("word", 1)
        sys.exit("no error")
    except Exception as error:
        assert "non-numeric" in str(error), error

    for i in range(5):
        assert binary.set(f"key{i}", "b")
        assert binary.get(f"key{i}") == "b"
    assert len(binary.get_multi(["key0", "none", "key1"])) == 2
    assert binary.delete("key0")

    plain.sendall(b"ms m 2\r\nhi\r\nmg m v\r\nmg none v\r\nmg m v q k\r\nmg none v q k\r\nmn\r\n")
    expected = [b"HD\r\n", b"VA 2\r\n", b"hi\r\n", b"EN\r\n", b"VA 2 km\r\n", b"hi\r\n", b"MN\r\n"]
    assert [reader.readline() for _ in expected] == expected
