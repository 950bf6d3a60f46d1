"""Everything that a client does with RabbitMQ, once, the largest message of SIZE bytes: everything.py PORT SIZE

If that is large, all but the connection waits for a line of input."""

import sys

import pika

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(sys.argv[1])))
if int(sys.argv[2]) > 1000:
    print("ready", flush=True)
    sys.stdin.readline()
channel = connection.channel()
channel.exchange_declare("orders", "topic")
channel.queue_declare("billing")
channel.queue_bind("billing", "orders", "eu.*")
channel.confirm_delivery()

properties = pika.BasicProperties(headers={"attempt": 1, "traceparent": PARENT}, message_id="m")
for number in range(5):
    size = int(sys.argv[2]) if number == 4 else 10
    channel.basic_publish("orders", f"eu.{number}", b"x" * size, properties, mandatory=True)
try:
    channel.basic_publish("orders", "us.0", b"nobody wants it", mandatory=True)
    raise SystemExit("it was routed")
except pika.exceptions.UnroutableError:
    pass


def consume(queue, count, handle, **options):
    left = count

    def called(channel, method, properties, body):
        nonlocal left
        handle(count - left, method.delivery_tag)
        left -= 1
        if left == 0:
            channel.stop_consuming()

    channel.basic_consume(queue, called, **options)
    channel.start_consuming()


def settle(number, tag):
    if number < 3:
        channel.basic_ack(tag)
    elif number == 3:
        channel.basic_nack(tag, requeue=False)
    else:
        channel.basic_reject(tag, requeue=False)


channel.basic_qos(prefetch_count=10)
consume("billing", 5, settle)

mine = channel.queue_declare("", exclusive=True).method.queue
for _ in range(2):
    channel.basic_publish("", mine, b"to myself")
consume(mine, 2, lambda number, tag: None, auto_ack=True)

assert channel.basic_get("billing") == (None, None, None)
channel.basic_publish("", "billing", b"one more")
assert channel.basic_get("billing", auto_ack=True)[2] == b"one more"
channel.queue_purge("billing")
channel.queue_delete("billing")

other = connection.channel()
try:
    other.queue_declare("missing", passive=True)
    raise SystemExit("it is there")
except pika.exceptions.ChannelClosedByBroker as error:
    assert error.reply_code == 404
connection.close()
