"""A line of strace(1) cut into words: a call's name and arguments, descriptors, addresses.

strace writes what strangers chose (paths, payloads) as C string literals, and comments in
``/* */``; a bracket or comma in one of these is none. Descriptors bear what they are in angle
brackets::

    3<TCP:[127.0.0.1:8888]>   3<TCPv6:[[::1]:8888->[::1]:63062]>   3<UDP:[5156845]>
    3<UNIX-STREAM:[5156846->5156847,"/run/chat"]>   3<NETLINK:[ROUTE:4711]>   3</etc/passwd>

Numbers alone in them are inodes: the socket is not bound, or not connected. Must not know whole
lines or what follows a call.
"""

from __future__ import annotations

import re
import typing as t

_QUOTED: t.Final = r'"(?:[^"\\]|\\.)*+"'
_DECORATION: t.Final = rf'(?<=\d)<(?![<=])(?:->|{_QUOTED}|\\.|[^">\\])*+>'
_TOKEN: t.Final = re.compile(
    rf"{_QUOTED}|{_DECORATION}|/\*.*?\*/|[()\[\]{{}},]|[^\"<()\[\]{{}},/]+|.", re.DOTALL
)
"""One step through the arguments. The quantifiers with ``+`` behind do not go back, so that a line
made to confuse takes no longer than another."""

_OPENERS: t.Final = {
    '"': re.compile('"'),
    "<": re.compile(r"(?<=\d)<(?![<=])"),
    "/": re.compile(r"/\*"),
}
"""What stands alone only where its other end is missing. To go on would be to look for that end
again and again."""

_NAME: t.Final = re.compile(r"[a-z_][a-z0-9_]{0,40}\(")

_DESCRIPTOR: t.Final = re.compile(r"(\d{1,10})<([A-Za-z][\w -]{0,30}):\[(.*)\]>\s*", re.DOTALL)
_UNNAMED: t.Final = re.compile(r"(\d{1,10})<socket:\[(\d{1,20})\]>\s*")
_UNIX: t.Final = re.compile(rf"(\d+)(?:->(\d+))?(?:,(@?)({_QUOTED}))?")

_PROTOCOLS: t.Final = {
    "TCP": "tcp",
    "TCPv6": "tcp",
    "UDP": "udp",
    "UDPv6": "udp",
    "UNIX-STREAM": "unix",
    "UNIX-DGRAM": "unixgram",
    "UNIX-SEQPACKET": "unixpacket",
    "UNIX": "unix",
}
"""strace's names -> ours; others are written in lower case."""


class Descriptor(t.NamedTuple):
    """A socket's descriptor: "" for what strace does not know of it."""

    fd: int
    protocol: str
    local: str
    peer: str


def split_call(text: str) -> tuple[str, list[str], str]:
    """``name(a, b) = 0`` as its name, its arguments and what stands behind the bracket. Raises
    ``ValueError`` where it is no call, or one cut short."""
    name = _NAME.match(text)
    if name is None:
        raise ValueError("no call")
    arguments: list[str] = []
    words: list[str] = []
    depth = 0
    for token in _TOKEN.finditer(text, name.end()):
        word = token[0]
        if word in _OPENERS and _OPENERS[word].match(text, token.start()):
            raise ValueError(f"no end of what begins with {word}")
        if word in ("(", "[", "{"):
            depth += 1
        elif word in ("]", "}") or (word == ")" and depth):
            depth -= 1
        elif word == ")" or (word == "," and not depth):
            arguments.append("".join(words).strip())
            words = []
            if word == ")":
                return name[0][:-1], arguments, text[token.end() :]
            continue
        words.append(word)
    raise ValueError("no end of the arguments")


def descriptor(argument: str) -> Descriptor | None:
    """``4<TCP:[...]>`` as what it is; None for what is no socket."""
    unnamed = _UNNAMED.fullmatch(argument)
    if unnamed is not None:
        return Descriptor(int(unnamed[1]), "socket", "", "")
    found = _DESCRIPTOR.fullmatch(argument)
    if found is None or found[2] in ("pipe", "anon_inode"):
        return None
    fd, kind, inside = int(found[1]), found[2], found[3]
    protocol = _PROTOCOLS.get(kind, kind.lower())
    if kind.startswith("UNIX"):
        return Descriptor(fd, protocol, *_unix_names(inside))
    local, _, peer = inside.partition("->")
    return Descriptor(fd, protocol, _unless_inode(local), _unless_inode(peer))


def pair(argument: str) -> Descriptor | None:
    """The first of the two that socketpair(2) made: ``[6<UNIX-STREAM:[1->2]>, 7<...>]``."""
    return descriptor(argument.removeprefix("[").partition(", ")[0])


def _unless_inode(text: str) -> str:
    return "" if text.isdecimal() else text


def _unix_names(inside: str) -> tuple[str, str]:
    """Our own name, and the peer's inode: strace tells no more of it."""
    found = _UNIX.fullmatch(inside)
    if found is None:
        return "", ""
    _, peer, at, quoted = found.groups()
    name = f"unix:{at}{_inside(quoted)}" if quoted else ""
    return name, f"inode {peer}" if peer else ""


def _inside(quoted: str) -> str:
    """A literal without its quotes. Its escapes stay: so it is safe to show."""
    return quoted[1:-1]


# --- addresses and payloads --------------------------------------------------------------------

_IPV4: t.Final = re.compile(
    r'sin_port=htons\((\d{1,5})\), sin_addr=inet_addr\("([0-9.]{7,15})"\)', re.ASCII
)
_IPV6: t.Final = re.compile(
    r'sin6_port=htons\((\d{1,5})\), (?:sin6_flowinfo=htonl\(\d+\), )?'
    r'inet_pton\(AF_INET6, "([0-9a-f:.]{2,45})"', re.ASCII
)  # fmt: skip
_SUN_PATH: t.Final = re.compile(rf"sun_path=(@?)({_QUOTED})", re.DOTALL)


def address(arguments: list[str]) -> str:
    """The first sockaddr among the arguments, as text; "" if there is none."""
    for argument in arguments[1:]:
        if not argument.startswith("{"):
            continue
        if found := _SUN_PATH.search(argument):
            return f"unix:{found[1]}{_inside(found[2])}"
        if found := _IPV4.search(argument):
            return f"{found[2]}:{found[1]}"
        if found := _IPV6.search(argument):
            return f"[{found[2]}]:{found[1]}"
    return ""


_BASE: t.Final = re.compile(rf"iov_base=({_QUOTED})", re.DOTALL)
_LENGTH: t.Final = re.compile(r"\bmsg_len=(\d{1,10})")


def payload(name: str, arguments: list[str]) -> str:
    """The bytes that were moved, as strace shows them: a literal's inside."""
    if len(arguments) < 2 or "sockopt" in name:
        return ""
    if arguments[1].startswith('"'):
        quoted = re.match(_QUOTED, arguments[1], re.DOTALL)
        return _inside(quoted[0]) if quoted else ""
    return "".join(_inside(found[1]) for found in _BASE.finditer(arguments[1]))


def messages_size(arguments: list[str]) -> int:
    """Bytes of all messages of sendmmsg(2) or recvmmsg(2)."""
    # Without the payloads, which could have such words in them, too.
    structures = re.sub(_QUOTED, "", "".join(arguments[1:2]), flags=re.DOTALL)
    return sum(int(found[1]) for found in _LENGTH.finditer(structures))
