"""What stands in for typing while a program runs, against typing itself."""

from __future__ import annotations

import pickle
import subprocess
import sys
import typing

import pytest

from jackfield import lazy_typing as t
from jackfield.address import Address
from jackfield.endpoint import Endpoint


class Place(t.NamedTuple):
    """Where."""

    host: str
    port: int = 7

    @property
    def both(self) -> str:
        return f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Place:
        host, _, port = text.partition(":")
        return cls(host, int(port))


class Twin(typing.NamedTuple):
    """Where."""

    host: str
    port: int = 7


def test_a_named_tuple_is_what_typing_makes() -> None:
    ours, theirs = Place("a"), Twin("a")
    assert (tuple(ours), ours._asdict()) == (tuple(theirs), theirs._asdict())
    assert repr(ours) == repr(theirs).replace("Twin", "Place")
    for name in ("_fields", "_field_defaults", "__doc__", "__module__", "__match_args__"):
        assert getattr(Place, name) == getattr(Twin, name), name
    assert Place.__qualname__ == "Place"
    assert Place.__bases__ == Twin.__bases__ == (tuple,)
    assert not hasattr(ours, "__dict__")
    assert typing.get_type_hints(Place) == typing.get_type_hints(Twin)


def test_a_named_tuple_has_its_methods() -> None:
    place = Place.parse("b:9")
    assert place == ("b", 9)
    assert place.both == "b:9"
    assert place._replace(port=1) == ("b", 1)
    assert pickle.loads(pickle.dumps(place)) == place
    with pytest.raises(AttributeError):
        place.port = 1  # type: ignore[misc]


@pytest.mark.parametrize("kind", [Address, Endpoint])
def test_type_hints_of_public_tuples_can_be_had(kind: type) -> None:
    assert typing.get_type_hints(kind)["scheme"] is str


def test_other_names_are_typings_own() -> None:
    assert t.Final is typing.Final
    assert t.ClassVar is typing.ClassVar
    with pytest.raises(AttributeError, match="nonsense"):
        t.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_it_loads_typing_only_for_these() -> None:
    program = """\
import sys
from jackfield import lazy_typing as t

class Sized(t.Protocol):
    def size(self) -> int: ...

class Pair(t.NamedTuple):
    one: "t.Final[int]"

assert t.cast("str", Pair(1)) == (1,) and not t.TYPE_CHECKING
assert "typing" not in sys.modules and "re" not in sys.modules
t.Final
assert "typing" in sys.modules
"""
    subprocess.run([sys.executable, "-I", "-c", program], check=True)
