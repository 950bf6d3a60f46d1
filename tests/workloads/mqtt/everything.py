"""Everything that a client does with a broker, once, in version 4 (3.1.1) or 5: everything.py PORT VERSION [large]

With `large` one message is, and all but the connection waits for a line of input."""

import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
port, version = int(sys.argv[1]), int(sys.argv[2])
topic = "sensors/kitchen4711/state"
happened = threading.Semaphore(0)


def event(*arguments):
    happened.release()


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"client-{version}", protocol=version)
client.on_connect = client.on_subscribe = client.on_unsubscribe = client.on_publish = client.on_message = event


def wait(events):
    for _ in range(events):
        if not happened.acquire(timeout=20):
            raise SystemExit("the broker does not answer")


def properties():
    if version == 4:
        return None
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = [("traceparent", PARENT)]
    return properties


client.connect("127.0.0.1", port)
client.loop_start()
wait(1)
if len(sys.argv) > 3:
    print("ready", flush=True)
    sys.stdin.readline()
client.subscribe([("sensors/+/state", SubscribeOptions(2) if version == 5 else 2)])
wait(1)
for qos in range(3):
    client.publish(topic, b"x" * (100_000 if qos == 2 and len(sys.argv) > 3 else 10), qos, properties=properties())
    # It was published, and it came.
    wait(2)
# Nobody may: version 5 says so.
client.publish("forbidden/topic", b"no", 1)
wait(1)
client.unsubscribe("sensors/+/state")
wait(1)
client.disconnect()
client.loop_stop()
