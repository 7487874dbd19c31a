"""A TCP proxy that holds every byte back: `python -m benchmarks.delay PORT HOST HOST_PORT SECONDS` (one way).

It stands in for netem, which not every kernel has. Throughput is not limited, only what a round trip takes.
"""

from __future__ import annotations

import asyncio
import sys


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            due, data = await waiting.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                break
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    delivery = asyncio.create_task(deliver())
    while data := await reader.read(65536):
        waiting.put_nowait((loop.time() + seconds, data))
    waiting.put_nowait((loop.time() + seconds, b""))
    await delivery


async def _main(port: int, host: str, host_port: int, seconds: float) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The connection to the host is made at once, and costs its round trip.
        await asyncio.sleep(2 * seconds)
        try:
            there = await asyncio.open_connection(host, host_port)
        except OSError:
            writer.close()
            return
        ways = (_carry(reader, there[1], seconds), _carry(there[0], writer, seconds))
        await asyncio.gather(*ways, return_exceptions=True)
        writer.close()
        there[1].close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
