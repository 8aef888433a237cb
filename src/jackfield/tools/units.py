"""Times as people read them: ``13us``, ``1.20s``, ``15:43:02.123456``.

They may come from a stranger's file, so no number is too large here.
"""

from __future__ import annotations

import datetime


def duration(nanoseconds: int, sign: str = "") -> str:
    """A time that passed; ``sign`` stands before one that is not negative.

    >>> duration(13_400), duration(4_200_000), duration(1_200_000_000, sign="+")
    ('13us', '4.2ms', '+1.20s')
    """
    size = abs(nanoseconds)
    if size < 10**6:
        text = f"{size / 1e3:.0f}us"
    elif size < 10**9:
        text = f"{size / 1e6:.1f}ms"
    elif size < 10**12:
        text = f"{size / 1e9:.2f}s"
    else:
        text = f"{size / 1e9:.3g}s"
    return ("-" if nanoseconds < 0 else sign) + text


def clock(nanoseconds: int) -> str:
    """The time of day of this machine, ``nanoseconds`` after 1970 began in Greenwich. A time that
    no calendar has is given in seconds."""
    seconds, rest = divmod(nanoseconds, 10**9)
    try:
        day = datetime.datetime.fromtimestamp(seconds)
    except (OverflowError, ValueError, OSError):
        return f"{nanoseconds / 1e9:.6g}"
    return f"{day:%H:%M:%S}.{rest // 1000:06d}"
