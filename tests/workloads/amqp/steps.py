"""A publisher with confirms and a consumer, connected before anybody watches: steps.py PORT"""

import sys

import pika


def ready():
    print("ready", flush=True)
    sys.stdin.readline()


connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(sys.argv[1])))
channel = connection.channel()
channel.queue_declare("work")
channel.confirm_delivery()
messages = channel.consume("work")


def work(count):
    for _ in range(count):
        channel.basic_publish("", "work", b"to do", mandatory=True)
    for _ in range(count):
        method, _, _ = next(messages)
        channel.basic_ack(method.delivery_tag)
    # The acknowledgements have been handled when this is answered.
    channel.basic_qos(prefetch_count=0)


work(2)
ready()
work(10)
ready()
connection.close()
