"""Blocking and synchronous: a call waits until its work is done, and the program with it.

python examples/square/blocking_synchronous.py

The first client thinks before it speaks, the second speaks at once. While the server waits for the
first one's words it can do nothing else: the second waits, too.
"""

import socket
import threading

THINKING = 0.1  # seconds

with socket.create_server(("127.0.0.1", 0)) as listener:
    clients = [socket.create_connection(listener.getsockname()) for _ in range(2)]
    clients[1].sendall(b"two")
    threading.Timer(THINKING, clients[0].sendall, [b"one"]).start()
    for _ in clients:
        connection, _ = listener.accept()  # waits for a client
        with connection:
            print("accepted a client; nobody else is served now", flush=True)
            words = connection.recv(100)  # waits for its words
            connection.sendall(b"hello " + words)  # waits for room to send
            print(f"served {words.decode()}", flush=True)
    for sock in clients:
        print(f"a client read: {sock.recv(100).decode()}")
        sock.close()
