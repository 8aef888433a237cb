"""A chat without a server: each line goes to a multicast group, and who is in it prints it.

python examples/multicast_chat.py NAME [ENDPOINT]

Start it twice. On a network, all name their interface to it, in quotes because of the "?":
'udp://239.255.7.7:7007?interface=eth0'. Nobody vouches for a name: anyone may send anything.
"""

import sys

from jackfield import DatagramProtocol, Server
from jackfield.endpoint import printable


class Chat(DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport
        self.group = transport.get_extra_info("sockname")

    def say(self, text):
        self.transport.sendto(text.encode("utf-8", "replace"), self.group)

    def datagram_received(self, data, addr):
        print(printable(data), flush=True)  # escaped: it may not command our terminal

    def error_received(self, exc):
        print(exc, file=sys.stderr)


name, *rest = sys.argv[1:] or sys.exit(__doc__)
chat = Chat()
with Server(rest or "udp://239.255.7.7:7007?interface=lo", lambda: chat) as server:
    server.engine.call_soon(chat.say, f"* {name} is here")
    try:
        for line in sys.stdin:
            server.engine.call_soon(chat.say, f"<{name}> {line.strip()}")
    except KeyboardInterrupt:
        pass
    server.engine.call_soon(chat.say, f"* {name} is gone")
