"""ADDRESS: kazoo makes a node, reads it 20 times (it waits after 5), asks for one that is missing, makes it large, and
removes it."""
import sys

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

client = KazooClient(sys.argv[1])
client.start()
client.create("/kazoo", b"value")
for number in range(20):
    client.get("/kazoo")
    if number == 4:
        print("ready", flush=True)
        sys.stdin.readline()
try:
    client.get("/missing")
except NoNodeError:
    pass
transaction = client.transaction()
transaction.create("/kazoo/a")
transaction.delete("/kazoo/a")
transaction.commit()
client.set("/kazoo", b"large" * 60_000)
assert len(client.get("/kazoo")[0]) == 300_000
client.delete("/kazoo")
client.stop()
client.close()
