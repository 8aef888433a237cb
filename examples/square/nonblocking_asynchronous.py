"""Non-blocking and asynchronous: begin it, go on with something else, be given the result.

python examples/square/nonblocking_asynchronous.py

``await stream.readline()`` gives the thread away until the line is there: what comes back is the
line, not the news that reading would now succeed. The coroutine reads like the blocking program,
but while one client thinks the other one is served.
"""

import socket

from jackfield import Server


async def handle(stream):
    print("accepted a client; it may take its time", flush=True)
    words = await stream.readline()  # the others are served meanwhile
    print(f"served {words.decode().strip()}", flush=True)
    stream.write(b"hello " + words)
    await stream.drain()


with Server("tcp://127.0.0.1:0", handle, engine="asyncio") as server:
    where = ("127.0.0.1", server.addresses[0].port)
    with socket.create_connection(where) as first, socket.create_connection(where) as second:
        for sock, words in ((second, b"two\n"), (first, b"one\n")):  # the second speaks first
            sock.sendall(words)
            with sock.makefile() as lines:
                print(f"a client read: {lines.readline().strip()}", flush=True)
