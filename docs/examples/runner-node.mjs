#!/usr/bin/env node
// A complete wsbench runner: the row `node`, on Node.js 20 or newer, without packages. Its WebSocket code is beside it,
// in runner-node/.
//
// docs/ADDING-A-RUNTIME.md goes through it; docs/PROTOCOL.md says what it has to do. It does no more than that: the
// services echo, sink and push, and of the workloads ping-pong and window.

import { randomBytes } from 'node:crypto';
import net from 'node:net';
import readline from 'node:readline';
import { deflateSync } from 'node:zlib';

import { BINARY, ProtocolError, TEXT, WebSocket, acceptKey, readHead } from './runner-node/websocket.mjs';

// ---------------------------------------------------------------------------------------------- the command line

const [command, ...rest] = process.argv.slice(2);
const flags = { listen: '127.0.0.1:0', threads: '1', 'write-buffer': '131072', 'max-message': '16MiB', 'max-frame': '16MiB',
  flush: 'before-wait', 'handshake-timeout': '10s', 'idle-timeout': '5m', 'close-timeout': '10s',
  'max-connections': '65536', workload: 'ping-pong', connections: '1', payload: '24', kind: 'text', window: '1',
  duration: '1s', 'warm-up': '200ms', row: 'node' };
for (let place = 0; place < rest.length; place += 2) flags[rest[place].slice(2)] = rest[place + 1];

function quantity(name, units) {
  const [, number, unit] = /^(\d+)([A-Za-z]*)$/.exec(flags[name]) ?? [];
  if (number === undefined || !(unit in units)) usage(`--${name} ${flags[name]} is no quantity`);
  return Number(number) * units[unit];
}
const bytes = (name) => quantity(name, { '': 1, B: 1, KiB: 1024, MiB: 1024 ** 2 });
const millis = (name) => quantity(name, { ms: 1, s: 1000, m: 60_000 });

function usage(message) {
  console.error(`error: ${message}`);
  process.exit(2);
}

const limits = () => ({ maxMessage: bytes('max-message'), maxFrame: bytes('max-frame'),
  writeBuffer: bytes('write-buffer'), limitMs: millis('close-timeout'), beforeWait: flags.flush === 'before-wait' });

const say = (event) => process.stdout.write(JSON.stringify(event) + '\n');
const now = () => process.hrtime.bigint(); // CLOCK_MONOTONIC in nanoseconds, as the protocol wants it

// --------------------------------------------------------------------------------------------------- accounting

const CLASSES = { 0: 'probe', 1: 'warm_up', 2: 'measured' };

function classOf(payload) {
  const header = payload.toString('latin1', 0, 8);
  return (/^[0-9a-f]{8}$/.test(header) && CLASSES[header[0]]) || 'other';
}

const header = (digit, sequence) => digit + (sequence % 2 ** 28).toString(16).padStart(7, '0');

class Tally {
  classes = {};
  count(name, way, payload) {
    const count = (this.classes[name] ??=
      { sent_messages: 0, sent_bytes: 0, received_messages: 0, received_bytes: 0 });
    count[`${way}_messages`] += 1;
    count[`${way}_bytes`] += payload.length;
  }
}

let panics = 0;
process.on('uncaughtException', (error) => {
  panics += 1;
  console.error(error);
});

// ------------------------------------------------------------------------------------------------------- server

const served = { dropped_messages: 0, accepted: 0, upgraded: 0, handshake_errors: 0, protocol_errors: 0, io_errors: 0,
  accept_errors: 0, refused: 0, idle_ended: 0, open_at_end: 0 };
const serverTally = new Tally();

const SERVICES = {
  '/echo': { parameters: [], start: (connection) => {
    connection.onMessage = (opcode, payload) => {
      serverTally.count(classOf(payload), 'received', payload);
      connection.send(opcode, payload);
      serverTally.count(classOf(payload), 'sent', payload);
    };
  } },
  '/sink': { parameters: ['messages'], check: ({ messages }) => messages >= 1, start: (connection, { messages }) => {
    let missing = messages;
    connection.onMessage = (_, payload) => {
      serverTally.count(classOf(payload), 'received', payload);
      missing -= 1;
      if (missing > 0) return;
      missing = messages;
      const answer = Buffer.from(String(messages));
      connection.send(TEXT, answer);
      serverTally.count(classOf(payload), 'sent', answer);
    };
  } },
  '/push': { parameters: ['first_ns', 'every_us', 'count', 'payload', 'class'],
    check: ({ payload = 24, every_us = 1 }) => payload >= 24 && every_us >= 1, start: push },
};

