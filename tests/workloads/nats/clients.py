"""nats-py in steps: one connection that asks, one that answers, one that works on a stream.

usage: clients.py PORT SIZE; the large message has SIZE bytes from the second round on, 300 before.
"""

import asyncio
import sys

import nats
from nats.errors import NoRespondersError

port, size = map(int, sys.argv[1:])
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def step():
    print("ready", flush=True)
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline) != ""


async def main():
    url = f"nats://127.0.0.1:{port}"
    asker = await nats.connect(url)
    answerer = await nats.connect(url)
    worker = await nats.connect(url)
    streams = worker.jetstream()
    await streams.add_stream(name="JOBS", subjects=["jobs.>"])
    pull = await streams.pull_subscribe("jobs.>", durable="worker")
    received = asyncio.Queue()

    async def note(message):
        await received.put(message)

    async def answer(message):
        await message.respond(b"so")

    await asker.subscribe("events.*", cb=note)
    await answerer.subscribe("help", queue="helpers", cb=answer)
    await asker.flush()
    await answerer.flush()
    rounds = 0
    while await step():
        rounds += 1
        for i in range(10):
            await answerer.publish(f"events.{i}", b"hello")
        await answerer.publish("events.large", b"x" * (size if rounds > 1 else 300))
        await answerer.publish("events.traced", b"t", headers={"traceparent": PARENT})
        for _ in range(12):
            await asyncio.wait_for(received.get(), 10)
        for _ in range(5):
            assert (await asker.request("help", b"what")).data == b"so"
        try:
            await asker.request("nobody", b"")
            sys.exit("somebody answered")
        except NoRespondersError:
            pass
        for _ in range(3):
            await streams.publish("jobs.new", b"work")
        for message in await pull.fetch(3, timeout=10):
            await message.ack_sync()
    for connection in (asker, answerer, worker):
        await connection.close()


asyncio.run(main())
