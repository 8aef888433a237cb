"""A coroutine per connection: it may await whatever runs on asyncio, such as a database's driver.

python examples/async_handle.py [ENDPOINT ...]

Type a host name and read its addresses. The lookup takes as long as it takes, and nobody else waits
for it.
"""

import asyncio
import sys

from jackfield import serve


async def addresses(name):
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name, None, proto=6)  # TCP, so that each is named once
    return " ".join(str(sockaddr[0]) for *_, sockaddr in found)


async def handle(stream):
    async for line in stream:
        try:
            answer = await addresses(line.decode("ascii").strip())
        except (OSError, UnicodeError) as exc:
            answer = f"no: {exc}"
        stream.write(answer.encode() + b"\r\n")
        await stream.drain()


if __name__ == "__main__":
    serve(sys.argv[1:] or "tcp://127.0.0.1:8888", handle, engine="asyncio")