function push(connection, { first_ns, every_us = 1_000_000, count = 1, payload = 24, class: name = 'measured' }) {
  const first = first_ns === undefined ? now() : BigInt(first_ns);
  const digit = Object.keys(CLASSES).find((key) => CLASSES[key] === name) ?? '3';
  let sequence = 0;
  const next = () => {
    while (sequence < count && !connection.closing && !connection.socket.destroyed) {
      const due = first + BigInt(sequence) * BigInt(every_us) * 1000n;
      const wait = due - now();
      // Timers know whole milliseconds, and one that rings early is set again: a push is never sent before it is due.
      if (wait > 0n) return setTimeout(next, Number(wait / 1_000_000n) + 1);
      const text = header(digit, sequence) + due.toString(16).padStart(16, '0');
      const message = Buffer.from(text.padEnd(payload, '.'));
      connection.send(TEXT, message);
      serverTally.count(name, 'sent', message);
      sequence += 1;
    }
  };
  next();
}

/** The service that a path asks for, or nothing. */
function serviceOf(uri) {
  const [path, query = ''] = uri.split('?');
  const service = SERVICES[path];
  const given = [...new URLSearchParams(query)];
  const sound = ([name, value]) => service.parameters.includes(name)
    && (name === 'class' ? ['probe', 'warm_up', 'measured', 'other'].includes(value) : /^\d+$/.test(value));
  if (!service || !given.every(sound)) return null;
  // Instants are kept as text: they may be beyond the whole numbers that a double holds.
  const parameters = Object.fromEntries(
    given.map(([name, value]) => [name, ['class', 'first_ns'].includes(name) ? value : Number(value)]));
  if (service.check && !service.check(parameters)) return null;
  return (connection) => service.start(connection, parameters);
}

