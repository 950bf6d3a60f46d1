"""grpcio against the service at the port in argument 1, a round of calls a line of standard input.

A round is a unary call, one that fails, one whose deadline passes, and three that stream: up, down, both ways.
"""

import sys

import grpc

SERVICE = "/remora.test.Shop/"
PARENT = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")


def expect(call, code):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, error
    else:
        raise SystemExit("no error")


with grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}") as channel:

    def round():
        body = b"x" * 1000
        assert channel.unary_unary(SERVICE + "Get")(body, metadata=[PARENT]) == body
        expect(lambda: channel.unary_unary(SERVICE + "Fail")(body), grpc.StatusCode.NOT_FOUND)
        expect(lambda: channel.unary_unary(SERVICE + "Slow")(body, timeout=0.1), grpc.StatusCode.DEADLINE_EXCEEDED)
        assert channel.stream_unary(SERVICE + "Upload")(iter([b"up"] * 3)) == b"3"
        assert len(list(channel.unary_stream(SERVICE + "List")(b"up"))) == 3
        assert list(channel.stream_stream(SERVICE + "Chat")(iter([b"up"] * 3))) == [b"up"] * 3

    grpc.channel_ready_future(channel).result(10)
    round()
    print("ready", flush=True)
    for _ in sys.stdin:
        round()
        print("ready", flush=True)
