"""A client that was connected before anybody watched: steps.py PORT"""

import sys
import threading

import paho.mqtt.client as mqtt

happened = threading.Semaphore(0)


def event(*arguments):
    happened.release()


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="early")
client.on_connect = client.on_subscribe = client.on_unsubscribe = client.on_publish = client.on_message = event


def wait(events):
    for _ in range(events):
        if not happened.acquire(timeout=20):
            raise SystemExit("the broker does not answer")


def ready():
    print("ready", flush=True)
    sys.stdin.readline()


client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_start()
wait(1)
ready()
client.subscribe("work/#", 1)
wait(1)
for number in range(10):
    client.publish(f"work/{number}", b"to do", 1)
    wait(2)
client.unsubscribe("work/#")
wait(1)
ready()
client.disconnect()
client.loop_stop()
