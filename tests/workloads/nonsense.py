"""A protocol that nobody knows, over TCP, plain or with TLS: what is asked are a length and as many random bytes; what is
answered are as many bytes as the question says, after a pause.

    nonsense.py serve ADDRESS PORT [CERTIFICATE KEY]
    nonsense.py ask ADDRESS PORT CONNECTIONS TURNS [CERTIFICATE]

The client writes one JSON line for each connection: what it sent and received as TCP counts it, and its port.
"""

import json
import os
import socket
import ssl
import struct
import sys
import threading
import time

HEAD = struct.Struct("<BHHB")  # length of the question, length of the answer, pause in milliseconds


def exactly(stream, count):
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            return b""
        data += more
    return data


def report(stream, **more):
    """What TCP has sent, without repetitions, and received (linux/tcp.h, struct tcp_info)."""
    info = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
    (received,) = struct.unpack_from("<Q", info, 128)
    sent, again = struct.unpack_from("<QQ", info, 200)
    print(json.dumps({"sent": sent - again, "received": received, **more}), flush=True)


def serve(address, port, certificate=None, key=None):
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        # No bytes of the server behind the handshake but answers.
        context.num_tickets = 0
    listener = socket.create_server((address, port), backlog=64)
    while True:
        plain, _ = listener.accept()
        threading.Thread(target=answer, args=(plain, context), daemon=True).start()


def answer(plain, context):
    stream = context.wrap_socket(plain, server_side=True) if context else plain
    while head := exactly(stream, HEAD.size):
        _, question, length, pause = HEAD.unpack(head)
        exactly(stream, question)
        time.sleep(pause / 1000)
        stream.sendall(os.urandom(length))
    stream.close()


def ask(address, port, connections, turns, certificate=None):
    for number in range(connections):
        plain = socket.create_connection((address, port))
        stream = plain
        if certificate:
            context = ssl.create_default_context(cafile=certificate)
            stream = context.wrap_socket(plain, server_hostname="test")
        for turn in range(turns):
            question, length, pause = 1 + turn * 7 % 300, 5 + turn * 131 % 9000, 2 if turn % 10 == 0 else 0
            # The first byte is of no known protocol.
            stream.sendall(HEAD.pack(0xE7, question, length, pause) + os.urandom(question))
            if len(exactly(stream, length)) != length:
                sys.exit("the answer ended early")
        report(stream, port=stream.getsockname()[1])
        stream.close()


if __name__ == "__main__":
    command, address, port, *rest = sys.argv[1:]
    if command == "serve":
        serve(address, int(port), *rest)
    else:
        ask(address, int(port), int(rest[0]), int(rest[1]), *rest[2:])
