"""The shop's recommendations: Python's http.server, one thread a connection, and http.client.

It asks the catalog which of its suggestions exist. Product 13 brings bad luck: a 500.
"""

import http.client
import json
import os
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CATALOG = urllib.parse.urlsplit(os.environ["CATALOG_URL"]).netloc
LOCAL = threading.local()


def get_json(path, request_id):
    """Asks the catalog over this thread's connection; a connection that died idle is opened again, once."""
    for fresh in (False, True):
        if fresh or not hasattr(LOCAL, "connection"):
            LOCAL.connection = http.client.HTTPConnection(CATALOG, timeout=5)
        try:
            LOCAL.connection.request("GET", path, headers={"X-Request-Id": request_id})
            response = LOCAL.connection.getresponse()
            return response.status, json.loads(response.read())
        except (http.client.HTTPException, ConnectionError):
            LOCAL.connection.close()
            if fresh:
                raise


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        request_id = self.headers.get("X-Request-Id", "none")
        name, _, argument = self.path.strip("/").partition("/")
        try:
            if name == "recommendations":
                self.reply(200, self.similar(int(argument), request_id))
            elif name == "popular":
                status, products = get_json("/products?limit=3", request_id)
                self.reply(status, {"products": [product["name"] for product in products]})
            elif name == "healthz":
                self.reply(200, {"ok": True})
            else:
                self.reply(404, {"error": "no such page"})
        except Exception as error:  # whatever it is, the caller gets an answer
            self.reply(500, {"error": repr(error)})

    def similar(self, product, request_id):
        if product == 13:
            raise RuntimeError("the model has no opinion on product 13")
        found = []
        for candidate in (product + 1, product * 7 % 100 + 1):
            status, answer = get_json(f"/prices/{candidate}", request_id)
            if status == 200:
                found.append(answer["id"])
        return {"products": found}

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
