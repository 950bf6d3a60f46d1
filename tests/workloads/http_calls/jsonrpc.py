"""JSON-RPC 2 over HTTP with jsonrpclib-pelix on the port in argument 2: `server`, or `client`, which makes each call
once."""

import sys

import jsonrpclib
from jsonrpclib.SimpleJSONRPCServer import SimpleJSONRPCServer

role, port = sys.argv[1:]


def fail(token):
    raise ValueError(token)


if role == "server":
    server = SimpleJSONRPCServer(("127.0.0.1", int(port)), logRequests=False)
    server.register_function(lambda a, b: a + b, "cart.add")
    server.register_function(fail, "cart.fail")
    server.serve_forever()

client = jsonrpclib.ServerProxy(f"http://127.0.0.1:{port}/")
assert client.cart.add(40, 2) == 42
for method in (client.cart.fail, client.cart.missing):
    try:
        method("secret-argument")
        raise SystemExit("it answered")
    except jsonrpclib.ProtocolError:
        pass
client._notify.cart.add("secret-argument", 2)
batch = jsonrpclib.MultiCall(client)
batch.cart.add(1, 2)
batch.cart.add(3, 4)
assert list(batch()) == [3, 7]
