import typing as t
from collections.abc import Iterable

from jackfield._native.uring import Ring

class RingLoop:
    now: float
    ticks: int
    ring: Ring
    def __init__(self, ring: Ring, *args: t.Any, **options: t.Any) -> None: ...
    def _tick(self) -> None: ...
    def fan_out(self, data: bytes, transports: Iterable[t.Any]) -> list[t.Any]: ...
