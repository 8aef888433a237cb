"""A server to be looked at from outside.

    python -m tests.contracts.probe PROTOCOL ENDPOINTS OPTIONS

PROTOCOL is Chooser or a class below, ENDPOINTS a JSON list, OPTIONS a JSON object of ``Server``'s
options; ``tls`` among them is a certificate's and its key's path. Every callback is reported on
standard output (``plays``), the log goes to standard error.

A client chooses by its first line what is played: ``Echo``, ``Write 1000``. A file in the working
directory is a flag that the test raises, to say when.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import time
import typing as t

from tests.contracts.plays import (
    BIG,
    BLOCK,
    LOOK_EVERY,
    PLAYS,
    Chooser,
    Play,
    described,
    noise,
    say,
)

from jackfield import LineProtocol, Room, Server
from jackfield.errors import LagError

room = Room()


class Sink(Play):
    """Reports, and does nothing."""


class Pid(Chooser):
    """Says which process serves; then another play may be chosen."""

    def begin(self) -> None:
        self.transport.write(b"%d\n" % os.getpid())


class Echo(Play):
    """Sends back; reports at its end the most that waited."""

    most = 0

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)
        self.most = max(self.most, self.transport.get_write_buffer_size())

    def connection_lost(self, exc: BaseException | None) -> None:
        self.report("most", self.most)
        super().connection_lost(exc)


class Digest(Play):
    """Answers the client's half-close with the count and the SHA-256 of all that came."""

    def begin(self) -> None:
        self.count, self.sum = 0, hashlib.sha256()

    def data_received(self, data: bytes) -> None:
        self.count += len(data)
        self.sum.update(data)
        if self.count >= int(self.arguments[0]):
            self.transport.write(f"{self.count} {self.sum.hexdigest()}".encode())
            self.transport.close()


class Write(Play):
    """Writes at once as many bytes as asked for, and a word behind."""

    def begin(self) -> None:
        self.transport.write(noise(int(self.arguments[0])))
        self.transport.write(b"end")


class Pour(Play):
    """Writes as many bytes as asked for in blocks, whatever it is told."""

    def begin(self) -> None:
        for _ in range(0, int(self.arguments[0]), BLOCK):
            self.transport.write(noise(BLOCK))


class Produce(Play):
    """Writes as many bytes as asked for, in blocks, and none while it is told to pause."""

    def begin(self) -> None:
        data = noise(int(self.arguments[0]))
        self.blocks = [data[i : i + BLOCK] for i in reversed(range(0, len(data), BLOCK))]
        self.paused, self.most = False, 0
        self.go_on()

    def go_on(self) -> None:
        while not self.paused and self.blocks:
            self.transport.write(self.blocks.pop())
            self.most = max(self.most, self.transport.get_write_buffer_size())
        if not self.blocks:
            self.report("most", self.most)
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.paused = True

    def resume_writing(self) -> None:
        super().resume_writing()
        self.paused = False
        self.go_on()


class Answer(Play):
    """Keeps a half-closed connection open, and answers a moment later."""

    def eof_received(self) -> bool:
        super().eof_received()
        self.transport.engine.call_later(0.01, self.answer)
        return True

    def answer(self) -> None:
        self.transport.write(b"late answer")
        self.transport.close()


class Close(Play):
    """Writes, closes, and writes too late."""

    def begin(self) -> None:
        self.transport.write(noise(int(self.arguments[0])))
        self.transport.close()
        self.transport.write(b"too late")
        self.transport.close()
        self.report("is_closing", self.transport.is_closing())


class Linger(Play):
    """Reads nothing until the flag is raised; then says goodbye with input unread."""

    def begin(self) -> None:
        self.transport.pause_reading()
        self.report("ready")
        self.when_flagged(self.end)

    def end(self) -> None:
        self.transport.write(b"goodbye")
        self.transport.close()


