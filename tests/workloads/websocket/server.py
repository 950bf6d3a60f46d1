"""A WebSocket server at the port in argument 1: says hello, echoes, and closes with 1011 when told to fail."""

import asyncio
import sys

import websockets


async def talk(socket):
    await socket.send("hello")
    async for message in socket:
        if message == "fail":
            await socket.close(1011, "asked to")
            return
        await socket.send(message)


async def main():
    async with websockets.serve(talk, "127.0.0.1", int(sys.argv[1])):
        await asyncio.Future()


asyncio.run(main())
