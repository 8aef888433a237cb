"""The services by name."""

from __future__ import annotations

import pytest

from jackfield.errors import UsageError
from jackfield.services import NAMES, ServiceOptions, make


@pytest.mark.parametrize("name", NAMES)
def test_every_service_is_made_for_streams(name: str) -> None:
    service = make(name, ServiceOptions())
    assert hasattr(service.stream(), "data_received")
    assert service.stream() is not service.stream()


@pytest.mark.parametrize("name", NAMES)
def test_datagrams_only_where_an_answer_cannot_be_larger_than_its_request(name: str) -> None:
    service = make(name, ServiceOptions())
    assert (service.datagram is not None) == (name in {"echo", "discard", "daytime", "time"})
    if service.datagram is not None:
        assert hasattr(service.datagram(), "datagram_received")


def test_an_unknown_service_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown service 'qotd'; known: .*chat.*module:Factory"):
        make("qotd", ServiceOptions())


@pytest.mark.parametrize("name", ["discard", "daytime", "time", "chargen"])
def test_a_greeting_is_refused_by_who_does_not_greet(name: str) -> None:
    with pytest.raises(UsageError, match=f"--greeting is for chat and echo, not for {name}"):
        make(name, ServiceOptions(greeting="Hello"))


@pytest.mark.parametrize("name", ["echo", "chat"])
def test_a_greeting_that_is_no_utf8_is_refused_before_anybody_comes(name: str) -> None:
    with pytest.raises(UsageError, match="not valid UTF-8"):
        make(name, ServiceOptions(greeting="caf\udce9"))
