"""Everything that anybody sends goes to everybody. Try it with: nc 127.0.0.1 8888"""

from jackfield import Protocol, Room, serve

room = Room()


class Everyone(Protocol):
    def connection_made(self, transport):
        self.transport = transport
        room.join(transport)

    def data_received(self, data):
        room.publish(data)

    def connection_lost(self, exc):
        room.leave(self.transport)


serve("tcp://127.0.0.1:8888", Everyone)
