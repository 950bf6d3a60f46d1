"""WebSocket connections to the port in argument 1, a round a line of standard input.

A round opens a connection, sends ten texts and one binary message of 100,000 bytes, reads the echoes and closes; then one
more, which the server closes with 1011. What is left open before the first round sends one message in each.
"""

import asyncio
import sys

import websockets


async def main():
    target = f"ws://127.0.0.1:{sys.argv[1]}/chat"
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    before = await websockets.connect(target + "/before")
    assert await before.recv() == "hello"
    print("ready", flush=True)
    while await lines.readline():
        async with websockets.connect(f"{target}/42?token=secret", max_size=1 << 20, compression=None) as socket:
            assert await socket.recv() == "hello"
            for i in range(10):
                await socket.send(f"message {i}")
            await socket.send(b"b" * 100_000)
            for i in range(11):
                await socket.recv()
        async with websockets.connect(target + "/fail") as socket:
            await socket.recv()
            await socket.send("fail")
            await socket.wait_closed()
        await before.send("still there")
        await before.recv()
        print("ready", flush=True)
    await before.close()


asyncio.run(main())
