"""Lines, split at the speed of memchr(3): the twin of ``wire.lines.PureLineSplitter``.

The same in everything that can be seen from outside, and tested by the same tests; see there for
what a line is and how much of one is held.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr

from jackfield import limits
from jackfield.errors import UsageError


cdef class LineSplitter:
    """Cuts a stream into lines of at most ``limit`` bytes, their ends not counted.

    Raises ``UsageError`` if ``limit`` is less than one byte.
    """

    cdef readonly Py_ssize_t limit
    cdef bytearray held  # the beginning of a line; while skipping a CR that may be half an end
    cdef bint skipping

    def __init__(self, limit=limits.LINE_LIMIT):
        if limit < 1:
            raise UsageError(f"line limit {limit}: it must be 1 byte or more")
        self.limit = limit

    @property
    def pending(self):
        """Bytes held of a line whose end has not come: at most ``limit`` + 1."""
        return len(self.held) if self.held is not None else 0

    def feed(self, bytes data not None):
        """The lines that ``data`` completes, without their ends, and None (``TOO_LONG``) in the
        place of each that passed the limit."""
        if self.skipping:
            return self.skip(data)
        if self.held is None:
            return self.split(data, 0)
        return self.go_on(data)

    def finish(self):
        """At the end of the stream: the last line if it has no end, else nothing. A CR that
        closes it is taken for half a CRLF."""
        held, self.held = self.held, None
        skipping, self.skipping = self.skipping, False
        return [] if skipping or not held else [bytes(held).removesuffix(b"\r")]

    cdef list split(self, bytes data, Py_ssize_t start):
        """Split a block from ``start`` on, where a line begins, with nothing held."""
        cdef Block block = block_of(data)
        cdef Py_ssize_t stop, behind, size
        cdef list lines = []
        while find_end(&block, start, &stop, &behind):
            if stop - start > self.limit:
                lines.append(None)
            else:
                lines.append(PyBytes_FromStringAndSize(block.start + start, stop - start))
            start = behind
        size = block.size - start
        if size and size - ends_with_return(data) > self.limit:
            lines.append(None)
            self.start_skipping(data)
        elif size:
            self.held = bytearray(block.start[start:block.size])
        return lines

    cdef list go_on(self, bytes data):
        """Continue a line whose beginning is held."""
        cdef Block block = block_of(data)
        cdef Py_ssize_t stop, behind
        cdef bint half = self.held[len(self.held) - 1] == RETURN
        if not block.size:
            return []
        if find_end(&block, 0, &stop, &behind) or (block.start[0] == 0 and half):
            data, self.held = bytes(self.held) + data, None
            return self.split(data, 0)
        if len(self.held) + block.size - ends_with_return(data) > self.limit:
            self.start_skipping(data)
            return [None]
        self.held += data
        return []

    cdef list skip(self, bytes data):
        """Discard the rest of a line that was too long; go on behind its end."""
        cdef Block block
        cdef Py_ssize_t stop, behind
        if self.held:
            data = bytes(self.held) + data
        block = block_of(data)
        if not find_end(&block, 0, &stop, &behind):
            self.start_skipping(data)
            return []
        self.skipping = False
        self.held = None
        return self.split(data, behind)

    cdef int start_skipping(self, bytes rest) except -1:
        """Discard a line up to its end, of which a CR at the end of ``rest`` may be half."""
        self.skipping = True
        self.held = bytearray(b"\r" if ends_with_return(rest) else b"")
        return 0


cdef enum:
    NEWLINE = 10
    RETURN = 13

cdef struct Block:
    const char *start
    Py_ssize_t size
    bint has_nul
    Py_ssize_t newline  # the last one that was found; looked for anew only behind it


cdef Block block_of(bytes data) noexcept:
    cdef Block block
    block.start = PyBytes_AS_STRING(data)
    block.size = PyBytes_GET_SIZE(data)
    block.has_nul = memchr(block.start, 0, block.size) is not NULL
    block.newline = -1
    return block


cdef bint ends_with_return(bytes data) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    return size > 0 and PyBytes_AS_STRING(data)[size - 1] == RETURN


cdef bint find_end(
    Block *block, Py_ssize_t start, Py_ssize_t *stop, Py_ssize_t *behind
) noexcept:
    """The first end from ``start`` on: the line goes up to ``stop``, the next begins ``behind``."""
    cdef const char *found
    cdef Py_ssize_t i
    if block.newline < start:
        found = <const char *>memchr(block.start + start, NEWLINE, block.size - start)
        block.newline = found - block.start if found is not NULL else block.size
    if block.has_nul:
        for i in range(start, block.newline - 1):
            if block.start[i] == RETURN and block.start[i + 1] == 0:
                stop[0] = i
                behind[0] = i + 2
                return True
    if block.newline == block.size:
        return False
    stop[0] = block.newline
    if stop[0] > start and block.start[stop[0] - 1] == RETURN:
        stop[0] -= 1
    behind[0] = block.newline + 1
    return True
