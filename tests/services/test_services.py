"""The services by name."""

from __future__ import annotations

import subprocess
import sys

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


@pytest.mark.parametrize("name", ["chat", "echo"])
def test_a_late_service_is_loaded_when_it_is_told_or_when_somebody_comes(name: str) -> None:
    program = f"""\
import sys
from jackfield import services
def loaded():
    return "jackfield.services.{name}" in sys.modules
service = services.make("{name}", services.ServiceOptions(), late=True)
assert not loaded()
service.{{}}()
assert loaded()
"""
    for first in ("load", "stream"):
        subprocess.run([sys.executable, "-c", program.format(first)], check=True)


def test_all_who_come_to_a_late_service_come_to_the_same() -> None:
    service = make("chat", ServiceOptions(), late=True)
    one = service.stream()
    service.load()
    assert service.stream()._chat is one._chat


@pytest.mark.parametrize("options", [ServiceOptions(greeting="\udcff"), ServiceOptions(flood=1)])
def test_a_late_service_refuses_its_options_now(options: ServiceOptions) -> None:
    with pytest.raises(UsageError):
        make("echo", options, late=True)
