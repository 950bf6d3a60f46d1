"""A gRPC service in grpcio at the port in argument 1: messages are bytes, so that no compiler is needed."""

import sys
import time
from concurrent import futures

import grpc


def get(request, context):
    return request


def fail(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no such item")


def slow(request, context):
    while context.is_active():
        time.sleep(0.01)
    return b""


def upload(requests, context):
    return str(sum(1 for _ in requests)).encode()


def list_items(request, context):
    yield from (b"%d" % i for i in range(3))


def chat(requests, context):
    yield from requests


methods = {
    "Get": grpc.unary_unary_rpc_method_handler(get),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Slow": grpc.unary_unary_rpc_method_handler(slow),
    "Upload": grpc.stream_unary_rpc_method_handler(upload),
    "List": grpc.unary_stream_rpc_method_handler(list_items),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
}
server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("remora.test.Shop", methods)])
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
server.wait_for_termination()
