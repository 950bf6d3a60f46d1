"""Servers whose connections change hands: MODE PORT.

`prefork`: four children accept from the parent's listener. `afterfork`: the parent accepts, then forks a child that
serves. `passed`: the parent accepts and passes the descriptor to a child over a unix socket. The body of each answer is
the process id of who served."""

import ctypes
import os
import signal
import socket
import sys


def serve(connection):
    files = connection.makefile("rb")
    while files.readline():
        while files.readline().strip():
            pass
        body = b"%d\n" % os.getpid()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    connection.close()


def child(work):
    """Runs `work` in a child that does not survive its parent."""
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        work()
        os._exit(0)


def accept_forever(listener):
    while True:
        serve(listener.accept()[0])


def receive_forever(channel):
    while True:
        (descriptor,) = socket.recv_fds(channel, 1, 1)[1]
        serve(socket.socket(fileno=descriptor))


mode, port = sys.argv[1], int(sys.argv[2])
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listener = socket.create_server(("127.0.0.1", port), backlog=1024)
if mode == "prefork":
    for _ in range(4):
        child(lambda: accept_forever(listener))
    while True:
        signal.pause()
here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
if mode == "passed":
    child(lambda: receive_forever(there))
while True:
    connection, _ = listener.accept()
    if mode == "afterfork":
        child(lambda: serve(connection))
    else:
        socket.send_fds(here, [b"x"], [connection.fileno()])
    connection.close()
