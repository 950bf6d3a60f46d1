"""The ways to speak Thrift that server.py and client.py share, in the order of their ports."""

from thrift.protocol.TBinaryProtocol import TBinaryProtocolFactory
from thrift.protocol.TCompactProtocol import TCompactProtocolFactory
from thrift.protocol.THeaderProtocol import THeaderProtocolFactory
from thrift.transport.THeaderTransport import THeaderSubprotocolID
from thrift.transport.TTransport import TBufferedTransportFactory, TFramedTransportFactory


def old():
    return TBinaryProtocolFactory(strictRead=False, strictWrite=False)


# Each a transport, a protocol and whether services are multiplexed.
KINDS = [
    (TBufferedTransportFactory(), TBinaryProtocolFactory(), False),
    (TBufferedTransportFactory(), old(), False),
    (TBufferedTransportFactory(), TCompactProtocolFactory(), False),
    (TFramedTransportFactory(), TBinaryProtocolFactory(), True),
    (TFramedTransportFactory(), TCompactProtocolFactory(), False),
    (None, THeaderProtocolFactory(default_protocol=THeaderSubprotocolID.BINARY), False),
    (None, THeaderProtocolFactory(default_protocol=THeaderSubprotocolID.COMPACT), False),
]
