"""A paced client that shares no code with wsbench: it sends at intended instants, and takes latency from there.

    python3 client.py PORT CONNECTIONS RATE_PER_S SECONDS

Prints one line of JSON: how many echoes came, and their percentiles in nanoseconds.
"""

import asyncio
import json
import math
import os
import sys
import time


async def connection(port, number, connections, rate, messages, start, latencies):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    await start.wait()
    for message in range(number, messages, connections):
        intended = start.at + message / rate
        # asyncio wakes up to a millisecond late: the rest of the time is spent looking at the clock.
        await asyncio.sleep(max(0, intended - time.monotonic() - 0.003))
        while time.monotonic() < intended:
            await asyncio.sleep(0)
        mask, payload = os.urandom(4), b"message %16d" % message
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
        writer.write(b"\x81" + bytes([0x80 | len(payload)]) + mask + masked)
        echo = await reader.readexactly(2 + len(payload))
        latencies.append(time.monotonic() - intended)
        assert echo[2:] == payload, (echo, payload)
    writer.close()


async def main():
    port, connections, rate, seconds = map(int, sys.argv[1:])
    latencies, start = [], asyncio.Event()
    tasks = [
        asyncio.create_task(connection(port, number, connections, rate, rate * seconds, start, latencies))
        for number in range(connections)
    ]
    # Every connection stands by then.
    await asyncio.sleep(1)
    start.at = time.monotonic() + 0.01
    start.set()
    await asyncio.gather(*tasks)
    latencies.sort()
    at = lambda share: round(latencies[math.ceil(share * len(latencies)) - 1] * 1e9)
    print(json.dumps({"count": len(latencies), "p50_ns": at(0.5), "p99_ns": at(0.99), "max_ns": at(1)}))


asyncio.run(main())
