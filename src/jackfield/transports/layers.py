"""What may lie between a connection and its protocol: the PROXY header, TLS. From outside in::

    transport -> behind_proxy -> within_tls -> the protocol

Each is loaded only by a server that has it: TLS brings OpenSSL along. Must not know engines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from jackfield import lazy_typing as t

if t.TYPE_CHECKING:
    from jackfield.tls import TlsConfig
    from jackfield.transports.proxied import Proxies

Factory: t.TypeAlias = Callable[[], t.Any]


def within_tls(factory: Factory, config: TlsConfig | None) -> Factory:
    """The protocol's own factory, within a layer that encrypts, if there is a ``config``."""
    if config is None:
        return factory
    from jackfield.transports.tls import TlsFactory

    return TlsFactory(config.context, factory)


def behind_proxy(factory: Factory, proxies: Proxies | None) -> Factory:
    """The outermost layer: a PROXY header comes before everything else, TLS too."""
    if proxies is None:
        return factory
    from jackfield.transports.proxied import ProxiedFactory

    return ProxiedFactory(proxies, factory)


def find_proxies(listed: str | Iterable[str]) -> Proxies | None:
    """Those that are listed, or None. Raises ``UsageError`` as ``Proxies`` does."""
    if not listed:
        return None
    from jackfield.transports.proxied import Proxies

    return Proxies(listed)
