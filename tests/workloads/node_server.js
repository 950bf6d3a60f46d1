// The workload server in Node's http: ADDRESS PORT, or `unix PATH`.
'use strict';
const http = require('node:http');

function answer(response, status, body) {
  response.writeHead(status, { 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

const server = http.createServer((request, response) => {
  const [kind, argument] = request.url.split('?')[0].split('/').slice(1);
  if (request.method === 'POST') {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => answer(response, 200, Buffer.concat(parts)));
  } else if (kind === 'hello') {
    answer(response, 200, 'hello\n');
  } else if (kind === 'bytes') {
    answer(response, 200, 'b'.repeat(Number(argument)));
  } else if (kind === 'status') {
    answer(response, Number(argument), 'status\n');
  } else if (kind === 'slow') {
    setTimeout(() => answer(response, 200, 'slow\n'), Number(argument));
  } else if (kind === 'chunked') {
    const part = 'c'.repeat(Number(argument) / 3);
    response.writeHead(200);
    response.write(part);
    response.write(part);
    response.end(part);
  } else {
    answer(response, 404, 'missing\n');
  }
});
server.keepAliveTimeout = 60000;
const [address, port] = process.argv.slice(2);
if (address === 'unix') {
  server.listen(port);
} else {
  server.listen(Number(port), address);
}
