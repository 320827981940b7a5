// WebSocket (RFC 6455), both ends, without compression: as much as a runner needs.

import { isUtf8 } from 'node:buffer';
import { createHash, randomBytes } from 'node:crypto';

export const TEXT = 1;
export const BINARY = 2;
const [CONTINUATION, CLOSE, PING, PONG] = [0, 8, 9, 10];

export class ProtocolError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export function acceptKey(key) {
  return createHash('sha1').update(key + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
}

function xor(payload, key) {
  for (let place = 0; place < payload.length; place += 1) payload[place] ^= key[place & 3];
}

/** Reads an HTTP head from `socket`; resolves with its lines and whatever came behind it. */
export function readHead(socket, limitMs) {
  return new Promise((resolve, reject) => {
    let seen = Buffer.alloc(0);
    const failed = (error) => reject(error instanceof Error ? error : new Error('the peer ended the handshake'));
    const limit = setTimeout(() => failed(new Error('the handshake took too long')), limitMs);
    const onData = (chunk) => {
      seen = Buffer.concat([seen, chunk]);
      const end = seen.indexOf('\r\n\r\n');
      if (end < 0 && seen.length < 16384) return;
      if (end < 0) return failed(new Error('the head is endless'));
      clearTimeout(limit);
      socket.off('data', onData).off('error', failed).off('close', failed);
      socket.pause();
      const [first, ...lines] = seen.toString('latin1', 0, end).split('\r\n');
      const headers = Object.fromEntries(lines.map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()];
      }));
      resolve({ first, headers, behind: seen.subarray(end + 4) });
    };
    socket.on('data', onData).on('error', failed).on('close', failed);
  }).catch((error) => {
    socket.destroy();
    throw error;
  });
}

/** An upgraded connection. `onMessage(opcode, payload)` gets every message; `ended` resolves with the error, if any. */
export class WebSocket {
  onMessage = () => {};
  chunks = [];
  size = 0;
  wanted = 2; // bytes without which the next frame cannot be complete
  message = null; // { opcode, parts, size } of a message whose last frame is still to come
  closing = false; // 'sent' once our close is out, 'done' once nothing more is read
  corked = false;
  error = null;

  /** `limits` are maxMessage, maxFrame and writeBuffer in bytes, limitMs of a closing handshake, and beforeWait. */
  constructor(socket, isServer, limits) {
    Object.assign(this, { socket, isServer, ...limits });
    this.ended = new Promise((resolve) => {
      socket.on('error', (error) => { this.error ??= error; });
      socket.on('end', () => { if (!this.closing) this.error ??= new ProtocolError(1006, 'ended without a close'); });
      socket.on('close', () => resolve(this.error));
    });
  }

  start(behind) {
    this.socket.on('data', (chunk) => this.receive(chunk));
    this.socket.on('drain', () => this.socket.resume());
    if (behind.length > 0) this.receive(behind);
    this.socket.resume();
  }

  receive(chunk) {
    this.chunks.push(chunk);
    this.size += chunk.length;
    if (this.size < this.wanted || this.closing === 'done') return;
    const buffer = this.chunks.length === 1 ? chunk : Buffer.concat(this.chunks);
    // The flush policy before-wait: the answers to all complete messages of a read go out together.
    if (this.beforeWait) this.socket.cork();
    this.corked = this.beforeWait;
    try {
      const rest = buffer.subarray(this.frames(buffer));
      this.chunks = rest.length > 0 ? [rest] : [];
      this.size = rest.length;
    } catch (error) {
      this.fail(error);
      // A fault of this program, and not of the peer.
      if (!(error instanceof ProtocolError)) setImmediate(() => { throw error; });
    }
    if (this.corked) this.socket.uncork();
    this.corked = false;
  }

