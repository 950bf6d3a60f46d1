"""The workload client in Python: `requests BASE`, `urllib BASE` or `unix PATH`.

Standard input: METHOD TARGET BODY a line. Standard output: STATUS BYTES START END a line."""

import http.client
import socket
import sys
import time
import urllib.error
import urllib.request


def payload(body):
    if body == "-":
        return None
    if body.startswith("chunked:"):
        length = int(body.split(":")[1])
        return (b"r" * (length // 5) for _ in range(5))
    return b"r" * int(body)


def with_urllib(base):
    def ask(method, target, body):
        request = urllib.request.Request(base + target, data=body, method=method)
        try:
            with urllib.request.urlopen(request) as response:
                return response.status, len(response.read())
        except urllib.error.HTTPError as error:
            return error.code, len(error.read())

    return ask


def with_requests(base):
    import requests

    session = requests.Session()
    session.trust_env = False

    def ask(method, target, body):
        response = session.request(method, base + target, data=body)
        return response.status_code, len(response.content)

    return ask


def over_unix(path):
    connection = http.client.HTTPConnection("local")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(path)

    def ask(method, target, body):
        connection.request(method, target, body=body)
        response = connection.getresponse()
        return response.status, len(response.read())

    return ask


ask = {"urllib": with_urllib, "requests": with_requests, "unix": over_unix}[sys.argv[1]](sys.argv[2])
for line in sys.stdin.read().splitlines():
    method, target, body = line.split(" ")
    start = time.time_ns()
    status, size = ask(method, target, payload(body))
    print(status, size, start, time.time_ns())
