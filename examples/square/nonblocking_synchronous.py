"""Non-blocking and synchronous: no call waits; what is not ready is asked for again, by hand.

python examples/square/nonblocking_synchronous.py

A call that would have to wait fails with EAGAIN, BlockingIOError in Python. So one loop serves two
clients at the same time; but it asks all the time, and most answers are "not yet".
"""

import socket
import threading
import time

THINKING = 0.05  # seconds until the second client speaks; the first speaks after it
LOOK_EVERY = (
    0.005  # seconds: a shorter pause burns the processor, a longer one keeps clients waiting
)

with socket.create_server(("127.0.0.1", 0)) as listener:
    listener.setblocking(False)
    clients = [socket.create_connection(listener.getsockname()) for _ in range(2)]
    threading.Timer(THINKING, clients[1].sendall, [b"two"]).start()
    waiting, served, in_vain = [], 0, 0
    while served < len(clients):
        try:
            connection, _ = listener.accept()
        except BlockingIOError:  # EAGAIN: nobody there
            in_vain += 1
        else:
            connection.setblocking(False)
            waiting.append(connection)
            print("accepted a client; it may take its time", flush=True)
        for connection in tuple(waiting):
            try:
                words = connection.recv(100)
            except BlockingIOError:  # EAGAIN: it has said nothing
                in_vain += 1
                continue
            connection.send(b"hello " + words)
            print(f"served {words.decode()}", flush=True)
            waiting.remove(connection)
            connection.close()
            served += 1
            if served == 1:
                clients[0].sendall(b"one")
        time.sleep(LOOK_EVERY)
    for sock in clients:
        print(f"a client read: {sock.recv(100).decode()}")
        sock.close()
    print(f"asked {in_vain} times in vain (EAGAIN)")
