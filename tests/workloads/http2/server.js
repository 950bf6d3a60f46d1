// HTTP/2 in clear text with Node's own module, at the port in argument 2.
const http2 = require('http2');

const server = http2.createServer();
server.on('stream', (stream, headers) => {
  const path = headers[':path'];
  stream.on('error', () => {});
  if (path.startsWith('/status/')) {
    stream.respond({ ':status': Number(path.slice(8)) }, { endStream: true });
  } else if (path.startsWith('/echo')) {
    stream.respond({ ':status': 200 });
    stream.pipe(stream);
  } else if (path.startsWith('/trailers')) {
    stream.respond({ ':status': 200 }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-checksum': '7' }));
    stream.end('with trailers');
  } else if (path.startsWith('/never')) {
    stream.respond({ ':status': 200 });
  } else {
    stream.respond({ ':status': 200, 'content-type': 'text/plain' });
    stream.end(`item ${path}`);
  }
});
server.listen(Number(process.argv[2]), '127.0.0.1');
