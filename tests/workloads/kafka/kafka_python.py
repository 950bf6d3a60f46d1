"""BROKER TOPIC: kafka-python sends 20 messages one by one, reads them as a group, and commits. It waits after 5."""
import sys

from kafka import KafkaConsumer, KafkaProducer

broker, topic = sys.argv[1:3]
producer = KafkaProducer(bootstrap_servers=broker, client_id="kafka-python", acks="all")
for number in range(20):
    producer.send(topic, b"message %d" % number).get(30)
    if number == 4:
        print("ready", flush=True)
        sys.stdin.readline()
producer.close()
consumer = KafkaConsumer(
    topic,
    bootstrap_servers=broker,
    client_id="kafka-python",
    group_id="python-group",
    auto_offset_reset="earliest",
    enable_auto_commit=False,
)
got = 0
for message in consumer:
    got += 1
    if got == 20:
        break
consumer.commit()
consumer.close()
