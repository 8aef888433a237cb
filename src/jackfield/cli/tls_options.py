"""The options of TLS: certificates of ``serve``, and whom ``connect`` believes.

``ssl`` and what needs it are imported only when such an option is given.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from jackfield import lazy_typing as t
from jackfield.cli.options import Option
from jackfield.endpoint import Endpoint
from jackfield.errors import ConnectError, UsageError

if t.TYPE_CHECKING:
    from jackfield.tls import TlsConfig
    from jackfield.tools.tls_session import Expected

    Command = t.TypeVar("Command", bound=Callable[..., t.Any])

SERVING: t.Final = (
    Option("--tls-cert", "For tls://: certificate chain, in PEM.", default="", metavar="FILE"),
    Option("--tls-key", "Its key, if that is in another file.", default="", metavar="FILE"),
    Option(
        "--tls-client-ca",
        "Authorities of the certificates that TLS clients must show.",
        default="",
        metavar="FILE",
    ),
    Option("--tls-client-optional", "Clients may come without a certificate.", kind=bool),
    Option(
        "--tls-sni",
        "Another certificate for clients that ask for this server name; repeatable.",
        metavar="NAME=CERT,KEY",
        multiple=True,
    ),
)

CONNECTING: t.Final = (
    Option(
        "--tls-ca",
        "For tls://: believe these certificates instead of the system's authorities.",
        default="",
        metavar="FILE",
    ),
    Option("--tls-name", "Whom to expect, if not the host dialled.", default="", metavar="NAME"),
    Option(
        "--tls-insecure",
        "Believe any server: whoever is on the way can read and change everything.",
        kind=bool,
    ),
    Option("--tls-cert", "Our certificate, for servers that ask.", default="", metavar="FILE"),
    Option("--tls-key", "Its key, if that is in another file.", default="", metavar="FILE"),
)

INSECURE: t.Final = (
    "jackfield: warning: --tls-insecure: nobody checks who answers; whoever is on the way there "
    "can read and change everything"
)

HINTS: t.Final = {
    "tls-self-signed": "if it is the server you mean, give its certificate with --tls-ca FILE",
    "tls-unknown-authority": "give that authority's certificate with --tls-ca FILE",
    "tls-wrong-name": "give the name that is in it with --tls-name NAME",
    "not-tls": "perhaps it speaks plainly, tcp://",
    "tls-alert-certificate-required": "give yours with --tls-cert FILE and --tls-key FILE",
}
"""By reason."""


def connecting(command: Command) -> Command:
    """Add the options of ``connect``."""
    from jackfield.cli import click_options

    return click_options.add(CONNECTING, command)


def server_config(options: dict[str, t.Any]) -> TlsConfig | None:
    """Take our options out of ``options``; None if none was given."""
    certificate, key = options.pop("tls_cert"), options.pop("tls_key")
    client_ca, optional = options.pop("tls_client_ca"), options.pop("tls_client_optional")
    sni: tuple[str, ...] = options.pop("tls_sni")
    if not certificate:
        if key or client_ca or optional or sni:
            raise UsageError("the --tls options need a certificate; give --tls-cert FILE too")
        return None
    if optional and not client_ca:
        raise UsageError("--tls-client-optional is for --tls-client-ca FILE; give that too")
    from jackfield.tls import TlsConfig

    return TlsConfig(
        certificate, key, sni=_names(sni), client_ca=client_ca, client_optional=optional
    )


def _names(texts: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    named = {}
    for text in texts:
        name, _, files = text.partition("=")
        certificate, _, key = files.partition(",")
        if not name or not certificate:
            raise UsageError(f"--tls-sni {text!r}: write NAME=CERT,KEY, as in a.org=a.pem,a.key")
        named[name] = (certificate, key)
    return named


def expected(options: dict[str, t.Any], endpoint: Endpoint) -> Expected | None:
    """What ``connect``'s options say of the server at ``endpoint``; None unless that is TLS."""
    if endpoint.scheme != "tls":
        given = next((name for name, value in options.items() if value), None)
        if given is not None:
            raise UsageError(f"--{given.replace('_', '-')} is for tls://host:port alone")
        return None
    insecure = options["tls_insecure"]
    if insecure and options["tls_ca"]:
        raise UsageError("--tls-insecure believes any certificate, --tls-ca does not; give one")
    if insecure:
        print(INSECURE, file=sys.stderr)
    from jackfield.tls import TlsClientConfig
    from jackfield.tools.tls_session import Expected

    config = TlsClientConfig(
        ca=options["tls_ca"],
        insecure=insecure,
        certificate=options["tls_cert"],
        key=options["tls_key"],
    )
    return Expected(config, options["tls_name"])


@contextlib.contextmanager
def hints() -> Iterator[None]:
    """Add to an error the option that may help."""
    try:
        yield
    except ConnectError as exc:
        hint = HINTS.get(exc.reason)
        if hint is None:
            raise
        raise ConnectError(f"{exc}; {hint}", exc.fault, exc.reason) from exc
