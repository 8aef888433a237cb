"""The options of a verb as a table, and a reader of plain command lines that needs nothing else.

click takes longer to load than a server takes to listen. So what ``serve`` takes is a table, from
which its click command is made (``click_options``), and ``read`` understands what is written in
full and right. Where anything else is asked or wrong it says so by None, and click has the word:
help, hints and errors are its own, and there is one wording of them. Must not know click.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jackfield import lazy_typing as t

Kind: t.TypeAlias = Callable[[str], t.Any] | tuple[str, ...]
"""What a value is: what reads it (``str``, ``count``, ``seconds``, ...; raises ``ValueError``), the
words it can be, or ``bool`` for an option that has none."""


class Option:
    """One option: ``name`` with its dashes, ``help``, the ``kind`` of its value, the ``default``,
    shown in the help if ``show_default``, what stands there for the value (``metavar``), and
    whether it may be given several times (``multiple``: its value is a tuple)."""

    __slots__ = ("default", "help", "kind", "metavar", "multiple", "name", "show_default")

    def __init__(
        self,
        name: str,
        help: str,
        *,
        kind: Kind = str,
        default: t.Any = None,
        show_default: bool = False,
        metavar: str | None = None,
        multiple: bool = False,
    ) -> None:
        self.name = name
        self.help = help
        self.kind = kind
        self.default = default
        self.show_default = show_default
        self.metavar = metavar
        self.multiple = multiple

    @property
    def key(self) -> str:
        """As the verb's function calls it."""
        return self.name.removeprefix("--").replace("-", "_")

    def unset(self) -> t.Any:
        """Its value where it was not given."""
        if self.multiple:
            return ()
        return False if self.kind is bool else self.default

    def value(self, text: str) -> t.Any:
        """What ``text`` means. Raises ``ValueError``."""
        if not isinstance(self.kind, tuple):
            return self.kind(text)
        if text not in self.kind:
            raise ValueError(text)
        return text


def count(text: str) -> int:
    """0, 1, 2, ..."""
    return _not_negative(int(text))


def seconds(text: str) -> float:
    """A time, or a number a second."""
    return _not_negative(float(text))


if t.TYPE_CHECKING:
    Number = t.TypeVar("Number", int, float)


def _not_negative(number: Number) -> Number:
    if number < 0:
        raise ValueError(number)
    return number


def read(
    options: Sequence[Option], words: Sequence[str]
) -> tuple[list[str], dict[str, t.Any]] | None:
    """The arguments among ``words``, and the values of all options by their keys. None where a
    word is not a known option in full, or its value is missing or wrong."""
    known = {option.name: option for option in options}
    values = {option.key: option.unset() for option in options}
    arguments: list[str] = []
    rest = iter(words)
    try:
        for word in rest:
            if not word.startswith("-"):
                arguments.append(word)
                continue
            name, equals, text = word.partition("=")
            option = known[name]
            if option.kind is bool:
                if equals:
                    return None
                values[option.key] = True
                continue
            value = option.value(text if equals else next(rest))
            values[option.key] = (*values[option.key], value) if option.multiple else value
    except (KeyError, StopIteration, ValueError):
        return None
    return arguments, values
