"""``jackfield wire``: what goes over a wire, connection by connection."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import types
import typing as t
from collections.abc import Iterator

import click

from jackfield.capture.decode import Datagram
from jackfield.capture.frames import Frame
from jackfield.errors import CaptureError, SystemRefused, UsageError
from jackfield.kernel import capabilities, packets
from jackfield.tools import ladder, wire_records, wire_source
from jackfield.tools.ladder import Ladder, Line
from jackfield.tools.tcp_connection import Step
from jackfield.tools.wire import Wanted, Wire
from jackfield.tools.wire_source import CaptureFile

STYLES: t.Final[dict[str, dict[str, t.Any]]] = {
    ladder.PLAIN: {},
    ladder.DIM: {"dim": True},
    ladder.STATE: {"fg": "green", "bold": True},
    ladder.MARK: {"fg": "yellow"},
    ladder.RESET: {"fg": "red", "bold": True},
    ladder.HEAD: {"bold": True},
}
"""Of each role of a piece of text, on a terminal (and not where NO_COLOR is set)."""


@click.command()
@click.argument("endpoint", required=False)
@click.option("--read", metavar="FILE", help="Read a capture (pcap, pcapng); - is standard input.")
@click.option("--write", metavar="FILE", help="Keep what is captured or read, as pcapng.")
@click.option("--interface", metavar="NAME", help="Capture there, by default where ENDPOINT is.")
@click.option("--count", type=click.IntRange(min=1), help="End after so many packets shown.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="End after so long.")
@click.option("--connection", type=click.IntRange(min=1), help="Show the one of this number only.")
@click.option("--absolute", is_flag=True, help="Sequence numbers as they are on the wire.")
@click.option("--payload", is_flag=True, help="The first bytes of data, escaped.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(endpoint: str | None, **options: t.Any) -> None:
    """Show each TCP connection as a ladder between its two ends: segments with relative sequence
    numbers, what was sent again or lost, and the state of both ends behind every step.

    \b
    ENDPOINT  tcp://127.0.0.1:8888 (that address and port, as client or server),
              tcp://:8888 (that port everywhere), tcp://[::1]:0 (every port there),
              udp://... lists datagrams. Without it: all TCP on loopback.

    To capture wants root or CAP_NET_RAW, given up as soon as the socket is open; to read a file
    wants neither. Ctrl-C ends with a summary of each connection.
    """
    _check(options)
    wanted = Wanted.by(endpoint) if endpoint else Wanted()
    view = View(Wire(wanted), options)
    with contextlib.ExitStack() as stack:
        try:
            with _interruptible():
                batches = _source(stack, wanted, options)
                view.show(batches, _keeper(stack, options))
        except (CaptureError, SystemRefused):
            view.finish()  # show what came before it, then tell of it
            raise
        view.finish()


def _check(options: dict[str, t.Any]) -> None:
    if options["read"] and options["interface"]:
        raise UsageError("--read is of a file, --interface of a capture: give one of them")
    if options["read"] and options["seconds"]:
        raise UsageError("--seconds is for a capture; a file ends by itself")
    both = options["read"] and options["write"]
    if both and wire_source.same_file(options["read"], options["write"]):
        raise UsageError("--write would destroy what --read reads: it is the same file")


def _source(
    stack: contextlib.ExitStack, wanted: Wanted, options: dict[str, t.Any]
) -> Iterator[list[Frame]]:
    """Batches of frames. A socket is open, and all privileges given up, when this returns."""
    if options["read"]:
        return wire_source.from_file(options["read"])
    name = options["interface"] or packets.interface_for(wanted.places)
    sock = stack.enter_context(packets.PacketSocket(name, wanted.places, wanted.protocol))
    done = capabilities.give_up()
    stack.callback(_tell_drops, sock)
    click.echo(f"capturing on {name or 'every interface'}; {done}; Ctrl-C ends", err=True)
    return wire_source.from_socket(sock, options["seconds"] or 0.0)


def _tell_drops(sock: packets.PacketSocket) -> None:
    drops = sock.count_drops()
    if drops:
        click.echo(
            f"jackfield: {drops} packets came faster than they were read and are missing above; "
            "an ENDPOINT narrows what is captured",
            err=True,
        )


def _keeper(stack: contextlib.ExitStack, options: dict[str, t.Any]) -> CaptureFile | None:
    if not options["write"]:
        return None
    return stack.enter_context(CaptureFile(options["write"]))


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGINT and SIGTERM end the block, in order."""

    def interrupt(_number: int, _frame: types.FrameType | None) -> None:
        raise KeyboardInterrupt

    before = [
        (number, signal.signal(number, interrupt)) for number in (signal.SIGINT, signal.SIGTERM)
    ]
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before:
            signal.signal(number, handler)


