// The shop's frontend: Node's `http` on both sides. Everything a browser asks for is put together here.
"use strict";

const http = require("node:http");

const { PORT, CATALOG_URL, RECOMMENDATIONS_URL, ORDERS_URL } = process.env;
const agent = new http.Agent({ keepAlive: true, maxSockets: 32 });

// Calls another service and resolves with its response, whose body is still to be read.
function call(from, base, path, { method = "GET", body } = {}) {
  return new Promise((resolve, reject) => {
    const headers = { "x-request-id": from.headers["x-request-id"] ?? "none" };
    if (body !== undefined) {
      headers["content-type"] = "application/json";
      headers["content-length"] = Buffer.byteLength(body);
    }
    const request = http.request(new URL(path, base), { agent, method, headers, timeout: 10_000 }, resolve);
    request.on("timeout", () => request.destroy(new Error("timeout")));
    request.on("error", reject);
    request.end(body);
  });
}

async function text(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function fetchJson(from, base, path, options) {
  const response = await call(from, base, path, options);
  const body = await text(response);
  return { status: response.statusCode, body: body ? JSON.parse(body) : null };
}

function reply(response, status, body, type = "application/json") {
  const bytes = Buffer.from(type === "application/json" ? JSON.stringify(body) : body);
  response.writeHead(status, { "content-type": type, "content-length": bytes.length });
  response.end(bytes);
}

async function home(request, response) {
  const [products, popular] = await Promise.all([
    fetchJson(request, CATALOG_URL, "/products?limit=12"),
    fetchJson(request, RECOMMENDATIONS_URL, "/popular"),
  ]);
  const item = (product) => `<li><a href="/products/${product.id}">${product.name}</a></li>`;
  const top = popular.body.products.join(", ");
  reply(response, 200, `<!doctype html><link rel="stylesheet" href="/static/shop.css"><h1>Shop</h1>
<ul>${products.body.map(item).join("\n")}</ul><p>Popular now: ${top}</p>\n`, "text/html; charset=utf-8");
}

async function product(request, response, id) {
  const [found, similar] = await Promise.all([
    fetchJson(request, CATALOG_URL, `/products/${id}`),
    fetchJson(request, RECOMMENDATIONS_URL, `/recommendations/${id}`),
  ]);
  // A page without recommendations is still a page.
  const recommendations = similar.status === 200 ? similar.body.products : [];
  reply(response, found.status, found.status === 200 ? { ...found.body, recommendations } : found.body);
}

// Passes another service's answer on as it comes, whatever its length.
async function pass(request, response, base, path, options) {
  const upstream = await call(request, base, path, options);
  const { "content-type": type = "application/json", "content-length": length } = upstream.headers;
  response.writeHead(upstream.statusCode, { "content-type": type, ...(length && { "content-length": length }) });
  upstream.pipe(response);
}

const routes = [
  ["GET", /^\/$/, home],
  ["GET", /^\/healthz$/, (_request, response) => reply(response, 200, { ok: true })],
  ["GET", /^\/products\/(\w+)$/, product],
  ["GET", /^\/products\/(\w+)\/reviews$/, (q, s, id) => pass(q, s, CATALOG_URL, `/products/${id}/reviews`)],
  ["GET", /^\/search$/, (q, s) => pass(q, s, CATALOG_URL, `/search${new URL(q.url, "http://shop").search}`)],
  ["GET", /^\/export$/, (q, s) => pass(q, s, CATALOG_URL, "/export")],
  ["GET", /^\/cart\/([0-9a-f-]{36})$/, (q, s, cart) => pass(q, s, ORDERS_URL, `/carts/${cart}`)],
  ["POST", /^\/cart\/([0-9a-f-]{36})\/items$/, async (q, s, cart) =>
    pass(q, s, ORDERS_URL, `/carts/${cart}/items`, { method: "POST", body: await text(q) })],
  ["POST", /^\/checkout$/, async (q, s) =>
    pass(q, s, ORDERS_URL, "/orders", { method: "POST", body: await text(q) })],
];

const server = http.createServer(async (request, response) => {
  const path = request.url.split("?")[0];
  for (const [method, pattern, handler] of routes) {
    const match = method === request.method && pattern.exec(path);
    if (!match) continue;
    try {
      return await handler(request, response, ...match.slice(1));
    } catch (error) {
      if (response.headersSent) return response.destroy(error);
      return reply(response, 502, { error: error.message });
    }
  }
  request.resume();
  reply(response, 404, { error: "no such page" });
});
server.keepAliveTimeout = 75_000; // longer than the edge keeps an idle connection
server.listen(Number(PORT), "127.0.0.1");
