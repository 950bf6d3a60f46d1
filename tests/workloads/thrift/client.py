"""Apache Thrift's Python clients, one for each of kinds.py, at the port in argument 1 and those behind it; or, of Java's
servers, two. Argument 2 is the folder of the generated code, 3 says which servers. A round a line of standard input: each
client makes two calls that succeed, one that throws, one without an answer, and one that the server does not know."""

import sys

sys.path.insert(0, sys.argv[2])

from shop import NewShop  # noqa: E402
from shop.ttypes import Line, SoldOut  # noqa: E402
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol  # noqa: E402
from thrift.Thrift import TApplicationException  # noqa: E402
from thrift.transport.TSocket import TSocket  # noqa: E402

from kinds import KINDS  # noqa: E402

# Java's: a nonblocking server, whose transport is framed, and a threaded one with the compact protocol.
kinds = [KINDS[3][:2] + (False,), KINDS[2]] if sys.argv[3] == "java" else KINDS

clients = []
for number, (transport, protocol, multiplexed) in enumerate(kinds):
    socket = TSocket("127.0.0.1", int(sys.argv[1]) + number)
    socket.open()
    transport = transport.getTransport(socket) if transport else socket
    protocol = protocol.getProtocol(transport)
    clients.append(NewShop.Client(TMultiplexedProtocol(protocol, "Shop") if multiplexed else protocol))

lines = [Line("secret " * 60, 3, {"a": [1.0, 2.5], "b": []}), Line("secret", 1, {})]
print("ready", flush=True)
for _ in sys.stdin:
    for client in clients:
        for _ in range(2):
            assert client.order("secret", lines) == "secret" * 10
        try:
            client.refuse("secret")
            raise SystemExit("not refused")
        except SoldOut:
            pass
        client.forget("secret")
        try:
            client.nothing()
            raise SystemExit("known")
        except TApplicationException as error:
            assert error.type == TApplicationException.UNKNOWN_METHOD
    print("ready", flush=True)