class View:
    """Prints what a ``Wire`` makes of frames."""

    def __init__(self, wire: Wire, options: dict[str, t.Any]) -> None:
        self._wire = wire
        self._left = options["count"] or -1  # packets still to show; below zero: all
        self._only = options["connection"]
        self._json = options["as_json"]
        self._payload = options["payload"]
        self._colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._ladder = Ladder(
            shutil.get_terminal_size().columns,
            ascii_only=not _can_encode("◄─►"),
            absolute=options["absolute"],
            payload=options["payload"],
        )

    def show(self, batches: Iterator[list[Frame]], keep: CaptureFile | None) -> None:
        """Print and keep every batch as it comes, up to the last or to ``--count``."""
        for batch in batches:
            taken: list[Frame] = []
            for frame in batch:
                taken.append(frame)
                self._frame(frame)
                if not self._left:
                    break
            if keep is not None:
                keep.write(taken)
            sys.stdout.flush()
            if not self._left:
                return

    def _frame(self, frame: Frame) -> None:
        found = self._wire.frame(frame)
        if isinstance(found, Step):
            self._step(found)
        elif found is not None and not self._only:
            self._left -= 1
            self._print(self._ladder.datagram, wire_records.of_datagram, found)

    def _step(self, step: Step) -> None:
        if self._only and step.connection.number != self._only:
            return
        self._left -= 1
        if step.first and not self._json:
            self._lines(self._ladder.head(step.connection))
        self._print(self._ladder.rung, wire_records.of_step, step)

    def _print(self, draw: t.Any, record: t.Any, found: Step | Datagram) -> None:
        if self._json:
            click.echo(json.dumps(record(found, self._payload)))
        else:
            self._lines(draw(found))

    def _lines(self, lines: list[Line]) -> None:
        for line in lines:
            pieces = (self._styled(text, role) for text, role in line)
            click.echo("".join(pieces).rstrip())

    def _styled(self, text: str, role: str) -> str:
        return click.style(text, **STYLES[role]) if self._colour else text

    def finish(self) -> None:
        """A summary of each connection, and of what was not shown."""
        tracker = self._wire.tracker
        for connection in tracker.connections():
            if self._only in (None, connection.number):
                if self._json:
                    click.echo(json.dumps(wire_records.of_connection(connection)))
                else:
                    self._lines([[("", ladder.PLAIN)], *self._ladder.summary(connection)])
        for line in self._notices():
            click.echo(f"jackfield: {line}", err=True)

    def _notices(self) -> Iterator[str]:
        wire = self._wire
        if wire.others:
            kinds = ", ".join(f"{number} {kind}" for kind, number in wire.others.most_common(KINDS))
            yield f"not shown of {wire.packets} packets: {kinds}"
        if wire.broken:
            yield f"{wire.broken} packets were broken or cut short; the first: {wire.trouble}"
        if wire.tracker.forgotten:
            yield f"{wire.tracker.forgotten} connections were forgotten to follow later ones"


KINDS: t.Final = 8
"""Kinds of packets named at the end: what else there was is rare."""


def _can_encode(text: str) -> bool:
    """Can standard output hold ``text``?"""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True
