"""A transport that remembers what was done to it, for the protocols of this floor."""

from __future__ import annotations

import pytest


class RecordingTransport:
    """What asyncio's transports have in common; reading and closing are flags."""

    def __init__(self) -> None:
        self.written = b""
        self.calls: list[str] = []
        self.closing = False
        self.reading = True

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.calls.append("close")
        self.closing = True

    def abort(self) -> None:
        self.calls.append("abort")
        self.closing = True

    def is_reading(self) -> bool:
        return self.reading and not self.closing

    def pause_reading(self) -> None:
        self.calls.append("pause_reading")
        self.reading = False

    def resume_reading(self) -> None:
        self.calls.append("resume_reading")
        self.reading = True


class NativeTransport(RecordingTransport):
    """With what jackfield's own transports add."""

    def __init__(self) -> None:
        super().__init__()
        self.progress = 0
        self.evicted: list[Exception] = []

    def made_progress(self) -> None:
        self.progress += 1

    def evict(self, reason: Exception) -> None:
        self.evicted.append(reason)
        self.closing = True


@pytest.fixture
def foreign() -> RecordingTransport:
    return RecordingTransport()


@pytest.fixture
def native() -> NativeTransport:
    return NativeTransport()