class Pause(Play):
    """Stops reading at the first block, and goes on when the flag is raised."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_reading():
            self.transport.pause_reading()
            self.when_flagged(self.go_on)

    def go_on(self) -> None:
        self.data_received = super().data_received  # type: ignore[method-assign]
        self.report("resumed")
        self.transport.resume_reading()


class Abort(Play):
    """Writes more than can leave, and aborts, twice."""

    def begin(self) -> None:
        self.transport.write(bytes(BIG))
        self.transport.abort()
        self.transport.abort()
        self.transport.close()
        self.transport.write(b"too late")


class WriteEof(Play):
    """Half-closes, and goes on reading."""

    def begin(self) -> None:
        self.transport.write(b"all I have")
        self.transport.write_eof()
        try:
            self.transport.write(b"more")
        except RuntimeError as exc:
            self.report("refused", str(exc))


class Raise(Play):
    """Raises in the callback that the argument names."""

    def begin(self) -> None:
        if self.arguments[0] in ("pause", "resume"):
            self.transport.write(bytes(BIG))
        elif self.arguments[0] == "closing":
            self.transport.evict(LagError("too slow"))

    def report(self, name: str, detail: t.Any = None) -> None:
        super().report(name, detail)
        if name == self.arguments[0]:
            raise ZeroDivisionError(name)


class Plan(Play):
    """Asks for every kind of call; says in which order they came."""

    def begin(self) -> None:
        engine, self.order = self.transport.engine, [b""]
        engine.at_tick_end(lambda: self.order.append(b"end"))
        engine.call_soon(self.order.append, b"soon")
        for name, delay in ((b"c", 0.03), (b"a", 0.01), (b"b", 0.02), (b"a2", 0.01)):
            engine.call_later(delay, self.order.append, name)
        cancelled = engine.call_later(0.015, self.order.append, b"cancelled")
        engine.call_later(0.005, cancelled.cancel)
        engine.call_later(0.04, lambda: self.transport.write(b" ".join(self.order)))
        self.order[0] = b"callback"


class FailingPlan(Play):
    """Whatever it has planned raises; what is planned behind that still comes."""

    def begin(self) -> None:
        engine = self.transport.engine
        engine.call_soon(self.fail)
        engine.call_later(0, self.fail)
        engine.at_tick_end(self.fail)
        engine.call_later(0.02, self.transport.write, b"served on")

    def fail(self) -> t.NoReturn:
        raise ZeroDivisionError("planned")


class Hold(Play):
    """Stands still in its callback until the flag is raised; then writes to who may be gone."""

    def begin(self) -> None:
        self.report("held")
        while not os.path.exists(self.arguments[0]):
            time.sleep(LOOK_EVERY)
        for _ in range(10):
            # So much that no engine gathers it until its tick ends.
            self.transport.write(b"anybody there?" * 8000)
            time.sleep(LOOK_EVERY)  # the peer's reset may be on its way

    def data_received(self, data: bytes) -> None:
        self.report("data", len(data))


class Polite(Write):
    """Has last words."""

    def closing(self, reason: Exception) -> None:
        super().closing(reason)
        self.transport.write(str(reason).encode())


class Mix(Play):
    """Writes and publishes in turn; then reads on."""

    def begin(self) -> None:
        room.join(self.transport)
        for number in (b"1", b"2", b"3", b"4"):
            (room.publish if number in b"13" else self.transport.write)(number)

    def connection_lost(self, exc: BaseException | None) -> None:
        room.leave(self.transport)
        super().connection_lost(exc)


class Lines(LineProtocol):
    """Answers lines; reports its beginning and its end alone."""

    def connection_made(self, transport: t.Any) -> None:
        super().connection_made(transport)
        say(transport, "made")

    def line_received(self, line: bytes) -> None:
        self.send_line(line)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        say(self.transport, "lost", described(exc))


class Member(Lines):
    """One of the room: each line goes to everybody."""

    transport: t.Any

    def begin(self) -> None:
        super(Lines, self).connection_made(self.transport)
        room.join(self.transport)
        self.send_line(b"in")

    def line_received(self, line: bytes) -> None:
        room.publish(line + b"\r\n")

    def connection_lost(self, exc: BaseException | None) -> None:
        room.leave(self.transport)
        super().connection_lost(exc)


PLAYS["Member"] = Member
PROTOCOLS: t.Final[dict[str, t.Any]] = {"Chooser": Chooser, "Lines": Lines}


def main(protocol: str, endpoints: str, options: str) -> None:
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.WARNING)
    given = json.loads(options)
    if given.get("tls"):
        from jackfield.tls import TlsConfig

        given["tls"] = TlsConfig(*given["tls"])
    server = Server(json.loads(endpoints), PROTOCOLS[protocol], **given)
    server.open()
    where = [str(address) for address in server.addresses]
    server.engine.call_soon(say, None, "listening", where)
    server.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
