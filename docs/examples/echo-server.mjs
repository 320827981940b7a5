#!/usr/bin/env node
// A server as anybody may have one: it echoes WebSocket messages on the port that it is given, and knows nothing of wsbench.
// Node.js 20 or newer, without packages.
//
//     node echo-server.mjs 9001

import net from 'node:net';

import { WebSocket, acceptKey, readHead } from './runner-node/websocket.mjs';

const limits = { maxMessage: 16 << 20, maxFrame: 16 << 20, writeBuffer: 128 << 10, limitMs: 10_000, beforeWait: true };

net.createServer({ noDelay: true }, async (socket) => {
  try {
    const { first, headers, behind } = await readHead(socket, limits.limitMs);
    const key = headers['sec-websocket-key'];
    const upgrade = first.startsWith('GET ') && headers.upgrade?.toLowerCase() === 'websocket';
    if (!upgrade || !key || headers['sec-websocket-version'] !== '13') {
      return socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
    }
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
      + `Sec-WebSocket-Accept: ${acceptKey(key)}\r\n\r\n`);
    const connection = new WebSocket(socket, true, limits);
    connection.onMessage = (opcode, payload) => connection.send(opcode, payload);
    connection.start(behind);
  } catch {
    socket.destroy();
  }
}).listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 });
