"""Asks the server at 127.0.0.1:53 for addresses of shop.example, a round a line of standard input.

A round asks once over a TCP connection that stays open, and over UDP sockets that stay open in each way in which datagrams
can be sent and received: connected and not.
"""

import os
import socket
import struct
import sys

SERVER = ("127.0.0.1", 53)


def query(number):
    name = b"".join(bytes([len(label)]) + label for label in (b"shop", b"example"))
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + name + b"\0\0\1\0\1"


def check(number, answer):
    assert struct.unpack_from("!H", answer)[0] == number, answer
    assert answer.endswith(bytes([127, 0, 0, 1])), answer


stream = socket.create_connection(SERVER)
connected = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
connected.connect(SERVER)
free = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
number = 0


def ways():
    """Ways to send and receive a datagram."""
    yield lambda q: connected.send(q), lambda: connected.recv(512)
    yield lambda q: os.write(connected.fileno(), q), lambda: os.read(connected.fileno(), 512)
    yield lambda q: connected.sendmsg([q[:7], q[7:]]), lambda: connected.recvmsg(512)[0]
    yield lambda q: os.writev(connected.fileno(), [q]), lambda: connected.recvfrom(512)[0]
    yield lambda q: free.sendto(q, SERVER), lambda: free.recvfrom(512)[0]
    yield lambda q: free.sendmsg([q], [], 0, SERVER), lambda: free.recvmsg(512)[0]
    yield lambda q: six.sendto(q, ("::ffff:127.0.0.1", 53)), lambda: six.recvfrom(512)[0]


print("ready", flush=True)
for _ in sys.stdin:
    number += 1
    message = query(number)
    stream.sendall(struct.pack("!H", len(message)) + message)
    length = struct.unpack("!H", stream.recv(2, socket.MSG_WAITALL))[0]
    check(number, stream.recv(length, socket.MSG_WAITALL))
    for send, receive in ways():
        number += 1
        send(query(number))
        check(number, receive())
    print("ready", flush=True)
