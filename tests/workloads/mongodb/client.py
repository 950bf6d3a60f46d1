"""pymongo against a MongoDB server at the port in argument 1, a round a line of standard input.

A round inserts five documents, reads them in batches of two, updates one, writes and reads a large one, and fails twice.
"""

import sys

import pymongo
import pymongo.errors

client = pymongo.MongoClient(f"mongodb://127.0.0.1:{sys.argv[1]}/?directConnection=true&maxPoolSize=1")
shop = client.shop
shop.command("ping")
print("ready", flush=True)
for number, _ in enumerate(sys.stdin):
    first = 10 * number
    # The database's name lies behind a large document.
    shop.orders.insert_many([{"_id": first + i, "note": "secret " * (500 if i == 0 else 1)} for i in range(5)])
    assert len(list(shop.orders.find({"_id": {"$gte": first}, "note": {"$ne": "secret"}}).batch_size(2))) == 5
    assert shop.orders.update_one({"_id": first}, {"$set": {"note": "x"}}).modified_count == 1
    # Far more than is read of a message.
    shop.papers.insert_one({"_id": first, "text": "secret " * 100_000})
    assert len(shop.papers.find_one({"_id": first})["text"]) == 700_000
    try:
        shop.orders.insert_one({"_id": first})
        raise SystemExit("inserted twice")
    except pymongo.errors.DuplicateKeyError:
        pass
    try:
        shop.command("nonsense", "secret")
        raise SystemExit("made sense")
    except pymongo.errors.OperationFailure:
        pass
    print("ready", flush=True)
client.close()
