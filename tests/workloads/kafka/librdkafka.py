"""BROKER TOPIC: librdkafka sends 20 messages one by one and 10 in one go, reads them as a group, and commits."""
import sys

from confluent_kafka import Consumer, Producer

broker, topic = sys.argv[1:3]
settings = {"bootstrap.servers": broker, "client.id": "librdkafka", "broker.address.family": "v4"}
producer = Producer(settings | {"linger.ms": 0})
for number in range(20):
    producer.produce(topic, b"message %d" % number)
    if producer.flush(30) > 0:
        sys.exit("not sent")
producer = Producer(settings | {"linger.ms": 500})
for number in range(10):
    producer.produce(topic, b"message %d" % number)
if producer.flush(30) > 0:
    sys.exit("not sent")
consumer = Consumer(
    settings
    | {"group.id": "rd-group", "auto.offset.reset": "earliest", "enable.auto.commit": False}
)
consumer.subscribe([topic])
got = 0
while got < 30:
    message = consumer.poll(1)
    if message is not None:
        if message.error():
            sys.exit(str(message.error()))
        got += 1
consumer.commit(asynchronous=False)
consumer.close()
