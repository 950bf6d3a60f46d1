"""Apache Thrift's Python servers, one for each of kinds.py, at the port in argument 1 and those behind it. Argument 2 is the
folder of the generated code."""

import sys
import threading

sys.path.insert(0, sys.argv[2])

from shop import Shop  # noqa: E402
from shop.ttypes import SoldOut  # noqa: E402
from thrift.server.TServer import TThreadedServer  # noqa: E402
from thrift.TMultiplexedProcessor import TMultiplexedProcessor  # noqa: E402
from thrift.transport.TSocket import TServerSocket  # noqa: E402
from thrift.transport.TTransport import TTransportFactoryBase  # noqa: E402

from kinds import KINDS  # noqa: E402


class Handler:
    def order(self, customer, lines):
        return customer * 10

    def refuse(self, customer):
        raise SoldOut(customer)

    def forget(self, customer):
        pass


def processor(multiplexed):
    one = Shop.Processor(Handler())
    if not multiplexed:
        return one
    many = TMultiplexedProcessor()
    many.registerProcessor("Shop", one)
    return many


servers = []
# The last port is that which the test waits for.
for number, (transport, protocol, multiplexed) in enumerate(KINDS):
    socket = TServerSocket("127.0.0.1", int(sys.argv[1]) + number)
    transport = transport or TTransportFactoryBase()
    server = TThreadedServer(processor(multiplexed), socket, transport, protocol, daemon=True)
    servers.append(threading.Thread(target=server.serve))
for server in servers:
    server.start()
