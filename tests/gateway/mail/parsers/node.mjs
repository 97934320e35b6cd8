// Three parsers of Node: mailsplit (the list of leaves), and what mailparser and postal-mime give a program that asks them.
// `node node.mjs NAME`: messages in on standard input, a JSON list of leaves out. Both ways a frame is four bytes of
// length, the highest first, and so many bytes. NODE_PATH is not read by modules: the packages are found by a require.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(pathToFileURL(`${process.env.LAZARETTO_NODE_MODULES}/x.js`));

const leaf = (type, name, data) => ({
  type: (type || 'text/plain').toLowerCase(), name: name || '', data: Buffer.from(data || '').toString('base64'),
});

function split(raw) {
  const { Splitter } = require('mailsplit');
  return new Promise((resolve, reject) => {
    const splitter = new Splitter();
    const nodes = [];
    splitter.on('data', (chunk) => {
      if (chunk.type === 'node') nodes.push({ node: chunk, pieces: [] });
      else if (chunk.type === 'body') nodes[nodes.length - 1].pieces.push(chunk.value);
    });
    splitter.on('error', reject);
    splitter.on('end', async () => {
      try {
        const found = [];
        for (const { node, pieces } of nodes.filter(({ node: n }) => !n.multipart && n.messageNode !== true)) {
          const data = await decoded(node, Buffer.concat(pieces));
          if (node.contentType === 'message/rfc822') {
            if (data.length) found.push(...(await split(data)));
          } else found.push(leaf(node.contentType, node.filename, data));
        }
        resolve(found);
      } catch (error) { reject(error); }
    });
    splitter.end(raw);
  });
}

function decoded(node, raw) {
  return new Promise((resolve, reject) => {
    const decoder = node.getDecoder();
    const pieces = [];
    decoder.on('data', (piece) => pieces.push(piece));
    decoder.on('error', reject);
    decoder.on('end', () => resolve(Buffer.concat(pieces)));
    decoder.end(raw);
  });
}

async function simple(raw) {
  const { simpleParser } = require('mailparser');
  const mail = await simpleParser(raw, { skipImageLinks: true, skipTextToHtml: true, skipHtmlToText: true, skipTextLinks: true });
  return [leaf('text/plain', '', mail.text), leaf('text/html', '', mail.html || ''),
    ...mail.attachments.map((file) => leaf(file.contentType, file.filename, file.content))];
}

async function postal(raw) {
  const { default: PostalMime } = await import(pathToFileURL(`${process.env.LAZARETTO_NODE_MODULES}/postal-mime/src/postal-mime.js`));
  const mail = await PostalMime.parse(raw);
  return [leaf('text/plain', '', mail.text), leaf('text/html', '', mail.html),
    ...mail.attachments.map((file) => leaf(file.mimeType, file.filename, file.content))];
}

const read = { mailsplit: split, mailparser: simple, 'postal-mime': postal }[process.argv[2]];
let waiting = Buffer.alloc(0);
for await (const piece of process.stdin) {
  waiting = Buffer.concat([waiting, piece]);
  while (waiting.length >= 4 && waiting.length >= 4 + waiting.readUInt32BE(0)) {
    const size = waiting.readUInt32BE(0);
    const raw = waiting.subarray(4, 4 + size);
    waiting = waiting.subarray(4 + size);
    let answer;
    try { answer = await read(Buffer.from(raw)); } catch (error) { answer = { error: String(error && error.message) }; }
    const body = Buffer.from(JSON.stringify(answer));
    const head = Buffer.alloc(4);
    head.writeUInt32BE(body.length);
    process.stdout.write(Buffer.concat([head, body]));
  }
}
