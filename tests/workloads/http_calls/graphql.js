// GraphQL over HTTP on the port in argument 2: `server` (graphql-http) or `client` (fetch), which makes each call once.

const [role, port] = process.argv.slice(2);

function server() {
  const { buildSchema } = require("graphql");
  const { createHandler } = require("graphql-http/lib/use/http");
  const schema = buildSchema(`
    type Cart { id: ID! total: Int! }
    type Query { cart(id: ID!): Cart }
    type Mutation { pay(card: String!): Boolean! }
  `);
  const rootValue = {
    cart: ({ id }) => ({ id, total: 42 }),
    pay: () => {
      throw new Error("secret-reason");
    },
  };
  require("http").createServer(createHandler({ schema, rootValue })).listen(Number(port), "127.0.0.1");
}

async function client() {
  const url = `http://127.0.0.1:${port}/graphql`;
  const post = async (body) => {
    const headers = { "content-type": "application/json", accept: "application/json" };
    const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
    return [answer.status, await answer.json()];
  };
  const expect = (truth, what) => {
    if (!truth) throw new Error(what);
  };
  let [status, answer] = await post({
    query: "query Cart($id: ID!) {\n  cart(id: $id) { total }\n}",
    variables: { id: "secret-variable" },
  });
  expect(answer.data.cart.total === 42, "Cart");
  [status, answer] = await post({ query: '{ cart(id: "secret-literal") { id } }' });
  expect(answer.data.cart.id === "secret-literal", "anonymous");
  [status, answer] = await post({
    query: 'query One { cart(id: "1") { id } } mutation Pay { pay(card: "secret-card") }',
    operationName: "Pay",
  });
  expect(status === 200 && answer.errors.length === 1, "Pay");
  [status, answer] = await post({
    query: "fragment Total on Cart { total } query Spread { cart(id: 7) { ...Total } }",
  });
  expect(answer.data.cart.total === 42, "Spread");
  [status, answer] = await post({ query: "# secret-comment\nquery Commented { cart(id: 7) { total } }" });
  expect(answer.data.cart.total === 42, "Commented");
  [status, answer] = await post({ query: "query Unknown { secretField }" });
  expect(answer.errors.length === 1, "Unknown");
  const get = new URLSearchParams({ query: 'query Got { cart(id: "5") { total } }' });
  answer = await fetch(`${url}?${get}`, { headers: { accept: "application/json" } });
  expect((await answer.json()).data.cart.total === 42, "Got");
}

if (role === "server") server();
else
  client().then(
    () => process.exit(0),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
