"""``typing`` for modules that a server loads before it listens: loaded when it is really needed.

Annotations are not looked at while a program runs, but ``typing`` and the ``re`` that it imports
take half as long to load as Python takes to start. So these modules write::

    from jackfield import lazy_typing as t

Type checkers see ``typing`` itself. While the program runs, what stands in the body of a module is
here, and means the same to it; any other name is fetched from ``typing``, as ``get_type_hints``
does. Imports nothing of jackfield.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true, as they do typing's

if TYPE_CHECKING:
    from typing import *  # noqa: F403
else:
    from collections import namedtuple

    Any = object
    """In an alias: every value is one."""

    Protocol = object
    """Its methods are never called: a base like any other."""

    def cast(typ, val):
        """``val``, unchanged."""
        return val

    class _FromFields(type):
        """Makes a named tuple of the fields that a class's body annotates."""

        def __new__(cls, name, bases, body):
            if not bases:  # NamedTuple itself
                return super().__new__(cls, name, bases, body)
            fields = body["__annotations__"]
            defaults = [body.pop(field) for field in fields if field in body]
            made = namedtuple(name, fields, defaults=defaults, module=body["__module__"])
            for key, value in body.items():
                setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_FromFields):
        """As ``typing.NamedTuple``; annotations stay the texts that they are."""

    def __getattr__(name):
        import typing

        return getattr(typing, name)
