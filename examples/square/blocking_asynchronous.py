"""Blocking and asynchronous: one call waits, for many sockets at once, and says which are ready.

python examples/square/blocking_asynchronous.py

This is multiplexing: select(2), poll(2), epoll(7), kqueue(2), and what jackfield's engines of these
names do. The program still reads by itself, once it was told that reading will not wait.
"""

import selectors
import socket
import threading

THINKING = 0.05  # seconds until the second client speaks; the first speaks after it

with socket.create_server(("127.0.0.1", 0)) as listener, selectors.DefaultSelector() as selector:
    selector.register(listener, selectors.EVENT_READ)
    clients = [socket.create_connection(listener.getsockname()) for _ in range(2)]
    threading.Timer(THINKING, clients[1].sendall, [b"two"]).start()
    served, waits = 0, 0
    while served < len(clients):
        ready = selector.select()  # the one place where this program waits
        waits += 1
        for key, _ in ready:
            if key.fileobj is listener:
                connection, _ = listener.accept()  # somebody is there: it does not wait
                selector.register(connection, selectors.EVENT_READ, data=connection)
                print("accepted a client; it may take its time", flush=True)
                continue
            connection = key.data
            words = connection.recv(100)  # this does not wait either
            connection.sendall(b"hello " + words)
            print(f"served {words.decode()}", flush=True)
            selector.unregister(connection)
            connection.close()
            served += 1
            if served == 1:
                clients[0].sendall(b"one")
    for sock in clients:
        print(f"a client read: {sock.recv(100).decode()}")
        sock.close()
    print(f"waited {waits} times, never in vain")
