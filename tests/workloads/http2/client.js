// Requests over one HTTP/2 connection with Node's own module, to the port in argument 2; a round a line of standard input.
//
// A round is eight GETs at once, a POST of as many bytes as argument 3 says, one with trailers, a 404, a 503, and one that is given up. One more request comes before them.
const http2 = require('http2');
const readline = require('readline');

const size = Number(process.argv[3]);
const session = http2.connect(`http://127.0.0.1:${process.argv[2]}`);

function fetch(headers, body) {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers);
    let status, length = 0;
    stream.on('response', (response) => { status = response[':status']; });
    stream.on('data', (part) => { length += part.length; });
    stream.on('end', () => resolve([status, length]));
    stream.on('error', reject);
    stream.end(body);
  });
}

async function round(number) {
  const expect = (got, wanted) => {
    if (String(got) !== String(wanted)) throw new Error(`${got}, not ${wanted}`);
  };
  const item = (i) => `/items/${1000 + 10 * number + i}`;
  const items = await Promise.all([...Array(8).keys()].map((i) => fetch({ ':path': item(i) })));
  items.forEach((got) => expect(got, [200, 16]));
  expect(await fetch({ ':path': '/echo', ':method': 'POST' }, 'x'.repeat(size)), [200, size]);
  expect(await fetch({ ':path': '/trailers' }), [200, 13]);
  expect(await fetch({ ':path': '/status/404' }), [404, 0]);
  expect(await fetch({ ':path': '/status/503' }), [503, 0]);
  await new Promise((resolve) => {
    const stream = session.request({ ':path': '/never' });
    stream.on('close', resolve);
    stream.on('response', () => stream.close(http2.constants.NGHTTP2_CANCEL));
  });
  // So that the end of it is seen before the round is over.
  await new Promise((resolve) => session.ping(resolve));
}

session.on('connect', async () => {
  await fetch({ ':path': '/items/0' });
  console.log('ready');
  let number = 0;
  for await (const _ of readline.createInterface({ input: process.stdin })) {
    await round(number++);
    console.log('ready');
  }
  session.close();
});
