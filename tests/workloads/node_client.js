// The workload client in Node's http, with a keep-alive agent: BASE.
// Standard input: METHOD TARGET BODY a line. Standard output: STATUS BYTES START END a line.
'use strict';
const http = require('node:http');
const fs = require('node:fs');

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const base = process.argv[2];
const origin = BigInt(Date.now()) * 1000000n - process.hrtime.bigint();
const now = () => origin + process.hrtime.bigint();

function ask(method, target, body) {
  return new Promise((resolve, reject) => {
    const start = now();
    const chunked = body.startsWith('chunked:');
    const length = body === '-' ? 0 : Number(body.replace('chunked:', ''));
    const headers = length > 0 && !chunked ? { 'content-length': length } : {};
    const request = http.request(base + target, { method, agent, headers }, (response) => {
      let size = 0;
      response.on('data', (part) => { size += part.length; });
      response.on('end', () => {
        console.log(`${response.statusCode} ${size} ${start} ${now()}`);
        resolve();
      });
    });
    request.on('error', reject);
    if (chunked) {
      for (let part = 0; part < 5; part++) request.write('r'.repeat(length / 5));
      request.end();
    } else {
      request.end('r'.repeat(length));
    }
  });
}

(async () => {
  for (const line of fs.readFileSync(0, 'utf8').split('\n')) {
    if (line) await ask(...line.split(' '));
  }
  agent.destroy();
})();
