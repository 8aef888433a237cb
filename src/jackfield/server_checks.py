"""What a server's options must be like, each said in one line to who got it wrong.

Must not know how a server works.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable

from jackfield import engines
from jackfield import lazy_typing as t
from jackfield.address import Endpoint
from jackfield.errors import UsageError

if t.TYPE_CHECKING:
    from jackfield.kernel.privileges import Identity
    from jackfield.tls import TlsConfig  # not for nothing: it loads OpenSSL

Factory: t.TypeAlias = Callable[[], t.Any]


def require_tls(endpoints: Iterable[Endpoint], tls: TlsConfig | None) -> None:
    """Certificates where they are used, and nowhere else. Loads them: what is wrong is said now."""
    encrypted = next((endpoint for endpoint in endpoints if endpoint.tls), None)
    if tls is None:
        if encrypted is not None:
            raise UsageError(
                f"{encrypted}: needs a certificate; give --tls-cert FILE and --tls-key FILE, in a "
                "program tls=TlsConfig(certificate, key)"
            )
    elif encrypted is None:
        raise UsageError(
            "a certificate was given, but no endpoint is tls://host:port (or an inherited socket "
            "with ?tls=1, such as systemd:?tls=1)"
        )
    else:
        tls.context()


def reuses_port(accept: str) -> bool:
    """Has each worker a listener of its own, or do they share one?"""
    if accept not in ("auto", "shared", "reuseport"):
        raise UsageError(f"accept {accept!r}: it is auto, shared or reuseport")
    if accept == "auto":
        # Linux spreads connections over the listeners; elsewhere the last one may get them all.
        return sys.platform == "linux"
    return accept == "reuseport"


def identity(user: str, group: str) -> Identity | None:
    """Whom to become; None: the process stays who it is."""
    if not user and not group:
        return None
    from jackfield.kernel.privileges import Identity

    return Identity.find(user, group)


def require_privilege(identity: Identity | None) -> None:
    """May this process become that?"""
    if identity is not None:
        from jackfield.kernel import privileges

        privileges.require(identity)


def require_one_thread(engine: str) -> None:
    """Workers have one thread each: they are forked, and threads are not."""
    if engine not in engines.ONE_THREAD:
        those = " ".join(engines.ONE_THREAD)
        raise UsageError(f"workers run a one-thread engine ({those}), not {engine}")
    if not hasattr(os, "fork"):
        raise UsageError("workers are forked, and this system cannot fork; run without --workers")


def require_alone(engine: str, workers: int) -> None:
    """Rooms that span processes have one hub, so one server with several of them runs at a time."""
    if workers or engine == "fork":
        from jackfield.bus import hub

        hub.require_none()


def require_streams(endpoint: Endpoint, factory: Factory) -> None:
    """A protocol anywhere else takes streams."""
    datagrams = isinstance(factory, type) and hasattr(factory, "datagram_received")
    if datagrams and not hasattr(factory, "data_received"):
        name = getattr(factory, "__name__", "it")
        raise UsageError(f"{endpoint}: {name} serves datagrams; use udp:// or unixgram:")


def require_datagrams(endpoint: Endpoint, factory: Factory) -> None:
    """A protocol on ``udp://`` or ``unixgram:`` takes datagrams."""
    serves_streams = isinstance(factory, type) and not hasattr(factory, "datagram_received")
    if serves_streams or engines.is_coroutine(factory):
        name = getattr(factory, "__name__", "a coroutine")
        raise UsageError(
            f"{endpoint}: {name} serves streams; for datagrams give a protocol with "
            f"datagram_received, such as a DatagramProtocol"
        )
