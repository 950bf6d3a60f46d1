"""Answers as models and search engines document it, on the port in argument 1: OpenAI's and Anthropic's APIs, streamed or
not, and the few endpoints of Elasticsearch and OpenSearch that the tests call. What is asked for `broken` fails."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHAT = {"id": "chatcmpl-1", "created": 1, "model": "gpt-remora-2026"}
RESPONSE = {
    "id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-remora-2026", "output": [],
    "parallel_tool_calls": False, "tool_choice": "auto", "tools": [],
}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-remora-2026"}


def usage(names, counts):
    return dict(zip(names, counts)) | ({"total_tokens": sum(counts)} if names[0] != "input_tokens" else {})


def choice(key, value, reason):
    return {"index": 0, key: value, "finish_reason": reason}


def chat(asked):
    counted = usage(["prompt_tokens", "completion_tokens"], [12, 34])
    if not asked.get("stream"):
        answer = {"role": "assistant", "content": "secret-completion"}
        return CHAT | {"object": "chat.completion", "choices": [choice("message", answer, "stop")], "usage": counted}
    chunk = CHAT | {"object": "chat.completion.chunk"}
    words = [chunk | {"choices": [choice("delta", {"content": "secret-completion "}, None)]} for _ in range(600)]
    last = chunk | {"choices": [choice("delta", {}, "length")]}
    return [(None, event) for event in [*words, last, chunk | {"choices": [], "usage": counted}, "[DONE]"]]


def responses(asked):
    counted = {"input_tokens": 7, "output_tokens": 9, "total_tokens": 16}
    done = RESPONSE | {"status": "completed", "usage": counted}
    if not asked.get("stream"):
        return done
    started = {"type": "response.created", "sequence_number": 0, "response": RESPONSE | {"status": "in_progress"}}
    word = {
        "type": "response.output_text.delta", "sequence_number": 1, "item_id": "item", "output_index": 0,
        "content_index": 0, "delta": "secret-completion", "logprobs": [],
    }
    end = {"type": "response.completed", "sequence_number": 2, "response": done}
    return [(event["type"], event) for event in (started, word, end)]


def messages(asked):
    text = {"type": "text", "text": "secret-completion"}
    if not asked.get("stream"):
        return MESSAGE | {
            "content": [text], "stop_reason": "end_turn", "stop_sequence": None,
            "usage": {"input_tokens": 21, "output_tokens": 22},
        }
    start = MESSAGE | {
        "content": [], "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 25, "output_tokens": 1}
    }
    events = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "secret-completion"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta", "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
            "usage": {"output_tokens": 15},
        },
        {"type": "message_stop"},
    ]
    return [(event["type"], event) for event in events]


def embeddings(_):
    return {
        "object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
        "model": "embed-remora-2026", "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }


MODELS = {
    "/v1/chat/completions": chat,
    "/v1/responses": responses,
    "/v1/messages": messages,
    "/v1/embeddings": embeddings,
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self, status, body, media="application/json", fields=()):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        for name, value in fields:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def stream(self, events):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for name, event in events:
            text = f"event: {name}\n" if name else ""
            text += f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n"
            self.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())
        self.wfile.write(b"0\r\n\r\n")

    def call(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.split("?")[0]
        if path not in MODELS:
            return self.search(path)
        asked = json.loads(body)
        if asked["model"] == "broken":
            kind = "overloaded_error" if path == "/v1/messages" else "insufficient_quota"
            status = 529 if path == "/v1/messages" else 429
            error = {"type": kind, "message": "secret-reason", "param": None, "code": kind}
            return self.answer(status, {"type": "error", "error": error})
        answer = MODELS[path](asked)
        if isinstance(answer, list):
            return self.stream(answer)
        return self.answer(200, answer)

    def search(self, path):
        """The product's name is a condition of Elasticsearch's client; its media type follows what was accepted."""
        elastic = self.headers["User-Agent"].startswith("elastic")
        fields = [("X-Elastic-Product", "Elasticsearch")] if elastic else []
        accept = self.headers.get("Accept", "application/json").split(",")[0].split(";")[0]
        media = accept if "json" in accept else "application/json"
        status = 404 if "missing" in path else 200
        version = {"number": "8.0.0", "distribution": "stub", "build_flavor": "default"}
        body = {
            "_index": "orders", "_id": "17", "found": status == 200, "result": "created", "acknowledged": True,
            "hits": {"total": {"value": 1}, "hits": [{"_source": {"name": "secret-hit"}}]}, "count": 1,
            "errors": False, "items": [], "responses": [], "id": "pit", "succeeded": True, "version": version,
            "tagline": "You Know, for Search", "_shards": {},
        }
        self.answer(status, body, media, fields)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = call


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
