"""What an engine tells of itself, asked by hand: chunks, questions of a parent, what is bounded."""

from __future__ import annotations

import json
import typing as t

from jackfield.bus.messages import Question
from jackfield.engines import Statistics, view
from jackfield.engines.view import Answers, Here, Ledger


class Engine:
    """Counts, and has nobody."""

    ticks = 7

    def __init__(self, *instruments: t.Any) -> None:
        self._instruments = instruments
        self.later: list[t.Callable[[], object]] = []

    def call_later(self, _delay: float, callback: t.Any, *args: t.Any) -> None:
        self.later.append(lambda: callback(*args))

    def statistics(self) -> Statistics:
        return Statistics(connections=3)

    def clients(self) -> list[t.Any]:
        return []


def numbers(count: int) -> t.Callable[[t.Any], t.Iterator[dict[str, int]]]:
    return lambda _engine: ({"n": n} for n in range(count))


def parsed(chunks: list[bytes]) -> list[t.Any]:
    found: list[t.Any] = json.loads(b"[" + b",".join(chunks) + b"]")
    return found


def test_elements_come_in_slices(monkeypatch: t.Any) -> None:
    count = view.SLICE * 2 + 1
    monkeypatch.setitem(view.SECTIONS, "rooms", numbers(count))
    chunks = list(view.chunks(None, "rooms"))
    assert [len(parsed([chunk])) for chunk in chunks] == [view.SLICE, view.SLICE, 1]
    assert [one["n"] for one in parsed(chunks)] == list(range(count))


def test_a_process_tells_here() -> None:
    heard: list[bytes | None] = []
    stream = Here(Engine()).section("processes")
    stream.next(heard.append)
    stream.next(heard.append)
    stream.next(heard.append)
    assert heard[1:] == [b"", b""]
    (told,) = parsed([t.cast(bytes, heard[0])])
    assert (told["ticks"], told["connections"], told["lost_for"]) == (7, 3, {})


def test_a_childs_answers(monkeypatch: t.Any) -> None:
    monkeypatch.setitem(view.SECTIONS, "rooms", numbers(view.SLICE + 1))
    answers = Answers(Engine())
    rooms = view.NAMES.index("rooms")
    both = [answers(Question(5, rooms, 0)), answers(Question(6, rooms, 0))]
    assert both[0] == both[1]
    assert parsed([answers(Question(5, rooms, 1))]) == [{"n": view.SLICE}]
    assert answers(Question(5, rooms, 2)) == b""


def test_what_cannot_be_answered() -> None:
    answers = Answers(Engine())
    assert answers(Question(1, len(view.NAMES), 0)) == b""
    assert answers(Question(2, 0, 4)) == b""


def test_who_asks_and_goes_away_costs_little(monkeypatch: t.Any) -> None:
    monkeypatch.setitem(view.SECTIONS, "rooms", numbers(view.SLICE * 2))
    answers, rooms = Answers(Engine()), view.NAMES.index("rooms")
    for number in range(view.STREAMS * 3):
        assert answers(Question(number, rooms, 0))
    assert answers(Question(0, rooms, 1)) == b""
    assert answers(Question(view.STREAMS * 3 - 1, rooms, 1)) != b""


def test_who_asks_for_a_part_and_no_more_is_forgotten(monkeypatch: t.Any) -> None:
    monkeypatch.setitem(view.SECTIONS, "rooms", numbers(view.SLICE * 2))
    engine = Engine()
    answers, rooms = Answers(engine), view.NAMES.index("rooms")
    assert answers(Question(1, rooms, 0))
    for callback in engine.later:
        callback()
    assert answers(Question(1, rooms, 1)) == b""


def test_reasons_are_counted_and_bounded() -> None:
    ledger = Ledger()
    for number in range(view.REASONS * 2):
        ledger.disconnected(None, None, f"Error{number}")
        ledger.refused("peer", "max-per-host")
    assert len(ledger.ends) == view.REASONS + 1
    assert ledger.ends["other"] == view.REASONS
    assert ledger.refusals == {"max-per-host": view.REASONS * 2}
    (told,) = parsed(list(view.chunks(Engine(ledger), "processes")))
    assert told["refused_for"] == {"max-per-host": view.REASONS * 2}


class Labelled:
    def __init__(self, label: object) -> None:
        self._label = label

    @property
    def status_label(self) -> object:
        if isinstance(self._label, Exception):
            raise self._label
        return self._label


def test_a_label_is_a_short_text_or_nothing() -> None:
    assert view._label(Labelled("alice")) == "alice"
    assert view._label(Labelled("x" * 1000)) == "x" * view.LABEL_LIMIT
    assert [view._label(Labelled(one)) for one in (7, None, b"x", ValueError())] == [""] * 4
    assert view._label(object()) == ""