async function accept(socket) {
  const { first, headers, behind } = await readHead(socket, millis('handshake-timeout'));
  const [method, uri = '', version] = first.split(' ');
  const key = headers['sec-websocket-key'] ?? '';
  const upgrade = method === 'GET' && version === 'HTTP/1.1' && headers.upgrade?.toLowerCase() === 'websocket'
    && /\bupgrade\b/i.test(headers.connection ?? '') && headers['sec-websocket-version'] === '13' && key.length === 24;
  const service = upgrade && serviceOf(uri);
  if (!service) {
    socket.end(`HTTP/1.1 ${upgrade ? '404 Not Found' : '400 Bad Request'}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
      () => socket.destroy());
    throw new Error(upgrade ? `no service at ${uri}` : 'no sound request for an upgrade');
  }
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
    + `Sec-WebSocket-Accept: ${acceptKey(key)}\r\n\r\n`);
  const connection = new WebSocket(socket, true, limits());
  service(connection);
  connection.start(behind);
  return connection;
}

function serve() {
  const open = new Set();
  let whenIdle = () => {};
  const server = net.createServer({ noDelay: true }, async (socket) => {
    served.accepted += 1;
    if (open.size >= Number(flags['max-connections'])) {
      served.refused += 1;
      socket.destroy();
      return;
    }
    open.add(socket);
    socket.on('error', () => {}).on('close', () => {
      open.delete(socket);
      if (open.size === 0) setImmediate(whenIdle); // after the connection's end has been counted
    });
    let connection;
    try {
      connection = await accept(socket);
    } catch {
      served.handshake_errors += 1;
      return;
    }
    served.upgraded += 1;
    let idle = false;
    socket.setTimeout(millis('idle-timeout'), () => {
      idle = true;
      socket.destroy();
    });
    const error = await connection.ended;
    if (idle) served.idle_ended += 1;
    else if (error instanceof ProtocolError) served.protocol_errors += 1;
    else if (error) served.io_errors += 1;
  });
  const [host, port] = flags.listen.split(':');
  if (!host.startsWith('127.')) {
    console.error(`warning: listening on ${flags.listen}, beyond this machine: anyone who can connect is served`);
  }
  server.listen({ host, port: Number(port), backlog: 4096 }, () => {
    const { address, port: bound } = server.address();
    say({ event: 'listening', addr: `${address}:${bound}`, pid: process.pid });
  });
  process.stdin.resume().on('end', () => {
    let finished = false;
    const finish = () => {
      if (finished) return;
      finished = true;
      served.open_at_end = open.size;
      process.stdout.write(JSON.stringify({ event: 'served', tally: serverTally.classes, ...served, panics }) + '\n',
        () => process.exit(0));
    };
    server.close();
    whenIdle = finish;
    if (open.size === 0) finish();
    setTimeout(finish, 2000);
  });
}

// --------------------------------------------------------------------------------------------------- histogram

/** HdrHistogram, 1 ns to 1 h with three digits: 2048 steps, and 1024 for every further doubling. */
class Histogram {
  static HIGHEST = 3_600_000_000_000;
  counts = [];
  summary = { count: 0, sum_ns: 0, min_ns: 0, max_ns: 0 };

  record(ns) {
    const { summary } = this;
    summary.min_ns = summary.count === 0 ? ns : Math.min(summary.min_ns, ns);
    summary.max_ns = Math.max(summary.max_ns, ns);
    summary.count += 1;
    summary.sum_ns += ns;
    let [step, doublings] = [Math.max(1, Math.min(ns, Histogram.HIGHEST)), 0];
    for (; step >= 2048; doublings += 1) step = Math.floor(step / 2);
    const index = doublings * 1024 + step;
    while (this.counts.length <= index) this.counts.push(0);
    this.counts[index] += 1;
  }

  /** The V2 format with deflate, in base64: counts as ZigZag LEB128, a negative one is a run of so many zeros. */
  encoded() {
    const body = [];
    const put = (number) => {
      let zigzag = number >= 0 ? number * 2 : -number * 2 - 1;
      for (; zigzag >= 128; zigzag = Math.floor(zigzag / 128)) body.push((zigzag % 128) | 0x80);
      body.push(zigzag);
    };
    for (let at = 0; at < this.counts.length;) {
      let zeros = 0;
      while (this.counts[at + zeros] === 0) zeros += 1;
      put(zeros > 0 ? -zeros : this.counts[at]);
      at += Math.max(zeros, 1);
    }
    const head = Buffer.alloc(40);
    head.writeUInt32BE(0x1c849313, 0); // the format
    head.writeUInt32BE(body.length, 4);
    head.writeUInt32BE(3, 12); // digits
    head.writeBigUInt64BE(1n, 16); // least value
    head.writeBigUInt64BE(BigInt(Histogram.HIGHEST), 24);
    head.writeDoubleBE(1, 32); // scale
    const packed = deflateSync(Buffer.concat([head, Buffer.from(body)]));
    const outer = Buffer.alloc(8);
    outer.writeUInt32BE(0x1c849314, 0); // the same, with deflate
    outer.writeUInt32BE(packed.length, 4);
    return Buffer.concat([outer, packed]).toString('base64');
  }

  distribution() {
    return { ...this.summary, hdr: this.encoded() };
  }
}

// ------------------------------------------------------------------------------------------------------- client

const POOL = Buffer.from(Array.from(randomBytes(1021), (byte) => 33 + (byte % 94)));

/** The payload of a message: header and printable characters that differ from message to message. */
function payloadOf(digit, sequence, connection) {
  const payload = Buffer.alloc(bytes('payload'));
  payload.write(header(digit, sequence), 'latin1');
  const start = (sequence * 7 + connection * 131) % POOL.length;
  payload.fill(Buffer.concat([POOL.subarray(start), POOL.subarray(0, start)]), 8);
  return payload;
}

class Lane {
  units = 0;
  error = null;
  sequences = { 1: 0, 2: 0 };
  tally = new Tally();

  static async open(index) {
    const { groups } = /^(ws:\/\/)?(?<host>[^:/]+):(?<port>\d+)(?<path>\/.*)?$/.exec(flags.target ?? '')
      ?? usage(`--target ${flags.target} is not HOST:PORT`);
    const key = randomBytes(16).toString('base64');
    const socket = net.connect({ host: groups.host, port: Number(groups.port), noDelay: true });
    socket.write(`GET ${groups.path ?? '/echo'} HTTP/1.1\r\nHost: ${groups.host}:${groups.port}\r\nUpgrade: websocket\r\n`
      + `Connection: Upgrade\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`);
    const { first, headers, behind } = await readHead(socket, millis('handshake-timeout'));
    if (!first.startsWith('HTTP/1.1 101') || headers['sec-websocket-accept'] !== acceptKey(key)) {
      socket.destroy();
      throw new Error(`the handshake was answered by ${first} and ${headers['sec-websocket-accept']}`);
    }
    const lane = Object.assign(new Lane(), { index, connection: new WebSocket(socket, false, limits()) });
    lane.connection.start(behind);
    return lane;
  }

  /** Keeps `window` messages in flight until `stop(started)`, then drains. Never rejects: an error stays in the lane. */
  phase(digit, stop, histogram) {
    if (this.error) return Promise.resolve();
    const { connection } = this;
    const [kind, window] = [flags.kind === 'text' ? TEXT : BINARY, Number(flags.window)];
    return new Promise((resolve) => {
      const inFlight = [];
      let started = 0;
      let finished = false;
      const finish = () => {
        finished = true;
        resolve();
      };
      const fail = (message) => {
        if (finished) return;
        this.error ??= message;
        connection.socket.destroy();
        finish();
      };
      const fill = () => {
        while (inFlight.length < window && !stop(started)) {
          const payload = payloadOf(digit, this.sequences[digit]++, this.index);
          this.tally.count(CLASSES[digit], 'sent', payload);
          started += 1;
          inFlight.push({ payload, at: now() });
          connection.send(kind, payload);
        }
        if (inFlight.length === 0) finish();
      };
      connection.onMessage = (opcode, payload) => {
        const arrived = now();
        const sent = inFlight.shift();
        if (!sent) return fail('a message came that nobody asked for');
        if (opcode !== kind || !payload.equals(sent.payload)) return fail(`wrong answer: ${payload.subarray(0, 40)}`);
        histogram?.record(Number(arrived - sent.at));
        this.tally.count(CLASSES[digit], 'received', payload);
        this.units += 1;
        fill();
      };
      connection.ended.then((error) => fail(error?.message ?? 'the server closed while an echo was due'));
      fill();
    });
  }
}

async function drive() {
  const stdin = readline.createInterface({ input: process.stdin });
  const lines = [];
  let waiting = null;
  stdin.on('line', (line) => (waiting ? waiting(line) : lines.push(line)));
  stdin.on('close', () => { if (!finished) process.exit(1); });
  const nextLine = () => lines.shift() ?? new Promise((resolve) => { waiting = (line) => { waiting = null; resolve(line); }; });
  let finished = false;

  const lanes = [];
  for (let index = 0; index < Number(flags.connections); index += 1) lanes.push(await Lane.open(index));
  const until = (ms) => {
    const end = now() + BigInt(ms) * 1_000_000n;
    return () => now() >= end;
  };
  if (millis('warm-up') > 0) {
    const stop = until(millis('warm-up'));
    await Promise.all(lanes.map((lane) => lane.phase('1', stop)));
    const failed = lanes.find((lane) => lane.error);
    if (failed) throw new Error(`warm-up, connection ${failed.index}: ${failed.error}`);
    for (const lane of lanes) lane.units = 0;
  }

  const histogram = new Histogram();
  const units = () => lanes.reduce((sum, lane) => sum + lane.units, 0);
  let elapsed = 0;
  say({ event: 'ready' });
  for (let line = await nextLine(); line !== 'finish'; line = await nextLine()) {
    const [, , given] = /^go( (\d+))?$/.exec(line) ?? usage(`\`${line}\` is not a command`);
    const messages = Number(given ?? flags.messages ?? 0);
    const [before, start] = [units(), now()];
    const stop = messages > 0 ? (started) => started >= messages : until(millis('duration'));
    await Promise.all(lanes.map((lane) => lane.phase('2', stop, histogram)));
    const window = Number(now() - start);
    elapsed += window;
    say({ event: 'measured', units: units() - before, elapsed_ns: window });
  }
  finished = true;

  const total = new Tally();
  for (const lane of lanes) {
    lane.connection.onMessage = () => { lane.error ??= 'a message came that nobody asked for'; };
    const error = await lane.connection.close();
    lane.error ??= error?.message ?? null;
    for (const [name, count] of Object.entries(lane.tally.classes)) {
      const sum = (total.classes[name] ??= {});
      for (const [key, value] of Object.entries(count)) sum[key] = (sum[key] ?? 0) + value;
    }
  }
  const failed = lanes.filter((lane) => lane.error);
  const drove = { event: 'drove', units: units(), elapsed_ns: elapsed, tally: total.classes,
    series: { round_trip: histogram.distribution() },
    errors: failed.slice(0, 5).map((lane) => `connection ${lane.index}: ${lane.error}`),
    failed_connections: failed.length, panics };
  process.stdout.write(JSON.stringify(drove) + '\n', () => process.exit(failed.length > 0 || panics > 0 ? 1 : 0));
}

// --------------------------------------------------------------------------------------------------------- main

if (flags.row !== 'node') usage(`this runner has no row \`${flags.row}\`; it has: node`);
if (Number(flags.threads) !== 1) usage('the row `node` has one thread');
switch (command) {
  case 'describe':
    say({ protocol: 1, row: 'node', runtime: 'Node.js', runtime_version: process.versions.node,
      scheduler: 'event loop (libuv)', io_mode: 'readiness (libuv)', websocket: 'its own, in JavaScript', status: null,
      max_threads: 1, environment: {}, services: ['echo', 'sink', 'push'], workloads: ['ping-pong', 'window'],
      flush: ['before-wait', 'each'], build: null });
    break;
  case 'serve':
    serve();
    break;
  case 'drive':
    if (!['ping-pong', 'window'].includes(flags.workload)) usage(`no workload \`${flags.workload}\``);
    drive().catch((error) => {
      console.error(`error: ${error.message}`);
      process.exit(1);
    });
    break;
  default:
    usage(`\`${command}\` is not a command: describe, serve and drive are`);
}
