"""The compiled poller against the contract of pollers."""

from __future__ import annotations

import pytest
from tests.contracts.poller import PollerContract

from jackfield import engines
from jackfield.pollers.base import Poller

pytestmark = pytest.mark.skipif(
    engines.missing("native") is not None, reason=str(engines.missing("native"))
)


class TestNative(PollerContract):
    def make(self) -> Poller:
        from jackfield._native.loop import NativePoller

        poller: Poller = NativePoller()
        return poller