  /** Takes all complete frames and returns where the rest begins. */
  frames(buffer) {
    let at = 0;
    while (this.closing !== 'done') {
      const left = buffer.length - at;
      this.wanted = 2;
      if (left < 2) break;
      const [first, second] = [buffer[at], buffer[at + 1]];
      const [opcode, masked] = [first & 0x0f, (second & 0x80) !== 0];
      if ((first & 0x70) !== 0) throw new ProtocolError(1002, 'a reserved bit is set');
      if (![CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG].includes(opcode)) {
        throw new ProtocolError(1002, `the opcode ${opcode} is reserved`);
      }
      if (masked !== this.isServer) throw new ProtocolError(1002, masked ? 'a server masked' : 'a client did not mask');
      let length = second & 0x7f;
      if (opcode >= CLOSE && (length > 125 || (first & 0x80) === 0)) {
        throw new ProtocolError(1002, 'a control frame is long or fragmented');
      }
      const extended = { 126: 2, 127: 8 }[length] ?? 0;
      const head = 2 + extended + (masked ? 4 : 0);
      this.wanted = head;
      if (left < head) break;
      if (extended === 2) length = buffer.readUInt16BE(at + 2);
      if (extended === 8) length = Number(buffer.readBigUInt64BE(at + 2));
      if (length > this.maxFrame) throw new ProtocolError(1009, `a frame of ${length} B is over the limit`);
      this.wanted = head + length;
      if (left < head + length) break;
      const payload = buffer.subarray(at + head, at + head + length);
      if (masked) xor(payload, buffer.subarray(at + head - 4, at + head));
      at += head + length;
      this.frame(opcode, (first & 0x80) !== 0, payload);
    }
    return at;
  }

  frame(opcode, last, payload) {
    if (opcode === PING) return this.send(PONG, payload);
    if (opcode === PONG) return;
    if (opcode === CLOSE) return this.closed(payload);
    if ((opcode === CONTINUATION) !== (this.message !== null)) {
      throw new ProtocolError(1002, 'a frame is out of sequence');
    }
    this.message ??= { opcode, parts: [], size: 0 };
    this.message.parts.push(payload);
    this.message.size += payload.length;
    if (this.message.size > this.maxMessage) throw new ProtocolError(1009, 'a message is over the limit');
    if (!last) return;
    const { opcode: kind, parts } = this.message;
    this.message = null;
    const whole = parts.length === 1 ? parts[0] : Buffer.concat(parts);
    if (kind === TEXT && !isUtf8(whole)) throw new ProtocolError(1007, 'a text is no UTF-8');
    // After its own close an end answers nothing more.
    if (!this.closing) this.onMessage(kind, whole);
  }

  closed(payload) {
    const code = payload.length >= 2 ? payload.readUInt16BE(0) : 1000;
    const known = (code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code)) || (code >= 3000 && code <= 4999);
    if (payload.length === 1 || !known) throw new ProtocolError(1002, 'an invalid close');
    if (!isUtf8(payload.subarray(2))) throw new ProtocolError(1007, 'a reason is no UTF-8');
    if (!this.closing) this.send(CLOSE, payload);
    this.closing = 'done';
    // Ending the connection is the server's part; a client waits for that.
    if (this.isServer) this.socket.end();
  }

  fail(error) {
    this.error ??= error;
    if (!this.closing) this.send(CLOSE, Buffer.from([(error.code ?? 1011) >> 8, (error.code ?? 1011) & 0xff]));
    this.closing = 'done';
    // What still comes is not read: the peer may be in the middle of something endless.
    this.socket.end(() => this.socket.destroy());
  }

  send(opcode, payload) {
    if (this.socket.destroyed || this.closing) return;
    const mask = this.isServer ? 0 : 0x80;
    const { length } = payload;
    const size = length < 126 ? 2 : length < 65536 ? 4 : 10;
    const frame = Buffer.allocUnsafe(size + (mask ? 4 : 0) + length);
    frame[0] = 0x80 | opcode;
    frame[1] = mask | (size === 2 ? length : size === 4 ? 126 : 127);
    if (size === 4) frame.writeUInt16BE(length, 2);
    if (size === 10) frame.writeBigUInt64BE(BigInt(length), 2);
    payload.copy(frame, frame.length - length);
    if (mask) {
      const key = randomBytes(4);
      key.copy(frame, size);
      xor(frame.subarray(size + 4), key);
    }
    this.socket.write(frame);
    if (this.socket.writableLength > this.writeBuffer) {
      if (this.corked) this.socket.uncork();
      this.corked = false;
      if (this.socket.writableNeedDrain) this.socket.pause(); // until the peer has read: 'drain' resumes
    }
  }

  async close() {
    this.send(CLOSE, Buffer.from([1000 >> 8, 1000 & 0xff]));
    this.closing ||= 'sent';
    const limit = setTimeout(() => this.socket.destroy(new Error('closing took too long')), this.limitMs);
    const error = await this.ended;
    clearTimeout(limit);
    return error;
  }
}
