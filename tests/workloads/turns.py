"""Says things that no protocol says, in turns: `turns.py PORT ROUNDS`. Each turn is three writes of 100 bytes.

After 50 rounds there is a pause, in which the agent comes to know what it has seen.
"""

import socket
import sys
import threading
import time

port, rounds = int(sys.argv[1]), int(sys.argv[2])
PIECE = bytes([0xF4, 0x01, 0x02, 0xFE]) * 25
listener = socket.create_server(("127.0.0.1", port))


def hear(connection):
    left = 3 * len(PIECE)
    while left:
        left -= len(connection.recv(left))


def say(connection):
    for _ in range(3):
        connection.sendall(PIECE)


def serve():
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(rounds):
        hear(connection)
        say(connection)


server = threading.Thread(target=serve)
server.start()
client = socket.create_connection(("127.0.0.1", port))
client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for number in range(rounds):
    if number == 50:
        time.sleep(1)
    say(client)
    hear(client)
server.join()
