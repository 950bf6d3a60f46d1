"""Calls of the client named in argument 1, `elasticsearch` or `opensearch`, to the port in argument 2, each once, in the
order of tests/protocols/http_calls.rs."""

import sys

name, port = sys.argv[1:]
if name == "elasticsearch":
    from elasticsearch import Elasticsearch, NotFoundError

    client = Elasticsearch(f"http://127.0.0.1:{port}", max_retries=0)
else:
    from opensearchpy import NotFoundError, OpenSearch

    client = OpenSearch(f"http://127.0.0.1:{port}", max_retries=0)
document = {"name": "secret-document"}
query = {"match": document}
search = {"query": query} if name == "elasticsearch" else {"body": {"query": query}}
stored = {"document": document} if name == "elasticsearch" else {"body": document}
lines = [{"index": {"_index": "orders"}}, document]
client.info()
client.indices.create(index="orders")
client.index(index="orders", id="17", **stored)
client.get(index="orders", id="17")
client.exists(index="orders", id="17")
client.update(index="orders", id="17", body={"doc": document})
client.bulk(body=lines)
client.indices.refresh(index="orders")
client.search(index="orders", **search)
client.msearch(body=[{"index": "orders"}, {"query": query}])
client.count(index="orders", **search)
client.delete_by_query(index="orders", **search)
client.indices.get_mapping(index="orders")
client.cluster.health()
if name == "elasticsearch":
    client.open_point_in_time(index="orders", keep_alive="1m")
    client.close_point_in_time(id="secret-id")
try:
    client.get(index="orders", id="missing")
    raise SystemExit("it exists")
except NotFoundError:
    pass
client.delete(index="orders", id="17")
client.indices.delete(index="orders")
