"""How operations lie in a frame between two processes of one server. Sans-I/O.

A frame (``wire.frames``: a 4-byte length in network byte order) holds the operations of one tick,
one behind the other, each as: topic (4 bytes, signed), length (4 bytes), that many bytes. Topic -1
is the loss of a process; its four bytes are the process number. A frame of nothing is a sign: from
a worker "I am ready", to a worker "retire".

Beside the order, a frame whose topic is -2 is a question of the hub's (``Question``), or the answer
to it: the question's number, and bytes that mean nothing here.

A whole frame is looked at before any of it is applied: of a broken one nothing is.
"""

from __future__ import annotations

import struct
import typing as t

from jackfield.errors import ProtocolViolation, TooLong

HEADER: t.Final = struct.Struct("!iI")
LOSS: t.Final = -1
NUMBER: t.Final = struct.Struct("!I")

SIGN: t.Final = b""

QUESTION: t.Final = struct.pack("!i", -2)
"""What a question or an answer begins with."""


class Question(t.NamedTuple):
    """Part ``part`` (0, 1, ...) of what there is to say about ``topic``, as the ``number``-th
    question."""

    number: int
    topic: int
    part: int


QUESTION_BODY: t.Final = struct.Struct("!III")

OPERATION_LIMIT: t.Final = 16 * 1024 * 1024
"""Bytes of an operation. Processes trust each other; a bound turns a mistake into an error instead
of an exhausted machine, and leaves room for several of them in what a worker may be behind."""

FRAME_FULL: t.Final = 256 * 1024
"""A tick's operations begin another frame at this size, so that no process waits for a huge one to
arrive in full."""

FRAME_LIMIT: t.Final = FRAME_FULL + HEADER.size + OPERATION_LIMIT
"""Bytes of the largest frame: almost full, and then the largest operation."""


def encode(topic: int, operation: bytes) -> bytes:
    """One operation. Raises ``TooLong`` for one over ``OPERATION_LIMIT``."""
    if len(operation) > OPERATION_LIMIT:
        raise TooLong(
            f"a message of {len(operation)} bytes; between processes it has at most "
            f"{OPERATION_LIMIT}"
        )
    return HEADER.pack(topic, len(operation)) + operation


def encode_loss(process: int) -> bytes:
    """The loss of process number ``process``."""
    return encode(LOSS, NUMBER.pack(process))


def decode(frame: bytes) -> list[tuple[int, bytes]]:
    """The operations of a frame: (topic, operation). Raises ``ProtocolViolation`` if it is cut."""
    operations = []
    at = 0
    while at < len(frame):
        if len(frame) - at < HEADER.size:
            raise ProtocolViolation("a frame between processes ends within a header")
        topic, size = HEADER.unpack_from(frame, at)
        at += HEADER.size
        if len(frame) - at < size:
            raise ProtocolViolation("a frame between processes ends within an operation")
        operations.append((topic, frame[at : at + size]))
        at += size
    return operations


def encode_question(question: Question) -> bytes:
    """A frame to a worker."""
    return QUESTION + QUESTION_BODY.pack(*question)


def decode_question(frame: bytes) -> Question:
    """A frame from the hub that begins with QUESTION. Raises ``ProtocolViolation``."""
    if len(frame) != len(QUESTION) + QUESTION_BODY.size:
        raise ProtocolViolation(f"a question between processes of {len(frame)} bytes")
    return Question._make(QUESTION_BODY.unpack_from(frame, len(QUESTION)))


def encode_answer(number: int, data: bytes) -> bytes:
    """A frame to the hub; ``data`` is at most OPERATION_LIMIT bytes."""
    return QUESTION + NUMBER.pack(number) + data


def decode_answer(frame: bytes) -> tuple[int, bytes]:
    """A frame from a worker that begins with QUESTION: the question's number, and what was said.
    Raises ``ProtocolViolation``."""
    start = len(QUESTION) + NUMBER.size
    if len(frame) < start:
        raise ProtocolViolation("an answer between processes is cut off")
    return NUMBER.unpack_from(frame, len(QUESTION))[0], frame[start:]
