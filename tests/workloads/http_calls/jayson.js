// JSON-RPC 2 over HTTP with jayson on the port in argument 2: `server`, or `client`, which makes each call once.

const jayson = require("jayson/promise");

const [role, port] = process.argv.slice(2);

async function client() {
  const client = jayson.client.http({ hostname: "127.0.0.1", port: Number(port) });
  const expect = (truth, what) => {
    if (!truth) throw new Error(what);
  };
  expect((await client.request("add", [40, 2], 1)).result === 42, "add");
  expect((await client.request("fail", { token: "secret-argument" }, "two")).error.code === -32050, "fail");
  expect((await client.request("missing", [], 3)).error.code === -32601, "missing");
  await client.request("add", ["secret-argument"], null);
  const batch = ["add", "fail", "add"].map((method, id) => client.request(method, [1, 2], id + 10, false));
  expect((await client.request(batch)).length === 3, "batch");
}

if (role === "server") {
  const methods = {
    add: async ([a, b]) => a + b,
    fail: async () => {
      throw { code: -32050, message: "secret-reason" };
    },
  };
  new jayson.Server(methods).http().listen(Number(port), "127.0.0.1");
} else
  client().then(
    () => process.exit(0),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
