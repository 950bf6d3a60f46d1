"""The workload server in Python's http.server: ADDRESS PORT, or `unix PATH`. `--1.0` answers in HTTP/1.0."""

import socket
import socketserver
import sys
import time
from http.server import BaseHTTPRequestHandler


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0" if "--1.0" in sys.argv else "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def chunked(self, length):
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for _ in range(3):
            self.wfile.write(b"%x\r\n%b\r\n" % (length // 3, b"c" * (length // 3)))
        self.wfile.write(b"0\r\n\r\n")

    def do_GET(self):
        parts = self.path.split("?")[0].split("/")
        match parts[1:]:
            case ["hello"]:
                self.answer(200, b"hello\n")
            case ["bytes", count]:
                self.answer(200, b"b" * int(count))
            case ["status", status]:
                self.answer(int(status), b"status\n")
            case ["slow", milliseconds]:
                time.sleep(int(milliseconds) / 1000)
                self.answer(200, b"slow\n")
            case ["chunked", length]:
                self.chunked(int(length))
            case _:
                self.answer(404, b"missing\n")

    do_HEAD = do_GET

    def do_POST(self):
        self.answer(200, self.body())


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


if __name__ == "__main__":
    if sys.argv[1] == "unix":
        UnixServer(sys.argv[2], Handler).serve_forever()
    else:
        if ":" in sys.argv[1]:
            Server.address_family = socket.AF_INET6
        Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
