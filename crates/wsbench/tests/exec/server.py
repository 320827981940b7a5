"""A server of somebody's own, for the tests of rows that a command starts: it echoes WebSocket messages, and has a
peculiarity on request.

    python3 server.py PORT [PECULIARITY]

workers    two processes serve, and this one only waits for them
burn       every message takes BURN_NS of CPU time
workers-burn     the same in the two processes
children   every message takes the same in a process that is started for it
detached   a process that has left its group and session stays behind
deaf       it does not end when it is asked to
wrong      it answers every message with another one
late       it answers handshakes with 503 at first
greedy     at the path /chat only, and with a variable of the environment
asks       with a header and a subprotocol only
delays     every echo takes 20 ms, and every hundredth 200 ms
tls        under TLS, with the certificate beside it
"""

import asyncio
import base64
import hashlib
import os
import signal
import ssl
import struct
import subprocess
import sys
import time

# CPU time, as the kernel counts it: the test does not depend on how fast the machine is.
BURN_NS = 2_000_000
LATE = 3

peculiarity = sys.argv[2] if len(sys.argv) > 2 else ""
handshakes = 0

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CLOSE, PING, PONG = 8, 9, 10


def burn():
    end = time.process_time_ns() + BURN_NS
    while time.process_time_ns() < end:
        pass


async def shake_hands(reader, writer):
    global handshakes
    head = await reader.readuntil(b"\r\n\r\n")
    handshakes += 1
    if peculiarity == "late" and handshakes <= LATE:
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        raise ConnectionError
    if peculiarity == "greedy" and not (head.startswith(b"GET /chat?a=b ") and os.environ.get("GREED") == sys.argv[1]):
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        raise ConnectionError
    if peculiarity == "asks" and not (b"Authorization: Bearer secret" in head and b"chat, echo" in head):
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        raise ConnectionError
    lines = (line.partition(b":") for line in head.split(b"\r\n"))
    key = next(value.strip() for name, _, value in lines if name.lower() == b"sec-websocket-key")
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n"
        + (b"Sec-WebSocket-Protocol: echo\r\n" if peculiarity == "asks" else b"") + b"\r\n"
    )


async def receive(reader):
    """The first byte of a frame, and its payload."""
    first, length = await reader.readexactly(2)
    length &= 127
    if length == 126:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
    elif length == 127:
        (length,) = struct.unpack("!Q", await reader.readexactly(8))
    mask = await reader.readexactly(4)
    payload = await reader.readexactly(length)
    # As one number, which Python does a hundred times faster than byte by byte.
    mask = int.from_bytes((mask * (length // 4 + 1))[:length])
    return first, (int.from_bytes(payload) ^ mask).to_bytes(length)


def send(writer, first, payload):
    if len(payload) < 126:
        head = struct.pack("!BB", first, len(payload))
    elif len(payload) < 1 << 16:
        head = struct.pack("!BBH", first, 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, 127, len(payload))
    writer.write(head + payload)


def peculiar(payload):
    # Only what is measured: a probe or a warm-up is not counted by the test.
    if not payload.startswith(b"2"):
        return
    if peculiarity in ("burn", "workers-burn"):
        burn()
    elif peculiarity == "children":
        if os.fork() == 0:
            burn()
            os._exit(0)
        os.wait()


echoes = 0


async def delay():
    global echoes
    echoes += 1
    await asyncio.sleep(0.2 if echoes % 100 == 0 else 0.02)


async def serve(reader, writer):
    try:
        await shake_hands(reader, writer)
        while True:
            first, payload = await receive(reader)
            opcode = first & 15
            if opcode == PING:
                send(writer, first - PING + PONG, payload)
            elif opcode != PONG:
                if opcode != CLOSE:
                    peculiar(payload)
                    if peculiarity == "delays":
                        await delay()
                send(writer, first, payload if opcode == CLOSE or peculiarity != "wrong" else payload[::-1])
            await writer.drain()
            if opcode == CLOSE:
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    context = None
    if peculiarity == "tls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain("certificate.pem", "key.pem")
    port = int(sys.argv[1])
    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=4096, reuse_port=True, ssl=context)
    await server.serve_forever()


if __name__ == "__main__":
    if peculiarity == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if peculiarity == "detached":
        subprocess.Popen(["sh", "-c", "sleep 600; true", sys.argv[0]], start_new_session=True)
    workers = []
    while peculiarity.startswith("workers") and len(workers) < 2:
        workers.append(os.fork())
        if workers[-1] == 0:
            break
    if workers and all(workers):
        for _ in workers:
            os.wait()
    else:
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            pass
