"""Connections that are there before the agent, in steps: each ends with a line `ready`, and the next begins with a line read.

`client ADDRESS|PATH`      connects; then each step is a GET over the connection, whose status is printed.
`connect PORT COUNT`       makes COUNT connections; then each step sends three bytes on each.
`accept PORT COUNT`        listens; accepts COUNT connections and closes the listener; then each step reads three bytes of each.
`inherit PORT`             listens; accepts a connection that a child serves, and keeps it too; ends.
"""

import os
import socket
import sys


def address(text):
    if "/" in text:
        return socket.AF_UNIX, text
    host, port = text.rsplit(":", 1)
    return (socket.AF_INET6 if ":" in host else socket.AF_INET), (host, int(port))


def connected(text):
    family, target = address(text)
    connection = socket.socket(family)
    connection.connect(target)
    return connection


def listening(text):
    family, target = address(text)
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(target)
    listener.listen(1024)
    return listener


def exactly(connection, many):
    while many:
        many -= len(connection.recv(many))


def client(target):
    connection = connected(target)
    answers = connection.makefile("rb")
    number = 0
    while (yield):
        connection.sendall(b"GET /hello?%d HTTP/1.1\r\nHost: test\r\n\r\n" % number)
        number += 1
        print(int(answers.readline().split()[1]))
        length = 0
        while line := answers.readline().strip().lower():
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        answers.read(length)


def connect(port, count):
    connections = [connected("127.0.0.1:" + port) for _ in range(int(count))]
    while (yield):
        for connection in connections:
            connection.sendall(b"abc")


def accept(port, count):
    listener = listening("127.0.0.1:" + port)
    yield
    connections = [listener.accept()[0] for _ in range(int(count))]
    listener.close()
    while (yield):
        for connection in connections:
            exactly(connection, 3)


def inherit(port):
    listener = listening("127.0.0.1:" + port)
    yield
    connection, _ = listener.accept()
    if os.fork() == 0:
        # Not of the parent's group, and not ended with it; the connection's end is its end.
        os.setsid()
        requests = connection.makefile("rb")
        while requests.readline():
            while requests.readline().strip():
                pass
            body = b"%d\n" % os.getpid()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        os._exit(0)
    yield


steps = {"client": client, "connect": connect, "accept": accept, "inherit": inherit}[sys.argv[1]](*sys.argv[2:])
next(steps)
while True:
    print("ready", flush=True)
    go_on = bool(sys.stdin.readline())
    if not go_on:
        break
    try:
        steps.send(True)
    except StopIteration:
        break
